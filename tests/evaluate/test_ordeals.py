"""Campaigns against programs: a tenth of each passes, and what is not as it should be does not pass for it."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from darkroom.errors import DarkroomError, SettingsError
from darkroom.evaluate import disks, hostile, kills, ordeal, speed
from darkroom.write import part

LINUX = pytest.mark.skipif(not speed.WATCHABLE, reason="processes can be found out about on Linux only")


def script(text: str, *words: str) -> list[str]:
    return [sys.executable, "-c", text, *words]


@pytest.fixture
def wrongs(monkeypatch, tmp_path) -> list[str]:
    """What was wrong; files that are kept for it go with the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return []


@LINUX
def test_killed_programs_leave_nothing_wrong(wrongs):
    made = list(kills.campaign(1, trains=False, clusters=False, on_wrong=wrongs.append))
    assert [(each.what, each.tried, each.wrong) for each in made] == [("develop", 1, 0), ("its decoder", 1, 0)], wrongs


def test_full_and_read_only_disks_are_said_to_be_so(wrongs):
    try:
        made = list(disks.campaign(1, trains=False, on_wrong=wrongs.append))
    except SettingsError as error:
        pytest.skip(str(error))
    assert [(each.what, each.stopped) for each in made] == [
        ("develop, a disk that fills", 1),
        ("develop, a disk that is read-only", 1),
    ], wrongs


def test_hostile_files_are_taken_or_refused_in_a_line(wrongs):
    made = list(hostile.campaign(1, trains=False, on_wrong=wrongs.append))
    assert [(each.what, each.tried, each.wrong) for each in made] == [
        ("network", 1, 0),
        ("darkroom.toml", 1, 0),
        ("journal", 1, 0),
        ("names of photos", 1, 0),
    ], wrongs


def test_bench_prints_what_came_of_them(run, monkeypatch):
    def campaign(rounds, *, on_wrong, **_):
        on_wrong("develop, kill 0: a\x1b picture")
        yield ordeal.Ordeal("develop", rounds, 1, 2, 3)

    for module in (kills, disks, hostile):
        monkeypatch.setattr(module, "campaign", campaign)
    code, out, err = run("bench", "kills", "disks", "--rounds", "6", "--json")
    assert code == 0 and [json.loads(line)["tried"] for line in out.splitlines()] == [6, 6]
    assert err.splitlines() == ["bench: develop, kill 0: a\\x1b picture"] * 2
    out = run("bench", "hostile", "--rounds", "6")[1]
    assert out.split() == ["tried", "unharmed", "stopped", "wrong", "develop", "6", "1", "2", "3"]


# How a program ended.


@pytest.mark.parametrize(
    ("code", "said", "complaint"),
    [
        (0, "a.png", ""),
        (2, "darkroom: a.dng: no such file; check the name", ""),
        (1, "Traceback (most recent call last):\nKeyError: 'a'", "a traceback: KeyError: 'a'"),
        (0, "Traceback (most recent call last):\nKeyError: 'a'", "a traceback: KeyError: 'a'"),
        (1, "oh\nno", "ended with 1 and no reason but: no"),
        (-11, "", "ended with -11 and said: nothing"),
        (ordeal.HUNG, "", "still running after 300 s"),
    ],
)
def test_a_program_ends_well_or_says_why_not(code, said, complaint):
    assert ordeal.Ended(code, said).complaint() == complaint


def test_a_program_that_does_not_end_hangs(monkeypatch):
    monkeypatch.setattr(ordeal, "PATIENCE", 0.2)
    assert ordeal.run(script("import time; time.sleep(60)")).code == ordeal.HUNG
    assert ordeal.run(script("import sys; sys.exit('no')")) == ordeal.Ended(1, "no\n")


def test_what_fails_undisturbed_ends_the_campaign():
    with pytest.raises(DarkroomError, match=r"fails undisturbed \(no\)"):
        ordeal.sound(script("import sys; sys.exit('no')"))


def test_verdicts_are_counted_apart():
    assert ordeal.count("x", [None, "", "", "bad", None, "bad"]) == ordeal.Ordeal("x", 6, 2, 2, 2)


def test_a_picture_that_is_half_another_or_missing_is_told(tmp_path):
    rng = np.random.default_rng(0)
    right = {name: rng.integers(0, 255, (20, 30, 3), np.uint8) for name in ("a.png", "b.png")}
    for name, picture in right.items():
        Image.fromarray(picture).save(tmp_path / name)
    assert ordeal.differs(tmp_path, right, complete=True) == ""
    (tmp_path / "b.png").unlink()
    assert ordeal.differs(tmp_path, right, complete=False) == ""
    assert ordeal.differs(tmp_path, right, complete=True) == "b.png is missing"
    Image.fromarray(right["a.png"] ^ 1).save(tmp_path / "a.png")
    assert ordeal.differs(tmp_path, right, complete=False) == "a.png is not what it should be"
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    assert ordeal.differs(tmp_path, right, complete=False) == "a.png is not what it should be"


# Kills.


def killed(text: str, tmp_path: Path, wrongs: list[str], whom: str = "") -> ordeal.Ordeal:
    """Kill a program that is told where to write, once it RESTs, and compare with a picture of zeros."""
    whole = tmp_path / "whole"
    whole.mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(whole / "a.png")

    def command(out: Path) -> list[str]:
        return script(START + text, str(out), str(whole))

    with waiting_for(tmp_path, "darkroom-kills-*/0/rests"):
        return kills._killed("it", command, whom, 1, whole, Random(1), wrongs.append)


@contextmanager
def waiting_for(folder: Path, pattern: str) -> Iterator[None]:
    """Kill no program before it is so far, however busy the machine is."""

    def sleep(seconds: float) -> None:
        while not list(folder.glob(pattern)):
            time.sleep(0.01)
        time.sleep(0.01)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kills, "time", SimpleNamespace(**vars(time) | {"sleep": sleep}))
        yield


START = (
    "import os, shutil, subprocess, sys, time; out, whole = sys.argv[1:]; again = os.path.exists(out); "
    "os.makedirs(out, exist_ok=True); long = 0 if again or out.endswith('timed') else 60; "
)
REST = "open(out + '/rests', 'w'); time.sleep(long); "


@LINUX
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (REST + "shutil.copy(whole + '/a.png', out)", ""),
        ("open(out + '/a.png', 'w').write('half'); " + REST, "a.png is not what it should be"),
        (REST, "a.png is missing"),
        (
            f"open(out + '/{part.PREFIX}0{part.SUFFIX}', 'w'); " + REST,
            f"{part.PREFIX}0{part.SUFFIX} was left behind",
        ),
        (f"open(out + '/half{part.SUFFIX}', 'w'); " + REST, f"half{part.SUFFIX} was left behind"),
        (REST + "sys.exit(again)", "ended with 1 and no reason"),
    ],
)
def test_what_a_kill_leaves_wrong_is_told(tmp_path, wrongs, text, said):
    made = killed(text, tmp_path, wrongs)
    assert (made.stopped, made.wrong) == ((0, 1) if said else (1, 0)), wrongs
    assert said in "".join(wrongs)


@LINUX
def test_one_that_a_program_started_is_killed_in_its_place(tmp_path, wrongs):
    text = (
        "open(out + '/rests', 'w'); child = subprocess.Popen(['sleep', str(long)]); "
        "gone = child.wait(); open(out + '/gone', 'w').write(str(gone)); shutil.copy(whole + '/a.png', out)"
    )
    seen = []
    found = kills._orphan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kills, "_orphan", lambda family: seen.append(len(family)) or found(family))
        made = killed(text, tmp_path, wrongs, whom="sleep 60")
    assert (made.unharmed, made.wrong) == (1, 0), wrongs
    assert seen == [2]


@LINUX
def test_what_a_killed_program_started_may_not_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(kills, "ENDING", 0.2)
    text = "import subprocess, sys, time; subprocess.Popen(['sleep', '61']); open(sys.argv[1], 'w'); time.sleep(60)"
    with waiting_for(tmp_path, "rests"):
        told = kills._interrupted(script(text, str(tmp_path / "rests")), 0, "")
    assert told == "a process goes on by itself: sleep 61 "
    time.sleep(0.1)
    assert not any(kills._command(int(pid)) == "sleep 61 " for pid in os.listdir("/proc") if pid.isdigit())


# Disks.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (START + "sys.exit('darkroom: no space left on the disk; free some')", ""),
        (START + "sys.exit('darkroom: oh')", "the disk is not said to be the cause: darkroom: oh"),
        (START, "a.png is missing"),
        (START + f"open(out + '/{part.PREFIX}0{part.SUFFIX}', 'w')", "a.png is missing"),
        (START + f"open(out + '/{part.PREFIX}0{part.SUFFIX}', 'w'); "
         "sys.exit('darkroom: no space left')", "was left behind"),
    ],
)  # fmt: skip
def test_what_a_disk_brings_about_is_told(tmp_path, wrongs, monkeypatch, text, said):
    whole = tmp_path / "out"
    whole.mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(whole / "a.png")
    again = START + "shutil.copy(whole + '/a.png', out)"

    def apart(shell: str, disk: str, *rest) -> list[str]:  # no mount: the folder is its own copy
        mounted, kept, command = rest
        kept.rmdir()
        kept.symlink_to(mounted)
        return command

    monkeypatch.setattr(disks, "_apart", apart)

    def command(out: Path) -> list[str]:
        return script(again if out.parent.name == "kept" else text, str(out), str(whole))

    made = disks._on("it", ["size=9"], disks.FULL, command, whole, wrongs.append)
    assert (made.stopped, made.wrong) == ((0, 1) if said else (1, 0)), wrongs
    assert said in "".join(wrongs)


# Hostile files.


def test_damage_changes_a_file_and_the_same_seed_repeats_it():
    whole = bytes(range(256)) * 40
    made = [hostile.damaged(whole, Random(seed)) for seed in range(60)]
    assert made == [hostile.damaged(whole, Random(seed)) for seed in range(60)]
    assert sum(each != whole for each in made) > 50
    cut = [each for each in made if len(each) < len(whole)]
    assert len(cut) > 10 and all(whole.startswith(each) for each in cut)
    flipped = [sum(a != b for a, b in zip(each, whole, strict=True)) for each in made if len(each) == len(whole)]
    assert sum(0 < changed <= hostile.FLIPS for changed in flipped) > 10


def test_a_text_is_altered_in_a_word_or_two():
    made = {hostile.altered("gain = [0.1, 2]\nname = 'a'\n", Random(seed)) for seed in range(200)}
    assert len(made) > 50 and all(any(token in each for token in hostile.TOKENS) for each in made)
    assert any(each.startswith("gain = [") for each in made)


def test_names_are_names_that_a_disk_takes(tmp_path):
    names = {hostile.named(Random(seed)) for seed in range(300)}
    assert len(names) > 200 and all(0 < len(os.fsencode(name)) <= hostile.LONGEST for name in names)
    assert not any("/" in name or "\0" in name for name in names)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('<b>&lt;script&gt;</b><img src="a%3F.png">', ""),
        ("<b><script>alert(1)</script></b>", "the page obeys a name: ['script']"),
        ("<b onclick='x'></b>", "the page obeys a name: ['onclick']"),
        ('<img src="a?.png">', "the page leads to a?.png, which is not there"),
    ],
)
def test_a_page_may_not_obey_a_name(tmp_path, body, said):
    if os.name == "nt":
        pytest.skip("this name is none on Windows")
    plain = hostile._Page()
    plain.feed("<b><img></b>")
    (tmp_path / "a?.png").touch()
    (tmp_path / "index.html").write_text(body.replace("a?.png", "a?b.png") if "?" in said else body)
    found = hostile._obeyed(tmp_path, plain, 1)
    assert found == said.replace("a?.png", "a?b.png")
    if not said:
        assert hostile._obeyed(tmp_path, plain, 2) == "1 pictures of 2 photos"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ""),
        ("sys.exit('darkroom: no')", ""),
        ("print('\\x1b[2J', file=sys.stderr)", "reaches the terminal"),
        ("raise KeyError", "a traceback: KeyError"),
        ("open(sys.argv[1] + '/a.png', 'w').write('half')", "a.png cannot be read"),
        ("shutil.copy(sys.argv[2], sys.argv[1]); sys.exit('darkroom: no')", "a.png is there although it was refused"),
    ],
)
def test_what_a_hostile_file_brings_about_is_told(tmp_path, wrongs, text, said):
    picture = tmp_path / "a.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(picture)
    text = f"import shutil, sys\nif open(sys.argv[1] + '/x', 'rb').read() != b'whole':\n    {text or 'pass'}"
    kind = hostile._Kind("x", b"whole", "x", lambda at: script(text, str(at), str(picture)))
    made = hostile._read(kind, tmp_path, 1, Random(0), wrongs.append)
    assert (made.tried, made.wrong) == (1, 1 if said else 0), wrongs
    assert said in "".join(wrongs)


def test_a_sound_file_that_is_refused_is_told(tmp_path, wrongs):
    kind = hostile._Kind("x", b"whole", "x", lambda at: script("import sys; sys.exit('darkroom: no')"))
    hostile._read(kind, tmp_path, 1, Random(0), wrongs.append)
    assert "x, file -1: the sound one is refused: darkroom: no" in wrongs
