"""Tags of files that may be garbled."""

import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import WriteDng, noise

from darkroom import tiff
from darkroom.decode import raw, tags
from darkroom.frame import Window


@pytest.mark.parametrize("seed", range(40))
def test_tags_of_garbled_files_are_left_out_not_raised(write_dng: WriteDng, seed):
    path = write_dng("a.dng", noise((40, 60)))
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    rng = np.random.default_rng(seed)
    at = rng.integers(0, 900, 30)
    data[at] = rng.integers(0, 256, at.size)
    path.write_bytes(data[: rng.integers(4, 6000)].tobytes())
    assert isinstance(tags.read(path), tags.Tags)


def test_a_canon_cr3_tells_its_camera(tmp_path: Path):
    names = tiff.block({tag: tiff.field(tiff.ASCII, name) for tag, name in ((271, "Canon"), (272, "Canon EOS R5"))})
    path = tmp_path / "a.cr3"
    path.write_bytes(b"\0\0\0\x18ftypcrx " + bytes(400) + b"CMT1" + names)
    assert tags.read(path).camera == "Canon EOS R5"


def opcodes(*listed: tuple[int, bytes]) -> bytes:
    """An OpcodeList1: big-endian, whatever the file is."""
    body = b"".join(struct.pack(">4I", kind, 0x01030000, 0, len(data)) + data for kind, data in listed)
    return struct.pack(">I", len(listed)) + body


def with_opcodes(write_dng: WriteDng, *listed: tuple[int, bytes], mosaic=None, **settings) -> Path:
    """A DNG whose OpcodeList1 takes the place of its UniqueCameraModel, and lies behind everything."""
    path = write_dng("bad.dng", noise((40, 60)) if mosaic is None else mosaic, **settings)
    data = bytearray(path.read_bytes())
    block, start = opcodes(*listed), struct.unpack_from("<I", data, 4)[0]
    for entry in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        if struct.unpack_from("<H", data, entry)[0] == 50708:
            struct.pack_into("<HHII", data, entry, 51008, tiff.UNDEFINED, len(block), len(data))
    path.write_bytes(bytes(data) + block)
    return path


def test_the_sites_that_a_dng_lists_as_bad_are_told_in_the_mosaic(write_dng: WriteDng):
    points, area = struct.pack(">4I", 5, 7, 39, 59), struct.pack(">4I", 20, 30, 22, 32)
    listed = (5, struct.pack(">3I", 0, 2, 1) + points + area)
    path = with_opcodes(write_dng, listed, phase=(1, 1), visible=Window(2, 4, 36, 54))
    frame = raw.read(path)
    wanted = {(5 - 2, 7 - 4), (18, 26), (18, 27), (19, 26), (19, 27)}  # (39, 59) is no part of the picture
    shift = frame.visible.top, frame.visible.left
    assert {(row - shift[0], column - shift[1]) for row, column in frame.defects.tolist()} == wanted


def test_the_value_that_marks_bad_sites_is_obeyed_unless_it_marks_too_many(write_dng: WriteDng):
    mosaic = noise((40, 60), low=600)
    mosaic[[3, 30], [9, 40]] = 0
    frame = raw.read(with_opcodes(write_dng, (4, struct.pack(">2I", 0, 0)), mosaic=mosaic))
    assert frame.defects.tolist() == [[3, 9], [30, 40]]
    mosaic[:, ::4] = 0
    assert not len(raw.read(with_opcodes(write_dng, (4, struct.pack(">2I", 0, 0)), mosaic=mosaic)).defects)


@pytest.mark.parametrize("count", [3, 1 << 30])
def test_a_list_of_bad_sites_that_lies_about_its_length_is_left_out(write_dng: WriteDng, count):
    listed = (5, struct.pack(">3I", 0, count, 0) + struct.pack(">2I", 5, 7))
    assert not len(raw.read(with_opcodes(write_dng, listed)).defects)


def test_several_lists_of_bad_sites_count_together(write_dng: WriteDng):
    listed = [(5, struct.pack(">3I", 0, 1, 0) + struct.pack(">2I", row, row + 1)) for row in (5, 20)]
    assert raw.read(with_opcodes(write_dng, *listed)).defects.tolist() == [[5, 6], [20, 21]]


@pytest.mark.parametrize(("marked", "obeyed"), [(23, True), (24, False)])
def test_a_hundredth_of_the_sites_is_too_many_to_be_bad(write_dng: WriteDng, marked, obeyed):
    mosaic = noise((40, 60), low=600)
    mosaic.reshape(-1)[np.arange(marked) * 97] = 0
    frame = raw.read(with_opcodes(write_dng, (4, struct.pack(">2I", 0, 0)), mosaic=mosaic))
    assert len(frame.defects) == (marked if obeyed else 0)
