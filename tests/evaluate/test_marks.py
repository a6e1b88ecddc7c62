"""What a sensor's pattern costs is measured on scenes and a sky that are the same in every run."""

import numpy as np
import pytest
from made import draw_photos, write_average

from darkroom.develop import model
from darkroom.errors import SettingsError
from darkroom.evaluate import marks, simulated


def test_the_pattern_has_glow_columns_and_its_share_of_hot_sites():
    smooth, hot = marks.pattern(marks.CROP)
    assert np.count_nonzero(hot) == marks.HOT and hot.min() == 0
    assert smooth[-50:, -50:].mean() > smooth[:50, :50].mean() + 0.8 * marks.GLOW
    assert smooth.mean(0).std() > marks.COLUMNS / 2


def test_a_hot_site_shows_where_its_surroundings_differ():
    clean = np.zeros((20, 30, 3), np.float32)
    seen = clean.copy()
    seen[9:12, 14:17, 0] = 0.2
    seen[3, 3] = 0.2  # a single pixel
    assert marks._visible(seen, clean, np.array([[10, 15], [3, 3], [0, 29]])) == 1


def test_stars_of_a_drawn_sky_are_spared():
    sky = marks.sky()
    assert sky.taken <= 0.001 * sky.stars


def test_photos_that_are_too_few_or_too_small_are_refused(tmp_path):
    network = model.load(write_average(tmp_path / "n.onnx", 3), device="cpu")
    with pytest.raises(SettingsError, match="has 3 photos"):
        next(marks.scores(draw_photos(tmp_path / "photos"), network, lambda step: None))
    (tmp_path / "photos" / "3.png").write_bytes((tmp_path / "photos" / "0.png").read_bytes())
    with pytest.raises(SettingsError, match="smaller than 768x1152"):
        next(marks.scores(tmp_path / "photos", network, lambda step: None))


def test_a_scene_lit_otherwise_is_scored_against_itself(run, tmp_path):
    photos = draw_photos(tmp_path / "photos")
    dark = simulated.plan(photos, ratios=(1.0,), cameras=("sonya7s2",))[0]
    photo = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    assert simulated.shown(dark, photo) == pytest.approx(photo / 255, abs=1e-5)
    by_night = simulated.shown(dark, photo, "night")
    assert by_night.mean() < 0.9 * photo.mean() / 255 and 0 <= by_night.min() <= by_night.max() <= 1
    code, _, said = run("evaluate", "--sensor", photos, "--scenes", "moon")
    assert code == 2 and "--scenes moon: --sensor takes one of plain, lamps, night" in said
    assert run("evaluate", "fast-bayer", "--simulate", photos, "--scenes", "night")[0] == 2


def test_ratios_and_scenes_reach_the_sensor(run, tmp_path, monkeypatch):
    def scores(photos, network, on_step, *, ratios, scene):
        yield marks.Marks(ratios[0], scene, 30.0, 1, 2, 3.0)

    monkeypatch.setattr(marks, "scores", scores)
    monkeypatch.setattr(marks, "sky", lambda: marks.Sky(10, 1, 0))
    out = run("evaluate", "--sensor", tmp_path, "--scenes", "night", "--ratios", "7")[1]
    assert "4 night scenes" in out and "x7 night" in out
