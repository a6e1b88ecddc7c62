"""Scenes for the light meter: clean photos, as they are or lit by lamps at night.

(H, W, 3) linear sRGB as its photographer exposed it -> the same, with lamps far beyond white
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Scene = Literal["plain", "lamps", "night"]
"""plain: as it is. lamps: lamps in it. night: lit by them alone, what is out of their reach stays dark."""
SCENES: tuple[Scene, ...] = ("plain", "lamps", "night")

MOST = 12
"""Lamps of a scene, at most."""
LARGEST = 0.04
"""Radius of a lamp, at most, of the picture's width; the least is one pixel."""
BRIGHTEST = 16.0
"""Light of a lamp, at most; the least is half of white."""
UNLIT = (-7.0, -3.0)
"""EV of what no lamp reaches, by night."""


def lit(light: Array, scene: Scene, rng: np.random.Generator) -> Array:
    """Light a scene: (H, W, 3) -> (H, W, 3). By night what is lit best keeps the light its photographer chose."""
    if scene == "plain":
        return light
    height, width = light.shape[:2]
    rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    lamps = np.zeros_like(light)
    falling = np.full((height, width), 2.0 ** rng.uniform(*UNLIT), np.float32)
    for _ in range(rng.integers(1, MOST + 1)):
        row, column = rng.uniform(0, height), rng.uniform(0, width)
        radius = np.float32(np.exp(rng.uniform(0, np.log(max(LARGEST * width, 1)))))
        distance = np.sqrt((rows - np.float32(row)) ** 2 + (columns - np.float32(column)) ** 2)
        reach = np.float32(rng.uniform(0.1, 0.5) * width)
        falling += np.float32(rng.uniform(0.3, 1)) / (1 + (distance / reach) ** 2) ** np.float32(1.5)
        disc = np.clip(radius - distance + np.float32(0.5), 0, 1) * np.float32(2 ** rng.uniform(-1, np.log2(BRIGHTEST)))
        glow = np.float32(rng.uniform(0, 0.3)) * np.exp(-distance / (radius * np.float32(rng.uniform(1, 5))))
        lamps += (disc + glow)[..., None] * rng.uniform(0.4, 1, 3).astype(np.float32)
    if scene == "night":
        falling /= np.quantile(falling, 0.95)
        light = light * np.minimum(falling, np.float32(1.3))[..., None]
    return light + lamps
