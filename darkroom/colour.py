"""Colour spaces that a picture may be in, all under the sRGB curve: their primaries, and the way there from sRGB."""

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Space = Literal["srgb", "display-p3", "rec2020", "prophoto"]

WIDE: frozenset[str] = frozenset({"rec2020", "prophoto"})
"""Spaces so wide that 8 bits show steps."""

D50 = np.array([0.96422, 1.0, 0.82521])
"""XYZ of the white of ICC profiles and of DNG's ForwardMatrix."""
D65_TO_D50 = np.array([[1.0478112, 0.0228866, -0.0501270], [0.0295424, 0.9904844, -0.0170491],
                       [-0.0092345, 0.0150436, 0.7521316]])  # fmt: skip
"""Bradford's matrix for the adaptation (Lindbloom)."""

_D65_XY, _D50_XY = (0.3127, 0.3290), (0.3457, 0.3585)
_PRIMARIES: dict[Space, tuple[tuple[float, float], ...]] = {
    "srgb": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65_XY),
    "display-p3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65_XY),
    "rec2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65_XY),
    "prophoto": ((0.734699, 0.265301), (0.159597, 0.840403), (0.036598, 0.000105), _D50_XY),
}
"""CIE xy of red, green, blue and white (IEC 61966-2-1, SMPTE EG 432-1, BT.2020, ISO 22028-2)."""


@cache
def to_d50(space: Space) -> NDArray[np.float64]:
    """Give (3, 3), linear RGB of the space -> XYZ under D50; white becomes D50 exactly."""
    *primaries, white = _PRIMARIES[space]
    columns = np.array([_xyz(xy) for xy in primaries]).T
    matrix = columns * np.linalg.solve(columns, _xyz(white))
    if white == _D65_XY:
        matrix = D65_TO_D50 @ matrix
    return matrix * (D50 / matrix.sum(1))[:, None]


@cache
def from_srgb(space: Space) -> NDArray[np.float32]:
    """Give (3, 3), linear sRGB -> linear RGB of the space; grey stays grey.

    >>> from_srgb("display-p3").round(3).tolist()[0] == np.float32([0.822, 0.178, 0]).tolist()
    True
    """
    if space == "srgb":
        return np.eye(3, dtype=np.float32)
    return np.linalg.solve(to_d50(space), to_d50("srgb")).astype(np.float32)


def _xyz(xy: tuple[float, float]) -> NDArray[np.float64]:
    x, y = xy
    return np.array([x / y, 1, (1 - x - y) / y])
