"""A raw from stdin, a picture to stdout."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

PROGRAM = (sys.executable, "-m", "darkroom", "develop", "--model", "n.onnx", "--amp", "2")

pytestmark = pytest.mark.usefixtures("here")


def test_a_raw_goes_in_and_the_same_picture_comes_out(run, photo):
    run("develop", "a.dng", "--model", "n.onnx", "--amp", "2", "-o", "a.tif")
    with photo.open("rb") as file:
        done = subprocess.run([*PROGRAM, "-", "--format", "tiff"], stdin=file, capture_output=True, check=True)
    assert done.stdout == Path("a.tif").read_bytes()
    assert done.stderr.startswith(b"stdin -> stdout  x2")
    assert {path.name for path in Path().iterdir()} == {"a.dng", "a.tif", "n.onnx"}


def test_a_named_photo_goes_to_stdout_as_png(photo):
    done = subprocess.run([*PROGRAM, "a.dng", "-o", "-"], capture_output=True, check=True)
    with Image.open(io.BytesIO(done.stdout)) as picture:
        assert (picture.format, picture.size) == ("PNG", (80, 64))


def test_what_is_no_raw_leaves_stdout_empty():
    done = subprocess.run([*PROGRAM, "-"], input=b"no raw", capture_output=True)
    assert (done.returncode, done.stdout) == (1, b"") and done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(b"darkroom: stdin: ")


def test_a_raw_from_stdin_is_called_so_for_other_programs_too(photo):
    words = ("-", "-o", "a.png", "--json", "--journal")
    with photo.open("rb") as file:
        done = subprocess.run([*PROGRAM, *words], stdin=file, capture_output=True, check=True)
    assert json.loads(done.stdout)["input"] == "stdin"
    listed = subprocess.run([*PROGRAM[:3], "journal", ".", "--json"], capture_output=True, check=True)
    assert b"darkroom-" not in listed.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("a.dng", "-o", "-", "--json"), "-o -: stdout takes the picture or --json, not both; leave one out"),
        (("a.dng", "b.dng", "-o", "-"), "-o -: stdout takes one picture, but 2 photos were given; give one"),
        (
            ("a.dng", "-o", "-", "--brackets", "1,2"),
            "-o -: stdout takes one picture, but 2 brightnesses were asked for; give one",
        ),
    ],
)
def test_a_pipe_that_cannot_serve_is_refused(run, photo, words, complaint):
    code, out, err = run("develop", *words)
    assert (code, out, err) == (2, "", f"darkroom: {complaint}\n")


def test_a_dry_run_reads_nothing(run):
    assert run("develop", "-", "--dry-run") == (0, "stdin -> stdout.png\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize(
    ("words", "end"),
    [
        ((*PROGRAM[3:], "a.dng", "-o", "-"), "make room, or send it elsewhere"),
        ((*PROGRAM[3:], "a.dng", "-o", "out/"), "the pictures are, their names are not"),
        ((*PROGRAM[3:], "a.dng", "-o", "out/", "--json"), "the pictures are, their names are not"),
        (("info", "a.dng"), "make room"),
    ],
)
@pytest.mark.usefixtures("photo")
def test_a_full_disk_behind_stdout_is_one_line(words, end):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*PROGRAM[:3], *words], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    line = f"darkroom: stdout: cannot be written (no space left on device); {end}"
    assert done.stderr.splitlines()[-1] == line and "Traceback" not in done.stderr
    assert Path("out", "a.png").exists() is ("out/" in words)


def test_a_dry_run_tells_what_is_not_there(run):
    assert run("develop", "gone.dng", "--dry-run") == (1, "", "darkroom: gone.dng: no such file; check the name\n")
