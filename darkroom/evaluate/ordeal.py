"""What programs of ours are put through from outside, and how they must come out of it.

command -> Ended -> what was wrong with it, "" for nothing; a campaign of such runs -> one Ordeal a kind

Each run is a process of its own, on photos drawn here; what it may leave behind are whole pictures, and a line that
says what is wrong.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from darkroom.develop import model
from darkroom.errors import DarkroomError
from darkroom.evaluate import speed
from darkroom.write import part

PROGRAM = (sys.executable, "-m", "darkroom")
PATIENCE = 300.0
"""seconds: longer than any of these runs takes on a busy machine; what takes longer hangs."""
HUNG = -1
"""Stands for the exit status of what was still running then."""
PHOTOS = 4
MEGAPIXELS = 0.1
RATIO = "200"
STEPS = 12
RECIPE = f"""\
about = "a campaign's training"
network = "half"
arguments = {{ width = 8, down = [0, 1, 0, 0], up = [1, 1, 0, 0] }}
clip = 0.5
[[stages]]
steps = {STEPS}
batch = 1
crop = 64
"""
"""Seconds of training, of which every third step makes a checkpoint."""

OnWrong = Callable[[str], None]


@dataclass(frozen=True)
class Ordeal:
    """What came of one kind of fault."""

    what: str
    tried: int
    unharmed: int
    """Runs that ended as if nothing had happened, with what they were to make."""
    stopped: int
    """Runs that ended, or had ended, and left nothing wrong: the same command again, where that helps, makes the
    rest."""
    wrong: int
    """All others: a picture that is half or another's, a traceback, a crash, a photo lost, a file left lying about."""


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    code: int
    said: str
    """On stderr."""

    def complaint(self) -> str:
        """Say what is wrong with it: "" where it did its work, or refused to in a line of its own."""
        last = (self.said.strip().splitlines() or ["nothing"])[-1]
        if "Traceback" in self.said:
            return f"a traceback: {last}"
        if self.code == HUNG:
            return f"still running after {PATIENCE:.0f} s"
        if self.code not in (0, 1, 2):
            return f"ended with {self.code} and said: {last}"
        if self.code and not any(line.startswith("darkroom: ") for line in self.said.splitlines()):
            return f"ended with {self.code} and no reason but: {last}"
        return ""


def count(what: str, verdicts: Sequence[str | None]) -> Ordeal:
    """Sum up runs of a kind: None is unharmed, "" stopped, all else is what was wrong."""
    unharmed, stopped = sum(each is None for each in verdicts), sum(each == "" for each in verdicts)
    return Ordeal(what, len(verdicts), unharmed, stopped, len(verdicts) - unharmed - stopped)


def run(command: Sequence[str]) -> Ended:
    """Run a program to its end, or until PATIENCE is."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return Ended(HUNG, "")
    return Ended(done.returncode, done.stderr)


def sound(command: Sequence[str]) -> None:
    """Run a program that must succeed before there is anything to disturb; DarkroomError where it does not."""
    done = run(command)
    if done.code:
        raise DarkroomError(f"{' '.join(command)}: fails undisturbed ({done.said.strip()}); mend that first")


def draw(folder: Path) -> Path:
    """Draw PHOTOS dark raws, no two of a size, into FOLDER/card; returns that."""
    card = folder / "card"
    card.mkdir()
    for number in range(PHOTOS):
        speed.write_photo(card / f"{number}.dng", MEGAPIXELS * (1 + number / PHOTOS))
    return card


def developing(photos: Path, output: Path, *words: str) -> list[str]:
    """Command that develops photos."""
    return [*PROGRAM, "develop", str(photos), "-o", str(output), "--amp", RATIO, *words]


def training(folder: Path, output: Path, *words: str) -> list[str]:
    """Command that trains a small network for a few steps, on photos drawn into FOLDER at the first call."""
    photos, recipe = folder / "photos", folder / "recipe.toml"
    if not recipe.exists():
        photos.mkdir()
        rng = np.random.default_rng(0)
        for number in range(2):
            coarse = Image.fromarray(rng.integers(0, 255, (30, 30, 3), np.uint8))
            coarse.resize((400, 400), Image.Resampling.BICUBIC).save(photos / f"{number}.png")
        recipe.write_text(RECIPE)
    return [
        *(*PROGRAM, "train", "--recipe", str(recipe), "--photos", str(photos), "--validation", str(photos)),
        *("--cache", str(folder / "cache"), "--threads", "1", "--every", "3", "-o", str(output), *words),
    ]


def made(folder: Path) -> dict[str, NDArray[np.generic]]:
    """Tell what a finished command has made in a folder: each picture, and what its network makes of one noise."""
    found: dict[str, NDArray[np.generic]] = dict(pictures(folder))
    for path in folder.glob("last/*.onnx"):
        seen = np.random.default_rng(0).random((1, 4, 128, 128), np.float32)[0]
        found["the network"] = model.load(path, device="cpu").run(seen)
    return found


def pictures(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """Read every picture in a folder, by name; one that cannot be read to its end is empty."""
    found = {}
    for path in sorted(folder.glob("*.png")):
        try:
            with Image.open(path) as opened:
                found[path.name] = np.array(opened)
        except (OSError, SyntaxError):
            found[path.name] = np.zeros(0, np.uint8)
    return found


def differs(folder: Path, right: Mapping[str, NDArray[np.generic]], *, complete: bool) -> str:
    """Say what in a folder is not what it should be, or missing where the command was `complete`; "" if nothing.

    A command that was stopped has made whole pictures, or none; its network may have been at any step.
    """
    found = made(folder) if complete else pictures(folder)
    for name, each in found.items():
        if name not in right or not np.array_equal(each, right[name]):
            return f"{name} is not what it should be"
    lost = sorted(right.keys() - found.keys())
    return f"{lost[0]} is missing" if complete and lost else ""


def leftover(folder: Path) -> str:
    """Say what half-written file lies in a folder; "" if none."""
    left = sorted(folder.rglob(f"*{part.SUFFIX}"))
    return f"{left[0].name} was left behind" if left else ""
