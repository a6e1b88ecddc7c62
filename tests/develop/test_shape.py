"""Photosites that are not square: the picture gets the scene's shape."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from made import write_network
from PIL import Image

from darkroom.develop import shape


@pytest.mark.parametrize(
    ("aspect", "orientation", "size"),
    [(1.534, 1, (40, 92)), (0.5, 1, (80, 60)), (1.534, 6, (61, 60)), (0.5, 8, (40, 120)), (1.0, 1, (40, 60))],
)
def test_the_longer_side_of_a_photosite_is_stretched(aspect, orientation, size):
    assert shape.stretched(np.zeros((40, 60, 3), np.uint8), aspect, orientation).shape == (*size, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("aspect", [1.534, 0.5])
def test_a_ramp_stays_one(dtype, aspect):
    ramp = np.linspace(1, 200, 60)
    picture = np.broadcast_to(ramp[None, :, None] if aspect > 1 else ramp[:, None, None], (60, 60, 3))
    made = shape.stretched(np.ascontiguousarray(picture, dtype=dtype), aspect, 1)
    line = made[0, :, 0] if aspect > 1 else made[:, 0, 0]
    wanted = np.interp((np.arange(len(line)) + 0.5) * 60 / len(line) - 0.5, np.arange(60), ramp)
    assert made.dtype == dtype
    assert abs(line[4:-4] - wanted[4:-4]).max() < (0.01 if dtype == np.float32 else 1.6)


def test_white_beside_black_does_not_wrap():
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[:, 10:] = 255
    made = shape.stretched(picture, 1.5, 1)
    assert (made[:, :13] == 0).all() and (made[:, -13:] == 255).all()


@pytest.mark.parametrize("aspect", [1.3, 0.7])
def test_bands_do_not_show(monkeypatch: pytest.MonkeyPatch, aspect):
    picture = np.random.default_rng(0).integers(0, 255, (50, 40, 3), np.uint8)
    whole = shape.stretched(picture, aspect, 1)
    monkeypatch.setattr(shape, "_BAND", 700)
    np.testing.assert_array_equal(shape.stretched(picture, aspect, 1), whole)


def test_the_written_picture_and_its_exif_have_the_shape_of_the_scene(run, photo: Path, libraw_says, tmp_path: Path):
    libraw_says(pixel_aspect=1.534)
    write_network(tmp_path / "n.onnx")
    code, _, said = run("develop", photo, "--model", tmp_path / "n.onnx", "--amp", "2", "-o", tmp_path / "a.jpg")
    assert code == 0 and "1.53 times as wide as high: the picture is stretched" in said
    with Image.open(tmp_path / "a.jpg") as picture:
        exif = picture.getexif().get_ifd(0x8769)
        assert picture.size == (123, 64) and (exif[40962], exif[40963]) == (123, 64)


def test_a_linear_dng_says_the_shape_instead(run, photo: Path, libraw_says, tmp_path: Path):
    libraw_says(pixel_aspect=0.5)
    write_network(tmp_path / "n.onnx")
    assert run("develop", photo, "--model", tmp_path / "n.onnx", "--amp", "2", "-o", tmp_path / "b.dng")[0] == 0
    with tifffile.TiffFile(tmp_path / "b.dng") as file:
        preview = file.pages[0]
        samples = next(page for page in preview.pages if page.photometric == 34892)
        assert samples.shape[:2] == (64, 80) and samples.tags[50718].value == (1, 1, 2, 1)
        assert preview.shape[:2] == (128, 80)
