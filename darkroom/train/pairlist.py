"""Where pairs are named: a list as SID's, a CSV, or a folder with short/ and long/.

path  ->  [Named]: short, reference, scene, and the ratio where it is given
"""

import csv
import re
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Literal, get_args

from darkroom.batch import jobs
from darkroom.errors import SettingsError
from darkroom.train.pictures import is_picture

Shorts = Literal["all", "first", "red"]

FOLDERS = ("short", "long")

_EXPOSURE = re.compile(r"_(\d+(?:\.\d+)?)s$")
"""The end of a name of SID's: 10003_00_0.04s."""
_SHOT = re.compile(r"^[^_]+_(\d+)_")
_RED = re.compile(r"_00_0\.1s$")
"""The shorts that RED learns from; with references of 10 and 30 s their ratios are 100 and 300."""


@dataclass(frozen=True)
class Named:
    """Two files that belong together."""

    short: Path
    reference: Path
    scene: str
    ratio: float | None
    """As the source gives it."""


def read(source: Path) -> list[Named]:
    """Find the files that belong together, in the source's order.

    Names in lists are relative to the list or to the folder above it. In a folder files belong together by equal names,
    else by what comes before the first "_". Raises SettingsError where no two do.
    """
    if source.is_dir():
        return _of_folder(source)
    try:
        text = source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{source}: no list of pairs; give one, or a folder with short/ and long/") from None
    named = _of_csv(source, text) if source.suffix.lower() == ".csv" else _of_list(source, text)
    if not named:
        raise SettingsError(f"{source}: holds no pair; give a list with a short and its reference in each row")
    return named


def _of_list(source: Path, text: str) -> list[Named]:
    """Read rows such as `./Sony/short/10003_00_0.04s.ARW ./Sony/long/10003_00_10s.ARW ISO200 F9`."""
    named = []
    for number, row in enumerate(text.splitlines(), 1):
        words = row.split()
        if len(words) == 1:
            raise SettingsError(f"{source}: row {number} names one file; name a short and its reference")
        if words:
            short, reference = (_placed(source, word) for word in words[:2])
            named.append(Named(short, reference, _scene(short), None))
    return named


def _of_csv(source: Path, text: str) -> list[Named]:
    table = csv.DictReader(text.splitlines())
    if not {"short", "reference"} <= set(table.fieldnames or ()):
        raise SettingsError(f"{source}: has no columns short and reference; name them in its first row")
    named = []
    for row in table:
        short, reference = _placed(source, row["short"] or ""), _placed(source, row["reference"] or "")
        said = (row.get("ratio") or "").strip()
        try:
            ratio = float(said) if said else None
        except ValueError:
            ratio = 0.0
        if ratio is not None and not 0 < ratio < inf:
            raise SettingsError(f"{source}: row {table.line_num} has ratio {said}; give a number above 0, or none")
        named.append(Named(short, reference, (row.get("scene") or "").strip() or _scene(short), ratio))
    return named


def _placed(source: Path, name: str) -> Path:
    """Find a file that a list names: beside the list, or beside its folder."""
    places = [folder / name.strip() for folder in (source.parent, source.absolute().parent.parent)]
    there = next((place for place in places if place.is_file()), None)
    if there is None:
        raise SettingsError(f"{source}: names {name}, which is not there; put the list beside the folders it names")
    return there


def _of_folder(folder: Path) -> list[Named]:
    if not all((folder / name).is_dir() for name in FOLDERS):
        lists = sorted(path.name for path in folder.glob("*_list.txt"))
        hint = f"name one of its lists, such as {lists[0]}" if lists else "name a folder that has both, or a list"
        raise SettingsError(f"{folder}: has no folders short and long; {hint}")
    shorts, references = _raws(folder / FOLDERS[0]), _raws(folder / FOLDERS[1], pictures=True)
    by_stem = {path.stem: path for path in references}
    by_scene: dict[str, list[Path]] = {}
    for path in references:
        by_scene.setdefault(_scene(path), []).append(path)
    named = []
    for short in shorts:
        if short.stem in by_stem:
            named.append(Named(short, by_stem[short.stem], short.stem, None))
            continue
        candidates = by_scene.get(_scene(short), [])
        if not candidates:
            raise SettingsError(f"{short}: has no reference in {FOLDERS[1]}/; give both the same name, or a CSV")
        if len(candidates) > 1 and not all(_EXPOSURE.search(path.stem) for path in candidates):
            raise SettingsError(f"{short}: has {len(candidates)} references, {candidates[0].name} first; give a CSV")
        named.append(Named(short, candidates[0], _scene(short), None))  # as SID, where a scene has several
    if not named:
        raise SettingsError(f"{folder / FOLDERS[0]}: holds no raw photo; name a folder with pairs")
    return named


def _raws(folder: Path, *, pictures: bool = False) -> list[Path]:
    """List the raw files of a folder, with `pictures` those as well; a raw file goes before a picture of its name."""
    found = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    raws = [path for path in found if jobs.is_raw(path.name)]
    stems = {path.stem for path in raws}
    return raws + [path for path in found if pictures and is_picture(path) and path.stem not in stems]


def _scene(path: Path) -> str:
    return path.stem.split("_")[0]


def chosen(named: list[Named], exclude: set[str], shorts: Shorts) -> list[Named]:
    """Leave out scenes, and all but the shorts that are asked for, as `pairs.find` says."""
    if shorts not in get_args(Shorts):
        raise SettingsError(f"shorts {shorts}: unknown; choose {', '.join(get_args(Shorts))}")
    named = [each for each in named if each.scene not in exclude]
    if shorts == "red":
        return [each for each in named if _RED.search(each.short.stem)]
    if shorts == "all":
        return named
    firsts: dict[str, Path] = {}
    for each in named:
        firsts[each.scene] = min(firsts.get(each.scene, each.short), each.short, key=lambda path: path.name)
    return [each for each in named if _is_first(each.short, firsts[each.scene])]


def _is_first(short: Path, first: Path) -> bool:
    shot = _SHOT.match(short.stem) if _EXPOSURE.search(short.stem) else None
    return int(shot[1]) == 0 if shot else short == first


def seconds(path: Path) -> float | None:
    """Read an exposure time from a file's name, as SID has it: 10003_00_0.04s.ARW."""
    found = _EXPOSURE.search(path.stem)
    return float(found[1]) if found else None
