"""Pictures, charts and tables -> one HTML file that needs nothing beside itself.

(H, W, 3) uint8 | {name: [(x, y), ...]} | rows of text  ->  pieces of HTML  ->  a page

Every function but `write` returns a piece of HTML; `write` joins them. A page holds no script: what a chart shows
under the pointer is SVG that its style sheet hides until then. Colours follow the reader's light or dark scheme.

Without a template library: jinja2, which torch brings along, takes 0.37 s to import where `html` takes 0.03 (best of
three, beside other work on an AMD EPYC), is one more dependency where torch is not, and would take over a frame of a
dozen lines. Most of this file places what an SVG chart shows, which no template does; the charts of matplotlib follow
neither the reader's scheme nor the pointer.
"""

import base64
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from darkroom.errors import OutputError
from darkroom.write import image

WIDTH, HEIGHT = 720, 300
"""Of a chart, in its own units; it shrinks with the page."""
LEFT, RIGHT, TOP, BOTTOM = 76, 28, 12, 44
"""Margins of a chart around its axes."""
STOPS = 200
"""Most places along a chart that answer the pointer; further ones would be thinner than a pixel."""
DECADES = 100.0
"""Largest over smallest value from which an axis is logarithmic."""

LIGHT = ("#2a78d6", "#1baf7a", "#eda100", "#008300", "#4a3aa7", "#e34948", "#e87ba4", "#eb6834")
DARK = ("#3987e5", "#199e70", "#c98500", "#008300", "#9085e9", "#e66767", "#d55181", "#d95926")
"""Colours of the series, in this order, on a light and on a dark page; the ninth series repeats the first, dashed."""

_PALETTE = "".join(f"--s{i}:{colour};" for i, colour in enumerate(LIGHT))
_DARK_PALETTE = "".join(f"--s{i}:{colour};" for i, colour in enumerate(DARK))
STYLE = f"""
:root{{color-scheme:light dark;--page:#fcfcfb;--ink:#1a1a19;--soft:#6b6a63;--line:#e0dfd8;{_PALETTE}}}
@media(prefers-color-scheme:dark){{:root{{--page:#1a1a19;--ink:#f0efec;--soft:#a3a299;--line:#3a3935;{_DARK_PALETTE}}}}}
body{{margin:0 auto;padding:1.5rem;max-width:76rem;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,sans-serif}}
h1{{font-size:1.6rem;margin:.5rem 0 1rem}}h2{{font-size:1.15rem;margin:2rem 0 .5rem}}
p{{max-width:46rem}}
.table{{overflow-x:auto;margin:1rem 0}}
table{{border-collapse:collapse;font-variant-numeric:tabular-nums}}
th,td{{padding:.25rem .9rem .25rem 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}}
td{{white-space:pre-line}}
th{{color:var(--soft);font-weight:600;white-space:nowrap}}.number{{text-align:right}}
.row{{display:grid;grid-auto-flow:column;grid-auto-columns:1fr;gap:.6rem}}
figure{{margin:.6rem 0}}figure img{{display:block;max-width:100%;height:auto}}
figcaption{{color:var(--soft);font-size:.85rem}}
.row img{{width:100%}}
svg{{display:block;width:100%;max-width:{WIDTH}px;height:auto;margin:1rem 0;font:12px system-ui,sans-serif}}
svg text{{fill:var(--ink)}}svg .soft{{fill:var(--soft)}}svg .grid{{stroke:var(--line)}}
svg .begins{{stroke:var(--soft);stroke-dasharray:2 3}}
svg .curve{{fill:none;stroke-width:2;stroke-linejoin:round}}
svg .stop>*{{visibility:hidden}}svg .stop>.field{{visibility:visible;fill:transparent}}
svg .stop:hover>*{{visibility:visible}}svg .stop line{{stroke:var(--soft)}}
svg .box{{fill:var(--page);stroke:var(--line)}}
"""


@dataclass(frozen=True)
class _Axis:
    """How numbers become places along one axis."""

    ticks: tuple[float, ...]
    place: Callable[[float], float]
    """Number -> 0 at the axis's first end, 1 at the other."""


def heading(text: str) -> str:
    """Begin a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    """Set plain text."""
    return f"<p>{escape(text)}</p>"


def picture(array: NDArray[np.uint8], caption: str) -> str:
    """Embed a picture, (H, W, 3) sRGB, as a JPEG of quality 95 without chroma subsampling."""
    return _figure(address(array), caption)


def address(array: NDArray[np.uint8]) -> str:
    """Write a picture into an address, (H, W, 3) sRGB as a JPEG as above: what an image's src may be."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "picture.jpg"
        image.write(array, file, exif=b"", overwrite=True)
        return _address(file)


def stored(file: Path, caption: str) -> str:
    """Embed a .png or .jpg file as it is."""
    return _figure(_address(file), caption)


def row(parts: Sequence[str]) -> str:
    """Set pieces side by side, equally wide."""
    return f'<div class="row">{"".join(parts)}</div>'


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Set a table; a column whose cells all begin as numbers do, or are empty, is aligned to the right."""
    columns = list(zip(*rows, strict=True)) or [() for _ in header]
    right = [any(column) and all(not cell or _is_number(cell) for cell in column) for column in columns]
    head = _cells("th", header, right)
    body = "".join(f"<tr>{_cells('td', row, right)}</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def chart(
    series: dict[str, list[tuple[float, float]]], *, x: str, y: str, marks: Sequence[tuple[float, str]] = ()
) -> str:
    """Draw named curves over common axes, with a legend and, under the pointer, the numbers.

    `x` and `y` name the axes; a single curve named as its axis needs no legend. A value that is not finite interrupts
    its curve. An axis whose numbers are all above 0 and span more than `DECADES` is logarithmic. `marks` are places
    along `x` where something begins, and what; those beyond the curves are left out.
    """
    points = {name: sorted(curve) for name, curve in series.items()}
    finite = [p for curve in points.values() for p in curve if math.isfinite(p[0]) and math.isfinite(p[1])]
    if not finite:
        return paragraph(f"{y}: nothing to draw yet.")
    across, down = _axis([p[0] for p in finite]), _axis([p[1] for p in finite])
    legend, height = ("", 0) if list(points) == [y] else _legend(list(points))
    pieces = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + height}" role="img" aria-label="{escape(y)} over {escape(x)}">',
        *(_rule(down, tick) for tick in down.ticks),
        *(_mark(across, tick) for tick in across.ticks),
        *(_begins(across, at, what) for at, what in marks if across.ticks[0] <= at <= across.ticks[-1]),
        f'<text class="soft" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x)}</text>',
        f'<text class="soft" text-anchor="middle" transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)">'
        f"{escape(y)}</text>",
        *(_curve(curve, i, across, down) for i, curve in enumerate(points.values())),
        legend,
        *_stops(points, across, down, x),
        "</svg>",
    ]
    return "".join(pieces)


def write(path: Path, title: str, parts: Sequence[str]) -> None:
    """Write the page in one step, replacing what was there; raises OutputError."""
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{''.join(parts)}</body></html>\n"
    )
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(html, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"{path}: cannot be written ({reason}); choose another file") from error


def _address(file: Path) -> str:
    kind = "png" if file.suffix.lower() == ".png" else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"


def _figure(address: str, caption: str) -> str:
    told = escape(caption)
    return f'<figure><img src="{address}" alt="{told}"><figcaption>{told}</figcaption></figure>'


def _is_number(cell: str) -> bool:
    return cell.lstrip("+-−")[:1].isdigit()


def _cells(tag: str, cells: Sequence[str], right: Sequence[bool]) -> str:
    return "".join(
        f'<{tag} class="number">{escape(cell)}</{tag}>' if number else f"<{tag}>{escape(cell)}</{tag}>"
        for cell, number in zip(cells, right, strict=True)
    )


def _axis(values: Sequence[float]) -> _Axis:
    low, high = min(values), max(values)
    if low > 0 and high > DECADES * low:
        return _decades(low, high)
    if low == high:
        low, high = low - abs(low or 1) / 2, high + abs(high or 1) / 2
    step = _round_step((high - low) / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    start, span = first * step, (last - first) * step
    return _Axis(tuple(i * step for i in range(first, last + 1)), lambda value: (value - start) / span)


def _decades(low: float, high: float) -> _Axis:
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    every = -(-(last - first) // 6)
    ticks = tuple(10.0**i for i in range(first, last + 1, every))
    return _Axis(ticks, lambda value: (math.log10(value) - first) / (last - first))


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, ... (or 0.1, 0.2, ...) that is at least this.

    >>> [_round_step(least) for least in (0.9, 1.2, 30, 0.03)]
    [1.0, 2.0, 50.0, 0.05]
    """
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _told(number: float) -> str:
    return f"{number:,.5g}" if abs(number) < 1e6 else f"{number:.3g}"


def _x(axis: _Axis, value: float) -> float:
    return round(LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT), 1)


def _y(axis: _Axis, value: float) -> float:
    return round(HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM), 1)


def _rule(axis: _Axis, tick: float) -> str:
    y = _y(axis, tick)
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        f'<text class="soft" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{_told(tick)}</text>'
    )


def _mark(axis: _Axis, tick: float) -> str:
    x, foot = _x(axis, tick), HEIGHT - BOTTOM
    return (
        f'<line class="grid" x1="{x}" x2="{x}" y1="{foot}" y2="{foot + 5}"/>'
        f'<text class="soft" x="{x}" y="{foot + 18}" text-anchor="middle">{_told(tick)}</text>'
    )


def _begins(axis: _Axis, at: float, what: str) -> str:
    """A dashed line where something begins, named beside its top."""
    x = _x(axis, at)
    return (
        f'<line class="begins" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text class="soft" x="{x + 4}" y="{TOP + 10}">{escape(what)}</text>'
    )


def _ink(index: int) -> str:
    dash = "" if index < len(LIGHT) else f";stroke-dasharray:{2 + 4 * (index // len(LIGHT))} 4"
    return f"var(--s{index % len(LIGHT)}){dash}"


def _curve(curve: Sequence[tuple[float, float]], index: int, across: _Axis, down: _Axis) -> str:
    path, dots, pen = [], [], "M"
    for x, y in curve:
        if not (math.isfinite(x) and math.isfinite(y)):
            pen = "M"
            continue
        path.append(f"{pen}{_x(across, x)} {_y(down, y)}")
        pen = "L"
        if len(curve) <= 20:
            colour = f"var(--s{index % len(LIGHT)})"
            dots.append(f'<circle cx="{_x(across, x)}" cy="{_y(down, y)}" r="3" style="fill:{colour}"/>')
    return f'<path class="curve" style="stroke:{_ink(index)}" d="{"".join(path)}"/>{"".join(dots)}'


def _legend(names: Sequence[str]) -> tuple[str, int]:
    """The names beside a stroke of their curve, in lines below the chart, and the height they take."""
    pieces, x, y = [], float(LEFT), HEIGHT + 8
    for index, name in enumerate(names):
        wide = 40 + _text_width(name)
        if x > LEFT and x + wide > WIDTH - RIGHT:
            x, y = LEFT, y + 18
        pieces.append(
            f'<path class="curve" style="stroke:{_ink(index)}" d="M{x} {y}h18"/>'
            f'<text x="{x + 24}" y="{y + 4}">{escape(name)}</text>'
        )
        x += wide
    return "".join(pieces), y + 14 - HEIGHT


def _stops(points: dict[str, list[tuple[float, float]]], across: _Axis, down: _Axis, title: str) -> list[str]:
    """One upright field for every x, which under the pointer shows a line and the curves' numbers there."""
    at: dict[float, list[tuple[str, float]]] = {}
    for name, curve in points.items():
        for x, y in curve:
            if math.isfinite(x) and math.isfinite(y):
                at.setdefault(x, []).append((name, y))
    xs = sorted(at)
    xs = xs[:: -(-len(xs) // STOPS)]
    places = [_x(across, x) for x in xs]
    edges = [float(LEFT), *((a + b) / 2 for a, b in pairwise(places)), float(WIDTH - RIGHT)]
    return [
        f'<g class="stop"><rect class="field" x="{left:.1f}" y="{TOP}" width="{max(right - left, 0.1):.1f}" '
        f'height="{HEIGHT - TOP - BOTTOM}"/><line x1="{place}" x2="{place}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        + _tip([f"{title} {_told(x)}", *(f"{name}: {_told(y)}" for name, y in at[x])], place)
        + "</g>"
        for x, place, left, right in zip(xs, places, edges, edges[1:], strict=False)
    ]


def _tip(lines: Sequence[str], place: float) -> str:
    """A box of text beside the pointer's line, on the side that has room."""
    wide, high = 16 + max(_text_width(line) for line in lines), 8 + 16 * len(lines)
    x = place + 8 if place < WIDTH / 2 else place - 8 - wide
    return f'<rect class="box" x="{x:.1f}" y="{TOP}" width="{wide:.0f}" height="{high}" rx="3"/>' + "".join(
        f'<text x="{x + 8:.1f}" y="{TOP + 16 * (i + 1)}">{escape(line)}</text>' for i, line in enumerate(lines)
    )


def _text_width(text: str) -> float:
    """Width of 12-unit text, as wide as most fonts set it."""
    return 6.6 * len(text)
