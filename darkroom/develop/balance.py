"""White balance: what the user chose, what the file says, or what the picture itself shows.

frame -> gains (3,) of red, green and blue, green = 1
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from darkroom.frame import CELL, SRGB_TO_XYZ, Frame

Array = NDArray[np.float32]

WhiteBalance = Literal["camera", "daylight", "auto"] | tuple[float, float, float]

_TUNGSTEN = np.linalg.inv(SRGB_TO_XYZ) @ np.array([1.09850, 1.0, 0.35585])
"""(3,) linear sRGB of CIE illuminant A, the light of an incandescent lamp at 2856 K (CIE 15)."""
_UNEQUAL = 0.25
"""Natural logarithm of a daylight gain from which on gains of 1 are doubted."""


def gains(frame: Frame, chosen: WhiteBalance) -> tuple[Array, tuple[str, ...]]:
    """White-balance gains, (3,) with green = 1, and a note where the choice could not be had."""
    if not isinstance(chosen, str):
        return np.array(chosen, np.float32) / np.float32(chosen[1]), ()
    assumed = frame.sources.white_balance == "daylight"
    if chosen == "camera" and frame.daylight is not None and (assumed or unbalanced(frame)):
        guess, share = guessed(frame)
        light = "daylight" if share < 0.005 else "tungsten" if share == 1 else f"{share:.0%} from daylight to tungsten"
        return guess, (f"white balance guessed from the picture: {light}",)
    if chosen == "camera" and frame.white_balance is not None:
        return frame.white_balance, ()
    if chosen == "daylight" and frame.daylight is not None:
        return frame.daylight, ()
    notes = () if chosen == "auto" else (f"the file has no {chosen} white balance; grey-world gains are used",)
    return grey_world(frame), notes


def grey_world(frame: Frame) -> Array:
    """White-balance gains that make the mean light of the frame neutral: (3,), green = 1.

    Negative light is kept in the mean, so noise does not tint it. Falls back to ones where a
    colour has no light at all.
    """
    cell = CELL[frame.cfa]
    period = len(cell)
    total, count = np.zeros(3), np.zeros(3)
    for (top, left), colour in np.ndenumerate(cell):
        sites = frame.mosaic[top::period, left::period]
        mean = sites.mean(dtype=np.float64)
        total[colour] += (mean - frame.black[top, left]) / (frame.white - frame.black[top, left])
        count[colour] += 1
    means = total / count
    if means.min() <= 0:
        return np.ones(3, np.float32)
    return (means[1] / means).astype(np.float32)


def guessed(frame: Frame) -> tuple[Array, float]:
    """Guess white-balance gains where the camera chose none: those of `grey_world`, held to what lights there are.

    Daylight and incandescent light span a line in the logarithms of the gains, which the frame's own colour calibration
    gives; the guess is the point of it nearest to the grey world. Returns the gains, (3,), green = 1, and how far along
    they are: 0 daylight, 1 tungsten. The frame must know daylight.
    """
    assert frame.daylight is not None
    seen = np.linalg.inv(frame.camera_to_srgb.astype(np.float64)) @ _TUNGSTEN
    if seen.min() <= 0:  # a matrix that makes no sense of lamps: daylight is all that is known
        return frame.daylight, 0.0
    day, line = np.log(frame.daylight.astype(np.float64)), np.log(seen[1] / seen)
    towards = float((np.log(grey_world(frame)) - day) @ line / (line @ line))
    share = min(max(towards, 0.0), 1.0)
    return np.exp(day + share * line).astype(np.float32), share


def unbalanced(frame: Frame) -> bool:
    """Tell whether the camera's gains are ones that stand for none: no sensor needs these whose daylight is far off.

    Some cameras balance before they record (Nikon D1); there the picture is grey as it is, so the picture decides.
    """
    gains, daylight = frame.white_balance, frame.daylight
    if gains is None or daylight is None or (gains != 1).any() or abs(np.log(daylight)).max() < _UNEQUAL:
        return False
    grey, guess = np.log(grey_world(frame)), np.log(guessed(frame)[0])
    return bool(np.linalg.norm(grey - guess) < np.linalg.norm(grey) / 2)
