"""Losses: what they are worth by hand, by other programs, and that a network can follow them down."""

from math import inf

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from darkroom.errors import SettingsError
from darkroom.evaluate import metrics
from darkroom.train import losses, vgg

PLAIN = [name for name in losses.TERMS if name != "vgg"]
ZAMIR = {"l1": 0.891, "ms_ssim": 0.009, "vgg": 0.1}


def scene(*shape: int, seed: int = 0) -> torch.Tensor:
    """A smooth picture (N, 3, H, W) with detail at every scale."""
    random = torch.Generator().manual_seed(seed)
    picture = torch.zeros(*shape)
    for side in (4, 16, 64):
        coarse = torch.rand(*shape[:2], side, side, generator=random)
        picture += F.interpolate(coarse, shape[2:], mode="bicubic", align_corners=False) / 3
    return picture.clamp(0, 1)


def noisy(picture: torch.Tensor, sigma: float = 0.1) -> torch.Tensor:
    return picture + sigma * torch.randn(picture.shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def weights(tmp_path):
    """A file of a small, random VGG-16: a quarter of the channels, with torchvision's names."""
    file = tmp_path / "vgg16.pth"
    torch.save(small_vgg(), file)
    return file


def small_vgg() -> dict[str, torch.Tensor]:
    random, held, channels = torch.Generator().manual_seed(2), {}, 3
    for position, width in zip((0, 2, 5, 7), (16, 16, 32, 32), strict=True):
        held[f"features.{position}.weight"] = torch.randn(width, channels, 3, 3, generator=random) / channels**0.5 / 3
        held[f"features.{position}.bias"] = torch.randn(width, generator=random) / 10
        channels = width
    return held | {"classifier.0.weight": torch.zeros(2, 2)}


def built(name: str, weights) -> nn.Module:
    return losses.build({name: 1.0}, vgg=weights)


# --- what they are worth ---


@pytest.mark.parametrize("name", losses.TERMS)
def test_a_picture_like_its_reference_costs_nothing(name, weights):
    picture = scene(1, 3, 162, 171)
    assert built(name, weights)(picture, picture).item() == pytest.approx(0, abs=1e-6)


def test_losses_of_flat_pictures_are_what_one_works_out_by_hand():
    output, reference = torch.full((2, 3, 161, 161), 0.25), torch.full((2, 3, 161, 161), 0.5)
    luminance = (2 * 0.125 + 1e-4) / (0.0625 + 0.25 + 1e-4)
    wanted = {
        "l1": 0.25,
        "l2": 0.0625,
        "ssim": 1 - luminance,
        "ms_ssim": 1 - luminance**0.1333,  # only the coarsest scale holds luminance
        "ms_ssim_even": 1 - luminance,
    }
    for name, value in wanted.items():
        assert losses.build({name: 1.0})(output, reference).item() == pytest.approx(value, abs=2e-4), name


def test_the_blur_and_its_derivative_are_those_of_a_convolution():
    """Over several stripes, the last of them narrower, in both directions."""
    picture, weights = noisy(scene(2, 3, 75, 190)).requires_grad_(), noisy(torch.zeros(2, 3, 65, 180))
    taps = torch.exp(-((torch.arange(11.0) - 5) ** 2) / (2 * 1.5**2))
    window = torch.outer(taps, taps) / taps.sum() ** 2
    plain = F.conv2d(picture, window.expand(3, 1, 11, 11), groups=3)
    (wanted,) = torch.autograd.grad((plain * weights).sum(), picture)
    blurred = losses._Blur.apply(picture)
    (found,) = torch.autograd.grad((blurred * weights).sum(), picture)
    torch.testing.assert_close(blurred, plain, atol=1e-5, rtol=0)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_ssim_is_that_of_scikit_image_inside_the_borders():
    from skimage.metrics import structural_similarity

    reference = scene(1, 3, 40, 53)
    output = noisy(reference)
    _, places = structural_similarity(
        *(each[0].numpy().astype(np.float64) for each in (output, reference)),
        channel_axis=0, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True,
    )  # fmt: skip
    wanted = places[:, 5:-5, 5:-5].mean((1, 2))
    np.testing.assert_allclose(losses.ssim(output, reference)[0], wanted, atol=1e-5)
    assert losses.build({"ssim": 1.0})(output, reference).item() == pytest.approx(1 - wanted.mean(), abs=1e-5)


@pytest.mark.parametrize("size", [(176, 192), (163, 170)])
def test_ms_ssim_is_that_of_the_evaluation(size):
    reference = scene(1, 3, *size)
    output = noisy(reference)
    measured = metrics.ms_ssim(*(each[0].permute(1, 2, 0).numpy() for each in (output, reference)))
    assert measured < 0.95
    assert losses.build({"ms_ssim": 1.0})(output, reference).item() == pytest.approx(1 - measured, abs=1e-5)


def test_every_scale_of_the_even_kind_weighs_alike():
    reference = scene(1, 3, 176, 176)
    fine, coarse = noisy(reference), reference + F.interpolate(noisy(torch.zeros(1, 3, 11, 11)), (176, 176))
    ratios = []
    for output in (fine, coarse):
        measured, even = (losses.ms_ssim(output, reference, losses.SCALES[name]).mean() for name in losses.SCALES)
        ratios.append((1 - measured) / (1 - even))
    assert ratios[0] < ratios[1] / 2, "Wang's own weights are blind to the finest scale"


def test_the_sum_weighs_its_terms(weights):
    reference = scene(1, 3, 164, 161)
    output = noisy(reference)
    wanted = sum(weight * built(name, weights)(output, reference) for name, weight in ZAMIR.items())
    assert losses.build(ZAMIR, vgg=weights)(output, reference).item() == pytest.approx(wanted.item(), rel=1e-6)


# --- followed down ---


@pytest.mark.parametrize("name", losses.TERMS)
def test_every_loss_falls(name, weights):
    reference = scene(1, 3, 164, 164)
    output = noisy(reference, 0.2).requires_grad_()
    heard = follow(built(name, weights), output, reference, steps=6)
    assert heard[-1] < 0.8 * heard[0]
    assert F.mse_loss(output.detach(), reference) < 0.04, "towards the reference, not past it"


def test_ms_ssim_falls_from_negative_contrast_where_others_have_no_gradient():
    reference = scene(1, 3, 161, 161)
    output = (0.6 - 0.2 * reference).requires_grad_()
    heard = follow(losses.build({"ms_ssim": 1.0}), output, reference, steps=12)
    assert heard[0] > 0.999 and np.isfinite(heard).all() and output.isfinite().all()
    assert heard[-1] < 0.9


@pytest.mark.parametrize("name", ["ms_ssim", "ms_ssim_even"])
@pytest.mark.parametrize("start", [0.0, 0.5, 3.0])
def test_ms_ssim_falls_from_no_contrast_at_all(name, start):
    reference = scene(1, 3, 161, 161)
    output = torch.full_like(reference, start).requires_grad_()
    heard = follow(losses.build({name: 1.0}), output, reference, steps=6)
    assert np.isfinite(heard).all() and output.isfinite().all()
    assert heard[-1] < heard[0] - 1e-3


def test_sampled_ms_ssim_has_the_mean_of_all_of_it():
    """Over many pictures, for each is judged by one channel and by a quarter of its windows."""
    reference = torch.cat([scene(1, 3, 180, 180, seed=seed) for seed in range(24)])
    output = noisy(reference)
    exact = losses.build({"ms_ssim": 1.0})(output, reference).item()
    assert losses.build({"ms_ssim_sampled": 1.0})(output, reference).item() == pytest.approx(exact, rel=0.03)


def test_sampled_ms_ssim_turns_to_every_channel_and_window():
    reference = scene(1, 3, 180, 180)
    untouched = torch.ones(1, 3, 180, 180, dtype=torch.bool)
    for brighter in np.linspace(0, 0.01, 40):  # another batch: another channel, other windows
        output = noisy(reference).requires_grad_()
        losses.build({"ms_ssim_sampled": 1.0})(output, reference + float(brighter)).backward()
        assert output.grad.abs().sum((0, 2, 3)).count_nonzero() == 1, "one channel a picture"
        untouched &= output.grad == 0
    assert not untouched.any()


def follow(loss: nn.Module, output: torch.Tensor, reference: torch.Tensor, steps: int) -> list[float]:
    optimiser = torch.optim.Adam([output], 0.03)
    heard = []
    for _ in range(steps):
        value = loss(output, reference)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        heard.append(value.item())
    return heard


def test_autocast_changes_nothing(weights):
    reference = scene(1, 3, 161, 161)
    output = noisy(reference)
    loss = losses.build(ZAMIR | {"ssim": 0.1, "l2": 0.1}, vgg=weights)
    plain = loss(output, reference)
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(output, reference).item() == plain.item()
        rounded = loss(output.bfloat16(), reference)
    assert rounded.dtype == torch.float32 and rounded.item() == pytest.approx(plain.item(), rel=0.02)


def test_a_loss_that_validated_first_can_still_be_trained_with():
    losses._stripes.cache_clear()
    loss, reference = losses.build({"ssim": 1.0}), scene(1, 3, 30, 31)
    with torch.inference_mode():
        loss(noisy(reference), reference)
    output = noisy(reference).requires_grad_()
    loss(output, reference).backward()
    assert output.grad.abs().max() > 0


# --- what is refused ---


def test_the_least_crop_is_the_least_that_works(weights):
    wanted = {"l1": 1, "l2": 1, "ssim": 11, "ms_ssim": 161, "ms_ssim_sampled": 161, "ms_ssim_even": 161, "vgg": 2}
    assert {name: losses.least_crop({name: 1.0}) for name in losses.TERMS} == wanted
    assert losses.least_crop(ZAMIR) == 161
    for name, least in wanted.items():
        loss, picture = built(name, weights), torch.rand(1, 3, least, least + 3)
        assert loss(picture, picture).isfinite()
        if least > 1:
            with pytest.raises(SettingsError, match=f"^crop: .* {name} needs {least} a side; train on larger crops$"):
                loss(picture[..., 1:, :], picture[..., 1:, :])


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({}, "loss: no term; give a weight to some of l1"),
        ({"l1": 1.0, "gan": 0.1}, "loss: gan is no term; known are l1, l2, ssim"),
        ({"l1": -1.0}, "loss: l1 has the weight -1; give it one above 0"),
        ({"l1": inf}, "loss: l1 has the weight inf"),
    ],
)
def test_terms_that_make_no_sense_are_refused(terms, said):
    for use in (losses.build, losses.least_crop):
        with pytest.raises(SettingsError, match=f"^{said}"):
            use(terms)


# --- VGG ---


def test_vgg_goes_to_relu2_2_of_normalised_pictures(weights):
    held = {key.removeprefix("features."): value for key, value in small_vgg().items() if key.startswith("features")}
    layers = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
    )  # fmt: skip
    layers.load_state_dict(held)
    picture = scene(2, 3, 20, 27)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    features = vgg.load(weights)(picture)
    assert features.shape == (2, 32, 10, 13) and features.min() == 0
    wanted = layers((picture - mean[:, None, None]) / deviation[:, None, None])
    torch.testing.assert_close(features, wanted.detach())


def test_vgg_is_never_trained_nor_saved(weights):
    loss = losses.build({"vgg": 1.0}, vgg=weights)
    assert not list(loss.parameters()) and not loss.state_dict()


def test_vgg_reads_safetensors_too(weights):
    file = weights.with_suffix(".safetensors")
    save_file(small_vgg(), file)
    picture = scene(1, 3, 8, 8)
    assert torch.equal(vgg.load(file)(picture), vgg.load(weights)(picture))


def test_vgg_is_found_in_torchvisions_cache(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(SettingsError, match="^vgg: needs VGG-16's weights, and .*hub/checkpoints holds no vgg16-"):
        losses.build({"vgg": 1.0})
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    weights.rename(tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth")
    assert vgg.load(None)(scene(1, 3, 8, 8)).shape == (1, 32, 4, 4)


def test_vgg_is_asked_for_only_where_it_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    losses.build(dict.fromkeys(PLAIN, 1.0))


def test_files_that_hold_no_vgg_are_refused_by_name(tmp_path):
    with pytest.raises(SettingsError, match=r"none\.pth: there is no such file; name a"):
        vgg.load(tmp_path / "none.pth")
    for name in ("junk.pth", "junk.safetensors", "empty.pth"):
        (tmp_path / name).write_bytes(b"" if name == "empty.pth" else b"junk")
        with pytest.raises(SettingsError, match=f"{name}: holds no plain state dict .*; save a network's state_dict"):
            vgg.load(tmp_path / name)
    torch.save(nn.Conv2d(3, 4, 3), tmp_path / "network.pth")  # a pickle of code
    with pytest.raises(SettingsError, match=r"network\.pth: holds no plain state dict"):
        vgg.load(tmp_path / "network.pth")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(SettingsError, match=r"list\.pth: holds no plain state dict; save"):
        vgg.load(tmp_path / "list.pth")
    torch.save(small_vgg() | {"features.5.weight": torch.zeros(8, 16, 1, 1)}, tmp_path / "other.pth")
    with pytest.raises(SettingsError, match=r"other\.pth: features\.5 is not VGG-16's; name the file of torchvision's"):
        vgg.load(tmp_path / "other.pth")
