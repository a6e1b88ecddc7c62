"""White balance where the camera chose none: the grey world, held to what lights there are."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import colours
from made import MATRIX, PACKINGS, frame_of

from darkroom.develop import balance
from darkroom.frame import CELL


def in_light(gains, kind="bayer", black=512.0, **facts):
    """A frame whose grey world wants these gains, and each site of it at its own black level."""
    period = len(CELL[kind])
    blacks = black + 20 * np.arange(period**2, dtype=np.float32).reshape(period, period)
    level = np.tile(blacks, (24 // period, 24 // period))
    light = (0.05 / np.asarray(gains))[colours((24, 24), kind)]
    mosaic = np.rint(level + light * (60000 - level)).astype(np.uint16)
    frame = frame_of(mosaic, kind, white=60000)
    return replace(frame, black=blacks, **{"daylight": np.float32([2, 1, 1.5]), **facts})


@pytest.mark.parametrize("kind", PACKINGS)
def test_grey_world_knows_each_sites_black_level(kind):
    assert balance.grey_world(in_light((2, 1, 1.5), kind)) == pytest.approx([2, 1, 1.5], rel=2e-3)


LAMP = np.array([1.8451, 0.8261, 0.2333])
"""Linear sRGB of CIE illuminant A, by the matrix of IEC 61966-2-1."""


def along(share, matrix=np.eye(3)):
    """Gains so far from daylight's to those that an incandescent lamp wants."""
    camera = np.linalg.inv(matrix) @ LAMP
    return np.array([2, 1, 1.5]) * (camera[1] / camera) ** share


@pytest.mark.parametrize("matrix", [np.eye(3), MATRIX * 0.2 + np.eye(3) * 0.8])
@pytest.mark.parametrize(("share", "held"), [(-0.4, 0), (0, 0), (0.3, 0.3), (0.7, 0.7), (1, 1), (1.3, 1)])
def test_a_guess_lies_between_daylight_and_tungsten(matrix, share, held):
    guess, found = balance.guessed(in_light(along(share, matrix), camera_to_srgb=np.float32(matrix)))
    assert found == pytest.approx(held, abs=3e-3) and guess == pytest.approx(along(held, matrix), rel=5e-3)
    assert guess.dtype == np.float32


def test_a_guess_is_the_nearest_that_a_light_can_be():
    line = np.log(along(1) / along(0))
    aside = np.cross(line, [0, 1, 0])
    guess, share = balance.guessed(in_light(along(0.4) * np.exp(0.1 * aside / np.linalg.norm(aside))))
    assert share == pytest.approx(0.4, abs=3e-3) and guess == pytest.approx(along(0.4), rel=5e-3)


@pytest.mark.parametrize(("taken", "sensible"), [(0.13, False), (0.12, True)])
def test_a_matrix_that_makes_a_lamp_no_colour_leaves_daylight(taken, sensible):
    """A camera that takes so much of red from blue; the lamp has 1.8451 and 0.2333."""
    backward = np.eye(3)
    backward[2, 0] = -taken
    frame = in_light((1, 1, 3), camera_to_srgb=np.linalg.inv(backward).astype(np.float32))
    guess, share = balance.guessed(frame)
    assert (share > 0) == sensible and (guess.tolist() != [2, 1, 1.5]) == sensible


@pytest.mark.parametrize("daylight", [(1.27, 1, 1.27), (1 / 1.27, 1, 1 / 1.27), (1.3, 1, 1), (1, 1, 1 / 1.3)])
def test_gains_of_one_are_doubted_only_where_daylight_wants_a_quarter_more(daylight):
    ones = np.ones(3, np.float32)
    frame = in_light(daylight, daylight=np.float32(daylight), white_balance=ones)
    assert balance.unbalanced(frame) == (max(abs(np.log(daylight))) > 0.25)


def test_gains_that_are_not_all_one_or_not_there_are_not_doubted():
    frame = in_light((2, 1, 1.5), white_balance=np.ones(3, np.float32))
    assert balance.unbalanced(frame) is True
    for gains in ((1, 1, 1.01), (2, 1, 1)):
        assert balance.unbalanced(replace(frame, white_balance=np.float32(gains))) is False
    assert balance.unbalanced(replace(frame, white_balance=None)) is False
    assert balance.unbalanced(replace(frame, daylight=None)) is False


@pytest.mark.parametrize(("share", "doubted"), [(0.2, False), (0.6, False), (0.7, True), (0.9, True)])
def test_a_picture_nearer_to_a_light_than_to_grey_by_half_is_of_that_light(share, doubted):
    """From grey, in logarithms, straight to daylight: where two thirds of the way are gone, half as much is left."""
    daylight = np.array([2, 1, 2.5])
    frame = in_light(daylight**share, daylight=np.float32(daylight), white_balance=np.ones(3, np.float32))
    guess, held = balance.guessed(frame)
    assert held == 0 and guess == pytest.approx(daylight)
    assert balance.unbalanced(frame) is doubted
