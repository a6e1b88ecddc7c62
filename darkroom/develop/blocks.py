"""Planes seen as blocks of pixels: what a look needs to know of a pixel's surroundings, cheaply.

(h, w) plane -> one number a block -> the same, averaged or fitted over a window -> interpolated at every pixel
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def by_blocks(planes: Array, side: int, reduce: Callable[..., Array]) -> Array:
    """Reduce every block of (C, h, w) planes to one number; blocks cut by the edge are filled up by repeating it."""
    channels, height, width = planes.shape
    if height % side or width % side:
        planes = np.pad(planes, ((0, 0), (0, -height % side), (0, -width % side)), "edge")
    rows = reduce(planes.reshape(channels, -1, side, planes.shape[2]), axis=2)
    return reduce(np.stack([rows[:, :, start::side] for start in range(side)]), axis=0)


def erode(plane: Array, reach: int) -> Array:
    """Take the least of the (2 reach + 1)^2 blocks around each."""
    height, width = plane.shape
    filled = np.pad(plane, reach, "edge")
    rows = np.minimum.reduce([filled[start : start + height] for start in range(2 * reach + 1)])
    return np.minimum.reduce([rows[:, start : start + width] for start in range(2 * reach + 1)])


def guided(guide: Array, plane: Array, *, reach: int, smooth: float) -> tuple[Array, Array]:
    """Fit plane = slope x guide + offset around every block (guided filter, He et al. 2010).

    reach: of the window, in blocks. smooth: the regulariser, in the guide's units squared. Returns slope and offset.
    """
    mean_guide, mean_plane = _box(guide, reach), _box(plane, reach)
    covariance = _box(guide * plane, reach) - mean_guide * mean_plane
    slope = covariance / (_box(guide * guide, reach) - mean_guide**2 + smooth)
    return _box(slope, reach), _box(mean_plane - slope * mean_guide, reach)


def between(values: Array, rows: NDArray[np.intp], width: int, side: int) -> Array:
    """Interpolate the values of blocks, which lie at their centres, at these rows and all columns."""
    above, below, share = _neighbours(rows, len(values), side)
    lines = values[above] * (1 - share)[:, None] + values[below] * share[:, None]
    left, right, share = _neighbours(np.arange(width), values.shape[1], side)
    found = lines.take(left, axis=1)
    found *= 1 - share
    found += lines.take(right, axis=1) * share
    return found


def _box(plane: Array, reach: int) -> Array:
    """Average over a window, cut at the plane's edge."""
    for axis in (0, 1):
        places = np.arange(plane.shape[axis])
        first, last = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(places))
        sums = np.insert(np.cumsum(plane, axis, np.float64), 0, 0, axis)
        means = (sums.take(last, axis) - sums.take(first, axis)) / np.expand_dims(last - first, 1 - axis)
        plane = means.astype(np.float32)
    return plane


def _neighbours(places: NDArray[np.intp], count: int, side: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
    """Find the two blocks whose centres enclose each place, and the share of the second."""
    where = np.clip((places - side // 2) / side, 0, count - 1)
    first = where.astype(np.intp)
    return first, np.minimum(first + 1, count - 1), (where - first).astype(np.float32)
