"""Raw files with EXIF, as cameras write it: tags, boxes, directories, and the frame that is decoded from one."""

import struct

import numpy as np
from PIL import Image

from darkroom.frame import Exposure, Frame, Window

EXIF_IFD, GPS_IFD = 34665, 34853
MAKE, MODEL, ORIENTATION, SOFTWARE, DATE_TIME, ARTIST, COPYRIGHT = 271, 272, 274, 305, 306, 315, 33432
EXPOSURE_TIME, F_NUMBER, ISO, TAKEN, FLASH, FOCAL_LENGTH = 33434, 33437, 34855, 36867, 37385, 37386
MAKER_NOTE, COMMENT, SUBSEC, OFFSET, LENS = 37500, 37510, 37521, 36881, 42036
COLOR_SPACE, PIXEL_X, PIXEL_Y = 40961, 40962, 40963

IMAGE = {
    MAKE: "Nikon",
    MODEL: "Z 6",
    ORIENTATION: 6,
    SOFTWARE: "Ver.1.05",
    DATE_TIME: "2024:02:29 23:59:58",
    ARTIST: "A. Night",
    COPYRIGHT: "A. Night, 2024",
}
PHOTO = {
    EXPOSURE_TIME: 1 / 40,
    F_NUMBER: 1.8,
    ISO: 12800,
    TAKEN: "2024:02:29 23:59:58",
    SUBSEC: "42",
    OFFSET: "+01:00",
    37383: 5,  # MeteringMode
    FLASH: 0,
    FOCAL_LENGTH: 35.0,
    LENS: "35 mm f/1.8 S",
    MAKER_NOTE: b"offsets inside" * 9,
    COLOR_SPACE: 65535,
    PIXEL_X: 160,
    PIXEL_Y: 120,
}
PLACE = {1: "N", 2: (55.0, 40.0, 30.5), 3: "E", 4: (12.0, 34.0, 0.0)}


def told(image=IMAGE, photo=PHOTO, place=PLACE, *, order: str = "<") -> bytes:
    """A TIFF with these tags, as Pillow writes it."""
    written = Image.Exif()
    written.endian = order
    for tag, value in image.items():
        written[tag] = value
    written._ifds = {pointer: dict(tags) for pointer, tags in ((EXIF_IFD, photo), (GPS_IFD, place)) if tags}
    return written.tobytes().removeprefix(b"Exif\0\0")


def box(kind: bytes, *inside: bytes) -> bytes:
    data = b"".join(inside)
    return struct.pack(">I", 8 + len(data)) + kind + data


def long_box(kind: bytes, *inside: bytes) -> bytes:
    data = b"".join(inside)
    return struct.pack(">I4sQ", 1, kind, 16 + len(data)) + data


def fuji() -> bytes:
    tiff = b"Exif\0\0" + told()
    app0 = b"\xff\xe0\0\x10JFIF\0" + bytes(9)
    jpeg = b"\xff\xd8" + app0 + struct.pack(">BBH", 0xFF, 0xE1, 2 + len(tiff)) + tiff + b"\xff\xda"
    return b"FUJIFILMCCD-RAW ".ljust(84, b"0") + struct.pack(">I", 200) + bytes(112) + jpeg


def canon() -> bytes:
    gps = told(PLACE, {}, {})
    photo = told(PHOTO, {}, {})
    uuid = box(
        b"uuid",
        bytes.fromhex("85c0b687820f11e08111f4ce462b6a48"),
        box(b"CNCV", b"CanonCR3_001/00.09.00/00.00.00"),
        box(b"CMT1", told(IMAGE, {}, {})),
        box(b"CMT2", photo),
        box(b"CMT3", b"II*\0maker note"),
        box(b"CMT4", gps),
    )
    other = box(b"uuid", bytes(16), box(b"CMT1", told({MAKE: "wrong"}, {}, {})))
    return box(b"ftyp", b"crx ") + long_box(b"moov", other, uuid) + box(b"mdat", bytes(1000))


RAWS = {
    "little-endian TIFF": told(),
    "big-endian TIFF": told(order=">"),
    "Olympus": b"IIRO" + told()[4:],
    "Panasonic": b"IIU\0" + told()[4:],
    "Fuji": fuji(),
    "Canon CR3": canon(),
}


def frame(exposure: Exposure = Exposure(1 / 30, 3200, 2.8), camera: str = "Frame Camera") -> Frame:
    return Frame(
        mosaic=np.zeros((2, 2), np.uint16),
        cfa="bayer",
        black=np.zeros((2, 2), np.float32),
        white=1023,
        white_balance=None,
        daylight=None,
        camera_to_srgb=np.eye(3, dtype=np.float32),
        exposure=exposure,
        visible=Window(0, 0, 2, 2),
        orientation=6,
        camera=camera,
        bits=10,
    )
