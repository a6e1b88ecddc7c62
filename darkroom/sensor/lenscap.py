"""A lens-cap frame -> what reading the sensor adds: read noise, rows, black error, and how the frame looks.

    (H, W) DN above black  ->  LensCap;  (H, W) DN  ->  Look

Read noise comes from a probability plot through the converter's own thresholds: the share of sites below each half step
is exact however coarse the steps, where a variance less 1/12 of a step squared is not once the noise is under half of
one. The shape is the one whose plot is straightest (PPCC, Filliben 1975), as ELD does it.
"""

from dataclasses import dataclass
from math import gamma, pi, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from darkroom.errors import SettingsError

SITES = ((0, 0), (0, 1), (1, 1), (1, 0))
"""Of the 2 x 2 cell, in the order of `Sensor.black_error`; X-Trans sensors, too, are read out by them."""

_TAIL = 1e-3
"""Share of sites at either end that a plot leaves out: hot sites live there."""
_ENOUGH, _LEAST = 6, 3
"""Thresholds: with fewer than the one the tails come in, with fewer than the other no shape can be told."""
_LEAST_BEYOND = 10
"""Sites beyond a threshold in the tails."""
_MOST_LOWEST = 0.25
"""Share of sites on the lowest level: more, and the camera cuts its noise off there."""
_SHAPES = np.arange(-0.4, 0.4001, 0.005)
_FAR = 6.0
"""sd: what is farther out counts as this far in a row's mean, where one hot site would show."""


@dataclass(frozen=True)
class Look:
    """A lens-cap frame in a few numbers, to hold a simulated one against a real one; DN where nothing else is said."""

    sd: float
    """Of all sites, each site of the cell around its own mean."""
    sites: float
    """sd of these means."""
    row: float
    """sd of the rows' means around a straight line, what white noise adds taken out; `column` likewise."""
    column: float
    neighbours: float
    """Correlation of a row's offset with the next row's: 0 where rows are independent, 1/2 where two share a noise."""
    drift: float
    """From the top of the frame to its bottom, along the straight line."""
    tails: float
    """Share of sites more than four sd out; 6e-5 in Gaussian noise."""
    along: float
    """Correlation of a site with the next of its kind in the row."""


@dataclass(frozen=True, eq=False)
class LensCap:
    """What one lens-cap frame tells, in DN."""

    black_error: tuple[float, ...]
    """Above the stated black, at SITES."""
    gauss: float
    """sd of the read noise as a Gaussian, quantisation and rows taken out: its normal probability plot's slope."""
    row: float
    """sd of the row offsets, what white noise adds to a row's mean taken out."""
    step: float
    """DN from one level in the file to the next."""
    plots: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]
    """For each of SITES, row offsets taken out: thresholds in DN, and the share of sites below them."""
    look: Look


def measure(mosaic: NDArray[np.integer], black: NDArray[np.floating], name: str) -> LensCap:
    """Measure a lens-cap frame: (H, W) DN and (H, W) black levels, H and W even.

    Raises SettingsError, which begins with `name`, where the noise is cut off at black or too small for the steps.
    """
    whole = np.rint(black).astype(np.int32)
    counts = mosaic.astype(np.int32) - whole
    levels, found = np.unique(counts[:512], return_counts=True)
    step = float(np.gcd.reduce(np.diff(levels))) if len(levels) > 1 else 1.0
    first = [_plot(counts[top::2, left::2], step) for top, left in SITES]
    if min(len(thresholds) for thresholds, _ in first) < _LEAST:
        raise SettingsError(f"{name}: its noise is under a third of the converter's step; calibrate at a higher ISO")
    if found[0] > _MOST_LOWEST * found.sum():
        raise SettingsError(
            f"{name}: {100 * found[0] / found.sum():.0f} % of it lies on its lowest level, the camera cuts its noise "
            "off there; such a sensor cannot be calibrated from lens-cap frames"
        )
    lines = [_normal_line(*plot) for plot in first]
    offsets = _row_offsets(counts, [line[0] for line in lines], lines[0][1])
    shift = np.rint(offsets / step).astype(np.int32) * np.int32(step)
    plots = [_plot(counts[top::2, left::2] - shift[top::2, None], step) for top, left in SITES]
    gauss = float(np.mean([_normal_line(*plot)[1] for plot in plots]))
    white = (gauss**2 + step**2 / 12) / mosaic.shape[1]
    left_over = max(float(np.var(offsets - shift)) - white, 0.0)
    gauss = float(np.sqrt(max(gauss**2 - left_over, 0.25 * gauss**2)))
    uneven = float(np.var(offsets - _line(offsets))) - white
    least = white * np.sqrt(2 / len(offsets))  # what a variance of so many rows is uncertain by
    fractions = black - whole
    return LensCap(
        black_error=tuple(
            float(line[0] - fractions[top::2, left::2].mean()) for line, (top, left) in zip(lines, SITES, strict=True)
        ),
        gauss=gauss,
        row=float(np.sqrt(max(uneven, least))),
        step=step,
        plots=tuple(plots),
        look=look(counts.astype(np.float32) - fractions.astype(np.float32)),
    )


def shape(frames: list[LensCap]) -> tuple[float, float]:
    """Fit the Tukey-lambda shape and scale that several frames share: the shape whose plots are straightest."""
    straight = np.zeros(len(_SHAPES))
    scales = np.zeros(len(_SHAPES))
    plots = [(plot, frame.gauss / _normal_line(*plot)[1]) for frame in frames for plot in frame.plots]
    for (thresholds, shares), correction in plots:
        for index, candidate in enumerate(_SHAPES):
            density = shares ** (candidate - 1) + (1 - shares) ** (candidate - 1)  # its quantile function's slope
            weights = 1 / (shares * (1 - shares) * density**2)  # how sure a threshold's place in the plot is
            slope, correlation = _fit(quantile(shares, candidate), thresholds, weights)[1:]
            straight[index] += np.log(max(1 - correlation, 1e-12))
            scales[index] += slope * correction / len(plots)
    best = int(np.argmin(straight))
    return round(float(_SHAPES[best]), 3), float(scales[best])


def quantile(shares: NDArray[np.float64], shape: float) -> NDArray[np.float64]:
    """Tukey's lambda distribution: the value below which a share lies; shape 0 is the logistic limit."""
    if abs(shape) < 1e-4:
        return np.log(shares / (1 - shares))
    return (shares**shape - (1 - shares) ** shape) / shape


def spread(shape: float) -> float:
    """Return the sd of Tukey's lambda distribution of scale 1, for shapes above -1/2.

    >>> round(spread(0.0), 3), round(spread(1.0), 3)  # logistic, uniform on -1 to 1
    (1.814, 0.577)
    """
    if abs(shape) < 1e-3:
        return pi / sqrt(3)
    return sqrt(2 * (1 / (1 + 2 * shape) - gamma(shape + 1) ** 2 / gamma(2 * shape + 2))) / abs(shape)


def look(dark: NDArray[np.floating]) -> Look:
    """Describe a lens-cap frame, real or simulated: (H, W) DN, H and W even."""
    means = [float(dark[top::2, left::2].mean(dtype=np.float64)) for top, left in SITES]
    flat = dark.astype(np.float32)
    for (top, left), mean in zip(SITES, means, strict=True):
        flat[top::2, left::2] -= np.float32(mean)
    sd = float(flat.std(dtype=np.float64))
    rows, columns = (flat.mean(axis, dtype=np.float64) for axis in (1, 0))
    line = _line(rows)
    rows = rows - line
    columns = columns - _line(columns)
    row, column = (
        max(float(np.var(means)) - sd**2 / other, 0.0) for means, other in ((rows, flat.shape[1]), (columns, len(flat)))
    )
    flat -= (rows + line).astype(np.float32)[:, None]
    return Look(
        sd=sd,
        sites=float(np.std(means)),
        row=float(np.sqrt(row)),
        column=float(np.sqrt(column)),
        neighbours=float(np.mean(rows[1:] * rows[:-1]) / row) if row else 0.0,
        drift=float(line[-1] - line[0]),
        tails=float(np.mean(np.abs(flat) > 4 * sd)),
        along=float(np.mean(flat[:, 2:] * flat[:, :-2], dtype=np.float64) / np.var(flat, dtype=np.float64)),
    )


def _plot(plane: NDArray[np.int32], step: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Thresholds halfway between levels, and the share of sites below each, as far out as sites are many enough."""
    lowest = int(plane.min())
    below = np.cumsum(np.bincount(((plane - lowest) // int(step)).ravel()))[:-1]
    beyond = np.minimum(below, plane.size - below)
    trusted = beyond >= max(_TAIL * plane.size, _LEAST_BEYOND)
    if trusted.sum() < _ENOUGH:
        trusted = beyond >= _LEAST_BEYOND
    thresholds = lowest + step * (np.arange(len(below), dtype=np.float64) + 0.5)
    return thresholds[trusted], below[trusted] / plane.size


def _normal_line(thresholds: NDArray[np.float64], shares: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and sd by the normal probability plot, every site counting the same."""
    normal = np.array([NormalDist().inv_cdf(share) for share in shares])
    mean, sd, _ = _fit(normal, thresholds, np.gradient(shares))
    return mean, sd


def _fit(x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float, float]:
    """Weighted straight line y(x): its value at 0, slope, and the correlation."""
    weights = weights / weights.sum()
    middle_x, middle_y = (weights * x).sum(), (weights * y).sum()
    across, both, up = (
        (weights * a * b).sum() for a, b in ((x - middle_x,) * 2, (x - middle_x, y - middle_y), (y - middle_y,) * 2)
    )
    slope = both / across
    return float(middle_y - slope * middle_x), float(slope), float(both / np.sqrt(across * up))


def _row_offsets(counts: NDArray[np.int32], means: list[float], sd: float) -> NDArray[np.float64]:
    """(H, W) -> (H,) mean of each row around the sites' means, hot sites tamed."""
    around = counts.astype(np.float32)
    for (top, left), mean in zip(SITES, means, strict=True):
        around[top::2, left::2] -= np.float32(mean)
    return np.clip(around, -_FAR * sd, _FAR * sd).mean(1, dtype=np.float64)


def _line(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The straight line through values."""
    places = np.arange(len(values)) - (len(values) - 1) / 2
    return values.mean() + places * float((places * values).sum() / (places**2).sum())
