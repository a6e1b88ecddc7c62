"""Frames of one scene become one: less noise, whatever the hand did, and nothing twice."""

from dataclasses import replace

import numpy as np
import pytest
from made import frame_of
from PIL import Image

from darkroom.develop import burst, grain
from darkroom.errors import SettingsError
from darkroom.frame import CELL, Exposure

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
    sites = frame.mosaic - frame.black[0, 0]
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


@pytest.mark.parametrize("step", [(6, 12), (4, 10), (5, 7)])
def test_xtrans_is_merged_wherever_its_cells_fall(step):
    """A hand that moves by whole cells of six sites or by any, and an object that is there once."""
    shots = [shot(index, (step[0] * index % 24, step[1] * index % 36), box=100 + 40 * index) for index in range(FRAMES)]
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


@pytest.mark.parametrize("size", [(16, 16), (16, 40), (40, 16)])
@pytest.mark.parametrize("shift", [(5, 0), (0, -5)])
def test_a_shift_beyond_a_quarter_of_the_shorter_side_is_not_found(size, shift):
    guide = np.random.default_rng(0).random(size, np.float32)
    found = burst._whole(guide, np.roll(guide, shift, (0, 1)))
    assert found != shift and max(map(abs, found)) <= 4


def test_a_mean_around_takes_no_less_and_no_more_than_there_is():
    plane = np.arange(48, dtype=np.float32).reshape(6, 8) ** 2
    found = burst._box(plane, 4)
    for row in range(6):
        for column in range(8):
            around = plane[max(0, row - 2) : row + 2, max(0, column - 2) : column + 2]
            assert found[row, column] == pytest.approx(around.mean(), rel=1e-6)


def smooth(height: int, width: int, *, shift=(0.0, 0.0), turn: float = 0.0) -> np.ndarray:
    """Waves of several lengths, seen by a camera that has moved and turned, in radians about the corner."""
    rows, columns = np.indices((height, width)).astype(np.float64)
    rows, columns = rows - shift[0] + turn * columns, columns - shift[1] - turn * rows
    return (
        np.sin(rows / 7) + np.sin(columns / 5 + 1) + np.sin((rows + columns) / 11) + np.sin((rows - 2 * columns) / 31)
    ).astype(np.float32)


@pytest.mark.parametrize(("shift", "turn"), [((0, 0), 0), ((3.4, -2.3), 0), ((-7.7, 5.1), 0.004), ((0.5, 0.5), -0.003)])
def test_the_motion_of_the_whole_is_found_to_a_fiftieth_of_a_cell(shift, turn):
    guide, other = smooth(192, 288), smooth(192, 288, shift=shift, turn=turn)
    motion = burst._motion(burst._pyramid(guide), burst._pyramid(other))
    centres = np.stack(np.meshgrid(*(np.arange(n) * 32 + 15.5 for n in (6, 9)), indexing="ij"), -1)
    there = (centres + np.array(shift)) @ np.array([[1, turn], [-turn, 1]]) / (1 + turn**2)
    assert np.abs(motion - (there - centres)).max() < 0.02


def test_a_part_that_has_moved_by_itself_keeps_its_own_motion():
    grain = np.random.default_rng(0).random((224, 320), np.float32)
    scene = burst._box(burst._box(grain, 4), 4)
    other = scene[15:207, 14:302].copy()
    other[64:160, 96:224] = scene[16 - 4 + 64 : 16 - 4 + 160, 16 + 96 : 16 + 224]
    motion = burst._motion(burst._pyramid(scene[16:208, 16:304]), burst._pyramid(other))
    assert np.abs(motion[:1] - (1, 2)).max() < 0.05
    assert motion[3, 4].tolist() == [4, 0]


@pytest.mark.parametrize("far", [0, 5])
def test_frames_whose_black_wanders_are_merged_above_their_own(far):
    frames = [shot(index, (index * far, -index * far))[0] for index in range(FRAMES)]
    lifted = [
        replace(frame, mosaic=frame.mosaic + np.uint16(lift), black=frame.black + lift)
        for frame, lift in zip(frames, (0, 3, 5, 2, 4, 1), strict=True)
    ]
    even, wandering = merge(frames)[0], merge(lifted)[0]
    assert np.array_equal(even.black, wandering.black)
    assert np.abs(even.mosaic.astype(int) - wandering.mosaic).max() <= 1


def test_a_site_takes_from_others_what_they_have_above_their_black():
    black = np.array([[500, 520], [530, 540]], np.float32)
    frame = replace(frame_of(np.tile(black.astype(np.uint16) + 100, (24, 24)), "bayer"), black=black)
    totals, counts = added(frame, (0.3, -0.4))
    for spot, total, shares in zip(np.ndindex(2, 2), totals, counts, strict=True):
        assert np.allclose(total, shares * (black[spot] + 100))


@pytest.mark.parametrize("kind", ["bayer", "xtrans"])
def test_a_site_takes_from_others_of_its_own_colour_alone(kind):
    cell, side = CELL[kind], len(CELL[kind])
    colour = np.tile(cell, (48 // side, 48 // side)).astype(np.uint16)
    frame = frame_of(1000 * (1 + colour), kind)
    totals, counts = added(frame, (0.3, -0.4), weight=0.5)
    for spot, total, shares in zip(np.ndindex(side, side), totals, counts, strict=True):
        assert np.allclose(total, shares * 1000 * (1 + cell[spot]))
    assert 0.05 < np.mean(counts) < 0.5


def added(frame, motion: tuple[float, float], weight: float = 1.0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What a frame that has moved by so many cells adds to nothing."""
    side = len(frame.black)
    size = (frame.mosaic.shape[0] // side, frame.mosaic.shape[1] // side)
    totals, counts = ([np.zeros(size, np.float32) for _ in range(side**2)] for _ in range(2))
    field = np.full((*size, 2), motion, np.float32)
    burst._add(frame, frame.black, field, np.full(size, weight, np.float32), totals, counts)
    return totals, counts


def test_what_lies_nearer_counts_more_and_what_lies_beside_the_frame_not_at_all():
    frame = frame_of(np.full((16, 16), 1000, np.uint16), "bayer")

    def weight(*away: float) -> float:
        return float(np.exp(-np.square(away).sum() / (2 * burst.KERNEL**2)))

    _, counts = added(frame, (0, 0))
    assert np.allclose(counts[0], 1), "red: its own place"
    assert np.allclose(counts[1][:-1, :-1], 1 + weight(1, 1)), "green has another across the corner"
    for sites in (0.5, 1.0):
        _, counts = added(frame, (sites / 2, 0))
        assert np.allclose(counts[0][:-1], weight(sites), atol=1e-6)
    totals, counts = added(frame, (20, 0))
    assert not np.any(totals) and not np.any(counts)


def test_between_its_pixels_a_picture_is_linear_and_beyond_its_edge_flat():
    rows, columns = np.indices((6, 9)).astype(np.float32)
    picture = 3 * rows - 2 * columns
    down, across = np.array([0, 0.25, 2.5, 5]), np.array([0, 7.75, 3.5, 8])
    assert burst._between(picture, down, across) == pytest.approx(3 * down - 2 * across)
    assert burst._between(picture, np.array([-4.0, 9.0]), np.array([-1.0, 20.0])).tolist() == [0.0, 15.0 - 16.0]
