"""What a linear DNG holds of the network's picture: light without white balance, and a small picture."""

import numpy as np
import pytest

from darkroom.develop import linear
from darkroom.frame import Window


def to_linear(encoded: np.ndarray) -> np.ndarray:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("height", [5, 255, 256, 257, 600])
def test_curve_and_white_balance_are_undone_at_every_pixel_of_the_window(height):
    rgb = np.random.default_rng(0).integers(0, 65536, (3, height + 7, 12), np.uint16)
    rgb[:, 3, 5:8] = np.array([0, 65535, 2650])
    neutral = np.array([0.5, 1, 0.75], np.float32)
    wanted = np.rint(65535 * to_linear(rgb / 65535) * neutral[:, None, None])[:, 3 : 3 + height, 5:11]
    given = rgb.copy()
    light = linear.undone(given, neutral=neutral, window=Window(3, 5, height, 6))
    assert light.shape == (height, 6, 3) and light.dtype == np.uint16 and np.shares_memory(light, given)
    assert np.array_equal(light, wanted.transpose(1, 2, 0))
    outside = np.ones(rgb.shape, bool)
    outside[:, 3 : 3 + height, 5:11] = False
    assert np.array_equal(given[outside], rgb[outside])


@pytest.mark.parametrize(
    ("size", "step", "small"),
    [
        ((3, 1024), (1, 1), (3, 1024)),
        ((3, 1025), (2, 2), (1, 512)),
        ((2049, 4), (3, 3), (683, 1)),
        ((1, 2048), (1, 2), (1, 1024)),
        ((2100, 2), (3, 2), (700, 1)),
    ],
)
def test_a_preview_is_the_mean_of_blocks_and_has_1024_pixels_along_a_side_at_most(size, step, small):
    rgb = np.random.default_rng(0).integers(0, 65536, (3, size[0] + 2, size[1] + 3), np.uint16)
    found = linear.reduced(rgb, Window(2, 1, *size))
    assert found.shape == (3, *small) and found.dtype == np.uint16
    for down, across in ((0, 0), (small[0] - 1, small[1] - 1), (small[0] // 2, small[1] // 3)):
        rows = slice(2 + down * step[0], 2 + (down + 1) * step[0])
        columns = slice(1 + across * step[1], 1 + (across + 1) * step[1])
        mean = rgb[:, rows, columns].mean((1, 2))
        assert (np.abs(found[:, down, across] - mean) <= 1).all()
