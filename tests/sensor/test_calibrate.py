"""Calibration: what was put into simulated frames is found again, and what cannot be measured is refused."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from darkroom.decode import raw
from darkroom.errors import SettingsError
from darkroom.frame import Exposure
from darkroom.sensor import calibrate, lenscap, noise
from darkroom.write import dng

LOW = noise.Sensor(
    black=512, white=16383, gain=0.4, read=1.5, shape=-0.1, row=0.6, black_error=(1.2, -0.5, 0.4, 0.0), step=1.0
)  # fmt: skip
HIGH = replace(LOW, gain=3.2, read=4.0, shape=0.1, row=1.5, black_error=(-2.0, 1.0, 0.0, 0.7))
COARSE = noise.Sensor(
    black=60, white=1023, gain=0.09, read=0.25, shape=0.05, row=0.06, black_error=(0.3, 0.1, 0.2, 0.1), step=1.0
)  # fmt: skip
SIZE = (384, 512)

Shoot = Callable[..., list[Path]]


@pytest.fixture
def shoot(tmp_path: Path) -> Shoot:
    """`shoot(sensor, dark=2, lit=4, ...)` -> that many DNGs of it, lens-cap frames after the series."""

    def make(sensor, dark=2, lit=4, *, light=None, iso=100, cfa="bayer", phase=(0, 0), lamp=(1.0,), moving=0, **facts):
        scene = np.linspace(0.01, 0.12, SIZE[1]) * np.linspace(0.7, 1, SIZE[0])[:, None] if light is None else light
        rng = np.random.default_rng(round(1000 * iso))
        paths = []
        for number in range(lit + dark):
            seen = np.roll(scene, moving * number, 1) * lamp[number % len(lamp)] if number < lit else np.zeros(SIZE)
            recorded = noise.record(seen, sensor, rng) + sensor.black
            mosaic = np.maximum(recorded, 0).astype(np.uint16)[phase[0] :, phase[1] :]
            path = tmp_path / f"{iso}_{len(list(tmp_path.iterdir())):03}.dng"
            dng.write(
                path,
                mosaic,
                cfa=cfa,
                phase=phase,
                black=sensor.black,
                white=int(sensor.white),
                **({"exposure": Exposure(1 / 30, iso, 2.8)} | facts),
            )
            paths.append(path)
        return paths

    return make


def only(paths: list[Path]) -> calibrate.Point:
    (point,) = calibrate.calibrate(paths).points
    return point


def close(point: calibrate.Point, sensor: noise.Sensor) -> None:
    assert point.gain == pytest.approx(sensor.gain, rel=0.04)
    assert point.gains == pytest.approx((sensor.gain,) * 4, rel=0.08)
    spread = float(noise.read_noise((500_000,), sensor, np.random.default_rng(0)).std())
    assert point.gauss == pytest.approx(spread, rel=0.05)
    assert point.read == pytest.approx(sensor.read, rel=0.12)
    assert point.shape == pytest.approx(sensor.shape, abs=0.03)
    assert point.row == pytest.approx(sensor.row, rel=0.12)
    assert point.black_error == pytest.approx(sensor.black_error, abs=0.06 * spread + 0.1)


def test_what_was_put_in_is_found_again_at_every_iso_in_any_order(shoot):
    paths = shoot(LOW, iso=100) + shoot(HIGH, iso=800)
    np.random.default_rng(0).shuffle(paths)
    heard = []
    found = calibrate.calibrate(paths, lambda path, kind: heard.append((path, kind)))
    assert [point.iso for point in found.points] == [100, 800]
    close(found.points[0], LOW)
    close(found.points[1], HIGH)
    assert (found.model, found.cfa, found.black, found.white) == ("Darkroom Demo", "bayer", 512, 16383)
    assert heard == [(path, "lens cap" if int(path.stem[4:]) % 6 > 3 else "series") for path in paths]


def test_read_noise_below_the_converters_step_is_found_where_the_variance_misses_it(shoot):
    paths = shoot(COARSE, dark=3, lit=5)
    point = only(paths)
    close(point, COARSE)
    site = raw.read(paths[-1]).mosaic[::2, 1::2]
    by_variance = np.sqrt(site.var() - 1 / 12 - COARSE.row**2)
    truth = noise.read_noise((500_000,), COARSE, np.random.default_rng(0)).std()
    assert abs(by_variance / truth - 1) > 0.04 > 2 * abs(point.gauss / truth - 1)


def test_a_converter_of_few_bits_in_a_file_of_more_is_noticed(shoot):
    sensor = replace(LOW, step=4.0, read=2.5)
    point = only(shoot(sensor, dark=4))
    assert point.step == 4
    close(point, sensor)


def test_xtrans_frames_of_any_phase_calibrate_alike(shoot):
    point = only(shoot(replace(LOW, black_error=(0, 0, 0, 0)), cfa="xtrans", phase=(2, 1)))
    assert point.gain == pytest.approx(LOW.gain, rel=0.04) and point.shape == pytest.approx(LOW.shape, abs=0.03)


def test_black_levels_with_fractions_and_by_site_are_taken_out(shoot):
    paths = shoot(LOW)
    first = only(paths)
    told = np.array([[513.25, 512], [512, 511.5]])
    for path in paths:
        dng.write(path, raw.read(path).mosaic, black=told, exposure=Exposure(1 / 30, 100, 2.8))
    again = only(paths)
    shift = np.array([1.25, 0, -0.5, 0])
    assert np.array(first.black_error) - again.black_error == pytest.approx(shift, abs=0.01)
    assert again.gain == pytest.approx(first.gain, rel=0.01)


def test_one_flat_level_gives_the_gain_against_the_lens_cap_frames(shoot):
    assert only(shoot(LOW, light=np.full(SIZE, 0.2))).gain == pytest.approx(LOW.gain, rel=0.04)


def test_flats_of_several_levels_are_told_apart_without_exposure_times(shoot):
    paths = [path for level in (0.02, 0.05, 0.3) for path in shoot(LOW, lit=2, light=np.full(SIZE, level))]
    point = only(paths)
    assert point.gain == pytest.approx(LOW.gain, rel=0.03) and (point.dark, point.lit) == (6, 6)


def test_a_lamp_that_wavers_does_not_pass_for_noise(shoot):
    steady, wavering = (only(shoot(HIGH, lit=5, lamp=lamp)).gain for lamp in ((1.0,), (1.0, 1.04, 0.97, 1.02, 0.98)))
    assert wavering == pytest.approx(steady, rel=0.02)


def test_hot_sites_bend_neither_shape_nor_black(shoot):
    hot = replace(LOW, hot=2e-4, hot_mean=300.0)
    point = only(shoot(hot))
    assert point.shape == pytest.approx(LOW.shape, abs=0.03)
    assert point.black_error == pytest.approx(LOW.black_error, abs=0.15)
    assert point.row == pytest.approx(LOW.row, rel=0.15)


def test_the_entry_is_a_camera_to_train_with(shoot, tmp_path):
    matrix = [[1.9, -0.7, -0.2], [-0.3, 1.7, -0.4], [0.0, -0.5, 1.5]]
    colour = {"camera_to_srgb": matrix, "daylight": (2.2, 1.0, 1.4)}
    found = calibrate.calibrate(shoot(LOW, iso=100, **colour) + shoot(HIGH, iso=800, **colour))
    file = tmp_path / "mine.toml"
    file.write_text(calibrate.entry(found, "mine"))
    camera = noise.camera("mine", file)
    assert camera.measured and camera.model == "Darkroom Demo" and camera.cfa == "bayer"
    assert camera.gain == pytest.approx((0.4, 3.2), rel=0.04)
    for point in found.points:
        log_gain = np.log(point.gain)
        for kind in ("read", "gauss", "row"):
            assert getattr(camera, kind).at(log_gain) == pytest.approx(getattr(point, kind), rel=0.01)
    assert camera.shapes == tuple(point.shape for point in found.points)
    assert np.array(camera.black_error) == pytest.approx(
        np.array([point.black_error for point in found.points]), abs=0.01
    )
    assert camera.camera_to_srgb == pytest.approx(np.array(matrix), abs=0.01)
    red, blue = camera.white_balance
    assert red[0] < 2.2 < red[1] and blue[0] < 1.4 < blue[1]
    assert noise.draw(camera, np.random.default_rng(0)).black == 512


def test_colourless_files_get_a_guess_that_covers_cameras(shoot):
    found = calibrate.calibrate(shoot(LOW, camera_to_srgb=None))
    assert found.white_balance == calibrate.ANY_BALANCE and (found.camera_to_srgb == np.eye(3)).all()


def test_a_line_through_four_gains_shows_slope_and_scatter():
    gains = np.array([0.1, 0.4, 1.6, 6.4])
    line = calibrate.trend(gains, np.exp(0.5 * np.log(gains) + 0.3 + np.array([0.1, -0.1, -0.1, 0.1])))
    assert line == noise.Trend(pytest.approx(0.5), pytest.approx(0.3), pytest.approx(0.02**0.5))


def test_a_line_through_one_gain_is_level():
    line = calibrate.trend([0.1], [2.0])
    assert (line.slope, line.scatter) == (0, calibrate.UNKNOWN_SCATTER) and line.at(5.0) == pytest.approx(2)


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.14])
@pytest.mark.parametrize("scale", [0.35, 1.0, 6.0])
def test_the_shape_is_found_however_coarse_the_steps(shape, scale):
    sensor = replace(LOW, shape=shape, read=scale, row=0.0)
    recorded = noise.record(np.zeros((400, 600)), sensor, np.random.default_rng(0)).astype(np.int32) + 512
    frame = lenscap.measure(recorded, np.full(recorded.shape, 512.0), "a frame")
    found, read = lenscap.shape([frame])
    assert found == pytest.approx(shape, abs=0.035) and read == pytest.approx(scale, rel=0.12)


REFUSED = {
    "no lens-cap frame among 4 files; the darkest": lambda shoot: shoot(LOW, dark=0),
    "no lens-cap frame among 0 files": lambda shoot: [],
    "ISO 100: lacks a series of a static scene": lambda shoot: shoot(LOW, lit=0),
    "ISO 800: lacks lens-cap frames": lambda shoot: shoot(LOW) + shoot(HIGH, dark=0, iso=800),
    "ISO 100: 1 lens-cap frame; take 2 or more": lambda shoot: shoot(LOW, dark=1),
    "alone at its exposure and level": lambda shoot: shoot(LOW, lit=3) + shoot(LOW, lit=1, light=np.full(SIZE, 0.3)),
    "0.35 % of the range above black is neither dark nor lit": lambda s: s(LOW, light=np.full(SIZE, 0.0035)),
    "camera Darkroom Other, but .*dng has Darkroom Demo": lambda shoot: shoot(LOW) + shoot(LOW, model="Other"),
    "size 511 x 384, but .*dng has 512 x 384": lambda shoot: shoot(LOW) + shoot(LOW, phase=(0, 1)),
    "the scene moved or its light flickered": lambda shoot: shoot(LOW, light=STRIPES, moving=3),
    "overexposed, nothing lies below 70 % of white": lambda shoot: shoot(LOW, light=np.full(SIZE, 1.2)),
    "its noise is under a third of the converter's step": lambda shoot: shoot(replace(LOW, read=0.03, row=0.0)),
    "lies on its lowest level, the camera cuts its noise off": lambda s: s(replace(LOW, black=0, black_error=(0,) * 4)),
}
STRIPES = np.where(np.arange(SIZE[1]) // 16 % 2, 0.02, 0.1) * np.ones((SIZE[0], 1))


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_calibrated_is_refused(shoot, message):
    paths = REFUSED[message](shoot)
    with pytest.raises(SettingsError, match=message) as error:
        calibrate.calibrate(paths)
    assert "\n" not in str(error.value)


def test_a_name_that_is_no_key_is_refused(shoot):
    with pytest.raises(SettingsError, match="--name my camera: is no name for a camera"):
        calibrate.entry(calibrate.calibrate(shoot(LOW)), "my camera")


def test_the_command_prints_the_entry_and_says_what_it_measured(shoot, tmp_path):
    words = [str(path) for path in shoot(LOW)]
    done = subprocess.run([sys.executable, "-m", "darkroom", "calibrate", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    file = tmp_path / "out.toml"
    file.write_text(done.stdout)
    assert noise.camera("darkroomdemo", file).gain == pytest.approx((0.4, 0.4), rel=0.04)
    assert done.stdout.startswith("# darkroom calibrate, ISO 100: 2 lens-cap and 4 lit frames\n[darkroomdemo]\n")
    assert f"{words[-1]}: lens cap\n" in done.stderr and "row noise" in done.stderr
    assert "note: one ISO: the entry holds for it alone" in done.stderr


def test_a_real_sensor_has_the_gain_and_read_noise_that_64_frames_of_it_gave(shared_raw):
    """K = 0.0922 to 0.0888 by site over 64 frames, photon transfer's intercept 0.24 to 0.29 less 1/12."""
    found = calibrate.calibrate(sorted((shared_raw / "dark").glob("imx296_*.dng")))
    (point,) = found.points
    assert point.gain == pytest.approx(0.090, rel=0.1)
    assert point.gauss == pytest.approx(0.40, rel=0.15)
    assert (found.black, found.white, point.dark, point.lit) == (60, 1023, 2, 6)
    shipped = noise.camera("imx296")
    assert shipped.gain == pytest.approx((point.gain,) * 2, rel=0.01)
    assert shipped.read.at(0) == pytest.approx(point.read, rel=0.01) and shipped.shapes == (point.shape,)


def test_simulated_lens_cap_frames_look_like_a_real_sensors(shared_raw):
    """But for its rows: a real IMX296's go in pairs, which only the bands drawn for training have."""
    found = calibrate.calibrate(sorted((shared_raw / "dark").glob("imx296_*.dng")))
    (point,) = found.points
    made = calibrate.imitation(found, point)
    for real in point.looks:
        assert made.sd == pytest.approx(real.sd, rel=0.12)
        assert made.row == pytest.approx(real.row, rel=0.2)
        assert real.tails / 3 < made.tails < real.tails * 3
        assert abs(made.along) < 0.01 and abs(real.along) < 0.01
        assert real.column < 0.06 * real.sd and abs(real.drift) < 0.3 * point.gauss, "within what `draw` draws"
        assert made.neighbours < 0.1 < 0.4 < real.neighbours < 0.6
    paired = noise.Sensor(
        black=60, white=1023, gain=point.gain, read=point.read, shape=point.shape, row=0.0, band=point.row,
        black_error=point.black_error, step=1.0,
    )  # fmt: skip
    look = lenscap.look(noise.record(np.zeros((1024, 1536)), paired, np.random.default_rng(0)))
    assert look.neighbours == pytest.approx(np.mean([real.neighbours for real in point.looks]), abs=0.1)
