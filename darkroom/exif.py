"""A raw file's EXIF, made true for the picture developed from it.

raw file + Frame + ratio -> one EXIF block (bytes): little-endian TIFF header, IFD0, EXIF IFD, GPS IFD.

Only tags that still hold for the picture are carried over; maker notes, thumbnails and offsets stay behind. The file is
untrusted: three directories are read, a few kilobytes, and whatever does not parse is left out. What the file does not
tell comes from the frame.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import BinaryIO

import numpy as np

from darkroom.frame import Frame

_IMAGE_TAGS = frozenset({
    270, 271, 272,  # ImageDescription, Make, Model
    282, 283, 296,  # XResolution, YResolution, ResolutionUnit
    306, 315, 33432,  # DateTime, Artist, Copyright
    18246, 18249,  # Rating, RatingPercent, set in the camera
})  # fmt: skip
"""What is kept of IFD0. The rest describes the raw samples, or the camera's own development of them."""

_EXIF_TAGS = frozenset({
    33434, 33437, 34850,  # ExposureTime, FNumber, ExposureProgram
    34855, *range(34864, 34870),  # ISO: PhotographicSensitivity, SensitivityType and the five ways to state it
    36864, 36867, 36868, 36880, 36881, 36882,  # ExifVersion, DateTimeOriginal, DateTimeDigitized, OffsetTime*
    *range(37377, 37383),  # ShutterSpeed, Aperture, Brightness, ExposureBias, MaxAperture, SubjectDistance
    *range(37383, 37387),  # MeteringMode, LightSource, Flash, FocalLength
    37510, 37520, 37521, 37522,  # UserComment, SubSecTime*
    *range(37888, 37894),  # Temperature, Humidity, Pressure, WaterDepth, Acceleration, CameraElevationAngle
    41483, 41493, 41495, 41728, 41729,  # FlashEnergy, ExposureIndex, SensingMethod, FileSource, SceneType
    *range(41986, 41991),  # ExposureMode, WhiteBalance, DigitalZoomRatio, FocalLengthIn35mmFilm, SceneCaptureType
    41991, 41996, 42016,  # GainControl, SubjectDistanceRange, ImageUniqueID
    *range(42032, 42038),  # CameraOwnerName, BodySerialNumber, LensSpecification, LensMake, LensModel, LensSerialNumber
})  # fmt: skip
"""What is kept of the EXIF IFD (Exif 2.32, tables 7 and 8): how the photo was taken. Not MakerNote (37500), whose
offsets break when it moves, nor SubjectArea and the focal plane's resolution, which count unturned pixels."""

_GPS_TAGS = frozenset(range(32))

_EXIF_POINTER, _GPS_POINTER = 34665, 34853
_EXPOSURE_TIME, _F_NUMBER, _ISO = 33434, 33437, 34855
_MAKE, _MODEL, _USER_COMMENT = 271, 272, 37510

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _UNDEFINED, _SIGNED_RATIONAL = 1, 2, 3, 4, 5, 7, 10
_SIZE = {_BYTE: 1, _ASCII: 1, _SHORT: 2, _LONG: 4, _RATIONAL: 8, 6: 1, _UNDEFINED: 1}
_SIZE |= {8: 2, 9: 4, _SIGNED_RATIONAL: 8, 11: 4, 12: 8, 129: 1}
"""TIFF field type -> bytes of one value (TIFF 6.0 p. 15; 129 is UTF-8, Exif 3.0)."""

_MOST_ENTRIES = 1024
"""Entries read of one directory; a DNG's IFD0 has about 100."""
_LONGEST_TEXT, _LONGEST_VALUE = 2000, 256
"""Bytes of one value of IFD0, and of the other two. Were all so long, the block would still fit a JPEG segment."""

_TIFF_HEADS = frozenset({
    b"II*\0", b"MM\0*",
    b"IIRO", b"IIRS", b"MMOR",  # Olympus ORF
    b"IIU\0",  # Panasonic RW2
})  # fmt: skip
_RAF_JPEG_AT = 84
"""Byte of a Fuji RAF that holds the place of its JPEG, big-endian."""
_CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
"""The uuid of the box of a Canon CR3 that holds its EXIF: CMT1 is IFD0, CMT2 the EXIF IFD, CMT4 the GPS IFD."""
_MOST_BOXES = 64
"""Boxes, or JPEG segments, looked at on one level; real files have fewer than 20 before the one wanted."""


@dataclass(frozen=True)
class _Entry:
    """The value of one tag."""

    kind: int
    """TIFF field type."""
    value: bytes
    """Little-endian."""


_Directory = dict[int, _Entry]


def block(path: Path, frame: Frame, ratio: float, *, width: int, height: int, software: str) -> bytes:
    """Make the EXIF block of the picture developed from a raw file.

    width, height: pixels of the picture as it stands, upright. software: name and version. Never fails: a file whose
    EXIF cannot be read gives a block of the frame's facts. The block is little-endian and has no "Exif" before it.
    """
    image, exif, gps = {}, {}, {}
    with suppress(OSError), path.open("rb") as file:
        image, exif, gps = _read(file)
    # TIFF/EP files (early Nikon and Kodak, DNG video) hold the exposure in IFD0.
    exif = {tag: entry for tag, entry in image.items() if tag in _EXIF_TAGS} | exif
    image = {tag: entry for tag, entry in image.items() if tag in _IMAGE_TAGS}

    if _MAKE not in image and _MODEL not in image and frame.camera:
        image[_MODEL] = _text(frame.camera)
    image |= {274: _short(1), 305: _text(software)}  # Orientation, Software
    if not {282, 283, 296} <= image.keys():
        image |= {282: _rational(72), 283: _rational(72), 296: _short(2)}  # dots per inch, EXIF's default
    exif = _exposure(frame) | exif
    exif[_USER_COMMENT] = _comment(exif.get(_USER_COMMENT), f"darkroom x{ratio:.6g}")
    exif |= {40961: _short(1), 40962: _long(width), 40963: _long(height)}  # ColorSpace sRGB, PixelX/YDimension
    exif.setdefault(36864, _Entry(_UNDEFINED, b"0232"))  # ExifVersion
    if gps.keys() <= {0}:  # the version alone: the camera has no receiver
        gps = {}
    elif 0 not in gps:
        gps[0] = _Entry(_BYTE, b"\2\3\0\0")  # GPSVersionID, which phones leave out
    return _block(image, exif, gps)


def _exposure(frame: Frame) -> _Directory:
    """State the frame's exposure, as far as the frame knows it."""
    told: _Directory = {}
    if 1e-9 < frame.exposure.seconds < 1e5:
        told[_EXPOSURE_TIME] = _rational(frame.exposure.seconds)
    if 0.1 < frame.exposure.aperture < 1e3:
        told[_F_NUMBER] = _rational(frame.exposure.aperture)
    if isfinite(frame.exposure.iso) and frame.exposure.iso >= 1:
        told[_ISO] = _short(min(round(frame.exposure.iso), 65535))  # EXIF's way to say: this or more
    return told


def _comment(camera: _Entry | None, ours: str) -> _Entry:
    """Put the ratio in the user's comment, after what the photographer had the camera write there."""
    theirs = b""
    if camera and camera.value.startswith(b"ASCII\0\0\0"):
        theirs = camera.value[8:].strip(b"\0 ")
    return _Entry(_UNDEFINED, b"ASCII\0\0\0" + b"; ".join(part for part in (theirs, ours.encode("ascii")) if part))


# --- reading ---


def _read(file: BinaryIO) -> tuple[_Directory, _Directory, _Directory]:
    """Find the IFD0, EXIF and GPS entries of a raw file of any make; empty where it has none."""
    head = file.read(_RAF_JPEG_AT + 4)
    if head[4:8] == b"ftyp":
        return _canon(file)
    if not head.startswith(b"FUJIFILM"):
        return _tiff(file, 0)
    start = _jpeg_exif(file, int.from_bytes(head[_RAF_JPEG_AT:]))
    return ({}, {}, {}) if start is None else _tiff(file, start)


def _tiff(file: BinaryIO, start: int) -> tuple[_Directory, _Directory, _Directory]:
    """Read the three directories of a TIFF that begins at byte `start`."""
    order, at = _header(file, start)
    pointers = {_EXIF_POINTER, _GPS_POINTER}
    image = _directory(file, start, at, order, _IMAGE_TAGS | _EXIF_TAGS | pointers, longest=_LONGEST_TEXT)
    nested = []
    for pointer, wanted in ((_EXIF_POINTER, _EXIF_TAGS), (_GPS_POINTER, _GPS_TAGS)):
        at = int.from_bytes(image.pop(pointer).value[:4], "little") if pointer in image else 0
        nested.append(_directory(file, start, at, order, wanted, longest=_LONGEST_VALUE))
    return image, nested[0], nested[1]


def _header(file: BinaryIO, start: int) -> tuple[str, int]:
    """Read the header of the TIFF at `start`: its byte order for struct, and the place of IFD0, 0 if it is no TIFF."""
    file.seek(start)
    head = file.read(8)
    order = ">" if head.startswith(b"M") else "<"
    if head[:4] not in _TIFF_HEADS or len(head) < 8:
        return order, 0
    return order, struct.unpack(order + "I", head[4:])[0]


def _directory(file: BinaryIO, start: int, at: int, order: str, wanted: frozenset[int], *, longest: int) -> _Directory:
    """Read the wanted entries of the directory `at` bytes into the TIFF at `start`.

    What is cut off, blank or longer than `longest` bytes is left out.
    """
    file.seek(start + at)
    head = file.read(2)
    if not at or len(head) < 2:
        return {}
    listing = file.read(12 * min(struct.unpack(order + "H", head)[0], _MOST_ENTRIES))
    found: _Directory = {}
    for tag, kind, count, place in struct.iter_unpack(order + "HHI4s", listing[: len(listing) // 12 * 12]):
        size = _SIZE.get(kind, 0) * count
        if tag not in wanted or tag in found or not 0 < size <= longest:
            continue
        value = place[:size]
        if size > 4:
            file.seek(start + struct.unpack(order + "I", place)[0])
            value = file.read(size)
        if len(value) < size or not _tells(tag, kind, value):
            continue
        if kind == _ASCII:  # cameras pad it with blanks, or leave the end open
            value = value.rstrip(b"\0 ") + b"\0"
        found[tag] = _Entry(kind, _little_endian(value, kind) if order == ">" else value)
    return found


def _tells(tag: int, kind: int, value: bytes) -> bool:
    """Tell whether a value says anything: not a blank text, not an exposure of zero."""
    if tag in (_EXPOSURE_TIME, _F_NUMBER, _ISO):
        return any(value[:4])
    return kind != _ASCII or bool(value.strip(b"\0 "))


def _little_endian(value: bytes, kind: int) -> bytes:
    unit = 4 if kind in (_RATIONAL, _SIGNED_RATIONAL) else _SIZE[kind]  # a rational is two numbers of four bytes
    return np.frombuffer(value, f">u{unit}").astype(f"<u{unit}").tobytes()


def _jpeg_exif(file: BinaryIO, at: int) -> int | None:
    """Find where the TIFF inside the EXIF segment of the JPEG at byte `at` begins."""
    at += 2
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(10)
        if len(head) < 10 or head[0] != 0xFF or head[1] == 0xDA:  # 0xDA: the samples begin
            return None
        if head[1] == 0xE1 and head[4:] == b"Exif\0\0":
            return at + 10
        at += 2 + int.from_bytes(head[2:4])
    return None


def _canon(file: BinaryIO) -> tuple[_Directory, _Directory, _Directory]:
    """Gather the three directories of a Canon CR3, each a TIFF in a box of its own."""
    directories: dict[bytes, _Directory] = {b"CMT1": {}, b"CMT2": {}, b"CMT4": {}}
    wanted = {
        b"CMT1": (_IMAGE_TAGS, _LONGEST_TEXT),
        b"CMT2": (_EXIF_TAGS, _LONGEST_VALUE),
        b"CMT4": (_GPS_TAGS, _LONGEST_VALUE),
    }
    end = file.seek(0, 2)
    for moov in (box for box in _boxes(file, 0, end) if box[0] == b"moov"):
        for kind, start, stop in _boxes(file, moov[1], moov[2]):
            file.seek(start)
            if kind != b"uuid" or file.read(16) != _CANON:
                continue
            for name, at, _ in _boxes(file, start + 16, stop):
                if name in wanted:
                    tags, longest = wanted[name]
                    order, first = _header(file, at)
                    directories[name] = _directory(file, at, first, order, tags, longest=longest)
    return directories[b"CMT1"], directories[b"CMT2"], directories[b"CMT4"]


def _boxes(file: BinaryIO, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Walk the ISO-BMFF boxes between two bytes of the file: kind, first and last byte + 1 of what each holds."""
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        if at >= end or len(head) < 8:
            return
        size, inside = int.from_bytes(head[:4]), at + 8
        if size == 1:  # a length of 64 bits follows
            size, inside = int.from_bytes(head[8:]), at + 16
        if size < inside - at:
            return
        yield head[4:8], inside, min(at + size, end)
        at += size


# --- writing ---


def _text(text: str) -> _Entry:
    return _Entry(_ASCII, text.encode("ascii", "replace")[: _LONGEST_VALUE - 1] + b"\0")


def _short(number: int) -> _Entry:
    return _Entry(_SHORT, struct.pack("<H", number))


def _long(number: int) -> _Entry:
    return _Entry(_LONG, struct.pack("<I", number))


def _rational(number: float) -> _Entry:
    """Write a positive number as cameras do: 1/8000, 28/10; a float32 of 1/30 becomes 1/30 again."""
    fraction = Fraction(1, round(1 / number)) if number < 1e-3 else Fraction(number).limit_denominator(10_000)
    return _Entry(_RATIONAL, struct.pack("<II", fraction.numerator, fraction.denominator))


def _block(image: _Directory, exif: _Directory, gps: _Directory) -> bytes:
    """Lay the directories out one after the other behind a TIFF header."""
    pointers = {_EXIF_POINTER: exif} | ({_GPS_POINTER: gps} if gps else {})
    at = 8 + len(_laid_out(image | dict.fromkeys(pointers, _long(0)), 8))
    nested = b""
    for pointer, directory in pointers.items():
        image = image | {pointer: _long(at + len(nested))}
        nested += _laid_out(directory, at + len(nested))
    return struct.pack("<2sHI", b"II", 42, 8) + _laid_out(image, 8) + nested


def _laid_out(directory: _Directory, at: int) -> bytes:
    """Lay out one directory that begins `at` bytes into the block, its longer values behind it."""
    values_at = at + 2 + 12 * len(directory) + 4
    listing, values = struct.pack("<H", len(directory)), b""
    for tag, entry in sorted(directory.items()):
        place = entry.value.ljust(4, b"\0")
        if len(entry.value) > 4:
            place = struct.pack("<I", values_at + len(values))
            values += entry.value + b"\0" * (len(entry.value) % 2)
        listing += struct.pack("<HHI4s", tag, entry.kind, len(entry.value) // _SIZE[entry.kind], place)
    return listing + bytes(4) + values
