"""A picture made smaller: averaged over areas of linear light, so that lights keep their brightness.

(H, W, 3) under the sRGB curve, or linear where it is float -> (h, w, 3) of the same kind
"""

import math
from dataclasses import dataclass

import numpy as np

from darkroom.develop.curves import codes_of, light_of
from darkroom.frame import Picture

_BAND = 1 << 20
"""Pixels of the larger picture that are worked on at once."""
_REACH = 2
"""Rows beyond an area's own that a band is given, for its edge falls between rows."""


@dataclass(frozen=True)
class Size:
    """How large a picture is wanted; what both leave open is as large as it was."""

    long_edge: int | None = None
    """Pixels of the longer side."""
    megapixels: float | None = None
    """Millions of pixels in all."""

    def of(self, height: int, width: int) -> tuple[int, int]:
        """Give the sides of what a picture of these sides becomes, in its proportions and never larger.

        >>> Size(long_edge=2048).of(4000, 6000), Size(megapixels=6).of(4000, 6000), Size(long_edge=9000).of(4000, 6000)
        ((1365, 2048), (2000, 3000), (4000, 6000))
        """
        scale = 1.0
        if self.long_edge is not None:
            scale = min(scale, self.long_edge / max(height, width))
        if self.megapixels is not None:
            scale = min(scale, math.sqrt(self.megapixels * 1e6 / (height * width)))
        return max(1, round(height * scale)), max(1, round(width * scale))


def reduced(picture: Picture, size: Size) -> Picture:
    """Reduce a picture to the size wanted; what is as small already comes back as it is."""
    height, width, _ = picture.shape
    down, across = size.of(height, width)
    if (down, across) == (height, width):
        return picture
    small = np.empty((down, across, 3), picture.dtype)
    rows = max(1, _BAND * down // (height * width))
    for top in range(0, down, rows):
        bottom = min(top + rows, down)
        small[top:bottom] = _band(picture, top * height / down, bottom * height / down, (bottom - top, across))
    return small


def _band(picture: Picture, top: float, bottom: float, size: tuple[int, int]) -> Picture:
    """Reduce what lies between two rows, which need not be whole."""
    from PIL import Image

    first, last = max(0, math.floor(top) - _REACH), min(len(picture), math.ceil(bottom) + _REACH)
    light = light_of(picture[first:last])
    box = (0, top - first, picture.shape[1], bottom - first)
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(light[..., channel])).resize(size[::-1], Image.Resampling.BOX, box)
        )
        for channel in range(3)
    ]
    return codes_of(np.stack(planes, axis=-1), picture.dtype)
