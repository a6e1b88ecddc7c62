"""The levels between which a sensor's light lies: black, and white where it saturates.

what LibRaw and the file's tags say, the mosaic -> DN
"""

import math

import numpy as np
from numpy.typing import NDArray

from darkroom.decode.decoder import Facts
from darkroom.decode.tags import Tags

_SATURATED = 0.75
"""of the stated white: a frame whose brightest sites lie between this and the stated white saturates there. LibRaw's
rule (adjust_maximum_thr), by which highlights stay neutral on cameras that clip early."""
_PLATEAU, _LEVEL = 16, 0.01
"""Sites that must be as bright as the brightest, and the share of its light by which they may fall short: hot sites
get as far in the darkest frame, but each as far as it happens to. And of those that fall short by twice as much they
must be more than half: light that is cut piles up, that of a bright wall thins out as its noise does."""


def black(facts: Facts, told: Tags, phase: tuple[int, int], cell: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the black level of each site of the cell: the file's own where that holds, else LibRaw's."""
    side = len(cell)
    grid = np.arange(side)
    # Where the canonical cell begins, in the picture's own rows and columns, is minus the phase.
    colours = facts.colours[np.ix_((grid - phase[0]) % side, (grid - phase[1]) % side)]
    libraw = facts.black[colours]
    pattern = told.black
    if pattern is None or not has_black(facts, told):
        return libraw
    starts = told.black_starts or (facts.top, facts.left)
    reach = [math.lcm(side, length) for length in pattern.shape]
    begins = np.array((facts.top, facts.left)) - starts - phase
    rows, columns = ((np.arange(reach[axis]) + begins[axis]) % pattern.shape[axis] for axis in (0, 1))
    # A pattern longer than the cell, as (4, 4) on Bayer, is averaged over the sites that share a place in it.
    tiled = pattern[np.ix_(rows, columns)].reshape(reach[0] // side, side, reach[1] // side, side)
    return tiled.mean((0, 2)).astype(np.float32)


def has_black(facts: Facts, told: Tags) -> bool:
    """Tell whether the file's own black level holds: where LibRaw agrees to 1 DN."""
    return told.black is not None and abs(told.black.min() - facts.black.min()) <= 1


def white(stated: float, darkest: float, mosaic: NDArray[np.uint16]) -> float:
    """The level at which the sensor saturates: what the file states, or less where the frame itself shows it.

    darkest: the least black level of its sites.
    """
    brightest = float(mosaic.max())
    if not _SATURATED * (stated - darkest) < brightest - darkest < stated - darkest:
        return stated
    step = _LEVEL * (brightest - darkest)
    near = mosaic[mosaic >= brightest - 2 * step]
    plateau = np.count_nonzero(near >= brightest - step)
    return brightest if plateau >= _PLATEAU and 2 * plateau > near.size else stated
