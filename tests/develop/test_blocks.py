"""Blocks of pixels: reduced, eroded, averaged and fitted over windows, and looked up in between."""

import numpy as np
import pytest

from darkroom.develop import blocks


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


@pytest.mark.parametrize("reduce", [np.max, np.min, np.mean])
@pytest.mark.parametrize("size", [(10, 15), (11, 15), (10, 13), (1, 1), (4, 19)])
def test_every_block_is_reduced_to_a_number_and_cut_ones_repeat_their_edge(reduce, size):
    planes = random(3, *size)
    found = blocks.by_blocks(planes, 5, reduce)
    height, width = (-(-length // 5) for length in size)
    assert found.shape == (3, height, width)
    for down, across in np.ndindex(height, width):
        rows = np.minimum(np.arange(5 * down, 5 * down + 5), size[0] - 1)
        columns = np.minimum(np.arange(5 * across, 5 * across + 5), size[1] - 1)
        assert found[:, down, across] == pytest.approx(reduce(planes[:, rows[:, None], columns], axis=(1, 2)), rel=1e-6)


@pytest.mark.parametrize("reach", [0, 1, 2])
def test_erosion_takes_the_least_around(reach):
    plane = random(6, 9)
    found = blocks.erode(plane, reach)
    for row, column in np.ndindex(6, 9):
        around = plane[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
        assert found[row, column] == around.min()


@pytest.mark.parametrize("reach", [0, 1, 3, 20])
def test_a_window_is_averaged_over_what_there_is_of_it(reach):
    plane = random(7, 10)
    found = blocks._box(plane, reach)
    assert found.dtype == np.float32
    for row, column in np.ndindex(7, 10):
        around = plane[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
        assert found[row, column] == pytest.approx(around.mean(), rel=1e-5)


def test_what_a_guide_explains_is_fitted_and_little_texture_counts_as_none():
    guide = 10 * random(20, 30)
    slope, offset = blocks.guided(guide, 3 * guide - 2, reach=4, smooth=1e-9)
    assert slope == pytest.approx(3, rel=1e-3) and offset == pytest.approx(-2, abs=1e-2)
    slope, offset = blocks.guided(guide, 3 * guide - 2, reach=40, smooth=float(guide.var()))
    assert slope == pytest.approx(1.5, rel=1e-3) and offset == pytest.approx(1.5 * guide.mean() - 2, rel=1e-3)


def test_a_fit_is_that_of_each_window_averaged_over_a_window():
    guide, plane = random(9, 11), random(9, 11, seed=1)
    slopes, offsets = np.empty((2, 9, 11))
    for row, column in np.ndindex(9, 11):
        around = np.s_[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
        covered = np.cov(guide[around].ravel(), plane[around].ravel(), bias=True)
        slopes[row, column] = covered[0, 1] / (covered[0, 0] + 0.01)
        offsets[row, column] = plane[around].mean() - slopes[row, column] * guide[around].mean()
    found = blocks.guided(guide, plane, reach=2, smooth=0.01)
    for mine, theirs in zip(found, (slopes, offsets), strict=True):
        assert mine == pytest.approx(blocks._box(theirs.astype(np.float32), 2), abs=1e-4)


@pytest.mark.parametrize("side", [1, 4, 5])
@pytest.mark.parametrize("size", [(1, 1), (1, 3), (4, 1), (3, 4)])
def test_between_their_centres_blocks_run_straight_and_beyond_the_outermost_flat(side, size):
    values = random(*size)
    rows, width = np.arange(2, 3 * side), 5 * side + 1
    centres = [np.arange(count) * side + side // 2 for count in size]
    lines = np.array([np.interp(rows, centres[0], values[:, column]) for column in range(size[1])])
    wanted = np.array([np.interp(np.arange(width), centres[1], line) for line in lines.T])
    assert blocks.between(values, rows, width, side) == pytest.approx(wanted.reshape(len(rows), width), abs=1e-6)
