"""AVIF of 10 or 12 bits: libavif's file by imagecodecs, which knows no EXIF, and the EXIF put into it.

The container is ISO-BMFF (ISO 14496-12, HEIF 23008-12): box `meta` lists items, says where their bytes lie, and what
refers to what. An item is added to each list, and its bytes to the end of the file.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from darkroom.colour import Space

_PRIMARIES: dict[Space, int] = {"srgb": 1, "display-p3": 12, "rec2020": 9}
"""Code points of ITU-T H.273; it has none for ProPhoto."""
_SRGB_CURVE, _BT601 = 13, 6
_SPEED = 6
"""libavif's default, as Pillow has it for 8 bits; imagecodecs' own is its slowest."""
SPACES = frozenset(_PRIMARIES)


def encode(picture: NDArray[np.uint16], *, bits: int, quality: int, space: Space, exif: bytes) -> bytes:
    """Encode (H, W, 3) uint16, 0..65535, of a space in SPACES as AVIF of 10 or 12 bits, without chroma subsampling."""
    from imagecodecs import avif_encode

    codes = np.right_shift(picture, 16 - bits)
    file = bytes(
        avif_encode(
            np.ascontiguousarray(codes),
            quality,
            bitspersample=bits,
            pixelformat="444",
            primaries=_PRIMARIES[space],
            transfer=_SRGB_CURVE,
            matrix=_BT601,
            speed=_SPEED,
        )
    )
    return _with_exif(file, exif) if exif else file


def _with_exif(file: bytes, exif: bytes) -> bytes:
    """Add an Exif item that describes the picture, and its bytes behind all others."""
    outer = _boxes(file)
    at = next(start for kind, start, _ in outer if kind == b"meta")
    meta = file[at : next(stop for kind, _, stop in outer if kind == b"meta")]
    inner = {kind: meta[start:stop] for kind, start, stop in _boxes(meta[12:], 12)}
    primary = struct.unpack_from(">H", inner[b"pitm"], 12)[0]
    (count,) = struct.unpack_from(">H", inner[b"iinf"], 12)
    number = count + 1  # libavif counts its items from 1
    item = _box(b"infe", struct.pack(">IHH4s", 2 << 24, number, 0, b"Exif") + b"\0")
    inner[b"iinf"] = _box(b"iinf", inner[b"iinf"][8:12] + struct.pack(">H", number) + inner[b"iinf"][14:] + item)
    reference = _box(b"cdsc", struct.pack(">HHH", number, 1, primary))
    known = inner.get(b"iref", _box(b"iref", bytes(4)))
    inner[b"iref"] = _box(b"iref", known[8:] + reference)
    payload = bytes(4) + exif  # where its TIFF header begins, then the block
    places = _places(inner[b"iloc"])
    longer = sum(map(len, inner.values())) + 12 - len(meta) + 14  # and one item in iloc
    end = len(file) + longer + 8
    inner[b"iloc"] = _placed([(name, [(place + longer, size) for place, size in spots]) for name, spots in places]
                             + [(number, [(end, len(payload))])])  # fmt: skip
    whole = _box(b"meta", meta[8:12] + b"".join(inner.values()))
    assert len(whole) - len(meta) == longer
    return file[:at] + whole + file[at + len(meta) :] + _box(b"mdat", payload)


def _boxes(data: bytes, shift: int = 0) -> list[tuple[bytes, int, int]]:
    """Kind, first byte and last + 1 of each box, header included."""
    found, at = [], 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        size = size or len(data) - at
        found.append((kind, at + shift, at + size + shift))
        at += size
    return found


def _places(box: bytes) -> list[tuple[int, list[tuple[int, int]]]]:
    """Read `iloc` as libavif writes it: version 0, offsets and lengths of 4 bytes, no base."""
    version, sizes, count = box[8], box[12:14], struct.unpack_from(">H", box, 14)[0]
    assert version == 0 and sizes == b"\x44\x00", (version, sizes)
    items, at = [], 16
    for _ in range(count):
        name, _, extents = struct.unpack_from(">HHH", box, at)
        items.append((name, [struct.unpack_from(">II", box, at + 6 + 8 * each) for each in range(extents)]))
        at += 6 + 8 * extents
    return items


def _placed(items: list[tuple[int, list[tuple[int, int]]]]) -> bytes:
    body = bytes(4) + b"\x44\x00" + struct.pack(">H", len(items))
    for name, spots in items:
        body += struct.pack(">HHH", name, 0, len(spots)) + b"".join(struct.pack(">II", *spot) for spot in spots)
    return _box(b"iloc", body)


def _box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(data), kind) + data
