"""Photos turned into dark raws."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from darkroom.develop import cfa
from darkroom.develop.contract import LIMITS
from darkroom.develop.curves import linear_to_srgb, srgb_to_linear
from darkroom.errors import SettingsError
from darkroom.sensor import noise, simulate
from darkroom.sensor.simulate import Kind, Photo

KINDS = [
    Kind("bayer", "bayer4", "balanced", "camera"),
    Kind("xtrans", "xtrans9", "balanced", "camera"),
    Kind("bayer", "bayer4", "sensor", "srgb"),
    Kind("bayer", "bayer3", "sensor", "srgb"),
    Kind("xtrans", "xtrans36", "sensor", "srgb"),
    Kind("bayer", "srgb3", "srgb", "srgb"),
    Kind("bayer", "bayer4", "headroom", "camera"),
]
SHAPES = {
    "bayer4": (4, 48, 48),
    "xtrans9": (9, 32, 32),
    "bayer3": (3, 96, 96),
    "xtrans36": (36, 16, 16),
    "srgb3": (3, 96, 96),
}


def photo(height=200, width=300, seed=0) -> Photo:
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 30, 3), np.uint8))
    picture = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    return Photo(picture, picture)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_example_repeats_with_its_seed_and_fits_its_reference(kind):
    photos, known = [photo(), photo(seed=1)], [noise.camera("sonya7s2"), noise.camera("nikond850")]
    first, second = (simulate.example(photos, known, np.random.default_rng(3), kind=kind, size=96) for _ in range(2))
    assert (first.bright == second.bright).all() and (first.reference == second.reference).all()
    assert first.reference.shape == (3, 96, 96) and 0 <= first.reference.min() and first.reference.max() <= 1
    assert first.bright.shape == SHAPES[kind.packing]
    low, high = (0, 1) if kind.input == "srgb" else LIMITS[kind.input]
    assert low <= first.bright.min() and first.bright.max() <= high
    assert simulate.shown(first.bright, kind).shape == (3, 96, 96)


@pytest.mark.parametrize("kind", KINDS[:2], ids=str)
def test_what_is_amplified_again_is_the_reference_under_noise(kind):
    light = np.broadcast_to(np.array([0.2, 0.4, 0.1], np.float32), (192, 192, 3))
    sensor = noise.central(noise.camera("sonya7s2"), 1.0, 0.1)
    gains = np.array([2, 1, 1.5], np.float32)
    bright = simulate.expose(
        light, gains, 50, sensor, np.random.default_rng(0), kind=kind, camera_to_srgb=np.eye(3, dtype=np.float32)
    )
    shown = cfa.demosaic(bright, kind.packing)
    assert np.allclose(shown.mean(axis=(1, 2)), [0.2, 0.4, 0.1], atol=0.01)
    assert linear_to_srgb(light).max() < 1


def test_with_headroom_the_mean_of_noisy_white_is_kept():
    light = np.full((192, 192, 3), 0.98, np.float32)
    means = {}
    for kind in (KINDS[0], KINDS[-1]):
        bright = simulate.expose(
            light, np.ones(3, np.float32), 300, noise.central(noise.camera("sonya7s2"), 6.0, 0.1),
            np.random.default_rng(0), kind=kind, camera_to_srgb=np.eye(3, dtype=np.float32),
        )  # fmt: skip
        means[kind.input] = float(bright.mean())
    assert abs(means["headroom"] - 0.98) < 0.02 and means["balanced"] < 0.9


def test_a_network_of_one_camera_must_undo_its_colour_and_balance():
    kind, camera = KINDS[2], noise.camera("sonya7s2")
    red = np.zeros((480, 480, 3), np.uint8) + np.array([200, 40, 40], np.uint8)
    made = simulate.central(Photo(red, red), camera, 100, 0, kind=kind, size=96)
    assert np.allclose(made.reference.mean((1, 2)), np.array([200, 40, 40]) / 255, atol=1e-3)
    seen = made.bright.mean((1, 2))[[0, 1, 2]]
    wanted = simulate.from_srgb(srgb_to_linear(red[:1, :1] / 255).astype(np.float32), camera)[0, 0]
    (low, high), _ = camera.white_balance
    assert wanted[0] / high * 0.9 <= seen[0] <= wanted[0] / low * 1.1
    assert seen[1] == pytest.approx(wanted[1], rel=0.2)


@pytest.mark.parametrize("cap", [1.0, 1.5, 50.0, 300.0, 1000.0])
def test_no_ratio_is_above_the_cap_and_the_highest_come_near_it(cap):
    rng = np.random.default_rng(0)
    ratios = np.array([simulate._ratio(rng, cap) for _ in range(2000)])
    assert ratios.min() >= 1 and 0.99 * cap < ratios.max() <= cap
    if cap > 2:
        below = [np.mean(ratios < limit) for limit in (2, cap / 3)]
        share = simulate.FULL_LIGHT
        assert below[0] == pytest.approx(share + (1 - share) / 2 * np.log(2) / np.log(cap), abs=0.03)
        assert below[1] == pytest.approx(share + (1 - share) / 2 * np.log(cap / 3) / np.log(cap), abs=0.03)


def test_an_example_is_of_a_ratio_within_the_cap():
    made = [
        simulate.example([photo()], [noise.camera("sonya7s2")], np.random.default_rng(i), kind=KINDS[0], size=48, cap=4)
        for i in range(20)
    ]
    assert max(each.ratio for each in made) <= 4


def test_every_second_example_shows_the_pattern_of_its_camera_at_its_gain():
    kind, plain = KINDS[0], noise.camera("sonya7s2")
    drawn = np.tile(np.float32([[40, 0], [0, 0]]), (60, 60))  # the red sites alone
    seen = replace(plain, patterns=(noise.Pattern(0.5, drawn), noise.Pattern(1e3, np.full_like(drawn, 1e4))))
    examples = [
        simulate.example([photo()], [camera], np.random.default_rng(seed), kind=kind, size=96)
        for camera in (plain, seen)
        for seed in range(12)
    ]
    shifts = np.array(
        [
            (after.bright - before.bright).mean((1, 2))
            for before, after in zip(examples[:12], examples[12:], strict=True)
        ]
    )
    shown = shifts[:, 0] > 0.05
    assert 2 < shown.sum() < 10
    assert (shifts[shown, 0] > 4 * np.abs(shifts[shown, 1:]).max(1)).all(), "cells stay whole"


def test_a_pattern_grows_with_gain_and_one_smaller_than_a_crop_goes_on():
    camera = replace(noise.camera("sonya7s2"), patterns=(noise.Pattern(0.5, np.full((64, 80), 3, np.float32)),))
    cut = simulate._pattern(camera, 2.0, 96, np.random.default_rng(0))
    assert cut.shape == (96, 96) and (cut == 12).all()


def test_a_reference_with_a_look_is_cut_where_its_picture_is():
    picture = photo().picture
    looked = Photo(picture, 255 - picture)
    kind = KINDS[0]
    made = simulate.central(looked, noise.camera("sonya7s2"), 1, 0, kind=kind, size=96)
    plain = simulate.central(photo(), noise.camera("sonya7s2"), 1, 0, kind=kind, size=96)
    assert np.allclose(made.reference, 1 - plain.reference, atol=1e-6) and (made.bright == plain.bright).all()
    drawn = [
        simulate.example([looked], [noise.camera("sonya7s2")], np.random.default_rng(i), kind=kind, size=96)
        for i in range(4)
    ]
    for example in drawn:
        short, reference = simulate.shown(example.bright, kind), example.reference
        assert np.corrcoef(short.mean(0).ravel(), reference.mean(0).ravel())[0, 1] < 0


def test_validation_examples_depend_on_nothing_but_their_photo_and_number():
    made = [simulate.central(photo(), noise.camera("canon70d"), 250, 7, kind=KINDS[0], size=96) for _ in range(2)]
    assert (made[0].bright == made[1].bright).all()


def test_photos_too_small_for_a_crop_are_refused():
    with pytest.raises(SettingsError, match="too small for crops of 480"):
        simulate.example([photo()], [noise.camera("nikond850")], np.random.default_rng(0), kind=KINDS[0], size=480)
    with pytest.raises(SettingsError, match="too small to validate on 480"):
        simulate.central(photo(), noise.camera("nikond850"), 100, 0, kind=KINDS[0], size=480)


@pytest.mark.parametrize(
    ("kind", "multiple", "sites"),
    [(KINDS[0], 8, 16), (KINDS[1], 16, 48), (KINDS[1], 8, 24), (KINDS[4], 16, 96)],
    ids=str,
)
def test_crops_hold_whole_cells_and_whole_multiples(kind, multiple, sites):
    assert simulate.sites_multiple(kind, multiple) == sites
