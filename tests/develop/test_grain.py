"""The noise of a frame: what is compared in it, and the line that is believed."""

import numpy as np
import pytest
from made import frame_of

from darkroom.develop import grain
from darkroom.frame import CELL


def test_noise_grows_with_light_and_not_below_black():
    noise = grain.Noise(3.0, 2.0)
    assert noise.at(np.array([-50.0, 0, 8, 20])).tolist() == pytest.approx([3, 3, 5, 7])


@pytest.mark.parametrize(("kind", "variance"), [("bayer", 0.892), ("xtrans", 0.824)])
def test_the_calm_quantile_of_plain_noise_is_taken_for_what_it_is(kind, variance):
    """Two thousand blocks without detail: what the quantile is of the true variance is what was assumed."""
    noise = np.random.default_rng(0).normal(0, 40, (960, 960))
    frame = frame_of(np.rint(2000 + noise).astype(np.uint16), kind)
    assert grain.measure(frame).read == pytest.approx(40, rel=0.015)
    assert grain.CALM_FACTOR[kind] == variance


def test_light_is_counted_from_the_black_of_each_kind_of_site():
    """A line above blacks that differ by kind of site: from any other, it would not meet the noise of no light."""
    rng = np.random.default_rng(1)
    black = np.array([[100, 400], [700, 1000]], np.float32)
    light = np.repeat(np.linspace(0, 5000, 1920)[None, :], 480, 0)
    mosaic = np.tile(black, (240, 960)) + light + rng.normal(0, np.sqrt(3600 + 2 * light))
    frame = frame_of(np.rint(mosaic).clip(0).astype(np.uint16), "bayer")
    frame.black[:] = black
    found = grain.measure(frame)
    assert found.gain == pytest.approx(2, rel=0.06) and found.read == pytest.approx(60, rel=0.03)


def test_of_xtrans_every_pair_of_greens_in_a_row_is_looked_at():
    cell = CELL["xtrans"]
    pairs = [(row, column) for row, column in np.ndindex(6, 5) if cell[row, column] == 1 == cell[row, column + 1]]
    assert grain._sites("xtrans") == [(spot, (1,)) for spot in pairs] and pairs
    assert grain._sites("bayer") == [(spot, (-2, 2)) for spot in np.ndindex(2, 2)]


@pytest.mark.parametrize(
    ("kind", "size", "bands", "band"),
    [
        ("bayer", (31, 41), 1, (30, 40)),
        ("xtrans", (31, 41), 1, (30, 36)),
        ("bayer", (47, 300), 1, (46, 288)),
        ("bayer", (200, 100), 4, (48, 96)),
        ("xtrans", (96, 95), 2, (48, 48)),
    ],
)
def test_a_frame_is_looked_at_in_bands_of_whole_blocks_and_a_small_one_in_whole_cells(kind, size, bands, band):
    frame = frame_of(np.zeros(size, np.uint16), kind)
    assert [each.shape for each in grain._bands(frame)] == [band] * bands


@pytest.mark.parametrize(("rows", "step"), [(1920, 2), (4800, 6), (6000, 7)])
def test_of_a_large_frame_evenly_spread_bands_are_looked_at(rows, step):
    """3072 sites wide: seven bands of 48 rows hold 2^20 sites within the last band."""
    mosaic = np.broadcast_to(np.arange(rows, dtype=np.uint16)[:, None], (rows, 3100))
    step = rows // 48 * 48 * 3072 // 2**20
    tops = [int(band[0, 0]) for band in grain._bands(frame_of(mosaic, "bayer"))]
    assert tops == [48 * place for place in range(step // 2, rows // 48, step)]
    assert 2**20 - step * 48 * 3072 < len(tops) * 48 * 3072 < 2**21 + 48 * 3072


@pytest.mark.parametrize(
    ("side", "spot", "apart"),
    [(2, (0, 0), (-2, 2)), (2, (1, 1), (-2, 2)), (6, (0, 1), (1,)), (6, (3, 4), (1,))],
)
@pytest.mark.parametrize(("width", "across"), [(48, 1), (150, 2), (156, 3)])
def test_a_site_is_compared_with_its_next_of_its_colour_in_the_row(side, spot, apart, width, across):
    """The variance of a difference is that of a site, times one and what its neighbours' mean adds."""
    band = np.random.default_rng(0).integers(0, 60000, (48, width), np.uint16)
    columns = [c for c in range(spot[1], width, side) if c + min(apart) >= 0 and c + max(apart) < width]
    across = max(1, len(columns) * side // 48)
    columns = np.array(columns[: len(columns) // across * across])
    lit = band[spot[0] :: side].astype(float)
    unlike = lit[:, columns] - np.mean([lit[:, columns + offset] for offset in apart], axis=0)
    rows = [plane.reshape(len(lit), across, -1).mean(2) for plane in (lit[:, columns], np.square(unlike))]
    level, variance = grain._blocks(band, spot, apart, side)
    assert level == pytest.approx(np.median(rows[0], axis=0), rel=1e-5)
    assert variance == pytest.approx(np.median(rows[1], axis=0) / {2: 1.5, 1: 2.0}[len(apart)], rel=1e-4)


def line(calm: list[float], light: list[float], span: float = 1e6) -> grain.Noise:
    """The line through levels of eight blocks each, all alike."""
    return grain._line(np.repeat(np.array(light, float), 8), np.repeat(np.array(calm, float), 8), span)


def test_a_line_is_found_whatever_the_order_of_blocks():
    rng = np.random.default_rng(0)
    light = rng.permutation(np.linspace(0, 4000, 16).repeat(20))
    found = grain._line(light, 9 + 2 * light, 1e6)
    assert (found.read, found.gain) == (pytest.approx(3), pytest.approx(2))


def test_blocks_from_nine_tenths_of_white_tell_nothing():
    light = np.append(np.linspace(0, 800, 8).repeat(8), [900.0] * 40)
    noisy = np.append(9 + 2 * light[:64], [1.0] * 40)
    assert grain._line(light, noisy, 1000).gain == pytest.approx(2)
    assert grain._line(light, noisy, 1003).gain != pytest.approx(2, rel=0.1)
    assert grain._line(np.array([900.0]), np.array([50.0]), 1000) == grain.Noise(0.29, 0.0)


@pytest.mark.parametrize(("blocks", "groups"), [(1, 1), (7, 1), (15, 1), (16, 2), (23, 2)])
def test_of_each_level_of_eight_blocks_the_third_calmest_tenth_is_believed(blocks, groups):
    """Of two levels, their harmonic mean: there is no gain yet."""
    light, noisy = np.arange(blocks, dtype=float), 100 + np.random.default_rng(0).uniform(0, 90, blocks)
    calm = [np.quantile(group, 0.3) for group in np.array_split(noisy, groups)]
    found = grain._line(light, noisy, 1e6)
    assert found.gain == 0 and found.read**2 == pytest.approx(groups / sum(1 / each for each in calm))


def test_sixteen_levels_are_told_apart_at_most():
    light = np.arange(1600, dtype=float)
    noisy = np.where(np.arange(1600) % 100 < 30, 100.0, 1000.0)
    noisy[::100] = 50.0
    groups = [np.quantile(noisy[start : start + 100], 0.3) for start in range(0, 1600, 100)]
    found = grain._line(light, noisy, 1e6)
    assert found.read**2 == pytest.approx(len(groups) / sum(1 / each for each in groups), rel=1e-6)


def test_three_levels_make_a_line_and_one_level_of_light_none():
    assert line([100, 300, 500], [0, 100, 200]).gain == pytest.approx(2)
    assert line([100, 300], [0, 100]).gain == 0
    assert line([100, 300, 500], [70, 70, 70]).gain == 0


@pytest.mark.parametrize(("slope", "found"), [(0.0006, False), (0.0012, True), (-0.0012, False)])
def test_a_slope_within_three_times_its_doubt_is_none(slope, found):
    """Five levels of a variance of about 100, each known to 3 %: sd of the slope is 3 / sqrt(sum of squares)."""
    light = np.linspace(-1, 1, 5) * 5000 + 5000
    doubt = 3 / np.sqrt(np.square(light - 5000).sum())
    noisy = 100 + slope / 0.001 * 3 * doubt * (light - 5000)
    assert (line(noisy.tolist(), light.tolist()).gain > 0) is found


def test_noise_does_not_fall_below_none_and_rounding():
    """A line that would meet black below zero is shot noise alone, which all levels tell of by their ratio."""
    light = np.array([100.0, 200, 300, 400])
    noisy = 2 * light - 30
    found = line(noisy.tolist(), light.tolist())
    ratio = light / noisy
    assert found.gain == pytest.approx(ratio.sum() / np.square(ratio).sum()) and found.read == pytest.approx(0.29)
    assert line([0, 0, 0], [1, 2, 3]).read == pytest.approx(0.29)


LIGHT = 100 * np.arange(16.0)


def test_levels_that_differ_a_little_have_one_line():
    calm = np.where(np.arange(16) % 2, 104.0, 96.0)
    found = line(calm.tolist(), LIGHT.tolist())
    assert found.gain == 0 and found.read**2 == pytest.approx(16 / (8 / 104 + 8 / 96))


def test_where_the_brighter_have_detail_the_calmest_of_them_is_believed():
    """Those next to the darkest, a quarter of the way, are not asked: small differences of light make any slope."""
    calm = np.array([100.0] + [200.0] * 9 + [118.0] + [300.0] * 5)
    light = np.array([*range(10), 375.0, 1100, 1200, 1300, 1400, 1500])
    found = line(calm.tolist(), light.tolist())
    assert found.gain == pytest.approx((300 - 100) / 1500) and found.read == pytest.approx(10)
    light[10] = 375.5
    assert line(calm.tolist(), light.tolist()).gain == pytest.approx((118 - 100) / 375.5)


def test_the_calmest_of_the_brighter_tell_no_more_than_shot_noise_and_no_less_than_none():
    found = line([100.0] + [200.0] * 15, (3000 + LIGHT).tolist())
    assert found.gain == pytest.approx(100 / 3000) and found.read == pytest.approx(0.29)
    found = line([200.0] + [100.0] * 15, LIGHT.tolist())
    assert found.gain == 0 and found.read**2 == pytest.approx(200)


def test_a_darkest_level_a_little_off_the_line_is_not_believed_alone():
    calm = [120.0] + [100.0] * 15
    found = line(calm, LIGHT.tolist())
    assert found.gain == 0 and found.read**2 == pytest.approx(16 / sum(1 / each for each in calm))


def test_a_level_is_never_calmer_than_rounding():
    found = line([0.0] + [200.0] * 15, (3000 + LIGHT).tolist())
    assert found.gain == pytest.approx(0.29**2 / 3000, rel=0.01)


@pytest.mark.parametrize(("light", "told"), [(7000, True), (7400, False)])
def test_white_is_counted_from_black(light, told):
    """Nine tenths of the way from 8000 to 16000 are 7200."""
    mosaic = np.rint(8000 + light + np.random.default_rng(0).normal(0, 20, (192, 192))).astype(np.uint16)
    found = grain.measure(frame_of(mosaic, "bayer", black=8000, white=16000))
    assert (found.read > 10) is told and (found == grain.Noise(0.29, 0.0)) is not told
