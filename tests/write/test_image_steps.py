"""The steps of writing a picture, each by itself: strips, what waits, bits, folders, chunks."""

import io
from pathlib import Path

import numpy as np
import pytest
from made import picture
from PIL import Image

from darkroom.errors import OutputError, SettingsError
from darkroom.frame import Bands
from darkroom.write import image


@pytest.mark.parametrize(
    ("width", "dtype", "rows"),
    [(4000, np.uint8, 43), (4000, np.uint16, 21), (4000, np.float32, 10), (174762, np.uint8, 1), (87381, np.uint8, 2),
     (87382, np.uint8, 1), (10**6, np.float32, 1)],
)  # fmt: skip
def test_a_strip_holds_half_a_mebibyte_and_never_less_than_a_row(width, dtype, rows):
    assert image._strip(Bands((9, width, 3), np.dtype(dtype), iter(()))) == rows


@pytest.mark.parametrize("heights", [(10,), (1,) * 10, (3, 3, 4), (4, 6), (9, 1), (0, 8, 2)])
def test_strips_are_equal_but_for_the_last_however_the_rows_come(monkeypatch, heights):
    monkeypatch.setattr(image, "_BAND", 4 * 3 * 5)
    whole = picture(10, 5)
    bands = iter(np.split(whole, np.cumsum(heights)[:-1]))
    strips = list(image._strips(Bands(whole.shape, whole.dtype, bands)))
    assert [len(strip) for strip in strips] == [4, 4, 2] and np.array_equal(np.concatenate(strips), whole)


@pytest.mark.parametrize(("height", "bands"), [(2, 2), (4, 1), (8, 1), (3, 2)])
def test_a_strip_is_there_with_its_last_row_and_no_copy_of_a_band_that_has_all_of_it(monkeypatch, height, bands):
    monkeypatch.setattr(image, "_BAND", 4 * 3 * 5)
    whole, taken = picture(24, 5), []

    def rows():
        for top in range(0, 24, height):
            taken.append(top)
            yield whole[top : top + height]

    first = next(image._strips(Bands(whole.shape, whole.dtype, rows())))
    assert np.array_equal(first, whole[:4]) and len(taken) == bands
    assert np.shares_memory(first, whole) is (bands == 1)


@pytest.mark.parametrize(
    ("name", "encoding", "waits"),
    [
        ("a.png", image.Encoding(), False),
        ("a.PNG", image.Encoding("zstd", tiled=True), False),
        ("a.tif", image.Encoding(), False),
        ("a.TIFF", image.Encoding(), False),
        ("a.tif", image.Encoding("deflate"), True),
        ("a.tiff", image.Encoding(tiled=True), True),
        *((f"a.{kind}", image.Encoding(), True) for kind in ("jpg", "jpeg", "avif", "jxl")),
    ],
)
def test_only_plain_tiff_and_png_do_not_wait_for_the_whole_picture(name, encoding, waits):
    assert image.waits(Path(name), encoding) is waits


@pytest.mark.parametrize("bits", [8, 10, 12, 16, 32])
@pytest.mark.parametrize("suffix", image.DEPTHS)
def test_a_name_is_refused_exactly_when_its_format_lacks_the_bits(suffix, bits):
    if bits in image.DEPTHS[suffix]:
        image.check(Path(f"a{suffix.upper()}"), bits)
    else:
        with pytest.raises(SettingsError, match=rf"^a{suffix}: {suffix} holds .* bits, not {bits}; ask for"):
            image.check(Path(f"a{suffix}"), bits)


def test_a_folder_is_made_with_those_it_lies_in(tmp_path):
    image.make_folder(tmp_path / "a" / "b")
    image.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(
        OutputError, match=r"file/b: cannot be made \(not a directory\); choose another folder with -o$"
    ):
        image.make_folder(tmp_path / "file" / "b")


def test_chunks_segments_and_entries_are_laid_out_by_the_book():
    assert image._chunk(b"IEND", b"") == bytes.fromhex("0000000049454e44ae426082")
    assert image._segment(0xE1, b"abc") == b"\xff\xe1\0\5abc"
    listing = bytes.fromhex("0f01") + bytes(10) + bytes.fromhex("1201") + bytes(range(10))
    assert image._entries(listing) == {271: listing[:12], 274: listing[12:]}


def test_a_jpeg_is_of_quality_95():
    """By the tables of the standard (ITU-T T.81, K.1), scaled to 10 %: 16 becomes 2, and 99 becomes 10."""
    with Image.open(io.BytesIO(image.jpeg(np.zeros((16, 16, 3), np.uint8)))) as opened:
        assert (opened.quantization[0][0], max(opened.quantization[0]), max(opened.quantization[1])) == (2, 12, 10)
