"""Transfer curves: linear light <-> what is stored and seen.

float array, 0..1  ->  the same kind of array, under the curve or freed of it; a picture's own numbers  <->  its light
"""

from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from darkroom.frame import DType, Picture

Float = TypeVar("Float", np.float32, np.float64)

FULL = 65535
"""What 1 is in the 16 bits that a network's output is held in: as float32 a 61 MP picture would take 732 MB."""

_ALPHA, _BETA = 1.09929682680944, 0.018053968510807
"""BT.709's constants, to the digits at which its two parts meet (BT.2020); LibRaw computes the same."""


def srgb_to_linear(encoded: NDArray[Float]) -> NDArray[Float]:
    """Undo the sRGB transfer curve (IEC 61966-2-1).

    Any float array, 0..1 -> the same kind of array, linear; the linear foot goes on below 0.
    """
    return np.where(encoded <= 0.04045, encoded / 12.92, ((np.maximum(encoded, 0.04045) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: NDArray[Float]) -> NDArray[Float]:
    """Apply the sRGB transfer curve (IEC 61966-2-1).

    Any float array, linear, 0..1 -> the same kind of array, encoded; the linear foot goes on below 0.
    """
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


@cache
def decoding(bits: int) -> NDArray[np.float32]:
    """Linear light of each sRGB code of 8 or 16 bits: (256,) or (65536,), which all share and nobody may change."""
    full = 2**bits - 1
    table = srgb_to_linear(np.arange(full + 1) / full).astype(np.float32)
    table.flags.writeable = False
    return table


def light_of(picture: Picture) -> NDArray[np.float32]:
    """Give the linear light of a picture's numbers, sRGB codes or, where they are float, light itself: a new array."""
    if picture.dtype == np.float32:
        return picture.astype(np.float32)
    return decoding(8 * picture.dtype.itemsize).take(picture.astype(np.intp))


def codes_of(light: NDArray[np.float32], dtype: DType) -> Picture:
    """Give the numbers of a picture of such linear light: sRGB codes, cut and rounded, or, for float, light itself."""
    if dtype == np.float32:
        return light
    full = 2 ** (8 * np.dtype(dtype).itemsize) - 1
    encoded = linear_to_srgb(np.clip(light, 0, 1)) * np.float32(full) + np.float32(0.5)
    return encoded.astype(np.uint8) if dtype == np.uint8 else encoded.astype(np.uint16)


def bt709_to_linear(encoded: NDArray[Float]) -> NDArray[Float]:
    """Undo the BT.709 transfer curve: 0..1 -> linear."""
    steep = ((np.maximum(encoded, 4.5 * _BETA) + _ALPHA - 1) / _ALPHA) ** (1 / 0.45)
    return np.where(encoded < 4.5 * _BETA, encoded / 4.5, steep)


def linear_to_bt709(linear: NDArray[Float]) -> NDArray[Float]:
    """Apply the BT.709 transfer curve: linear, 0..1 -> encoded."""
    return np.where(linear < _BETA, 4.5 * linear, _ALPHA * np.maximum(linear, _BETA) ** 0.45 - (_ALPHA - 1))
