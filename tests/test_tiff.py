"""TIFF directories: what is laid out reads back, and what is broken is left out."""

import io
import struct

import pytest

from darkroom import tiff
from darkroom.tiff import ASCII, BYTE, LONG, RATIONAL, SHORT, SIGNED_RATIONAL, UNDEFINED, Field, Fields, field

ONE_OF_EACH = {
    256: field(BYTE, (1, 2, 3)),
    257: field(SHORT, 65535),
    258: field(LONG, (1, 2**32 - 1)),
    259: field(6, -1),
    260: field(8, (-2, 3, -4)),
    261: field(9, -(2**31)),
    262: field(11, 0.5),
    263: field(12, 1e300),
    264: field(13, 8),
    265: field(RATIONAL, (0.1, 2.8)),
    266: field(SIGNED_RATIONAL, -0.25),
    271: field(ASCII, "Käm"),
    272: Field(UNDEFINED, b"0232"),
    273: Field(129, b"UTF-8\0"),
}


def read(data: bytes, start: int = 0) -> tuple[Fields, int]:
    file = io.BytesIO(data)
    order, at = tiff.header(file, start)
    return tiff.read(file, start, at, order)


def by_hand(*entries: tuple[int, int, int, int], order: str = "<", count: int | None = None) -> bytes:
    """A TIFF of these entries: tag, type, count, and a LONG or the place of the value; the next directory at 999."""
    count = len(entries) if count is None else count
    listing = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order]
    return head + struct.pack(order + "IH", 8, count) + listing + struct.pack(order + "I", 999)


def test_every_type_of_field_reads_back():
    assert read(tiff.block(ONE_OF_EACH)) == (ONE_OF_EACH, 0)


def test_a_tiff_may_begin_anywhere():
    assert read(bytes(99) + tiff.block(ONE_OF_EACH), 99) == (ONE_OF_EACH, 0)


@pytest.mark.parametrize("head", [b"IIRO", b"IIRS", b"IIU\0"])
def test_olympus_and_panasonic_begin_otherwise(head):
    assert read(head + tiff.block(ONE_OF_EACH)[4:])[0] == ONE_OF_EACH


@pytest.mark.parametrize("data", [b"", b"II*\0\10\0\0", b"FUJIFILM", b"II*\0" + bytes(99), b"MM*\0" + bytes(99)])
def test_what_is_no_tiff_holds_nothing(data):
    assert read(data) == ({}, 0)


@pytest.mark.parametrize(
    ("kind", "layout", "numbers"),
    [(BYTE, "5B", (1, 2, 3, 4, 5)), (SHORT, "3H", (1, 2, 3)), (RATIONAL, "4I", (1, 30, 28, 10)), (12, "2d", (0.1, 2))],
)
def test_big_endian_values_come_out_little_endian(kind, layout, numbers):
    little = Field(kind, struct.pack("<" + layout, *numbers))
    count = len(tiff.numbers({1: little}, 1))
    data = by_hand((256, kind, count, 26), order=">") + struct.pack(">" + layout, *numbers)
    assert read(data) == ({256: little}, 999)


def test_nested_directories_and_long_values_begin_at_even_bytes():
    nested = {1: field(ASCII, "N"), 2: field(ASCII, "odd length"), 3: field(RATIONAL, 0.5)}
    data = tiff.block(ONE_OF_EACH | {34665: nested, 34853: nested})
    main, _ = read(data)
    assert {tag: main[tag] for tag in ONE_OF_EACH} == ONE_OF_EACH
    for pointer in (34665, 34853):
        at = tiff.first(main, pointer)
        assert at % 2 == 0
        assert tiff.read(io.BytesIO(data), 0, at, "<") == (nested, 0)
    entries = struct.iter_unpack("<HHI4s", data[10 : 10 + 12 * len(main)])
    places = [place for tag, _, _, place in entries if len(main[tag].value) > 4]
    assert places and not any(place[0] % 2 for place in places)


def test_what_is_cut_off_is_left_out_and_the_rest_kept():
    whole = tiff.block(ONE_OF_EACH)
    for end in range(len(whole)):
        found, following = read(whole[:end])
        assert found.items() <= ONE_OF_EACH.items() and following == 0
    assert list(read(whole[:-1])[0]) == list(ONE_OF_EACH)[:-1]


def test_values_too_long_or_of_no_known_type_are_left_out():
    longest = (257, BYTE, 4096, 0)
    entries = [(256, BYTE, 4097, 0), longest, (258, 99, 1, 0), (259, SHORT, 0, 0), (260, 12, 2**32 - 1, 0)]
    assert list(read(by_hand(*entries) + bytes(4096))[0]) == [257]


def test_of_a_tag_told_twice_the_first_that_can_be_read_holds():
    data = by_hand((256, LONG, 9, 5000), (256, LONG, 1, 7), (256, LONG, 1, 8))
    assert read(data)[0] == {256: field(LONG, 7)}


def test_a_count_too_large_ends_after_the_most_entries():
    entries = [(tag, LONG, 1, tag) for tag in range(600)]
    assert len(read(by_hand(*entries))[0]) == 512
    assert read(by_hand(*entries))[1] == 0
    assert read(by_hand(*entries[:512])) == ({tag: field(LONG, tag) for tag in range(512)}, 999)
    assert read(by_hand(count=0)) == ({}, 0)


def test_numbers_are_those_of_the_field_or_none():
    told = ONE_OF_EACH | {300: Field(RATIONAL, struct.pack("<4I", 1, 2, 1, 0)), 301: field(12, float("nan"))}
    assert tiff.numbers(told, 265) == pytest.approx([0.1, 2.8])
    assert tiff.numbers(told, 266) == [-0.25]
    for tag in (271, 272, 273, 300, 999):  # texts, bytes, over zero, missing
        assert tiff.numbers(told, tag) == []
    assert tiff.whole(told, 258) == [1, 2**32 - 1]
    for tag in (259, 262, 263, 265, 301, 999):
        assert tiff.whole(told, tag) == [] and tiff.first(told, tag) == 0
    assert tiff.first(told, 256) == 1


def test_fractions_are_kept_to_a_millionth():
    assert field(RATIONAL, 1 / 30).value == struct.pack("<II", 1, 30)
    assert tiff.numbers({1: field(RATIONAL, 500.123456)}, 1) == [500.123456]
