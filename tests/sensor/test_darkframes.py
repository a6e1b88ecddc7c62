"""Lens-cap frames show what a sensor adds to every photo, as far as they are many enough; and it goes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from darkroom.decode import raw
from darkroom.errors import RawError, SettingsError
from darkroom.frame import Exposure
from darkroom.sensor import darkframes, noise

SHAPE = (192, 256)
NIGHT = Exposure(seconds=4, iso=3200, aperture=2.8)


def pattern(scale: float = 1) -> np.ndarray:
    """Glow in a corner, columns, and three hot sites."""
    rows, columns = np.linspace(0, 1, SHAPE[0])[:, None], np.linspace(0, 1, SHAPE[1])
    drawn = 8 * np.exp(-((1 - rows) ** 2 + (1 - columns) ** 2) / 0.1) + 2 * np.sin(np.arange(SHAPE[1]))
    drawn[[20, 90, 150], [33, 101, 7]] += 300
    return scale * drawn


def cap(
    write_dng, name: str, seed: int, *, fixed=None, light: float = 0, exposure=NIGHT, black: float = 512, **settings
) -> Path:
    noise = np.random.default_rng(seed).normal(0, 4, SHAPE)
    mosaic = np.rint(black + light + noise + (pattern() if fixed is None else fixed))
    return write_dng(name, mosaic.clip(0, 16383).astype(np.uint16), exposure=exposure, black=black, **settings)


def caps(write_dng, count: int, **settings) -> list[Path]:
    return [cap(write_dng, f"cap{index}.dng", index, **settings) for index in range(count)]


def photo(write_dng, exposure=NIGHT, **settings):
    path = cap(write_dng, "photo.dng", 99, light=40, exposure=exposure, **settings)
    return raw.read(path), path


def left(frame) -> np.ndarray:
    """DN above black and light, hot sites aside."""
    found = (frame.mosaic - float(frame.black[0, 0])) * (15871 / (frame.white - float(frame.black[0, 0]))) - 40
    found[tuple(frame.defects.T)] = 0
    return found


def shape_of(values: np.ndarray) -> float:
    """How much of the pattern is left: its sd in blocks and columns, where noise averages out."""
    blocks = values.reshape(12, 16, 16, 16).mean((1, 3))
    return float(np.hypot(blocks.std(), values.mean(0).std()))


def test_the_pattern_goes_and_hot_sites_are_told(write_dng):
    frame, path = photo(write_dng)
    mended = darkframes.removed(frame, darkframes.learn(caps(write_dng, 8)), path)
    assert shape_of(left(mended)) < shape_of(left(frame)) / 4
    assert mended.defects.tolist() == [[20, 33], [90, 101], [150, 7]]
    assert mended.notes[-1] == "less 8 dark frames of ISO 3200, 4 s"
    assert abs(left(mended).mean()) < 0.2 and mended.white == 4 * frame.white


def test_fractions_of_a_dn_are_kept(write_dng):
    frame, path = photo(write_dng)
    mended = darkframes.removed(frame, darkframes.learn(caps(write_dng, 8)), path)
    assert len(np.unique(mended.mosaic % 4)) == 4


def test_what_is_saturated_stays_so(write_dng):
    frame, path = photo(write_dng)
    frame.mosaic[5, 5] = 16383
    mended = darkframes.removed(frame, darkframes.learn(caps(write_dng, 4)), path)
    assert mended.mosaic[5, 5] == mended.white


@pytest.mark.parametrize("count", [2, 3, 6])
def test_a_black_level_that_wanders_is_no_pattern(write_dng, count):
    even = darkframes.learn(caps(write_dng, count)).groups[0].pattern
    told = [cap(write_dng, f"cap{index}.dng", index, black=512 + 9 * index) for index in range(count)]
    assert darkframes.learn(told).groups[0].pattern == pytest.approx(even, abs=0.01)


def test_each_iso_has_a_black_level_of_its_own(write_dng):
    low = [cap(write_dng, f"low{i}.dng", i, fixed=0, exposure=replace(NIGHT, iso=100)) for i in range(2)]
    high = [cap(write_dng, f"high{i}.dng", 9 + i, black=600) for i in range(4)]
    frame, path = photo(write_dng, black=600)
    mended = darkframes.removed(frame, darkframes.learn([*low, *high]), path)
    assert abs(float(np.mean(left(mended)))) < 0.5


def test_few_frames_of_nothing_but_noise_teach_nothing(write_dng):
    learned = darkframes.learn(caps(write_dng, 2, fixed=np.zeros(SHAPE)))
    drawn = learned.groups[0].pattern
    assert np.abs(drawn).mean() < 0.5 and drawn.std() < 1, "the mean of two frames alone has an sd of 2.8"


def test_a_cosmic_ray_in_one_frame_is_no_pattern(write_dng):
    struck = pattern()
    struck[60, 60] += 8000
    paths = [*caps(write_dng, 5), cap(write_dng, "struck.dng", 50, fixed=struck)]
    learned = darkframes.learn(paths)
    assert abs(learned.groups[0].pattern[60, 60] - pattern()[60, 60]) < 8


def test_another_iso_is_fitted_through_those_that_were_recorded(write_dng):
    low, high = replace(NIGHT, iso=1600), replace(NIGHT, iso=6400)
    paths = [cap(write_dng, f"low{i}.dng", i, fixed=pattern(0.5), exposure=low) for i in range(4)]
    paths += [cap(write_dng, f"high{i}.dng", 10 + i, fixed=pattern(2), exposure=high) for i in range(4)]
    frame, path = photo(write_dng)
    mended = darkframes.removed(frame, darkframes.learn(paths), path)
    assert shape_of(left(mended)) < shape_of(left(frame)) / 3
    assert "fitted through 8 dark frames of 2 ISOs" in mended.notes[-1]


def test_one_group_serves_another_time_and_says_so(write_dng):
    frame, path = photo(write_dng, exposure=replace(NIGHT, seconds=8))
    note = darkframes.removed(frame, darkframes.learn(caps(write_dng, 3)), path).notes[-1]
    assert note == "less 3 dark frames of ISO 3200, 4 s, scaled to ISO 3200, 8 s"


def test_another_time_is_fitted_through_those_that_were_recorded(write_dng):
    """A pattern that stays, columns, and a glow that grows with time."""
    columns, glow = pattern(0.5), np.linspace(0, 1, SHAPE[0])[:, None] * np.ones(SHAPE)
    told = [
        cap(write_dng, f"{index}at{seconds}.dng", index + seconds, fixed=columns + glow * seconds, exposure=exposure)
        for seconds in (1, 4, 16)
        for exposure in [replace(NIGHT, seconds=seconds)]
        for index in range(6)
    ]
    between = replace(NIGHT, seconds=9)
    frame, path = photo(write_dng, exposure=between, fixed=columns + glow * 9)
    mended = darkframes.removed(frame, darkframes.learn(told), path)
    assert mended.notes[-1] == "less a pattern for ISO 3200, 9 s fitted through 18 dark frames of 3 exposures"
    rows = left(mended).mean(1)
    assert abs(rows[:40].mean()) < 0.4 and abs(rows[-40:].mean()) < 0.4, "the nearest group's is 6 DN off at the end"


def test_one_trend_is_fitted_where_iso_and_time_changed_together(write_dng):
    told = [
        cap(write_dng, f"{iso}.dng", int(iso), fixed=pattern(iso / 3200), exposure=Exposure(seconds, iso, 2.8))
        for iso, seconds in ((1600.0, 2.0), (6400.0, 8.0))
    ]
    frame, path = photo(write_dng)
    mended = darkframes.removed(frame, darkframes.learn(told), path)
    assert "fitted through 2 dark frames of 2 ISOs" in mended.notes[-1]


def test_a_frame_with_light_in_it_is_refused_with_the_number(write_dng):
    paths = [*caps(write_dng, 1), cap(write_dng, "lit.dng", 5, light=200)]
    with pytest.raises(SettingsError, match=r"lit\.dng: no lens-cap frame, half of it is 1\.3 %"):
        darkframes.learn(paths)


def test_a_frame_of_another_camera_is_refused_by_name(write_dng):
    with pytest.raises(SettingsError, match=r"other\.dng: is of Darkroom Other, but .*of Darkroom Demo"):
        darkframes.learn([*caps(write_dng, 1), cap(write_dng, "other.dng", 5, model="Other")])
    frame, path = photo(write_dng, model="Other")
    with pytest.raises(RawError, match=r"photo\.dng: is of Darkroom Other.*leave --dark out"):
        darkframes.removed(frame, darkframes.learn(caps(write_dng, 1)), path)


def test_what_was_learned_is_read_back(write_dng, tmp_path):
    learned = darkframes.learn(caps(write_dng, 4))
    darkframes.save(learned, tmp_path / "mine.npz")
    again = darkframes.load(tmp_path / "mine.npz")
    frame, path = photo(write_dng)
    mosaics = [darkframes.removed(frame, each, path).mosaic.astype(int) for each in (learned, again)]
    assert np.abs(mosaics[0] - mosaics[1]).max() <= 1
    (tmp_path / "bad.npz").write_bytes(b"no")
    with pytest.raises(SettingsError, match="is no camera's pattern"):
        darkframes.load(tmp_path / "bad.npz")


def test_develop_takes_dark_frames_in_a_folder_and_says_so(write_dng, here, run):
    (here / "caps").mkdir()
    for path in caps(write_dng, 3):
        path.rename(here / "caps" / path.name)
    photo(write_dng)
    words = ("develop", "photo.dng", "--amp", "50", "--model", "n.onnx", "--hot-sites", "off")
    assert run(*words, "-o", "plain.png")[0] == 0
    code, _, said = run(*words, "-o", "mended.png", "--dark", "caps")
    assert code == 0 and "less 3 dark frames of ISO 3200, 4 s" in said
    assert Path("plain.png").read_bytes() != Path("mended.png").read_bytes()
    assert run(*words, "-o", "x.png", "--dark", "photo.dng")[0] == 0  # as dark as a cap, and nothing tells it from one
    code, _, said = run(*words, "-o", "y.png", "--dark", "caps", "--camera-file", "mine.toml")
    assert code == 2 and "give one" in said
    code, _, said = run(*words, "-o", "y.png", "--camera-file", "mine.toml")
    assert code == 2 and "--camera-file mine.toml: no such file" in said


def test_the_profile_that_calibrate_writes_is_what_develop_takes(shared_raw, here, run):
    raws = sorted((shared_raw / "dark").glob("*.dng"))
    code, out, said = run("calibrate", *raws, "-o", "mine.toml")
    assert code == 0 and out.split() == ["mine.toml", "mine.npz"] and Path("mine.toml").read_text().startswith("# dark")
    code, _, said = run("develop", raws[-1], "--model", "n.onnx", "-o", "a.png", "--camera-file", "mine.toml")
    assert code == 0 and "less 2 dark frames" in said
    assert run("calibrate", *raws, "-o", "mine.toml")[0] == 2


def groups(*isos: float) -> tuple[darkframes.Group, ...]:
    return tuple(darkframes.Group(iso, 4, 8, np.zeros(SHAPE, np.float32), np.empty((0, 2), np.intp)) for iso in isos)


def test_a_camera_is_given_its_patterns_by_gain():
    seen = darkframes.Darkness("any", "bayer", groups(800, 3200), "caps")
    camera = darkframes.seen_by(noise.camera("sonya7s2"), seen)
    assert [pattern.gain / camera.gain[0] for pattern in camera.patterns] == pytest.approx([1, 4])


@pytest.mark.parametrize("model", ["Sony ILCE-7SM2", "Another"])
def test_train_takes_the_profile_beside_a_camera_file_for_its_own_camera_alone(tmp_path, capsys, model):
    from darkroom.cli import train
    from darkroom.train import recipe

    file = tmp_path / "mine.toml"
    file.write_text("")
    darkframes.save(darkframes.Darkness(model, "bayer", groups(800, 3200), "caps"), tmp_path / "mine.npz")
    plan = replace(recipe.load(recipe.names()[0]), camera="sonya7s2")
    cameras, _ = train._cameras(plan, None, file)
    own = model == "Sony ILCE-7SM2"
    assert len(cameras[0].patterns) == (2 if own else 0) and ("with the pattern of" in capsys.readouterr().err) == own
