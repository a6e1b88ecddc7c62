"""The sensor's shape -> the scene's: pictures of photosites that are not square, stretched.

(H, W, 3) -> (H', W', 3) of the same kind, one side of it as before: nothing is thrown away, as LibRaw has it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np
from numpy.typing import NDArray

from darkroom.frame import Picture

_BAND = 1 << 16
"""Samples computed at a time."""
_WORKERS = 4


def stretched(picture: Picture, pixel_aspect: float, orientation: int) -> Picture:
    """Resample the side along which photosites are the longer, by cubic convolution (Keys 1981, a = -1/2), in bands.

    pixel_aspect: width of a photosite over its height. orientation: EXIF's, 1 to 8, as already applied to the picture.
    Square photosites give the picture itself.
    """
    if pixel_aspect == 1:
        return picture
    height, width, _ = picture.shape
    shape = (*sides(height, width, pixel_aspect, orientation), 3)
    across = shape[1] != width
    taps, weights = _taps(width if across else height, shape[int(across)])
    made = cast(Picture, np.empty(shape, picture.dtype))
    rows = max(1, _BAND // (shape[1] * 3))

    def fill(top: int) -> None:
        band = slice(top, top + rows)
        if across:
            lines = [picture[band].take(tap, axis=1) for tap in taps]
            made[band] = _mixed(lines, weights[:, None, :, None], made.dtype)
        else:
            lines = [picture.take(tap[band], axis=0) for tap in taps]
            made[band] = _mixed(lines, weights[:, band, None, None], made.dtype)

    with ThreadPoolExecutor(_WORKERS) as pool:
        list(pool.map(fill, range(0, shape[0], rows)))
    return made


def sides(height: int, width: int, pixel_aspect: float, orientation: int) -> tuple[int, int]:
    """Give the sides of what `stretched` makes of a picture of these sides.

    >>> sides(100, 200, 1.5, 1), sides(100, 200, 1.5, 6), sides(100, 200, 1.0, 1)
    ((100, 300), (150, 200), (100, 200))
    """
    longer = max(pixel_aspect, 1 / pixel_aspect)
    if (pixel_aspect > 1) != (orientation >= 5):
        return height, max(width, round(width * longer))
    return max(height, round(height * longer)), width


def _taps(length: int, wanted: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Name the four samples that each new one lies between, (4, wanted), and their weights, which sum to 1."""
    place = (np.arange(wanted) + 0.5) * (length / wanted) - 0.5
    four = np.floor(place).astype(np.intp) - 1 + np.arange(4)[:, None]
    far = abs(place - four)
    near = 1.5 * far**3 - 2.5 * far**2 + 1
    weights = np.where(far <= 1, near, -0.5 * far**3 + 2.5 * far**2 - 4 * far + 2)
    return np.clip(four, 0, length - 1), weights.astype(np.float32)


def _mixed(lines: Sequence[Picture], weights: NDArray[np.float32], dtype: np.dtype[np.number]) -> NDArray[np.float32]:
    """Add up the samples by their weights; whole numbers are rounded and kept within what they hold."""
    mixed = np.multiply(lines[0], weights[0], dtype=np.float32)
    for line, weight in zip(lines[1:], weights[1:], strict=True):
        mixed += np.multiply(line, weight, dtype=np.float32)
    if dtype.kind == "u":
        mixed += np.float32(0.5)
        np.clip(mixed, 0, 256**dtype.itemsize - 1, out=mixed)
    return mixed
