"""`develop --burst`: several files, one picture."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import dark
from made import contract_for, frame_of

from darkroom.batch import bursts
from darkroom.decode import raw
from darkroom.develop import burst, model, pipeline
from darkroom.develop.amplifier import Amp
from darkroom.frame import Exposure, Sources, Window
from darkroom.write import dng


def test_a_burst_becomes_one_picture_named_after_its_first_frame(write_dng, here, run):
    for index in range(3):
        write_dng(f"{index}.dng", dark((192, 256), seed=index))
    code, out, said = run("develop", "--burst", "0.dng", "1.dng", "2.dng", "--amp", "2", "--model", "n.onnx")
    assert code == 0 and out.split() == ["0.png"] and "merged with 2 more" in said
    assert sorted(path.name for path in here.glob("*.png")) == ["0.png"]
    assert run("develop", "0.dng", "--amp", "2", "--model", "n.onnx", "-o", "alone.png")[0] == 0
    assert Path("0.png").read_bytes() != Path("alone.png").read_bytes()


def test_a_frame_that_is_not_of_the_burst_is_refused_by_name(write_dng, here, run):
    write_dng("0.dng", dark((192, 256)))
    write_dng("1.dng", dark((192, 256)), exposure=Exposure(8, 3200, 2.8))
    code, out, said = run("develop", "--burst", "0.dng", "1.dng", "--amp", "2", "--model", "n.onnx")
    assert code == 1 and not out and "1.dng: has exposure time 8.0" in said and "give frames of one burst" in said
    code, _, said = run("develop", "--burst", "0.dng", "-o", "x.png")
    assert code == 2 and "0.dng is alone" in said


def shots(write_dng, *seconds: int, first: int = 0, **settings) -> list[Path]:
    """Photos named in order, taken so many seconds after ten."""
    return [
        write_dng(
            f"{first + index:02}.dng",
            dark((192, 256), seed=first + index),
            circumstances=dng.Circumstances(taken=f"2026:11:20 22:10:{second:02}"),
            **settings,
        )
        for index, second in enumerate(seconds)
    ]


def test_frames_taken_within_seconds_of_each_other_are_one_burst(write_dng):
    one, two, alone, *rest = shots(write_dng, 1, 3, 20, 30, 30, 31)
    assert bursts.grouped([*rest, alone, two, one]) == {one: (two,), alone: (), rest[0]: tuple(rest[1:])}


def test_long_exposures_in_a_row_are_one_burst(write_dng):
    long = shots(write_dng, 1, 12, 24, exposure=Exposure(10, 3200, 2.8))
    assert bursts.grouped(long) == {long[0]: tuple(long[1:])}
    short = shots(write_dng, 1, 12, 24, first=3)
    assert bursts.grouped(short) == dict.fromkeys(short, ())


def test_another_exposure_or_camera_is_another_burst(write_dng):
    own = shots(write_dng, 1, 2)
    other = shots(write_dng, 1, 2, first=2, exposure=Exposure(1 / 8, 3200, 2.8))
    camera = shots(write_dng, 1, 2, first=4, model="Other")
    assert bursts.grouped([*own, *other, *camera]) == {each[0]: (each[1],) for each in (own, other, camera)}


def test_a_file_that_tells_no_time_is_alone(write_dng, tmp_path):
    own = shots(write_dng, 1, 2)
    silent = [write_dng("silent.dng", dark((192, 256))), tmp_path / "missing.dng"]
    assert bursts.grouped([*silent, *own]) == {silent[0]: (), silent[1]: (), own[0]: (own[1],)}


def test_auto_makes_one_picture_of_each_burst_in_a_folder(write_dng, here, run):
    (here / "night").mkdir()
    for path in shots(write_dng, 1, 2, 40):
        path.rename(here / "night" / path.name)
    code, out, _ = run("develop", "--burst", "auto", "night", "-o", "out", "--dry-run")
    assert code == 0 and len(out.splitlines()) == 2 and "01.dng" not in out
    code, out, said = run("develop", "--burst", "auto", "night", "-o", "out", "--amp", "2", "--model", "n.onnx")
    assert code == 0 and sorted(path.name for path in (here / "out").glob("*.png")) == ["00.png", "02.png"]
    assert said.count("merged with 1 more") == 1
    code, _, said = run("develop", "--burst", "auto")
    assert code == 2 and "no photos to look for bursts in" in said


def test_three_seconds_may_lie_between_the_frames_of_a_burst_and_no_more(write_dng):
    exposure = Exposure(10, 3200, 2.8)
    near, next_, far = shots(write_dng, 1, 14, 28, exposure=exposure)
    assert bursts.grouped([near, next_, far]) == {near: (next_,), far: ()}


def test_frames_of_two_folders_are_two_bursts(write_dng, tmp_path):
    own = shots(write_dng, 1, 1, 2)
    (tmp_path / "other").mkdir()
    moved = own[1].rename(tmp_path / "other" / own[1].name)
    assert bursts.grouped([own[0], moved, own[2]]) == {own[0]: (own[2],), moved: ()}


@pytest.mark.parametrize(("side", "shape"), [(2, (5, 7)), (2, (4, 6)), (6, (13, 23)), (3, (3, 3))])
def test_brightness_is_the_mean_over_each_whole_cell(side, shape):
    picture = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    rows, columns = (length // side for length in shape)
    wanted = [
        [
            picture[side * row : side * (row + 1), side * column : side * (column + 1)].mean()
            for column in range(columns)
        ]
        for row in range(rows)
    ]
    found = bursts._reduced(picture, side)
    assert found.shape == (rows, columns) and found == pytest.approx(np.array(wanted), rel=1e-5)


@pytest.fixture
def merging(monkeypatch):
    """What a burst is merged of, without merging it; frames are known by the source of their black."""
    seen = SimpleNamespace(mended=[], read=[], merged=[], exposed=[])

    def read(path):
        seen.read.append(path.name)
        return replace(frame_of(dark((24, 24)), "bayer"), sources=Sources(path.stem))

    def mended(frame):
        seen.mended.append(frame.sources.black)
        return frame

    def merged(first, others, noise, see):
        seen.merged = [first.sources.black, *(each.sources.black for each in others)]
        see(replace(first, orientation=6, pixel_aspect=1.5, visible=Window(4, 6, 12, 14)))
        return replace(first, notes=("before",)), 2.34

    def exposed(frame, network, settings):
        seen.exposed.append((frame.orientation, frame.pixel_aspect, frame.visible, network.name, settings))
        return SimpleNamespace(picture=np.zeros((24, 24, 3), np.uint8))

    monkeypatch.setattr(raw, "read", read)
    monkeypatch.setattr(pipeline, "mended", mended)
    monkeypatch.setattr(pipeline, "expose", exposed)
    monkeypatch.setattr(burst, "merged", merged)
    return seen


def network_named(name):
    return SimpleNamespace(name=name, contract=contract_for("bayer"))


@pytest.mark.parametrize("hot_sites", ["auto", "off"])
def test_every_frame_is_prepared_and_mended_as_wished_before_it_is_merged(merging, hot_sites):
    prepared = []
    settings = pipeline.Settings(amp=Amp("number", 30), hot_sites=hot_sites, memory=123)
    join = bursts.joining(
        [Path("b.dng"), Path("c.dng")],
        network_named,
        settings,
        lambda frame, path: prepared.append(path.name) or frame,
    )
    frame = join(raw.read(Path("a.dng")), Path("a.dng"))
    assert prepared == merging.read == ["a.dng", "b.dng", "c.dng"] and merging.merged == ["a", "b", "c"]
    assert merging.mended == (["a", "b", "c"] if hot_sites == "auto" else [])
    assert frame.notes == ("before", "merged with 2 more: 2.3 frames' worth of light, in the mean over the picture")
    plain = pipeline.Settings(amp=Amp("number", 30), hot_sites="off", memory=123)
    assert merging.exposed == [(1, 1.0, Window(0, 0, 24, 24), "fast-bayer", plain)]  # all that is merged


def test_a_frame_that_is_alone_is_only_prepared(merging):
    join = bursts.joining_each(
        {Path("a.dng"): (Path("b.dng"),), Path("x.dng"): ()},
        network_named,
        pipeline.Settings(),
        lambda frame, path: replace(frame, notes=(path.name,)),
    )
    for alone in ("x.dng", "b.dng"):
        assert join(raw.read(Path(alone)), Path(alone)).notes == (alone,)
    assert merging.merged == []
    join(raw.read(Path("a.dng")), Path("a.dng"))
    assert merging.merged == ["a", "b"]


def test_a_network_is_loaded_once_on_the_device_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(model, "load", lambda file, device: asked.append((file.stem, device)) or len(asked))
    load = bursts.loading("cpu")
    assert [load("fast-bayer"), load("fast-bayer"), load("fine-bayer")] == [1, 1, 2]
    assert asked == [("fast-bayer", "cpu"), ("fine-bayer", "cpu")]
