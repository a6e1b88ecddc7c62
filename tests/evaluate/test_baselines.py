"""What there is without a network: rendered plainly, denoised, joined, and told of the reference."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from darkroom.decode import raw
from darkroom.develop.curves import srgb_to_linear
from darkroom.errors import SettingsError
from darkroom.evaluate import baselines, metrics, simulated
from darkroom.evaluate.case import encoded
from darkroom.frame import CELL, Exposure, Frame, Window


def clear_frame(cfa: str, phase: tuple[int, int], height: int, width: int) -> tuple[Frame, np.ndarray]:
    """A frame without noise, with its photo, whose visible window begins at `phase`."""
    coarse = np.random.default_rng(0).integers(60, 250, (4, 5, 3), np.uint8)
    photo = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.float32) / 255
    light = srgb_to_linear(photo) / np.array([2, 1, 1.5])
    whole = np.pad(light, ((phase[0], 0), (phase[1], 0), (0, 0)), "edge")
    mosaic = simulated.cfas.sample(whole, cfa) * (16383 - 512) + 512
    frame = Frame(
        mosaic=np.rint(mosaic).astype(np.uint16),
        cfa=cfa,
        black=np.full(CELL[cfa].shape, 512, np.float32),
        white=16383.0,
        white_balance=np.array([2, 1, 1.5], np.float32),
        daylight=None,
        camera_to_srgb=np.eye(3, dtype=np.float32),
        exposure=Exposure(0, 0, 0),
        visible=Window(*phase, height, width),
        orientation=1,
        camera="test",
        bits=14,
    )
    return frame, photo


@pytest.mark.parametrize(
    ("cfa", "phase", "height", "width"),
    [("bayer", (0, 0), 72, 90), ("bayer", (1, 0), 73, 91), ("bayer", (1, 1), 72, 90), ("xtrans", (2, 5), 513, 520)],
)
def test_libraw_gives_a_clear_photo_back(cfa, phase, height, width):
    frame, photo = clear_frame(cfa, phase, height, width)
    picture = baselines.libraw(frame, 1.0)
    assert picture.shape == photo.shape and picture.dtype == np.float32
    assert metrics.psnr(picture[8:-8, 8:-8], photo[8:-8, 8:-8]) > 38
    assert abs((picture - photo)[8:-8, 8:-8].mean()) < 2e-3, "white stays white, however dark the photo"


def test_xtrans_too_small_for_libraw_is_refused():
    frame, _ = clear_frame("xtrans", (0, 0), 511, 600)
    with pytest.raises(
        SettingsError, match="libraw: cannot interpolate X-Trans of 511x600; use photos and a crop of at least 512"
    ):
        baselines.libraw(frame, 1.0)


def test_noise_below_black_reaches_libraw(tmp_path):
    frame, _ = clear_frame("bayer", (0, 0), 32, 32)
    dark = replace(frame, mosaic=np.random.default_rng(0).integers(312, 512, (32, 32), np.uint16))
    baselines.write_bright(dark, 50.0, tmp_path / "bright.dng")
    light = (raw.read(tmp_path / "bright.dng").mosaic - float(baselines.BLACK)) / (baselines.WHITE - baselines.BLACK)
    assert light == pytest.approx((dark.mosaic - 512.0) * 50 / (16383 - 512), abs=1e-4)


def test_bm3d_keeps_the_best_of_its_sigmas(monkeypatch):
    tried = []

    def blend(noisy, sigma):
        tried.append(sigma)
        return np.full_like(noisy, 0.5) + (sigma - best)  # the nearer to the best, the nearer to the photo

    monkeypatch.setitem(sys.modules, "bm3d", type("bm3d", (), {"bm3d_rgb": staticmethod(blend)}))
    photo = np.full((16, 16, 3), 0.5, np.float32)
    for best in baselines.SIGMAS:
        for error in (0.001, 0.1, 0.5):
            tried.clear()
            picture, sigma = baselines.bm3d(photo + np.float32(error), photo)
            assert sigma == best and picture == pytest.approx(photo)
            assert len(tried) == len(set(tried)), "nothing is tried twice"


def test_without_bm3d_the_message_says_where_it_is_and_its_licence(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    picture = np.zeros((16, 16, 3), np.float32)
    with pytest.raises(
        SettingsError, match=r"bm3d: not installed; `pip install 'darkroom-raw\[bm3d\]'`, for non-commercial use"
    ):
        baselines.bm3d(picture, picture)


def test_bm3d_takes_the_sigma_it_is_told(monkeypatch):
    monkeypatch.setitem(
        sys.modules, "bm3d", type("bm3d", (), {"bm3d_rgb": staticmethod(lambda noisy, sigma: noisy * 0 + sigma)})
    )
    picture, sigma = baselines.bm3d(np.zeros((16, 16, 3), np.float32), np.ones((16, 16, 3), np.float32), 0.07)
    assert sigma == 0.07 and picture == pytest.approx(0.07)


def test_the_curve_is_the_one_asked_for():
    frame, photo = clear_frame("bayer", (0, 0), 72, 90)
    picture = baselines.libraw(frame, 1.0, "bt709")
    assert metrics.psnr(picture, encoded(photo, "srgb", "bt709")) > metrics.psnr(picture, photo) + 10


def test_a_median_lies_between_even_of_eight():
    frame, _ = clear_frame("bayer", (0, 0), 300, 20)
    burst = [replace(frame, mosaic=np.full((300, 20), value, np.uint16)) for value in (9, 1, 5, 60000, 7, 2, 6, 8)]
    assert (baselines.median(burst).mosaic == 6.5).all() and burst[0].mosaic[0, 0] == 9


def test_a_burst_has_less_noise_than_its_frames(tmp_path):
    frame, photo = clear_frame("bayer", (0, 0), 72, 90)
    rng = np.random.default_rng(0)
    noisy = [replace(frame, mosaic=(frame.mosaic + rng.normal(0, 900, (72, 90))).astype(np.uint16)) for _ in range(8)]
    assert metrics.psnr(baselines.libraw(baselines.median(noisy), 1.0), photo) > (
        metrics.psnr(baselines.libraw(noisy[0], 1.0), photo) + 5
    )


def test_each_channel_gets_the_references_mean():
    reference = np.random.default_rng(0).uniform(0.2, 0.6, (8, 8, 3)).astype(np.float32)
    tinted = reference * np.array([0.3, 1, 1.2], np.float32)
    assert baselines.to_means(tinted, reference) == pytest.approx(reference, abs=1e-5)
    assert baselines.to_means(reference * 0 + [0, 0.5, 0.5], reference)[..., 0].max() == 0, "black stays black"
    assert baselines.to_means(reference, reference * 0 + 0.9).max() == 1
