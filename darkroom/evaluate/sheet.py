"""What is kept to look at: pictures as files, and a page of scores and crops that needs nothing beside itself.

[Score], pictures (H, W, 3) -> HTML: tables, curves over the ratio, and the worst, median and best photo by every system
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from darkroom.evaluate import report
from darkroom.evaluate.case import Case, as_authors
from darkroom.evaluate.report import Table
from darkroom.evaluate.score import Score, centre
from darkroom.evaluate.systems import BASELINES, Made
from darkroom.write import image, page

SIDE = 320
"""Pixels along a side of a crop, within what BM3D is tried on."""
ABREAST = 4
"""Crops in a row."""
REFERENCE = "reference"


@dataclass(frozen=True)
class Crops:
    """The middle of every picture, kept in a folder until it is known which are worth showing."""

    folder: Path
    files: dict[tuple[str, str, float, str], dict[str, Path]] = field(default_factory=dict)
    """By photo, CFA, ratio and camera: the file of each system."""

    def keep(self, case: Case, made: Mapping[str, Made]) -> None:
        """Keep a case's pictures, and its reference when it first comes."""
        known = self.files.setdefault((case.photo, case.frame.cfa, case.ratio, case.camera), {})
        pictures = {name: each.picture for name, each in made.items()}
        if REFERENCE not in known:
            pictures = {REFERENCE: case.reference} | pictures
        for name, picture in pictures.items():
            known[name] = self.folder / f"{sum(map(len, self.files.values()))}.npy"
            np.save(known[name], as_authors(centre(picture, SIDE)))

    def rows(self, score: Score, scored: Mapping[str, Score]) -> list[str]:
        """Set what became of a dark raw side by side: the reference, then every system and its PSNR."""
        files = self.files[_raw(score)]
        pictures = [page.picture(np.load(files[REFERENCE]), f"{score.photo}, x{score.ratio:g}, {score.camera}")]
        for system, file in files.items():
            if system in scored:
                pictures.append(page.picture(np.load(file), f"{system}: {scored[system].measured.psnr:.2f} dB"))
        return [page.row(pictures[i : i + ABREAST]) for i in range(0, len(pictures), ABREAST)]


def save(folder: Path, case: Case, made: Mapping[str, Made]) -> None:
    """Write a case's pictures as PNG, and its reference when it first comes; never over another. Raises OutputError."""
    stem = f"{Path(case.photo).stem}-{case.frame.cfa}"
    for name, each in made.items():
        path = folder / f"{stem}-x{case.ratio:g}-{name.replace('/', '_')}.png"
        image.write(as_authors(each.picture), path, exif=b"", overwrite=False)
    if not (folder / f"{stem}-{REFERENCE}.png").exists():
        image.write(as_authors(case.reference), folder / f"{stem}-{REFERENCE}.png", exif=b"", overwrite=False)


def write(
    path: Path,
    tables: Sequence[Table],
    scores: Sequence[Score],
    crops: Crops,
    notes: Sequence[str],
    more: Sequence[str] = (),
) -> None:
    """Write the page; `notes` are paragraphs that say how the numbers came about, `more` pieces before them.

    Of the same data the crops are shown once, by the smallest window, which every system was scored on. Raises
    OutputError.
    """
    parts = []
    smallest = {(table.data, table.cfa): table.window for table in tables}
    for table in tables:
        for grid in report.grids(table):
            parts += [page.heading(grid.title), page.table(grid.header, grid.rows)]
        parts += _curves(table)
        if table.window == smallest[table.data, table.cfa]:
            kind = (table.data, table.cfa, table.window)
            parts += _examples([score for score in scores if (score.data, score.cfa, score.window) == kind], crops)
    parts += more
    parts += [page.heading("How the numbers came about"), *(page.paragraph(note) for note in notes)] if notes else []
    page.write(path, "darkroom evaluate", parts)


def _curves(table: Table) -> list[str]:
    """Draw the PSNR over the ratio, where there is more than one."""
    ratios = [i for i, column in enumerate(table.columns) if table.across == "ratio" and column != report.ALL]
    if len(ratios) < 2:
        return []
    curves = {row.system: [(float(table.columns[i][1:]), row.means[i].psnr) for i in ratios] for row in table.rows}
    return [page.chart(curves, x="ratio", y="PSNR, dB")]


def _examples(scores: Sequence[Score], crops: Crops) -> list[str]:
    """Show the worst, the median and the best dark raw by the first network's PSNR; nothing where none was kept."""
    kept = [score for score in scores if _raw(score) in crops.files]
    if not kept:
        return []
    judge = next((each.system for each in kept if each.system.split("+")[0] not in BASELINES), kept[0].system)
    ranked = sorted((score for score in kept if score.system == judge), key=lambda score: score.measured.psnr)
    parts = []
    for name, score in (("worst", ranked[0]), ("median", ranked[len(ranked) // 2]), ("best", ranked[-1])):
        scored = {each.system: each for each in kept if _raw(each) == _raw(score)}
        parts += [page.heading(f"{name} by {judge}"), *crops.rows(score, scored)]
    return parts


def _raw(score: Score) -> tuple[str, str, float, str]:
    return score.photo, score.cfa, score.ratio, score.camera
