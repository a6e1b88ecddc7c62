"""`darkroom develop`: what it prints where, and how it exits."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import dark
from numpy.typing import NDArray
from PIL import Image

from darkroom.develop import engines

PROGRAM = [sys.executable, "-m", "darkroom"]

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def develop(run):
    return lambda *words: run("develop", "--model", "n.onnx", "--amp", "2", *words)


def seen(path: str | Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_photo_becomes_a_picture_and_stdout_names_it(develop, photo):
    code, out, err = develop("a.dng")
    assert (code, out) == (0, "a.png\n")
    assert err.startswith("a.dng -> a.png  x2  ")
    assert re.search(r" % clipped  test on (cpu|openvino) (fp32|bf16)  ", err)
    assert seen("a.png").shape == (64, 80, 3)


def test_the_ratio_says_where_it_comes_from(run, photo):
    _, _, err = run("develop", "a.dng", "--model", "n.onnx", "--amp", "iso:6400")
    assert "x2 (iso:6400)" in err


def test_notes_are_told(develop, photo):
    code, _, err = develop("a.dng", "--amp", "400")
    assert code == 0 and "a.dng: ratio 400 is beyond the 300 that test was trained for" in err


@pytest.mark.parametrize(
    ("words", "name", "kind"),
    [
        ((), "a.png", ("PNG", "RGB")),
        (("--format", "jpeg"), "a.jpg", ("JPEG", "RGB")),
        (("-o", "b.TIF", "--bits", "8"), "b.TIF", ("TIFF", "RGB")),
        (("-o", "a.avif", "--bits", "12"), "a.avif", ("AVIF", "RGB")),
        (("-o", "new", "--format", "tiff", "--bits", "8"), "new/a.tif", ("TIFF", "RGB")),
    ],
)
def test_formats_and_places(develop, photo, words, name, kind):
    code, out, _ = develop("a.dng", *words)
    assert code == 0 and Path(out.strip()) == Path(name)
    with Image.open(name) as picture:
        assert (picture.format, picture.mode) == kind


def test_a_tiff_is_compressed_and_tiled_when_told(develop, photo):
    import tifffile

    develop("a.dng", "--format", "tiff", "--compression", "zstd", "--tiled")
    with tifffile.TiffFile("a.tif") as found:
        assert found.pages[0].compression.name == "ZSTD" and found.pages[0].is_tiled
    develop("a.dng", "-o", "plain.tif")
    assert np.array_equal(tifffile.imread("a.tif"), tifffile.imread("plain.tif"))
    code, _, err = develop("a.dng", "--compression", "zstd")
    assert code == 2 and "are for TIFF" in err


def test_tiff_has_16_bits_and_png_8_unless_told(develop, photo):
    import tifffile

    develop("a.dng", "--format", "tiff")
    assert tifffile.imread("a.tif").dtype == np.uint16
    develop("a.dng", "-o", "float.tif", "--bits", "32")
    assert tifffile.imread("float.tif").dtype == np.float32
    develop("a.dng", "-o", "deep.png", "--bits", "16")
    assert Path("deep.png").read_bytes()[24] == 16  # the bit depth, in PNG's first chunk


@pytest.mark.parametrize(
    "words",
    [
        ("--amp", "1"),
        ("--wb", "1,1,1"),
        ("--wb", "daylight"),
        ("--wb", "auto"),
        ("--exposure", "-1"),
        ("--stretch",),
        ("--contrast", "1"),
        ("--tone", "1"),
        ("--denoise", "0.5"),
    ],
)
def test_every_setting_reaches_the_picture(develop, photo, words):
    develop("a.dng", "-o", "plain.png")
    assert develop("a.dng", "-o", "other.png", *words)[0] == 0
    assert (seen("plain.png") != seen("other.png")).any()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--amp", "bright"), "--amp bright: is no amplification; give auto"),
        (("--wb", "1,2"), "--wb 1,2: is no white balance; give camera"),
        (("--memory", "much"), "--memory much: is no size; give one such as"),
        (("--memory", "10MB"), "--memory 10MB: is too little"),
        (("--brackets", "1,x"), "--brackets 1,x: are no brightnesses; give"),
        (("--brackets", "1,1.0"), "--brackets 1,1.0: names one brightness twice"),
        (("--bits", "32"), "*.png: .png holds 8 or 16 bits, not 32"),
        (("--bits", "12"), "*.png: .png holds 8 or 16 bits, not 12"),
        (("-o", "a.avif", "--bits", "16"), "*.avif: .avif holds 8 or 10 or 12 bits, not 16"),
        (("-o", "a.avif", "--bits", "12", "--colour-space", "prophoto"), "--colour-space prophoto: an AVIF of so"),
        (("-o", "a.png", "--format", "tiff"), "a.png: is no name for --format tiff; leave one of them out"),
        (("-o", "a.webp"), 'a.webp: cannot write ".webp"; name it'),
        (("--model", "none"), "none: no such network; shipped are"),
        (("--model", "none.onnx"), "none.onnx: no such file"),
        (("--device", "abacus"), "--device abacus: no such device; known are auto"),
        (("--quality", "perfect"), "--quality perfect: no such quality; known are fast, fine"),
        (("empty",), "empty: no raw photos in this folder"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(run, photo, words, complaint):
    Path("empty").mkdir()
    network = () if "--quality" in words or "--model" in words else ("--model", "n.onnx")
    code, out, err = run("develop", "a.dng", *network, *words)
    assert (code, out) == (2, "") and err.startswith(f"darkroom: {complaint}") and err.count("\n") == 1
    assert not list(Path().glob("*.png"))


@pytest.mark.parametrize("cfa", ["bayer", "xtrans"])
def test_the_quality_and_the_sensor_pick_the_network(run, write_dng, cfa):
    write_dng("a.dng", dark((96, 96)), cfa=cfa)
    told = {}
    for quality in ("fast", "fine"):
        code, out, err = run("develop", "a.dng", "--quality", quality, "-o", f"{quality}.png", "--json")
        assert code == 0, err
        told[quality] = json.loads(out)["model"]
    code, out, _ = run("develop", "a.dng", "--json")
    assert {name: model.split()[0] for name, model in told.items()} == {q: f"{q}-{cfa}" for q in ("fast", "fine")}
    assert json.loads(out)["model"] == told["fast"]


def test_one_bad_file_is_one_line_at_the_end_and_exit_1(develop, write_dng, here):
    for number in (1, 2, 4):
        write_dng(f"{number}.dng", dark((64, 80), seed=number))
    Path("3.dng").write_bytes(b"no raw at all")
    code, out, err = develop("1.dng", "2.dng", "3.dng", "4.dng")
    assert (code, out) == (1, "1.png\n2.png\n4.png\n")
    lines = err.splitlines()
    assert [line[:6] for line in lines[:3]] == ["[1/4] ", "[2/4] ", "[4/4] "]
    assert lines[3].startswith("3 written, 0 skipped, 1 failed in ")
    assert lines[4].startswith("darkroom: 3.dng: ") and len(lines) == 5


def test_every_broken_file_is_refused_in_one_line_and_nothing_is_written(run, shared_raw, here):
    broken = sorted((shared_raw / "broken").iterdir())
    code, out, err = run("develop", *map(str, broken), "--model", str(here / "n.onnx"), "-o", "out/")
    assert (code, out) == (1, "")
    for path in broken:
        assert sum(str(path) in line for line in err.splitlines()) == 1, path.name
    assert not (here / "out").exists() or not list((here / "out").iterdir())


def test_a_bug_shows_its_traceback_and_the_rest_is_done(develop, photo, write_dng, monkeypatch):
    from darkroom.develop import cfa

    write_dng("x.dng", dark((72, 72)))
    real = cfa.packed_size
    monkeypatch.setattr(cfa, "packed_size", lambda frame, net: real(frame, net if len(frame.mosaic) == 64 else None))
    code, out, err = develop("x.dng", "a.dng")
    assert (code, out) == (1, "a.png\n")
    assert "Traceback (most recent call last)" in err and "this is a bug, report it" in err.splitlines()[-1]


def test_json_is_a_line_for_every_picture(develop, photo, here):
    Path("b.dng").write_bytes(b"")
    Path("c.dng").write_bytes(photo.read_bytes())
    Path("c.png").write_bytes(b"x")
    code, out, err = develop("a.dng", "b.dng", "c.dng", "--json", "--on-conflict", "skip")
    skipped, good, bad = map(json.loads, out.splitlines())
    assert code == 1 and err == f"darkroom: {bad['error']}\n"
    assert set(good) == set(bad) == set(skipped)
    assert (good["input"], good["output"], good["outcome"], good["ratio"]) == ("a.dng", "a.png", "written", 2)
    assert (good["model"], good["error"]) == ("test", None)
    assert good["device"] in engines.DEVICES and good["precision"] in ("fp32", "bf16", "fp16")
    assert set(good["seconds"]) == {"read", "network", "finish", "write"} and 0 <= good["clipped"] <= 1
    assert (bad["outcome"], bad["output"], bad["seconds"]) == ("failed", None, None)
    assert (skipped["outcome"], skipped["output"]) == ("skipped", "c.png")


def test_a_dry_run_says_what_would_be_done_and_does_nothing(develop, photo, here):
    Path("b.dng").write_bytes(photo.read_bytes())
    Path("b.png").write_bytes(b"x")
    before = sorted(here.rglob("*"))
    code, out, err = develop("a.dng", "b.dng", "-o", "new", "--brackets", "1,2", "--dry-run")
    assert (code, err) == (0, "")
    assert out == "".join(f"{name}.dng -> {Path('new', name)}_x{factor}.png\n" for name in "ab" for factor in (1, 2))
    code, out, err = develop("a.dng", "b.dng", "--dry-run")
    assert (code, out) == (1, "a.dng -> a.png\n") and err.startswith("darkroom: b.png: already exists; pass --on-con")
    code, out, _ = develop("a.dng", "b.dng", "--dry-run", "--json", "--on-conflict", "skip")
    assert code == 0 and [json.loads(line)["outcome"] for line in out.splitlines()] == ["to do", "skipped"]
    assert sorted(here.rglob("*")) == before


def test_brackets_write_several_brightnesses(develop, photo):
    code, out, _ = develop("a.dng", "--brackets", "0.5,2")
    assert (code, out) == (0, "a_x0.5.png\na_x2.png\n")


def test_running_again_skips_what_is_done_in_a_folder(develop, write_dng, here):
    (here / "card").mkdir()
    for name in "ab":
        write_dng(f"card/{name}.dng", dark((64, 80)))
    assert develop("card")[:2] == (0, "a.png\nb.png\n")
    before = Path("a.png").stat().st_mtime_ns
    Path("b.png").unlink()
    code, out, err = develop("card")
    assert (code, out) == (0, "b.png\n") and "1 written, 1 skipped, 0 failed" in err
    assert Path("a.png").stat().st_mtime_ns == before


def test_a_named_file_is_not_written_over(develop, photo, monkeypatch):
    from darkroom.decode import raw

    Path("a.png").write_bytes(b"mine")
    monkeypatch.setattr(raw, "read", lambda path: pytest.fail("work was done in vain"))
    code, out, err = develop("a.dng")
    assert (code, out, Path("a.png").read_bytes()) == (1, "", b"mine")
    assert err == "darkroom: a.png: already exists; pass --on-conflict skip, overwrite or unique\n"
    code, _, err = develop("a.dng", "--on-conflict", "skip")
    assert (code, err) == (0, "a.dng -> a.png  skipped, it is there already\n")


def test_names_with_spaces_and_all_the_worlds_letters(develop, write_dng):
    write_dng("Nacht über Kyōto 夜.dng", dark((64, 80)))
    code, out, _ = develop("Nacht über Kyōto 夜.dng", "--json")
    assert code == 0 and json.loads(out)["output"] == "Nacht über Kyōto 夜.png"
    assert Path("Nacht über Kyōto 夜.png").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems insist on text")
def test_a_name_that_is_no_text_survives(photo):
    name = os.fsdecode(b"caf\xe9.dng")
    photo.rename(name)
    words = [*PROGRAM, "develop", name, "--model", "n.onnx"]
    done = subprocess.run(words, capture_output=True, env=os.environ | {"PYTHONUTF8": "1"})
    assert done.returncode == 0 and done.stdout == b"caf\xe9.png\n", done.stderr


def test_a_full_disk_is_one_line(develop, photo, monkeypatch, here):
    import errno

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    Path("b.dng").write_bytes(photo.read_bytes())
    Path("c.dng").write_bytes(photo.read_bytes())
    code, out, err = develop("a.dng", "b.dng", "c.dng")
    assert (code, out) == (1, "")
    assert "darkroom: a.dng: a.png: no space left on the disk; free some and run again\n" in err
    assert err.endswith("darkroom: the other 2 were not developed\n") and err.count("no space") == 1
    assert not list(here.glob("*.png")) and not list(here.glob(".*"))


def test_a_read_only_folder_is_one_line(develop, photo, monkeypatch):
    Path("shut").mkdir(mode=0o555)
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "shut" and allowed(path, mode))  # root may
    code, out, err = develop("a.dng", "-o", "shut")
    assert (code, out) == (1, "") and err.startswith("darkroom: shut: the folder ") and err.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="has no such terminals")
def test_on_a_terminal_a_bar_shows_how_far_it_is_and_stdout_stays_clean(photo):
    import pty

    Path("b.dng").write_bytes(photo.read_bytes())
    terminal, theirs = pty.openpty()
    words = [*PROGRAM, "develop", "a.dng", "b.dng", "--model", "n.onnx"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs, env=os.environ | {"TERM": "xterm"})
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(terminal, 1 << 16)
        except OSError:  # Linux's way to say that the other side is closed
            break
    os.close(terminal)
    assert process.communicate()[0] == b"a.png\nb.png\n" and process.returncode == 0
    assert b"0 of 2" in shown and b"2 of 2" in shown and b"a picture" in shown
    assert b"a.dng -> a.png" in shown and b"[1/2]" not in shown


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--quality", "best"), "--quality best: no such quality; known are fast, fine"),
        (("--device", "tpu"), "--device tpu: no such device; known are auto, cpu"),
        (("--model", "nix"), "nix: no such network; shipped are"),
        (("--model", "nix.onnx"), "nix.onnx: no such file"),
        (("--model", "text.onnx"), "text.onnx: "),
        (("--amp", "bright"), "--amp bright: is no amplification"),
        (("--wb", "blue"), "--wb blue: is no white balance"),
        (("--memory", "some"), "--memory some: is no size"),
        (("--format", "jpeg", "--bits", "16"), "holds 8 bits, not 16"),
    ],
)
def test_wrong_options_are_exit_2_before_any_file_is_touched(run, photo, words, said, dry):
    Path("text.onnx").write_text("no network")
    before = set(Path().iterdir())
    for file in ("a.dng", "no-such-file.dng"):
        code, out, err = run("develop", file, *words, *dry)
        assert (code, out) == (2, "") and said in err
    assert set(Path().iterdir()) == before


def test_too_little_memory_says_how_much_more_is_needed(run, photo):
    code, _, err = run("develop", "a.dng", "--model", "n.onnx", "--memory", "214MB")
    assert code == 1
    more = int(re.search(r"raise --memory by (\d+)MB", err)[1])
    assert more > 0
    assert run("develop", "a.dng", "--model", "n.onnx", "--memory", f"{215 + more}MB")[0] == 0
