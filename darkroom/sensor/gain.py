"""Series of a static scene -> the sensor's gain, by photon transfer.

    frames (h, w) DN above black, of one exposure and level each series  ->  K at each site of the 2 x 2 cell

The variance in time of a site grows by K a DN with its mean (Janesick, Photon Transfer, 2007): a straight line through
the levels of the scene and, at no light, the read noise of the lens-cap frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darkroom.errors import SettingsError
from darkroom.sensor.lenscap import SITES

FEWEST = 2
"""Frames of a series."""

_WINDOW = 2048
"""Sites a side of the frame's centre that are looked at."""
_BINS = 32
"""Levels of a series."""
_CROWD = 64
"""Sites that make a bin worth looking at."""
_LINEAR = 0.7
"""Of white - black: brighter sites are left out, they may be clipped or no longer linear."""
_MODEL_ERROR, _STILL_ERROR = 0.02, 0.1
"""Of a variance: no bin counts as more exact, nor, as it comes from other frames and from space, that of no light."""
_FLICKER = 1.2
"""Frames of one exposure whose levels differ by more are of different series."""
_BLOCK = 16
"""Sites a side, of one kind."""
_MOVED, _MOST_MOVED = 0.5, 0.05
"""A block, or a bin, whose variance is so far from what its brightness explains has moved; so much of them may."""


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame of a series."""

    path: Path
    exposure: tuple[float, float]
    """Seconds and f-number."""
    level: float
    """Mean above black, of white - black."""
    light: NDArray[np.float32]
    """(h, w) DN above black: the frame's centre."""


def centre(mosaic: NDArray[np.uint16], black: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) -> (h, w) DN above black, beginning on the cell's first site."""
    starts = [max(0, length - _WINDOW) // 12 * 6 for length in mosaic.shape]  # 6: a whole cell of either kind
    window = tuple(slice(start, start + _WINDOW) for start in starts)
    return mosaic[window].astype(np.float32) - black[window]


def series(lit: list[Shot]) -> list[list[Shot]]:
    """Sort frames into series of one exposure and level; SettingsError names one that is alone in its own."""
    ordered = sorted(lit, key=lambda shot: (shot.exposure, shot.level))
    found = [[ordered[0]]]
    for last, shot in pairwise(ordered):
        if shot.exposure == last.exposure and shot.level < _FLICKER * last.level:
            found[-1].append(shot)
        else:
            found.append([shot])
    for shots in found:
        if len(shots) < FEWEST:
            raise SettingsError(f"{shots[0].path}: alone at its exposure and level; take {FEWEST} or more of each")
    return found


def measure(found: Sequence[Sequence[Shot]], errors: Sequence[float], still: float, span: float) -> tuple[float, ...]:
    """Measure K at each of SITES.

    errors: DN by which each site's black level is off. still: variance without light, DN squared. span: white - black.
    Raises SettingsError where all is overexposed, or the scene moved.
    """
    name = str(found[0][0].path)
    return tuple(
        _gain([_in_time(shots, site) for shots in found], error, still, span, name)
        for site, error in zip(SITES, errors, strict=True)
    )


def _in_time(shots: Sequence[Shot], site: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
    """Mean and variance in time at one site of the cell, (h, w) each, and the number of frames.

    What the lamp and the black level do from frame to frame is taken out, and the rows' noise.
    """
    light = np.stack([shot.light[site[0] :: 2, site[1] :: 2] for shot in shots])
    mean = light.mean(0)
    middle = mean - mean.mean()
    power = float((middle**2).mean())
    for frame in light:
        own = frame - frame.mean()
        brightness = float((own * middle).mean()) / power if power else 1.0
        frame[:] = own - np.float32(brightness) * middle
        frame -= frame.mean(1, keepdims=True)
    width = light.shape[2]
    return mean, (light**2).sum(0) * np.float32(width / (width - 1) / (len(shots) - 1)), len(shots)


def _gain(
    series: list[tuple[NDArray[np.float32], NDArray[np.float32], int]],
    error: float,
    still: float,
    span: float,
    name: str,
) -> float:
    """K at one site: the slope of variance against level, over bins of level and the variance `still` at none."""
    levels, variances, counts, doubts = [0.0], [still], [0], [_STILL_ERROR**2]
    for mean, variance, frames in series:
        usable = mean < _LINEAR * span
        low, high = np.quantile(mean, (0.001, 0.999))
        edges = np.linspace(low, high, _BINS + 1)
        place = np.clip(np.searchsorted(edges, mean) - 1, 0, _BINS - 1)
        for index in range(_BINS):
            chosen = usable & (place == index) & (mean >= low) & (mean <= high)
            if (count := int(chosen.sum())) >= _CROWD:
                levels.append(float(mean[chosen].mean(dtype=np.float64)) - error)
                variances.append(float(variance[chosen].mean(dtype=np.float64)))
                counts.append(count)
                doubts.append(_MODEL_ERROR**2 + 2 / (count * (frames - 1)))
    if len(levels) < 2:
        raise SettingsError(f"{name}: overexposed, nothing lies below {100 * _LINEAR:g} % of white; give less light")
    expected = np.maximum(variances, still / 2)
    for _ in range(3):  # weights by what is measured favour what came out too small; by the line, they do not
        gain, floor = np.polyfit(levels, variances, 1, w=1 / (np.sqrt(doubts) * expected))
        expected = np.maximum(gain * np.array(levels) + floor, still / 2)
    bins_off = np.abs(variances - expected) > _MOVED * expected
    moved = float(np.average(bins_off, weights=counts))
    for mean, variance, frames in series:
        moved = max(moved, _moved(mean - error, variance, frames, (gain, floor), _LINEAR * span))
    if not gain > 0 or moved > _MOST_MOVED:
        raise SettingsError(
            f"{name}: the scene moved or its light flickered: in {100 * moved:.0f} % of it the noise does not follow "
            "the brightness; use a tripod, a steady lamp and a blurred scene"
        )
    return float(gain)


def _moved(
    level: NDArray[np.float32],
    variance: NDArray[np.float32],
    frames: int,
    line: tuple[float, float],
    brightest: float,
) -> float:
    """Share of blocks whose variance is not what their brightness explains."""
    rows, columns = (length // _BLOCK for length in level.shape)

    def blocks(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        cut = plane[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)
        return cut.transpose(0, 2, 1, 3).reshape(rows * columns, -1)

    levels = blocks(level)
    expected = line[0] * levels.mean(1) + line[1]
    # The median, for the sake of sites that blink; of a variance of few frames it is this much under the mean (Wilson
    # and Hilferty).
    middle = np.median(blocks(variance), 1) / (1 - 2 / (9 * (frames - 1))) ** 3
    off = np.abs(middle - expected) > _MOVED * np.abs(expected)
    seen = levels.max(1) < brightest if levels.size else np.zeros(0, bool)
    return float(off[seen].mean()) if seen.any() else 0.0
