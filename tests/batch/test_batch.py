"""Many files through the path: all of them, in order, inside the memory, whatever one of them does."""

import errno
import itertools
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from batches import SETTINGS, run, seen, watch
from conftest import noise

from darkroom.batch import batch, jobs
from darkroom.batch.handover import Handover
from darkroom.decode import raw
from darkroom.develop import amplifier, engines, model, pipeline
from darkroom.errors import ModelError

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def photos(write_dng) -> list[str]:
    return [write_dng(f"{name}.dng", noise((64, 80), seed=seed)).name for seed, name in enumerate("abc")]


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
    shares = itertools.chain([ZeroDivisionError("a bug")], itertools.repeat(0.25))

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
