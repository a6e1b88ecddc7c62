"""The steps of merging a burst, each by itself: levels of a picture, shifts, weights, the mean."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from made import frame_of

from darkroom.develop import burst, grain
from darkroom.errors import SettingsError
from darkroom.frame import CELL, Exposure


def random(*size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(size, np.float32)


def alike(first, other, noise: grain.Noise):
    """Two frames merged that have not moved, whatever is in them."""
    picture = random(*(length // len(first.black) for length in first.mosaic.shape))
    return burst.merged(first, [other], noise, lambda _: picture)


@pytest.mark.parametrize(
    ("size", "sides"),
    [
        ((127, 400), [(127, 400)]),
        ((128, 401), [(128, 401), (64, 200)]),
        ((403, 257), [(403, 257), (201, 128), (100, 64)]),
        ((1024, 1100), [(1024, 1100), (512, 550), (256, 275), (128, 137)]),
    ],
)
def test_pictures_are_halved_as_long_as_they_hold_two_tiles_and_thrice_at_most(size, sides):
    levels = burst._pyramid(random(*size))
    assert [level.shape for level in levels] == sides
    for larger, smaller in pairwise(levels):
        height, width = smaller.shape
        fours = larger[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
        assert np.allclose(smaller, fours.mean((1, 3)))


@pytest.mark.parametrize(("kind", "sites", "cells"), [("bayer", (1, 2, 1), 8), ("xtrans", (8, 20, 8), 2)])
@pytest.mark.parametrize("unlike", [0.0, 2.9, 5.0, 9.0])
def test_how_much_a_frame_counts_goes_by_its_difference_in_terms_of_noise(kind, sites, cells, unlike):
    """The means over a box of cells differ by the same in every colour; twice the noise of one is in a difference."""
    sd = 40.0
    apart = sd * (unlike * 2 / cells**2 * 3 / sum(sites)) ** 0.5
    first = frame_of(np.full((120, 120), 9000, np.uint16), kind, white=60000)
    other = replace(first, black=first.black - np.float32(apart))
    _, count = alike(first, other, grain.Noise(sd, 0.0))
    assert count - 1 == pytest.approx(1 / (1 + (max(unlike - 3, 0) / 2) ** 2), abs=1e-3)


def test_the_doubt_of_a_mean_is_that_of_its_light_and_of_its_sites():
    light = np.full((9, 9), 100, np.float32)
    assert burst._doubt(light, grain.Noise(3, 2), 4, 2) == pytest.approx(2 * (9 + 200) / (16 * 2))


def test_a_colour_that_differs_alone_counts_for_a_third():
    own = [np.zeros((8, 8), np.float32)] * 3
    ones = np.ones((8, 8), np.float32)
    weight = burst._agreement(own, [own[0], 2 * ones, own[2]], [ones, ones / 9, ones], np.zeros((8, 8, 2)), 4)
    assert weight == pytest.approx(1 / (1 + ((4 * 9 / 3 - 3) / 2) ** 2))


@pytest.mark.parametrize("axis", [0, 1])
def test_a_cell_counts_up_to_half_a_cell_beyond_the_edge_of_the_other_frame(axis):
    flat = [np.ones((5, 7), np.float32)] * 3
    for move, rows in ((0.4, 0), (0.6, 1), (1.4, 1), (1.6, 2)):
        for sign in (1, -1):
            field = np.zeros((5, 7, 2), np.float32)
            field[:, :, axis] = sign * move
            lines = burst._agreement(flat, flat, flat, field, 4).mean(1 - axis)[::sign]
            assert lines.tolist() == [1.0] * (len(lines) - rows) + [0.0] * rows


def test_means_are_those_of_each_colour_above_its_own_black():
    frame = frame_of(np.tile(np.array([[110, 210], [330, 440]], np.uint16), (2, 3)), "bayer")
    frame = replace(frame, black=np.array([[10, 20], [30, 40]], np.float32))
    assert [np.unique(mean).tolist() for mean in burst._means(frame)] == [[100], [(190 + 300) / 2], [400]]
    assert all(mean.shape == (2, 3) for mean in burst._means(frame))


@pytest.mark.parametrize(("kind", "size"), [("bayer", (13, 17)), ("xtrans", (26, 31))])
def test_every_site_takes_from_the_four_around_its_place(kind, size):
    rng = np.random.default_rng(7)
    frame = frame_of(rng.integers(500, 9000, size, np.uint16), kind)
    cell, side = CELL[kind], len(CELL[kind])
    height, width = (length // side for length in size)
    field = rng.uniform(-1.6, 1.6, (height, width, 2)).astype(np.float32)
    weight = rng.uniform(0.2, 1, (height, width)).astype(np.float32)
    totals, counts = ([np.zeros((height, width), np.float32) for _ in range(side**2)] for _ in range(2))
    burst._add(frame, frame.black, field, weight, totals, counts)
    for row, column in np.ndindex(height, width):
        move = field[row, column] * np.float32(side)
        for index, spot in enumerate(np.ndindex(side, side)):
            total = share = 0.0
            for step in np.ndindex(2, 2):
                corner = np.floor(move).astype(int) + (row * side, column * side) + step
                place = corner + spot
                if (
                    (corner - step < 0).any()
                    or corner[0] + side > height * side
                    or corner[1] + side > width * side
                    or cell[tuple(place % side)] != cell[spot]
                ):
                    continue
                away = np.square(step - (move - np.floor(move))).sum()
                near = weight[row, column] * np.exp(-away / (2 * 0.6**2))
                total, share = total + near * frame.mosaic[tuple(place)], share + near
            assert totals[index][row, column] == pytest.approx(total, rel=1e-4)
            assert counts[index][row, column] == pytest.approx(share, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize(("white", "finer"), [(1023, 16), (4095, 16), (4096, 15), (16383, 4), (40000, 1), (65535, 1)])
def test_levels_are_made_finer_as_far_as_16_bits_hold_them(white, finer):
    mosaic = np.full((71, 83), white // 2, np.uint16)
    mosaic[-1], mosaic[:, -1] = np.arange(83), np.arange(71)
    first = frame_of(mosaic, "bayer", black=64, white=white)
    made, count = alike(first, first, grain.Noise(5, 1))
    assert np.array_equal(made.mosaic, mosaic * finer), "and what lies beyond the last whole cell is there"
    assert (made.white, made.black[0, 0], count) == (white * finer, 64 * finer, 2)


def test_what_is_clipped_in_the_first_frame_stays_clipped():
    first = frame_of(np.full((64, 64), 3000, np.uint16), "bayer", white=4000)
    first.mosaic[20, 20:24] = (3999, 4000, 4001, 3000)
    other = replace(first, mosaic=np.full((64, 64), 3000, np.uint16))
    made, _ = alike(first, other, grain.Noise(500, 0))
    assert made.mosaic[20, 21:24].tolist() == [64000, 64000, 48000] and made.mosaic[20, 20] < 60000


def test_a_mean_is_rounded_to_the_nearest_step():
    first = frame_of(np.full((64, 64), 40000, np.uint16), "bayer", white=60000)
    others = [replace(first, mosaic=first.mosaic + np.uint16(step)) for step in (2, 3)]
    picture = random(32, 32)
    made, _ = burst.merged(first, others, grain.Noise(500, 0), lambda _: picture)
    centre = made.mosaic[16:-16, 16:-16]
    assert np.unique(centre).tolist() == [40002]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"camera": "B"}, "has camera B, the first frame test"),
        ({"mosaic": np.zeros((6, 8), np.uint16)}, r"has size \(6, 8\), the first frame \(8, 8\)"),
        ({"exposure": Exposure(0.1, 1600, 2.8)}, "has ISO 1600, the first frame 3200"),
        ({"exposure": Exposure(0.2, 3200, 2.8)}, "has exposure time 0.2, the first frame 0.1"),
    ],
)
def test_a_frame_of_another_burst_is_told_by_what_differs(change, told):
    first = frame_of(np.zeros((8, 8), np.uint16), "bayer")
    burst.refuse_other(replace(first, exposure=Exposure(0.1, 3200, 5.6)), first)
    with pytest.raises(SettingsError, match=told):
        burst.refuse_other(replace(first, **change), first)


@pytest.mark.parametrize("shift", [(6, -6), (-6, 6), (-5, 2)])
def test_the_whole_picture_is_followed_for_six_pixels_and_no_more(shift):
    guide = random(64, 70)
    assert burst._whole(guide, np.roll(guide, shift, (0, 1))) == shift
    assert burst._whole(guide, np.roll(guide, (7, 0), (0, 1))) != (7, 0)
    assert burst._whole(guide, np.roll(guide, (0, -7), (0, 1))) != (0, -7)


def test_parts_of_a_picture_are_followed_each_for_itself():
    scene = sum(side * burst._box(random(280, 344, seed=side), side) for side in (4, 16, 32))
    other = scene[12:268, 12:332].copy()
    other[:, :160], other[:, 160:] = scene[6:262, 8:168], scene[18:274, 174:334]
    found = burst._aligned(burst._pyramid(scene[12:268, 12:332]), burst._pyramid(other))
    assert found.shape == (8, 10, 2)
    assert (found[:, :4] == (6, 4)).all() and (found[:, 6:] == (-6, -2)).all()


@pytest.mark.parametrize(("size", "tiles"), [((20, 31), (1, 1)), ((32, 63), (1, 1)), ((64, 100), (2, 3))])
def test_a_picture_has_its_whole_tiles_and_one_at_least(size, tiles):
    guide = random(*size)
    assert burst._aligned([guide], [guide]).tolist() == np.zeros((*tiles, 2)).tolist()
    found = burst._tiles(guide, (*tiles, 2))
    for down, across in np.ndindex(tiles):
        assert np.array_equal(found[down, across], guide[32 * down :, 32 * across :][:32, :32])
    assert burst._texture(guide, (*tiles, 2)) == pytest.approx(found.reshape(*tiles, -1).std(2), rel=1e-5)


def test_a_tile_differs_by_the_mean_at_its_own_shift_and_the_edge_goes_on():
    guide, other = random(70, 100), random(66, 98, seed=1)
    shifts = np.array([[[-9, 3], [2, -5], [40, 1]], [[0, 0], [7, 11], [-1, 60]]])
    found = burst._difference(guide, other, shifts)
    around = np.pad(other, 80, "edge")
    for down, across in np.ndindex(2, 3):
        top, left = np.array([32 * down + 80, 32 * across + 80]) + shifts[down, across]
        own = guide[32 * down : 32 * down + 32, 32 * across : 32 * across + 32]
        wanted = np.abs(own - around[top : top + 32, left : left + 32]).mean()
        assert found[down, across] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(("light", "followed"), [(0.6, 0), (0.4, 2)])
def test_a_shift_is_followed_only_where_it_leaves_plainly_less(light, followed):
    """Two rows of 32 are this light and the others 1: a difference of 0.975 or 0.9625 in place of 1."""
    other = np.ones((36, 32), np.float32)
    other[32:] = light
    found = burst._refined(np.zeros((32, 32), np.float32), other, np.zeros((1, 1, 2), np.intp))
    assert found.tolist() == [[[followed, found[0, 0, 1]]]]


@pytest.mark.parametrize("shift", [(2, -2), (-2, 2), (1, 0), (0, -1)])
def test_a_tile_is_followed_for_two_pixels_around_where_it_was_looked_for(shift):
    scene = random(60, 60)
    guide, other = scene[10:42, 10:42], scene[10 - shift[0] :, 10 - shift[1] :][:32, :32]
    start = np.zeros((1, 1, 2), np.intp)
    assert burst._refined(guide, other, start).tolist() == [[list(shift)]]
    assert start.tolist() == [[[0, 0]]]
    beyond = [3 * (step > 0) - 3 * (step < 0) for step in shift]
    far = scene[10 - beyond[0] :, 10 - beyond[1] :][:32, :32]
    assert burst._refined(guide, far, start).tolist() != [[beyond]]
    assert burst._refined(guide, far, start + np.sign(shift)).tolist() == [[beyond]]


def test_a_tile_takes_the_middle_of_its_own_and_its_neighbours_shifts():
    shifts = np.random.default_rng(0).integers(-9, 10, (4, 5, 2))
    found = burst._smoothed(shifts)
    for row, column in np.ndindex(4, 5):
        nine = shifts[np.ix_(np.clip(row + np.arange(-1, 2), 0, 3), np.clip(column + np.arange(-1, 2), 0, 4))]
        assert found[row, column].tolist() == np.median(nine.reshape(9, 2), 0).tolist()


@pytest.mark.parametrize(
    ("light", "whole", "own"), [(8.2, 0.5, True), (7.5, 0.5, False), (8.2, 1.2, False), (7.5, 1.2, False)]
)
def test_a_tile_strays_that_is_a_cell_away_and_differs_by_seven_tenths_there(light, whole, own, monkeypatch):
    """Seen two pixels down: a difference of 1, and of (2 light + 30) / 32 where the whole picture has moved to."""
    guide, other = np.zeros((32, 32), np.float32), np.ones((34, 32), np.float32)
    other[:2] = light
    monkeypatch.setattr(burst, "_aligned", lambda *_: np.array([[[2, 0]]]))
    monkeypatch.setattr(burst, "_followed", lambda *_: np.array([[whole, 0], [0, 0], [0, 0]]))
    assert burst._motion([guide], [other])[0, 0, 0] == pytest.approx(2 if own else whole)


def test_the_motion_of_the_whole_is_the_one_at_which_strays_have_lost_their_say():
    """Each tile's residual counts by 1 / (1 + (r / 0.5)^2), times what the tile has to say."""
    rng = np.random.default_rng(2)
    rows, columns = (each.ravel() / 1000 for each in np.indices((9, 12)) * 32)
    places = np.stack([np.ones(108), rows, columns], 1)
    shifts = rng.normal(0, 0.4, (108, 2)) + places @ np.array([[3, -2], [1, 4], [-5, 2]])
    shifts[::5] += (1.5, 0)
    say = rng.uniform(0.5, 2, 108)
    found = burst._fitted(shifts.reshape(9, 12, 2), places, say.reshape(9, 12))
    left = shifts - places @ found
    pull = places.T @ (left * (say / (1 + np.square(left).sum(1) / 0.25))[:, None])
    assert np.abs(pull).max() < 0.1


def test_tiles_without_texture_have_all_the_same_say():
    places = np.ones((6, 3)) * (1, 0, 0)
    found = burst._fitted(np.full((2, 3, 2), 4), places, np.zeros((2, 3)))
    assert found == pytest.approx(np.array([[4, 4], [0, 0], [0, 0]]))


@pytest.mark.parametrize(("off", "rounds"), [(0.0, 1), (0.019, 1), (0.021, 6)])
def test_a_motion_is_refined_until_it_stands_still_and_six_times_at_most(off, rounds, monkeypatch):
    guide = np.repeat(np.arange(40, dtype=np.float32)[:, None], 50, 1)
    asked = []

    def seen(_, rows, columns):
        asked.append((rows[0, 0], columns[0, 0]))
        return guide + np.float32(off)

    monkeypatch.setattr(burst, "_between", seen)
    moved = burst._followed(guide, guide, np.zeros((3, 2)))
    assert len(asked) == rounds
    assert moved[0] == pytest.approx([-off * rounds, 0], abs=1e-5) and np.abs(moved[1:]).max() < 1e-3


def test_pixels_that_are_far_off_have_less_say_in_the_motion_and_those_beyond_the_edge_none(monkeypatch):
    monkeypatch.setattr(burst, "FOLLOWED", 1)
    rng = np.random.default_rng(0)
    down, across = np.indices((30, 40)).astype(np.float32)
    guide = down
    off = rng.normal(0, 0.2, guide.shape) + 2 * (rng.random(guide.shape) < 0.2)
    monkeypatch.setattr(burst, "_between", lambda *_: (guide + off).astype(np.float32))
    start = np.array([[3.5, -2.5], [0, 0], [0, 0]])
    moved = burst._followed(guide, guide, start)
    inside = (down + 3.5 <= 29) & (across - 2.5 >= 0)
    weight = np.sqrt(inside / (1 + np.square(off / (3 * np.median(np.abs(off)))))).ravel()
    terms = np.stack([np.ones(1200), down.ravel() / 1000, across.ravel() / 1000], 1)
    step = np.linalg.lstsq(terms * weight[:, None], off.ravel() * weight, rcond=None)[0]
    assert moved[:, 0] == pytest.approx(start[:, 0] - step, rel=1e-3, abs=1e-3)
    assert moved[:, 1] == pytest.approx(start[:, 1], abs=1e-6)


def test_between_the_centres_of_tiles_the_motion_runs_straight():
    motion = random(3, 4, 2)
    found = burst._spread(motion, (101, 130))
    centres = np.arange(4) * 32 + 15.5
    for axis in range(2):
        lines = np.array([np.interp(np.arange(101), centres[:3], motion[:, tile, axis]) for tile in range(4)])
        wanted = np.array([np.interp(np.arange(130), centres, line) for line in lines.T])
        assert found[:, :, axis] == pytest.approx(wanted, abs=1e-5)
