"""The network's picture -> what a linear DNG holds: light as the sensor would have recorded it, and a small picture.

(3, H, W) uint16 white-balanced camera RGB under the sRGB curve -> (h, w, 3) uint16, linear, not white-balanced
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from darkroom.develop.curves import FULL, srgb_to_linear
from darkroom.frame import Window

PREVIEW = 1024
"""Most pixels along one side of the picture that a DNG shows before it is developed."""
_BAND = 256
"""Rows done at a time."""


def undone(rgb: NDArray[np.uint16], *, neutral: NDArray[np.float32], window: Window) -> NDArray[np.uint16]:
    """Undo the sRGB curve and the white balance, in place: a 61 MP picture takes 366 MB.

    `neutral` (3,) is the camera RGB of the brightest grey that `rgb` can say; what is beyond 1 is cut. Gives a view
    (h, w, 3) of the window, not turned.
    """
    light = srgb_to_linear(np.arange(FULL + 1) / FULL)
    tables = np.rint(np.minimum(light * neutral.astype(np.float64)[:, None], 1) * FULL).astype(np.uint16)
    seen = _seen(rgb, window)

    def straighten(channel: int) -> None:
        plane, table = seen[channel], tables[channel]
        for top in range(0, len(plane), _BAND):
            plane[top : top + _BAND] = table.take(plane[top : top + _BAND], mode="clip")

    with ThreadPoolExecutor(len(seen)) as pool:
        list(pool.map(straighten, range(len(seen))))
    return seen.transpose(1, 2, 0)


def reduced(rgb: NDArray[np.uint16], window: Window) -> NDArray[np.uint16]:
    """Average blocks of pixels, so that at most PREVIEW are left along a side: (3, h, w), still under the curve."""
    step = -(-max(window.height, window.width) // PREVIEW)
    rows, columns = min(step, window.height), min(step, window.width)
    height, width = window.height // rows, window.width // columns
    seen = _seen(rgb, window)[:, : height * rows, : width * columns]
    return seen.reshape(3, height, rows, width, columns).mean((2, 4), dtype=np.float32).astype(np.uint16)


def _seen(rgb: NDArray[np.uint16], window: Window) -> NDArray[np.uint16]:
    return rgb[:, window.top : window.top + window.height, window.left : window.left + window.width]
