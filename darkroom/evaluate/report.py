"""Scores <-> JSON lines and CSV; scores -> tables of their means, system by system.

Means are only taken over the same dark raws for every system they stand beside.
"""

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from darkroom import documents
from darkroom.errors import OutputError, SettingsError
from darkroom.evaluate import baselines, measure, real, simulated
from darkroom.evaluate.cost import Cost
from darkroom.evaluate.measure import Measured
from darkroom.evaluate.score import Score

Across = Literal["ratio", "camera"]

MEASURED, COST = (tuple(field.name for field in fields(kind)) for kind in (Measured, Cost))
COLUMNS = (
    *("system", "photo", "cfa", "ratio", "camera", "gain", "window", "psnr", "ssim", "chosen", "data"),
    *MEASURED[2:],
    *COST,
)
"""What a score is in a file, where it is flat: its own fields, those of Measured and those of Cost."""
ALL = "all"
"""The column over all ratios."""
MOST = 6
"""Ratios that get a column each; real pairs may have one of their own each."""
MEASURES = (
    ("psnr", "PSNR dB", 2),
    ("ssim", "SSIM", 3),
    ("ms_ssim", "MS-SSIM", 3),
    ("niqe", "NIQE", 2),
    ("lpips", "LPIPS", 3),
    ("gt_gc_psnr", "GT-GC dB", 2),
    ("gt_gc_ssim", "GT-GC SSIM", 3),
    ("near_black", "near-black dE", 2),
    ("bright", "bright dB", 2),
    ("pieapp", "PieAPP", 3),
    ("dists", "DISTS", 3),
    ("clip_iqa", "CLIP-IQA", 3),
    ("grain", "grain", 2),
    ("grain_noise", "grain of noise", 2),
)
"""Field of Measured, its title, and decimals shown."""
COSTS = (("ms", "ms", 0), ("megabytes", "peak MB", 0), ("gmac", "GMAC", 1))
"""Field of Cost, its title, and decimals shown."""


@dataclass(frozen=True)
class Row:
    """A system's means over the photos, column by column, and its cost where that was measured."""

    system: str
    means: tuple[Measured, ...]
    cost: Cost | None


@dataclass(frozen=True)
class Table:
    """What can be compared: the same kind of data, one CFA, one window, the same dark raws."""

    data: str
    cfa: str
    window: str
    photos: int
    ratios: tuple[str, ...]
    """Such as x100."""
    across: Across
    columns: tuple[str, ...]
    """The ratios and perhaps ALL, or ALL alone, or cameras."""
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Grid:
    """A table in words."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(scores: Sequence[Score], across: Across = "ratio") -> list[Table]:
    """Average over the photos, and over the ratios where the cameras stand across.

    Raises SettingsError where two systems did not develop the same dark raws, or one did twice.
    """
    kinds = dict.fromkeys((score.data, score.cfa, score.window) for score in scores)
    return [
        _table([score for score in scores if (score.data, score.cfa, score.window) == kind], *kind, across)
        for kind in kinds
    ]


def _table(scores: Sequence[Score], data: str, cfa: str, window: str, across: Across) -> Table:
    systems = tuple(dict.fromkeys(score.system for score in scores))
    raws = {system: sorted(_raw(score) for score in scores if score.system == system) for system in systems}
    for system in systems:
        if len(raws[system]) != len(set(raws[system])):
            raise SettingsError(f"{system}: scored twice on one dark raw; leave one run out")
        if raws[system] != raws[systems[0]]:
            raise SettingsError(
                f"{system}: scored on {len(raws[system])} dark raws of {window} that are not "
                f"the {len(raws[systems[0]])} of {systems[0]}; use the same photos, ratios, cameras and crops for both"
            )
    ratios = tuple(dict.fromkeys(said(ratio) for ratio in sorted({score.ratio for score in scores})))
    if across == "camera":
        columns = tuple(dict.fromkeys(score.camera for score in scores))
    else:
        columns = _columns(ratios, real=not all(score.gain for score in scores))
    rows = []
    for system in systems:
        those = [score for score in scores if score.system == system]
        means = tuple(_mean([score for score in those if _falls(score, column, across)]) for column in columns)
        rows.append(Row(system, means, _cost(those)))
    return Table(data, cfa, window, len({score.photo for score in scores}), ratios, across, columns, tuple(rows))


def _raw(score: Score) -> tuple[str, float, str, float]:
    """Tell one dark raw from another."""
    return score.photo, score.ratio, score.camera, round(score.gain, 6)


def _columns(ratios: tuple[str, ...], *, real: bool) -> tuple[str, ...]:
    """Add a column over all to real pairs' ratios, as published numbers are; where there are too many, only that."""
    if not real or len(ratios) == 1:
        return ratios
    return (*ratios, ALL) if len(ratios) <= MOST else (ALL,)


def said(ratio: float) -> str:
    """Round a ratio, which EXIF tells roughly.

    >>> said(99.98), said(2.5), said(1200.4)
    ('x100', 'x2.5', 'x1200')
    """
    return f"x{float(f'{ratio:.3g}'):g}" if ratio < 1000 else f"x{ratio:.0f}"


def _falls(score: Score, column: str, across: Across) -> bool:
    return score.camera == column if across == "camera" else column in (ALL, said(score.ratio))


def _mean(scores: Sequence[Score]) -> Measured:
    means: dict[str, Any] = {
        field: _average([getattr(score.measured, field) for score in scores]) for field in MEASURED
    }
    return Measured(**means)


def _average(numbers: Sequence[float | None]) -> float | None:
    """The mean; None where one is missing. What has no number (NIQE of flat tones) is left out."""
    given = [number for number in numbers if number is not None]
    if not given or len(given) < len(numbers):
        return None
    known = [number for number in given if not math.isnan(number)]
    return float(np.mean(known)) if known else math.nan


def _cost(scores: Sequence[Score]) -> Cost | None:
    return next((score.cost for score in scores if score.cost), None)


def grids(table: Table) -> list[Grid]:
    """Put a table into words: one grid, or with more than PSNR and SSIM one for each of its columns."""
    window = "whole" if table.window == "whole" else f"centre {table.window}"
    what = "photos" if table.data.startswith(simulated.DATA) else "pairs"
    name = f"{table.cfa}, {table.photos} {what}, {window}"
    if table.data != simulated.DATA:
        name = f"{table.data}: {name}"
    if table.across == "camera" and len(table.ratios) > 1:
        name = f"{name}, mean of {', '.join(table.ratios)}"
    costs = COSTS if any(row.cost for row in table.rows) else ()
    measured = [each for each in MEASURES if any(_of(mean, each) for row in table.rows for mean in row.means)]
    if len(measured) <= 2:
        header = ("", *table.columns, *(title for _, title, _ in costs))
        rows = (
            (row.system, *(f"{mean.psnr:.2f} / {mean.ssim:.3f}" for mean in row.means), *_each(row.cost, costs))
            for row in table.rows
        )
        return [Grid(f"{name}: PSNR dB / SSIM", header, tuple(rows))]
    header = ("", *(title for _, title, _ in (*measured, *costs)))
    return [
        Grid(
            f"{name}, {column}",
            header,
            tuple((row.system, *_each(row.means[i], measured), *_each(row.cost, costs)) for row in table.rows),
        )
        for i, column in enumerate(table.columns)
    ]


def notes(scores: Iterable[Score]) -> list[str]:
    """Say how the numbers came about: what SSIM and each other measure is, and whose BM3D it is."""
    scores = list(scores)
    lines = dict.fromkeys(measure.settings(real.eight_bit(score.data)) for score in scores)
    for name, explained in measure.EXPLAINED.items():
        field = "gt_gc_psnr" if name == "gt-gc" else name.replace("-", "_")
        if any(getattr(score.measured, field) is not None for score in scores):
            lines |= {explained: None}
    if any(score.system.startswith("bm3d") for score in scores):
        lines |= {baselines.LICENCE: None}
    return list(lines)


def _each(numbers: Measured | Cost | None, wanted: Iterable[tuple[str, str, int]]) -> tuple[str, ...]:
    return tuple(_of(numbers, each) for each in wanted)


def _of(numbers: Measured | Cost | None, wanted: tuple[str, str, int]) -> str:
    """Show one number; nothing where it was not measured."""
    field, _, digits = wanted
    number = getattr(numbers, field, None)
    return "" if number is None else f"{number:.{digits}f}"


def _flat(score: Score) -> dict[str, str | float | None]:
    """Name what a file holds of a score, in the order of COLUMNS."""
    named = asdict(score)
    named |= named.pop("measured") | (named.pop("cost") or {})
    return {column: named.get(column) for column in COLUMNS}


def _score(named: dict[str, Any]) -> Score:
    """The way back from `_flat`, or a TypeError."""
    measured = Measured(**{key: named.pop(key) for key in MEASURED if key in named})
    cost = {key: named.pop(key) for key in COST if named.get(key) is not None}
    return Score(**named, measured=measured, cost=Cost(**{"megabytes": None} | cost) if cost else None)


def to_line(score: Score) -> str:
    """Write a score as one line of JSON, without what was not measured."""
    return json.dumps({key: value for key, value in _flat(score).items() if value is not None}, ensure_ascii=False)


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
            scores.append(_score(documents.from_json(line)))
        except (ValueError, TypeError, AttributeError):
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
            table.writerows(map(_flat, scores))
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({(error.strerror or '').lower()}); choose another file"
        ) from error
