"""The command line: what it prints where, how it exits, and that nothing it is killed at leaves half a picture."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import noise
from numpy.typing import NDArray
from PIL import Image
from test_contract import contract_for
from test_model import write_network

import darkroom
from darkroom import model
from darkroom.cli import options
from darkroom.errors import SettingsError

PROGRAM = [sys.executable, "-m", "darkroom"]
COMMANDS = ("develop", "info", "models", "demo", "calibrate", "train", "trials", "evaluate", "check", "bench")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, where the package is found, with a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(darkroom.__file__).parents[1]))
    write_network(tmp_path / "n.onnx")
    return tmp_path


@pytest.fixture
def develop(run):
    return lambda *words: run("develop", "--model", "n.onnx", "--amp", "2", *words)


@pytest.fixture
def photo(write_dng) -> Path:
    return write_dng("a.dng", dark((64, 80)))


def dark(shape: tuple[int, int], seed: int = 0) -> NDArray[np.uint16]:
    """A mosaic that a ratio of 2 does not clip."""
    return noise(shape, low=600, high=3000, seed=seed)


def seen(path: str | Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


# --- develop ---


def test_a_photo_becomes_a_picture_and_stdout_names_it(develop, photo):
    code, out, err = develop("a.dng")
    assert (code, out) == (0, "a.png\n")
    assert err.startswith("a.dng -> a.png  x2  ") and err.count(" % clipped  test on cpu  ") == 1
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
        (("-o", "new", "--format", "tiff", "--bits", "8"), "new/a.tif", ("TIFF", "RGB")),
    ],
)
def test_formats_and_places(develop, photo, words, name, kind):
    code, out, _ = develop("a.dng", *words)
    assert code == 0 and Path(out.strip()) == Path(name)
    with Image.open(name) as picture:
        assert (picture.format, picture.mode) == kind


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
        ("--contrast",),
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
        (("-o", "a.png", "--format", "tiff"), "a.png: is no name for --format tiff; leave one of them out"),
        (("-o", "a.webp"), 'a.webp: cannot write ".webp"; name it'),
        (("--model", "none"), "none: no such network; shipped are"),
        (("--model", "none.onnx"), "none.onnx: no such file"),
        (("--device", "abacus"), "abacus: no such device; known are auto"),
        (("--quality", "perfect"), "perfect-bayer: no such network"),
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
    from darkroom import cfa

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
    assert (good["model"], good["device"], good["error"]) == ("test", "cpu", None)
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
    from darkroom import raw

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
    assert b"0 of 2" in shown and b"2 of 2" in shown and b"a picture" in shown and b"left" in shown
    assert b"a.dng -> a.png" in shown and b"[1/2]" not in shown


# --- killed, stopped ---


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


# --- the other commands ---


def test_info_tells_of_a_photo(run, photo):
    code, out, err = run("info", "a.dng")
    assert (code, err) == (0, "")
    for fact in ("bayer RGGB, 80 x 64", "black 512, white 16383 DN", "1/30 s, ISO 3200, f/2.8", "by --amp auto"):
        assert fact in out


def test_info_names_the_phase_of_the_camera(run, write_dng):
    write_dng("b.dng", dark((64, 80)), phase=(1, 0))
    write_dng("x.dng", dark((72, 72)), cfa="xtrans", phase=(2, 3))
    assert "bayer GBRG" in run("info", "b.dng")[1]
    assert "xtrans from row 2, column 3 of the canonical cell" in run("info", "x.dng")[1]


def test_info_prints_json(run, photo):
    code, out, err = run("info", "a.dng", "n.onnx", "missing.dng", "--json")
    told, network, missing = map(json.loads, out.splitlines())
    assert code == 1 and err == "darkroom: missing.dng: no such file; check the name\n"
    assert (told["cfa"], told["phase"], told["width"], told["height"]) == ("bayer", [0, 0], 80, 64)
    assert told["black"] == [512] * 4 and told["iso"] == 3200
    assert 1 <= told["ratio"] <= 300 and 0 <= told["clipped"] <= 1
    assert network["contract"] == json.loads(contract_for("bayer").to_json())
    assert missing == {"input": "missing.dng", "error": "missing.dng: no such file; check the name"}


def test_info_shows_a_contract(run):
    code, out, _ = run("info", "n.onnx")
    assert code == 0 and out.startswith("n.onnx\n  name ") and "packing" in out


def shipped(monkeypatch, folder: Path, *, sums: str) -> None:
    folder.mkdir()
    write_network(folder / "night.onnx")
    (folder / "SHA256SUMS").write_text(sums)
    monkeypatch.setattr(model, "_folder", lambda: folder)


def test_models_are_listed_and_checked(run, here, monkeypatch):
    import hashlib

    good = hashlib.sha256((here / "n.onnx").read_bytes()).hexdigest()
    shipped(monkeypatch, here / "models", sums=f"{good}  night.onnx\n")
    code, out, _ = run("models")
    assert code == 0 and out.startswith("test 1  bayer4 -> camera  up to x300") and "checksum ok" in out
    code, out, _ = run("models", "--json")
    assert code == 0 and json.loads(out)["checksum"] is True and json.loads(out)["packing"] == "bayer4"


def test_a_wrong_checksum_is_exit_1(run, here, monkeypatch):
    shipped(monkeypatch, here / "models", sums=f"{'0' * 64}  night.onnx\n")
    code, out, _ = run("models")
    assert code == 1 and "checksum WRONG, install darkroom again" in out


def test_no_networks_at_all_are_said_so(run, here, monkeypatch):
    monkeypatch.setattr(model, "shipped", lambda: [])
    assert run("models") == (1, "", "darkroom: the shipped networks are missing; install darkroom again\n")


def test_the_demo_makes_a_dark_raw_and_a_before_and_after(run, here):
    code, out, err = run("demo", "--model", "n.onnx")
    assert code == 0 and "200 times too dark" in err
    raw_file, picture, both = map(Path, out.split())
    assert {path.parent for path in (raw_file, picture, both)} == {Path("darkroom-demo")}
    assert seen(picture).shape == (800, 1200, 3) and seen(both).shape == (800, 2406, 3)
    told = json.loads(run("info", str(raw_file), "--json")[1])
    assert 100 < told["ratio"] <= 300
    before, after = np.split(seen(both), [1203], axis=1)
    assert before[:, :1200].std() > 10 and (after[:, 3:] == seen(picture)).all()
    assert run("demo", "--model", "n.onnx", "-o", "n.onnx")[0] == 1


def test_train_without_torch_says_what_to_install(here, monkeypatch):
    (here / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(here), os.environ["PYTHONPATH"])))
    words = ("train", "--photos", "p", "--validation", "v", "-o", "night")
    done = subprocess.run([*PROGRAM, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'darkroom: train: needs torch, which is not installed; run pip install "darkroom[train]"\n'


def test_train_hands_its_options_to_the_loop(run, monkeypatch, here):
    loop = pytest.importorskip("darkroom.train.loop")
    data = pytest.importorskip("darkroom.train.data")
    heard = []

    def gather(plan, sources, cameras, cache, *, sensor, tell):
        heard.append((sources, [camera.name for camera in cameras], cache.folder, sensor))
        tell("one pair left out")
        return "material"

    def train(plan, material, folder, options, on_progress):
        heard.append((plan, material, folder, options))
        on_progress(loop.Progress(0.5, 10, 0.04, 0.1, None))
        on_progress(loop.Progress(1.0, 20, 0.03, 0.2, 28.5))
        return folder / "night.onnx"

    monkeypatch.setattr(data, "gather", gather)
    monkeypatch.setattr(loop, "train", train)
    words = (
        "--photos p --pairs q --validation v -o runs/night --recipe red-sony --camera canon70d,nikond850 --cfa xtrans"
    )
    more = "--batch 3 --crop 96 --learning-rate 1e-3 --loss l2 --freeze 2 --exclude 1,2 --minutes 5 --cache c --seed 7"
    code, out, err = run("train", *words.split(), *more.split(), "--threads", "2", "--every", "5")
    assert (code, out) == (0, f"{Path('runs/night/night.onnx')}\n")
    assert err == "one pair left out\nstep 20  100%  loss 0.0300  0.20 CPU-hours  28.50 dB\n"
    (sources, cameras, cache, sensor), (plan, material, folder, options) = heard
    assert sources == data.Sources(Path("q"), Path("p"), Path("v"), ("1", "2"))
    assert (cameras, cache, sensor, material) == (["canon70d", "nikond850"], Path("c"), "xtrans", "material")
    stage = plan.stages[0]
    assert (plan.name, plan.network, folder) == ("night", "red", Path("runs/night"))
    assert (stage.batch, stage.crop, stage.learning_rate, stage.loss, stage.last_blocks) == (
        3,
        96,
        1e-3,
        {"l2": 1.0},
        2,
    )
    assert (options.threads, options.every, options.minutes, options.seed) == (2, 5, 5.0, 7)
    assert run("train", "--photos", "p", "--validation", "v", "-o", "x", "--init", "none.onnx")[0] != 0


# --- all of them ---


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_shows_an_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0 and f"Example:\n    darkroom {command}" in out
    assert "[default:" in out or command == "models"


def test_the_help_names_every_command_and_the_exit_codes(run):
    code, out, _ = run("--help")
    assert code == 0 and all(f"  {command} " in out for command in COMMANDS) and "Exit codes: 0 done" in out


def test_wrong_words_are_exit_2(run):
    assert run("develop")[0] == run("develop", "a.dng", "--no-such-option")[0] == run("paint")[0] == 2


def test_the_version(run):
    assert run("--version") == (0, f"darkroom {darkroom.__version__}\n", "")


def test_python_m_darkroom_works_and_help_loads_nothing_heavy():
    words = [sys.executable, "-X", "importtime", "-m", "darkroom", "--help"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("Usage: darkroom ")
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "typer" in loaded
    assert not loaded & {"numpy", "onnxruntime", "rawpy", "rich", "PIL", "torch", "pydantic"}


@pytest.mark.parametrize(
    ("text", "size"), [("1GB", 10**9), ("1.5 GiB", 1610612736), ("800m", 8 * 10**8), ("1000000000", 10**9)]
)
def test_sizes_are_read(text, size):
    assert options.memory(text) == size


@pytest.mark.parametrize("text", ["", "GB", "1XB", "-1GB", "nan", "1e99999GB"])
def test_sizes_that_are_none_are_refused(text):
    with pytest.raises(SettingsError, match="--memory"):
        options.memory(text)
