"""Pictures of networks, whole and in pieces, and the short way to finish them."""

from itertools import pairwise

import numpy as np

from darkroom.develop import finish
from darkroom.develop.finish import Look
from darkroom.frame import Window

MATRIX = np.array([[1.8, -0.6, -0.2], [-0.2, 1.5, -0.3], [0.05, -0.5, 1.45]])
IDENTITY = np.eye(3)
HAZE = "dehaze"
"""Stands for a plain look, dehazed."""


def develop(rgb, matrix=IDENTITY, window=None, orientation=1, look=Look(), bits=8, dehaze=False):
    window = window or Window(0, 0, *rgb.shape[1:])
    if look == HAZE:
        look, dehaze = Look(), True
    return finish.render(
        rgb, matrix=matrix, window=window, orientation=orientation, look=look, bits=bits, dehaze=dehaze
    )


def random(shape=(61, 83), *, low=0, high=65536, seed=0):
    return np.random.default_rng(seed).integers(low, high, (3, *shape), np.uint16)


def to_linear(encoded):
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def to_srgb(linear):
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.abs(linear) ** (1 / 2.4) - 0.055)


def in_pieces(rgb, down=2, across=3, onward="down"):
    """The picture as a network gives it, strip by strip."""
    rows, cols = (
        [slice(*span) for span in pairwise(np.linspace(0, side, parts + 1).astype(int).tolist())]
        for side, parts in zip(rgb.shape[1:], (down, across), strict=True)
    )
    for first in {"down": rows, "up": rows[::-1], "right": cols, "left": cols[::-1]}[onward]:
        for second in cols if onward in ("down", "up") else rows:
            row, col = (first, second) if onward in ("down", "up") else (second, first)
            yield row, col, rgb[:, row, col]


def bands_read(module, monkeypatch):
    """What goes through a module's `light_of` from now on: first row and last of each band, by a picture's numbers."""
    taken, real = [], module.light_of

    def light(codes):
        taken.append((codes[0, 0, 0], codes[-1, 0, 0] + 1))
        return real(codes)

    monkeypatch.setattr(module, "light_of", light)
    return taken
