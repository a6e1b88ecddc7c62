"""`develop --burst`: several files, one picture."""

from pathlib import Path

from conftest import dark

from darkroom.batch import bursts
from darkroom.frame import Exposure
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
