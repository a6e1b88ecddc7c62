"""What is made of the facts that LibRaw and the tags tell: levels, gains, crops, matrices, each at its limit."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import noise
from numpy.typing import NDArray

from darkroom.decode import decoder, levels, raw, tags
from darkroom.errors import RawError
from darkroom.frame import CELL, SRGB_TO_XYZ, Frame, Window

BAYER_PHASES = list(itertools.product(range(2), range(2)))


def facts(**changes) -> decoder.Facts:
    """What LibRaw would say of a sound Bayer file."""
    told = decoder.Facts(
        height=40,
        width=60,
        top=0,
        left=0,
        colours=np.array([0, 1, 3, 2], np.uint8)[[[i % 2 * 2 + j % 2 for j in range(16)] for i in range(16)]],
        names="RGBG",
        black=np.full(4, 512, np.float32),
        white=16383.0,
        camera_gains=np.array([2, 1, 1.5, 1], np.float32),
        daylight_gains=np.array([1.9, 1, 1.4, 1], np.float32),
        camera_to_srgb=np.eye(3, 4, dtype=np.float32),
        xyz_to_camera=np.zeros((4, 3), np.float32),
        seconds=0.1,
        iso=6400.0,
        aperture=2.0,
        flip=0,
        pixel_aspect=1.0,
        chatter="",
    )
    return replace(told, **changes)


def framed(mosaic: NDArray[np.uint16], told: tags.Tags | None = None, **changes) -> Frame:
    """The frame of a mosaic whose facts are `changes` away from sound ones."""
    return raw._frame(Path("a.dng"), facts(**changes), told or tags.Tags(), "bayer", (0, 0), mosaic)


@pytest.mark.parametrize(
    ("gains", "scaled"),
    [
        ((2, 1, 1.5, 1), (2, 1, 1.5)),
        ((600, 300, 450, 0), (2, 1, 1.5)),
        ((49.9, 1, 1, 1), (49.9, 1, 1)),
        ((50.1, 1, 1, 1), None),
        ((1, 1, 0.021, 1), (1, 1, 0.021)),
        ((1, 1, 0.019, 1), None),
        ((1, 1, 0, 1), None),
        ((-2, -1, -1.5, 1), None),
        ((np.inf, 1, 1, 1), None),
        ((1, np.nan, 1, 1), None),
    ],
)
def test_gains_count_from_green_between_a_fiftieth_and_fifty(gains, scaled):
    found = raw._gains(np.array(gains, np.float32))
    if scaled is None:
        assert found is None
    else:
        np.testing.assert_allclose(found, scaled, rtol=1e-6)
        assert found.dtype == np.float32


@pytest.mark.parametrize(("brightest", "white"), [(12415, 16383), (12416, 12416), (16383, 16383), (17000, 16383)])
def test_a_frame_saturates_early_from_three_quarters_between_black_and_white(brightest, white):
    mosaic = noise((40, 60))  # 512 + 0.75 * (16383 - 512) is 12415.25
    mosaic[7, 9:25] = brightest
    frame = framed(mosaic)
    assert frame.white == white
    assert frame.sources.white == ("brightest site" if white == 12416 else "LibRaw")


@pytest.mark.parametrize(
    ("black", "white", "sound"), [(512, 512, False), (512, 513, True), (0, 65535, True), (0, 65536, False)]
)
def test_white_lies_above_black_and_within_16_bits(black, white, sound):
    levels = np.array([0, 0, black, 0], np.float32)
    if sound:
        assert framed(noise((40, 60)), black=levels, white=float(white)).bits == white.bit_length()
    else:
        with pytest.raises(RawError, match=f"white level {white} is not above black level {black}"):
            framed(noise((40, 60)), black=levels, white=float(white))


@pytest.mark.parametrize(("black", "floor", "noted"), [(0, 20, False), (0, 21, True), (1, 21, False)])
def test_a_floor_is_noted_from_a_five_hundredth_of_white(black, floor, noted):
    mosaic = noise((40, 60), low=floor + 1, high=5000)
    mosaic[3, 5] = floor
    frame = framed(mosaic, black=np.array([0, 0, 0, black], np.float32), white=10000.0)
    assert (
        f"black level 0 in the file, yet no site reads below {floor} DN: expect a grey veil" in frame.notes
    ) is noted


@pytest.mark.parametrize(("flip", "orientation"), [*enumerate([1, 2, 4, 3, 5, 8, 6, 7]), (8, 1), (-1, 1)])
def test_a_flip_of_libraw_is_an_orientation_of_exif(flip, orientation):
    assert framed(noise((40, 60)), flip=flip).orientation == orientation


@pytest.mark.parametrize(("own", "holds"), [(510, False), (511, True), (513, True), (514, False), (None, False)])
def test_the_black_of_the_tags_holds_where_libraw_agrees_to_one(own, holds):
    told = tags.Tags(black=None if own is None else np.array([[own, 900.0]]))
    frame = framed(noise((40, 60)), told)
    assert frame.sources.black == ("file's tags" if holds else "LibRaw")
    np.testing.assert_array_equal(frame.black, [[own, 900]] * 2 if holds else np.full((2, 2), 512))


@pytest.mark.parametrize("starts", [None, (0, 0), (1, 0), (0, 1), (3, 2)])
@pytest.mark.parametrize("phase", BAYER_PHASES)
def test_black_is_counted_from_where_its_pattern_begins(starts, phase):
    pattern = np.array([[512.0, 520], [530, 540]])
    told = tags.Tags(black=pattern, black_starts=starts)
    top, left = 5, 4
    black = levels.black(facts(top=top, left=left), told, phase, CELL["bayer"])
    begins = (top, left) if starts is None else starts
    for row, column in itertools.product(range(2), range(2)):  # of the mosaic, which begins `phase` before the picture
        at = (row - phase[0] + top - begins[0]) % 2, (column - phase[1] + left - begins[1]) % 2
        assert black[row, column] == pattern[at]


@pytest.mark.parametrize(("starts", "begins"), [(None, (0, 0)), ((1, 2), (4, 2)), ((8, 4), (3, 0))])
@pytest.mark.parametrize("phase", [(0, 0), (2, 5)])
def test_so_is_the_black_of_each_of_36_sites(starts, begins, phase):
    """The picture begins at (5, 4) of the sensor: so many sites into the pattern, by sixes."""
    pattern = 512.0 + np.arange(36).reshape(6, 6)
    black = levels.black(facts(top=5, left=4), tags.Tags(black=pattern, black_starts=starts), phase, CELL["xtrans"])
    rows, columns = ((np.arange(6) - phase[axis] + begins[axis]) % 6 for axis in (0, 1))
    np.testing.assert_array_equal(black, pattern[np.ix_(rows, columns)])


@pytest.mark.parametrize(
    ("crop", "starts", "window"),
    [
        ((), None, (1, 0, 40, 60)),
        ((3, 5, 30, 40), None, (4, 5, 30, 40)),
        ((3, 5, 30, 40), (6, 4), (4, 5, 30, 40)),
        ((3, 5, 30, 40), (8, 3), (6, 4, 30, 40)),
        ((3, 5, 30, 40), (2, 1), (1, 2, 30, 40)),
        ((2.6, 5.4, 29.6, 40.4), None, (4, 5, 30, 40)),
        ((0, 0, 1000, 1000), None, (1, 0, 40, 60)),
        ((28, 48, 12, 12), None, (29, 48, 12, 12)),
        ((29, 0, 30, 60), None, (1, 0, 40, 60)),
        ((0, 49, 40, 60), None, (1, 0, 40, 60)),
        ((0, 0, 11, 60), None, (1, 0, 40, 60)),
    ],
)
def test_a_crop_counts_from_the_active_area_and_keeps_within_the_picture(crop, starts, window):
    told = tags.Tags(crop=crop, black_starts=starts)
    assert raw._cropped(facts(top=6, left=4), told, (1, 0)) == Window(*window)


def test_bad_sites_outside_the_mosaic_are_left_out():
    mosaic = noise((41, 60))  # begins a row before the picture, which begins 6 below the sensor's edge
    listed = np.array([[5, 4], [4, 4], [45, 63], [46, 63], [45, 64], [45, 3]])
    found = raw._defects(facts(top=6, left=4), tags.Tags(defects=listed), (1, 0), mosaic)
    assert found.tolist() == [[0, 0], [40, 59]]


@pytest.mark.parametrize(("sum_", "known"), [(9e-6, False), (2e-5, False), (0.02, True)])
def test_a_table_that_cannot_be_turned_round_is_none(sum_, known):
    """White has to stay white, and the matrix to have an inverse of a condition below 10,000."""
    srgb_to_camera = np.array([[1, sum_ - 1, 0], [0, 1, 0], [0, 0, 1.0]])
    table = np.zeros((4, 3), np.float64)
    table[:3] = srgb_to_camera @ np.linalg.inv(SRGB_TO_XYZ)
    told = facts(camera_to_srgb=np.zeros((3, 4), np.float32), xyz_to_camera=table)
    found = raw._camera_to_srgb(told)
    assert (found is not None) is known
    if found is not None:
        normal = srgb_to_camera / srgb_to_camera.sum(1, keepdims=True)
        np.testing.assert_allclose(found @ normal, np.eye(3), atol=1e-4)


def test_a_files_own_matrix_is_scaled_by_rows_until_white_stays_white():
    own = np.array([[4, -1, -1, 9], [-1, 4, 1, 9], [0, -0.25, 0.75, 9]], np.float32)  # rows of three: 2, 4, 0.5
    found = raw._camera_to_srgb(facts(camera_to_srgb=own))
    assert found.tolist() == [[2, -0.5, -0.5], [-0.25, 1, 0.25], [0, -0.5, 1.5]]


@pytest.mark.parametrize(("number", "known"), [(0.1, 0.1), (0.0, 0.0), (-1.0, 0.0), (np.inf, 0.0), (np.nan, 0.0)])
def test_a_number_of_the_exposure_is_positive_or_unknown(number, known):
    assert raw._known(number) == known


@pytest.mark.parametrize(("height", "width", "small"), [(12, 12, False), (11, 12, True), (12, 11, True)])
def test_twelve_sites_a_side_are_a_mosaic(height, width, small):
    told = facts(height=height, width=width)
    if small:
        with pytest.raises(RawError, match=f"a mosaic of {width} x {height} sites, under 12 a side"):
            raw._phase(Path("a.dng"), told)
    else:
        assert raw._phase(Path("a.dng"), told) == ("bayer", (0, 0))


@pytest.mark.parametrize("period", [2, 6])
def test_a_mosaic_is_continued_from_one_period_inside(period):
    whole = noise((20, 24))
    inside = whole.copy()
    for down, right in itertools.product(range(period), range(period)):
        found = raw._continued(whole.copy(), (down, right), period)
        assert (found[down:, right:] == inside[down:, right:]).all()
        for row, column in itertools.product(range(20), range(24)):
            at = row + period * (row < down), column + period * (column < right)
            assert found[row, column] == inside[at]
