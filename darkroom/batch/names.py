"""Names of pictures, made of what is known of the photo: `-o 'out/{date:%Y-%m-%d}/{stem}-x{ratio:.0f}.png'`.

template, facts -> path; ratio and model are known only when the picture is
"""

import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from string import Formatter
from typing import Literal

from darkroom.decode import tags
from darkroom.errors import SettingsError
from darkroom.write import exif

FIELDS = ("date", "camera", "stem", "ratio", "model")
LATE = ("ratio", "model")
"""Known only when the picture is."""

Conflict = Literal["error", "skip", "overwrite", "unique", "older"]
_TRIED = {"date": datetime(2024, 2, 29, 23, 59, 58), "camera": "A B", "stem": "IMG", "ratio": 123.4, "model": "fast"}
_NO_NAME = re.compile(r'[\\/:*?"<>|\x00-\x1f]')
"""What some system takes for more than a letter of a name."""


@dataclass(frozen=True)
class Facts:
    """What a photo says of itself, as far as names have a use for it."""

    stem: str
    taken: datetime
    camera: str


def facts(path: Path) -> Facts:
    """Look at a photo: when it was taken, or else when the file was last changed, and the camera."""
    try:
        camera = tags.read(path).camera
        changed = path.stat().st_mtime
    except OSError:  # raw.read will say what is wrong with it
        camera, changed = "", 0.0
    return Facts(path.stem, exif.taken(path) or datetime.fromtimestamp(changed), camera)


def is_template(place: str | None) -> bool:
    """Tell a template from a name, and from a folder that happens to be called so."""
    return place is not None and ("{" in place or "}" in place) and not os.path.isdir(place)


def check(template: str) -> None:
    """Refuse a template that no photo can fill; raises SettingsError."""
    if ".." in Path(template[len(str(folder(template))) :]).parts:
        raise SettingsError(f"-o {template}: leaves the folder {folder(template)}; leave .. out")
    try:
        for _, field, spec, conversion in Formatter().parse(template):
            if field is None:
                continue
            if field not in FIELDS or conversion:
                raise SettingsError(f"-o {template}: unknown field {field}; known are {', '.join(FIELDS)}")
            format(_TRIED[field], spec or "")
    except ValueError as error:
        raise SettingsError(f"-o {template}: {str(error).lower()}; write a field as in {{ratio:.0f}}") from None


def late(template: str) -> bool:
    """Tell whether the name is known only when the picture is."""
    return any(field in LATE for _, field, _, _ in Formatter().parse(template))


def folder(template: str) -> Path:
    """The folder that no name of the template leaves."""
    fixed = template.split("{")[0]
    return Path(fixed[: max(fixed.rfind("/"), fixed.rfind(os.sep)) + 1])


def filled(template: str, told: Facts, *, ratio: float | None = None, model: str | None = None) -> str:
    """Fill in what is known; fields of what is not stay as they are.

    >>> filled("{camera}/{stem}-x{ratio:.0f}", Facts("a", datetime.now(), "../Sony"), ratio=9.6)
    '_Sony/a-x10'
    """
    known = {"date": told.taken, "camera": told.camera, "stem": told.stem, "ratio": ratio, "model": model}
    text = ""
    for literal, field, spec, _ in Formatter().parse(template):
        text += literal
        if field is None:
            continue
        value = known[field]
        if value is None:
            text += f"{{{field}:{spec}}}" if spec else f"{{{field}}}"
        else:
            text += format(_plain(value) if isinstance(value, str) else value, spec or "")
    return text


def _plain(value: str) -> str:
    """Make one part of a name, which leads nowhere else."""
    return _NO_NAME.sub("_", value).strip(" .") or "unknown"
