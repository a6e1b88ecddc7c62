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


POINT, AREA = struct.pack(">2I", 5, 7), struct.pack(">4I", 20, 30, 21, 32)


@pytest.mark.parametrize(
    ("listed", "sites", "value"),
    [
        ([], [], None),
        ([(4, struct.pack(">2I", 65535, 0))], [], 65535),
        ([(4, b"\0\0\1\2")], [], 258),
        ([(4, b"\0\0\1")], [], None),
        ([(5, struct.pack(">3I", 0, 1, 1) + POINT + AREA)], [[5, 7], [20, 30], [20, 31]], None),
        ([(5, struct.pack(">3I", 0, 0, 1) + AREA)], [[20, 30], [20, 31]], None),
        ([(5, struct.pack(">3I", 0, 1, 0) + POINT + b"\0\0\0")], [[5, 7]], None),
        ([(5, struct.pack(">3I", 0, 0, 0))], [], None),
        ([(5, struct.pack(">2I", 0, 0))], [], None),
        ([(5, struct.pack(">3I", 0, 1, 1) + POINT)], [], None),
        ([(6, struct.pack(">3I", 0, 1, 0) + POINT), (3, b"\0\0\0\1")], [], None),
        ([(9, bytes(7)), (5, struct.pack(">3I", 0, 1, 0) + POINT), (4, b"\0\0\0\3")], [[5, 7]], 3),
        ([(5, struct.pack(">3I", 0, 2, 0)), (5, struct.pack(">3I", 0, 1, 0) + POINT)], [[5, 7]], None),
    ],
)
def test_opcodes_tell_points_areas_and_a_value(listed, sites, value):
    found, marked = tags._defects(opcodes(*listed))
    assert found.shape == (len(sites), 2) and found.tolist() == sites and marked == value


def test_an_opcode_cut_off_ends_the_list():
    whole = opcodes((4, b"\0\0\0\3"), (5, struct.pack(">3I", 0, 1, 0) + POINT))
    assert tags._defects(whole)[0].tolist() == [[5, 7]]
    for length in range(len(whole)):
        sites, value = tags._defects(whole[:length])
        assert not len(sites) and value == (3 if length >= 24 else None)


@pytest.mark.parametrize(("bottom", "right", "count"), [(256, 256, 65536), (257, 256, 0), (0, 9, 0), (9, 0, 0)])
def test_a_bad_area_has_up_to_65536_sites(bottom, right, count):
    listed = (5, struct.pack(">3I", 0, 0, 1) + struct.pack(">4I", 0, 0, bottom, right))
    assert len(tags._defects(opcodes(listed))[0]) == count


@pytest.mark.parametrize("area", [(3, 4, 1, 2), (3, 4, 3, 6), (3, 4, 5, 2), (1 << 31, 1 << 31, 0, 0)])
def test_an_area_that_ends_before_it_begins_has_no_sites(area):
    listed = opcodes((5, struct.pack(">3I4I", 0, 0, 1, *area)), (4, b"\0\0\0\7"))
    sites, value = tags._defects(listed)
    assert not len(sites) and value == 7


@pytest.mark.parametrize(("points", "count"), [(65536, 65536), (65537, 0)])
def test_up_to_65536_bad_points_are_believed(points, count):
    listed = (5, struct.pack(">3I", 0, points, 0) + bytes(8 * points))
    assert len(tags._defects(opcodes(listed))[0]) == count


@pytest.mark.parametrize(
    ("levels", "shape", "pattern"),
    [
        ([1.5, 2, 3, 4], [2, 2], [[1.5, 2], [3, 4]]),
        ([1.0, 2, 3], [1, 3], [[1, 2, 3]]),
        ([0.0, 65535.5], [2, 1], [[0], [65535.5]]),
        ([65536.0], [1, 1], None),
        ([-0.5], [1, 1], None),
        ([1.0, 2, 3], [2, 2], None),
        ([1.0, 2], [2], None),
        ([1.0, 2], [1, 2, 1], None),
        ([float("nan")], [1, 1], None),
    ],
)
def test_black_levels_make_a_pattern_or_none(levels, shape, pattern):
    found = tags._pattern(levels, shape)
    assert (None if found is None else found.tolist()) == pattern


def fields(**listed: list[float]) -> tiff.Fields:
    """A directory of numbers, by tags named as t262 is."""
    return {
        int(tag[1:]): tiff.field(tiff.LONG if np.mod(values, 1).max() == 0 else tiff.RATIONAL, values)
        for tag, values in listed.items()
    }


@pytest.mark.parametrize(
    ("origin", "size", "crop"),
    [
        ([3, 5], [40, 30], (5, 3, 30, 40)),
        ([2.5, 5.5], [40.5, 30.25], (5.5, 2.5, 30.25, 40.5)),
        (None, [40, 30], (0, 0, 30, 40)),
        ([0, 0], [(1 << 24) - 1, 30], (0, 0, 30, (1 << 24) - 1)),
        ([0, 0], [1 << 24, 30], ()),
        ([0, 1 << 24], [40, 30], ()),
        ([3], [40, 30], ()),
        ([3, 5, 7], [40, 30], ()),
        ([3, 5], [40], ()),
        ([3, 5], None, ()),
    ],
)
def test_a_crop_is_turned_from_columns_first_to_rows_first(origin, size, crop):
    listed = {tag: values for tag, values in (("t50719", origin), ("t50720", size)) if values}
    assert tags._crop(fields(**listed)) == crop


DNG = {"t50706": [1], "t262": [tags.COLOUR_FILTER_ARRAY]}


def test_the_raw_image_outranks_any_larger_one_and_the_larger_any_smaller():
    small, large = {"t256": [10], "t257": [20]}, {"t256": [30], "t257": [40]}
    for interpretation in (tags.COLOUR_FILTER_ARRAY, tags.LINEAR_RAW):
        listed = [fields(t262=[2], t259=[7], **large), fields(t262=[interpretation], t259=[1], **small)]
        for order in (listed, listed[::-1]):
            found = tags._tiff(b"", order)
            assert (found.interpretation, found.compression, found.dng) == (interpretation, 1, False)
    listed = [fields(t262=[2], t259=[7], **small), fields(t262=[6], t259=[5], **large)]
    assert tags._tiff(b"", listed).compression == tags._tiff(b"", listed[::-1]).compression == 5


@pytest.mark.parametrize(
    ("changes", "black", "starts"),
    [
        ({}, [[0]], (0, 0)),
        ({"t50714": [512.25]}, [[512.25]], (0, 0)),
        ({"t50714": [1, 2], "t50713": [2, 1], "t50829": [6, 4, 50, 70]}, [[1], [2]], (6, 4)),
        ({"t50714": [1], "t50829": [6, 4, 50]}, [[1]], (0, 0)),
        ({"t50714": [1], "t50715": [1, 0]}, None, None),
        ({"t50714": [1], "t50716": [1, 0]}, None, None),
        ({"t50714": [1], "t262": [tags.LINEAR_RAW]}, None, None),
    ],
)
def test_the_black_of_a_dng_is_exact_unless_rows_or_columns_are_corrected(changes, black, starts):
    found = tags._tiff(b"", [fields(**DNG | changes)])
    assert (None if found.black is None else found.black.tolist()) == black and found.black_starts == starts


def test_other_tiffs_tell_neither_black_nor_crop_nor_bad_sites():
    directory = fields(t262=[tags.COLOUR_FILTER_ARRAY], t50714=[512], t50719=[3, 5], t50720=[40, 30], t50710=[0, 1, 2])
    directory[51008] = tiff.Field(tiff.UNDEFINED, opcodes((4, b"\0\0\0\3")))
    found = tags._tiff(b"head", [directory])
    assert found.black is None and not found.crop and found.defect_value is None and not found.dng
    assert found.filters == (0, 1, 2) and found.head == b"head"
    assert tags._tiff(b"", [directory | fields(t50706=[1])]).defect_value == 3


@pytest.mark.parametrize(
    ("named", "camera"),
    [
        ({271: "NIKON CORPORATION", 272: "NIKON D1X"}, "NIKON D1X"),
        ({271: "Sony", 272: "ILCE-7"}, "Sony ILCE-7"),
        ({271: "Ricoh Imaging", 272: "", 50708: "Unique"}, "Ricoh Imaging Unique"),
        ({271: "Sony", 272: "ILCE-7", 50708: "Unique"}, "Sony ILCE-7"),
        ({271: "Sony"}, "Sony"),
        ({272: "Model"}, "Model"),
        ({}, ""),
        ({271: "A\tB\n\x1b[1m", 272: "  two   words\0rest"}, "AB[1m two words"),
        ({272: "x" * 65}, "x" * 64),
    ],
)
def test_a_camera_is_make_and_model_without_the_make_twice(named, camera):
    assert tags._camera([{tag: tiff.field(tiff.ASCII, text) for tag, text in named.items()}]) == camera
    assert tags._camera([]) == ""


def chained(path: Path, count: int, *, back: bool = False) -> Path:
    """A TIFF of directories one after the other, the last leading back to the first or nowhere."""
    data = struct.pack("<2sHI", b"II", 42, 8)
    for i in range(count):
        following = 8 + 18 * (i + 1) if i < count - 1 else 8 * back
        data += struct.pack("<HHHIII", 1, 256, tiff.LONG, 1, i, following)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("count", "back", "found"), [(1, False, 1), (5, True, 5), (12, False, 12), (13, False, 12)])
def test_twelve_directories_are_read_each_once(tmp_path: Path, count, back, found):
    with chained(tmp_path / "a.tif", count, back=back).open("rb") as file:
        directories = tags._directories(file, 0)
    assert [tiff.first(directory, 256) for directory in directories] == list(range(found))


@pytest.mark.parametrize(
    ("exif", "main", "iso"),
    [
        ({34855: 6400}, {}, 6400),
        ({}, {34855: 800}, 800),
        ({34855: 6400}, {34855: 800}, 6400),
        ({34855: 65535, 34866: 102400}, {}, 102400),
        ({34855: 65535, 34865: 204800}, {}, 204800),
        ({34855: 65535, 34866: 102400, 34865: 204800}, {}, 102400),
        ({34855: 65535}, {}, 65535),
        ({34855: 65534, 34866: 102400}, {}, 65534),
        ({34866: 102400}, {}, 0),
        ({}, {}, 0),
    ],
)
def test_the_iso_of_exif_comes_before_that_of_the_main_directory(tmp_path: Path, exif, main, iso):
    long = {tag: tiff.field(tiff.LONG, value) for tag, value in exif.items()}
    listed = {tag: tiff.field(tiff.LONG, value) for tag, value in main.items()}
    (tmp_path / "a.tif").write_bytes(tiff.block(listed | {34665: long, 256: tiff.field(tiff.LONG, 5)}))
    assert tags.read(tmp_path / "a.tif").iso == iso


@pytest.mark.parametrize(("gap", "camera"), [(0, "Canon EOS"), (65516, "Canon EOS"), (65517, "")])
def test_a_cr3_names_its_camera_within_65536_bytes(tmp_path: Path, gap, camera):
    names = tiff.block({tag: tiff.field(tiff.ASCII, name) for tag, name in ((271, "Canon"), (272, "Canon EOS"))})
    path = tmp_path / "a.cr3"
    path.write_bytes(b"\0\0\0\x18ftypcrx ....".ljust(16, b".")[:16] + bytes(gap) + b"CMT1" + names)
    assert tags.read(path).camera == camera
