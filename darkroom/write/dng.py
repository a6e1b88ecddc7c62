"""Mosaic -> DNG file, uncompressed: what the demo, the simulated bench and the tests develop.

(H, W) uint16 DN -> one file that `raw.read` (and any DNG reader) opens with the same levels, gains and matrix.

The samples come last, so that a file cut short keeps its header, as a card pulled too early leaves it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkroom import tiff
from darkroom.frame import CELL, CFA, SRGB_TO_XYZ, Exposure, Window
from darkroom.tiff import ASCII, BYTE, LONG, RATIONAL, SHORT, SIGNED_RATIONAL, UNDEFINED, Field, Fields, field


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
    main: dict[int, Field | Fields] = {
        254: field(LONG, 0),  # NewSubfileType: the photo itself
        256: field(LONG, width),
        257: field(LONG, height),
        258: field(SHORT, 16),
        259: field(SHORT, 1),  # Compression: none
        262: field(SHORT, 32803),  # PhotometricInterpretation: colour filter array
        271: field(ASCII, make),
        272: field(ASCII, model),
        274: field(SHORT, orientation),
        277: field(SHORT, 1),
        278: field(LONG, height),
        279: field(LONG, 2 * height * width),
        33421: field(SHORT, cell.shape),  # CFARepeatPatternDim
        33422: field(BYTE, cell),  # CFAPattern
        50706: field(BYTE, (1, 4, 0, 0)),  # DNGVersion
        50707: field(BYTE, (1, 1, 0, 0)),  # DNGBackwardVersion
        50708: field(ASCII, f"{make} {model}"),  # UniqueCameraModel
        50710: field(BYTE, (0, 1, 2)),  # CFAPlaneColor
        50711: field(SHORT, 1),  # CFALayout: rectangular
        50713: field(SHORT, levels.shape or (1, 1)),  # BlackLevelRepeatDim
        50714: field(RATIONAL, levels),  # BlackLevel
        50717: field(LONG, white),  # WhiteLevel
        50778: field(SHORT, 21),  # CalibrationIlluminant1: D65
        # ActiveArea
        50829: field(LONG, (window.top, window.left, window.top + window.height, window.left + window.width)),
    }
    if white_balance is not None:
        main[50728] = field(RATIONAL, 1 / np.asarray(white_balance))  # AsShotNeutral
    if camera_to_srgb is not None:
        srgb_to_camera = np.linalg.inv(np.asarray(camera_to_srgb, np.float64)) / np.asarray(daylight)[:, None]
        main[50721] = field(SIGNED_RATIONAL, srgb_to_camera @ np.linalg.inv(SRGB_TO_XYZ))  # ColorMatrix1
    if circumstances.taken:
        main[306] = field(ASCII, circumstances.taken)
    main[34665] = _exif(exposure, circumstances)
    if circumstances.place is not None:
        main[34853] = _gps(circumstances.place)
    samples = len(tiff.block(main | {273: field(LONG, 0)}))
    with path.open("wb") as file:
        file.write(tiff.block(main | {273: field(LONG, samples)}))
        file.write(np.ascontiguousarray(mosaic, "<u2").data)


def _exif(exposure: Exposure, circumstances: Circumstances) -> Fields:
    entries: Fields = {36864: Field(UNDEFINED, b"0231")}  # ExifVersion
    if exposure.seconds:
        entries[33434] = field(RATIONAL, exposure.seconds)
    if exposure.aperture:
        entries[33437] = field(RATIONAL, exposure.aperture)
    if exposure.iso:
        entries[34855] = field(SHORT, min(round(exposure.iso), 65535))
    if circumstances.taken:
        entries[36867] = field(ASCII, circumstances.taken)
    if circumstances.lens:
        entries[42036] = field(ASCII, circumstances.lens)
    return entries


def _gps(place: tuple[float, float]) -> Fields:
    latitude, longitude = place
    return {
        0: field(BYTE, (2, 3, 0, 0)),
        1: field(ASCII, "N" if latitude >= 0 else "S"),
        2: field(RATIONAL, (abs(latitude), 0, 0)),
        3: field(ASCII, "E" if longitude >= 0 else "W"),
        4: field(RATIONAL, (abs(longitude), 0, 0)),
    }
