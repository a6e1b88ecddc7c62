"""Tone of a picture in linear light: a shoulder for highlights, local tone mapping, local contrast. Colours stay.

(3, h, w) linear sRGB -> the same, each pixel times one number, so that hue and saturation are as they were and black
stays black

Local tone works on brightness in EV, split by a guided filter into a base, which follows edges, and detail (Durand and
Dorsey 2002, by the filter of He et al. 2010). The base is fitted on a small sample of the whole picture; the rest is
done band by band.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darkroom.develop import blocks

Array = NDArray[np.float32]

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Rec. 709 weights."""

KNEE = 0.5
"""Linear light from which the shoulder bends: three quarters of the way up in sRGB."""

SAMPLED = 384
"""Columns and rows, at most, of the sample that the base is fitted on."""
REACH = 16
"""Radius of the guided filter, in places of the sample: a 24th of the picture."""
EDGE = 1.0
"""The guided filter's regulariser, EV squared: steps well above 1 EV are edges, and stay in the base."""
DARKEST = -12.0
"""EV below white that count as black."""
GREY = -2.47
"""EV of middle grey, 18 %: what local tone neither lifts nor lowers."""
WIDTH = 2.5
"""EV from GREY at which most is lifted or lowered."""
MOST = 1.4
"""EV that are lifted or lowered there at strength 1. Above WIDTH / e^0.5 bright and dark would change places."""
DETAIL = 1.0
"""How much of the detail contrast adds at strength 1."""
FADED, WHOLE = -9.0, -5.0
"""EV of the base between which contrast sets in: what lies below is mostly noise."""


@dataclass(frozen=True, eq=False)
class Base:
    """Base brightness = slope x brightness + offset, EV, at the places of a sample."""

    slope: Array
    offset: Array
    """(h, w) each"""
    step: int
    """Pixels from one place to the next."""


def step(height: int, width: int) -> int:
    """Pixels between the places of a picture that its sample has."""
    return max(1, -(-max(height, width) // SAMPLED))


def base(sample: Array, step: int) -> Base:
    """Fit the base on every `step`-th pixel of a picture, from the `step // 2`-th: (3, h, w) linear sRGB."""
    bright = _brightness(sample)
    return Base(*blocks.guided(bright, bright, reach=REACH, smooth=EDGE), step)


def shape(light: Array, base: Base, rows: slice, *, tone: float, contrast: float) -> None:
    """Map the tones of a band of a picture, (3, h, w) linear sRGB, in place; `rows`: where in the picture it lies.

    tone: 0..1, how far shadows are lifted and lights lowered towards middle grey. contrast: 0..1, how much detail is
    strengthened.
    """
    bright, width = _brightness(light), light.shape[2]
    places = np.arange(rows.start, rows.stop)
    level = blocks.between(base.slope, places, width, base.step)
    level *= bright
    level += blocks.between(base.offset, places, width, base.step)
    gain = np.zeros_like(level)
    if tone:
        away = (level - np.float32(GREY)) / np.float32(WIDTH)
        gain -= np.float32(tone * MOST * np.exp(0.5)) * away * np.exp(-0.5 * away * away)
    if contrast:
        seen = np.clip((level - np.float32(FADED)) / np.float32(WHOLE - FADED), 0, 1)
        gain += np.float32(contrast * DETAIL) * (bright - level) * (seen * seen * (3 - 2 * seen))
    np.exp2(gain, out=gain)
    light *= gain


def roll(light: Array, white: float) -> None:
    """Bend highlights softly, in place: light of KNEE stays, `white`, at least 1, comes down to 1.

    (3, h, w) linear sRGB, negatives cut. The brightest of a pixel's three colours is bent and the others follow in
    proportion, so a lamp keeps its colour. A rational curve, of slope 1 at the knee.
    """
    np.maximum(light, 0, out=light)
    brightest = light.max(axis=0)
    np.maximum(brightest, np.float32(KNEE), out=brightest)
    steep = np.float32((white - KNEE) / (1 - KNEE))
    above = (brightest - np.float32(KNEE)) / np.float32(white - KNEE)
    bent = np.float32(1 - KNEE) * steep * above / (1 + (steep - 1) * above) + np.float32(KNEE)
    light *= bent / brightest


def _brightness(light: Array) -> Array:
    """(3, h, w) linear sRGB -> (h, w) EV."""
    grey = LUMA[0] * light[0] + LUMA[1] * light[1] + LUMA[2] * light[2]
    return np.log2(np.maximum(grey, np.float32(2.0**DARKEST), out=grey), out=grey)
