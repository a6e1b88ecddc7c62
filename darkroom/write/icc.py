"""ICC profiles, after ICC.1:2010: made here, so that the same picture gives the same file.

a colour space, and whether its light is linear -> the bytes of its profile
"""

import struct
from functools import cache

import numpy as np

from darkroom import colour
from darkroom.colour import Space

_D50 = (63190, 65536, 54061)
"""White of the profile connection space, as are the numbers below in 65536ths."""
_PRIMARIES: dict[bytes, tuple[int, ...]] = {
    b"rXYZ": (28576, 14581, 912),
    b"gXYZ": (25239, 46983, 6361),
    b"bXYZ": (9375, 3972, 46788),
}
"""XYZ of the sRGB primaries adapted to D50 by Bradford's matrix; they sum to its white."""
_UNADAPTED = (65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
"""For a space whose own white is D50."""
_NAMES: dict[Space, str] = {"srgb": "sRGB", "display-p3": "Display P3", "rec2020": "Rec. 2020", "prophoto": "ProPhoto"}
"""What pictures call the space."""
_D65_TO_D50 = (68674, 1502, -3291, 1939, 64912, -1119, -606, 988, 49262)
"""Bradford's matrix for the adaptation."""
_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
"""sRGB to light: (b v + c)^a from e on, d v below."""


@cache
def profile(space: Space, *, linear: bool) -> bytes:
    """Make the profile of a space under the sRGB curve, or under none."""
    if linear:  # an empty curve, which is none
        return _profile(f"{_NAMES[space]}, linear", space, b"curv" + struct.pack(">II", 0, 0))
    curve = b"para" + struct.pack(">IHH5i", 0, 3, 0, *(round(number * 65536) for number in _CURVE))
    return _profile(_NAMES[space] if space in ("srgb", "display-p3") else f"{_NAMES[space]}, sRGB curve", space, curve)


def _primaries(space: Space) -> dict[bytes, tuple[int, ...]]:
    if space == "srgb":
        return _PRIMARIES
    red, green, _ = np.rint(colour.to_d50(space).T * 65536).astype(int)
    columns = (red, green, np.array(_D50) - red - green)  # they sum to the white
    return {tag: tuple(column.tolist()) for tag, column in zip(_PRIMARIES, columns, strict=True)}


def _profile(name: str, space: Space, curve: bytes) -> bytes:
    """Make the ICC profile of these primaries under a curve."""
    fields = {
        b"desc": _icc_text(name),
        b"cprt": _icc_text("No copyright, use freely"),
        b"wtpt": _icc_numbers(b"XYZ ", _D50),
        b"chad": _icc_numbers(b"sf32", _UNADAPTED if space == "prophoto" else _D65_TO_D50),
        **{tag: _icc_numbers(b"XYZ ", numbers) for tag, numbers in _primaries(space).items()},
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    data = b"".join(dict.fromkeys(fields.values()))  # equal fields are stored once
    listing_end = 128 + 4 + 12 * len(fields)
    listing = struct.pack(">I", len(fields))
    for tag, value in fields.items():
        listing += struct.pack(">4sII", tag, listing_end + data.index(value), len(value))
    head = struct.pack(
        ">I4xI4s4s4s6H4s28x3i48x",
        listing_end + len(data),
        0x04300000,  # version 4.3
        b"mntr",
        b"RGB ",
        b"XYZ ",
        *(2024, 1, 1, 0, 0, 0),
        b"acsp",
        *_D50,
    )
    return head + listing + data


def _icc_text(text: str) -> bytes:
    data = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">3I4s2I", 0, 1, 12, b"enUS", len(data), 28) + data + bytes(-len(data) % 4)


def _icc_numbers(kind: bytes, numbers: tuple[int, ...]) -> bytes:
    return kind + struct.pack(f">I{len(numbers)}i", 0, *numbers)
