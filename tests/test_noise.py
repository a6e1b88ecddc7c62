"""The sensor model: what is drawn has the moments it was asked for."""

from dataclasses import replace

import numpy as np
import pytest

from darkroom.errors import SettingsError
from darkroom.train import noise

QUIET = noise.Sensor(
    black=512, white=16383, gain=0.5, read=2.0, shape=None, row=0.0, black_error=(0, 0, 0, 0), step=1.0
)  # fmt: skip


def dark(sensor: noise.Sensor, size: int = 512, light: float = 0.0) -> np.ndarray:
    return noise.record(np.full((size, size), light), sensor, np.random.default_rng(0))


def test_every_camera_of_the_file_is_read():
    known = noise.cameras()
    assert {"sonya7s2", "nikond850", "canon5d4", "canon70d", "canon700d"} <= known.keys()
    for camera in known.values():
        assert 0 < camera.gain[0] < camera.gain[1] and 0 < camera.black < camera.white
        assert 0.1 < camera.read.at(0) < 20 and camera.row.at(0) < camera.read.at(0)


def test_an_unknown_camera_lists_the_known_ones():
    with pytest.raises(SettingsError, match="leica: no such camera; known are sonya7s2"):
        noise.camera("leica")


def test_shot_noise_has_the_variance_of_counted_electrons():
    recorded = dark(replace(QUIET, read=0.0), light=0.01)
    mean = 0.01 * (16383 - 512)
    assert recorded.mean() == pytest.approx(mean, rel=0.01)
    assert recorded.var() == pytest.approx(0.5 * mean + 1 / 12, rel=0.03)


@pytest.mark.parametrize("shape", [None, 0.14, 0.0, -0.2])
def test_read_noise_is_centred_and_heavier_tailed_for_smaller_shapes(shape):
    sample = noise.read_noise((1000, 1000), replace(QUIET, shape=shape), np.random.default_rng(0))
    kurtosis = np.mean(sample**4) / np.mean(sample**2) ** 2
    assert abs(np.median(sample)) < 0.02
    assert (kurtosis < 3.3) == (shape in (None, 0.14))


def test_rows_shift_together():
    recorded = dark(replace(QUIET, row=3.0))
    rows = recorded.mean(axis=1).std()
    assert rows == pytest.approx(3, rel=0.15) and recorded.mean(axis=0).std() < 0.3


def test_each_site_of_the_cell_keeps_its_black_error():
    recorded = dark(replace(QUIET, black_error=(5, 0, -5, 2)))
    assert [round(float(recorded[r::2, c::2].mean())) for r, c in ((0, 0), (0, 1), (1, 1), (1, 0))] == [5, 0, -5, 2]


def test_the_converter_rounds_to_its_steps_and_saturates():
    assert set(np.unique(dark(replace(QUIET, step=16.0)) % 16)) == {0}
    assert (dark(QUIET, light=2.0) == 16383 - 512).all()


def test_the_same_seed_gives_the_same_recording():
    camera = noise.camera("nikond850")
    first, second = (noise.draw(camera, np.random.default_rng(7)) for _ in range(2))
    assert first == second and (dark(first) == dark(second)).all()


def test_the_central_sensor_lies_on_the_fitted_line():
    camera = noise.camera("sonya7s2")
    assert noise.central(camera, 1.0, 0.1).read == pytest.approx(np.exp(camera.read.bias))
