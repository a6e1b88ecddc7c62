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


@pytest.mark.parametrize(
    ("samples", "rows"), [(1, [1] * 10), (2 * 180 - 1, [1] * 10), (3 * 180, [1, 3, 3, 3]), (10 * 180, [10])]
)
def test_so_many_samples_are_computed_at_a_time_and_one_row_at_least(monkeypatch: pytest.MonkeyPatch, samples, rows):
    """Of ten rows that become 60 pixels, 180 samples, wide."""
    done, real = [], shape._mixed
    monkeypatch.setattr(shape, "_BAND", samples)
    monkeypatch.setattr(shape, "_mixed", lambda lines, *rest: done.append(lines[0].shape) or real(lines, *rest))
    shape.stretched(np.zeros((10, 40, 3), np.uint8), 1.5, 1)
    assert sorted(done) == [(each, 60, 3) for each in rows]


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


def cubic(far: float) -> float:
    """Keys' kernel, 1981, at a = -1/2."""
    far = abs(far)
    if far <= 1:
        return 1.5 * far**3 - 2.5 * far**2 + 1
    return -0.5 * far**3 + 2.5 * far**2 - 4 * far + 2 if far < 2 else 0.0


@pytest.mark.parametrize(("length", "wanted"), [(8, 12), (10, 17), (7, 21), (5, 5)])
def test_new_samples_lie_between_four_by_the_cubic_of_keys(length, wanted):
    taps, weights = shape._taps(length, wanted)
    assert taps.shape == weights.shape == (4, wanted) and taps.min() == 0 and taps.max() == length - 1
    assert weights.sum(0) == pytest.approx(1, abs=1e-6)
    for new in range(wanted):
        place = (new + 0.5) * length / wanted - 0.5
        mine, theirs = np.zeros((2, length))
        np.add.at(mine, taps[:, new], weights[:, new])
        for old in range(-3, length + 3):
            theirs[min(max(old, 0), length - 1)] += cubic(place - old)
        assert mine == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize(("aspect", "orientation"), [(1.5, 1), (0.5, 1), (1.5, 6), (0.5, 5), (1.2, 4)])
def test_each_pixel_is_mixed_along_one_side_alone(aspect, orientation):
    picture = np.random.default_rng(0).random((12, 18, 3), np.float32)
    made = shape.stretched(picture, aspect, orientation)
    axis = int((aspect > 1) == (orientation < 5))
    taps, weights = shape._taps(picture.shape[axis], made.shape[axis])
    wanted = sum(picture.take(tap, axis) * (weight[:, None, None] if axis == 0 else weight[None, :, None])
                 for tap, weight in zip(taps, weights, strict=True))  # fmt: skip
    assert made.shape[1 - axis] == picture.shape[1 - axis] and made == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("aspect", "orientation", "sides"),
    [
        (1.5, 4, (100, 300)), (1.5, 5, (150, 200)), (0.5, 4, (200, 200)), (0.5, 5, (100, 400)),
        (1.001, 1, (100, 200)), (0.999, 1, (100, 200)), (1.0, 5, (100, 200)),
    ],
)  # fmt: skip
def test_only_the_longer_side_of_a_photosite_grows(aspect, orientation, sides):
    assert shape.sides(100, 200, aspect, orientation) == sides


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_mixed_is_rounded_and_kept_within_what_is_held(dtype):
    full = np.iinfo(dtype).max
    lines = [np.array([0, full, 10, 11, 100], dtype), np.array([full, 0, 11, 10, 100], dtype)]
    mixed = shape._mixed(lines, np.array([1.25, -0.25], np.float32), np.dtype(dtype)).astype(dtype)
    assert mixed.tolist() == [0, full, 10, 11, 100]
    lit = [line.astype(np.float32) for line in lines]
    assert shape._mixed(lit, np.array([2, -0.5], np.float32), np.dtype(np.float32))[0] == -full / 2


def test_square_photosites_give_the_picture_itself():
    picture = np.zeros((3, 4, 3), np.uint8)
    assert shape.stretched(picture, 1, 6) is picture
