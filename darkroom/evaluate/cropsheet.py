"""Networks side by side on the places where they differ: what a candidate is judged by.

[Place] x ratios, developed by every system -> FOLDER/index.html, sheet.png, a PNG of each place, places.toml

Rows are ratios, columns systems, the reference last. Each place is recorded with as much around it as a network sees,
by the noise that its photo, ratio and camera always give: the same sheet shows the same noise at every run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from darkroom.evaluate import metrics, places, simulated, systems
from darkroom.evaluate.case import as_authors
from darkroom.evaluate.places import SIDE, Place
from darkroom.evaluate.systems import Plan
from darkroom.frame import CFA
from darkroom.sensor import noise
from darkroom.write import image, page

RATIOS = (1.0, 100.0, 300.0)
AROUND = 184
"""Pixels recorded beyond each side of a place: with it a window is as large as LibRaw needs for X-Trans."""
REFERENCE = "reference"
ZOOM = 2
"""Times that the picture of a single place is enlarged, pixel by pixel."""
GAP, LINE, MARGIN = 4, 16, 40
"""Pixels between crops, of a line of text, and at the left for the ratio."""
INK, PAPER = (230, 230, 225), (26, 26, 25)


@dataclass(frozen=True, eq=False)
class Judged:
    """A place at one ratio, by every system and, last, as it should be."""

    place: Place
    ratio: float
    camera: str
    crops: dict[str, NDArray[np.uint8]]
    """(SIDE, SIDE, 3) by system."""
    said: dict[str, str]
    """PSNR by system, with what was chosen on the way."""


def judge(
    chosen: Sequence[Place], plan: Plan, *, ratios: Sequence[float], cameras: Sequence[str], cfa: CFA
) -> Iterator[Judged]:
    """Record and develop each place at each ratio; cameras and phases in turn.

    Raises SettingsError as `systems.develop` does, or for an unknown camera.
    """
    known = [noise.camera(name) for name in cameras]
    for row, place in enumerate(chosen):
        photo = simulated.read_photo(place.photo, (1 << 16, 1 << 16))
        top, left = max(0, place.top - AROUND), max(0, place.left - AROUND)
        window = photo[top : place.top + SIDE + AROUND, left : place.left + SIDE + AROUND]
        cut = np.s_[place.top - top :, place.left - left :]
        for column, ratio in enumerate(ratios):
            camera, phase = known[(row + column) % len(known)], simulated.PHASES[(row + column) % 4]
            dark = simulated.dark(place.photo, ratio, camera, cfa, phase)
            case = simulated.recorded(dark, window)
            made = systems.develop(case, plan)
            reference = case.reference[cut][:SIDE, :SIDE]
            crops, said = {}, {}
            for system in (name for name in made if name in systems.shown(plan)):
                crop = made[system].picture[cut][:SIDE, :SIDE]
                crops[system] = as_authors(crop)
                said[system] = ", ".join(filter(None, (f"{metrics.psnr(crop, reference):.2f} dB", made[system].chosen)))
            yield Judged(place, ratio, camera.name, crops | {REFERENCE: as_authors(reference)}, said | {REFERENCE: ""})


def write(folder: Path, judged: Sequence[Judged], notes: Sequence[str] = ()) -> Path:
    """Write the sheet, a picture of each place, the places and the page into a folder; return the page's path.

    The page embeds its pictures and needs nothing beside itself. Raises OutputError.
    """
    chosen = list(dict.fromkeys(each.place for each in judged))
    blocks, parts = [], [page.paragraph(note) for note in notes]
    for number, place in enumerate(chosen):
        rows = [each for each in judged if each.place == place]
        block = _block(rows, 1)
        blocks.append(block)
        name = "".join(letter if letter.isalnum() else "-" for letter in place.kind)
        image.write(_block(rows, ZOOM), folder / f"{number + 1}-{name}.png", exif=b"", overwrite=True)
        parts.append(page.heading(f"{place.kind}: {place.photo.name}, from row {place.top}, column {place.left}"))
        for each in rows:
            parts.append(page.paragraph(f"x{each.ratio:g}, {each.camera}"))
            parts.append(page.row([page.picture(crop, _caption(each, name)) for name, crop in each.crops.items()]))
    image.write(_abreast(blocks), folder / "sheet.png", exif=b"", overwrite=True)
    (folder / "places.toml").write_text(places.to_toml(chosen), encoding="utf-8")
    page.write(folder / "index.html", "darkroom evaluate: places", parts)
    return folder / "index.html"


def _caption(judged: Judged, system: str) -> str:
    return f"{system}: {judged.said[system]}" if judged.said[system] else system


def _block(rows: Sequence[Judged], zoom: int) -> NDArray[np.uint8]:
    """One place: the kind and the systems' names on top, a row of crops for each ratio."""
    side, systems_ = SIDE * zoom, list(rows[0].crops)
    width = MARGIN + len(systems_) * (side + GAP)
    block = Image.new("RGB", (width, 2 * LINE + len(rows) * (side + GAP)), PAPER)
    draw, font = ImageDraw.Draw(block), ImageFont.load_default(12)
    draw.text((0, 0), f"{rows[0].place.kind}: {rows[0].place.photo.name}", INK, font)
    for i, system in enumerate(systems_):
        draw.text((MARGIN + i * (side + GAP), LINE), _fitting(draw, system, side, font), INK, font)
    for j, each in enumerate(rows):
        top = 2 * LINE + j * (side + GAP)
        draw.text((0, top), f"x{each.ratio:g}", INK, font)
        for i, crop in enumerate(each.crops.values()):
            large = crop.repeat(zoom, 0).repeat(zoom, 1)
            block.paste(Image.fromarray(large), (MARGIN + i * (side + GAP), top))
    return np.asarray(block)


def _fitting(
    draw: ImageDraw.ImageDraw, text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> str:
    """Leave out the start of a name that is too long: networks of one folder differ at the end."""
    while text and draw.textlength(text, font) > width:
        text = text[1:]
    return text


def _abreast(blocks: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Set the places, all of one size, in two columns: a screen is wide."""
    height, width = (length + LINE for length in blocks[0].shape[:2])
    sheet = np.full((-(-len(blocks) // 2) * height, 2 * width if len(blocks) > 1 else width, 3), PAPER, np.uint8)
    for index, block in enumerate(blocks):
        top, left = index // 2 * height, index % 2 * width
        sheet[top : top + block.shape[0], left : left + block.shape[1]] = block
    return sheet
