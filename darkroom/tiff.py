"""TIFF directories, which raw files, EXIF blocks and DNGs are made of: read from untrusted bytes, and laid out.

open file, place -> {tag: Field}; {tag: Field, or {tag: Field} nested} -> little-endian bytes.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SIGNED_RATIONAL = 1, 2, 3, 4, 5, 7, 10
"""Field types (TIFF 6.0, p. 15)."""
_CODE = {BYTE: "B", SHORT: "H", LONG: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I"}
_CODE |= {RATIONAL: "2I", SIGNED_RATIONAL: "2i"}  # numerator and denominator
_CODE |= {ASCII: "s", UNDEFINED: "s", 129: "s"}  # no numbers; 129 is UTF-8 (Exif 3.0)
"""Field type -> struct code of one value."""
_SIZE = {kind: struct.calcsize("<" + code) for kind, code in _CODE.items()}

_HEADS = frozenset({b"II*\0", b"MM\0*", b"IIRO", b"IIRS", b"MMOR", b"IIU\0"})
"""What TIFF-like files begin with: TIFF, Olympus ORF, Panasonic RW2."""
_MOST_ENTRIES, _LONGEST = 512, 4096
"""Entries of a directory and bytes of a value looked at; DNGs have about 100, and black levels of 288 bytes."""
_LONGER = {51008: 1 << 20}
"""Tag -> bytes, where more is looked at: OpcodeList1 may list thousands of bad sites."""
_LARGEST_DENOMINATOR = 1_000_000


@dataclass(frozen=True)
class Field:
    """The value of one tag."""

    kind: int
    """Field type."""
    value: bytes
    """Little-endian."""


Fields = dict[int, Field]
"""A directory, by tag."""


def header(file: BinaryIO, start: int) -> tuple[str, int]:
    """Read the header of the TIFF at byte `start`: its byte order for struct, and the place of IFD0, 0 for no TIFF."""
    file.seek(start)
    head = file.read(8)
    order = ">" if head.startswith(b"M") else "<"
    if head[:4] not in _HEADS or len(head) < 8:
        return order, 0
    return order, struct.unpack(order + "I", head[4:])[0]


def read(file: BinaryIO, start: int, at: int, order: str) -> tuple[Fields, int]:
    """Read the directory `at` bytes into the TIFF at `start`, and where the next one lies, 0 for none.

    What is cut off, too long or of no known type is left out; of a tag told twice the first holds.
    """
    file.seek(start + at)
    listed = int.from_bytes(file.read(2), "big" if order == ">" else "little")
    if at < 8 or not listed:
        return {}, 0
    listing = file.read(12 * min(listed, _MOST_ENTRIES) + 4)
    found: Fields = {}
    for tag, kind, count, place in struct.iter_unpack(order + "HHI4s", listing[: len(listing) // 12 * 12]):
        size = _SIZE.get(kind, 0) * count
        if tag in found or not 0 < size <= _LONGER.get(tag, _LONGEST):
            continue
        value = place[:size]
        if size > 4:
            file.seek(start + struct.unpack(order + "I", place)[0])
            value = file.read(size)
        if len(value) == size:
            found[tag] = Field(kind, value if order == "<" else _turned(value, kind))
    following = listing[12 * listed :]
    return found, struct.unpack(order + "I", following)[0] if len(following) == 4 else 0


def _turned(value: bytes, kind: int) -> bytes:
    unit = struct.calcsize("<" + _CODE[kind][-1])
    return np.frombuffer(value, f">u{unit}").astype(f"<u{unit}").tobytes()


def numbers(fields: Fields, tag: int) -> list[float]:
    """Return the numbers of a tag; none where it is missing, holds no numbers, or divides by zero."""
    if tag not in fields or (code := _CODE[fields[tag].kind]) == "s":
        return []
    found = [number for (number,) in struct.iter_unpack("<" + code[-1], fields[tag].value)]
    if len(code) == 1:
        return found
    over, under = found[::2], found[1::2]
    return [] if 0 in under else [a / b for a, b in zip(over, under, strict=True)]


def whole(fields: Fields, tag: int) -> list[int]:
    """Return the whole numbers of a tag; none where it is missing or holds anything else."""
    found = numbers(fields, tag)
    sound = all(0 <= number < 2**32 and number % 1 == 0 for number in found)
    return [int(number) for number in found] if sound else []


def first(fields: Fields, tag: int) -> int:
    """Return the first whole number of a tag, 0 where there is none."""
    return (whole(fields, tag) or [0])[0]


def field(kind: int, value: ArrayLike) -> Field:
    """Make a field of a text or of numbers; fractions are kept to a millionth."""
    if kind == ASCII:
        return Field(kind, str(value).encode() + b"\0")
    told = np.ravel(value).tolist()
    if kind in (RATIONAL, SIGNED_RATIONAL):
        fractions = [Fraction(number).limit_denominator(_LARGEST_DENOMINATOR) for number in told]
        told = [part for fraction in fractions for part in fraction.as_integer_ratio()]
    return Field(kind, struct.pack(f"<{len(told)}{_CODE[kind][-1]}", *told))


def block(directory: Mapping[int, Field | Fields]) -> bytes:
    """Lay out a whole TIFF of one directory and those nested in it."""
    return struct.pack("<2sHI", b"II", 42, 8) + lay_out(directory, 8)


def lay_out(directory: Mapping[int, Field | Fields], at: int) -> bytes:
    """Lay out a directory that begins `at` bytes into its TIFF; longer values and nested directories lie behind it."""
    behind = at + 2 + 12 * len(directory) + 4
    listing, values = struct.pack("<H", len(directory)), b""
    for tag, entry in sorted(directory.items()):
        place = behind + len(values)
        if isinstance(entry, dict):
            values += lay_out(entry, place)
            entry = field(LONG, place)
        data = entry.value
        if len(data) > 4:
            values += data + bytes(len(data) % 2)  # a value begins at an even byte
            data = struct.pack("<I", place)
        listing += struct.pack("<HHI4s", tag, entry.kind, len(entry.value) // _SIZE[entry.kind], data)
    return listing + bytes(4) + values
