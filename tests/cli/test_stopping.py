"""`darkroom develop`, killed or stopped: nothing leaves half a picture, and the same command again goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import dark
from PIL import Image

from darkroom import cli

PROGRAM = [sys.executable, "-m", "darkroom"]

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def card(write_dng, here) -> Path:
    """A folder of photos that takes a while."""
    (here / "card").mkdir()
    for number in range(24):
        write_dng(f"card/{number:02}.dng", dark((600, 800), seed=number))
    return here / "card"


def start(*words: str) -> subprocess.Popen[str]:
    """Develop the card in a process of its own, and wait for the first picture."""
    command = [*PROGRAM, "develop", "card", "-o", "out", "--model", "n.onnx", "--amp", "2", *words]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    assert process.stdout.readline()
    return process


def whole_pictures() -> int:
    """Read every picture to its end; returns how many there are."""
    pictures = sorted(Path("out").glob("*.png"))
    for picture in pictures:
        with Image.open(picture) as read:
            read.load()
            assert read.size == (800, 600)
    return len(pictures)


def test_killed_and_run_again_every_picture_is_whole(card, run):
    process = start()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = whole_pictures()
    assert 0 < before < 24
    code, out, _ = run("develop", "card", "-o", "out", "--model", "n.onnx", "--amp", "2")
    assert code == 0 and out.count("\n") == 24 - before
    assert whole_pictures() == 24


def test_ctrl_c_stops_after_the_photo_in_work(card):
    process = start("--json")
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    done = 1 + out.count("\n")
    assert process.returncode == 130, err
    assert f"darkroom: stopped, {24 - done} not developed; run again" in err and "Traceback" not in err
    assert whole_pictures() == done < 24
    assert not list(Path("out").glob(".*"))


def test_a_second_ctrl_c_stops_at_once(card):
    process = start("--json")
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert whole_pictures() < 24
    assert not list(Path("out").glob(".*"))


def test_ctrl_c_while_the_commands_load_is_no_traceback(run, monkeypatch):
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "import_module", interrupted)
    assert run("develop", "a.dng") == (130, "", "")
