"""The file formats of `develop`: what their names end in, and which options suit them.

-o and --format  ->  a suffix, and by FORMATS the format
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from darkroom.errors import SettingsError

SUFFIXES = {"png": ".png", "tiff": ".tif", "jpeg": ".jpg", "dng": ".dng", "avif": ".avif", "jxl": ".jxl"}
FORMATS = {".png": "png", ".tif": "tiff", ".tiff": "tiff", ".jpg": "jpeg", ".jpeg": "jpeg", ".dng": "dng"}
FORMATS |= {".avif": "avif", ".jxl": "jxl"}
BITS: dict[str, Literal[8, 16]] = {"png": 8, "tiff": 16, "jpeg": 8, "dng": 16, "avif": 8, "jxl": 16}
"""Bits of a sample where the user does not say."""
FINISHING = ("exposure", "stretch", "tone", "contrast", "highlights", "sharpen", "long_edge", "megapixels")
"""Parameters that finish a picture, and the colour space beside them: a DNG is finished by what opens it."""


def suffix(output: str | None, format: str | None) -> str:
    """Tell what pictures' names end in: as in -o where that names a picture, else by format.

    Raises SettingsError where the two contradict each other.
    """
    named = named_by(output)
    if not named:
        return SUFFIXES[format or "png"]
    if format and FORMATS[named.lower()] != format:
        raise SettingsError(f"{output}: is no name for --format {format}; leave one of them out")
    return named


def named_by(output: str | None) -> str:
    """What the name of a picture ends in; "" where -o names none, but a folder, say."""
    named = "" if output is None or os.path.isdir(output) else os.path.splitext(output)[1]
    return named if named.lower() in FORMATS else ""


def suits(parameter: str, value: object, kind: str) -> bool:
    """Tell whether a parameter of `develop` can hold a value where pictures are of this format."""
    if parameter in ("compression", "tiled"):
        return kind == "tiff" or value in (False, "none")
    if parameter == "colour_space":
        return kind not in ("jxl", "dng") or value == "srgb"
    if parameter == "bits":
        from darkroom.write import image

        return str(value) in map(str, image.DEPTHS[SUFFIXES[kind]])
    return kind != "dng" or parameter not in FINISHING or not value


def check(suffix: str, chosen: Mapping[str, Any]) -> None:
    """Refuse what does not suit a format, by its suffix, of the parameters of `develop`; raises SettingsError."""
    from darkroom.write import image

    kind, space = FORMATS[suffix.lower()], chosen["colour_space"]
    depth = chosen["bits"] or BITS[kind]
    given = [name for name in (*FINISHING, "colour_space") if not suits(name, chosen[name], kind)]
    if kind == "dng" and given:
        what, them = ("finishes", "it") if len(given) == 1 else ("finish", "them")
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise SettingsError(f"{options}: {what} a picture, and a DNG is finished by what opens it; leave {them} out")
    if kind == "avif" and depth > 8 and space == "prophoto":
        raise SettingsError("--colour-space prophoto: an AVIF of so many bits cannot say so; give --bits 8")
    if not suits("colour_space", space, kind):
        raise SettingsError(f"--colour-space {space}: a .jxl holds srgb; choose another --format, or leave it out")
    image.check(Path(f"*{suffix}"), depth)
    if not all(suits(name, chosen[name], kind) for name in ("compression", "tiled")):
        raise SettingsError("--compression, --tiled: are for TIFF; add --format tiff, or leave them out")
