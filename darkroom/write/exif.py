"""A raw file's EXIF, made true for the picture developed from it.

raw file + Frame + ratio -> one EXIF block (bytes): little-endian TIFF header, IFD0, EXIF IFD, GPS IFD.

Only tags that still hold for the picture are carried over; maker notes, thumbnails and offsets stay behind. The file is
untrusted: three directories are read, a few kilobytes, and whatever does not parse is left out. What the file does not
tell comes from the frame.

By hand, as raw files need the reading and DNGs the laying out anyway (tiff.py): a block takes 0.3 ms. Pillow's `Exif`
would give back the real files' blocks changed: the user's comment as BYTE, which no reader looks for, signed values
unsigned, fractions reduced; piexif has had no release since 2019.
"""

import struct
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import BinaryIO

from darkroom import tiff
from darkroom.frame import Frame
from darkroom.tiff import ASCII, BYTE, LONG, RATIONAL, SHORT, UNDEFINED, Field, Fields, field

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

_GPS_TAGS = range(32)

_EXIF_POINTER, _GPS_POINTER = 34665, 34853
_EXPOSURE_TIME, _F_NUMBER, _ISO = 33434, 33437, 34855
_TAKEN, _CHANGED = 36867, 306
_MAKE, _MODEL, _USER_COMMENT = 271, 272, 37510

_LONGEST_TEXT, _LONGEST_VALUE = 2000, 256
"""Bytes of one value of IFD0, and of the other two. Were all so long, the block would still fit a JPEG segment."""

_RAF_JPEG_AT = 84
"""Byte of a Fuji RAF that holds the place of its JPEG, big-endian."""
_CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
"""The uuid of the box of a Canon CR3 that holds its EXIF: CMT1 is IFD0, CMT2 the EXIF IFD, CMT4 the GPS IFD."""
_MOST_BOXES = 64
"""Boxes, or JPEG segments, looked at on one level; real files have fewer than 20 before the one wanted."""


def block(
    path: Path, frame: Frame, ratio: float, *, width: int, height: int, software: str, srgb: bool = True
) -> bytes:
    """Make the EXIF block of the picture developed from a raw file.

    width, height: pixels of the picture as it stands, upright. software: name and version. srgb: whether it is in that
    space. Never fails: a file whose EXIF cannot be read gives a block of the frame's facts. The block is little-endian
    and has no "Exif" before it.
    """
    return tiff.block(directories(path, frame, ratio, width=width, height=height, software=software, srgb=srgb))


def taken(path: Path) -> datetime | None:
    """Read when a photo was taken; None where its file does not say so."""
    with suppress(OSError, ValueError), path.open("rb") as file:
        image, exif, _ = _read(file)
        told = exif.get(_TAKEN) or image.get(_TAKEN) or image.get(_CHANGED)
        return datetime.strptime(told.value.rstrip(b"\0 ").decode("ascii"), "%Y:%m:%d %H:%M:%S") if told else None
    return None


@dataclass(frozen=True)
class Shot:
    """When a photo was taken, and by what: frames of one burst agree in `alike`."""

    taken: datetime
    seconds: float
    """Exposure time, 0 where it is not told."""
    alike: tuple[bytes, ...]
    """Make, model, and exposure, as they stand in the file."""


def shot(path: Path) -> Shot | None:
    """Read when and how a photo was taken, without decoding it; None where its file does not say when."""
    when = taken(path)
    if when is None:
        return None
    with path.open("rb") as file:
        image, exif, _ = _read(file)
    told = image | exif  # TIFF/EP files hold the exposure in IFD0
    tags = (_MAKE, _MODEL, _EXPOSURE_TIME, _F_NUMBER, _ISO)
    alike = tuple(told[tag].value if tag in told else b"" for tag in tags)
    return Shot(when, (tiff.numbers(told, _EXPOSURE_TIME) or [0.0])[0], alike)


def directories(
    path: Path, frame: Frame, ratio: float, *, width: int, height: int, software: str, srgb: bool = True
) -> dict[int, Field | Fields]:
    """Gather what `block` lays out: the fields of IFD0, and nested in it the EXIF and GPS directories."""
    image: Fields = {}
    exif: Fields = {}
    gps: Fields = {}
    with suppress(OSError), path.open("rb") as file:
        image, exif, gps = _read(file)
    # TIFF/EP files (early Nikon and Kodak, DNG video) hold the exposure in IFD0.
    exif = _kept(image, _EXIF_TAGS, _LONGEST_TEXT) | _kept(exif, _EXIF_TAGS, _LONGEST_VALUE)
    image, gps = _kept(image, _IMAGE_TAGS, _LONGEST_TEXT), _kept(gps, _GPS_TAGS, _LONGEST_VALUE)

    if _MAKE not in image and _MODEL not in image and frame.camera:
        image[_MODEL] = _text(frame.camera)
    image |= {
        274: field(SHORT, 1),
        305: _text(software),
        531: field(SHORT, 1),
    }  # Orientation, Software, YCbCrPositioning
    if not {282, 283, 296} <= image.keys():
        image |= {282: _rational(72), 283: _rational(72), 296: field(SHORT, 2)}  # dots per inch, EXIF's default
    exif = _exposure(frame) | exif
    exif[_USER_COMMENT] = _comment(exif.get(_USER_COMMENT), f"darkroom x{ratio:.6g}")
    exif |= {40961: field(SHORT, 1 if srgb else 65535)}  # ColorSpace: sRGB, or another
    exif |= {40962: field(LONG, width), 40963: field(LONG, height)}  # PixelX/YDimension
    exif.setdefault(36864, Field(UNDEFINED, b"0232"))  # ExifVersion
    exif[40960] = Field(UNDEFINED, b"0100")  # FlashpixVersion, which Exif wants of every file
    exif[37121] = Field(UNDEFINED, b"\1\2\3\0")  # ComponentsConfiguration: Y, Cb, Cr
    if gps.keys() <= {0}:  # the version alone: the camera has no receiver
        gps = {}
    elif 0 not in gps:
        gps[0] = Field(BYTE, b"\2\3\0\0")  # GPSVersionID, which phones leave out
    nested: dict[int, Field | Fields] = {_EXIF_POINTER: exif}
    if gps:
        nested[_GPS_POINTER] = gps
    return {**image, **nested}


def _exposure(frame: Frame) -> Fields:
    """State the frame's exposure, as far as the frame knows it."""
    told: Fields = {}
    if 1e-9 < frame.exposure.seconds < 1e5:
        told[_EXPOSURE_TIME] = _rational(frame.exposure.seconds)
    if 0.1 < frame.exposure.aperture < 1e3:
        told[_F_NUMBER] = _rational(frame.exposure.aperture)
    if isfinite(frame.exposure.iso) and frame.exposure.iso >= 1:
        told[_ISO] = field(SHORT, min(round(frame.exposure.iso), 65535))  # EXIF's way to say: this or more
    return told


def _text(text: str) -> Field:
    return Field(ASCII, text.encode("ascii", "replace")[: _LONGEST_VALUE - 1] + b"\0")


def _rational(number: float) -> Field:
    """Write a positive number as cameras do: 1/8000, 28/10; a float32 of 1/30 becomes 1/30 again."""
    fraction = Fraction(1, round(1 / number)) if number < 1e-3 else Fraction(number).limit_denominator(10_000)
    return Field(RATIONAL, struct.pack("<II", *fraction.as_integer_ratio()))


def _comment(camera: Field | None, ours: str) -> Field:
    """Put the ratio in the user's comment, after what the photographer had the camera write there."""
    theirs = b""
    if camera and camera.value.startswith(b"ASCII\0\0\0"):
        theirs = camera.value[8:].strip(b"\0 ")
    return Field(UNDEFINED, b"ASCII\0\0\0" + b"; ".join(part for part in (theirs, ours.encode("ascii")) if part))


# --- reading ---


def _read(file: BinaryIO) -> tuple[Fields, Fields, Fields]:
    """Find the IFD0, EXIF and GPS entries of a raw file of any make; empty where it has none."""
    head = file.read(_RAF_JPEG_AT + 4)
    if head[4:8] == b"ftyp":
        return _canon(file)
    if not head.startswith(b"FUJIFILM"):
        return _tiff(file, 0)
    start = _jpeg_exif(file, int.from_bytes(head[_RAF_JPEG_AT:]))
    return ({}, {}, {}) if start is None else _tiff(file, start)


def _tiff(file: BinaryIO, start: int) -> tuple[Fields, Fields, Fields]:
    """Read the three directories of a TIFF that begins at byte `start`."""
    order, at = tiff.header(file, start)
    image, _ = tiff.read(file, start, at, order)
    exif, _ = tiff.read(file, start, tiff.first(image, _EXIF_POINTER), order)
    gps, _ = tiff.read(file, start, tiff.first(image, _GPS_POINTER), order)
    return image, exif, gps


def _kept(fields: Fields, wanted: Container[int], longest: int) -> Fields:
    """Keep the wanted fields that say something, in at most `longest` bytes."""
    kept = {}
    for tag, told in fields.items():
        if tag not in wanted or len(told.value) > longest or not _tells(tag, told):
            continue
        # Cameras pad a text with blanks, or leave its end open.
        kept[tag] = Field(ASCII, told.value.rstrip(b"\0 ") + b"\0") if told.kind == ASCII else told
    return kept


def _tells(tag: int, told: Field) -> bool:
    """Tell whether a value says anything: not a blank text, not an exposure of zero."""
    if tag in (_EXPOSURE_TIME, _F_NUMBER, _ISO):
        return any(told.value[:4])
    return told.kind != ASCII or bool(told.value.strip(b"\0 "))


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


def _canon(file: BinaryIO) -> tuple[Fields, Fields, Fields]:
    """Gather the three directories of a Canon CR3, each a TIFF in a box of its own."""
    found: dict[bytes, Fields] = {b"CMT1": {}, b"CMT2": {}, b"CMT4": {}}
    end = file.seek(0, 2)
    for moov in (box for box in _boxes(file, 0, end) if box[0] == b"moov"):
        for kind, start, stop in _boxes(file, moov[1], moov[2]):
            file.seek(start)
            if kind != b"uuid" or file.read(16) != _CANON:
                continue
            for name, at, _ in _boxes(file, start + 16, stop):
                if name in found:
                    order, first = tiff.header(file, at)
                    found[name], _ = tiff.read(file, at, first, order)
    return found[b"CMT1"], found[b"CMT2"], found[b"CMT4"]


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
