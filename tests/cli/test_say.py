"""What reaches a terminal: one line a thing, no control characters, by one way out."""

import ast
from pathlib import Path

import pytest
from made import write_network

from darkroom.cli import grids, say
from darkroom.evaluate.report import Grid

CLI = Path(say.__file__).parent
OWN_WAY = {"say.py", "show.py", "running.py"}
"""Modules that print by themselves: the way out, and what writes above a bar or while one is up; they escape, too."""
EVIL = "a\x1b[2J\x07b\nc\u202ed"


def test_a_line_holds_nothing_that_a_terminal_obeys(capfd):
    say.line(EVIL)
    assert capfd.readouterr().out == "a\\x1b[2J\\x07b\\nc\\u202ed\n"


def test_every_command_prints_by_the_one_way_out():
    for file in CLI.glob("*.py"):
        calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        assert file.name in OWN_WAY or not [call for call in calls if ast.unparse(call.func) == "print"], file.name


def test_a_table_shows_names_escaped(capfd):
    grids.show([Grid(title=EVIL, header=("", "x1"), rows=[("[red]" + EVIL, "1")])], [EVIL], to_stderr=False)
    said = capfd.readouterr().out
    assert "\x1b" not in said and "\x07" not in said and "\u202e" not in said and said.count("\\x1b[2J") == 3
    assert "[red]a" in said


@pytest.mark.parametrize("words", [("evaluate",), ("check",), ("train", "--init")])
def test_a_network_that_is_named_to_drive_the_terminal_does_not(run, tmp_path: Path, words):
    file = write_network(tmp_path / "e\x1b[2Jv\nil.onnx", channels=5)
    code, out, err = run(*words, file, "--still", tmp_path) if words == ("check",) else run(*words, file)
    assert code in (1, 2) and "\x1b" not in out + err
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1 or "Usage" in err, err


HOSTILE = Path(__file__).parents[2].parent / "shared" / "hostile"


@pytest.mark.skipif(not HOSTILE.is_dir(), reason="no ../shared/hostile beside the checkout")
@pytest.mark.parametrize("command", ["develop", "train", "evaluate"])
def test_every_hostile_network_ends_in_one_line(run, photo: Path, tmp_path: Path, command):
    for file in sorted(HOSTILE.glob("*.onnx")):
        words = {
            "develop": (photo, "--model", file, "--amp", "2", "-o", tmp_path / "a.png"),
            "train": (tmp_path, "--init", file, "-o", tmp_path / "run"),
            "evaluate": (file, "--simulate", tmp_path),
        }[command]
        code, out, err = run(command, *words)
        assert code in (1, 2) and not out, file.name
        assert len(err.splitlines()) == 1 and file.name in err and "\x1b" not in err, err
    assert not (tmp_path / "a.png").exists() and not (tmp_path / "run").exists()
