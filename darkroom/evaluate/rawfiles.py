"""Anyone's raw files, checked without a reference: what was read of each, how the picture agrees with the camera's own.

raw file  ->  `Checked`, and two small pictures to look at; many of them  ->  table.csv and index.html, worst first

A file is developed by the command itself, in a process of its own, so that seconds and memory are what a user waits for
and needs. Nothing is sent anywhere.
"""

import csv
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from darkroom.decode import raw, tags
from darkroom.develop import amplifier, grain, hotsites
from darkroom.errors import DarkroomError, OutputError, told
from darkroom.evaluate import previews, speed
from darkroom.evaluate.previews import Agreement, Preview
from darkroom.evaluate.report import Grid
from darkroom.frame import BAYER, Frame
from darkroom.write import page

AUTO = amplifier.parse("auto")
UNLIKE = 0.9
"""Correlation below which picture and preview are not of one scene, or one of them is wrong; real pairs reach 0.96."""
MOVED = 0.02
"""Of the longer side: cameras cut a preview less than that off centre."""
CUT = 0.03
"""By which proportions may differ before the preview is told to be cut otherwise."""
CAST = 0.6
"""EV by which red or blue may differ: cameras' tones and saturation stay below."""
PALE, GAUDY = 0.5, 2.0
"""Times as colourful as the preview: below and above, the colour matrix is missing or wrong."""
MANY = 0.001
"""Of the sites, hot or dead: more are no defects, but a wrong black level or lost bits."""
EMPTY = 0.002
"""Of the sites, at the white level: of fewer it is not known whether they saturate there."""

TURNS = {
    1: "as it lies",
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "upside down",
    5: "mirrored and turned by 270 degrees",
    6: "turned by 90 degrees",
    7: "mirrored and turned by 90 degrees",
    8: "turned by 270 degrees",
}
"""EXIF orientation in words, clockwise."""


@dataclass(frozen=True)
class Checked:
    """What is to be known of one raw file: a row of the table. nan and empty where it cannot be told."""

    file: str
    trouble: float = 0.0
    """Sum of what was found, the worst 10: the order of the table."""
    found: str = ""
    """What is worth a look, or why the file was refused; parted by semicolons."""
    camera: str = ""
    stored: str = ""
    """How the samples lie in the file: the TIFF's compression, as far as it is one."""
    cfa: str = ""
    phase: str = ""
    width: int = 0
    height: int = 0
    bits: int = 0
    black: str = ""
    """DN; by site of the cell where they differ."""
    black_from: str = ""
    white: float = math.nan
    white_from: str = ""
    brightest: float = math.nan
    """DN of the brightest site."""
    saturated: float = math.nan
    """Share of sites at white."""
    white_balance: str = ""
    white_balance_from: str = ""
    matrix: str = ""
    matrix_from: str = ""
    orientation: int = 0
    preview: str = ""
    """Width and height of the picture that the camera put into the file."""
    correlation: float = math.nan
    best_orientation: int = 0
    shift_down: float = math.nan
    shift_across: float = math.nan
    proportions: float = math.nan
    cast_red: float = math.nan
    cast_blue: float = math.nan
    saturation: float = math.nan
    hot_sites: int = 0
    gain: float = math.nan
    """K, DN per electron."""
    read: float = math.nan
    """sd at no light, DN."""
    ratio: float = math.nan
    """That `auto` takes."""
    seconds: float = math.nan
    """Of `darkroom develop`, its start included."""
    megabytes: float = math.nan
    """Most that it held."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A row, and what a page shows beside it."""

    row: Checked
    picture: NDArray[np.uint8] | None = None
    """(H, W, 3), upright; None of a file that failed."""
    preview: NDArray[np.uint8] | None = None
    """(h, w, 3), turned as the file says."""

    @property
    def failed(self) -> bool:
        """Whether the file could not be developed: `row.found` says why."""
        return self.picture is None


def check(path: Path, device: str = "auto") -> Shown:
    """Read a raw file, develop it, and compare it with its preview; a file that fails is a row, too."""
    row = Checked(str(path))
    try:
        frame = raw.read(path)
        row = _facts(path, frame)
        seen = previews.read(path)
        shown = seen if seen and not previews.is_blank(seen) else None
        row = replace(row, preview=f"{seen.width} x {seen.height}" if seen else "none")
        picture, seconds, peak = _developed(path, _ratio(frame, shown, row.ratio), device)
        row = replace(row, seconds=seconds, megabytes=peak)
        agreement = previews.compare(picture, shown, frame.orientation) if shown else None
    except DarkroomError as error:
        return Shown(replace(row, trouble=10.0, found=told(error, path)))
    if agreement:
        row = replace(
            row,
            correlation=agreement.correlation,
            best_orientation=agreement.best,
            shift_down=agreement.shift[0],
            shift_across=agreement.shift[1],
            proportions=agreement.proportions,
            cast_red=agreement.cast[0],
            cast_blue=agreement.cast[1],
            saturation=agreement.saturation,
        )
    findings = [*_of_preview(agreement), *_of_frame(row, frame)]
    if seen and not shown:
        findings.append((0.0, "the preview shows nothing to compare with"))
    row = replace(row, trouble=sum(weight for weight, _ in findings), found="; ".join(text for _, text in findings))
    turn = agreement.expected[0] if agreement else frame.orientation
    return Shown(row, picture, previews.turned(seen.picture, turn) if seen else None)


def _facts(path: Path, frame: Frame) -> Checked:
    window = frame.visible
    seen = frame.mosaic[window.top : window.top + window.height, window.left : window.left + window.width]
    noise = grain.measure(frame)
    file = tags.read(path)
    levels = sorted({round(float(level), 2) for level in frame.black.flat})
    return Checked(
        file=str(path),
        camera=frame.camera,
        stored=f"{'DNG' if file.dng else 'TIFF'}, compression {file.compression}" if file.compression else "",
        cfa=frame.cfa,
        phase=_phase(frame),
        width=window.width,
        height=window.height,
        bits=frame.bits,
        black=f"{levels[0]:g}" if len(levels) == 1 else f"{levels[0]:g} to {levels[-1]:g}",
        black_from=frame.sources.black,
        white=frame.white,
        white_from=frame.sources.white,
        brightest=float(seen.max()),
        saturated=float(np.count_nonzero(seen >= frame.white)) / seen.size,
        white_balance="" if frame.white_balance is None else " ".join(f"{gain:.3g}" for gain in frame.white_balance),
        white_balance_from=frame.sources.white_balance,
        matrix=" ".join(f"{number:.2f}" for number in frame.camera_to_srgb.flat),
        matrix_from=frame.sources.colours,
        orientation=frame.orientation,
        hot_sites=hotsites.mended(frame, noise)[1],
        gain=noise.gain,
        read=noise.read,
        ratio=float(amplifier.ratio(frame, AUTO)),
    )


def _phase(frame: Frame) -> str:
    """Colours of the picture's first cell, Bayer; its place in the canonical one, X-Trans."""
    top, left = frame.visible.top, frame.visible.left
    if frame.cfa != "bayer":
        return f"{top % 6}, {left % 6}"
    return "".join("RGB"[BAYER[(top + row) % 2, (left + column) % 2]] for row in (0, 1) for column in (0, 1))


def _ratio(frame: Frame, preview: Preview | None, auto: float) -> float:
    """Ratio by which the picture is about as bright as the preview; that of `auto` without one."""
    if preview is None:
        return auto
    row, column = np.argwhere(BAYER == 1)[0] if frame.cfa == "bayer" else (0, 0)
    greens = frame.mosaic[row :: len(frame.black), column :: len(frame.black)]
    light = (float(np.median(greens)) - float(frame.black[row, column])) / (frame.white - float(frame.black.mean()))
    least, most = 0.1, 300.0  # `auto` has the same ceiling
    return min(max(previews.brightness(preview) / max(light, 1e-6), least), most)


def _developed(path: Path, ratio: float, device: str) -> tuple[NDArray[np.uint8], float, float]:
    """Run the command on a file: the picture (H, W, 3), seconds, and the most megabytes it held."""
    from PIL import Image

    with TemporaryDirectory(prefix="darkroom-check-") as folder:
        output = Path(folder) / "picture.png"
        command = [
            *(sys.executable, "-m", "darkroom", "develop", str(path.absolute()), "-o", str(output)),
            *("--amp", f"{ratio:g}", "--highlights", "clip", "--bits", "8", "--device", device),
        ]
        started = time.perf_counter()
        peak = speed.peak_memory(command) / 1e6
        seconds = time.perf_counter() - started
        with Image.open(output) as picture:
            return np.asarray(picture.convert("RGB")), seconds, peak


def _of_preview(agreement: Agreement | None) -> list[tuple[float, str]]:
    """Tell what speaks against the picture: how bad, and what, in a line."""
    if agreement is None:
        return []
    found = []
    moved = max(map(abs, agreement.shift))
    if agreement.best not in agreement.expected:
        found.append((5.0, f"the preview fits {TURNS[agreement.best]}"))
    elif agreement.correlation < UNLIKE:
        found.append((4.0, f"unlike the preview: correlation {agreement.correlation:.2f}, moved by {moved:.1%}"))
    elif moved > MOVED:
        found.append((2.0, f"moved by {moved:.1%} of the longer side against the preview"))
    if abs(agreement.proportions - 1) > CUT:
        found.append((0.5, f"{agreement.proportions:.2f} times as wide for its height as the preview"))
    for colour, cast in zip(("red", "blue"), agreement.cast, strict=True):
        if abs(cast) > CAST:
            found.append((2.0, f"{colour} is off by {cast:+.1f} EV against the preview"))
    if not math.isnan(agreement.saturation) and not PALE < agreement.saturation < GAUDY:
        found.append((1.0, f"{agreement.saturation:.2f} times as colourful as the preview"))
    return found


def _of_frame(row: Checked, frame: Frame) -> list[tuple[float, str]]:
    found = [(1.0, note) for note in frame.notes]
    if row.hot_sites > MANY * row.width * row.height:
        found.append((1.0, f"{row.hot_sites} hot or dead sites, {row.hot_sites / row.width / row.height:.2%}"))
    if row.saturated > EMPTY and row.brightest > row.white:
        found.append((1.0, f"sites read up to {row.brightest:g} DN, above white at {row.white:g}"))
    return found


def worst_first(checked: Sequence[Shown]) -> list[Shown]:
    """Sort by trouble, then by how little a picture agrees with its preview."""
    return sorted(checked, key=lambda shown: (-shown.row.trouble, _or(shown.row.correlation, 1.0), shown.row.file))


def grid(checked: Sequence[Shown]) -> Grid:
    """Lay the main columns out as a table, in the order given; files that could not be developed have none."""
    header = ("file", "mosaic", "levels", "preview", "like it", "cast", "hot", "K, read", "ratio", "s", "MB")
    rows = []
    for shown in checked:
        row = shown.row
        if shown.failed:
            continue
        rows.append(
            (
                _printable(Path(row.file).name),
                f"{row.phase if row.cfa == 'bayer' else row.cfa} {row.width} x {row.height}",
                f"{row.black} .. {row.white:g}",
                row.preview,
                _told(row.correlation, ".3f"),
                "" if math.isnan(row.cast_red) else f"{row.cast_red:+.2f} {row.cast_blue:+.2f}",
                str(row.hot_sites),
                f"{row.gain:.3g}, {row.read:.3g}",
                f"{row.ratio:.3g}",
                _told(row.seconds, ".1f"),
                _told(row.megabytes, ".0f"),
            )
        )
    return Grid(f"{len(rows)} of {len(checked)} raw files developed, worst first", header, tuple(rows))


def write(folder: Path, checked: Sequence[Shown]) -> tuple[Path, Path]:
    """Write the table and the page into a folder, in the order given; raises OutputError."""
    table, index = folder / "table.csv", folder / "index.html"
    try:
        with table.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Checked)])
            writer.writeheader()
            writer.writerows({key: _cell(value) for key, value in asdict(shown.row).items()} for shown in checked)
    except OSError as error:
        raise OutputError(f"{table}: cannot be written ({error.strerror}); choose another folder") from error
    page.write(index, "Raw files, worst first", [part for shown in checked for part in _section(shown)])
    return table, index


def _section(shown: Shown) -> list[str]:
    row = shown.row
    parts = [page.heading(_printable(Path(row.file).name)), page.paragraph(_printable(row.found or "nothing found"))]
    pictures = [
        page.picture(_small(array), caption)
        for array, caption in ((shown.picture, "developed"), (shown.preview, "the camera's own"))
        if array is not None
    ]
    if pictures:
        parts.append(page.row(pictures))
    facts = [(name.replace("_", " "), _cell(value)) for name, value in asdict(row).items() if name != "found"]
    parts.append(page.table(("", ""), [(name, _printable(value)) for name, value in facts if value]))
    return parts


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    shown = Image.fromarray(np.ascontiguousarray(picture))
    shown.thumbnail((640, 640))
    return np.asarray(shown)


def _printable(text: str) -> str:
    """Replace what UTF-8 cannot hold: file names need not be text."""
    return text.encode("utf-8", "replace").decode()


def _cell(value: str | float) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def _told(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)


def _or(value: float, other: float) -> float:
    return other if math.isnan(value) else value
