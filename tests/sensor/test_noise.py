"""The sensor model: what is drawn has the moments it was asked for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from darkroom.errors import SettingsError
from darkroom.sensor import lenscap, noise

QUIET = noise.Sensor(
    black=512, white=16383, gain=0.5, read=2.0, shape=None, row=0.0, black_error=(0, 0, 0, 0), step=1.0
)  # fmt: skip


def dark(sensor: noise.Sensor, size: int = 512, light: float = 0.0) -> np.ndarray:
    return noise.record(np.full((size, size), light), sensor, np.random.default_rng(0))


def test_every_camera_of_the_file_is_read():
    known = noise.cameras()
    assert {"sonya7s2", "nikond850", "canon5d4", "canon70d", "canon700d", "canon6d", "fujixt2"} < known.keys()
    assert {"imx477", "imx296"} < known.keys() and known["fujixt2"].cfa == "xtrans"
    for camera in known.values():
        assert 0 < camera.gain[0] <= camera.gain[1] and 0 < camera.black < camera.white
        fineness = noise.fineness(camera.white)
        log_gain = np.log(np.clip(1 / fineness, *camera.gain))
        assert 0.1 < fineness * camera.read.at(log_gain) < 20
        assert camera.row.at(log_gain) < camera.read.at(log_gain)


def test_every_camera_has_colours_that_keep_white_white_and_gains_from_tungsten_to_shade():
    for camera in noise.cameras().values():
        assert camera.camera_to_srgb.sum(1) == pytest.approx(1, abs=1e-4)
        assert (np.diag(camera.camera_to_srgb) > 1).all()
        (red, most_red), (blue, most_blue) = camera.white_balance
        assert 1 <= red < most_red < 5 and 1 <= blue < most_blue < 5, camera.name


def test_noise_that_nobody_published_is_stood_in_for_by_what_the_others_have():
    known = noise.cameras()
    assert not {"canon6d", "fujixt2", "imx477"} & {camera.name for camera in noise.calibrated(known)}
    measured = [known[name] for name in ("sonya7s2", "nikond850", "canon5d4", "canon70d", "canon700d")]
    stood_in = known["canon6d"]
    reads = [camera.read.at(0) for camera in measured]
    assert min(reads) < stood_in.read.at(0) < max(reads)
    assert stood_in.read.at(0, -1.5) < min(reads) and stood_in.read.at(0, 1.5) > max(reads)
    assert stood_in.gain == (0.0939, 28.6482) and len(stood_in.shapes) == 84
    # The same electrons, whatever the converter's bits: 12 bits count a fourth of the DN of 14.
    coarse = known["imx477"]
    assert coarse.gain == (0.4785, 10.65)
    assert coarse.read.at(np.log(0.5)) == pytest.approx(stood_in.read.at(np.log(2.0)) / 4)


def test_a_file_of_ones_own_adds_cameras_and_wins_over_the_shipped(tmp_path: Path):
    own = tmp_path / "own.toml"
    own.write_text(ENTRY + ENTRY.replace("[mine]", "[sonya7s2]"))
    known = noise.cameras(own)
    assert known["mine"].read == known["sonya7s2"].read == noise.Trend(0.5, 1.0, 0.2)
    assert known["mine"].measured and known["nikond850"].model == "Nikon D850"
    assert noise.camera("mine", own).white_balance == ((1.5, 2.5), (1.2, 2.2))
    own.write_text("\n".join(ENTRY.splitlines()[:8]))
    assert not noise.camera("mine", own).measured


ENTRY = """
[mine]
model = "My own"
cfa = "bayer"
black = 64
white = 1023
white_balance = { red = [1.5, 2.5], blue = [1.2, 2.2] }
camera_to_srgb = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
gain = [0.1, 0.2]
read = { slope = 0.5, bias = 1.0, scatter = 0.2 }
gauss = { slope = 0.5, bias = 1.5, scatter = 0.2 }
row = { slope = 0.5, bias = 0.1, scatter = 0.2 }
shapes = [0.1]
black_error = [[0, 0, 0, 0]]
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[mine", "own.toml: is no TOML"),
        ("x = " + "[" * 3000, "own.toml: is no TOML"),
        ("x = " + "9" * 5000, "own.toml: is no TOML"),
        (ENTRY.replace("black = 64\n", ""), r"own.toml: \[mine\] lacks black; see"),
        (ENTRY.replace('"bayer"', '"foveon"'), r"own.toml: \[mine\] is no camera \(cfa is bayer or xtrans"),
        (ENTRY.replace("slope", "steep"), r"own.toml: \[mine\] is no camera"),
        ("mine = 3", r"own.toml: \[mine\] is no camera"),
    ],
)
def test_what_is_wrong_with_a_file_of_cameras_is_said(tmp_path: Path, text: str, message: str):
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        noise.cameras(tmp_path / "own.toml")


def test_a_file_of_cameras_that_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(SettingsError, match="none.toml: cannot be read"):
        noise.cameras(tmp_path / "none.toml")


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


def test_without_faults_the_draws_are_those_every_published_score_rests_on():
    """Poisson, read noise, rows: in this order, and nothing drawn between or after."""
    camera = noise.camera("canon5d4")
    sensor = noise.central(camera, 2.0, -0.1)
    light = np.linspace(0, 0.01, 64 * 96).reshape(64, 96)
    recorded = noise.record(light, sensor, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    electrons = rng.poisson(light * ((16383 - 2048) / 2.0))
    p = np.clip(rng.random((64, 96), np.float32), 1e-6, 1 - 1e-6)
    read = (p**-0.1 - (1 - p) ** -0.1) / np.float32(-0.1) * camera.read.at(np.log(2))
    rows = rng.standard_normal((64, 1), np.float32) * camera.row.at(np.log(2))
    expected = np.rint(2 * electrons + read + rows)
    assert (np.abs(recorded - expected) < 0.5).mean() > 0.9995  # but for rounding of halves


def test_gain_limits_are_of_14_bits_whatever_the_cameras_own():
    assert noise.camera("sonya7s2").gains((0.3, 12)) == (0.3, 6.0106)
    assert noise.camera("imx477").gains((0.3, 12)) == (0.4785, 3.0)
    assert noise.camera("imx296").gains((0.3, 0.5)) == (0.09, 0.09)


@pytest.mark.parametrize("name", sorted(noise.cameras()))
def test_drawn_sensors_stay_within_the_camera(name):
    camera, rng = noise.camera(name), np.random.default_rng(0)
    drawn = [noise.draw(camera, rng) for _ in range(300)]
    low, high = camera.gains((0.1, 12.0))
    assert all(low * 0.999 <= sensor.gain <= high * 1.001 for sensor in drawn)
    assert {sensor.step for sensor in drawn} == (
        {1, 4, 16} if camera.white > 9000 else {1, 4} if name == "imx477" else {1}
    )
    assert {sensor.shape is None for sensor in drawn} == {True, False}
    assert 0 < np.mean([any(sensor.black_error) for sensor in drawn]) < 0.08 or not np.any(camera.black_error)
    assert 0 < np.mean([any(sensor.slope) for sensor in drawn]) < 0.08
    banded = [sensor for sensor in drawn if sensor.band]
    assert 0.2 < len(banded) / 300 < 0.4 and {2, 20} < {sensor.band_rows for sensor in drawn}
    reads = np.log([sensor.read / camera.read.at(np.log(sensor.gain)) for sensor in drawn if sensor.shape is not None])
    assert reads.min() < -0.3 and reads.max() > 0.3, "scattered about the line"
    assert np.abs(reads).max() < 2 * (3 if camera.measured else 1) * camera.read.scatter + 1e-6


@pytest.mark.parametrize(
    ("fault", "field", "measured"),
    [
        ({"row": 1.0}, "row", 1.0),
        ({"column": 0.5}, "column", 0.5),
        ({"slope": (3.0, 0.0)}, "drift", 3.0),
        ({"band": 1.0}, "neighbours", 0.5),
        ({"band": 1.0, "band_rows": 10}, "neighbours", 0.9),
        ({"black_error": (3, 0, -3, 0)}, "sites", 4.5**0.5),
        ({"hot": 1e-3, "hot_mean": 80.0}, "tails", 0.8e-3),
    ],
)
def test_every_fault_shows_in_the_look_of_a_lens_cap_frame_and_only_there(fault, field, measured):
    plain = lenscap.look(dark(QUIET))
    faulty = lenscap.look(dark(replace(QUIET, **fault)))
    assert getattr(faulty, field) == pytest.approx(measured, rel=0.25)
    assert abs(getattr(plain, field)) < 0.15 * measured
    assert plain.sd == pytest.approx((2.0**2 + 1 / 12) ** 0.5, rel=0.01)
