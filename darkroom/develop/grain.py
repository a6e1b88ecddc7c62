"""The noise of a frame, from the frame alone: variance = read^2 + gain x light, in DN.

    (H, W) DN  ->  blocks of sites of one kind, (level, variance) each  ->  Noise

A site is compared with its next two of the same colour in the row, so that neither the offsets of rows nor a slope
count. Detail only ever adds: at each level the calmer blocks are believed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darkroom.frame import CELL, Frame

BLOCK = 48
"""Sites a side of a block: whole cells of either kind."""
SITES = 1 << 20
"""Sites that are looked at, at most twice as many: bands of whole blocks, evenly spread."""
CALM = 0.3
"""Of the blocks of one level, the share that is at most as noisy as the one that is believed."""
CALM_FACTOR = {"bayer": 0.892, "xtrans": 0.824}
"""What this quantile is of the true variance where there is no detail: of a block's differences, by simulation."""
LEVELS = 16
DOUBT = 0.03
"""Of the variance at a level: how far it may be off."""
SURE = 3.0
"""Times its own doubt: a gain that is less is none."""
DETAIL = 0.7
"""Of the variance of the darkest level: a line so far from it follows the detail of the brighter ones."""
LEAST = 0.29
"""DN: what rounding to whole numbers alone makes, 1/12 squared."""
SATURATED = 0.9
"""Of white - black: brighter blocks are cut off and look calm."""


@dataclass(frozen=True)
class Noise:
    """How the noise of a site depends on its light."""

    read: float
    """sd at no light, DN."""
    gain: float
    """K, DN per electron: what the variance grows by with each DN; 0 where the frame is too dark to tell."""

    def at(self, light: NDArray[np.float32] | float) -> NDArray[np.float32]:
        """sd in DN at a light of so many DN above black."""
        return np.sqrt(self.read**2 + self.gain * np.maximum(light, 0)).astype(np.float32)


def measure(frame: Frame) -> Noise:
    """Measure the noise of a frame, Bayer or X-Trans."""
    levels, variances = [], []
    for band in _bands(frame):
        for spot, apart in _sites(frame.cfa):
            level, variance = _blocks(band, spot, apart, len(frame.black))
            levels.append(level - float(frame.black[spot]))
            variances.append(variance / CALM_FACTOR[frame.cfa])
    return _line(np.concatenate(levels), np.concatenate(variances), frame.white - float(frame.black.mean()))


def _sites(cfa: str) -> list[tuple[tuple[int, int], tuple[int, ...]]]:
    """Each kind of site that is looked at, and how far away in the row its like are: of X-Trans, the green pairs."""
    if cfa == "bayer":
        return [(spot, (-2, 2)) for spot in ((0, 0), (0, 1), (1, 0), (1, 1))]
    cell = CELL[cfa]
    return [(spot, (1,)) for spot in np.ndindex(6, 5) if cell[spot] == cell[spot[0], spot[1] + 1] == 1]


def _bands(frame: Frame) -> list[NDArray[np.uint16]]:
    """Bands of the mosaic, evenly spread, of the rows and columns of whole blocks; of a small frame all of it."""
    height, width = frame.mosaic.shape
    side = len(frame.black)
    wide = width // BLOCK * BLOCK or width // side * side
    tall = min(BLOCK, height // side * side)
    down = max(height // BLOCK, 1)
    step = max(1, down * tall * wide // SITES)
    return [frame.mosaic[row * BLOCK : row * BLOCK + tall, :wide] for row in range(min(step, down) // 2, down, step)]


def _blocks(
    band: NDArray[np.uint16], spot: tuple[int, int], apart: tuple[int, ...], side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Level and variance of one kind of site in each block of a band."""
    first, last = (side if min(apart) < 0 else 0) + spot[1], max(apart)
    lit = band[spot[0] :: side].astype(np.float32)
    own = lit[:, first : lit.shape[1] - last : side]
    difference = own.copy()
    for offset in apart:
        difference -= lit[:, first + offset :: side][:, : own.shape[1]] / np.float32(len(apart))
    np.square(difference, out=difference)
    across = max(1, own.shape[1] * side // BLOCK)
    used = own.shape[1] // across * across
    # The median of rows, each averaged first: a hot site spoils one row of a block.
    level, variance = (
        np.median(plane[:, :used].reshape(len(own), across, -1).mean(2), axis=0) for plane in (own, difference)
    )
    return level, variance / np.float32(1 + 1 / len(apart))


def _line(levels: NDArray[np.float32], variances: NDArray[np.float32], span: float) -> Noise:
    """Fit the line through the calmer blocks of each level."""
    seen = levels < SATURATED * span
    if not seen.any():
        return Noise(LEAST, 0.0)
    order = np.argsort(levels[seen])
    groups = np.array_split(order, min(LEVELS, max(1, len(order) // 8)))
    light = np.array([max(float(levels[seen][group].mean()), 0.0) for group in groups])
    calm = np.array([max(float(np.quantile(variances[seen][group], CALM)), LEAST**2) for group in groups])
    gain, still = 0.0, float(np.average(calm, weights=1 / calm))
    if len(light) > 2 and np.ptp(light) > 0:
        (slope, floor), doubt = np.polyfit(light, calm, 1, w=1 / (DOUBT * calm), cov="unscaled")
        if slope > SURE * np.sqrt(doubt[0, 0]):
            gain, still = float(slope), float(floor)
        if still < 0:  # there is no such noise: shot noise alone
            gain, still = float((light / calm).sum() / np.square(light / calm).sum()), 0.0
        if not DETAIL < (gain * light[0] + still) / calm[0] < 1 / DETAIL:  # the brighter have detail: the calmest
            far = light > light[0] + np.ptp(light) / 4
            gain = max(float(np.min((calm[far] - calm[0]) / (light[far] - light[0]))), 0.0)
            gain = min(gain, float(calm[0] / max(light[0], LEAST)))  # as if all of it were shot noise
            still = float(calm[0] - gain * light[0])
    return Noise(float(np.sqrt(max(still, LEAST**2))), float(gain))
