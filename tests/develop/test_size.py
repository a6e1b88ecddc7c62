"""Smaller pictures: sides, linear light, no seams between bands, and what the command and the file say of it."""

import json

import numpy as np
import pytest
from finished import bands_read
from PIL import Image

from darkroom.develop import size
from darkroom.develop.curves import linear_to_srgb, srgb_to_linear
from darkroom.develop.size import Size


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_light_is_averaged_not_its_codes(dtype):
    stripes = np.zeros((64, 64, 3), dtype)
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    stripes[:, ::2] = white
    small = size.reduced(stripes, Size(long_edge=32))
    assert small.shape == (32, 32, 3) and small.dtype == dtype
    grey = 0.5 if dtype == np.float32 else linear_to_srgb(np.array(0.5)) * white
    assert abs(small[4:-4, 4:-4].astype(float) - grey).max() <= white / 250


def test_bands_leave_no_seam(monkeypatch):
    picture = np.random.default_rng(0).integers(0, 256, (331, 217, 3), np.uint8)
    whole = size.reduced(picture, Size(long_edge=123))
    monkeypatch.setattr(size, "_BAND", 217 * 9)
    assert np.array_equal(size.reduced(picture, Size(long_edge=123)), whole)
    light = srgb_to_linear(whole / 255).mean()
    assert light == pytest.approx(srgb_to_linear(picture / 255).mean(), rel=0.01)


def test_nothing_is_enlarged():
    picture = np.zeros((20, 30, 3), np.uint8)
    assert size.reduced(picture, Size(long_edge=40, megapixels=1)) is picture


@pytest.mark.usefixtures("here")
def test_the_file_has_the_size_and_says_so(run, photo):
    words = ("a.dng", "--model", "n.onnx", "--amp", "2", "--json")
    code, out, err = run("develop", *words, "--long-edge", "40", "-o", "a.jpg")
    assert code == 0 and json.loads(out)["settings"]["long-edge"]["value"] == 40, err
    with Image.open("a.jpg") as picture:
        exif = picture.getexif().get_ifd(34665)
        assert picture.size == (40, 32) and (exif[40962], exif[40963]) == (40, 32)
    run("develop", *words, "--megapixels", "0.002", "-o", "b.png")
    with Image.open("b.png") as picture:
        assert picture.size == (50, 40)


@pytest.mark.usefixtures("here")
def test_a_wide_space_changes_the_pixels_its_profile_and_exif_and_advises_16_bits(run, photo):
    words = ("develop", "a.dng", "--model", "n.onnx", "--amp", "2", "--wb", "3,1,1")
    run(*words, "-o", "srgb.jpg")
    code, _, err = run(*words, "--colour-space", "rec2020", "-o", "wide.jpg")
    assert code == 0 and "8 bits of rec2020 may show steps" in err
    with Image.open("srgb.jpg") as plain, Image.open("wide.jpg") as wide:
        assert plain.info["icc_profile"] != wide.info["icc_profile"]
        assert wide.getexif().get_ifd(34665)[40961] == 65535
    _, _, err = run(*words, "--colour-space", "prophoto", "--bits", "16", "-o", "deep.png")
    assert "may show steps" not in err
    code, _, err = run(*words, "--colour-space", "rec2020", "-o", "a.jxl")
    assert code == 2 and err.startswith("darkroom: --colour-space rec2020: a .jxl holds srgb; choose another --format")


@pytest.mark.usefixtures("here")
def test_a_dng_takes_neither_size_nor_space(run, photo):
    code, _, err = run("develop", "a.dng", "-o", "b.dng", "--long-edge", "40", "--colour-space", "rec2020")
    assert code == 2 and err.startswith("darkroom: --long-edge, --colour-space: finish a picture, and a DNG")


@pytest.mark.parametrize(
    ("wish", "sides"),
    [
        (Size(), (400, 600)),
        (Size(long_edge=300), (200, 300)),
        (Size(long_edge=600), (400, 600)),
        (Size(long_edge=601), (400, 600)),
        (Size(megapixels=0.06), (200, 300)),
        (Size(megapixels=0.24), (400, 600)),
        (Size(megapixels=0.5), (400, 600)),
        (Size(long_edge=300, megapixels=0.015), (100, 150)),
        (Size(long_edge=150, megapixels=0.06), (100, 150)),
        (Size(long_edge=1), (1, 1)),
    ],
)
def test_the_smaller_of_two_wishes_is_met_in_proportion(wish, sides):
    assert wish.of(400, 600) == sides and wish.of(600, 400) == sides[::-1]


def test_a_thin_picture_keeps_a_pixel_across():
    assert Size(long_edge=10).of(1, 1000) == (1, 10) and Size(long_edge=10).of(1000, 1) == (10, 1)


def areas(light: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mean over the area of each new pixel, by the share that it has of each old one."""

    def shares(length: int, wanted: int) -> np.ndarray:
        edges = np.arange(wanted + 1) * length / wanted
        ends = np.minimum(edges[1:, None], np.arange(length) + 1)
        return np.clip(ends - np.maximum(edges[:-1, None], np.arange(length)), 0, None) * wanted / length

    return np.einsum("iy,jx,yxc->ijc", shares(len(light), size[0]), shares(light.shape[1], size[1]), light)


@pytest.mark.parametrize("rows", [None, 40, 200])
@pytest.mark.parametrize(("shape", "edge"), [((60, 40), 30), ((40, 64), 16), ((90, 60), 30)])
def test_every_pixel_is_the_mean_of_its_area(shape, edge, rows, monkeypatch):
    if rows is not None:
        monkeypatch.setattr(size, "_BAND", rows)
    picture = np.random.default_rng(0).random((*shape, 3), np.float32)
    small = size.reduced(picture, Size(long_edge=edge))
    assert small == pytest.approx(areas(picture, small.shape[:2]), abs=1e-5)


@pytest.mark.parametrize(
    ("pixels", "bands"),
    [
        (1, [(0, 6), (1, 10), (5, 14), (9, 17), (13, 21), (16, 25), (20, 29), (24, 30)]),
        (112, [(0, 10), (5, 17), (13, 25), (20, 30)]),
        (113, [(0, 14), (9, 25), (20, 30)]),
        (300, [(0, 30)]),
    ],
)
def test_a_band_takes_its_own_rows_and_two_beyond_either_edge(pixels, bands, monkeypatch):
    """Of 30 rows of ten pixels, numbered, to eight rows; a band has as many as come of so many pixels."""
    taken = bands_read(size, monkeypatch)
    monkeypatch.setattr(size, "_BAND", pixels)
    picture = np.arange(30, dtype=np.float32).reshape(30, 1, 1).repeat(10, 1).repeat(3, 2)
    assert size.reduced(picture, Size(long_edge=8)).shape == (8, 3, 3)
    assert taken == bands
