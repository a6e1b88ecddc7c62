"""Many files through the path: all of them, in order, inside the memory, whatever one of them does."""

import errno
import os
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from conftest import noise
from numpy.typing import NDArray
from PIL import Image

import darkroom
from darkroom.batch import batch, jobs
from darkroom.batch.handover import Handover
from darkroom.decode import raw
from darkroom.develop import amplifier, engines, model, pipeline
from darkroom.errors import ModelError
from darkroom.write import exif, image, part
from darkroom.write.image import Encoding

SETTINGS = pipeline.Settings(amp=amplifier.parse("2"))


pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def photos(write_dng) -> list[str]:
    return [write_dng(f"{name}.dng", noise((64, 80), seed=seed)).name for seed, name in enumerate("abc")]


def run(names, settings=SETTINGS, *, network="n.onnx", stop=lambda: False, **wishes) -> list[batch.Result]:
    results: list[batch.Result] = []
    batch.run(
        jobs.plan(names, **wishes),
        batch.Choice(network),
        settings,
        on_tile=lambda path, done, tiles: None,
        on_done=results.append,
        stop=stop,
    )
    return results


def seen(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def watch(monkeypatch, module, name, before=lambda path: None, after=lambda path: None) -> None:
    """Have a function of a module tell of its calls."""
    real = getattr(module, name)

    def told(first, *rest, **named):
        before(first)
        try:
            return real(first, *rest, **named)
        finally:
            after(first)

    monkeypatch.setattr(module, name, told)


def test_every_photo_becomes_a_picture_in_order(photos):
    results = run(photos)
    assert [result.input.name for result in results] == photos
    assert [result.output.name for result in results] == ["a.png", "b.png", "c.png"]
    for result in results:
        assert result.outcome == "written" and result.error is None and result.bug is None
        assert result.ratio == 2 and 0 < result.clipped < 1
        assert result.model == "test" and result.device in engines.DEVICES and result.precision
        assert min(result.seconds.read, result.seconds.network, result.seconds.finish, result.seconds.write) > 0
        assert seen(result.output).shape == (64, 80, 3)


def test_what_went_otherwise_with_the_network_is_told_once(photos, monkeypatch):
    opened = model.load(Path("n.onnx"))
    monkeypatch.setattr(model, "load", lambda file, **_: replace(opened, notes=("runs elsewhere",)))
    assert [result.notes.count("runs elsewhere") for result in run(photos)] == [1, 0, 0]


def test_hot_sites_are_filled_in_once_for_all_brackets_and_only_if_wanted(photos, monkeypatch):
    mended = []
    watch(monkeypatch, pipeline, "mended", mended.append)
    run(photos[:1], brackets=(0.5, 1, 2))
    assert len(mended) == 1
    run(photos[:1], replace(SETTINGS, hot_sites="off"), place="off")
    assert len(mended) == 1


def test_a_batch_gives_what_each_photo_gives_alone(photos):
    run(photos, place="together")
    for name in photos:
        run([name], place="alone")
        stem = Path(name).stem
        assert Path("together", f"{stem}.png").read_bytes() == Path("alone", f"{stem}.png").read_bytes()


def test_tiles_are_heard_of(photos):
    heard = []
    batch.run(
        jobs.plan(photos),
        batch.Choice("n.onnx"),
        SETTINGS,
        on_tile=lambda path, done, tiles: heard.append((path.name, done, tiles)),
        on_done=lambda result: None,
        stop=lambda: False,
    )
    assert heard == [(name, 1, 1) for name in photos]


def test_the_next_photo_is_decoded_while_the_network_works(photos, monkeypatch):
    following = threading.Event()
    watch(monkeypatch, raw, "read", lambda path: path.name == "b.dng" and following.set())
    watch(monkeypatch, pipeline, "begin", lambda frame: following.wait(30) or pytest.fail("b.dng was not read"))
    assert len(run(photos)) == 3


def test_without_the_memory_one_stage_waits_for_the_other(photos, monkeypatch):
    events = []
    watch(monkeypatch, raw, "read", lambda path: events.append(f"read {path.name}"))
    watch(monkeypatch, Handover, "fill", after=lambda handover: events.append("developed"))
    tight = pipeline.RESIDENT + batch.TILE
    assert len(run(photos, pipeline.Settings(amp=SETTINGS.amp, memory=tight))) == 3
    assert events == ["read a.dng", "developed", "read b.dng", "developed", "read c.dng", "developed"]


def test_what_is_in_flight_is_taken_from_the_networks_memory(photos, monkeypatch):
    given = []
    real = pipeline.begin
    monkeypatch.setattr(pipeline, "begin", lambda *all, whole: given.append(all[2].memory) or real(*all, whole=whole))
    run(photos)
    sites = 64 * 80
    files = 2 * 2 * max(2 * sites, batch.UNPACKED * Path("b.dng").stat().st_size) // 2
    assert given == [SETTINGS.memory - 3 * sites - files] * 2 + [SETTINGS.memory - 3 * sites]


def test_one_bad_file_costs_only_itself(photos):
    Path("b.dng").write_bytes(b"II*\0 but no raw")
    good, bad, last = run([*photos[:2], "missing.dng"])
    assert good.outcome == "written" and bad.outcome == last.outcome == "failed"
    assert bad.output is None and bad.error.startswith("b.dng: ") and "\n" not in bad.error and bad.bug is None
    assert last.error == "missing.dng: no such file; check the name"
    assert not Path("b.png").exists()


def test_an_error_that_names_no_file_gets_its_name(photos):
    broken = pipeline.Settings(amp=amplifier.parse("iso:409600"), memory=pipeline.RESIDENT)
    (result,) = run(photos[:1], broken)
    assert result.error.startswith("a.dng: memory: ")


def test_a_network_for_another_sensor_fails_by_file(write_dng):
    write_dng("x.dng", noise((72, 72)), cfa="xtrans")
    (result,) = run(["x.dng"])
    assert result.error.startswith("x.dng: ") and "is for bayer sensors" in result.error


def test_a_network_that_is_not_there_is_refused_before_any_photo(photos):
    with pytest.raises(ModelError, match="other.onnx: no such file"):
        run(photos, network="other.onnx")
    assert not list(Path().glob("*.png"))


def test_a_bug_keeps_its_traceback_and_loses_no_other_photo(photos, monkeypatch):
    shares = iter([ZeroDivisionError("a bug"), 0.25, 0.5])

    def clipped(*_: object) -> float:
        share = next(shares)
        if isinstance(share, Exception):
            raise share
        return share

    monkeypatch.setattr(amplifier, "clipped", clipped)
    results = run(photos)
    assert [result.outcome for result in results] == ["failed", "written", "written"]
    assert results[0].error == "a.dng: ZeroDivisionError a bug; this is a bug, report it"
    assert results[0].bug.__traceback__ is not None


def test_brackets_come_from_one_decode(photos, monkeypatch):
    reads = []
    watch(monkeypatch, raw, "read", reads.append)
    results = run(photos[:1], brackets=(0.5, 1, 2))
    assert [result.ratio for result in results] == [1, 2, 4]
    assert len(reads) == 1
    means = [seen(result.output).mean() for result in results]
    assert means == sorted(means) and len(set(means)) == 3


def test_a_file_with_brackets_that_fails_is_one_result(photos):
    Path("a.dng").write_bytes(b"")
    results = run(photos[:1], brackets=(0.5, 1, 2))
    assert [(result.outcome, result.pictures) for result in results] == [("failed", 3)]


def test_stopping_ends_after_the_photo_in_work(photos):
    asked = iter([False, True])
    results = run(photos, stop=lambda: next(asked))
    assert [result.outcome for result in results] == ["written"]
    assert sorted(path.name for path in Path().glob("*.png")) == ["a.png"]


@pytest.mark.parametrize("memory", [pipeline.MEMORY, pipeline.RESIDENT + batch.TILE])
def test_a_full_disk_ends_the_batch_and_leaves_nothing(photos, monkeypatch, memory):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    results = run(photos, pipeline.Settings(amp=SETTINGS.amp, memory=memory))
    assert [result.error for result in results] == ["a.dng: a.png: no space left on the disk; free some and run again"]
    assert not list(Path().glob("*.png")) and not list(Path().glob(".*"))


def test_what_settled_itself_is_told_first(photos):
    Path("b.png").write_bytes(b"x")
    results = run(photos)
    assert [(result.input.name, result.outcome) for result in results] == [
        ("b.dng", "failed"),
        ("a.dng", "written"),
        ("c.dng", "written"),
    ]
    assert run(["b.dng"], conflict="skip")[0] == batch.Result(Path("b.dng"), Path("b.png"), "skipped")


def test_folders_are_made_for_what_is_written_into_them(here, write_dng):
    (here / "card" / "deep").mkdir(parents=True)
    write_dng("card/deep/a.dng", noise((64, 80)))
    run(["card"], recursive=True, place="out/put")
    assert Path("out/put/deep/a.png").exists()


def test_a_folder_that_cannot_be_made_is_one_line(photos):
    Path("shut").mkdir()
    planned = jobs.plan(photos[:1], place="shut/deep")
    Path("shut").rmdir()
    Path("shut").write_bytes(b"")
    results: list[batch.Result] = []
    batch.run(
        planned, batch.Choice("n.onnx"), SETTINGS, on_tile=lambda *_: None, on_done=results.append, stop=lambda: False
    )
    assert results[0].error.startswith("a.dng: shut/deep: cannot be made (")


def test_what_a_killed_run_left_half_written_goes_even_where_all_is_done(photos, here):
    run(photos)
    left = here / ".darkroom-0123456789ab.part"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    assert {result.outcome for result in run(photos, conflict="skip")} == {"skipped"}
    assert not left.exists()


# --- what fits beside each other ---


def small(name: str, size: int = 0) -> jobs.Job:
    Path(name).write_bytes(bytes(size))
    return jobs.Job(Path(name), ())


@pytest.mark.parametrize(
    ("bits", "size", "flight"),
    [
        (8, 0, 3_000_000 + 2 * 2_000_000),
        (16, 0, 6_000_000 + 2 * 2_000_000),
        (32, 0, 12_000_000 + 2 * 2_000_000),
        (8, 1_000_000, 3_000_000 + 2 * 2_000_000),
        (8, 1_500_000, 3_000_000 + 2 * 3_000_000),
    ],
)
def test_a_picture_behind_and_a_mosaic_ahead_are_in_flight(bits, size, flight):
    """Of a million sites; the mosaic may be twice its file, and is held twice."""
    assert batch._in_flight(10**6, small("next.dng", size), replace(SETTINGS, bits=bits)) == flight


def test_the_last_photo_has_only_a_picture_behind_it():
    assert batch._in_flight(10**6, None, SETTINGS) == 3_000_000


@pytest.mark.parametrize(
    ("sites", "bits", "tile"), [(10**6, 8, 200_000_000), (10**7, 32, 200_000_000), (10**8, 32, 1_200_000_000)]
)
def test_what_is_in_flight_fits_beside_a_picture_a_mosaic_and_a_tile(sites, bits, tile):
    flight = 3 * sites * bits // 8
    least = 215_000_000 + 2 * sites + 6 * sites + tile + flight
    settings = replace(SETTINGS, bits=bits)
    assert batch._in_flight(sites, None, replace(settings, memory=least)) == flight
    assert batch._in_flight(sites, None, replace(settings, memory=least - 1)) == 0


def test_a_file_that_is_not_there_has_no_bytes():
    assert batch._bytes(Path("missing.dng")) == 0
    assert batch._bytes(small("there.dng", 7).input) == 7


@pytest.mark.parametrize(
    ("name", "cfa"), [("a.RAF", "xtrans"), ("a.raf", "xtrans"), ("a.dng", "bayer"), ("raf", "bayer")]
)
def test_the_network_is_at_hand_that_a_file_will_likely_want(name, cfa):
    assert batch._likely_cfa(Path(name)) == cfa


@pytest.mark.parametrize(("sites", "flights"), [((100, 50), [100, 100]), ((50, 100), [50, 100])])
def test_the_largest_photo_so_far_stands_for_those_to_come(photos, monkeypatch, sites, flights):
    asked = []
    shapes = iter(sites)
    real = raw.read
    monkeypatch.setattr(raw, "read", lambda path: replace(real(path), mosaic=np.zeros((1, next(shapes)), np.uint16)))
    monkeypatch.setattr(pipeline, "mended", lambda frame: frame)
    monkeypatch.setattr(batch, "_in_flight", lambda largest, *_: asked.append(largest) or 0)
    run(photos[:2])
    assert asked == flights


# --- results ---


def test_an_error_is_a_failure_of_one_line_and_a_bug_keeps_what_was_raised():
    known = batch.failed(Path("a.dng"), ModelError("n.onnx: is\nodd"), 3)
    assert known == batch.Result(Path("a.dng"), None, "failed", pictures=3, error="a.dng: n.onnx: is odd")
    bug = KeyError("one")
    unknown = batch.failed(Path("a.dng"), bug)
    assert unknown.error == "a.dng: KeyError 'one'; this is a bug, report it"
    assert (unknown.bug, unknown.pictures, unknown.output) == (bug, 1, None)
    assert (
        batch.failed(Path("a.dng"), ValueError("one\ntwo")).error == "a.dng: ValueError one; this is a bug, report it"
    )


def test_what_needs_no_work_is_skipped_or_failed():
    settled = (jobs.Settled(Path("a"), Path("a.png"), None), jobs.Settled(Path("b"), Path("b.png"), "b.png: exists"))
    told: list[batch.Result] = []
    batch.tell_settled(jobs.Batch((), settled), told.append)
    assert told == [
        batch.Result(Path("a"), Path("a.png"), "skipped"),
        batch.Result(Path("b"), None, "failed", error="b.png: exists"),
    ]


@pytest.mark.parametrize(
    ("number", "ends"),
    [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EROFS, True), (errno.EIO, False), (errno.EACCES, False)],
)
def test_a_disk_that_takes_no_more_ends_the_batch_and_another_error_one_picture(photos, monkeypatch, number, ends):
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    results = run(photos)
    assert {result.outcome for result in results} == {"failed"} and len(results) == (1 if ends else 3)


def test_whether_the_disk_took_all_is_told(photos, monkeypatch):
    def through() -> bool:
        wishes = {"encoding": Encoding(), "stop": lambda: False, "prepare": lambda frame, path: frame}
        planned = jobs.plan(photos[:1], conflict="overwrite")
        return batch.through(
            planned.jobs, batch.Choice("n.onnx"), SETTINGS, load=lambda name: model.load(Path(name)),
            on_tile=lambda *_: None, on_done=lambda result: None, **wishes,
        )  # fmt: skip

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    assert through() is False
    monkeypatch.setattr(os, "fsync", full)
    assert through() is True


@pytest.mark.parametrize("more", [True, False])
def test_the_decoder_ends_with_the_last_photo_unless_others_follow(photos, monkeypatch, more):
    ended = []
    monkeypatch.setattr(batch, "child", SimpleNamespace(end=lambda: ended.append(True)))
    batch.through(
        jobs.plan(photos[:2]).jobs, batch.Choice("n.onnx"), SETTINGS, load=lambda name: model.load(Path(name)),
        encoding=Encoding(), on_tile=lambda *_: None, on_done=lambda result: None, stop=lambda: False,
        prepare=lambda frame, path: frame, more=more,
    )  # fmt: skip
    assert len(ended) == (0 if more else 1)


@pytest.mark.parametrize(("count", "alone"), [(1, True), (2, False)])
def test_a_network_has_the_processor_alone_where_one_picture_is_made(photos, monkeypatch, count, alone):
    asked = []
    real = model.load
    monkeypatch.setattr(model, "load", lambda file, **how: asked.append((file.name, how)) or real(file, **how))
    results = run(photos[:count])
    assert asked == [("n.onnx", {"device": "auto", "alone": alone})] and len(results) == count


@pytest.mark.parametrize(
    ("quality", "names"), [("fast", ["fast-xtrans", "fast-bayer"]), ("fine", ["fine-xtrans", "fine-bayer"])]
)
def test_without_a_choice_the_network_of_each_sensor_is_taken(write_dng, monkeypatch, quality, names):
    write_dng("a.raf", noise((64, 80)))
    asked = []
    opened = model.load(Path("n.onnx"))
    monkeypatch.setattr(model, "load", lambda file, **_: asked.append(file.stem) or opened)
    batch.run(
        jobs.plan(["a.raf"]), batch.Choice(quality=quality), SETTINGS, on_tile=lambda *_: None,
        on_done=lambda result: None, stop=lambda: False,
    )  # fmt: skip
    assert asked == names


def test_a_second_picture_to_compare_is_paid_for_and_both_are_kept(photos, monkeypatch):
    memory, kept = [], []
    real = pipeline.begin
    monkeypatch.setattr(
        pipeline, "begin", lambda *all, whole: memory.append((all[2].memory, whole)) or real(*all, whole=whole)
    )
    before = np.zeros((64, 80, 3), np.uint8)
    results: list[batch.Result] = []
    batch.run(
        jobs.plan(photos[:1]), batch.Choice("n.onnx"), SETTINGS, on_tile=lambda *_: None, on_done=results.append,
        stop=lambda: False, compare=lambda frame, network, settings: before, keep=lambda *all: kept.append(all),
    )  # fmt: skip
    sites = 64 * 80
    assert memory == [(SETTINGS.memory - 3 * sites - 3 * sites, True)]
    ((path, frame, developed, other),) = kept
    assert path == Path("a.png") and other is before and frame.mosaic.size == 0 and frame.visible.height == 64
    assert np.array_equal(developed.picture, seen(path)) and results[0].outcome == "written"


def test_a_late_name_that_is_taken_is_skipped_without_a_word(photos):
    Path("x2.png").write_bytes(b"x")
    (result,) = run(photos[:1], place="x{ratio:.0f}.png", conflict="skip")
    assert result == batch.Result(Path("a.dng"), Path("x2.png"), "skipped") and Path("x2.png").read_bytes() == b"x"
    (result,) = run(photos[:1], place="x{ratio:.0f}.png", conflict="unique")
    assert result.output == Path("x2_2.png") and seen(result.output).shape == (64, 80, 3)


def test_a_bracket_that_fails_stands_for_those_after_it(photos, monkeypatch):
    real, begun = pipeline.begin, []

    def begin(*all: object, **how: object):
        begun.append(True)
        if len(begun) == 2:
            raise ModelError("n.onnx: failed")
        return real(*all, **how)

    monkeypatch.setattr(pipeline, "begin", begin)
    results = run(photos[:2], brackets=(0.5, 1, 2))
    assert [(result.outcome, result.pictures) for result in results] == [
        ("written", 1),
        ("failed", 2),
        ("written", 1),
        ("written", 1),
        ("written", 1),
    ]
    assert results[1].error == "a.dng: n.onnx: failed"


def test_half_written_files_are_swept_from_the_folders_of_all_pictures(monkeypatch):
    swept = []
    monkeypatch.setattr(part, "sweep", swept.append)
    targets = tuple(jobs.Target(Path(name), 1.0, overwrite=False) for name in ("x/a.png", "x/b.png", "y/a.png"))
    batch.sweep(jobs.Batch((jobs.Job(Path("a"), targets),), (jobs.Settled(Path("b"), Path("z/b.png"), None),)))
    assert sorted(swept) == [Path("x"), Path("y"), Path("z")]


def test_a_picture_is_written_while_the_next_is_begun(photos, monkeypatch):
    following = threading.Event()
    real, begun = pipeline.begin, []

    def begin(*all: object, **how: object):
        begun.append(True)
        if len(begun) == 2:
            following.set()
        return real(*all, **how)

    monkeypatch.setattr(pipeline, "begin", begin)
    watch(monkeypatch, image, "write", lambda picture: following.wait(30) or pytest.fail("b.dng was not begun"))
    assert [result.outcome for result in run(photos[:2])] == ["written"] * 2


def test_without_the_memory_a_picture_is_written_before_the_next_is_begun(photos, monkeypatch):
    events = []
    watch(monkeypatch, pipeline, "begin", lambda frame: events.append("begun"))
    watch(monkeypatch, image, "write", after=lambda picture: events.append("written"))
    run(photos, replace(SETTINGS, memory=pipeline.RESIDENT + batch.TILE))
    assert events == ["begun", "written"] * 3


@pytest.mark.parametrize(("suffix", "whole"), [(".png", False), (".jpg", True)])
def test_a_picture_is_gathered_whole_where_its_format_waits_for_all_of_it(photos, monkeypatch, suffix, whole):
    asked = []
    real = pipeline.begin
    monkeypatch.setattr(pipeline, "begin", lambda *all, whole: asked.append(whole) or real(*all, whole=whole))
    monkeypatch.setattr(image, "waits", lambda path, encoding: path.suffix == ".jpg")
    (result,) = run(photos[:1], suffix=suffix)
    assert asked == [whole] and result.outcome == "written"


def test_camera_rgb_becomes_a_dng(photos):
    (result,) = run(photos[:1], replace(SETTINGS, colour_space="camera", bits=16), suffix=".dng", place="out")
    assert result.outcome == "written" and result.output == Path("out/a.dng")
    with tifffile.TiffFile(result.output) as file:
        assert "DNGVersion" in file.pages[0].tags and "AsShotNeutral" in file.pages[0].tags


@pytest.mark.parametrize(("space", "srgb"), [("srgb", True), ("rec2020", False), ("display-p3", False)])
def test_a_picture_says_of_itself_how_it_was_made(photos, monkeypatch, space, srgb):
    told = []
    real = exif.directories
    monkeypatch.setattr(exif, "directories", lambda *all, **facts: told.append((all, facts)) or real(*all, **facts))
    (result,) = run(photos[:1], replace(SETTINGS, colour_space=space))
    (((path, frame, ratio), facts),) = told
    assert (path, frame.camera != "", ratio) == (Path("a.dng"), True, 2) and result.outcome == "written"
    assert facts == {"width": 80, "height": 64, "software": f"darkroom {darkroom.__version__}", "srgb": srgb}
