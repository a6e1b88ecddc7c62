"""Photos turned into dark raws."""

import numpy as np
import pytest
from PIL import Image

from darkroom import cfa
from darkroom.errors import SettingsError
from darkroom.finish import linear_to_srgb
from darkroom.train import noise, simulate


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(3):
        coarse = Image.fromarray(rng.integers(0, 255, (20, 30, 3), np.uint8))
        coarse.resize((300, 200), Image.Resampling.BICUBIC).save(tmp_path / f"{i}.png")
    (tmp_path / "sources.csv").write_text("file,reduced_by\n0.png,1.0\n1.png,1.6\n2.png,4.0\n")
    return tmp_path


def test_photos_are_reduced_until_their_pixels_are_clean(photos):
    assert [p.shape for p in simulate.load_photos(photos)] == [(100, 150, 3), (160, 240, 3), (200, 300, 3)]
    assert all(p.shape == (200, 300, 3) for p in simulate.load_photos(photos, reduced_by=1))


def test_a_folder_without_photos_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="holds no photo; name a folder"):
        simulate.load_photos(tmp_path)


@pytest.mark.parametrize("packing", ["bayer4", "xtrans9"])
def test_an_example_repeats_with_its_seed_and_fits_its_reference(photos, packing):
    loaded, known = simulate.load_photos(photos), list(noise.cameras().values())
    first, second = (
        simulate.example(loaded, known, np.random.default_rng(3), packing=packing, size=96) for _ in range(2)
    )
    assert (first.bright == second.bright).all() and (first.reference == second.reference).all()
    assert first.reference.shape == (3, 96, 96) and 0 <= first.reference.min() and first.reference.max() <= 1
    assert first.bright.shape == ((4, 48, 48) if packing == "bayer4" else (9, 32, 32)) and first.bright.max() <= 1


@pytest.mark.parametrize("packing", ["bayer4", "xtrans9"])
def test_what_is_amplified_again_is_the_reference_under_noise(packing):
    light = np.broadcast_to(np.array([0.2, 0.4, 0.1], np.float32), (192, 192, 3))
    sensor = noise.central(noise.camera("sonya7s2"), 1.0, 0.1)
    bright = simulate.expose(
        light, np.array([2, 1, 1.5], np.float32), 50, sensor, np.random.default_rng(0), packing=packing
    )
    shown = cfa.demosaic(bright, packing)
    assert np.allclose(shown.mean(axis=(1, 2)), [0.2, 0.4, 0.1], atol=0.01)
    assert linear_to_srgb(light).max() < 1


def test_photos_too_small_for_a_crop_are_refused(photos):
    with pytest.raises(SettingsError, match="too small for crops of 480"):
        simulate.example(
            simulate.load_photos(photos),
            [noise.camera("nikond850")],
            np.random.default_rng(0),
            packing="bayer4",
            size=480,
        )


def test_crops_hold_whole_cells_of_the_sensor_and_the_network():
    assert simulate.sites_multiple("bayer4", 8) == 16
    assert simulate.sites_multiple("xtrans9", 16) == 48
