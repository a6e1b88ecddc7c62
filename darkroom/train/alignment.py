"""How far two exposures of one scene lie apart: phase correlation of their greens.

    short and reference, mosaics (H, W)  ->  Shift: sites down and right, and how surely the correlation tells it

At x300 a site of the short is mostly noise, and phase correlation as it is written weighs every frequency alike. So the
greens are averaged over blocks, and each frequency counts by the share of the short's power there that is scene. What
both frames owe to the sensor lies at shift zero and would hide the scene's own: offsets of rows and columns are taken
out, and hot sites are clipped to what is bright in the scene.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darkroom.frame import CELL, Frame

_BLOCKS = 1_500_000
"""Most blocks compared; a 24 MP Bayer frame is then averaged over 4 x 4 sites."""
_FINEST = 0.02
"""Blocks: what the peak is read to."""
_BRIGHT = 0.99
"""Share of the reference's greens below which they are left as they are."""
_HIGH = 0.35
"""Cycles a block: above it along both axes nearly all is noise."""
_SEEN = 3.0
"""Times the reference's power there: what of its spectrum counts as scene is the rest."""
_CLEAR = 10.0
"""Peak over standard deviation; greens that have nothing in common reach 6."""
_DOUBTS = 4.0
"""Standard deviations of an estimate that it may be wrong by; 3.4 was the most seen on simulated frames at x300."""
_UNIT = {"bayer": 2, "xtrans": 3}
"""Sites along one side of the least block in which greens lie alike."""


@dataclass(frozen=True)
class Shift:
    """Where the short lies relative to its reference."""

    down: float
    """Sites."""
    right: float
    doubt: float
    """Sites that this may be wrong by; infinite where the short holds too little light to tell."""

    @property
    def length(self) -> float:
        return float(np.hypot(self.down, self.right))


def shift(short: Frame, reference: Frame, ratio: float) -> Shift:
    """Measure how far a short is shifted against its reference, both of one sensor and size, at a ratio."""
    sites = _sites(short)
    limit = float(np.quantile(_sampled(reference, 1.0), _BRIGHT))
    noise = float(np.abs(np.diff(_sampled(short, ratio), axis=1)).mean()) * np.sqrt(np.pi) / 2  # sd of Gaussian noise
    one, other = _green(short, ratio, sites, limit + 3 * noise), _green(reference, 1.0, sites, limit)
    height, width = one.shape
    taper = np.hanning(height + 2)[1:-1, None].astype(np.float32) * np.hanning(width + 2)[1:-1].astype(np.float32)
    a, b = (np.fft.rfft2(_plain(green) * taper) for green in (one, other))

    rows, cols = np.abs(np.fft.fftfreq(height))[:, None], np.fft.rfftfreq(width)
    high = (rows > _HIGH) & (cols > _HIGH)
    scene = np.maximum(np.abs(b) ** 2 - _SEEN * _mean_power(b[high]), 0)
    floor = max(_mean_power(a[high]), float(np.finfo(np.float32).tiny))
    cross = a * np.conj(b)
    cross *= scene / (scene + floor) / np.maximum(np.abs(cross), np.finfo(np.float32).tiny)
    surface = np.fft.irfft2(cross, s=one.shape)
    row, col = np.unravel_index(np.argmax(surface), surface.shape)
    spread = float(surface.std())
    if not spread or surface[row, col] < _CLEAR * spread:
        return Shift(0.0, 0.0, float("inf"))
    down, right = _refined(cross, one.shape, _signed(int(row), height), _signed(int(col), width))
    told = np.minimum(scene / floor, 100.0)  # ratio of scene to noise, past which the scene's own changes count
    # Cramer and Rao's bound for a delay; the taper leaves 1 in 1.5 frequencies along each axis independent.
    bounds = [2 * np.sum(told * (2 * np.pi * frequency) ** 2) / 1.5**2 for frequency in (rows, cols)]
    doubt = _DOUBTS * float(np.sqrt(sum(1 / max(bound, 1e-12) for bound in bounds)))
    return Shift(down * sites, right * sites, doubt * sites)


def _sites(frame: Frame) -> int:
    """Side of a block in sites."""
    unit, seen = _UNIT[frame.cfa], frame.visible
    return unit * max(1, int(np.ceil(np.sqrt(seen.height * seen.width / unit**2 / _BLOCKS))))


def _sampled(frame: Frame, ratio: float) -> NDArray[np.float32]:
    """Amplified light of one green of every cell."""
    cell = CELL[frame.cfa]
    top, left = np.argwhere(cell == 1)[0]
    black = float(frame.black[top, left])
    light = frame.mosaic[top :: len(cell), left :: len(cell)].astype(np.float32) - np.float32(black)
    return light * np.float32(ratio / (frame.white - black))


def _green(frame: Frame, ratio: float, side: int, limit: float) -> NDArray[np.float32]:
    """Average the green light of blocks, amplified and clipped above: (H, W) sites -> (h, w)."""
    cell, unit, seen = CELL[frame.cfa], _UNIT[frame.cfa], frame.visible
    top, left = (-(-edge // len(cell)) * len(cell) for edge in (seen.top, seen.left))
    height, width = (seen.top + seen.height - top) // side, (seen.left + seen.width - left) // side
    mosaic = frame.mosaic[top : top + height * side, left : left + width * side]
    black = float(frame.black[cell == 1].mean())
    span = (frame.white - black) / ratio
    greens = np.argwhere(cell[:unit, :unit] == 1)
    total = np.zeros((height * side // unit, width * side // unit), np.float32)
    for row, col in greens:
        total += np.minimum(mosaic[row::unit, col::unit], np.float32(black + span * limit))
    blocks = total.reshape(height, side // unit, width, side // unit).mean((1, 3))
    return (blocks / len(greens) - np.float32(black)) / np.float32(span)


def _plain(green: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take out what whole rows and columns share."""
    green = green - green.mean(1, keepdims=True)
    return green - green.mean(0, keepdims=True)


def _mean_power(spectrum: NDArray[np.complex64]) -> float:
    """Mean power of noise, by the median of what may hold a little scene: the power of noise is exponential."""
    return float(np.median(np.abs(spectrum) ** 2)) / np.log(2) if spectrum.size else 0.0


def _signed(place: int, length: int) -> int:
    return int(place) if place <= length // 2 else int(place) - length


def _refined(
    cross: NDArray[np.complex64] | NDArray[np.complex128], shape: tuple[int, int], row: int, col: int
) -> tuple[float, float]:
    """Evaluate the correlation on a fine grid around its highest block, and return where it is highest there."""
    height, width = shape
    steps = np.arange(-1, 1 + _FINEST / 2, _FINEST)
    rows, cols = np.fft.fftfreq(height), np.fft.rfftfreq(width)
    twice = np.where((cols == 0) | (cols == 0.5), 1.0, 2.0)  # the half of the spectrum that rfft2 leaves out
    down = np.exp(2j * np.pi * np.outer(row + steps, rows))
    right = np.exp(2j * np.pi * np.outer(cols, col + steps)) * twice[:, None]
    fine = (down @ cross @ right).real
    best = np.unravel_index(np.argmax(fine), fine.shape)
    return row + float(steps[best[0]]), col + float(steps[best[1]])
