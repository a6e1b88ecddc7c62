"""Many frames of one scene -> one Frame with less noise, hand-held or not, and what moved is not there twice.

    Frame, and others one by one  ->  Frame in finer steps

How far the camera moved between two frames is seen on developed pictures, which are clean enough; from coarse to fine,
tile by tile. What is merged are the mosaics, each part of a frame moved by whole cells of the filter. How much a part
counts depends on how well it agrees with the first frame, given the noise that the frame itself shows (Hasinoff et
al., "Burst photography for high dynamic range and low-light imaging", 2016; there in frequencies, here in sites).
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from darkroom.develop.grain import Noise
from darkroom.errors import SettingsError
from darkroom.frame import Frame

Array = NDArray[np.float32]
Shifts = NDArray[np.intp]
"""(rows, columns, 2): down and across, cells."""

LEVELS = 4
"""Pictures that are looked at, each half as large as the one before; the first has a pixel a cell."""
TILE = 32
"""Pixels a side of a tile on each."""
FAR, NEAR = 6, 2
"""Pixels that are searched either way: on the smallest picture for all of it, then for each tile."""
BETTER = 0.97
"""Of a tile's difference at its neighbourhood's shift: only one with less is followed, for noise has a least, too."""
BOX = 8
"""Cells a side, of Bayer, over which two frames are compared: noise averages out, what moved does not."""
ALIKE, UNLIKE = 3.0, 2.0
"""Times what noise makes of the squared difference: up to the one a part counts in full; the other more, and half."""
SMALL, EDGE = 4, 2.0
"""Cells a side over which developed pictures are compared, and times their usual difference that is still none."""
FINER = 16
"""Steps to a DN in what is merged, as far as 16 bits hold them."""


def merged(first: Frame, others: Iterable[Frame], noise: Noise, see: Callable[[Frame], Array]) -> tuple[Frame, float]:
    """Merge frames of one camera and exposure into the first; also tell how many count, in the mean over the picture.

    `see` develops a frame: (h, w) brightness, a pixel a cell. Memory does not grow with the number of frames. Raises
    SettingsError for a frame that is not like the first. Cells of X-Trans are three times as wide as Bayer's: what they
    do not meet counts less, so that a hand-held burst of it gains nothing, one from a tripod as much as Bayer's.
    """
    side = len(first.black)
    spots = list(np.ndindex(side, side))
    box = max(2, BOX * 2 // side)
    guide = _pyramid(see(first))
    planes = [_cells(first.mosaic, spot, side) for spot in spots]
    totals = [plane.astype(np.float32) for plane in planes]
    counts = np.ones(planes[0].shape, np.float32)
    doubts = [_doubt(plane, float(first.black[spot]), noise, box) for spot, plane in zip(spots, planes, strict=True)]
    for frame in others:
        refuse_other(frame, first)
        seen = _pyramid(see(frame))
        shifts = _aligned(guide, seen)
        rows, columns, inside = _sources(shifts, counts.shape)
        moved = [_cells(frame.mosaic, spot, side)[rows, columns] for spot in spots]
        unlike = np.zeros_like(counts)
        for own, other, doubt in zip(planes, moved, doubts, strict=True):
            difference = _box(other.astype(np.float32) - own, box)
            unlike += np.square(difference) / doubt
        unlike /= len(planes)
        weight = inside / (1 + np.square(np.maximum(unlike - ALIKE, 0) / UNLIKE))
        if shifts.any():  # from a tripod no edge is missed
            weight *= _sharp(guide[0], seen[0], rows, columns)
        counts += weight
        for total, other in zip(totals, moved, strict=True):
            total += weight * other
    finer = max(1, min(FINER, int(65535 // first.white)))
    mosaic = first.mosaic * np.uint16(finer)  # what lies beyond the last whole cell stays the first frame's
    for spot, total, own in zip(spots, totals, planes, strict=True):
        total /= counts
        total[own >= first.white] = first.white
        total *= np.float32(finer)
        _cells(mosaic, spot, side)[:] = np.rint(total, out=total)
    one = replace(first, mosaic=mosaic, black=first.black * np.float32(finer), white=first.white * finer)
    return one, float(counts.mean())


def _cells(mosaic: NDArray[np.uint16], spot: tuple[int, int], side: int) -> NDArray[np.uint16]:
    """One kind of site, a view."""
    height, width = (length // side * side for length in mosaic.shape)
    return mosaic[spot[0] : height : side, spot[1] : width : side]


def refuse_other(frame: Frame, first: Frame) -> None:
    """Raise SettingsError, with what was found, for a frame that cannot be of the first one's burst."""
    for what, own, other in (
        ("camera", frame.camera, first.camera),
        ("size", frame.mosaic.shape, first.mosaic.shape),
        ("ISO", frame.exposure.iso, first.exposure.iso),
        ("exposure time", frame.exposure.seconds, first.exposure.seconds),
    ):
        if own != other:
            raise SettingsError(f"has {what} {own}, the first frame {other}; give frames of one burst")


def _doubt(plane: NDArray[np.uint16], black: float, noise: Noise, box: int) -> Array:
    """Variance of the difference of two frames' means over a box, by noise alone."""
    light = _box(plane.astype(np.float32), box) - np.float32(black)
    return np.square(noise.at(light)) * np.float32(2 / box**2)


def _sharp(guide: Array, other: Array, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Array:
    """How well developed pictures agree where a part was moved to: less at edges that whole cells do not meet."""
    height, width = guide.shape
    off = np.abs(other[np.minimum(rows, height - 1), np.minimum(columns, width - 1)][:height, :width] - guide)
    off = _box(off, SMALL)
    usual = float(np.median(off)) or 1.0
    agreed = 1 / (1 + np.square(np.maximum(off / (EDGE * usual) - 1, 0) * 2))
    return np.pad(agreed, [(0, have - got) for have, got in zip(rows.shape, guide.shape, strict=True)], "edge")


def _box(plane: Array, side: int = BOX) -> Array:
    """Mean over side x side around each cell, less at the edges."""
    for axis in (0, 1):
        places = np.arange(plane.shape[axis])
        low, high = np.maximum(places - side // 2, 0), np.minimum(places + side // 2, len(places))
        sums = np.insert(np.cumsum(plane, axis, np.float64), 0, 0, axis)
        means = (sums.take(high, axis) - sums.take(low, axis)) / np.expand_dims(high - low, 1 - axis)
        plane = means.astype(np.float32)
    return plane


def _pyramid(picture: Array) -> list[Array]:
    """The picture, and smaller ones, as long as they hold two tiles."""
    levels = [picture]
    while len(levels) < LEVELS and min(levels[-1].shape) >= 4 * TILE:
        height, width = (length // 2 * 2 for length in levels[-1].shape)
        cut = levels[-1][:height, :width]
        levels.append((cut[::2, ::2] + cut[1::2, ::2] + cut[::2, 1::2] + cut[1::2, 1::2]) / np.float32(4))
    return levels


def _aligned(guide: list[Array], other: list[Array]) -> Shifts:
    """How far each tile of the guide lies from where the other picture has it."""
    shifts = np.zeros((1, 1, 2), np.intp)
    shifts[0, 0] = _whole(guide[-1], other[-1])
    for level in reversed(range(len(guide))):
        down, across = (max(length // TILE, 1) for length in guide[level].shape)
        if level < len(guide) - 1:
            shifts = 2 * shifts
        rows, columns = (
            np.arange(count) * have // count for count, have in zip((down, across), shifts.shape, strict=False)
        )
        shifts = _smoothed(_refined(guide[level], other[level], shifts[np.ix_(rows, columns)]))
    return shifts


def _whole(guide: Array, other: Array) -> tuple[int, int]:
    """The shift of the whole picture that leaves the least difference."""
    reach = min(FAR, min(guide.shape) // 4)
    height, width = guide.shape
    own = guide[reach : height - reach, reach : width - reach]
    tried = [(down, across) for down in range(-reach, reach + 1) for across in range(-reach, reach + 1)]
    return min(
        tried,
        key=lambda shift: float(
            np.abs(
                own - other[reach + shift[0] : height - reach + shift[0], reach + shift[1] : width - reach + shift[1]]
            ).mean()
        ),
    )


def _refined(guide: Array, other: Array, shifts: Shifts) -> Shifts:
    """Search around the shift of each tile; one of several that are as good as the first is not followed."""
    down, across = shifts.shape[:2]
    tall, wide = (min(TILE, length) for length in guide.shape)
    own = guide[: down * tall, : across * wide].reshape(down, tall, across, wide).transpose(0, 2, 1, 3)
    rows = (np.arange(down) * tall)[:, None, None, None] + np.arange(tall)[:, None]
    columns = (np.arange(across) * wide)[None, :, None, None] + np.arange(wide)

    def difference(shift: Shifts) -> Array:
        there = np.clip(rows + shift[:, :, 0, None, None], 0, other.shape[0] - 1)
        across_there = np.clip(columns + shift[:, :, 1, None, None], 0, other.shape[1] - 1)
        return np.abs(own - other[there, across_there]).mean((2, 3))

    best, least = shifts.copy(), difference(shifts) * np.float32(BETTER)
    for offset in np.ndindex(2 * NEAR + 1, 2 * NEAR + 1):
        tried = shifts + np.array(offset) - NEAR
        found = difference(tried)
        better = found < least
        best[better], least[better] = tried[better], found[better]
    return best


def _smoothed(shifts: Shifts) -> Shifts:
    """The median of each tile's shift and its neighbours'."""
    around = np.pad(shifts, ((1, 1), (1, 1), (0, 0)), "edge")
    height, width = shifts.shape[:2]
    nine = [around[down : down + height, across : across + width] for down in range(3) for across in range(3)]
    return np.median(nine, axis=0).astype(np.intp)


def _sources(shifts: Shifts, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Row and column that each cell is taken from, shifts interpolated between tiles, and whether the frame has it."""
    field = shifts.astype(np.float32)
    for axis in (0, 1):
        places = np.clip((np.arange(shape[axis]) + 0.5) / TILE - 0.5, 0, field.shape[axis] - 1)
        low = places.astype(np.intp)
        share = (places - low).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        high = np.minimum(low + 1, field.shape[axis] - 1)
        field = field.take(low, axis) * (1 - share) + field.take(high, axis) * share
    whole = np.rint(field).astype(np.intp)
    rows, columns = whole[:, :, 0] + np.arange(shape[0])[:, None], whole[:, :, 1] + np.arange(shape[1])
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    return np.clip(rows, 0, shape[0] - 1), np.clip(columns, 0, shape[1] - 1), inside
