"""The meter of `--amp auto`: zones, their histogram, highlights, and what was learned."""

from dataclasses import replace

import numpy as np
import pytest
from made import frame_of

from darkroom.develop import meter
from darkroom.evaluate import lit, metering
from darkroom.frame import CELL, Window

BLACK, WHITE = 512, 16383


def recorded(light, cfa="bayer"):
    """A frame of grey light (H, W) without noise; the gains of frame_of are undone."""
    cell = CELL[cfa]
    gains = np.tile(np.array([2, 1, 1.5])[cell], (light.shape[0] // len(cell) + 1, light.shape[1] // len(cell) + 1))
    mosaic = BLACK + np.minimum(light / gains[: light.shape[0], : light.shape[1]], 1) * (WHITE - BLACK)
    return frame_of(np.rint(mosaic).astype(np.uint16), cfa)


def evening(share=1.0, *, height=192, width=288):
    """A slope from deep shadow to a bright wall, at most `share` of white."""
    across = np.linspace(-6, 0, width)[None] + np.linspace(-1, 0, height)[:, None]
    return share * 2.0**across


@pytest.mark.parametrize("cfa", ["bayer", "xtrans"])
@pytest.mark.parametrize("top, left", [(0, 0), (1, 0), (5, 3)])
def test_zones_hold_the_balanced_light_of_their_sites(cfa, top, left):
    side = 18 if cfa == "xtrans" else 16
    light = np.kron(np.random.default_rng(0).uniform(0.1, 0.4, (4, 6)), np.ones((side, side)))
    padded = np.pad(light, ((top, 6), (left, 6)), constant_values=1)
    found = meter.zones(replace(recorded(padded, cfa), visible=Window(top, left, *light.shape)))
    assert found == pytest.approx(light[::side, ::side, None].repeat(3, 2), abs=1e-3)


def test_without_a_white_balance_the_mean_light_counts_as_grey():
    frame = recorded(evening(0.2))
    blind = meter.zones(replace(frame, white_balance=None))
    assert blind.mean(axis=(0, 1)) == pytest.approx(np.full(3, blind[..., 1].mean()), rel=1e-3)
    assert meter.zones(frame) == pytest.approx(blind, rel=0.02, abs=1e-3)


def test_half_the_light_gets_twice_the_ratio():
    once, half = (meter.ratio(recorded(evening(share))) for share in (0.04, 0.02))
    assert half == pytest.approx(2 * once, rel=0.02)


def test_a_frame_without_light_has_no_ratio():
    assert meter.ratio(recorded(np.zeros((96, 96)))) == np.inf


def test_no_more_of_the_scene_than_two_percent_is_clipped_and_lamps_are_apart():
    light = evening(0.05)
    assert np.mean(meter.zones(recorded(light)).max(axis=2) * meter.ratio(recorded(light)) > 1) <= meter.CLIPPED + 0.01
    sky = light.copy()
    sky[:64] = 0.2  # a third of the frame, four times as bright as the brightest wall
    lamp = light.copy()
    lamp[:16, :16] = 1.0
    assert meter.ratio(recorded(sky)) <= 1 / 0.2 * 1.01
    assert meter.ratio(recorded(lamp)) > 0.6 * meter.ratio(recorded(light))


def test_a_picture_exposed_as_its_white_says_is_left_nearly_alone():
    """A grey card at 18 % with a white at its rim, as people expose."""
    light = np.full((192, 288), 0.18)
    light[:, ::48] = light[:, 1::48] = light[:16] = 0.9
    light[-48:] = 0.03
    assert 0.4 < meter.ratio(recorded(light)) < 2.5
    assert meter.ratio(recorded(light / 50)) == pytest.approx(50 * meter.ratio(recorded(light)), rel=0.1)


def test_weights_read_back_as_they_were_written(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    weights = meter.Weights(rng.normal(size=13), rng.uniform(1, 2, 13), rng.normal(size=13), 0.25)
    (tmp_path / "meter.toml").write_text(meter.dump(weights, "a command"))
    monkeypatch.setattr(meter, "files", lambda room: tmp_path)
    found = meter.shipped.__wrapped__()
    assert np.abs(found.slope - weights.slope).max() < 1e-4 and found.bias == 0.25
    numbers = rng.normal(size=(5, 13))
    assert meter.predicted(numbers, found) == pytest.approx(meter.predicted(numbers, weights), abs=0.01)


def test_what_was_taught_is_found_again():
    """Lessons whose ratio follows from their numbers teach weights that give it back, on photos left out, too."""
    rng = np.random.default_rng(0)
    slope = rng.normal(size=13)
    taught = []
    for photo in range(40):
        for _ in range(4):
            numbers = rng.normal(size=13)
            ratio = 2 ** float(np.clip(5 + 0.4 * numbers @ slope, 0, 8))
            taught.append(metering.Lesson(f"{photo}", "c", "plain", ratio, 0.01, numbers))
    assert np.median([abs(estimate.error) for estimate in metering.left_out(taught)]) < 0.2


def test_scenes_keep_the_photo_and_add_lamps():
    light = np.full((96, 144, 3), 0.2, np.float32)
    plain, lamps, night = (lit.lit(light, scene, np.random.default_rng(4)) for scene in lit.SCENES)
    assert np.array_equal(plain, light)
    assert (lamps >= light).all() and lamps.max() > 0.5 and np.median(lamps) < 0.25
    assert night.min() < 0.06 and night.max() > 0.5


def test_the_histogram_says_what_its_names_say():
    across = np.linspace(0.01, 0.3, 4001, dtype=np.float32)
    mean, numbers = meter.histogram(np.repeat(across[None, :, None], 3, axis=2))
    found = 2.0**numbers * mean
    shares = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 0.5, 0.9, 0.98, 0.995)
    assert found[:11] == pytest.approx([0.01 + 0.29 * share for share in shares], rel=1e-3)
    assert mean == pytest.approx(np.minimum(across, 0.01 + 0.29 * 0.9).mean(), rel=1e-3)
    assert found[11:] == pytest.approx(np.minimum(across, 0.01 + 0.29 * 0.98).mean(), rel=1e-3)


def test_nothing_is_foretold_from_farther_than_three_spreads():
    mean, spread = np.zeros(2), np.array([1.0, 2.0])
    assert meter.standard(np.array([[-9.0, 5.0]]), mean, spread).tolist() == [[-3.0, 2.5]]
    assert meter.standard(np.array([[3.5, -6.5]]), mean, spread).tolist() == [[3.0, -3.0]]


def pattern(brightest, colour=(1, 1, 1)):
    """(1, N, 3) zones whose brightest colours are these."""
    return np.float32(brightest)[None, :, None] * np.float32(colour)


def test_a_lamp_is_what_is_more_than_four_times_as_bright_as_nine_tenths():
    brightest = np.r_[np.full(95, 0.125), 0.499, 0.5, 0.501, 0.6, 0.7]
    assert meter.scene(pattern(brightest, (0.5, 1, 0.25))).max(axis=1).tolist() == pytest.approx(brightest[:97])


def test_where_nine_tenths_are_dark_nothing_is_a_lamp():
    brightest = np.r_[np.zeros(95), np.full(5, 0.5)]
    assert len(meter.scene(pattern(brightest))) == 100
    assert len(meter.scene(pattern(brightest - 0.25))) == 100


def test_the_ratio_may_clip_the_brightest_fiftieth_of_the_zones():
    across = np.linspace(0, 0.5, 1001)
    assert meter.unclipped(pattern(across, (0.3, 0.2, 1))) == pytest.approx(1 / (0.98 * 0.5), rel=1e-4)
    assert meter.unclipped(pattern(across - 0.5)) == np.inf
    assert meter.unclipped(pattern(np.zeros(9))) == np.inf


@pytest.mark.parametrize(
    ("cfa", "shape", "wanted"),
    [
        ("bayer", (640, 960), (32, 48)),  # 400 sites a zone
        ("bayer", (672, 1008), (30, 45)),  # 441, and no cell is cut
        ("bayer", (160, 480), (10, 30)),  # no smaller than 16 x 16
        ("xtrans", (640, 960), (26, 40)),
        ("xtrans", (96, 96), (5, 5)),
        ("bayer", (6, 40), (1, 6)),
        ("bayer", (40, 6), (6, 1)),
        ("xtrans", (6, 6), (1, 1)),
        ("bayer", (3, 3), (1, 1)),
    ],
)
def test_there_are_about_1536_zones_of_whole_cells(cfa, shape, wanted):
    assert meter.zones(recorded(np.full(shape, 0.1), cfa)).shape == (*wanted, 3)


@pytest.mark.parametrize(("sites", "seen"), [(64 * 64, (0, 1, 2, 3)), (64 * 64 // 2 + 1, (0, 1, 2, 3)), (2048, (0, 2))])
def test_of_more_sites_than_are_looked_at_some_rows_of_every_zone_count(monkeypatch, sites, seen):
    light = np.kron(np.float64([[0.1], [0.2], [0.3], [0.6]] * 8), np.ones((2, 64)))
    monkeypatch.setattr(meter, "SITES", sites)
    expected = np.mean([[0.1, 0.2, 0.3, 0.6][row] for row in seen])
    assert meter.zones(recorded(light)) == pytest.approx(np.full((4, 4, 3), expected), abs=1e-3)


@pytest.mark.parametrize("cfa", ["bayer", "xtrans"])
@pytest.mark.parametrize("top, left", [(0, 0), (1, 2), (3, 5)])
def test_zones_subtract_each_sites_own_black(cfa, top, left):
    period = len(CELL[cfa])
    black = BLACK + 7 * np.arange(period**2, dtype=np.float32).reshape(period, period)
    level = np.tile(black, (26, 26))[:52, :52]
    mosaic = np.rint(level + 0.25 * (WHITE - level)).astype(np.uint16)
    frame = replace(frame_of(mosaic, cfa), black=black, visible=Window(top, left, 36, 36))
    found = meter.zones(frame)
    assert found == pytest.approx(np.broadcast_to(0.25 * frame.white_balance, found.shape), abs=1e-3)


def test_a_colour_without_light_leaves_the_others_unbalanced():
    mosaic = np.full((32, 32), 1000, np.uint16)
    mosaic[1::2, 1::2] = BLACK
    found = meter.zones(replace(frame_of(mosaic, "bayer"), white_balance=None))
    light = (1000 - BLACK) / (WHITE - BLACK)
    assert found[0, 0] == pytest.approx([light, light, 0])


def test_grey_is_a_quarter_red_half_green_and_a_quarter_blue():
    mean, numbers = meter.histogram(pattern(np.full(50, 1.0), (0.1, 0.2, 0.32)))
    assert mean == pytest.approx(0.205)
    colours = np.minimum([0.32, 0.1, 0.32], [1, 0.205, 0.205])
    assert 2**numbers * mean == pytest.approx([0.205] * 7 + [0.32] * 4 + colours[1:].tolist())


@pytest.mark.parametrize("light", [0.0, -0.01])
def test_the_histogram_of_no_light_is_thirteen_zeros(light):
    mean, numbers = meter.histogram(pattern(np.full(50, light)))
    assert mean == pytest.approx(light) and numbers.tolist() == [0.0] * 13


def test_a_quantile_below_a_sixty_fourth_of_the_mean_is_taken_for_that():
    _, numbers = meter.histogram(pattern(np.r_[np.full(15, 0.0001), np.full(85, 0.1)]))
    assert numbers[:2].tolist() == [-6, -6] and numbers[2] == pytest.approx(np.log2(1 / 0.85), abs=1e-3)


def weighing(mean=0.0, spread=1.0, slope=0.0, bias=0.0):
    return meter.Weights(np.full(13, mean), np.full(13, spread), np.full(13, slope), bias)


def test_what_is_foretold_is_a_weighted_sum():
    numbers = np.arange(26.0).reshape(2, 13) / 10
    weights = weighing(1.0, 2.0, 0.5, 0.25)
    by_hand = [sum((number - 1) / 2 * 0.5 for number in row) + 0.25 for row in numbers.tolist()]
    assert meter.predicted(numbers, weights) == pytest.approx(by_hand)


def test_the_ratio_is_what_was_foretold_but_for_highlights(monkeypatch):
    frame = recorded(np.full((64, 64), 0.05))
    for bias, wanted in ((-2.0, 0.25 / 0.05), (-1.0, 0.5 / 0.05), (1.0, 1 / 0.05)):
        monkeypatch.setattr(meter, "shipped", lambda bias=bias: weighing(bias=bias))
        assert meter.ratio(frame) == pytest.approx(wanted, rel=2e-3)


def test_weights_are_written_with_four_decimals_and_who_made_them():
    lines = meter.dump(weighing(0.12345, 1, -2, 0.5), "a command").split("\n")
    assert lines[0] == "# Made by: a command" and lines[1] == f"mean = [{', '.join(['0.1235'] * 13)}]"
    assert lines[2:] == [
        f"spread = [{', '.join(['1.0000'] * 13)}]",
        f"slope = [{', '.join(['-2.0000'] * 13)}]",
        "bias = 0.5000",
        "",
    ]
