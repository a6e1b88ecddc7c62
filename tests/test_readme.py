"""The README's commands exist as they stand there, and its first picture is real."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from PIL import Image

from darkroom.cli import _app

README = Path(__file__).parents[1] / "README.md"
COMMANDS = re.findall(r"^    (?:pip install .* && )?darkroom (.+)$", README.read_text(), re.MULTILINE)


def test_the_readme_shows_every_command_a_newcomer_needs():
    assert {shlex.split(command)[0] for command in COMMANDS} >= {"demo", "develop", "info", "models", "train"}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_is_understood(command):
    group = typer.main.get_command(_app())
    name, *arguments = shlex.split(command)
    context = group.commands[name].make_context(name, list(arguments))
    assert context.params


def test_the_picture_is_there():
    for name in re.findall(r"!\[.*?\]\((.+?)\)", README.read_text()):
        with Image.open(README.parent / name) as picture:
            assert picture.width > 800


def test_every_figure_of_the_scores_has_its_command():
    for heading in ("How good", "How fast"):
        section = README.read_text().split(f"## {heading}")[1].split("\n## ")[0]
        assert re.search(r"^    darkroom (evaluate|bench)", section, re.MULTILINE), heading
