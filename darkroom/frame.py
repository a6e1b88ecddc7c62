"""What a raw exposure is, once decoded: plain numbers, no file, no library."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

CFA = Literal["bayer", "xtrans"]
CFAS: tuple[CFA, ...] = get_args(CFA)

Picture = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]
"""(H, W, 3) sRGB-encoded: 0..1 as 0..255, 0..65535 or 0..1."""

DType = np.dtype[np.uint8] | np.dtype[np.uint16] | np.dtype[np.float32]
"""Of a picture's samples."""

Onward = Literal["down", "up", "right", "left"]
"""Which way strips, each across all of a picture as it lies in the sensor, follow each other."""

Band = Picture
"""(h, W, 3), some rows of a picture."""


@dataclass(frozen=True, eq=False)
class Bands:
    """A picture in the making."""

    shape: tuple[int, int, int]
    """(H, W, 3), of the whole."""
    dtype: DType
    rows: Iterator[Band]
    """Its rows, a few or all at a time, from the top; they can be had once."""

    def whole(self) -> Picture:
        """Wait for all of it."""
        picture: Picture = np.empty((0, *self.shape[1:]), self.dtype)
        top = 0
        for band in self.rows:
            if len(band) == self.shape[0]:
                picture = band
                continue
            if not top:
                picture = np.empty(self.shape, self.dtype)
            picture[top : top + len(band)] = band
            top += len(band)
        return picture


BAYER = np.array([[0, 1], [1, 2]], np.uint8)
"""Colour of each site of the canonical Bayer cell: 0 red, 1 green, 2 blue."""

XTRANS = np.array(
    [
        [0, 2, 1, 2, 0, 1],
        [1, 1, 0, 1, 1, 2],
        [1, 1, 2, 1, 1, 0],
        [2, 0, 1, 0, 2, 1],
        [1, 1, 2, 1, 1, 0],
        [1, 1, 0, 1, 1, 2],
    ],
    np.uint8,
)
"""Colour of each site of the canonical X-Trans cell, the phase SID packs (train_Fuji.py)."""

CELL: dict[str, NDArray[np.uint8]] = {"bayer": BAYER, "xtrans": XTRANS}

SRGB_TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
"""Linear sRGB -> CIE XYZ (D65), the figures dcraw and LibRaw use."""


@dataclass(frozen=True)
class Exposure:
    """How the light was gathered, as the file tells it; 0 where it does not."""

    seconds: float
    iso: float
    aperture: float
    """f-number"""


@dataclass(frozen=True)
class Window:
    """A rectangle of photosites."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Sources:
    """Where what a frame says of its sensor was found, in words."""

    black: str = ""
    white: str = ""
    white_balance: str = ""
    colours: str = ""


@dataclass(frozen=True, eq=False)
class Frame:
    """A raw exposure as the sensor recorded it, at the canonical CFA phase."""

    mosaic: NDArray[np.uint16]
    """(H, W) DN, one sample per photosite; site (0, 0) is site (0, 0) of the canonical cell."""
    cfa: CFA
    black: NDArray[np.float32]
    """(2, 2) or (6, 6) DN, the black level of each site of the cell."""
    white: float
    """DN at which a photosite saturates."""
    white_balance: NDArray[np.float32] | None
    """(3,) gains the camera chose (else daylight's), green = 1; None where the file gives neither."""
    daylight: NDArray[np.float32] | None
    """(3,) gains for daylight, green = 1; None where the colour matrix is unknown."""
    camera_to_srgb: NDArray[np.float32]
    """(3, 3), white-balanced camera RGB -> linear sRGB; each row sums to 1."""
    exposure: Exposure
    visible: Window
    """The part of the mosaic that is picture; the rest was mirrored outward to reach the phase, or is not to show."""
    orientation: int
    """EXIF orientation, 1 to 8, still to be applied to the picture."""
    camera: str
    """Make and model."""
    bits: int
    """Significant bits of a sample."""
    defects: NDArray[np.intp] = field(default_factory=lambda: np.empty((0, 2), np.intp))
    """(n, 2) rows and columns of sites that the file itself calls bad."""
    pixel_aspect: float = 1.0
    """Width of a photosite over its height."""
    notes: tuple[str, ...] = ()
    """What the reader had to assume, one line each, worth telling the user."""
    sources: Sources = Sources()
