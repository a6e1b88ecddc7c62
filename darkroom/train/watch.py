"""What a run shows of itself: numbers as it goes, pictures now and then, a report at the end.

    step, {name: number}                   ->  RUN/log.csv, RUN/tensorboard
    step, [(short, output, reference)]     ->  RUN/samples/step-000500.png, RUN/tensorboard
    both, read back from the run's folder  ->  RUN/report.html

The log has one row a step and only ever grows: a run resumed from a checkpoint before the log's end takes the rows
from there on back, and writes them again.
"""

import csv
import io
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from darkroom.train.board import Board
from darkroom.write import image, page

LARGEST = 320
"""Pixels along a side of a sample; of larger ones the centre is shown."""
GAP = 4
"""Pixels between the pictures of a sample."""
SHOWN = 3
"""Sample files in a report: the first, the last and what lies between them."""
THUMBNAILS, SHRUNK = 3, 2
"""Samples of a file that a report shows, and what their sides are divided by: a report is to be sent, not stored."""
FIRST = ("psnr", "ssim", "loss")
"""Numbers that a report opens with: validation on top."""
STAGE = "stage"
"""The number that tells stages apart; it has no chart, its changes are marked in those of the others."""

Sample = tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]
"""The short as a plain picture, the network's output and the reference: (3, H, W) or (H, W, 3) each, in [0, 1]."""


class Watch:
    """Keeps a run's folder telling how the run goes; opens on what an earlier part of it has left there."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._rows = _read(run / "log.csv")
        self._board: Board | None = None

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Add numbers to a step's row; names with a common part before "/" share a chart."""
        fresh = not self._rows or step > max(self._rows)
        names = self._names()
        self._rows = {known: row for known, row in self._rows.items() if known <= step}
        self._rows[step] = self._rows.get(step, {}) | values
        file = self._run / "log.csv"
        if fresh and file.exists() and self._names() == names:
            with open(file, "a", newline="") as log:
                log.write(_line(step, self._rows[step], names))
        else:
            _replace(file, _table(self._rows, self._names()))
        self._opened(step).scalars(step, values)

    def samples(self, step: int, samples: Sequence[Sample]) -> None:
        """Keep pictures of a step, one sample a row: short | output | reference."""
        folder = self._run / "samples"
        folder.mkdir(exist_ok=True)
        sheet = _sheet(samples)
        image.write(sheet, folder / f"step-{step:06d}.png", exif=b"", overwrite=True)
        self._opened(step).picture(step, "samples", sheet)

    def report(self, title: str, facts: dict[str, str]) -> Path:
        """Write RUN/report.html, and return its path.

        What came out, the curves that matter with the stages marked, thumbnails of some samples; then the rest.
        """
        names = sorted(
            (name for name in self._names() if name != STAGE),
            key=lambda name: FIRST.index(name.split("/")[0]) if name.split("/")[0] in FIRST else len(FIRST),
        )
        kinds = list(dict.fromkeys(name.split("/")[0] for name in names))
        charts = {
            kind: page.chart(
                {n: self._curve(n) for n in names if n.split("/")[0] == kind}, x="step", y=kind, marks=self._stages()
            )
            for kind in kinds
        }
        early = [kind for kind in kinds if kind in FIRST]
        parts = [page.table(*self._summary([name for name in names if name.split("/")[0] in early]))] if early else []
        for kind in early:
            parts += [page.heading(kind), charts[kind]]
        parts += self._thumbnails()
        for kind in kinds[len(early) :]:
            parts += [page.heading(kind), charts[kind]]
        if len(kinds) > len(early):
            parts += [page.heading("Numbers"), page.table(*self._summary(names))]
        if facts:
            parts += [page.heading("How it was trained"), page.table(("fact", "value"), list(facts.items()))]
        path = self._run / "report.html"
        page.write(path, title, parts)
        return path

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self._board:
            self._board.close()

    def _names(self) -> list[str]:
        return list(dict.fromkeys(name for row in self._rows.values() for name in row))

    def _curve(self, name: str) -> list[tuple[float, float]]:
        return [(step, row[name]) for step, row in self._rows.items() if name in row]

    def _stages(self) -> list[tuple[float, str]]:
        """Where each stage but the first began."""
        rows = [(step, int(row[STAGE])) for step, row in self._rows.items() if STAGE in row]
        return [(before, f"stage {now}") for (before, then), (_, now) in pairwise(rows) if now != then]

    def _thumbnails(self) -> list[str]:
        """The upper samples of a few steps, made small."""
        files = sorted((self._run / "samples").glob("step-*.png"), key=_step)
        if not files:
            return []
        parts = [page.heading("Samples"), page.paragraph("From left to right: short, output, reference.")]
        for place in sorted({round(i * (len(files) - 1) / (SHOWN - 1)) for i in range(SHOWN)}):
            with Image.open(files[place]) as sheet:
                upper = sheet.convert("RGB").crop((0, 0, sheet.width, min(sheet.height, THUMBNAILS * (LARGEST + GAP))))
            small = np.asarray(upper.reduce(SHRUNK))
            parts.append(page.picture(small, f"step {_step(files[place]):,}"))
        parts.append(page.paragraph("All of them, in full size, lie in samples/ beside this page."))
        return parts

    def _summary(self, names: Sequence[str]) -> tuple[tuple[str, ...], list[list[str]]]:
        """How numbers began, how they ended, and their best on the way."""
        rows = []
        for name in names:
            values = [value for _, value in self._curve(name)]
            rows.append(
                [name, *(f"{v:.5g}" for v in (values[0], values[-1], np.fmin.reduce(values), np.fmax.reduce(values)))]
            )
        return ("number", "first", "last", "lowest", "highest"), rows

    def _opened(self, step: int) -> Board:
        """Open TensorBoard's file at the first step there is, telling it that later ones are to come again."""
        if self._board is None:
            self._board = Board(self._run / "tensorboard", step)
        return self._board


def _read(file: Path) -> dict[int, dict[str, float]]:
    """Read a log back; a last line that a kill cut short is taken out of the file."""
    if not file.exists():
        return {}
    text = file.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        _replace(file, whole)
    table = csv.DictReader(io.StringIO(whole))
    return {int(row.pop("step")): {name: float(value) for name, value in row.items() if value} for row in table}


def _line(step: int, row: dict[str, float], names: Sequence[str]) -> str:
    return ",".join([str(step), *(f"{row[name]:.8g}" if name in row else "" for name in names)]) + "\n"


def _table(rows: dict[int, dict[str, float]], names: Sequence[str]) -> str:
    return "".join([",".join(["step", *names]) + "\n", *(_line(step, row, names) for step, row in rows.items())])


def _replace(file: Path, text: str) -> None:
    part = file.with_suffix(".part")
    part.write_text(text)
    os.replace(part, file)


def _sheet(samples: Sequence[Sample]) -> NDArray[np.uint8]:
    """Lay samples out in rows, the three pictures of each side by side."""
    rows = [_beside([_shown(picture) for picture in sample]) for sample in samples]
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(row, ((0, GAP), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate(rows)[:-GAP]


def _beside(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    padded = [np.pad(picture, ((0, 0), (0, GAP), (0, 0)), constant_values=255) for picture in pictures]
    return np.concatenate(padded, 1)[:, :-GAP]


def _shown(picture: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Cut the centre out of a picture and round it to (H, W, 3) in 8 bits."""
    if picture.shape[-1] != 3:
        picture = picture.transpose(1, 2, 0)
    top, left = (max(0, (length - LARGEST) // 2) for length in picture.shape[:2])
    centre = picture[top : top + LARGEST, left : left + LARGEST]
    return (np.clip(centre, 0, 1) * 255 + 0.5).astype(np.uint8)


def _step(sample: Path) -> int:
    """The step after which a sample was made, by its name."""
    return int(sample.stem.removeprefix("step-"))
