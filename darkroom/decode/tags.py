"""Raw file -> the few TIFF tags that LibRaw knows and rawpy does not pass on.

file -> camera name; black level of each site, exactly; what kind of samples a DNG holds.

LibRaw cuts the fraction off a DNG's black level, does not turn its pattern where it moves an odd active area, and
rawpy reports only the smallest level of an X-Trans sensor. Amplified x300, half a DN of a 10-bit sensor is a sixth of
the whole scale. So the levels are read here. The file is untrusted: a few directories are read, and what does not
parse is left out.
"""

import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from darkroom import tiff

COLOUR_FILTER_ARRAY, LINEAR_RAW = 32803, 34892
"""Values of PhotometricInterpretation (DNG 1.7, chapter 4)."""

_RAW = (COLOUR_FILTER_ARRAY, LINEAR_RAW)

_MOST_DIRECTORIES = 12
"""Directories read of a file; DNGs have about 5."""
_RAF_MODEL, _RAF_SAMPLES = slice(28, 60), 100
"""Bytes of a Fuji RAF that hold the model, and the place of the TIFF around its samples, big-endian."""
FULL_ISO = 65535
"""What EXIF says of an ISO that is this or more."""
_CR3_REACH = 1 << 16
"""Bytes of a Canon CR3 among which its CMT1 box lies, a TIFF with make and model."""
_LONGEST_NAME = 64
_FIX_CONSTANT, _FIX_LIST = 4, 5
"""Opcodes of a DNG that tell of bad sites."""
_MOST_DEFECTS = 1 << 16
"""Bad points, or sites of a bad area, that are believed."""


@dataclass(frozen=True)
class Tags:
    """What the file's tags say; empty where they say nothing."""

    head: bytes = b""
    """The first bytes of the file, by which it can be recognised."""
    camera: str = ""
    """Make and model."""
    dng: bool = False
    interpretation: int = 0
    """PhotometricInterpretation of the raw image, else of the largest."""
    compression: int = 0
    """Compression of that image."""
    filters: tuple[int, ...] = ()
    """CFAPlaneColor: 0 red, 1 green, 2 blue, 3 cyan, 4 magenta, 5 yellow, 6 white."""
    black: NDArray[np.float64] | None = None
    """(h, w) DN, the pattern of black levels that the sensor repeats."""
    black_starts: tuple[int, int] | None = None
    """Row and column of the sensor, margins included, where that pattern begins; None: where the picture does."""
    crop: tuple[float, ...] = ()
    """Top, left, height and width of what a DNG wants shown, in sites of its picture (DefaultCropOrigin and Size)."""
    defects: NDArray[np.intp] = field(default_factory=lambda: np.empty((0, 2), np.intp))
    """(n, 2) rows and columns of the sensor, margins included, that the file calls bad (FixBadPixelsList)."""
    iso: float = 0.0
    """As EXIF tells it, which LibRaw does not read of every DNG; 0 where it does not."""
    defect_value: int | None = None
    """DN that marks a bad site (FixBadPixelsConstant)."""


def read(path: Path) -> Tags:
    """Read the tags of a raw file of any make; raises OSError where the file itself cannot be read."""
    with path.open("rb") as file:
        head = file.read(104)
        if head.startswith(b"FUJIFILM"):
            return _raf(file, head)
        if head[4:8] == b"ftyp":
            file.seek(0)
            at = file.read(_CR3_REACH).find(b"CMT1") + 4
            return Tags(head, _camera(_directories(file, at))) if at >= 8 else Tags(head)
        directories = _directories(file, 0)
        iso = _iso(file, directories)
    return replace(_tiff(head, directories), iso=iso)


def _iso(file: BinaryIO, directories: list[tiff.Fields]) -> float:
    """Read PhotographicSensitivity, or where that does not fit its 16 bits (Exif 2.32, 4.6.5) the recommended exposure
    index, or else the standard output sensitivity.
    """
    if not directories:
        return 0.0
    order, _ = tiff.header(file, 0)
    exif, _ = tiff.read(file, 0, tiff.first(directories[0], 34665), order)
    found = tiff.first(exif, 34855) or tiff.first(directories[0], 34855)
    return float(tiff.first(exif, 34866) or tiff.first(exif, 34865) or found) if found == FULL_ISO else float(found)


def _tiff(head: bytes, directories: list[tiff.Fields]) -> Tags:
    if not directories:
        return Tags(head)
    photo = max(directories, key=_importance)
    found = Tags(
        head,
        _camera(directories),
        dng=bool(tiff.numbers(directories[0], 50706)),  # DNGVersion
        interpretation=tiff.first(photo, 262),
        compression=tiff.first(photo, 259),
        filters=tuple(tiff.whole(photo, 50710)),
    )
    if found.dng:
        found = replace(found, crop=_crop(photo))
    if found.dng and 51008 in photo:  # OpcodeList1: what to do to the samples as they lie in the file
        defects, value = _defects(photo[51008].value)
        found = replace(found, defects=defects, defect_value=value)
    # Where a DNG corrects each row or column (BlackLevelDeltaV and H), LibRaw adds their average.
    corrected = tiff.numbers(photo, 50715) or tiff.numbers(photo, 50716)
    if not found.dng or found.interpretation != COLOUR_FILTER_ARRAY or corrected:
        return found
    levels, shape = tiff.numbers(photo, 50714) or [0.0], tiff.whole(photo, 50713) or [1, 1]  # BlackLevel, and its shape
    area = tiff.whole(photo, 50829)  # ActiveArea: top, left, bottom, right
    starts = (area[0], area[1]) if len(area) == 4 else (0, 0)
    return replace(found, black=_pattern(levels, shape), black_starts=starts)


def _crop(photo: tiff.Fields) -> tuple[float, ...]:
    """Read DefaultCropOrigin and DefaultCropSize: sites from the top left of ActiveArea, before DefaultScale."""
    origin, size = tiff.numbers(photo, 50719) or [0.0, 0.0], tiff.numbers(photo, 50720)
    if len(origin) != 2 or len(size) != 2 or not all(0 <= number < 1 << 24 for number in (*origin, *size)):
        return ()
    return origin[1], origin[0], size[1], size[0]


def _defects(opcodes: bytes) -> tuple[NDArray[np.intp], int | None]:
    """Read FixBadPixelsConstant and FixBadPixelsList (DNG 1.7, chapter 7) from an opcode list, big-endian always."""
    points: list[NDArray[np.intp]] = [np.empty((0, 2), np.intp)]
    value, at = None, 4
    while at + 16 <= len(opcodes):
        kind, _, _, size = struct.unpack_from(">4I", opcodes, at)
        data = opcodes[at + 16 : at + 16 + size]
        at += 16 + size
        if kind == _FIX_CONSTANT and len(data) >= 4:
            value = struct.unpack_from(">I", data)[0]
        elif kind == _FIX_LIST and len(data) >= 12:
            _, singles, areas = struct.unpack_from(">3I", data)
            numbers = np.frombuffer(data[12 : 12 + len(data[12:]) // 4 * 4], ">u4").astype(np.intp)
            if len(numbers) != 2 * singles + 4 * areas or singles + areas > _MOST_DEFECTS:
                continue
            points.append(numbers[: 2 * singles].reshape(-1, 2))
            for top, left, bottom, right in numbers[2 * singles :].reshape(-1, 4):
                if bottom > top and right > left and (bottom - top) * (right - left) <= _MOST_DEFECTS:
                    points.append(np.argwhere(np.ones((bottom - top, right - left), bool)) + (top, left))
    return np.concatenate(points), value


def _importance(directory: tiff.Fields) -> tuple[bool, int]:
    return tiff.first(directory, 262) in _RAW, tiff.first(directory, 256) * tiff.first(directory, 257)


def _raf(file: BinaryIO, head: bytes) -> Tags:
    """Read a Fuji RAF, whose black levels, one per site of the cell, stand in a directory of its own (0xf000)."""
    camera = "Fujifilm " + _clean(head[_RAF_MODEL])
    samples = int.from_bytes(head[_RAF_SAMPLES:104], "big")
    for directory in _directories(file, samples):
        levels = tiff.numbers(directory, 0xF00A)
        side = int(len(levels) ** 0.5)
        if side:
            return Tags(head, camera, black=_pattern(levels, [side, side]))
    return Tags(head, camera)


def _pattern(levels: list[float], shape: list[int]) -> NDArray[np.float64] | None:
    """Shape black levels into the pattern the sensor repeats; None where the numbers make no sense."""
    if len(shape) != 2 or shape[0] * shape[1] != len(levels) or not all(0 <= level < 65536 for level in levels):
        return None
    return np.array(levels, np.float64).reshape(shape)


def _camera(directories: list[tiff.Fields]) -> str:
    """Join make and model, without saying the make twice."""
    told = directories[0] if directories else {}
    texts = {tag: _clean(field.value) for tag, field in told.items() if field.kind == tiff.ASCII}
    make, model = texts.get(271, ""), texts.get(272, "") or texts.get(50708, "")  # Make, Model, UniqueCameraModel
    said = make.split(" ")[0].lower()
    return (model if model.lower().startswith(said) else f"{make} {model}").strip()


def _directories(file: BinaryIO, start: int) -> list[tiff.Fields]:
    """Read the directories of the TIFF at byte `start`: IFD0 first, then those that follow or hang below it."""
    order, first = tiff.header(file, start)
    waiting, seen = [first], {0}
    found: list[tiff.Fields] = []
    while waiting and len(found) < _MOST_DIRECTORIES:
        at = waiting.pop(0)
        if at in seen:
            continue
        seen.add(at)
        directory, following = tiff.read(file, start, at, order)
        found.append(directory)
        waiting += [*tiff.whole(directory, 330), *tiff.whole(directory, 0xF000), following]  # SubIFDs, Fuji's own
    return found


def _clean(value: bytes) -> str:
    """Turn a tag's text into one short line fit for a message."""
    text = value.split(b"\0")[0].decode("utf-8", "replace")
    return " ".join("".join(c for c in text if c.isprintable()).split())[:_LONGEST_NAME]
