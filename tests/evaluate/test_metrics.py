"""Metrics: what they are worth by hand, by other programs, and that worse pictures score worse."""

from math import inf, isnan, log10

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from darkroom.errors import SettingsError
from darkroom.evaluate import lpips, metrics, niqe
from darkroom.evaluate.case import as_authors

try:
    import torch
    from torch import nn
except ModuleNotFoundError:
    torch = None

NEEDS_TORCH = pytest.mark.skipif(torch is None, reason="LPIPS needs torch")


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture with as much contrast at every scale as photos have: (H, W, 3) in [0, 1]."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)) + 1 / max(height, width)
    planes = [np.fft.ifft2(np.fft.fft2(rng.standard_normal((height, width))) / frequency).real for _ in range(4)]
    picture = np.stack([planes[0] + plane / 4 for plane in planes[1:]], 2)
    return np.clip(0.5 + 0.2 * picture / picture.std(), 0, 1)


def noisy(picture: np.ndarray, sigma: float) -> np.ndarray:
    return np.clip(picture + sigma * np.random.default_rng(9).standard_normal(picture.shape), 0, 1)


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(picture, (sigma, sigma, 0))


# --- as the authors measured ---


def test_authors_round_halves_up_and_clip():
    assert as_authors(np.array([-0.1, 0, 0.5, 0.49 / 255, 0.51 / 255, 1, 2])).tolist() == [
        0, 0, 128, 0, 1, 255, 255,
    ]  # fmt: skip


def test_psnr_of_8_bits_sees_levels_only():
    photo = np.full((12, 12, 3), 100 / 255)
    assert metrics.psnr8(photo + 0.4 / 255, photo) == inf
    assert metrics.psnr8(photo + 0.6 / 255, photo) == pytest.approx(20 * log10(255))
    assert metrics.psnr(photo + 0.4 / 255, photo) < 60


def test_ssim_of_8_bits_is_what_one_works_out_by_hand():
    dark, bright = np.full((12, 15, 3), 51 / 255), np.full((12, 15, 3), 102 / 255)
    wanted = (2 * 0.08 + 1e-4) / (0.04 + 0.16 + 1e-4)
    assert metrics.ssim8(dark, bright) == pytest.approx(wanted)
    assert metrics.ssim8(dark + 0.4 / 255, bright) == pytest.approx(wanted)
    assert metrics.ssim_volume(dark, bright) == pytest.approx(wanted)


def test_ssim_of_8_bits_takes_the_plain_covariance():
    photo = scene(24, 24)
    picture = noisy(photo, 0.1)
    rounded = [as_authors(each) / 255 for each in (picture, photo)]
    assert abs(metrics.ssim8(picture, photo) - metrics.ssim(*rounded)) > 1e-6


def test_ssim_of_a_volume_blurs_across_the_colours(monkeypatch):
    monkeypatch.setattr(metrics, "BAND", 6)  # bands must not show
    photo = scene(17, 19)
    picture = noisy(photo, 0.1)
    x, y = (as_authors(each).astype(float) for each in (picture, photo))
    steps = np.mgrid[-5:6, -5:6, -5:6]
    window = np.exp(-(steps**2).sum(0) / (2 * 1.5**2))
    window /= window.sum()

    def blur(volume):
        return ndimage.correlate(volume, window, mode="nearest")

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    product, squares = blur(x) * blur(y), blur(x) ** 2 + blur(y) ** 2
    places = (2 * product + c1) * (2 * (blur(x * y) - product) + c2)
    places /= (squares + c1) * (blur(x**2 + y**2) - squares + c2)
    assert metrics.ssim_volume(picture, photo) == pytest.approx(places.mean(), abs=1e-9)
    assert abs(metrics.ssim_volume(picture, photo) - metrics.ssim8(picture, photo)) > 0.01


# --- several scales ---


def test_ms_ssim_is_what_one_works_out_by_hand():
    dark, bright = np.full((161, 163, 3), 0.25), np.full((161, 163, 3), 0.5)
    wanted = ((2 * 0.125 + 1e-4) / (0.0625 + 0.25 + 1e-4)) ** 0.1333
    assert metrics.ms_ssim(dark, bright) == pytest.approx(wanted)
    photo = scene(161, 163)
    assert metrics.ms_ssim(photo, photo) == pytest.approx(1)
    assert metrics.ms_ssim(1 - photo, photo) == 0


def test_ms_ssim_falls_with_noise_and_blur():
    photo = scene(176, 176)
    for worse, small, large in ((noisy, 0.02, 0.2), (blurred, 0.8, 2)):
        scores = [metrics.ms_ssim(worse(photo, sigma), photo) for sigma in (small, large)]
        assert 1 > scores[0] > scores[1] + 0.05, worse


def test_ms_ssim_refuses_what_has_no_fifth_scale():
    with pytest.raises(SettingsError, match="^ms-ssim: the picture is 160x200, and five scales need 161 a side; meas"):
        metrics.ms_ssim(np.zeros((160, 200, 3)), np.zeros((160, 200, 3)))


# --- the best brightness ---


def test_the_gammas_are_the_papers():
    assert len(metrics.GAMMAS) == 21 and metrics.GAMMAS[0] == 0.7 and metrics.GAMMAS[-1] == 1.3
    assert 1.0 in metrics.GAMMAS and metrics.GAMMAS[1] == 0.73


def test_the_best_brightness_is_found():
    reference = scene(20, 20)
    for gamma in (0.7, 0.82, 1.0, 1.3):
        score, found = metrics.gt_gc(noisy(reference**gamma, 0.01), reference, metrics.psnr)
        assert found == gamma and score == pytest.approx(40, abs=2)
    dark = noisy(reference**1.24, 0.01)
    assert metrics.gt_gc(dark, reference, metrics.psnr)[0] > metrics.psnr(dark, reference) + 5
    assert metrics.gt_gc(dark, reference, metrics.ssim8)[1] == pytest.approx(1.24, abs=0.07)


# --- NIQE ---


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    for seed in range(3):
        Image.fromarray(as_authors(scene(480, 480, seed))).save(folder / f"{seed}.png")
    (folder / "notes.txt").write_text("no photo")
    file = folder / "model.npz"
    niqe.save(niqe.fit(folder), file)
    return file


def test_niqe_rises_with_noise_and_blur(fitted):
    photo = scene(384, 480, seed=5)
    for model in (None, fitted):
        clean = metrics.niqe(photo, model=model)
        for worse, small, large in ((noisy, 0.03, 0.1), (blurred, 0.8, 2)):
            scores = [clean, *(metrics.niqe(worse(photo, sigma), model=model) for sigma in (small, large))]
            assert scores == sorted(scores) and scores[2] > scores[0] + 1, (model, worse)


def test_photos_like_those_fitted_on_are_near(fitted):
    assert 0 <= metrics.niqe(scene(480, 480, seed=1), model=fitted) < 2


def test_our_own_model_is_one():
    ours = niqe.load(niqe.OURS)
    assert ours.patches > 1000 and np.linalg.eigvalsh(ours.covariance).min() > 0
    assert niqe.OURS.stat().st_size < 30_000


def test_what_was_fitted_comes_back(fitted, tmp_path):
    kept = niqe.load(fitted)
    niqe.save(kept, tmp_path / "again.npz")
    again = niqe.load(tmp_path / "again.npz")
    assert np.array_equal(again.mean, kept.mean) and np.array_equal(again.covariance, kept.covariance)
    assert 36 < again.patches == kept.patches <= 75
    assert [file.name for file in tmp_path.iterdir()] == ["again.npz"]


def test_a_gaussian_and_a_lopsided_laplacian_are_recognised():
    rng = np.random.default_rng(0)
    gaussian = rng.standard_normal((1, 200, 200))
    lopsided = rng.exponential(1, (1, 200, 200)) * np.where(rng.random((1, 200, 200)) < 2 / 3, 2, -1)
    for values, shape, left, right in ((gaussian, 2, 2**0.5, 2**0.5), (lopsided, 1, 1, 2)):
        found = np.array(niqe._gaussian(values))[:, 0]
        np.testing.assert_allclose(found, (shape, left, right), rtol=0.06)


def test_only_the_sharp_patches_are_fitted(tmp_path):
    photo = scene(960, 960)
    photo[:, :480] = blurred(photo[:, :480], 3)
    Image.fromarray(as_authors(photo)).save(tmp_path / "half.png")
    assert 36 < niqe.fit(tmp_path).patches <= 50


def test_a_flat_picture_has_no_statistics():
    assert isnan(metrics.niqe(np.full((192, 192, 3), 0.5)))


def test_niqe_refuses_what_it_cannot_measure(tmp_path, fitted):
    with pytest.raises(SettingsError, match="^niqe: the picture is 191x95, and it takes 96x192 at least; measure"):
        metrics.niqe(np.zeros((191, 95, 3)))
    with pytest.raises(SettingsError, match=r"none\.npz: there is no such file; fit one"):
        metrics.niqe(scene(96, 192), model=tmp_path / "none.npz")
    for name, write in (("junk.npz", lambda file: file.write_bytes(b"junk")), ("other.npz", save_other)):
        write(tmp_path / name)
        with pytest.raises(SettingsError, match=f"{name}: holds no statistics for NIQE; fit it"):
            niqe.load(tmp_path / name)
    np.savez(tmp_path / "few.npz", mean=np.zeros(9), covariance=np.eye(9), patches=99)
    with pytest.raises(SettingsError, match=r"few\.npz: holds 9 features and not 36; fit it again"):
        niqe.load(tmp_path / "few.npz")


def save_other(file):
    np.savez(file, mean=np.zeros(36))


def test_fitting_refuses_too_few_photos_and_broken_ones(tmp_path):
    Image.fromarray(as_authors(scene(192, 192))).save(tmp_path / "a.png")
    with pytest.raises(SettingsError, match="its photos have [1-4] sharp patches, and 36 features need more; add pho"):
        niqe.fit(tmp_path)
    (tmp_path / "b.jpg").write_bytes(b"junk")
    with pytest.raises(SettingsError, match=r"b\.jpg: no photo that can be read; take it out of the folder"):
        niqe.fit(tmp_path)


# --- LPIPS ---

ALEXNET = ((0, 3, 6, 11), (3, 6, 8, 5), (6, 8, 10, 3), (8, 10, 7, 3), (10, 7, 6, 3))
"""Position, channels in, channels out, taps; narrower than the real one."""
VGG = tuple(
    (position, min(8, 3 + i), min(8, 4 + i), 3)
    for i, position in enumerate((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28))
)
LAYERS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
"""The rectifiers whose output is compared, by position in torchvision's `features`."""


def perceptual(net: str) -> "tuple[nn.Sequential, dict[str, torch.Tensor]]":
    """torchvision's `features` with few channels and random weights, and the linear layers beside them."""
    random = torch.Generator().manual_seed(3)
    convolutions = {place: rest for place, *rest in (ALEXNET if net == "alex" else VGG)}
    layers: list[nn.Module] = []
    held = {}
    while len(layers) <= LAYERS[net][-1]:
        place = len(layers)
        if place in convolutions:
            before, after, taps = convolutions[place]
            first = taps == 11
            layer = nn.Conv2d(before, after, taps, 4 if first else 1, 2 if first else taps // 2)
            layer.weight.data = torch.randn(layer.weight.shape, generator=random) / (before**0.5 * taps)
            layer.bias.data = torch.randn(after, generator=random) / 10
            held |= {f"features.{place}.weight": layer.weight.data, f"features.{place}.bias": layer.bias.data}
            layers.append(layer)
        elif place - 1 in convolutions:
            layers.append(nn.ReLU())
        else:
            layers.append(nn.MaxPool2d(3 if net == "alex" else 2, 2))
    for i, place in enumerate(LAYERS[net]):
        width = held[f"features.{place - 1}.weight"].shape[0]
        held[f"lin{i}.model.1.weight"] = torch.rand(1, width, 1, 1, generator=random)
    return nn.Sequential(*layers), held


@NEEDS_TORCH
@pytest.mark.parametrize("net", LAYERS)
def test_lpips_is_the_weighed_distance_of_unit_features(net, tmp_path):
    layers, held = perceptual(net)
    torch.save(held, tmp_path / "weights.pth")
    reference = scene(48, 61)
    picture = noisy(reference, 0.1)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    x, y = (
        (torch.from_numpy(each).permute(2, 0, 1)[None].float() * 2 - 1 - shift[:, None, None]) / scale[:, None, None]
        for each in (picture, reference)
    )
    wanted = 0.0
    for place, layer in enumerate(layers):
        x, y = layer(x), layer(y)
        if place in LAYERS[net]:
            weights = held[f"lin{LAYERS[net].index(place)}.model.1.weight"]
            unit = [each / each.square().sum(1, keepdim=True).sqrt().add(1e-10) for each in (x, y)]
            wanted += ((unit[0] - unit[1]).square() * weights).sum(1).mean().item()
    assert wanted > 0.001
    assert metrics.lpips(picture, reference, tmp_path / "weights.pth") == pytest.approx(wanted, rel=1e-4)
    assert metrics.lpips(reference, reference, tmp_path / "weights.pth") == 0
    assert metrics.lpips(noisy(reference, 0.02), reference, tmp_path / "weights.pth") < wanted


@NEEDS_TORCH
def test_lpips_reads_the_state_dict_of_its_authors_package(tmp_path):
    _, held = perceptual("alex")
    torch.save(held, tmp_path / "pair.pth")
    slices = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}
    named = {"scaling_layer.shift": torch.zeros(1, 3, 1, 1)}
    for key, value in held.items():
        place = key.split(".")[1]
        named[key.replace("features", f"net.slice{slices[int(place)]}") if key.startswith("features") else key] = value
    torch.save(named, tmp_path / "package.pth")
    reference = scene(40, 40)
    picture = noisy(reference, 0.1)
    assert metrics.lpips(picture, reference, tmp_path / "package.pth") == metrics.lpips(
        picture, reference, tmp_path / "pair.pth"
    )


@NEEDS_TORCH
def test_lpips_refuses_what_it_cannot_measure(tmp_path):
    picture = np.zeros((30, 40, 3))
    with pytest.raises(SettingsError, match=r"none\.pth: there is no such file; name a"):
        metrics.lpips(picture, picture, tmp_path / "none.pth")
    _, held = perceptual("alex")
    torch.save(held, tmp_path / "alex.pth")
    with pytest.raises(SettingsError, match="^lpips: the picture is 30x40, and AlexNet needs 31 a side; measure a lar"):
        metrics.lpips(picture, picture, tmp_path / "alex.pth")
    torch.save({key: value for key, value in held.items() if not key.startswith("lin")}, tmp_path / "bare.pth")
    with pytest.raises(SettingsError, match=r"bare\.pth: has AlexNet's first layer but no linear0; save the state"):
        metrics.lpips(picture, picture, tmp_path / "bare.pth")
    torch.save({"features.0.weight": torch.zeros(4, 3, 5, 5)}, tmp_path / "other.pth")
    with pytest.raises(SettingsError, match=r"other\.pth: is neither AlexNet nor VGG-16; save the state dict"):
        metrics.lpips(picture, picture, tmp_path / "other.pth")


@NEEDS_TORCH
@pytest.mark.parametrize("name", lpips.BACKBONES)
def test_the_least_picture_leaves_something_of_every_layer(name, tmp_path):
    net = {"AlexNet": "alex", "VGG-16": "vgg"}[name]
    torch.save(perceptual(net)[1], tmp_path / "weights.pth")
    least = lpips.BACKBONES[name].least
    assert metrics.lpips(scene(least, least), scene(least, least, 1), tmp_path / "weights.pth") > 0


# --- coloured grain ---


def edged(side: int = 96) -> np.ndarray:
    """A grey picture with one upright edge in the middle."""
    picture = np.full((side, side, 3), 0.3, np.float32)
    picture[:, side // 2 :] = 0.8
    return picture


def coloured(seed: int, sigma: float = 0.05) -> np.ndarray:
    return sigma * np.random.default_rng(seed).standard_normal((96, 96, 3)).astype(np.float32)


def test_grain_is_what_is_coloured_fine_and_beside_an_edge():
    reference = edged()
    near, far = reference.copy(), reference.copy()
    near[:, 44:52] += coloured(0)[:, 44:52]
    far[:, :36] += coloured(0)[:, :36]
    assert metrics.grain(reference, reference) == 0
    assert metrics.grain(near, reference) > 10 and metrics.grain(far, reference) < 0.5
    assert metrics.grain(reference + coloured(0)[..., :1], reference) == pytest.approx(0, abs=1e-3), "grey noise"
    assert metrics.grain(reference * np.float32([1.1, 1, 0.9]), reference) < 10, "a cast is none, but for the edge"
    assert metrics.grain(reference + np.float32([0.1, 0, 0]), reference) == pytest.approx(0, abs=1e-3)
    assert isnan(metrics.grain(near, np.full_like(reference, 0.5)))


def test_grain_is_in_levels_of_255():
    reference = edged()
    # R - G of two draws has twice a draw's variance; a Gaussian of 2 pixels leaves nearly all of white noise.
    assert metrics.grain(reference + coloured(1, 0.02), reference) == pytest.approx(255 * 0.02 * 2**0.5, rel=0.05)


def test_grain_of_noise_leaves_out_what_both_draws_get_wrong():
    reference = edged()
    wrong = reference + 3 * coloured(2)
    assert metrics.grain_of_noise(wrong, wrong, reference) == 0
    found = metrics.grain_of_noise(wrong + coloured(3), wrong + coloured(4), reference)
    assert found == pytest.approx(metrics.grain(reference + coloured(5), reference), rel=0.1)
