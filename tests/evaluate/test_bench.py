"""The bench of the tool itself: it measures what it says, on photos that are what they should be."""

import json
import sys

import numpy as np
import pytest
from made import write_average

from darkroom.decode import raw
from darkroom.errors import DarkroomError
from darkroom.evaluate import baselines, names, speed

LINUX = pytest.mark.skipif(not speed.WATCHABLE, reason="memory is read from Linux's /proc")


def test_the_drawn_photo_is_dark_noisy_and_of_the_size_asked_for(tmp_path):
    speed.write_photo(tmp_path / "a.dng", 0.3)
    frame = raw.read(tmp_path / "a.dng")
    height, width = frame.mosaic.shape
    assert abs(height * width / 1e6 - 0.3) < 0.01 and abs(width / height - 1.5) < 0.02
    light = (frame.mosaic[::2, 1::2] - 512.0) / (16383 - 512)
    assert 0.05 < light.mean() * speed.RATIO < 0.5, "well exposed at its ratio"
    assert light.min() < 0 < light.mean() < light.std() * 2
    speed.write_photo(tmp_path / "b.dng", 0.3)
    assert (tmp_path / "a.dng").read_bytes() == (tmp_path / "b.dng").read_bytes()


def test_the_photo_is_of_the_networks_sensor(tmp_path):
    speed.write_photo(tmp_path / "a.dng", 0.3, "xtrans")
    frame = raw.read(tmp_path / "a.dng")
    assert frame.cfa == "xtrans" and 0.05 < (frame.mosaic - 512.0).mean() / (16383 - 512) * speed.RATIO < 0.5


def test_decoding_here_and_apart_gives_the_same(tmp_path):
    speed.write_photo(tmp_path / "a.dng", 0.05)
    assert (baselines.decode(tmp_path / "a.dng") == raw.read(tmp_path / "a.dng").mosaic).all()


@LINUX
def test_memory_is_that_of_all_processes_together():
    child = "import time; held = bytearray(60_000_000); held[::4096] = bytes(len(held[::4096])); time.sleep(0.5)"
    start = f"import subprocess, sys; started = subprocess.Popen([sys.executable, '-c', {child!r}])"
    both = f"{start}; {child}; started.wait()"
    alone, together = (speed.peak_memory([sys.executable, "-c", program]) for program in (child, both))
    assert 60e6 < alone < 110e6 < 120e6 < together


def test_a_program_that_fails_is_named():
    with pytest.raises(
        DarkroomError, match=r"ended with 3 and said: no such thing; run it by hand: .* -c import sys"
    ) as failure:
        speed._timed([sys.executable, "-c", "import sys; print('x\\nno such thing', file=sys.stderr); sys.exit(3)"])
    assert "\n" not in str(failure.value)


@LINUX
def test_the_command_measures_everything_that_was_asked_for(run, tmp_path, monkeypatch):  # noqa: F811
    network = write_average(tmp_path / "n.onnx", 3)
    monkeypatch.setattr(speed, "TIMES", 1)
    for name, body in (("dcraw_emu", "exit 0"), ("darktable-cli", "echo no such format >&2; exit 4")):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(speed, "PLACES", ())
    code, out, err = run("bench", "--megapixels", "0.05", "--files", "2", "--model", network, "--json")
    figures = {entries["name"]: entries for entries in map(json.loads, out.splitlines())}
    assert code == 0 and "bench: developing 0.05 MP" in err
    words = (
        "whole process, best",
        "network alone",
        "everything but",
        "peak memory",
        "a folder of 2",
        "isolating",
        "raw.read",
        "best of 1, test on",
        "over dcraw_emu",
        "a photo of a folder, share of that pace",
    )
    for word in words:
        assert [name for name in figures if word in name], word
    assert figures["0.05 MP: rawtherapee-cli"] | {"value": None, "missing": "not installed"} == figures.pop(
        "0.05 MP: rawtherapee-cli"
    )
    assert "no such format" in figures.pop("0.05 MP: darktable-cli")["missing"]
    assert all(
        np.isfinite(entries["value"]) and entries["cores"] >= 1 and entries["cpu"] for entries in figures.values()
    )


def test_the_command_prints_a_table_of_what_was_asked_for_only(run, tmp_path):  # noqa: F811
    network = write_average(tmp_path / "n.onnx", 3)
    code, out, _ = run("bench", "--megapixels", "0.05", "decoding", "--model", network)
    assert code == 0 and "what isolating it costs" in out and "whole process" not in out and "cores" in out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--megapixels", "0"), "--megapixels 0: are no sizes; give some from 0.05 to 200, such as 12,24,61"),
        (("--megapixels", "big"), "--megapixels big: are no sizes"),
        (("luck",), "luck: nothing that can be measured; known are develop, memory"),
    ],
)
def test_wrong_usage_is_one_line(run, words, complaint):  # noqa: F811
    code, out, err = run("bench", *words)
    assert code == 2 and not out and err.startswith(f"darkroom: {complaint}") and err.count("\n") == 1


def test_a_folder_of_many_names_is_planned_and_its_rest_developed():
    figures = list(names.figures(100, lambda step: None))
    assert [figure.name for figure in figures if figure.unit == "s"] == [
        "100 names, 0 done: plan (--dry-run)",
        "100 names, 0 done: plan, CPU seconds of it",
        "100 names, 90 done: plan (--dry-run)",
        "100 names, 90 done: plan, CPU seconds of it",
        "100 names, 90 done: until the first of the rest is written",
    ]
    assert all(figure.value > 0 for figure in figures)
