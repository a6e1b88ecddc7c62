"""Frames of one scene become one: less noise, whatever the hand did, and nothing twice."""

from dataclasses import replace

import numpy as np
import pytest
from made import frame_of
from PIL import Image

from darkroom.develop import burst, grain
from darkroom.errors import SettingsError
from darkroom.frame import Exposure

SHAPE = (384, 512)
FRAMES = 6


def scene() -> np.ndarray:
    """(H, W) light in DN, larger than a frame, of many sizes; whole cells share a light."""
    rng = np.random.default_rng(0)
    light = np.zeros((480, 640))
    for side, depth in ((4, 15), (16, 40), (64, 60)):
        coarse = Image.fromarray(rng.uniform(0, depth, (480 // side, 640 // side)).astype(np.float32))
        light += np.asarray(coarse.resize((640, 480), Image.Resampling.NEAREST))
    return light


def shot(index: int, shift: tuple[int, int] = (0, 0), *, box: int | None = None, sd: float = 6):
    """A frame and its light; box: the column of a bright object."""
    top, left = 40 + shift[0], 60 + shift[1]
    light = scene()[top : top + SHAPE[0], left : left + SHAPE[1]].copy()
    if box is not None:
        light[200:240, box : box + 40] = 400
    noise = np.random.default_rng(100 + index).normal(0, sd, SHAPE)
    return frame_of(np.rint(512 + light + noise).clip(0).astype(np.uint16), "bayer"), light


def see(frame) -> np.ndarray:
    """A picture of a frame as clean as a network would make it, a pixel a cell."""
    sites = frame.mosaic.astype(np.float32)
    cells = (sites[::2, ::2] + sites[1::2, ::2] + sites[::2, 1::2] + sites[1::2, 1::2]) / 4
    around = np.pad(cells, 1, "edge")
    height, width = cells.shape
    return sum(around[down : down + height, across : across + width] for down in range(3) for across in range(3)) / 9


def merge(frames):
    return burst.merged(frames[0], frames[1:], grain.measure(frames[0]), see)


def error(frame, light) -> float:
    """sd of what is not light, DN of the file."""
    found = (frame.mosaic - frame.black[0, 0]) * (15871 / (frame.white - frame.black[0, 0])) - light
    return float(found[16:-16, 16:-16].std())


def test_from_a_tripod_it_is_the_mean_of_all():
    frames = [shot(index)[0] for index in range(FRAMES)]
    merged, count = merge(frames)
    mean = np.mean([frame.mosaic for frame in frames], axis=0)
    assert count > 0.98 * FRAMES and merged.white == 4 * frames[0].white
    assert np.abs(merged.mosaic / 4 - mean).mean() < 0.3
    assert len(np.unique(merged.mosaic % 4)) == 4, "fractions of a DN are kept"


@pytest.mark.parametrize("far", [6, 24])
def test_a_hand_that_moves_costs_little(far):
    rng = np.random.default_rng(3)
    shifts = [(0, 0), *(tuple(2 * rng.integers(-far // 2, far // 2 + 1, 2)) for _ in range(FRAMES - 1))]
    frames = [shot(index, shift)[0] for index, shift in enumerate(shifts)]
    light = shot(0)[1]
    merged, _ = merge(frames)
    assert error(merged, light) < 1.15 * error(frames[0], light) / FRAMES**0.5
    unmoved = np.mean([frame.mosaic for frame in frames], axis=0) - 512 - light
    assert unmoved.std() > 2 * error(merged, light), "without alignment it is blurred"


def test_what_moves_is_there_once_and_where_the_first_frame_has_it():
    shots = [shot(index, box=100 + 34 * index) for index in range(FRAMES)]
    merged, _ = merge([frame for frame, _ in shots])
    light = shots[0][1]
    off = (merged.mosaic / 4 - 512 - light)[196:244, 90:400]
    assert np.abs(off.reshape(6, 8, -1, 10).mean((1, 3))).max() < 20, "a ghost would be 40 DN or more"


def test_another_exposure_or_camera_is_refused():
    first = shot(0)[0]
    for other, what in (
        (replace(first, camera="another"), "camera another"),
        (replace(first, exposure=Exposure(9, 3200, 2.8)), "exposure time 9"),
    ):
        with pytest.raises(SettingsError, match=f"{what}.*give frames of one burst"):
            merge([first, other])


def test_xtrans_is_merged_by_its_own_cells():
    """A hand that moves by whole cells of six sites, and an object that is there once."""
    shots = [shot(index, (6 * index % 24, 12 * index % 36), box=100 + 40 * index) for index in range(FRAMES)]
    frames = [frame_of(frame.mosaic, "xtrans") for frame, _ in shots]

    def seen(frame) -> np.ndarray:
        height, width = (length // 6 * 6 for length in frame.mosaic.shape)
        return frame.mosaic[:height, :width].astype(np.float32).reshape(height // 6, 6, width // 6, 6).mean((1, 3))

    merged, count = burst.merged(frames[0], frames[1:], grain.measure(frames[0]), seen)
    assert error(merged, shots[0][1]) < 0.75 * error(frames[0], shots[0][1]) and count > 2


@pytest.mark.parametrize("size", [(16, 16), (16, 40), (40, 16)])
@pytest.mark.parametrize("shift", [(0, 0), (4, -4), (-4, 4), (3, 1)])
def test_the_whole_picture_is_followed_for_a_quarter_of_its_shorter_side(size, shift):
    guide = np.random.default_rng(0).random(size, np.float32)
    assert burst._whole(guide, np.roll(guide, shift, (0, 1))) == shift


def test_a_shift_beyond_a_quarter_of_the_shorter_side_is_not_found():
    guide = np.random.default_rng(0).random((16, 16), np.float32)
    found = burst._whole(guide, np.roll(guide, (5, 0), (0, 1)))
    assert found != (5, 0) and max(map(abs, found)) <= 4


def test_a_mean_around_takes_no_less_and_no_more_than_there_is():
    plane = np.arange(48, dtype=np.float32).reshape(6, 8) ** 2
    found = burst._box(plane, 4)
    for row in range(6):
        for column in range(8):
            around = plane[max(0, row - 2) : row + 2, max(0, column - 2) : column + 2]
            assert found[row, column] == pytest.approx(around.mean(), rel=1e-6)
