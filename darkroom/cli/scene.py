"""A night scene, drawn: what the demo photographs.

-> (H, W, 3) float32 linear sRGB; lamps reach beyond 1. The same at every call.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from darkroom.develop.curves import srgb_to_linear

WIDTH, HEIGHT = 1200, 800

CHART = (
    "735244 c29682 627a9d 576c43 8580b1 67bdaa d67e2c 505ba6 c15a63 5e3c6c 9dbc40 e0a32e"
    " 383d96 469449 af363c e7c71f bb5695 0885a1 f3f3f2 c8c8c8 a0a0a0 7a7a79 555555 343434"
).split()
"""The 24 patches of the ColorChecker chart, sRGB (X-Rite's published values)."""

TEXT = "It is better to light a candle than to curse the darkness."


def draw() -> NDArray[np.float32]:
    """Draw a wall with a colour chart, text, textures and two lamps, in a room lit from the left."""
    picture = Image.fromarray(_wall())
    pen = ImageDraw.Draw(picture)
    _chart(pen, left=60, top=70, side=72)
    _page(pen, left=640, top=60)
    _spokes(pen, centre=(180, 590), radius=130)
    _stripes(pen, left=350, top=470)
    _shelf(pen, left=640, top=480)
    light = srgb_to_linear(np.asarray(picture, np.float32) / 255).astype(np.float32)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    light *= (0.75 - 0.35 * columns / WIDTH)[..., None]
    for row, column, colour in ((120, 570, (1.0, 0.72, 0.38)), (420, 1120, (0.75, 0.85, 1.0))):
        squared = (rows - row) ** 2 + (columns - column) ** 2
        glow = 6 * (squared < 14**2) + 0.5 / (1 + squared / 60**2)
        light += glow[..., None] * np.array(colour, np.float32) * (0.15 + light)
        light[squared < 14**2] = 4 * np.array(colour, np.float32)
    return light


def _wall() -> NDArray[np.uint8]:
    """Bricks, each of its own shade, with mortar between."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    course = rows // 40
    shifted = columns + (course % 2) * 50
    shades = rng.integers(-18, 19, (HEIGHT // 40 + 1, WIDTH // 100 + 2))
    shade = shades[course, shifted // 100] + rng.normal(0, 4, (HEIGHT, WIDTH))
    mortar = (rows % 40 < 4) | (shifted % 100 < 4)
    brick = np.array((150, 92, 74)) + shade[..., None] * np.array((1.0, 0.8, 0.7))
    wall = np.where(mortar[..., None], 148 + shade[..., None] / 3, brick)
    return np.clip(wall, 0, 255).astype(np.uint8)


def _chart(pen: ImageDraw.ImageDraw, *, left: int, top: int, side: int) -> None:
    pen.rectangle((left - 12, top - 12, left + 6 * side + 4, top + 4 * side + 4), fill="#181818")
    for number, patch in enumerate(CHART):
        x, y = left + number % 6 * side, top + number // 6 * side
        pen.rectangle((x, y, x + side - 9, y + side - 9), fill=f"#{patch}")


def _page(pen: ImageDraw.ImageDraw, *, left: int, top: int) -> None:
    """A sheet of paper with text that shrinks."""
    pen.rectangle((left, top, left + 500, top + 330), fill="#ece6d8")
    y = top + 22
    for size in (46, 34, 26, 20, 16, 13, 11):
        font = ImageFont.load_default(size)
        words = TEXT.split()
        while pen.textlength(" ".join(words), font) > 450:
            words.pop()
        pen.text((left + 24, y), " ".join(words), font=font, fill="#23211e")
        y += round(size * 1.55)


def _spokes(pen: ImageDraw.ImageDraw, *, centre: tuple[int, int], radius: int) -> None:
    """A Siemens star: detail that grows finer towards the middle."""
    x, y = centre
    box = (x - radius, y - radius, x + radius, y + radius)
    pen.ellipse(box, fill="#e8e8e8")
    for spoke in range(36):
        pen.pieslice(box, spoke * 10, spoke * 10 + 5, fill="#1c1c1c")


def _stripes(pen: ImageDraw.ImageDraw, *, left: int, top: int) -> None:
    """A woven cloth, its threads 20 to 4 pixels wide."""
    for number, width in enumerate((20, 12, 7, 4)):
        x = left + number * 62
        for y in range(top, top + 250, width):
            even = (y - top) // width % 2
            for step, across in enumerate(range(x, x + 60, width)):
                colour = "#b8343c" if (step + even) % 2 else "#27456e"
                pen.rectangle((across, y, min(across + width, x + 60) - 1, min(y + width, top + 250) - 1), fill=colour)


def _shelf(pen: ImageDraw.ImageDraw, *, left: int, top: int) -> None:
    """Books on a board: flat colours, hard edges, small print."""
    rng = np.random.default_rng(2)
    pen.rectangle((left - 20, top + 230, left + 500, top + 252), fill="#5b3a21")
    x = left
    for number in range(12):
        width, height = int(rng.integers(24, 46)), int(rng.integers(150, 225))
        colour = tuple(int(c) for c in rng.integers(30, 220, 3))
        pen.rectangle((x, top + 230 - height, x + width, top + 229), fill=colour)
        pen.rectangle((x + 4, top + 230 - height + 14, x + width - 4, top + 230 - height + 34), fill="#d8cfa8")
        pen.text((x + 6, top + 230 - height + 18), f"{number + 1:02}", font=ImageFont.load_default(11), fill="#111111")
        x += width + 3
