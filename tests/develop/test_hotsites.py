"""Hot and dead sites go, stars and texture stay; and the noise that tells them apart is found in the frame."""

from dataclasses import replace

import numpy as np
import pytest
from made import frame_of

from darkroom.develop import grain, hotsites
from darkroom.frame import CELL

SHAPE = (192, 240)
KINDS = ("bayer", "xtrans")


def flat(level: float = 30, sd: float = 4, seed: int = 0, shape=SHAPE) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sd, shape)
    return np.rint(512 + level + noise).astype(np.uint16)


def places(sites: hotsites.Places) -> set[tuple[int, int]]:
    return set(zip(*(axis.tolist() for axis in sites), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_found_in_the_frame_whatever_hot_sites_it_has(kind):
    light = np.linspace(0, 4000, 1200)[None, :].repeat(960, 0)
    rng = np.random.default_rng(1)
    mosaic = np.rint(512 + 1.5 * rng.poisson(light / 1.5) + rng.normal(0, 5, light.shape)).astype(np.uint16)
    mosaic.reshape(-1)[rng.integers(mosaic.size, size=500)] += 3000
    found = grain.measure(frame_of(mosaic, kind))
    assert found.gain == pytest.approx(1.5, rel=0.1)
    assert found.at(2000) == pytest.approx(np.sqrt(25 + 3000), rel=0.1)


def test_detail_does_not_pass_for_noise():
    mosaic = flat(sd=4)
    mosaic[:, :120] += np.random.default_rng(2).integers(0, 800, (192, 120), np.uint16)
    assert grain.measure(frame_of(mosaic, "bayer")).at(30) == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [(0, 0), (0, 239), (191, 3), (64, 63), (101, 118), (102, 119)])
def test_a_hot_site_is_filled_in_wherever_it_is(kind, place):
    mosaic = flat()
    mosaic[place] = 900
    frame = frame_of(mosaic, kind)
    mended, count = hotsites.mended(frame, grain.measure(frame))
    assert abs(int(mended.mosaic[place]) - 542) < 15
    assert place in places(hotsites.found(frame, grain.measure(frame))) and count < 10
    assert frame.mosaic[place] == 900, "the frame itself stays"


def test_a_dead_site_in_the_light_is_filled_in():
    mosaic = flat(level=2000, sd=40)
    mosaic[50, 51] = 512
    frame = frame_of(mosaic, "bayer")
    assert abs(int(hotsites.mended(frame, grain.measure(frame))[0].mosaic[50, 51]) - 2512) < 100


@pytest.mark.parametrize("kind", KINDS)
def test_stars_stay(kind):
    rng = np.random.default_rng(3)
    light = np.zeros(SHAPE)
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    centres = [(row + rng.uniform(-0.5, 0.5), column + rng.uniform(-0.5, 0.5)) for row in range(10, 180, 12)
               for column in range(10, 230, 12)]  # fmt: skip
    for row, column in centres:
        light += rng.uniform(100, 3000) * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) * np.log(2))
    cell = CELL[kind]
    colour = np.tile(cell, (SHAPE[0] // len(cell) + 1, SHAPE[1] // len(cell) + 1))[: SHAPE[0], : SHAPE[1]]
    mosaic = flat() + (light / np.array([2, 1, 1.5])[colour]).astype(np.uint16)
    frame = frame_of(mosaic, kind)
    found = places(hotsites.found(frame, grain.measure(frame)))
    near = [(row, column) for row, column in found if light[row, column] > 20]
    assert len(near) <= 1


def test_texture_without_noise_stays():
    mosaic = np.full(SHAPE, 4000, np.uint16)
    mosaic[::3, ::5] = 6000  # fine enough to fool neighbours of one colour
    mosaic[1::3, ::5] = 6000
    frame = frame_of(mosaic, "bayer")
    assert hotsites.mended(frame, grain.measure(frame))[1] == 0


@pytest.mark.parametrize("white", [1023, 4095, 65535])
def test_no_arithmetic_overflows_at_any_depth(white):
    rng = np.random.default_rng(4)
    mosaic = rng.normal(0.9 * white, 0.02 * white, SHAPE).clip(0, white).astype(np.uint16)
    mosaic[60, 60] = 0
    frame = frame_of(mosaic, "bayer", black=white // 16, white=white)
    mended, count = hotsites.mended(frame, grain.measure(frame))
    assert mended.mosaic[60, 60] > 0.7 * white and count < 10


def test_sites_that_the_file_calls_bad_are_filled_in():
    mosaic = flat()
    frame = replace(frame_of(mosaic, "bayer"), defects=np.array([[5, 7], [100, 200]]))
    mended, count = hotsites.mended(frame, grain.measure(frame))
    assert count == 2
    for row, column in frame.defects:
        near = [mosaic[row + down, column + across] for down in (-2, 0, 2) for across in (-2, 0, 2) if down or across]
        assert mended.mosaic[row, column] == int(np.median(near))


def test_a_frame_that_is_clipped_throughout_tells_nothing_of_noise():
    frame = frame_of(np.full(SHAPE, 16383, np.uint16), "bayer")
    assert grain.measure(frame).gain == 0


@pytest.mark.parametrize("gains", [None, (4.0, 1.0, 1.0), (1.0, 1.0, 4.0)])
def test_a_star_is_known_by_its_light_whatever_the_white_balance(gains):
    """A white star on a site of each colour; what other colours tell of it is weighed by the gains."""
    mosaic = flat(sd=1, seed=5).astype(np.float64)
    cell, shares = CELL["bayer"], 1 / np.array(gains or (1, 1, 1))
    rows, columns = np.indices(SHAPE)
    for row, column in ((60, 60), (60, 101), (101, 60), (101, 101)):
        light = 4000 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) * np.log(2) / 0.5)
        mosaic += light * shares[cell[rows % 2, columns % 2]]
    frame = replace(
        frame_of(np.rint(mosaic).astype(np.uint16), "bayer"),
        white_balance=None if gains is None else np.array(gains, np.float32),
    )
    assert hotsites.mended(frame, grain.measure(frame))[1] <= 2


@pytest.mark.parametrize(("light", "filled"), [(60, 1), (2000, 0)])
def test_a_glint_in_bright_texture_stays_where_the_like_in_the_dark_is_a_hot_site(light, filled):
    """A site above its neighbours by twice what these differ by."""
    mosaic = np.full(SHAPE, 512 + light, np.float64)
    mosaic += np.random.default_rng(7).normal(0, 1, SHAPE)
    mosaic[58:63:4, 58:63:4] += 100
    mosaic[60, 60] += 100 + 2 * 100
    frame = frame_of(np.rint(mosaic).astype(np.uint16), "bayer")
    taken = places(hotsites.found(frame, grain.measure(frame)))
    assert ((60, 60) in taken) == bool(filled)


def test_a_hot_site_among_smooth_light_is_filled_in_however_bright():
    mosaic = flat(level=3000, sd=30)
    mosaic[60, 61] += 900
    frame = frame_of(mosaic, "bayer")
    assert (60, 61) in places(hotsites.found(frame, grain.measure(frame)))
