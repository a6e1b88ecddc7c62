"""Hot and dead sites, found in the frame itself and filled in from their neighbours.

    (H, W) DN, Noise  ->  (H, W) DN, and how many sites were replaced

A site is taken that stands out from all its neighbours of its own colour by far more than the noise and than these
differ among themselves, while its neighbours of the other colours know nothing of it: the light of a star, however
sharp the lens, falls on several sites. Where the file lists defects of its own (FixBadPixelsList of a DNG), those are
taken in any case.

Three passes: whole bands in whole numbers, which leave few candidates, each of these with its neighbours of its colour,
and what is left with its 7 x 7 sites.
"""

from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from darkroom.develop.grain import Noise
from darkroom.frame import CELL, Frame

FAR = 4.5
"""sd of a site that lie between it and the next of its colour."""
CONTRAST = 0.5
"""Of what the neighbours differ among themselves, that must lie between, too: texture is no defect."""
LIT, GLINT = 0.01, 4.0
"""Of white: light around a site that makes a glint likelier there than a hot site that would show; and CONTRAST there.
"""
SPREAD = 0.15
"""Share of a site's excess that its other neighbours may have by the shape of a star: a hot site's have none, of a
white star's all, of a deep red one's a third."""
STAR = {1: 0.5, 2: 0.25}
"""Light of a star two sites wide (FWHM) on the sites beside its own, and across, by squared distance."""
ROWS = 64
"""Rows of a band: it stays in the processor's cache."""
REACH = 3
"""Sites from a candidate that are looked at."""

Places = tuple[NDArray[np.intp], NDArray[np.intp]]


def mended(frame: Frame, noise: Noise) -> tuple[Frame, int]:
    """Replace hot and dead sites by the median of their neighbours; also tell how many.

    The frame itself is left as it was.
    """
    places = np.concatenate((np.transpose(found(frame, noise)), frame.defects))
    rows, columns = np.unique(places, axis=0).T  # what the file lists may have been found, too
    if not len(rows):
        return frame, 0
    mosaic = frame.mosaic.copy()
    for spot, those in _by_spot(rows, columns, len(frame.black)):
        offsets = np.array(_near(frame.cfa, spot))
        near = _values(frame.mosaic, (rows[those], columns[those]), offsets, len(frame.black))
        mosaic[rows[those], columns[those]] = np.median(near, axis=1)
    return replace(frame, mosaic=mosaic), len(rows)


def found(frame: Frame, noise: Noise) -> Places:
    """Rows and columns of the sites that are hot or dead."""
    rows, columns = _candidates(frame, noise)
    taken = [np.zeros(0, np.intp)]
    for spot, those in _by_spot(rows, columns, len(frame.black)):
        those = those[_is_apart(frame, noise, (rows[those], columns[those]), spot)]
        taken.append(those[_is_no_star(frame, (rows[those], columns[those]), spot)])
    defects = np.sort(np.concatenate(taken))
    return rows[defects], columns[defects]


def _candidates(frame: Frame, noise: Noise) -> Places:
    """Sites above or below all neighbours of their colour by at least the least that `_is_apart` may ask for."""
    black, span = round(float(frame.black.mean())), frame.white - float(frame.black.mean())
    least = FAR * float(noise.at(0))
    # The chord under the noise's curve, as a shift: cheap, and never above it.
    slope = (FAR * float(noise.at(span)) - least) / span
    shift = int(np.ceil(-np.log2(slope))) if slope > 2**-15 else 16
    offset = np.uint16((int(least) - (black >> shift)) % 65536)
    side, margin = len(frame.black), _margin(frame.cfa)
    height = len(frame.mosaic)
    found = []
    for top in range(0, height, ROWS):
        band = _padded(frame.mosaic, top, min(top + ROWS, height), margin)
        for spot in np.ndindex(*((1, 1) if frame.cfa == "bayer" else (side, side))):
            step = 1 if frame.cfa == "bayer" else side
            first = ((spot[0] - top) % step, spot[1])
            high, low, own = _extremes(band, _near(frame.cfa, spot), first, step, margin)
            hot = np.maximum(own, high) - high > (np.maximum(high, np.uint16(black)) >> shift) + offset
            dead = low - np.minimum(own, low) > (np.maximum(low, np.uint16(black)) >> shift) + offset
            rows, columns = np.nonzero(hot | dead)
            found.append((rows * step + first[0] + top, columns * step + first[1]))
    rows, columns = (np.concatenate([each[axis] for each in found]) for axis in (0, 1))
    return rows, columns


def _extremes(
    band: NDArray[np.uint16], near: list[tuple[int, int]], first: tuple[int, int], step: int, margin: int
) -> tuple[NDArray[np.uint16], NDArray[np.uint16], NDArray[np.uint16]]:
    """Of each site (of each `step`-th from `first`): the highest and the lowest of its neighbours, and itself."""

    def shifted(down: int, across: int) -> NDArray[np.uint16]:
        top, left = margin + first[0] + down, margin + first[1] + across
        bottom, right = band.shape[0] - margin + down, band.shape[1] - margin + across
        return band[top:bottom:step, left:right:step]

    own = shifted(0, 0)
    if step == 1:  # the eight at a distance of two: rows first, which three rows share
        wide = np.maximum(band[:, :-4], band[:, 4:]), np.minimum(band[:, :-4], band[:, 4:])
        centre = band[:, 2:-2]
        high, low = np.maximum(wide[0], centre), np.minimum(wide[1], centre)
        high = np.maximum(np.maximum(high[:-4], high[4:]), wide[0][2:-2])
        low = np.minimum(np.minimum(low[:-4], low[4:]), wide[1][2:-2])
        return high, low, own
    high = low = np.ascontiguousarray(shifted(*near[0]))
    for offset in near[1:]:
        beside = np.ascontiguousarray(shifted(*offset))
        high, low = np.maximum(high, beside), np.minimum(low, beside)
    return high, low, own


def _margin(cfa: str) -> int:
    return 2 if cfa == "bayer" else REACH


def _padded(mosaic: NDArray[np.uint16], top: int, bottom: int, margin: int) -> NDArray[np.uint16]:
    """Rows of the mosaic with a margin all round; past its edges it goes on as further in, colours kept."""
    height, width = mosaic.shape
    band = np.empty((bottom - top + 2 * margin, width + 2 * margin), np.uint16)
    inner = slice(max(top - margin, 0), min(bottom + margin, height))
    start = inner.start - top + margin
    band[start : start + inner.stop - inner.start, margin:-margin] = mosaic[inner]
    for row in (*range(start), *range(start + inner.stop - inner.start, len(band))):
        band[row, margin:-margin] = mosaic[_folded(row + top - margin, height)]
    for column in range(margin):
        band[:, column] = band[:, margin + _folded(column - margin, width)]
        band[:, margin + width + column] = band[:, margin + _folded(width + column, width)]
    return band


def _folded(place: NDArray[np.intp] | int, length: int) -> NDArray[np.intp] | int:
    """Move places outside the mosaic back into it by 12 sites: whole cells of either kind, and never onto itself.

    A mosaic has at least 12 sites a side, so that two moves always do.
    """
    place = np.where(place < 0, place + 12, place)
    place = np.where(place >= length, place - 12, place)
    return np.clip(place, 0, length - 1) if np.ndim(place) else int(np.clip(place, 0, length - 1))


def _values(mosaic: NDArray[np.uint16], places: Places, offsets: NDArray[np.intp], side: int) -> NDArray[np.float32]:
    """(n, k) DN of the sites at these offsets from each place."""
    rows = _folded(places[0][:, None] + offsets[:, 0], mosaic.shape[0])
    columns = _folded(places[1][:, None] + offsets[:, 1], mosaic.shape[1])
    return mosaic[rows, columns].astype(np.float32)


def _by_spot(
    rows: NDArray[np.intp], columns: NDArray[np.intp], side: int
) -> list[tuple[tuple[int, int], NDArray[np.intp]]]:
    """Sort places by their site of the CFA cell."""
    spots = rows % side * side + columns % side
    return [((int(spot) // side, int(spot) % side), np.flatnonzero(spots == spot)) for spot in np.unique(spots)]


@cache
def _near(cfa: str, spot: tuple[int, int]) -> list[tuple[int, int]]:
    """Offsets to the eight nearest sites of a site's own colour; of Bayer's green, as of the others, those two away."""
    if cfa == "bayer":
        return [(down, across) for down in (-2, 0, 2) for across in (-2, 0, 2) if down or across]
    cell = CELL[cfa]
    like = [
        (down, across)
        for down in range(-REACH, REACH + 1)
        for across in range(-REACH, REACH + 1)
        if (down or across) and cell[(spot[0] + down) % 6, (spot[1] + across) % 6] == cell[spot]
    ]
    return sorted(like, key=lambda offset: offset[0] ** 2 + offset[1] ** 2)[:8]


def _is_apart(frame: Frame, noise: Noise, places: Places, spot: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which candidates, all the same site of the cell, stand out from their neighbours."""
    own = frame.mosaic[places].astype(np.float32)
    near = _values(frame.mosaic, places, np.array(_near(frame.cfa, spot)), len(frame.black))
    high, low = near.max(1), near.min(1)
    sd = noise.at(np.where(own > high, high, low) - frame.black[spot])
    lit = low - frame.black[spot] > LIT * (frame.white - frame.black[spot])
    return np.maximum(own - high, low - own) > np.maximum(FAR * sd, np.where(lit, GLINT, CONTRAST) * (high - low))


def _is_no_star(frame: Frame, places: Places, spot: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell of which candidates, all the same site of the cell, the other colours beside them know nothing."""
    cell, side = CELL[frame.cfa], len(frame.black)
    gains = np.ones(3) if frame.white_balance is None else frame.white_balance
    near = _values(frame.mosaic, places, np.array(_near(frame.cfa, spot)), side)
    excess = frame.mosaic[places].astype(np.float32) - np.median(near, axis=1)
    around = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1) if down or across]
    light, power = np.zeros(len(excess), np.float32), 0.0  # a matched filter for the star that has this excess
    for colour in range(3):
        beside, ring = (
            np.array([offset for offset in offsets if cell[_spot(spot, offset, side)] == colour])
            for offsets in (around, _ring())
        )
        if not len(beside):
            continue
        values = _values(frame.mosaic, places, beside, side)
        values -= np.median(_values(frame.mosaic, places, ring, side), axis=1)[:, None]
        shape = np.array([STAR[down * down + across * across] for down, across in beside], np.float32)
        shape *= np.float32(gains[cell[spot]] / gains[colour])
        light += values @ shape
        power += float(shape @ shape)
    return light * np.sign(excess) / power < SPREAD * abs(excess)


def _spot(spot: tuple[int, int], offset: tuple[int, int], side: int) -> tuple[int, int]:
    return (spot[0] + offset[0]) % side, (spot[1] + offset[1]) % side


@cache
def _ring() -> list[tuple[int, int]]:
    """Offsets that tell how bright it is around a candidate: two or three sites away."""
    reach = range(-REACH, REACH + 1)
    return [(down, across) for down in reach for across in reach if max(abs(down), abs(across)) > 1]
