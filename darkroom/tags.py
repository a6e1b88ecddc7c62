"""Raw file -> the few TIFF tags that LibRaw knows and rawpy does not pass on.

file -> camera name; black level of each site, exactly; what kind of samples a DNG holds.

LibRaw cuts the fraction off a DNG's black level, does not turn its pattern where it moves an odd active area, and
rawpy reports only the smallest level of an X-Trans sensor. Amplified x300, half a DN of a 10-bit sensor is a sixth of
the whole scale. So the levels are read here. The file is untrusted: a few directories are read, and what does not
parse is left out.
"""

import struct
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

COLOUR_FILTER_ARRAY, LINEAR_RAW = 32803, 34892
"""Values of PhotometricInterpretation (DNG 1.7, chapter 4)."""

_RAW = (COLOUR_FILTER_ARRAY, LINEAR_RAW)

_FORMAT = {1: "B", 2: "s", 3: "H", 4: "I", 5: "I", 6: "b", 8: "h", 9: "i", 10: "i", 11: "f", 12: "d", 13: "I"}
"""TIFF field type -> struct code; 5 and 10 hold a numerator and a denominator."""
_RATIONALS = (5, 10)
_TEXT = 2
_HEADS = (b"II*\0", b"MM\0*", b"IIRO", b"IIRS", b"MMOR", b"IIU\0")
"""What TIFF-like files begin with: TIFF, Olympus ORF, Panasonic RW2."""
_MOST_ENTRIES, _MOST_DIRECTORIES, _LONGEST = 512, 12, 4096
"""Entries of a directory, directories of a file, bytes of a value looked at; DNGs have about 100, 5 and 288."""
_RAF_MODEL, _RAF_SAMPLES = slice(28, 60), 100
"""Bytes of a Fuji RAF that hold the model, and the place of the TIFF around its samples, big-endian."""
_CR3_REACH = 1 << 16
"""Bytes of a Canon CR3 among which its CMT1 box lies, a TIFF with make and model."""
_LONGEST_NAME = 64


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


@dataclass
class _Directory:
    """The numbers and texts of one TIFF directory, by tag."""

    numbers: dict[int, list[float]] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)

    def whole(self, tag: int) -> list[int]:
        """Return the whole numbers of a tag; none where it is missing or holds anything else."""
        numbers = self.numbers.get(tag, [])
        sound = all(0 <= number < 2**32 and number % 1 == 0 for number in numbers)
        return [int(number) for number in numbers] if sound else []

    def first(self, tag: int) -> int:
        """Return the first whole number of a tag, 0 where there is none."""
        return (self.whole(tag) or [0])[0]


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
    return _tiff(head, directories)


def _tiff(head: bytes, directories: list[_Directory]) -> Tags:
    if not directories:
        return Tags(head)
    photo = max(directories, key=lambda each: (each.first(262) in _RAW, each.first(256) * each.first(257)))
    found = Tags(
        head,
        _camera(directories),
        dng=50706 in directories[0].numbers,  # DNGVersion
        interpretation=photo.first(262),
        compression=photo.first(259),
        filters=tuple(photo.whole(50710)),
    )
    # Where a DNG corrects each row or column (BlackLevelDeltaV and H), LibRaw adds their average.
    if not found.dng or found.interpretation != COLOUR_FILTER_ARRAY or 50715 in photo.numbers or 50716 in photo.numbers:
        return found
    levels, shape = photo.numbers.get(50714, [0.0]), photo.whole(50713) or [1, 1]  # BlackLevel, BlackLevelRepeatDim
    area = photo.whole(50829)  # ActiveArea: top, left, bottom, right
    starts = (area[0], area[1]) if len(area) == 4 else (0, 0)
    return replace(found, black=_pattern(levels, shape), black_starts=starts)


def _raf(file: BinaryIO, head: bytes) -> Tags:
    """Read a Fuji RAF, whose black levels, one per site of the cell, stand in a directory of its own (0xf000)."""
    camera = "Fujifilm " + _clean(head[_RAF_MODEL])
    samples = int.from_bytes(head[_RAF_SAMPLES:104], "big")
    for directory in _directories(file, samples):
        levels = directory.numbers.get(0xF00A, [])
        side = int(len(levels) ** 0.5)
        if side:
            return Tags(head, camera, black=_pattern(levels, [side, side]))
    return Tags(head, camera)


def _pattern(levels: list[float], shape: list[int]) -> NDArray[np.float64] | None:
    """Shape black levels into the pattern the sensor repeats; None where the numbers make no sense."""
    if len(shape) != 2 or shape[0] * shape[1] != len(levels) or not all(0 <= level < 65536 for level in levels):
        return None
    return np.array(levels, np.float64).reshape(shape)


def _camera(directories: list[_Directory]) -> str:
    """Join make and model, without saying the make twice."""
    texts = directories[0].texts if directories else {}
    make, model = texts.get(271, ""), texts.get(272, "") or texts.get(50708, "")  # Make, Model, UniqueCameraModel
    said = make.split(" ")[0].lower()
    return (model if model.lower().startswith(said) else f"{make} {model}").strip()


def _directories(file: BinaryIO, start: int) -> list[_Directory]:
    """Read the directories of the TIFF at byte `start`: IFD0 first, then those that follow or hang below it."""
    file.seek(start)
    head = file.read(8)
    if head[:4] not in _HEADS or len(head) < 8:
        return []
    order = ">" if head.startswith(b"M") else "<"
    waiting, found = [struct.unpack(order + "I", head[4:])[0]], []
    seen: set[int] = set()
    while waiting and len(found) < _MOST_DIRECTORIES:
        at = waiting.pop(0)
        if at in seen or at < 8:
            continue
        seen.add(at)
        directory, following = _directory(file, start, at, order)
        found.append(directory)
        waiting += [*directory.whole(330), *directory.whole(0xF000), following]  # SubIFDs, Fuji's own
    return found


def _directory(file: BinaryIO, start: int, at: int, order: str) -> tuple[_Directory, int]:
    """Read the directory `at` bytes into the TIFF at `start`, and where the next one lies, 0 for none."""
    directory = _Directory()
    file.seek(start + at)
    count = int.from_bytes(file.read(2), "big" if order == ">" else "little")
    if not 0 < count <= _MOST_ENTRIES:
        return directory, 0
    listing = file.read(12 * count + 4)
    entries = listing[: min(12 * count, len(listing) // 12 * 12)]
    for tag, kind, length, place in struct.iter_unpack(order + "HHI4s", entries):
        if kind not in _FORMAT:
            continue
        length *= 2 if kind in _RATIONALS else 1
        size = struct.calcsize(order + _FORMAT[kind]) * length
        if not 0 < size <= _LONGEST:
            continue
        value = place[:size]
        if size > 4:
            file.seek(start + struct.unpack(order + "I", place)[0])
            value = file.read(size)
        if len(value) < size:
            continue
        if kind == _TEXT:
            directory.texts.setdefault(tag, _clean(value))
            continue
        numbers = struct.unpack(f"{order}{length}{_FORMAT[kind]}", value)
        if kind in _RATIONALS:
            with suppress(ZeroDivisionError):
                fractions = zip(numbers[::2], numbers[1::2], strict=True)
                directory.numbers.setdefault(tag, [over / under for over, under in fractions])
        else:
            directory.numbers.setdefault(tag, list(numbers))
    following = listing[12 * count :]
    return directory, struct.unpack(order + "I", following)[0] if len(following) == 4 else 0


def _clean(value: bytes) -> str:
    """Turn a tag's text into one short line fit for a message."""
    text = value.split(b"\0")[0].decode("utf-8", "replace")
    return " ".join("".join(c for c in text if c.isprintable()).split())[:_LONGEST_NAME]
