"""Checks on real kinds of frames: what they call removed was noise, what they call lost was scene."""

from pathlib import Path

import numpy as np
import pytest
from conftest import noise

from darkroom.develop import amplifier
from darkroom.develop.model import Model
from darkroom.develop.pipeline import Settings
from darkroom.errors import SettingsError
from darkroom.evaluate import checks, metrics
from darkroom.write import dng


@pytest.fixture
def frames(tmp_path):
    """Six frames of one scene under Gaussian noise."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64]
    scene = 1500 + 300 * np.sin(2 * np.pi * rows / 64) * np.cos(2 * np.pi * columns / 64)
    paths = []
    for i in range(6):
        mosaic = (scene + rng.normal(0, 80, scene.shape)).astype(np.uint16)
        dng.write(tmp_path / f"{i}.dng", mosaic, cfa="bayer", phase=(0, 0), black=512, white=16383)
        paths.append(tmp_path / f"{i}.dng")
    return paths


def still_with(monkeypatch, frames, network: Model, change) -> checks.Still:
    """Measure with `change` (plain picture -> picture) in the network's place."""
    real = checks._developed

    def developed(read, model, settings):
        plain = real(read, model, Settings(amp=settings.amp, bits=16, denoise=0.0))
        return plain if settings.denoise == 0 else change(plain)

    monkeypatch.setattr(checks, "_developed", developed)
    return checks.still(frames, network, amplifier.parse("4"))


@pytest.fixture(scope="module")
def network() -> Model:
    from darkroom.develop import model

    return model.load(model.find("fast-bayer"), device="cpu")


def test_nothing_done_removes_and_loses_nothing(monkeypatch, frames, network):
    found = still_with(monkeypatch, frames, network, lambda plain: plain)
    assert found.frames == 6 and abs(found.removed) < 1e-4 and abs(found.lost) < 1e-4 and found.noise > 0.005


def test_smoothing_a_smooth_scene_removes_noise_and_loses_little(monkeypatch, frames, network):
    def smooth(plain):
        return sum(np.roll(plain, (i, j), (1, 2)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / np.float32(9)

    found = still_with(monkeypatch, frames, network, smooth)
    assert found.removed > 0.4 and found.lost < 0.1


def test_a_changed_brightness_counts_as_lost(monkeypatch, frames, network):
    found = still_with(monkeypatch, frames, network, lambda plain: plain + np.float32(0.1))
    assert found.lost == pytest.approx((0.1 / found.noise) ** 2, rel=0.01) and found.removed < 0


def test_too_few_or_different_frames_are_refused(frames, network, tmp_path):
    with pytest.raises(SettingsError, match="2 frames: too few"):
        checks.still(frames[:2], network, amplifier.parse("4"))
    dng.write(tmp_path / "small.dng", noise((32, 32)), cfa="bayer", phase=(0, 0), black=512, white=16383)
    with pytest.raises(SettingsError, match="frames of different sizes"):
        checks.still([*frames[:2], tmp_path / "small.dng"], network, amplifier.parse("4"))


def test_an_ordinary_photo_is_compared_with_libraw(frames, network):
    by_network, plain = checks.ordinary(frames[0], network)
    assert 0 < by_network <= 1 and 0.5 < plain <= 1


def test_a_cast_in_near_black_is_measured_and_noise_is_not():
    rng = np.random.default_rng(0)
    reference = np.full((64, 64, 3), 0.08)
    reference[:, 32:] = 0.7
    noisy = np.clip(reference + rng.normal(0, 0.02, reference.shape), 0, 1)
    cast = reference + np.array([0.05, 0, 0])
    assert metrics.near_black(noisy, reference) < 1 < metrics.near_black(cast, reference)
    assert np.isnan(metrics.near_black(reference[:, 32:], reference[:, 32:]))


def test_what_is_bright_is_scored_by_itself():
    reference = np.full((64, 64, 3), 0.5)
    reference[:, 32:] = 0.9
    dark_wrong, bright_wrong = reference.copy(), reference.copy()
    dark_wrong[:, :32] = 0.4
    bright_wrong[:, 32:] = 0.8
    assert metrics.bright(dark_wrong, reference) == metrics.psnr(reference, reference)
    assert metrics.bright(bright_wrong, reference) == pytest.approx(20)
    assert np.isnan(metrics.bright(reference[:, :32], reference[:, :32]))


def test_the_command_tells_both_of_every_network(run, frames):
    stills = [word for frame in frames for word in ("--still", frame)]
    code, out, err = run("check", "fast-bayer", *stills, "--ordinary", frames[0], "--amp", "4")
    assert code == 0, err
    assert "6 frames of a still scene, --amp 4" in out and "removed" in out
    assert "SSIM to LibRaw's rendering" in out and "0.dng" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fast-bayer",), "nothing to check on"),
        (("nosuch", "--ordinary", "."), "nosuch: no such network"),
        (("fast-bayer", "--still", "."), "no raw photos in this folder"),
    ],
)
def test_a_check_of_nothing_is_wrong_usage(run, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("check", *words)
    assert code == 2 and said in err and len(err.splitlines()) == 1


def test_a_check_goes_on_past_a_bad_photo_and_looks_in_folders_below(run, frames, tmp_path):
    (tmp_path / "0_bad.dng").write_bytes(b"no raw")
    below = tmp_path / "below"
    below.mkdir()
    for frame in frames[3:]:
        Path(frame).rename(below / Path(frame).name)
    code, out, err = run("check", "fast-bayer", "--still", tmp_path, "-r", "--amp", "4")
    assert code == 1 and "6 frames of a still scene" in out
    assert len(err.splitlines()) == 1 and "0_bad.dng: " in err
