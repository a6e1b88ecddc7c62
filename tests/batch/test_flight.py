"""What fits beside each other in the memory, and what comes of each file: results, ends, names, networks."""

import errno
import os
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from batches import SETTINGS, run, seen, watch
from conftest import noise

import darkroom
from darkroom.batch import batch, jobs
from darkroom.decode import raw
from darkroom.develop import model, pipeline
from darkroom.errors import ModelError
from darkroom.frame import Bands
from darkroom.write import exif, image, part
from darkroom.write.image import Encoding

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def photos(write_dng) -> list[str]:
    return [write_dng(f"{name}.dng", noise((64, 80), seed=seed)).name for seed, name in enumerate("abc")]


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

    def write(bands: Bands, path: Path, **how: object):
        picture = bands.whole()
        assert following.wait(30), "b.dng was not begun"
        write_picture(picture, path, **how)

    write_picture = image.write
    monkeypatch.setattr(pipeline, "begin", begin)
    monkeypatch.setattr(image, "write", write)
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


@pytest.mark.parametrize("conflict", [None, "skip", "overwrite"])
def test_two_photos_of_a_run_never_share_a_late_name(photos, conflict):
    first, second, third = run([*photos[:2], "gone.dng"], place="x{ratio:.0f}.png", conflict=conflict)
    assert (first.outcome, second.outcome, third.outcome) == ("written", "failed", "failed")
    assert second.error.startswith(
        f"b.dng: {first.output}: another photo has just been written there; put {{stem}} into -o"
    )
    assert [each.outcome for each in run(photos[:2], place="x{ratio:.0f}.png", conflict="unique")] == ["written"] * 2
