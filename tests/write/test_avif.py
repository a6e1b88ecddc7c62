"""Deep AVIF: its boxes, where its items lie, and what is written into it beside the picture."""

import struct

import imagecodecs
import numpy as np
import pytest

from darkroom.write import avif

EXIF = b"II*\0\x08\0\0\0 not really"


def test_it_is_encoded_at_libavifs_pace(monkeypatch):
    """At imagecodecs' own, its slowest, a photo of 24 MP takes half an hour."""
    import imagecodecs

    asked, encode = {}, imagecodecs.avif_encode
    monkeypatch.setattr(imagecodecs, "avif_encode", lambda *given, **how: asked.update(how) or encode(*given, **how))
    avif.encode(np.zeros((8, 8, 3), np.uint16), bits=10, quality=95, space="srgb", exif=b"")
    assert asked["speed"] == 6


def gradient() -> np.ndarray:
    return np.linspace(0, 65535, 48 * 64 * 3).reshape(48, 64, 3).astype(np.uint16)


def encoded(exif: bytes = b"", bits: int = 12, space: str = "srgb") -> bytes:
    return avif.encode(gradient(), bits=bits, quality=95, space=space, exif=exif)


def inner(file: bytes) -> dict[bytes, bytes]:
    """The boxes within `meta`."""
    (start, stop) = next((start, stop) for kind, start, stop in avif._boxes(file) if kind == b"meta")
    return {kind: file[start + a : start + b] for kind, a, b in avif._boxes(file[start + 12 : stop], 12)}


def test_boxes_are_found_with_their_headers_and_a_last_one_may_reach_to_the_end():
    data = avif._box(b"one ", b"abc") + avif._box(b"two ", b"") + struct.pack(">I4s", 0, b"last") + b"rest"
    assert avif._boxes(data) == [(b"one ", 0, 11), (b"two ", 11, 19), (b"last", 19, 31)]
    assert avif._boxes(data[:26], 5) == [(b"one ", 5, 16), (b"two ", 16, 24)]
    assert avif._box(b"one ", b"abc") == b"\0\0\0\x0bone abc"


def test_the_list_of_places_reads_back():
    items = [(1, [(100, 20)]), (2, []), (300, [(7, 8), (1 << 20, 9)])]
    box = avif._placed(items)
    assert avif._places(box) == items and avif._boxes(box) == [(b"iloc", 0, len(box))]
    assert len(box) == 16 + 3 * 6 + 3 * 8


@pytest.mark.parametrize(("at", "value"), [(8, 1), (12, 0x88), (13, 0x40)])
def test_a_list_of_places_of_another_make_is_a_mistake(at, value):
    box = bytearray(avif._placed([(1, [(100, 20)])]))
    box[at] = value
    with pytest.raises(AssertionError):
        avif._places(bytes(box))


@pytest.mark.parametrize("bits", [10, 12])
def test_every_item_keeps_its_bytes_when_exif_is_added(bits):
    plain, told = encoded(bits=bits), encoded(EXIF, bits=bits)
    before, after = ([*avif._places(inner(file)[b"iloc"])] for file in (plain, told))
    assert [name for name, _ in after] == [*(name for name, _ in before), len(before) + 1]
    for (_, spots), (_, moved) in zip(before, after, strict=False):
        assert [plain[at : at + size] for at, size in spots] == [told[at : at + size] for at, size in moved]
    [(at, size)] = after[-1][1]
    assert told[at : at + size] == bytes(4) + EXIF and at + size == len(told)
    assert [kind for kind, _, _ in avif._boxes(told)] == [*(kind for kind, _, _ in avif._boxes(plain)), b"mdat"]
    assert avif._boxes(told)[-1][2] == len(told)
    assert np.array_equal(imagecodecs.avif_decode(plain), imagecodecs.avif_decode(told))


def test_the_exif_item_is_listed_and_describes_the_picture():
    plain, told = inner(encoded()), inner(encoded(EXIF))
    (count,) = struct.unpack_from(">H", plain[b"iinf"], 12)
    assert struct.unpack_from(">H", told[b"iinf"], 12) == (count + 1,)
    kind, start, stop = avif._boxes(told[b"iinf"][14:])[-1]
    item = told[b"iinf"][14 + start : 14 + stop]
    assert kind == b"infe" and item[8:] == b"\x02\0\0\0" + struct.pack(">HH4s", count + 1, 0, b"Exif") + b"\0"
    (primary,) = struct.unpack_from(">H", plain[b"pitm"], 12)
    references = told[b"iref"]
    kind, start, stop = avif._boxes(references[12:])[-1]
    assert references[8:12] == bytes(4) and kind == b"cdsc"
    assert references[12 + start + 8 : 12 + stop] == struct.pack(">HHH", count + 1, 1, primary)


@pytest.mark.parametrize("bits", [10, 12])
def test_samples_are_the_highest_bits_of_the_picture(bits):
    found = imagecodecs.avif_decode(encoded(bits=bits)).astype(int)
    wanted = gradient() >> 16 - bits
    assert found.shape == (48, 64, 3) and np.abs(found - wanted).mean() < 2 ** (bits - 8)
    assert found.max() >= 0.98 * 2**bits and found.max() < 2**bits


@pytest.mark.parametrize(("space", "primaries"), [("srgb", 1), ("display-p3", 12), ("rec2020", 9)])
def test_the_space_is_told_by_its_code_points(space, primaries):
    colour = inner(encoded(space=space))[b"iprp"].split(b"nclx")[1]
    assert struct.unpack_from(">3H", colour) == (primaries, 13, 6) and space in avif.SPACES
