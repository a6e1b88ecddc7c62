"""Mosaic -> DNG file, uncompressed: what the demo, the simulated bench and the tests develop.

(H, W) uint16 DN -> one file that `raw.read` (and any DNG reader) opens with the same levels, gains and matrix.

The TIFF layout is written out here rather than by an encoder, for it nests an EXIF and a GPS directory. The samples
come last, so that a file cut short keeps its header, as a card pulled too early leaves it.
"""

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .frame import CELL, CFA, Exposure, Window

SRGB_TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
"""Linear sRGB -> CIE XYZ (D65), the figures dcraw and LibRaw use."""

_FORMAT = {1: "B", 2: "s", 3: "H", 4: "I", 5: "I", 10: "i"}
"""TIFF field type -> struct code of one number; types 5 and 10 hold a numerator and a denominator."""
_BYTE, _TEXT, _SHORT, _LONG, _RATIONAL, _SIGNED = 1, 2, 3, 4, 5, 10
_LARGEST_DENOMINATOR = 1_000_000

_Entries = dict[int, tuple[int, ArrayLike]]


@dataclass(frozen=True)
class Circumstances:
    """Where, when and through what the photo was taken: EXIF that development must not lose."""

    taken: str = ""
    """`YYYY:MM:DD HH:MM:SS`"""
    lens: str = ""
    place: tuple[float, float] | None = None
    """Latitude and longitude, degrees, north and east positive."""


def write(
    path: Path,
    mosaic: NDArray[np.uint16],
    *,
    cfa: CFA = "bayer",
    phase: tuple[int, int] = (0, 0),
    black: ArrayLike = 512,
    white: int = 16383,
    white_balance: ArrayLike | None = (2.0, 1.0, 1.5),
    daylight: ArrayLike = (1.0, 1.0, 1.0),
    camera_to_srgb: ArrayLike | None = ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    exposure: Exposure = Exposure(seconds=1 / 30, iso=3200, aperture=2.8),
    visible: Window | None = None,
    orientation: int = 1,
    make: str = "Darkroom",
    model: str = "Demo",
    circumstances: Circumstances = Circumstances(),
) -> None:
    """Write a mosaic as an uncompressed DNG.

    phase: row and column, in the canonical cell, of the first visible site. black: DN, one number or one per site of
    the canonical cell, kept to a millionth. white_balance: (3,) gains, green = 1; None leaves the tag out. daylight,
    camera_to_srgb: as in `Frame`; a matrix of None leaves the colour tag out. visible: the picture inside the mosaic,
    the rest being masked; None is all of it.
    """
    height, width = mosaic.shape
    cell = np.roll(CELL[cfa], (-phase[0], -phase[1]), (0, 1))
    levels = np.asarray(black, np.float64)
    if levels.ndim:
        levels = np.roll(levels, (-phase[0], -phase[1]), (0, 1))
    window = visible or Window(0, 0, height, width)
    main: _Entries = {
        254: (_LONG, 0),  # NewSubfileType: the photo itself
        256: (_LONG, width),
        257: (_LONG, height),
        258: (_SHORT, 16),
        259: (_SHORT, 1),  # Compression: none
        262: (_SHORT, 32803),  # PhotometricInterpretation: colour filter array
        271: (_TEXT, make),
        272: (_TEXT, model),
        274: (_SHORT, orientation),
        277: (_SHORT, 1),
        278: (_LONG, height),
        279: (_LONG, 2 * height * width),
        33421: (_SHORT, cell.shape),  # CFARepeatPatternDim
        33422: (_BYTE, cell),  # CFAPattern
        50706: (_BYTE, (1, 4, 0, 0)),  # DNGVersion
        50707: (_BYTE, (1, 1, 0, 0)),  # DNGBackwardVersion
        50708: (_TEXT, f"{make} {model}"),  # UniqueCameraModel
        50710: (_BYTE, (0, 1, 2)),  # CFAPlaneColor
        50711: (_SHORT, 1),  # CFALayout: rectangular
        50713: (_SHORT, levels.shape or (1, 1)),  # BlackLevelRepeatDim
        50714: (_RATIONAL, levels),  # BlackLevel
        50717: (_LONG, white),  # WhiteLevel
        50778: (_SHORT, 21),  # CalibrationIlluminant1: D65
        50829: (_LONG, (window.top, window.left, window.top + window.height, window.left + window.width)),  # ActiveArea
    }
    if white_balance is not None:
        main[50728] = (_RATIONAL, 1 / np.asarray(white_balance))  # AsShotNeutral
    if camera_to_srgb is not None:
        srgb_to_camera = np.linalg.inv(camera_to_srgb) / np.asarray(daylight)[:, None]
        main[50721] = (_SIGNED, srgb_to_camera @ np.linalg.inv(SRGB_TO_XYZ))  # ColorMatrix1
    if circumstances.taken:
        main[306] = (_TEXT, circumstances.taken)

    exif = _directory(_exif(exposure, circumstances), start=8)
    main[34665] = (_LONG, 8)
    place = b""
    if circumstances.place is not None:
        place = _directory(_gps(circumstances.place), start=8 + len(exif))
        main[34853] = (_LONG, 8 + len(exif))
    start = 8 + len(exif) + len(place)
    main[273] = (_LONG, 0)
    samples = start + len(_directory(main, start=start))
    main[273] = (_LONG, samples)
    with path.open("wb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, start) + exif + place + _directory(main, start=start))
        file.write(np.ascontiguousarray(mosaic, "<u2"))


def _exif(exposure: Exposure, circumstances: Circumstances) -> _Entries:
    entries: _Entries = {36864: (_BYTE, tuple(b"0231"))}  # ExifVersion
    if exposure.seconds:
        entries[33434] = (_RATIONAL, exposure.seconds)
    if exposure.aperture:
        entries[33437] = (_RATIONAL, exposure.aperture)
    if exposure.iso:
        entries[34855] = (_SHORT, min(round(exposure.iso), 65535))
    if circumstances.taken:
        entries[36867] = (_TEXT, circumstances.taken)
    if circumstances.lens:
        entries[42036] = (_TEXT, circumstances.lens)
    return entries


def _gps(place: tuple[float, float]) -> _Entries:
    latitude, longitude = place
    return {
        0: (_BYTE, (2, 3, 0, 0)),
        1: (_TEXT, "N" if latitude >= 0 else "S"),
        2: (_RATIONAL, (abs(latitude), 0, 0)),
        3: (_TEXT, "E" if longitude >= 0 else "W"),
        4: (_RATIONAL, (abs(longitude), 0, 0)),
    }


def _directory(entries: _Entries, *, start: int) -> bytes:
    """Lay out one TIFF directory, whose first byte lies at `start` in the file, and its longer values behind it."""
    listed, values = struct.pack("<H", len(entries)), b""
    after = start + 2 + 12 * len(entries) + 4
    for tag, (kind, value) in sorted(entries.items()):
        count, data = _field(kind, value)
        if len(data) > 4:
            place = struct.pack("<I", after + len(values))
            values += data + b"\0" * (len(data) % 2)
        else:
            place = data.ljust(4, b"\0")
        listed += struct.pack("<HHI", tag, kind, count) + place
    return listed + struct.pack("<I", 0) + values


def _field(kind: int, value: ArrayLike) -> tuple[int, bytes]:
    """Turn a value into the count and the bytes of a TIFF field."""
    if kind == _TEXT:
        text = str(value).encode() + b"\0"
        return len(text), text
    numbers = np.ravel(value).tolist()
    count = len(numbers)
    if kind in (_RATIONAL, _SIGNED):
        fractions = [Fraction(number).limit_denominator(_LARGEST_DENOMINATOR) for number in numbers]
        numbers = [part for fraction in fractions for part in (fraction.numerator, fraction.denominator)]
    return count, struct.pack(f"<{len(numbers)}{_FORMAT[kind]}", *numbers)
