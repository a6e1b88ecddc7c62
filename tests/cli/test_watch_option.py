"""`develop --watch`: from a folder's files to pictures, until Ctrl-C."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import dark

from darkroom.batch import batch, watching

pytestmark = pytest.mark.usefixtures("here")


def wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"{path} never came")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process")
def test_it_takes_up_what_is_there_and_what_arrives_until_ctrl_c(write_dng):
    Path("in").mkdir()
    write_dng("in/a.dng", dark((64, 80)))
    write_dng("b.part", dark((64, 80), seed=1))
    words = ("develop", "--watch", "in", "-o", "out", "--model", "n.onnx", "--amp", "2", "--sheet")
    work = subprocess.Popen([sys.executable, "-m", "darkroom", *words], stderr=subprocess.PIPE, text=True)
    try:
        wait_for(Path("out/a.png"))
        Path("in/bad.dng").write_bytes(b"no raw")
        shutil.copy("b.part", "in/b.dng")
        wait_for(Path("out/b.png"))
        time.sleep(0.5)
        work.send_signal(signal.SIGINT)
        _, err = work.communicate(timeout=60)
    finally:
        work.kill()
    assert work.returncode == 1, err  # one file was none
    assert (
        err.startswith("watching in; Ctrl-C ends\n") and err.count(" -> out/a.png") == err.count(" -> out/b.png") == 1
    )
    assert err.count("darkroom: in/bad.dng: ") == 1 and Path("out/index.html").is_file()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("a.dng",), "--watch: a.dng is no folder; name one that photos arrive in"),
        (("in", "--burst"), "--watch: --burst wants all photos at once; leave one of them out"),
        (("in", "-o", "-"), "--watch: -o - wants all photos at once; leave one of them out"),
        (("in", "-o", "in", "--format", "dng"), "--watch: DNGs written there would be taken for new photos"),
    ],
)
def test_what_cannot_be_watched_is_refused(run, photo, words, complaint):
    Path("in").mkdir()
    code, out, err = run("develop", "--watch", *words)
    assert (code, out) == (2, "") and err.startswith(f"darkroom: {complaint}") and err.count("\n") == 1


def test_a_dry_run_tells_of_what_is_there(run, write_dng):
    Path("in").mkdir()
    write_dng("in/a.dng", dark((64, 80)))
    assert run("develop", "--watch", "in", "--dry-run") == (0, "in/a.dng -> a.png\n", "")


@pytest.fixture
def arrived(here, write_dng, monkeypatch):
    """Two photos that arrive at once, and then nothing more."""
    Path("in").mkdir()
    for name in ("in/a.dng", "in/b.dng"):
        write_dng(name, dark((64, 80)))
    monkeypatch.setattr(watching, "arrivals", lambda places, **how: iter([{Path("in/a.dng"), Path("in/b.dng")}]))


@pytest.mark.usefixtures("arrived")
def test_what_cannot_be_planned_is_a_failure(run):
    code, _, err = run("develop", "--watch", "in", "-o", "one.png", "--model", "n.onnx", "--amp", "2")
    assert code == 1 and "darkroom: one.png: names one picture, but 2 photos were given" in err


@pytest.mark.usefixtures("arrived")
def test_what_is_left_is_told(run, monkeypatch):
    monkeypatch.setattr(batch, "run", lambda *what, **how: None)
    code, _, err = run("develop", "--watch", "in", "--model", "n.onnx", "--amp", "2")
    assert code == 0 and err.endswith("darkroom: 2 not developed; watch again to go on\n")
