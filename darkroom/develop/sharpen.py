"""Capture sharpening that knows the noise which was just removed: detail above it is strengthened, the rest is left.

(H, W, 3) under the sRGB curve, or linear where it is float -> the same, each pixel times one number in linear light, so
that hues stay

Detail is what a picture's brightness has above its own blur (an unsharp mask). Of the noise that the frame had, some is
left as grain or as detail that the network made of it, and that share of it is the measure: detail d counts by
d^2 / (d^2 + noise^2), as in Wiener's filter.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from darkroom.develop.curves import codes_of, light_of
from darkroom.develop.tone import LUMA
from darkroom.frame import Picture

Array = NDArray[np.float32]

STRENGTH = 1.5
"""Times its detail that a pixel gains at strength 1."""
LEFT = 0.35
"""Share of the noise's sd that counts as still there: networks take away nine tenths of the variance."""
TAPS = np.array([0.05, 0.25, 0.4, 0.25, 0.05], np.float32)
"""The blur along one axis: a Gaussian of about 0.9 pixels, what demosaicing and lenses cost."""
BEND = 2.0
"""Most that a pixel is brightened or darkened by, as a factor: lamps get no black rims."""
_DARK = 1e-6
_ROWS = 256
_WORKERS = min(4, os.cpu_count() or 1)


def sharpened(picture: Picture, strength: float, noise: Callable[[Array], Array], *, bits: int) -> Picture:
    """Sharpen a picture; `noise` tells the sd of the noise that the frame had at some light, in the picture's light.

    strength: 0 to 1. bits: of a sample of what comes back.
    """
    out = np.empty(picture.shape, {8: np.uint8, 16: np.uint16, 32: np.float32}[bits])
    reach = len(TAPS) // 2

    def work(top: int) -> None:
        bottom = min(top + _ROWS, len(picture))
        first, last = max(0, top - reach), min(len(picture), bottom + reach)
        light = light_of(picture[first:last])
        luma = light @ LUMA
        detail = luma - _blurred(np.pad(luma, ((reach, reach), (0, 0)), "edge"))
        square = detail * detail
        heard = noise(luma) * np.float32(LEFT)
        detail *= square / (square + heard * heard + np.float32(_DARK * _DARK))
        factor = 1 + np.float32(STRENGTH * strength) * detail / np.maximum(luma, _DARK)
        light *= np.clip(factor, 1 / BEND, BEND)[..., None]
        out[top:bottom] = codes_of(light[top - first : bottom - first], out.dtype)

    with ThreadPoolExecutor(_WORKERS) as pool:
        list(pool.map(work, range(0, len(picture), _ROWS)))
    return out


def _blurred(plane: Array) -> Array:
    """Blur along both axes; of the rows, only those with all their neighbours come back."""
    reach = len(TAPS) // 2
    rows = len(plane) - 2 * reach
    down = sum(tap * plane[at : at + rows] for at, tap in enumerate(TAPS))
    wide = np.pad(down, ((0, 0), (reach, reach)), "edge")
    blurred: Array = sum(tap * wide[:, at : at + plane.shape[1]] for at, tap in enumerate(TAPS))
    return blurred
