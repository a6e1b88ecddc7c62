"""Closed and broken streams, signals, and what a bar tells."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made import draw_photos

from darkroom.cli import show as shows
from darkroom.cli.show import Show

PROGRAM = [sys.executable, "-m", "darkroom"]
DEVELOP = [*PROGRAM, "develop", "a.dng", "--model", "n.onnx", "--amp", "2"]

pytestmark = [pytest.mark.usefixtures("here", "photo"), pytest.mark.skipif(os.name == "nt", reason="POSIX shells")]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_costs_no_picture(closed):
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *DEVELOP], capture_output=True, text=True)
    assert done.returncode == 0 and Path("a.png").read_bytes().endswith(b"IEND\xaeB`\x82")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_has_gone_costs_no_picture(stream):
    reading, writing = os.pipe()
    os.close(reading)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {stream: writing}
    done = subprocess.run(DEVELOP, text=True, check=False, **streams)
    os.close(writing)
    assert done.returncode == 0 and Path("a.png").exists()
    assert "Traceback" not in (done.stderr or "")


def test_evaluate_clears_up_on_term(tmp_path):
    photos, spare = draw_photos(tmp_path / "photos"), tmp_path / "spare"
    spare.mkdir()
    words = ["evaluate", "--amplifier", str(photos), "--ratios", ",".join(map(str, range(1, 250)))]
    with subprocess.Popen([*PROGRAM, *words], env={**os.environ, "TMPDIR": str(spare)}) as process:
        until = time.monotonic() + 60
        while not list(spare.glob("*/dark.dng")) and time.monotonic() < until:
            time.sleep(0.05)
        assert list(spare.glob("*/dark.dng"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    assert not list(spare.iterdir())


@pytest.fixture
def show(monkeypatch):
    """A batch of 12, its clock in the test's hand."""
    now = [100.0]
    monkeypatch.setattr(shows.time, "monotonic", lambda: now[0])
    return now, Show(12, "auto", False, started=now[0])


def test_nothing_done_is_told_as_none(show):
    _, telling = show
    assert telling._told(0.95).startswith("0 of 12")


def test_the_time_left_is_that_of_all_so_far(show):
    now, telling = show
    now[0] += 1
    assert "left" not in telling._told(0.5)
    now[0] += 3
    telling.done = telling.written = 2
    assert telling._told(2.0) == "2 of 12  2.0 s a picture  20 s left"
    assert re.fullmatch(r"20 s left", Show(1, "auto", False, started=80.0)._told(0.545))


def test_a_batch_ends_with_the_seconds_of_each_picture_written(show, capfd):
    now, telling = show
    telling.written, telling.skipped = 4, 8
    now[0] += 10
    telling.end()
    assert capfd.readouterr().err == "4 written, 8 skipped, 0 failed in 10.0 s, 2.5 s a picture\n"


def test_a_batch_of_which_nothing_was_written_has_no_pace(show, capfd):
    now, telling = show
    telling.skipped = 12
    now[0] += 10
    telling.end()
    assert capfd.readouterr().err == "0 written, 12 skipped, 0 failed in 10.0 s\n"


def test_a_single_photo_has_a_bar_that_moves_with_its_tiles(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Show(1, "auto", False) as telling:
        assert telling._bar and telling._bar.tasks[0].fields["told"] == ""
        telling.tile(Path("a.dng"), 3, 12)
        assert telling._bar.tasks[0].completed == 0.25
        telling.tile(Path("a.dng"), 12, 12)
        assert telling._bar.tasks[0].completed == 0.95
    assert telling._bar is None
