"""Sharpening: edges gain, noise does not, hues stay, bands do not show."""

import json

import numpy as np
import pytest
from finished import bands_read
from made import frame_of, write_network

from darkroom.develop import amplifier, finish, model, pipeline, sharpen
from darkroom.develop.curves import srgb_to_linear


def quiet(light):
    return np.zeros_like(light)


def edge(dtype=np.uint16) -> np.ndarray:
    """A soft step from dark to bright orange."""
    ramp = np.interp(np.arange(60), [26, 34], [0.3, 0.6])
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    return (np.tile(ramp[:, None] * [1, 0.8, 0.5], (40, 1, 1)) * full).astype(dtype)


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_an_edge_becomes_steeper_and_flats_stay(bits):
    before = edge(np.float32 if bits == 32 else np.uint16)
    after = sharpen.sharpened(before, 1.0, quiet, bits=bits)
    full = 1 if bits == 32 else 2**bits - 1
    seen, was = after[20, :, 0] / full, before[20, :, 0] / (1 if bits == 32 else 65535)
    assert np.diff(seen).max() > 1.1 * np.diff(was).max()
    assert abs(seen[:20] - was[:20]).max() < 1 / 200 and abs(seen[40:] - was[40:]).max() < 1 / 200


def test_what_noise_explains_is_left_and_what_stands_above_it_is_not():
    rng = np.random.default_rng(0)
    grain = np.repeat((0.5 + 0.01 * rng.standard_normal((64, 64, 1))) * 65535, 3, axis=2).astype(np.uint16)
    loud = sharpen.sharpened(grain, 1.0, lambda light: np.full_like(light, 0.3), bits=16)
    free = sharpen.sharpened(grain, 1.0, quiet, bits=16)
    assert loud.std() < 1.03 * grain.std() and free.std() > 1.5 * grain.std()


@pytest.mark.parametrize("bits", [8, 16])
def test_what_is_sharpened_beyond_white_is_white(bits):
    step = np.where(np.arange(40) < 20, 40000, 65535).astype(np.uint16)
    after = sharpen.sharpened(np.broadcast_to(step[:, None], (12, 40, 3)), 1.0, quiet, bits=bits)
    assert (after[:, 20:] == 2**bits - 1).all() and (after[:, :20] < 2**bits * 0.7).all()


def test_hues_stay():
    before, after = (srgb_to_linear(each / 65535) for each in (edge(), sharpen.sharpened(edge(), 1.0, quiet, bits=16)))
    assert after[..., 1] / after[..., 0] == pytest.approx(before[..., 1] / before[..., 0], rel=0.01)


def test_bands_do_not_show(monkeypatch):
    picture = np.random.default_rng(1).integers(0, 65536, (70, 50, 3), np.uint16)
    whole = sharpen.sharpened(picture, 0.7, quiet, bits=16)
    monkeypatch.setattr(sharpen, "_ROWS", 7)
    assert np.array_equal(sharpen.sharpened(picture, 0.7, quiet, bits=16), whole)


@pytest.mark.parametrize(
    ("rows", "bands"),
    [(7, [(0, 9), (5, 16), (12, 20)]), (10, [(0, 12), (8, 20)]), (18, [(0, 20), (16, 20)]), (20, [(0, 20)])],
)
def test_a_band_takes_its_own_rows_and_two_beyond_either_edge(monkeypatch, rows, bands):
    taken = bands_read(sharpen, monkeypatch)
    monkeypatch.setattr(sharpen, "_ROWS", rows)
    picture = np.arange(20, dtype=np.float32).reshape(20, 1, 1).repeat(4, 1).repeat(3, 2)
    sharpen.sharpened(picture, 1.0, quiet, bits=32)
    assert sorted(taken) == bands


@pytest.mark.usefixtures("here")
def test_the_command_takes_it_and_a_dng_does_not(run, photo):
    words = ("develop", "a.dng", "--model", "n.onnx", "--amp", "2")
    run(*words, "-o", "plain.png")
    code, out, err = run(*words, "--sharpen", "1", "-o", "sharp.png", "--json")
    assert code == 0 and json.loads(out)["settings"]["sharpen"]["value"] == 1, err
    from PIL import Image

    with Image.open("plain.png") as plain, Image.open("sharp.png") as sharp:
        assert plain.size == sharp.size and (np.asarray(plain) != np.asarray(sharp)).any()
    code, _, err = run(*words, "--sharpen", "1", "-o", "b.dng")
    assert code == 2 and err.startswith("darkroom: --sharpen: finishes a picture, and a DNG")


def test_white_stays_white_at_every_depth():
    for dtype, bits in ((np.uint8, 8), (np.uint16, 16)):
        white = np.full((20, 20, 3), np.iinfo(dtype).max, dtype)
        assert np.array_equal(sharpen.sharpened(white, 1.0, quiet, bits=bits), white)


def test_noise_is_that_of_the_picture_exposure_included(tmp_path, monkeypatch):
    network = model.load(write_network(tmp_path / "n.onnx"), device="cpu")
    frame = frame_of(np.random.default_rng(2).normal(700, 20, (64, 80)).astype(np.uint16), "bayer")
    heard = []

    def asked(picture, strength, noise, *, bits):
        heard.append(noise(np.zeros((1, 1), np.float32))[0, 0])
        return picture

    monkeypatch.setattr(sharpen, "sharpened", asked)
    for stops in (0.0, 1.0):
        look = finish.Look(exposure=stops)
        pipeline.expose(frame, model=network, settings=pipeline.Settings(amplifier.parse("4"), sharpen=1.0, look=look))
    assert heard[1] == pytest.approx(2 * heard[0], rel=1e-3)


def by_definition(light: np.ndarray, strength: float, noise: float) -> np.ndarray:
    """(H, W, 3) linear light sharpened, pixel by pixel in float64."""
    luma = light.astype(np.float64) @ [0.2126, 0.7152, 0.0722]
    around = np.pad(luma, 2, "edge")
    taps = np.array([0.05, 0.25, 0.4, 0.25, 0.05])
    windows = np.lib.stride_tricks.sliding_window_view(around, (5, 5))
    detail = luma - np.einsum("yxij,i,j->yx", windows, taps, taps)
    gained = detail * detail**2 / (detail**2 + (0.35 * noise) ** 2 + 1e-12)
    factor = 1 + 1.5 * strength * gained / np.maximum(luma, 1e-6)
    return light * np.clip(factor, 0.5, 2)[..., None]


@pytest.mark.parametrize("strength", [0.3, 1.0])
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("low", [0.0, 0.4])
def test_each_pixel_gains_what_stands_above_the_noise(strength, noise, low):
    """From none of the light on, lamps beside black are bounded; from four tenths on, nothing is."""
    light = np.random.default_rng(3).uniform(low, 1, (20, 33, 3)).astype(np.float32)
    after = sharpen.sharpened(light, strength, lambda luma: np.full_like(luma, noise), bits=32)
    assert after.dtype == np.float32
    assert np.abs(after - by_definition(light, strength, noise)).max() < 1e-5


def test_the_noise_is_asked_for_the_light_of_each_pixel():
    heard = []
    light = np.random.default_rng(3).random((6, 5, 3), np.float32)

    def noise(luma):
        heard.append(luma.copy())
        return np.zeros_like(luma)

    sharpen.sharpened(light, 1.0, noise, bits=32)
    assert heard[0] == pytest.approx(light @ np.array([0.2126, 0.7152, 0.0722]), rel=1e-5)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_codes_are_read_and_rounded_at_their_own_depth(dtype, bits):
    """At no strength: every code is what it was, or the nearest of the other depth."""
    full = np.iinfo(dtype).max
    codes = np.linspace(0, full, 768).astype(dtype).reshape(16, 16, 3)
    after = sharpen.sharpened(codes, 0.0, quiet, bits=bits)
    assert after.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert np.abs(after - codes / full * (2**bits - 1)).max() <= 0.51


def test_a_pixel_is_made_twice_or_half_as_bright_at_most_and_black_stays():
    light = np.zeros((9, 9, 3), np.float32)
    light[4, 4], light[4, 6] = 0.2, 1e-5
    after = sharpen.sharpened(light, 1.0, quiet, bits=32)
    assert after[4, 4, 0] == pytest.approx(0.4)
    assert after[4, 6, 0] == pytest.approx(0.5e-5)
    assert np.count_nonzero(after) == 6
