"""Scores <-> JSON lines and CSV; scores -> their means, system by system.

Means are only taken over the same dark raws for every system they stand beside.
"""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from darkroom.errors import OutputError, SettingsError
from darkroom.evaluate.score import Score

COLUMNS = tuple(field.name for field in fields(Score))


@dataclass(frozen=True)
class Mean:
    """A system's mean over the photos at one ratio."""

    psnr: float
    """dB"""
    ssim: float


@dataclass(frozen=True)
class Table:
    """What can be compared: one CFA, one window, the same dark raws."""

    cfa: str
    window: str
    photos: int
    ratios: tuple[float, ...]
    rows: tuple[tuple[str, tuple[Mean, ...]], ...]
    """System, and its mean at every ratio."""


def tables(scores: Sequence[Score]) -> list[Table]:
    """Average over the photos.

    Raises SettingsError where two systems did not develop the same dark raws, or one did twice.
    """
    return [
        _table([score for score in scores if (score.cfa, score.window) == kind], *kind)
        for kind in dict.fromkeys((score.cfa, score.window) for score in scores)
    ]


def _table(scores: Sequence[Score], cfa: str, window: str) -> Table:
    systems = tuple(dict.fromkeys(score.system for score in scores))
    ratios = tuple(sorted({score.ratio for score in scores}))
    raws = {system: sorted(_raw(score) for score in scores if score.system == system) for system in systems}
    for system in systems:
        if len(raws[system]) != len(set(raws[system])):
            raise SettingsError(f"{system}: scored twice on one dark raw; leave one run out")
        if raws[system] != raws[systems[0]]:
            raise SettingsError(
                f"{system}: scored on {len(raws[system])} dark raws of {window} that are not "
                f"the {len(raws[systems[0]])} of {systems[0]}; use the same photos, ratios, cameras and crops for both"
            )
    rows = tuple((system, tuple(_mean(scores, system, ratio) for ratio in ratios)) for system in systems)
    return Table(cfa, window, len({score.photo for score in scores}), ratios, rows)


def _raw(score: Score) -> tuple[str, float, str, float]:
    """Tell one dark raw from another."""
    return score.photo, score.ratio, score.camera, round(score.gain, 6)


def _mean(scores: Iterable[Score], system: str, ratio: float) -> Mean:
    those = [score for score in scores if (score.system, score.ratio) == (system, ratio)]
    return Mean(float(np.mean([score.psnr for score in those])), float(np.mean([score.ssim for score in those])))


def to_line(score: Score) -> str:
    """Write a score as one line of JSON."""
    return json.dumps(asdict(score), ensure_ascii=False)


def read(path: Path) -> list[Score]:
    """Read the JSON lines of an earlier run; raises SettingsError, naming the line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path}: cannot be read ({type(error).__name__}); give what `darkroom evaluate --json` printed"
        ) from None
    scores = []
    for number, line in enumerate(lines, 1):
        try:
            scores.append(Score(**json.loads(line)))
        except (ValueError, TypeError):
            raise SettingsError(
                f"{path}: line {number} is no score; give what `darkroom evaluate --json` printed"
            ) from None
    return scores


def write_csv(scores: Iterable[Score], path: Path) -> None:
    """Write one row a score, under the names of its fields; replaces the file. Raises OutputError."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(asdict(score) for score in scores)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({(error.strerror or '').lower()}); choose another file"
        ) from error
