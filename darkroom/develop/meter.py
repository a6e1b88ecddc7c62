"""What exposure a dark frame wants, as a photographer would meter it: Frame -> one ratio.

    mosaic (H, W) -> zones (h, w, 3) mean light -> 13 numbers of their histogram -> log2 of the ratio

The weights were learned from photos that people had exposed, made dark and lit by lamps in simulation; the file
meter.toml holds them and the command that made them. All numbers but the noise in them scale with the light, so half
the light gets twice the ratio.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from darkroom import documents
from darkroom.frame import CELL, Frame

Array = NDArray[np.float32]

ZONES = 1536
"""Zones that a frame is cut into, about, whatever its size: 32 x 48. One of 12 MP has 90 x 90 sites."""
LEAST_SIDE = 16
"""Sites: smaller zones average too little noise away."""
SITES = 1 << 22
"""Sites that are looked at, at most twice as many: some rows of every zone."""

GREY = np.array([0.25, 0.5, 0.25], np.float32)
"""How much of a zone's light is red, green and blue: as many as a Bayer cell has of each."""
GREYS = (0.02, 0.10, 0.25, 0.50, 0.75, 0.90, 0.98)
"""Quantiles of the zones' grey light that the histogram is read at."""
BRIGHTEST = (0.50, 0.90, 0.98, 0.995)
"""Quantiles of the zones' brightest colour: what clips first."""
CALM = 5, 6
"""Of GREYS, what light is cut at for the mean brightness, and for the mean colours: beyond it are lights."""
FLOOR = 2.0**-6
"""Share of the mean below which a quantile is noise."""
FARTHEST = 3.0
"""Spreads from the mean that a number may be: beyond, nothing was learned."""

CLIPPED = 0.02
"""Share of the zones, lamps apart, that the ratio may push past white."""
LAMP = 4.0
"""Times as bright as nine tenths of the zones: no part of the scene, but what lights it."""


@dataclass(frozen=True, eq=False)
class Weights:
    """A regression on the numbers of `histogram`."""

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    """(13,) each: of the numbers, over the scenes it was learned from."""
    slope: NDArray[np.float64]
    """(13,) EV for one spread."""
    bias: float
    """EV"""


def ratio(frame: Frame) -> float:
    """Find the ratio that exposes what is neither sky nor lamp as people do; infinity where there is no light."""
    lit = zones(frame)
    mean, numbers = histogram(lit)
    if mean <= 0:
        return float("inf")
    return min(2 ** predicted(numbers[None], shipped())[0] / mean, unclipped(lit))


def predicted(numbers: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    """Foretell log2(ratio x mean light): (N, 13) numbers -> (N,) EV."""
    return standard(numbers, weights.mean, weights.spread) @ weights.slope + weights.bias


def standard(
    numbers: NDArray[np.float64], mean: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Count numbers in spreads from their means, none farther than was learned."""
    return np.clip((numbers - mean) / spread, -FARTHEST, FARTHEST)


def unclipped(lit: Array) -> float:
    """The largest ratio at which no more than CLIPPED of the zones, lamps apart, are clipped."""
    limit = float(np.quantile(scene(lit).max(axis=1), 1 - CLIPPED))
    return 1 / limit if limit > 0 else float("inf")


def scene(lit: Array) -> Array:
    """Take lamps out: (h, w, 3) zones -> (N, 3), those no brighter than LAMP says; all where there is no light."""
    brightest = lit.max(axis=2)
    limit = LAMP * np.quantile(brightest, 0.9)
    return lit[brightest <= limit] if limit > 0 else lit.reshape(-1, 3)


def zones(frame: Frame) -> Array:
    """Average the visible light over zones: (h, w, 3) white-balanced, 1 where green saturates, negatives kept.

    Where the file gives no white balance the mean light counts as grey.
    """
    window, cell = frame.visible, CELL[frame.cfa]
    period = len(cell)
    wanted = max(LEAST_SIDE, (window.height * window.width / ZONES) ** 0.5)
    cells = max(1, min(-(-int(wanted) // period), window.height // period, window.width // period))
    side = cells * period
    height, width = window.height // side, window.width // side
    step = max(1, height * width * side * side // SITES)
    lit, count = np.zeros((height, width, 3)), np.zeros(3)
    for row, column in np.ndindex(period, period):
        seen = frame.mosaic[window.top + row :, window.left + column :]
        seen = seen[: height * side : period, : width * side : period].reshape(height, cells, -1)
        lines = seen[:, ::step].mean(axis=1, dtype=np.float32)
        spot = (window.top + row) % period, (window.left + column) % period
        black, colour = float(frame.black[spot]), cell[spot]
        light = (lines.reshape(height, width, cells).mean(axis=2) - black) / (frame.white - black)
        lit[..., colour] += light
        count[colour] += 1
    lit /= count
    means = lit.mean(axis=(0, 1))
    if frame.white_balance is not None:
        lit *= frame.white_balance
    elif means.min() > 0:
        lit *= means[1] / means
    return lit.astype(np.float32)


def histogram(lit: Array) -> tuple[float, NDArray[np.float64]]:
    """Describe the light of zones, lamps apart: its mean, and (13,) log2 of what else there is over that mean.

    In turn the quantiles GREYS of grey, BRIGHTEST of each zone's brightest colour, and the mean red and blue. Zeros
    where there is no light.
    """
    seen = scene(lit)
    grey = seen @ GREY
    greys = np.quantile(grey, GREYS)
    mean = float(np.minimum(grey, greys[CALM[0]]).mean())
    if mean <= 0:
        return mean, np.zeros(len(GREYS) + len(BRIGHTEST) + 2)
    colours = np.minimum(seen, greys[CALM[1]]).mean(axis=0)
    found = np.concatenate([greys, np.quantile(seen.max(axis=1), BRIGHTEST), colours[[0, 2]]])
    return mean, np.log2(np.maximum(found / mean, FLOOR))


@cache
def shipped() -> Weights:
    """Read the weights that ship."""
    told = documents.from_toml((files("darkroom.develop") / "meter.toml").read_text(encoding="utf-8"))
    mean, spread, slope = (np.array(told[name]) for name in ("mean", "spread", "slope"))
    return Weights(mean, spread, slope, told["bias"])


def dump(weights: Weights, made_by: str) -> str:
    """Write weights as TOML; `made_by`: the command, for those who read it."""
    lines = [f"# Made by: {made_by}"]
    for name in ("mean", "spread", "slope"):
        lines.append(f"{name} = [{', '.join(f'{number:.4f}' for number in getattr(weights, name))}]")
    return "\n".join([*lines, f"bias = {weights.bias:.4f}", ""])
