"""The edges of what is lost: how many rows, how flat, how bright, how random, how alike."""

import numpy as np
import pytest
from conftest import noise
from numpy.typing import NDArray

from darkroom.decode import intact

WHITE = 16383

# --- flat ---


@pytest.mark.parametrize(("rows", "found"), [(6, None), (7, 633), (40, 600)])
def test_four_probes_in_a_row_make_a_loss(rows, found):
    sensor = noise((640, 900))  # a probe every other row, the last one among them
    sensor[-rows:] = 0
    assert intact.lost_from(sensor, WHITE) == found


@pytest.mark.parametrize("strip", range(16))
def test_a_loss_in_any_of_sixteen_strips_is_found(strip):
    sensor = noise((64, 16 * 128))
    sensor[30:50, strip * 128 : (strip + 1) * 128] = 700
    assert intact.lost_from(sensor, WHITE) == 30


def test_the_last_strip_reaches_to_the_edge():
    """The last window leaves a few of its strip's sites out: a stretch is flat only where all of the strip is."""
    sensor = noise((64, 3 * 128 + 90))
    sensor[30:, -128:] = 700
    assert intact.lost_from(sensor, WHITE) == 30
    sensor = noise((64, 3 * 128 + 90))
    sensor[30:, : 3 * 128 + 90 - 128] = 700
    assert intact.lost_from(sensor, WHITE) == 30


@pytest.mark.parametrize("height", [1, 3, 12, 300])
def test_a_frame_of_one_value_is_lost_whole_however_few_its_rows(height):
    assert intact.lost_from(np.full((height, 140), 64, np.uint16), WHITE) == 0


@pytest.mark.parametrize(("alike", "found"), [(0.96, 632), (0.985, None)])
def test_the_rest_of_the_frame_says_how_usual_flat_sites_are(alike, found):
    """One strip, 320 probes, 8 rows lost: 320 * alike ** (8 * 128) falls below 1e-9 at alike = 0.974."""
    ones = (1 - np.sqrt(2 * alike - 1)) / 2  # so that two sites agree as often
    sensor = (np.random.default_rng(0).random((640, 128)) < ones).astype(np.uint16)
    sensor[632:] = 0
    sensor[631] = np.arange(128)
    assert intact.lost_from(sensor, WHITE) == found


def test_the_earliest_of_several_losses_is_told():
    sensor = noise((256, 512))
    sensor[200:, :128] = 0
    sensor[120:140, 256:384] = 900
    assert intact.lost_from(sensor, WHITE) == 120


def test_runs_have_a_first_and_a_last():
    marks = np.array([True, True, False, True, False, False, True])
    assert intact._runs(marks) == [(0, 1), (3, 3), (6, 6)]
    assert intact._runs(np.zeros(5, bool)) == []
    assert intact._runs(np.ones(5, bool)) == [(0, 4)]


@pytest.mark.parametrize(
    ("first", "last", "flat", "found"),
    [
        (8, 12, [(5, 20)], (5, 20)),
        (8, 12, [(0, 30)], (0, 30)),
        (8, 12, [(8, 13)], (8, 13)),
        (2, 20, [(3, 5), (8, 15), (17, 20)], (8, 15)),
        (2, 10, [(3, 6), (8, 15)], (3, 6)),
        (8, 12, [], (8, 8)),
    ],
)
def test_the_longest_flat_stretch_is_grown_as_far_as_it_goes(first, last, flat, found):
    strip = noise((30, 50))
    for top, bottom in flat:
        strip[top:bottom, 0::2], strip[top:bottom, 1::2] = 7, 9
    assert intact._flat_within(strip, first, last) == found


# --- copies ---


@pytest.mark.parametrize(("rows", "found"), [(3, None), (4, 196), (50, 150)])
def test_copies_of_four_probes_make_a_loss(rows, found):
    sensor = noise((200, 300))
    sensor[-rows:] = sensor[-rows - 1]
    assert intact.lost_from(sensor, WHITE) == found


def test_copies_are_followed_up_between_the_probes():
    sensor = noise((1280, 300))  # a probe every fifth row
    sensor[1103:] = sensor[1102]
    assert intact.lost_from(sensor, WHITE) == 1103


@pytest.mark.parametrize(("above", "copied"), [(1, True), (8, True), (9, False), (20, False)])
def test_a_copy_is_looked_for_in_the_eight_rows_above(above, copied):
    picture = noise((40, 300))
    picture[30, 100:228] = picture[30 - above, 60:188]
    assert intact._copied(picture, 30, 100) is copied


def test_the_first_row_copies_nothing():
    assert not intact._copied(noise((40, 300)), 0, 0)


@pytest.mark.parametrize(("others", "rich"), [(13, False), (14, True)])
def test_a_copy_of_a_poor_window_may_be_chance(others, rich):
    """Of 128 sites `others` differ from the rest, so two agree with a chance of p; so do 128 of 8 * 128 places."""
    p = (others / 128) ** 2 + (1 - others / 128) ** 2
    assert (8 * 128 * p**128 < 1e-9) is rich
    picture = np.zeros((20, 128), np.uint16)
    picture[:, 40 : 40 + others] = 1
    assert intact._copied(picture, 15, 0) is rich


# --- saturated ---


def test_the_level_of_sky_is_that_which_a_thousandth_of_sites_may_exceed():
    windows = np.full((100, 8, 128), 2000, np.uint16)
    windows[:40] = 13000
    flat = np.zeros((100, 8), bool)
    flat[:40] = True
    windows[40:].reshape(-1)[:102] = WHITE
    assert intact._clip(windows, flat, WHITE) == pytest.approx(0.6 * WHITE)
    windows[40:].reshape(-1)[:103] = WHITE
    assert intact._clip(windows, flat, WHITE) == np.inf


@pytest.mark.parametrize(
    ("level", "found"), [(11999, np.inf), (12000, 12000), (20000, 12000), (30000, 18000), (65535, 39321)]
)
def test_sky_begins_at_six_tenths_of_white_or_of_its_level(level, found):
    windows = np.full((10, 4, 128), level, np.uint16)
    assert intact._clip(windows, np.ones((10, 4), bool), 20000) == pytest.approx(found)


def filled(top: int, bottom: int, before: float, after: float) -> NDArray[np.uint16]:
    """A picture of 10000 DN where it is saturated, and shares of that above and below."""
    picture = np.full((200, 400), 10000, np.uint16)
    picture[:top] = 10000 * before
    picture[bottom:] = 10000 * after
    picture[:top, ::3] -= 10
    picture[bottom:, ::3] -= 10
    return picture


def filled_from(picture: NDArray[np.uint16], white: float = 10000) -> int | None:
    return intact._filled_from(picture, np.arange(200), (picture[:, None] == 10000).all(2), white)


@pytest.mark.parametrize(
    ("top", "bottom", "before", "after", "found"),
    [
        (80, 200, 0.69, 0, 80),
        (80, 200, 0.71, 0, None),
        (0, 90, 0, 0.69, 0),
        (0, 90, 0, 0.71, None),
        (80, 120, 0.3, 0.9, 80),
        (80, 120, 0.9, 0.3, 80),
        (80, 120, 0.9, 0.9, None),
        (80, 84, 0.3, 0.3, 80),
        (80, 83, 0.3, 0.3, None),
        (1, 200, 0.3, 0, None),
        (0, 200, 0, 0, None),
    ],
)
def test_white_that_begins_or_ends_between_two_rows_is_no_sky(top, bottom, before, after, found):
    assert filled_from(filled(top, bottom, before, after)) == found


@pytest.mark.parametrize("half_written", [False, True])
@pytest.mark.parametrize(("near", "sharp"), [(2, False), (4, True)])
def test_six_rows_beyond_the_one_beside_tell_how_white_begins(near, sharp, half_written):
    picture = filled(100, 200, 0.9, 0)
    picture[99 - near : 100] //= 4
    if half_written:
        picture[99, :300] = 10000
    assert filled_from(picture) == (100 if sharp else None)
    assert filled_from(np.ascontiguousarray(picture[::-1])) == (0 if sharp else None)


@pytest.mark.parametrize(("share", "found"), [(0.09, 80), (0.11, None)])
def test_rows_beside_white_with_a_tenth_of_white_sites_are_sky(share, found):
    picture = filled(80, 200, 0.3, 0)
    picture[:80, : round(400 * share)] = 10000
    assert filled_from(picture) == found


# --- random ---


def random_from(wild: NDArray[np.floating], *, strips: int = 10, rows: slice = slice(20, 40)) -> int | None:
    """Look at 60 rows, every third of a picture, of which some windows are as `wild`, in shares of white."""
    windows = np.full((60, strips, 128), 2000.0)
    windows += np.random.default_rng(1).normal(0, 30, windows.shape)
    part = windows[rows, : wild.shape[1]]
    part[:] = wild[: len(part)] * WHITE
    return intact._random_from(windows.astype(np.uint16), np.arange(60) * 3, WHITE)


def spread(*, strips: int = 10, reach: float = 1.0, again: float = 0.0, middling: float = 0.0) -> NDArray[np.floating]:
    """(20, strips, 128) evenly over `reach`; shares of sites that repeat the sixth before, or lie in the middle."""
    rng = np.random.default_rng(7)
    sites = rng.random((20, strips, 128)) - 0.5
    sites[rng.random(sites.shape) < middling] = 0
    for site in range(6, 128):
        repeats = rng.random(sites.shape[:2]) < again
        sites[..., site] = np.where(repeats, sites[..., site - 6], sites[..., site])
    return 0.5 + reach * sites


@pytest.mark.parametrize(("reach", "found"), [(1, 60), (0.78, 60), (0.6, None)])
def test_random_bytes_deviate_by_a_fifth_of_white(reach, found):
    """The deviation of an even spread is its reach by the root of 12, here 0.29, 0.23 and 0.17."""
    assert random_from(spread(reach=reach)) == found


@pytest.mark.parametrize(("again", "found"), [(0.1, 60), (0.5, None)])
def test_random_sites_do_not_know_the_sixth_before(again, found):
    assert random_from(spread(again=again)) == found


@pytest.mark.parametrize(("middling", "found"), [(0.1, 60), (0.35, None)])
def test_random_sites_are_spread_evenly(middling, found):
    """Fourth moment over the squared second: 1.8 / (1 - middling), here 2.0 and 2.8."""
    assert random_from(spread(middling=middling)) == found


@pytest.mark.parametrize(("strips", "found"), [(7, None), (8, 60)])
def test_more_than_seven_tenths_of_a_random_row_are_random(strips, found):
    assert random_from(spread(strips=strips)) == found


@pytest.mark.parametrize(("rows", "found"), [(slice(20, 23), None), (slice(20, 24), 60), (slice(56, 60), 168)])
def test_four_probes_make_a_random_stretch(rows, found):
    assert random_from(spread(), rows=rows) == found


@pytest.mark.parametrize(("strips", "found"), [(3, None), (4, 60)])
def test_four_windows_of_a_row_are_needed_to_tell_random_bytes(strips, found):
    assert random_from(spread(strips=strips), strips=strips) == found


@pytest.mark.parametrize(("scattered", "found"), [(8, 60), (16, None)])
def test_a_photo_with_a_tenth_of_wild_windows_excuses_random_rows(scattered, found):
    """Of 40 rows of 10 windows besides, a few have 3 that are wild."""
    wild, windows = spread(), np.full((60, 10, 128), 2000.0)
    windows[20:40] = wild * WHITE
    windows[: min(scattered, 20), :3] = wild[:scattered, :3] * WHITE
    windows = windows.astype(np.uint16)
    assert intact._random_from(windows, np.arange(60) * 3, WHITE) == found


def test_a_picture_random_from_top_to_bottom_is_foreign_to_nothing():
    windows = (spread() * WHITE).astype(np.uint16)
    assert intact._random_from(windows, np.arange(20), WHITE) is None
