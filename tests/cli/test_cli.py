"""The command line: what it prints where, how it exits, and what its help says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import dark
from made import contract_for, write_network
from numpy.typing import NDArray
from PIL import Image

import darkroom
from darkroom import tiff
from darkroom.cli import options
from darkroom.decode import raw
from darkroom.develop import balance, model
from darkroom.errors import SettingsError

PROGRAM = [sys.executable, "-m", "darkroom"]
COMMANDS = ("develop", "info", "models", "demo", "calibrate", "train", "trials", "evaluate", "check", "bench")


pytestmark = pytest.mark.usefixtures("here")


def seen(path: str | Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize(("bits", "space"), [(16, 1), (32, 65535)])
def test_exif_calls_no_linear_tiff_srgb(run, photo, bits, space):
    assert run("develop", "a.dng", "--model", "n.onnx", "--amp", "2", "--bits", bits, "-o", "a.tif")[0] == 0
    with Path("a.tif").open("rb") as file:
        order, at = tiff.header(file, 0)
        main, _ = tiff.read(file, 0, at, order)
        shot, _ = tiff.read(file, 0, tiff.first(main, 34665), order)
    assert tiff.first(shot, 40961) == space


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


def test_info_tells_the_white_balance_that_develop_would_use(run, write_dng):
    write_dng("b.dng", dark((64, 80)), white_balance=None, daylight=(2, 1, 1.5))
    code, out, _ = run("info", "b.dng", "--json")
    frame = raw.read(Path("b.dng"))
    guess, notes = balance.gains(frame, "camera")
    told = json.loads(out)
    assert code == 0 and told["white_balance"] == pytest.approx(guess, abs=1e-4) and notes[0] in told["notes"]


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
    monkeypatch.setattr(model, "shipped", list)
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
    for wrong in (("--model", "nix"), ("--model", "nix.onnx"), ("--device", "tpu")):
        assert run("demo", *wrong, "-o", "other")[0] == 2 and not Path("other").exists()


def test_the_ordinary_demo_is_as_dark_as_most_photos_of_a_night_and_auto_finds_that(run, here):
    code, out, err = run("demo", "--ordinary", "--model", "n.onnx")
    assert code == 0 and "the raw photo, 8 times too dark" in err and "developed at x8 " in err
    raw_file, _, both = map(Path, out.split())
    assert raw_file.name == "ordinary.dng" and both.name == "ordinary-before-after.png"
    told = json.loads(run("info", str(raw_file), "--json")[1])
    assert 4 < told["ratio"] < 20


def test_train_without_torch_says_what_to_install(here, monkeypatch):
    (here / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(here), os.environ["PYTHONPATH"])))
    words = ("train", "--photos", "p", "--validation", "v", "-o", "night")
    done = subprocess.run([*PROGRAM, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr == 'darkroom: train: needs torch, which is not installed; run pip install "darkroom-raw[train]"\n'
    )


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
    assert err == "one pair left out\nstep 20  100%  loss 0.0300  0.20 hours  28.50 dB\n"
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
    for wrong in ("none.onnx", "nix"):
        code, _, err = run("train", "--photos", "p", "--validation", "v", "-o", "x", "--init", wrong)
        assert code == 2 and err.startswith(f"darkroom: --init {wrong}: no such") and len(err.splitlines()) == 1


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


def test_info_takes_folders_several_files_and_a_networks_name(run, photo, here):
    (here / "below").mkdir()
    (here / "below" / "b.dng").write_bytes(Path("a.dng").read_bytes())
    code, out, _ = run("info", "fast-bayer", "a.dng", "below", "--json")
    told = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [Path(each["input"]).name for each in told] == ["fast-bayer.onnx", "a.dng", "b.dng"]
    assert told[0]["contract"]["name"] == "fast-bayer"
    assert len(run("info", ".", "-r", "--json")[1].splitlines()) == 2
    assert run("info", "nowhere/*.dng")[0] == 2


def test_shell_completion_can_be_installed(run):
    assert "--install-completion" in run("--help")[1]


def test_what_names_say_to_a_terminal_is_written_out(run, here, write_dng):
    name = "a\x1b[2J\x9b1m\n\u202edarkroom: all fine.dng"
    write_dng(here / name, dark((64, 80)))
    code, out, err = run("develop", name, "--model", "n.onnx", "--amp", "2")
    assert code == 0 and out.count("\n") == 1 and err.count("\n") == 1
    assert out == "a\\x1b[2J\\x9b1m\\n\\u202edarkroom: all fine.png\n"
    code, out, err = run("info", name)
    assert code == 0 and out.startswith("a\\x1b[2J\\x9b1m\\n\\u202edarkroom: all fine.dng\n")
    for words in (("develop", "none" + name), ("info", "none" + name)):
        code, out, err = run(*words)
        assert code in (1, 2) and out == "" and err.count("\n") == 1 and "\\x1b[2J" in err
        assert not any(c in err for c in "\x1b\x9b\u202e")


def test_a_networks_name_tells_the_terminal_nothing(run, here, write_dng):
    write_network(here / "evil.onnx", promise=contract_for("bayer", name="evil\n\x1b]0;all fine\x07").to_json())
    write_dng("a.dng", dark((64, 80)))
    code, out, err = run("develop", "a.dng", "--model", "evil.onnx", "--amp", "2")
    assert code == 0 and err.count("\n") == 1 and "evil\\n\\x1b]0;all fine\\x07" in err
    code, out, err = run("info", "evil.onnx")
    assert code == 0 and "\x1b" not in out and "evil\\n\\x1b]0;all fine\\x07" in out


@pytest.mark.parametrize(
    "words",
    [
        ("develop", "{}.dng"),
        ("develop", "a.dng", "-o", "{}/a.png"),
        ("info", "{}"),
        ("journal", "{}"),
        ("check", "--raws", "{}"),
        ("evaluate", "fast-bayer", "--simulate", "{}"),
    ],
)
def test_a_name_that_no_file_can_have_is_said_so_in_a_line(run, words):
    code, out, err = run(*(word.format("n" * 5000) for word in words))
    assert code == 2 and not out
    assert err.startswith(f"darkroom: {'n' * 70}") and err.endswith(": no file can have this name "
                                                                    "(File name too long); shorten it\n")  # fmt: skip
    assert len(err) < 200
