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
