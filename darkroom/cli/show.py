"""What a terminal, a log file or another program is told about a batch.

results -> stdout: each picture's path, or a JSON line; stderr: how it was made, notes, progress, and last the errors
"""

import json
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from darkroom.batch.batch import Result
from darkroom.cli import say
from darkroom.errors import escaped

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


SETTLED = 2.0
"""Seconds before the time left is told: what comes before says little of what will."""


@dataclass
class Show:
    """Tells of each result as it comes, and of the failures at the end."""

    pictures: int
    """How many are to come."""
    amp: str
    """What the user asked for, to say where the ratio came from."""
    as_json: bool
    settings: dict[str, dict[str, object]] = field(default_factory=dict)
    """Options that are not left to their defaults, what they hold and who said so: for JSON."""
    to_stdout: bool = False
    """Whether stdout takes the picture itself, so that nothing else may go there."""
    done: int = 0
    """Pictures heard of."""
    written: int = 0
    skipped: int = 0
    failed: list[Result] = field(default_factory=list)
    unheard: str | None = None
    """Why stdout takes no more lines, where that is not that nobody reads on."""
    started: float = field(default_factory=time.monotonic)
    _bar: "Progress | None" = None
    _task: "TaskID | None" = None

    def __enter__(self) -> "Show":
        if sys.stderr.isatty() and self.pictures:
            self._bar, self._task = _live(self.pictures)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away, and give the terminal its cursor back."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def tile(self, _: Path, done: int, tiles: int) -> None:
        """Move the bar; even the last tile is not yet a picture."""
        if self._bar and self._task is not None:
            completed = self.done + min(done / tiles, 0.95)
            self._bar.update(self._task, completed=completed, told=self._told(completed))

    def result(self, result: Result) -> None:
        """Tell of one picture, and count it."""
        self.done += result.pictures
        if result.outcome == "failed":
            self.failed.append(result)
        elif result.outcome == "skipped":
            self.skipped += 1
        else:
            self.written += 1
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=self.done, told=self._told(self.done))
        if self.as_json:
            self.out(json.dumps(as_entries(result) | {"settings": self.settings}))
        elif result.outcome == "written":
            self.log(self._line(result))
            for note in result.notes:
                self.log(f"{result.input}: {note}")
            if not sys.stdout.isatty() and not self.to_stdout:  # there, the line above says it already
                self.out(str(result.output))
        elif result.outcome == "skipped" and self.pictures == 1:
            self.log(f"{result.input} -> {result.output}  skipped, it is there already")

    def end(self) -> None:
        """Sum up, where there was more than one picture, and name what failed."""
        if self.pictures > 1 and not self.as_json:
            took = time.monotonic() - self.started
            counts = f"{self.written} written, {self.skipped} skipped, {len(self.failed)} failed"
            self.log(f"{counts} in {took:.1f} s" + (f", {self._pace()}" if self.written else ""))
        for result in self.failed:
            if result.bug:
                for line in "".join(traceback.format_exception(result.bug)).splitlines():
                    self.log(line)
            self.log(f"darkroom: {result.error}")
        if self.unheard:
            self.log(f"darkroom: stdout: cannot be written ({self.unheard}); the pictures are, their names are not")

    def out(self, line: str) -> None:
        """Write a line to stdout; where nobody reads on, the pictures matter still."""
        line = escaped(line)
        if self._bar and sys.stdout.isatty():
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            try:
                print(line, flush=True)
            except OSError as error:
                say.silence(1)
                if not isinstance(error, BrokenPipeError):
                    self.unheard = (error.strerror or str(error)).lower()

    def log(self, line: str) -> None:
        """Write a line to stderr, above the bar."""
        line = escaped(line)
        if self._bar:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            try:
                print(line, file=sys.stderr, flush=True)
            except BrokenPipeError:
                say.silence(2)

    def _told(self, completed: float) -> str:
        """Say how far it is: how many are done, at what pace, and what is left at that, once that can be told.

        The pace is that of all so far: it hardly swings, where that of the last tiles foretells minutes for seconds.
        """
        took = time.monotonic() - self.started
        words = [f"{self.done} of {self.pictures}"] if self.pictures > 1 else []
        if self.written and self.pictures > 1:
            words.append(self._pace())
        if took > SETTLED and completed:
            words.append(f"{took / completed * (self.pictures - completed):.0f} s left")
        return "  ".join(words)

    def _pace(self) -> str:
        return f"{(time.monotonic() - self.started) / max(self.written, 1):.1f} s a picture"

    def _line(self, result: Result) -> str:
        """IMG.ARW -> IMG.png  x142 (auto)  0.3 % clipped  fast-bayer on cpu fp32  1.9 s"""
        count = ""
        if self.pictures > 1 and not self._bar:
            count = f"[{self.done:{len(str(self.pictures))}}/{self.pictures}] "
        source = "" if self.amp.replace(".", "").isdigit() else f" ({self.amp})"
        assert result.ratio is not None and result.clipped is not None and result.seconds  # it was written
        seconds = sum(asdict(result.seconds).values())
        engine = f"{result.device} {result.precision}"
        output = "stdout" if self.to_stdout else result.output
        return (
            f"{count}{result.input} -> {output}  x{_short(result.ratio)}{source}"
            f"  {100 * result.clipped:.1f} % clipped  {result.model} on {engine}  {seconds:.1f} s"
        )


def _short(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.3g}"


def as_entries(result: Result) -> dict[str, object]:
    """What a JSON line holds."""
    return {
        "input": str(result.input),
        "output": None if result.output is None else str(result.output),
        "outcome": result.outcome,
        "ratio": result.ratio,
        "clipped": result.clipped,
        "seconds": None if result.seconds is None else {k: round(v, 4) for k, v in asdict(result.seconds).items()},
        "model": result.model,
        "version": result.version,
        "device": result.device,
        "precision": result.precision,
        "notes": list(result.notes),
        "error": result.error,
    }


def _live(pictures: int) -> "tuple[Progress, TaskID]":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[told]}"),
        console=Console(stderr=True),
        redirect_stdout=False,
        redirect_stderr=False,
        transient=True,
    )
    bar.start()
    return bar, bar.add_task("", total=pictures, told=f"0 of {pictures}" if pictures > 1 else "")
