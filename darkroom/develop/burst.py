"""Many frames of one scene -> one Frame with less noise, hand-held or not, and what moved is not there twice.

    Frame, and others one by one  ->  Frame in finer steps

How far the camera moved between two frames is seen on developed pictures, which are clean enough: from coarse to fine,
tile by tile, then as one motion of the whole, to a tenth of a site (Lucas and Kanade, 1981). What is merged are the
mosaics: a site takes from a frame those of its own colour that lie beside the place it has there, the more the nearer
(Wronski et al., "Handheld multi-frame super-resolution", 2019). How much a part counts depends on how well it agrees
with the first frame, given the noise that the frame itself shows (Hasinoff et al., "Burst photography for high dynamic
range and low-light imaging", 2016; there in frequencies, here in sites).
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from darkroom.develop.grain import Noise
from darkroom.errors import SettingsError
from darkroom.frame import CELL, Frame

Array = NDArray[np.float32]
Shifts = NDArray[np.intp]
"""(rows, columns, 2): down and across, cells."""
Motion = Array
"""(rows, columns, 2): how far each tile of the finest picture has moved, down and across, fractions of cells told."""

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
FITTED, FOLLOWED = 8, 6
"""Rounds in which tiles that stray lose their say in the motion of the whole, and in which that is refined at most."""
STILL = 0.02
"""Cells, here and at a distance of UNIT, by which the motion of the whole is refined once more at least."""
STRAYED, OWN = 0.5, 0.7
"""Cells from the motion of the whole at which a tile has half a say; times the difference there that a tile which has
moved by itself, by a cell and more, must be below."""
OFF = 3.0
"""Times the usual difference of two developed pictures at which a pixel has half a say in the motion."""
UNIT = np.float32(1000)
"""Pixels in which places are told where motions are fitted, so that no term outweighs the others."""
KERNEL = 0.6
"""Sites: standard deviation of the weight of what lies beside a place."""
FINER = 16
"""Steps to a DN in what is merged, as far as 16 bits hold them."""


def merged(first: Frame, others: Iterable[Frame], noise: Noise, see: Callable[[Frame], Array]) -> tuple[Frame, float]:
    """Merge frames of one camera and exposure into the first; also tell how many count, in the mean over the picture.

    `see` develops a frame: (h, w) brightness, a pixel a cell. Memory does not grow with the number of frames. Raises
    SettingsError for a frame that is not like the first.
    """
    side = len(first.black)
    spots = list(np.ndindex(side, side))
    box = max(2, BOX * 2 // side)
    guide = _pyramid(see(first))
    planes = [_cells(first.mosaic, spot, side) for spot in spots]
    totals = [plane.astype(np.float32) for plane in planes]
    counts = [np.ones_like(total) for total in totals]
    means = _means(first)
    doubts = [
        _doubt(mean, noise, box, sites) for mean, sites in zip(means, np.bincount(CELL[first.cfa].flat), strict=True)
    ]
    count = 1.0
    for frame in others:
        refuse_other(frame, first)
        field = _spread(_motion(guide, _pyramid(see(frame))), planes[0].shape)
        weight = _agreement(means, _means(frame), doubts, field, box)
        count += float(weight.mean())
        _add(frame, first.black, field, weight, totals, counts)
    finer = max(1, min(FINER, int(65535 // first.white)))
    mosaic = first.mosaic * np.uint16(finer)  # what lies beyond the last whole cell stays the first frame's
    for spot, total, shares, own in zip(spots, totals, counts, planes, strict=True):
        total /= shares
        total[own >= first.white] = first.white
        total *= np.float32(finer)
        _cells(mosaic, spot, side)[:] = np.rint(total, out=total)
    return replace(first, mosaic=mosaic, black=first.black * np.float32(finer), white=first.white * finer), count


def _means(frame: Frame) -> list[Array]:
    """Light of each colour, the mean over each cell: red, green and blue, (h, w) DN each."""
    cell, side = CELL[frame.cfa], len(frame.black)
    means = []
    for colour in range(3):
        spots = np.argwhere(cell == colour).tolist()
        planes = [_cells(frame.mosaic, (down, across), side) - frame.black[down, across] for down, across in spots]
        means.append(np.asarray(sum(planes), np.float32) / np.float32(len(planes)))
    return means


def _agreement(means: list[Array], others: list[Array], doubts: list[Array], field: Motion, box: int) -> Array:
    """How much of another frame counts where the first has its cells: (h, w), 0 to 1."""
    height, width = field.shape[:2]
    rows, columns = field[:, :, 0] + np.arange(height)[:, None], field[:, :, 1] + np.arange(width)
    unlike = np.zeros((height, width), np.float32)
    for own, other, doubt in zip(means, others, doubts, strict=True):
        unlike += np.square(_box(_between(other, rows, columns) - own, box)) / doubt
    unlike /= len(means)
    inside = (rows > -0.5) & (rows < height - 0.5) & (columns > -0.5) & (columns < width - 0.5)
    return inside / (1 + np.square(np.maximum(unlike - ALIKE, 0) / UNLIKE))


def _add(frame: Frame, black: Array, field: Motion, weight: Array, totals: list[Array], counts: list[Array]) -> None:
    """Add a frame to what each site has, (h, w) of each spot of the cell: the four sites around its place, if of its
    colour.

    field: (h, w, 2) cells; weight: (h, w).
    """
    cell, side = CELL[frame.cfa], len(frame.black)
    height, width = (side * length for length in weight.shape)
    whole = np.floor(field * np.float32(side))
    rest = field * np.float32(side) - whole
    rows = whole[:, :, 0].astype(np.intp) + np.arange(0, height, side)[:, None]
    columns = whole[:, :, 1].astype(np.intp) + np.arange(0, width, side)
    sites, stride = frame.mosaic.ravel(), frame.mosaic.shape[1]
    starts, phases = rows * stride + columns, rows % side * side + columns % side
    for down, across in np.ndindex(2, 2):
        inside = (rows >= 0) & (rows + down <= height - side) & (columns >= 0) & (columns + across <= width - side)
        away = np.square(down - rest[:, :, 0]) + np.square(across - rest[:, :, 1])
        near = np.exp(away * np.float32(-0.5 / KERNEL**2)) * weight * inside
        for spot, total, shares in zip(np.ndindex(side, side), totals, counts, strict=True):
            below, right = spot[0] + down, spot[1] + across
            like = np.roll(cell, (-below, -right), (0, 1)) == cell[spot]  # by the phase that the place has in its frame
            share = near * like.ravel()[phases]
            lifted = black[spot] - np.roll(frame.black, (-below, -right), (0, 1)).ravel()[phases]
            total += share * (sites.take(starts + (below * stride + right), mode="clip") + lifted)
            shares += share


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


def _doubt(mean: Array, noise: Noise, box: int, sites: int) -> Array:
    """Variance of the difference of two frames' means over a box of cells, each of so many sites, by noise alone."""
    return np.square(noise.at(_box(mean, box))) * np.float32(2 / (box**2 * sites))


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


def _tiles(guide: Array, shape: tuple[int, ...]) -> Array:
    """(rows, columns, tall, wide): a picture as its tiles."""
    down, across = shape[:2]
    tall, wide = (min(TILE, length) for length in guide.shape)
    return guide[: down * tall, : across * wide].reshape(down, tall, across, wide).transpose(0, 2, 1, 3)


def _difference(guide: Array, other: Array, shifts: Shifts) -> Array:
    """(rows, columns): what each tile differs by from the other picture at its shift, in the mean."""
    own = _tiles(guide, shifts.shape)
    down, across, tall, wide = own.shape
    rows = (np.arange(down) * tall)[:, None, None, None] + np.arange(tall)[:, None]
    columns = (np.arange(across) * wide)[None, :, None, None] + np.arange(wide)
    there = np.clip(rows + shifts[:, :, 0, None, None], 0, other.shape[0] - 1)
    across_there = np.clip(columns + shifts[:, :, 1, None, None], 0, other.shape[1] - 1)
    return np.abs(own - other[there, across_there]).mean((2, 3))


def _refined(guide: Array, other: Array, shifts: Shifts) -> Shifts:
    """Search around the shift of each tile; one of several that are as good as the first is not followed."""
    best, least = shifts.copy(), _difference(guide, other, shifts) * np.float32(BETTER)
    for offset in np.ndindex(2 * NEAR + 1, 2 * NEAR + 1):
        tried = shifts + np.array(offset) - NEAR
        found = _difference(guide, other, tried)
        better = found < least
        best[better], least[better] = tried[better], found[better]
    return best


def _smoothed(shifts: Shifts) -> Shifts:
    """The median of each tile's shift and its neighbours'."""
    around = np.pad(shifts, ((1, 1), (1, 1), (0, 0)), "edge")
    height, width = shifts.shape[:2]
    nine = [around[down : down + height, across : across + width] for down in range(3) for across in range(3)]
    return np.median(nine, axis=0).astype(np.intp)


def _motion(guide: list[Array], other: list[Array]) -> Motion:
    """How far each tile has moved: with the whole, which a hand moves and turns, unless plainly seen elsewhere."""
    shifts = _aligned(guide, other)
    centres = ((np.indices(shifts.shape[:2]).reshape(2, -1) + 0.5) * TILE - 0.5) / UNIT
    places = np.column_stack([np.ones(centres.shape[1]), *centres])
    moved = _followed(guide[0], other[0], _fitted(shifts, places, _texture(guide[0], shifts.shape)))
    motion: Motion = (places @ moved).reshape(shifts.shape).astype(np.float32)
    strays = np.abs(shifts - motion).max(-1) > 1
    seen = _difference(guide[0], other[0], shifts)
    strays &= seen < OWN * _difference(guide[0], other[0], np.rint(motion).astype(np.intp))
    motion[strays] = shifts[strays]
    return motion


def _texture(guide: Array, shape: tuple[int, ...]) -> Array:
    """Standard deviation of each tile: how much it has to say of where it is."""
    return _tiles(guide, shape).std((2, 3))


def _fitted(shifts: Shifts, places: Array, say: Array) -> Array:
    """Fit one affine motion to the tiles' shifts, those that stray by and by left out: (3, 2) for (1, down, across)."""
    found, say = shifts.reshape(-1, 2), say.ravel() + 1e-9
    weight = say
    for _ in range(FITTED):
        root = np.sqrt(weight)[:, None]
        moved = np.linalg.lstsq(places * root, found * root, rcond=None)[0]
        strayed = np.square(found - places @ moved).sum(1)
        weight = say / (1 + strayed / STRAYED**2)
    return moved


def _followed(guide: Array, other: Array, moved: Array) -> Array:
    """Refine a motion, (3, 2), until the other picture, moved by it, differs least (Lucas and Kanade)."""
    down, across = (np.arange(length, dtype=np.float32) for length in guide.shape)
    slopes = np.gradient(guide)
    ramps = [np.broadcast_to(each, guide.shape) for each in (np.float32(1), down[:, None] / UNIT, across / UNIT)]
    steep = np.stack([slope * ramp for slope in slopes for ramp in ramps]).reshape(6, -1)
    for _ in range(FOLLOWED):
        rows, columns = (sum(moved[term, axis] * ramps[term] for term in range(3)) for axis in (0, 1))
        rows, columns = rows + down[:, None], columns + across
        seen = _between(other, rows, columns)
        off = (seen - guide).ravel()
        usual = float(np.median(np.abs(off))) or 1.0
        inside = (rows >= 0) & (rows <= guide.shape[0] - 1) & (columns >= 0) & (columns <= guide.shape[1] - 1)
        weight = inside.ravel() / (1 + np.square(off / np.float32(OFF * usual)))
        normal = (steep * weight) @ steep.T
        step = np.linalg.lstsq(normal.astype(np.float64), (steep * weight) @ off, rcond=None)[0]
        moved = moved - step.reshape(2, 3).T
        if np.abs(step).max() < STILL:
            break
    return moved


def _between(picture: Array, rows: Array, columns: Array) -> Array:
    """Look a picture up between its pixels, linearly; beyond its edge there is the edge."""
    height, width = picture.shape
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    top, left = np.minimum(rows.astype(np.intp), height - 2), np.minimum(columns.astype(np.intp), width - 2)
    below, right = (rows - top).astype(np.float32), (columns - left).astype(np.float32)
    upper = picture[top, left] * (1 - right) + picture[top, left + 1] * right
    lower = picture[top + 1, left] * (1 - right) + picture[top + 1, left + 1] * right
    return upper * (1 - below) + lower * below


def _spread(motion: Motion, shape: tuple[int, ...]) -> Motion:
    """Interpolate between tiles: (h, w, 2) cells for (h, w) cells."""
    for axis in (0, 1):
        places = np.clip((np.arange(shape[axis]) + 0.5) / TILE - 0.5, 0, motion.shape[axis] - 1)
        low = places.astype(np.intp)
        share = (places - low).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        high = np.minimum(low + 1, motion.shape[axis] - 1)
        motion = motion.take(low, axis) * (1 - share) + motion.take(high, axis) * share
    return motion
