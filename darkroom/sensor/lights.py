"""What scenes at night have and clean photos lack: lamps, stars, two lights at once, one strong colour, signs.

light (H, W, 3) of a photo in daylight or a bright room, 1 white  ->  the same place at night, in place

The photos that can be had under free licences are mostly of the day. What a network meets in the dark is therefore
drawn into a third of the crops; the others are only exposed differently, for most of a night scene is an ordinary
surface under little light.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Array = NDArray[np.float32]

LAMPS, STARS, SECOND_LIGHT, ONE_COLOUR, SIGNS = 0.10, 0.04, 0.10, 0.05, 0.05
"""Shares of the crops that get each, independently of one another."""
DIMMED = 0.5
"""Share of the other crops that are exposed less, or a little more, than the photo."""
BRIGHTEST = 8.0
"""Light of the brightest lamps and stars, 1 white."""
COLOURED = (
    (1.0, 0.55, 0.10),
    (1.0, 0.75, 0.45),
    (0.65, 0.85, 1.0),
    (1.0, 0.08, 0.05),
    (0.05, 0.15, 1.0),
    (0.2, 1.0, 0.3),
)
"""Linear sRGB of sodium and tungsten lamps, white, red, blue and green LEDs."""
LETTERS = np.array(list("ABCDEFGHIKLMNOPRSTUVWXYabcdefghiklmnoprstuvwxyz0123456789.,:-&/"))
SIZES = (7, 9, 11, 14, 18, 24, 32)
"""Heights of the letters in pixels: small print to shop signs."""


def draw(light: Array, rng: np.random.Generator) -> None:
    """Put into a place, in place, what is drawn for it, and make it darker."""
    lamps, stars, second, coloured, signs = rng.random(5) < (LAMPS, STARS, SECOND_LIGHT, ONE_COLOUR, SIGNS)
    if signs:
        _letter(light, rng)
    if second:
        _light_twice(light, rng)
    if coloured:
        light *= _colour(rng)
    if stars:
        light *= np.float32(2 ** rng.uniform(-6, -2))
        _add_stars(light, rng)
    elif lamps:
        light *= np.float32(2 ** rng.uniform(-4, 0))
        _add_lamps(light, rng)
    elif rng.random() < DIMMED:
        light *= np.float32(2 ** rng.uniform(-4, 0.5))


def _colour(rng: np.random.Generator) -> Array:
    """The colour of a lamp, (3,), its strongest channel 1; every third one white to warm."""
    pure = np.array(COLOURED[rng.integers(len(COLOURED))], np.float32)
    share = np.float32(rng.uniform(0, 1))
    return share * pure + (1 - share)


def _places(light: Array) -> tuple[Array, Array]:
    return np.arange(light.shape[0], dtype=np.float32)[:, None], np.arange(light.shape[1], dtype=np.float32)


def _add_lamps(light: Array, rng: np.random.Generator) -> None:
    """Add up to five lamps: a saturated disc of 0.7 to 8 pixels, a glow around it, now and then glare all over."""
    rows, cols = _places(light)
    for _ in range(rng.integers(1, 6)):
        row, col, radius = rng.uniform(0, light.shape[0]), rng.uniform(0, light.shape[1]), rng.uniform(0.7, 8)
        distance = np.sqrt((rows - np.float32(row)) ** 2 + (cols - np.float32(col)) ** 2)
        power = np.float32(rng.uniform(0.5, BRIGHTEST))
        shape = np.clip(np.float32(radius) - distance + np.float32(0.5), 0, 1) * power
        shape += np.float32(rng.uniform(0, 0.3)) * np.exp(-distance / np.float32(radius * rng.uniform(1, 5)))
        if rng.random() < 0.3:  # light scattered in the lens falls off as a power of the distance
            shape += power * np.float32(10 ** rng.uniform(-3, -1.5)) / (1 + (distance / np.float32(2 * radius)) ** 2)
        light += shape[..., None] * _colour(rng)


def _add_stars(light: Array, rng: np.random.Generator) -> None:
    """Add stars, the brighter the fewer, each as wide as a good lens makes it, some coloured a little."""
    reach = np.arange(-3, 4, dtype=np.float32)
    height, width = light.shape[:2]
    for _ in range(rng.integers(10, 150)):
        row, col = rng.uniform(4, height - 4), rng.uniform(4, width - 4)
        top, left, wide = int(row), int(col), np.float32(rng.uniform(0.5, 1.1))
        down = np.exp(-((reach - np.float32(row - top)) ** 2) / (2 * wide**2))
        across = np.exp(-((reach - np.float32(col - left)) ** 2) / (2 * wide**2))
        power = np.float32(min(0.03 / rng.uniform(0.003, 1), BRIGHTEST))
        tint = 1 - rng.uniform(0, 0.4, 3).astype(np.float32) * np.array([1, 0.3, 1], np.float32)
        light[top - 3 : top + 4, left - 3 : left + 4] += (power * down[:, None] * across)[..., None] * tint


def _light_twice(light: Array, rng: np.random.Generator) -> None:
    """Let another light, of its own colour and strength, fall on one side, with an edge that is soft or sharp."""
    rows, cols = _places(light)
    angle, side = rng.uniform(0, 2 * np.pi), max(light.shape[:2])
    along = rows * np.float32(np.sin(angle) / side) + cols * np.float32(np.cos(angle) / side)
    edge = np.float32(rng.uniform(along.min(), along.max()))
    steep = np.float32(10 ** rng.uniform(0.3, 2))
    lit = 1 / (1 + np.exp(np.clip((edge - along) * steep, -30, 30)))
    light *= 1 + lit[..., None] * (np.float32(2 ** rng.uniform(-4, 1)) * _colour(rng) - 1)


def _letter(light: Array, rng: np.random.Generator) -> None:
    """Write lines of letters across a part of it: dark on what is there, or glowing."""
    height, width = light.shape[:2]
    size = int(rng.choice(SIZES))
    drawn = Image.new("L", (width, height))
    pen = ImageDraw.Draw(drawn)
    left, top = int(rng.integers(width // 2)), int(rng.integers(height // 2))
    for line in range(rng.integers(1, 7)):
        text = "".join(rng.choice(LETTERS, rng.integers(3, 30)))
        pen.text((left, top + line * size * 1.3), text, fill=255, font=_font(size))
    ink = np.asarray(drawn.rotate(float(rng.normal(0, 8)), Image.Resampling.BICUBIC), np.float32)[..., None] / 255
    if rng.random() < 0.6:
        light *= 1 - ink * np.float32(rng.uniform(0.3, 0.95))
    else:
        light *= 1 - ink
        light += ink * _colour(rng) * np.float32(rng.uniform(0.1, 2))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
