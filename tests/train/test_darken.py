"""The simulator of paper 004: its five parameters, their distribution, and the order of its stages."""

from pathlib import Path

import numpy as np
import pytest
import sets

from darkroom.errors import SettingsError
from darkroom.frame import Exposure
from darkroom.sensor.simulate import Photo
from darkroom.train import darken, pairs
from darkroom.train.cache import Cache

QUIET = 1e7
"""Photons at 255: noise far below one value."""


def picture(low: int, high: int, *, seed: int = 0, side: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (side, side, 3), np.uint8)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


# --- darkening ---


def test_each_stage_does_its_part_in_the_papers_order():
    flat = np.full((4, 4, 3), 100, np.uint8)
    for drawn, expected in (
        ([0, 1, 1, 1, 1], [100, 100, 100]),
        ([40, 1, 1, 1, 1], [60, 60, 60]),
        ([40, 0.5, 1, 2, 1], [30, 60, 120]),  # the black level comes before the weights
        ([40, 0.5, 1, 2, 0.5], [30**0.5, 60**0.5, 120**0.5]),  # the power last, on values of 0 to 255
        ([120, 1, 1, 1, 1], [0, 0, 0]),
        ([0, 5, 1, 1, 1], [255, 100, 100]),
    ):
        dark = darken.darken(flat, np.array(drawn, float), rng(), photons=QUIET)
        assert dark.dtype == np.uint8
        np.testing.assert_allclose(dark.mean((0, 1)), expected, atol=0.6)


@pytest.mark.parametrize("photons", [1, 10])
def test_noise_is_poisson_of_so_many_photons(photons):
    flat = np.full((200, 200, 3), 51, np.uint8)
    drawn = np.array([0, 1, 1, 1, 1.0])
    dark = darken.darken(flat, drawn, rng(), photons=photons).astype(float)
    below = np.unique(dark[dark < 255])
    np.testing.assert_array_equal(below, np.rint(np.arange(photons) * 255 / photons))  # the paper's noise: 0 or 255
    assert (dark == 0).mean() == pytest.approx(np.exp(-51 * photons / 255), rel=0.03)


# --- parameters ---


def test_parameters_are_the_averages_of_the_paper():
    bright, dark = np.full((20, 20, 3), 100, np.uint8), np.full((20, 20, 3), (20, 10, 40), np.uint8)
    alone = darken.parameters(bright, dark, chained=False)
    powers = np.log([20, 10, 40]) / np.log(100)
    np.testing.assert_allclose(alone, [100 - 70 / 3, 0.2, 0.1, 0.4, powers.mean()])
    level = 100 - 70 / 3
    chained = darken.parameters(bright, dark)
    np.testing.assert_allclose(chained, [level, *(np.array([20, 10, 40]) / (100 - level)), 1.0])


def test_values_that_tell_nothing_are_left_out():
    bright, dark = picture(60, 200), picture(10, 50, seed=1)
    bright[:2], dark[-3:] = 251, 4
    kept = (bright <= 250) & (dark >= 5)
    assert 0.85 < kept.mean() < 0.95
    differences, powers = bright.astype(float) - dark, np.log(dark.astype(float)) / np.log(bright.astype(float))
    found = darken.parameters(bright, dark, chained=False)
    np.testing.assert_allclose(found[[0, 4]], [differences[kept].mean(), powers[kept].mean()])
    np.testing.assert_allclose(found[1:4], [(dark / bright)[..., c][kept[..., c]].mean() for c in range(3)])


@pytest.mark.parametrize("chained", [True, False])
def test_pairs_that_hold_too_little_tell_nothing(chained):
    assert darken.parameters(picture(60, 200), picture(0, 5), chained=chained) is None
    assert darken.parameters(picture(251, 255), picture(10, 50), chained=chained) is None


def test_chained_parameters_bring_back_the_short_and_the_papers_darken_thrice():
    bright = picture(90, 250)
    short = np.rint(bright * 0.25 + 2).astype(np.uint8)
    chained, alone = (darken.parameters(bright, short, chained=chained) for chained in (True, False))
    again = darken.darken(bright, chained, rng(), photons=QUIET)
    literal = darken.darken(bright, alone, rng(), photons=QUIET)
    assert again.mean() == pytest.approx(short.mean(), rel=0.25)
    assert literal.mean() < 0.3 * short.mean()


# --- their distribution ---


def test_the_normal_has_the_pairs_mean_and_covariance():
    shorts = [np.rint(picture(90, 250) * share).astype(np.uint8) for share in (0.1, 0.15, 0.2, 0.3)]
    found = darken.estimate([(picture(90, 250), short) for short in shorts] + [(picture(90, 250), picture(0, 4))])
    rows = np.array([darken.parameters(picture(90, 250), short) for short in shorts])
    np.testing.assert_allclose(found.mean, rows.mean(0))
    np.testing.assert_allclose(found.covariance, np.cov(rows.T))
    with pytest.raises(SettingsError, match="darkness: 1 of 2 pairs hold .*; give brighter shorts, or take the publ"):
        darken.estimate([(picture(90, 250), shorts[0]), (picture(90, 250), picture(0, 4))])


def test_draws_follow_the_normal_and_are_never_absurd():
    wide = darken.Darkness((10.0, 0.2, 0.3, 0.4, 0.7), tuple(map(tuple, np.diag([400.0, 0.2, 0.2, 0.2, 0.2]).tolist())))
    generator = rng()
    drawn = np.array([darken.draw(wide, generator) for _ in range(300)])
    assert (drawn[:, 0] >= 0).all() and (drawn[:, 1:] > 0).all()
    narrow = darken.Darkness(wide.mean, tuple(map(tuple, np.diag([1.0, 1e-3, 1e-3, 1e-3, 1e-3]).tolist())))
    drawn = np.array([darken.draw(narrow, generator) for _ in range(300)])
    np.testing.assert_allclose(drawn.mean(0), narrow.mean, rtol=0.05)
    np.testing.assert_allclose(drawn.std(0), np.sqrt(np.diag(narrow.covariance)), rtol=0.2)
    absurd = darken.Darkness((10.0, -5.0, 0.3, 0.4, 0.7), narrow.covariance)
    with pytest.raises(SettingsError, match="darkness: of 1000 draws none .*; estimate it from other pairs"):
        darken.draw(absurd, generator)


def test_the_authors_own_figures_are_a_normal():
    covariance = np.array(darken.PUBLISHED.covariance)
    np.testing.assert_array_equal(covariance, covariance.T)
    assert (np.linalg.eigvalsh(covariance) > 0).all()
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), [29.39, 0.19, 0.27, 0.23, 0.10], rtol=0.03)
    dark = darken.darken(picture(90, 250), darken.draw(darken.PUBLISHED, rng()), rng())
    assert dark.mean() < 30


def test_a_darkness_is_written_and_read_back(tmp_path: Path):
    darken.save(darken.PUBLISHED, tmp_path / "darkness.json")
    assert darken.load(tmp_path / "darkness.json") == darken.PUBLISHED
    (tmp_path / "short.json").write_text('{"mean": [1, 2], "covariance": [[1]]}')
    with pytest.raises(SettingsError, match=r"short.json: holds \(2,\) and \(1, 1\) numbers"):
        darken.load(tmp_path / "short.json")
    with pytest.raises(SettingsError, match="none.json: holds no darkness"):
        darken.load(tmp_path / "none.json")


def test_real_pairs_give_a_darkness_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number, ratio in ((1, 8), (2, 12), (3, 10)):
        light = sets.scene(number)
        for folder, much in (("short", ratio), ("long", 1)):
            path = tmp_path / folder / f"{number}.dng"
            sets.write(path, light, ratio=much, exposure=Exposure(1 / much, 100, 4), camera_to_srgb=np.eye(3))
    cache = Cache(tmp_path / "cache")
    found = pairs.find(tmp_path, cache)
    darkness = darken.of_pairs(found, cache)
    literal = darken.of_pairs(found, cache, chained=False)
    assert 0.15 < literal.mean[1] < 0.5 and darkness.mean[0] == pytest.approx(literal.mean[0])
    monkeypatch.setattr(darken, "parameters", None)
    assert darken.of_pairs(found, cache) == darkness


# --- examples ---


def test_an_example_is_a_dark_crop_and_the_crop(tmp_path: Path):
    shape = (40, 64)
    plain = np.arange(np.prod(shape)).reshape(shape)
    shown = np.stack([plain % 251, plain // 251 + 100, np.full(shape, 200)], -1).astype(np.uint8)
    quiet = darken.Darkness((0.0, 0.5, 0.5, 0.5, 1.0), tuple(map(tuple, (1e-12 * np.eye(5)).tolist())))
    places = set()
    for seed in range(16):
        example = darken.example(
            [Photo(shown, 255 - shown)], quiet, np.random.default_rng(seed), size=16, photons=QUIET
        )
        assert example.bright.shape == example.reference.shape == (3, 16, 16)
        assert example.bright.dtype == example.reference.dtype == np.float32
        reference = 255 - np.rint(255 * example.reference).astype(int)
        np.testing.assert_allclose(255 * example.bright, reference / 2, atol=1)
        places.add(tuple(reference[:, 0, 0]) + tuple(reference[:, 1, 1]))
    assert len(places) > 12
    with pytest.raises(SettingsError, match="a photo of 64 x 40 is too small for crops of 41; make crops smaller"):
        darken.example([Photo(shown, shown)], quiet, rng(), size=41)
