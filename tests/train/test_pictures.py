"""Pictures as references: what they are worth is what the raw file they were made of is worth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sets
import tifffile
from PIL import Image

from darkroom.decode import raw
from darkroom.develop import curves
from darkroom.errors import SettingsError
from darkroom.frame import Exposure
from darkroom.train import pairs, pictures
from darkroom.train.cache import Cache
from darkroom.write import image

RATIO = 50.0


@pytest.fixture
def made(tmp_path):
    """A short of one scene, its raw reference, and that rendered."""
    light = sets.scene(1) * 0.6
    short = sets.write(tmp_path / "short" / "a.dng", light, ratio=RATIO, noise=0.3, exposure=Exposure(0.02, 100, 4))
    reference = sets.write(tmp_path / "raw" / "a.dng", light, noise=0.0, exposure=Exposure(1, 100, 4))
    _, rendered = raw.render(reference, kind="srgb", curve="srgb")
    return short, reference, rendered


def save(picture, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, picture, photometric="rgb")
    elif path.suffix == ".png":
        image.write(picture, path, exif=b"", overwrite=True)
    else:
        Image.fromarray((picture / 257 + 0.5).astype(np.uint8)).save(path, quality=98, subsampling=0)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_picture_is_worth_its_raw_file(made, tmp_path, suffix):
    short, reference, rendered = made
    save(rendered, tmp_path / "long" / f"a{suffix}")
    cache = Cache(tmp_path / "cache")
    (pair,) = pairs.find(tmp_path, cache)
    assert pair.reference.suffix == suffix and pair.ratio == pytest.approx(RATIO, rel=0.1)
    tolerance = 0.02 if suffix == ".jpg" else 0.004
    for kind in ("srgb", "camera"):
        shown = cache.shown(pair.reference, short, kind=kind, curve="srgb").astype(float) / 65535
        expected = cache.rendering(reference, kind=kind, curve="srgb").astype(float) / 65535
        inside = (expected > 0.02).all(axis=2) & (expected < 0.98).all(axis=2)
        assert inside.mean() > 0.5
        assert np.median(np.abs(shown - expected)[inside]) < tolerance
    kept, misaligned, _ = pairs.aligned([pair], cache)
    assert kept == [pair] and not misaligned
    alike = {"packing": "bayer4", "input": "balanced", "output": "camera", "size": 48}
    there = replace(pair, reference=reference)
    ours, theirs = (pairs.example([each], cache, np.random.default_rng(3), **alike) for each in (pair, there))
    assert ours.bright.shape == theirs.bright.shape
    assert np.abs(ours.bright - theirs.bright).mean() < 0.1 * theirs.bright.mean()


@pytest.mark.parametrize("cfa", ["bayer", "xtrans"])
def test_what_is_blown_out_in_a_picture_tells_no_ratio(tmp_path, cfa):
    """In light, red and blue reach a picture's white before green, by their gains."""
    light = sets.scene(1, (510, 510)) * 0.8
    light[:200] = 3.0
    short = sets.write(tmp_path / "short" / "a.dng", light, ratio=RATIO, cfa=cfa, exposure=Exposure(0.02, 100, 4))
    white = curves.linear_to_srgb(np.clip(light @ raw.read(short).camera_to_srgb.T, 0, 1))
    save(np.rint(white * 65535).astype(np.uint16), tmp_path / "long" / "a.png")
    (pair,) = pairs.find(tmp_path, Cache(tmp_path / "cache"))
    assert pair.ratio == pytest.approx(RATIO, rel=0.02)


def test_16_bits_stay_16(made, tmp_path):
    short, _, rendered = made
    fine = rendered // 2 + np.arange(rendered.shape[1], dtype=np.uint16)[None, :, None] % 5
    for suffix in (".png", ".tif"):
        assert np.array_equal(pictures.read(save(fine, tmp_path / f"fine{suffix}"), raw.read(short)), fine)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_upright_picture_is_laid_as_the_sensor_lies(made, tmp_path, orientation):
    short, _, rendered = made
    upright = np.asarray(rendered)
    turned = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: np.rot90(upright, -1), 7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, 1),
    }[orientation]  # fmt: skip
    frame = replace(raw.read(short), orientation=orientation)
    assert np.array_equal(pictures.read(save(np.ascontiguousarray(turned), tmp_path / "a.png"), frame), upright)


def test_what_is_no_picture_of_the_short_is_refused(made, tmp_path):
    short, _, rendered = made
    frame = raw.read(short)
    small = save(np.ascontiguousarray(rendered[:-4]), tmp_path / "small.png")
    (tmp_path / "text.png").write_text("no picture")
    grey = tmp_path / "grey.png"
    Image.fromarray((rendered[..., 0] / 257).astype(np.uint8)).save(grey)
    for path, message in (
        (small, "give a picture that was neither cut nor resized"),
        (tmp_path / "text.png", "cannot be read as a picture"),
        (grey, "give red, green and blue of 8 or 16 bits"),
    ):
        with pytest.raises(SettingsError, match=message) as raised:
            pictures.read(path, frame)
        assert "\n" not in str(raised.value)
