"""The bench's dark raws are what they should be, and the same in every run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made import draw_photos
from PIL import Image

from darkroom.decode import raw
from darkroom.evaluate import baselines, metrics, simulated
from darkroom.frame import CELL, Window
from darkroom.sensor import noise


@pytest.fixture
def photos(tmp_path) -> Path:
    return draw_photos(tmp_path / "photos")


def test_every_ratio_meets_every_camera_and_every_phase(photos):
    for index in range(3, 12):
        Image.new("RGB", (16, 16)).save(photos / f"{index}.png")
    plan = simulated.plan(photos)
    assert len(plan) == 36
    for ratio in simulated.RATIOS:
        those = [dark for dark in plan if dark.ratio == ratio]
        assert [dark.photo.name for dark in those] == sorted(path.name for path in photos.iterdir())
        assert {(dark.camera, dark.phase) for dark in those} == {
            (c, p) for c in simulated.CAMERAS for p in simulated.PHASES
        }


def test_what_is_drawn_stays_within_its_limits(photos):
    plan = simulated.plan(photos, ratios=[float(ratio) for ratio in range(1, 101)], cameras=["nikond850", "sonya7s2"])
    assert all(1.6 <= dark.white_balance[0] <= 2.4 and 1.4 <= dark.white_balance[2] <= 2.1 for dark in plan)
    gains = {name: [dark.gain for dark in plan if dark.camera == name] for name in ("nikond850", "sonya7s2")}
    assert 0.415 <= min(gains["nikond850"]) and 0.3 <= min(gains["sonya7s2"]) < 0.415, "the camera's own limit, or 0.3"
    assert max(max(each) for each in gains.values()) <= 6


def test_a_case_is_the_same_in_every_run(photos):
    once, again = (simulated.plan(photos)[4] for _ in range(2))
    assert once == again
    photo = simulated.read_photo(once.photo)
    assert (simulated.record(once, photo) == simulated.record(again, photo)).all()
    alone = simulated.plan(photos, ratios=[once.ratio])[1]
    assert (alone.white_balance, alone.seed) == (once.white_balance, once.seed), "whatever others it is run with"
    other = simulated.plan(photos)[5]
    assert (simulated.record(other, photo) != simulated.record(once, photo)).any()


@pytest.mark.parametrize(("cfa", "count"), [("bayer", 4), ("xtrans", 1)])
def test_the_dark_raw_reads_back_as_what_was_recorded(photos, tmp_path, cfa, count):
    plan = simulated.plan(photos, cfa=cfa)
    for dark in plan[:count]:
        dark = replace(dark, photo=plan[3].photo)  # with odd sides
        photo = simulated.read_photo(dark.photo)
        simulated.write(dark, photo, tmp_path / "dark.dng")
        frame, window = raw.read(tmp_path / "dark.dng"), Window(*dark.phase, 97, 121)
        assert (frame.cfa, frame.visible, frame.orientation) == (cfa, window, 1)
        visible = frame.mosaic[window.top : window.top + 97, window.left : window.left + 121]
        assert (visible == simulated.record(dark, photo)).all()
        black = {"canon5d4": 2048}.get(dark.camera, 512)
        assert (frame.black == black).all() and frame.white == 16383
        assert frame.white_balance == pytest.approx(dark.white_balance, rel=1e-5)
        assert frame.camera_to_srgb == pytest.approx(np.eye(3), abs=1e-5)


def test_the_mean_of_a_dark_raw_is_the_photos_light(photos, tmp_path):
    grey = np.full((64, 64, 3), 188, np.uint8)  # half of the light
    for dark in simulated.plan(photos, ratios=[100.0])[:3]:
        black, light = {"canon5d4": 2048}.get(dark.camera, 512), 0.503
        mosaic = simulated.record(dark, grey).astype(float)
        for colour in range(3):
            sites = np.tile(np.roll(CELL["bayer"], (-dark.phase[0], -dark.phase[1]), (0, 1)) == colour, (32, 32))
            wanted = light / dark.white_balance[colour] * (16383 - black) / 100
            assert mosaic[sites].mean() - black == pytest.approx(wanted, abs=0.07 * wanted)


def test_negatives_are_kept_by_the_black_level(photos):
    dark = simulated.plan(photos)[0]
    mosaic = simulated.record(dark, np.zeros((64, 64, 3), np.uint8))
    assert 400 < mosaic.min() < 512 < mosaic.max()
    assert abs(mosaic.mean() - 512) < 2


def test_the_centre_of_a_photo_is_used(photos):
    whole = simulated.read_photo(photos / "0.png")
    assert whole.shape == (96, 120, 3)
    assert (simulated.read_photo(photos / "0.png", (40, 200)) == whole[28:68]).all()


def test_the_bench_draws_what_it_always_drew(photos):
    first = simulated.plan(photos)[0]
    assert (first.camera, first.phase, first.seed) == ("sonya7s2", (0, 0), (1538739476, 100000))
    assert (*first.white_balance, first.gain) == pytest.approx(
        (2.0163909681695293, 1, 2.0768793364657148, 5.55779119972812), rel=1e-12
    )


@pytest.mark.parametrize("name", ["sonya7s2", "canon6d"])
def test_in_camera_colours_the_file_tells_how_the_photo_comes_back(photos, name):
    (dark,) = simulated.plan(photos, ratios=[4.0], cameras=[name], colour="camera")[:1]
    camera = noise.camera(name)
    (red, _, blue), limits = dark.white_balance, camera.white_balance
    assert limits[0][0] <= red <= limits[0][1] and limits[1][0] <= blue <= limits[1][1]
    case = simulated.case(dark)
    assert case.frame.camera_to_srgb == pytest.approx(camera.camera_to_srgb, abs=1e-4)
    assert metrics.psnr(baselines.libraw(case.frame, 4.0), case.reference) > 27
    unmatched = replace(case.frame, camera_to_srgb=np.eye(3, dtype=np.float32))
    assert metrics.psnr(baselines.libraw(unmatched, 4.0), case.reference) < 24, "the light is the camera's own"


def test_a_burst_is_of_one_scene_with_noise_of_its_own(photos):
    (dark,) = simulated.plan(photos, ratios=[50.0])[:1]
    assert not simulated.case(dark).burst
    case = simulated.case(dark, burst=True)
    assert len(case.burst) == 8 and (case.burst[0].mosaic == case.frame.mosaic).all()
    assert len({frame.mosaic.tobytes() for frame in case.burst}) == 8
    means = [frame.mosaic.mean() for frame in case.burst]
    assert max(means) - min(means) < 3


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
def test_photos_of_every_usual_format_are_read(tmp_path, suffix):
    Image.new("RGB", (40, 32), (10, 120, 230)).save(tmp_path / f"blue{suffix}")
    (photo,) = simulated.photos_of(tmp_path)
    read = simulated.read_photo(photo)
    assert read.shape == (32, 40, 3)
    assert np.abs(read.astype(int) - (10, 120, 230)).max() <= 8  # what lossy formats lose
