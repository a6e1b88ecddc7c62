"""What a network is told to make small: a weighted sum of the papers' losses.

output (N, 3, H, W), reference (N, 3, H, W) in [0, 1], sRGB-encoded -> a scalar; 0 where the two are equal.

    l1, l2          mean absolute, mean squared error                                    SID
    ssim            1 - SSIM, the mean over the pixels whose window lies inside          SID's row 5
    ms_ssim         1 - MS-SSIM, the five scales weighed as Wang et al. measured         RED
    ms_ssim_sampled the same as ms_ssim in a third of the time: one channel of each picture, every second window
    ms_ssim_even    1 - MS-SSIM, the five scales weighed alike                           Zamir, equation 7
    vgg             mean squared difference of VGG-16's relu2_2                          Zamir, equation 8

The output may leave [0, 1]. Everything is worked out in float32, inside autocast too.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache, partial, reduce
from operator import add
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.errors import SettingsError

Blur = Callable[[Tensor], Tensor]
"""(..., H, W) -> (..., rows, columns) of windows."""

TERMS = ("l1", "l2", "ssim", "ms_ssim", "ms_ssim_sampled", "ms_ssim_even", "vgg")

TAPS = 11
SIGMA = 1.5
"""Pixels: the Gaussian window of Wang et al. 2004."""
C1, C2 = 0.01**2, 0.03**2
"""Wang et al.'s K1 and K2, squared, for a data range of 1."""
SCALES = {
    "ms_ssim": (0.0448, 0.2856, 0.3001, 0.2363, 0.1333),  # Wang et al. 2003
    "ms_ssim_even": (1.0, 1.0, 1.0, 1.0, 1.0),  # "for convenience", Zamir et al.; they leave the number of scales open
}
"""Exponent of each scale, finest first; the coarsest also holds the luminance."""
FLOOR = 0.01
"""Contrast of a scale, or its SSIM for the coarsest, below which it is bent to stay above 0."""
SKIP, SKIPPED = 2, 3
"""Pixels from one window to the next where they are sampled, and on how many scales, the finest, they are."""
STRIPE = 58
"""Places of the window that one banded matrix serves: wider ones multiply more zeros, narrower ones take more calls."""


def build(terms: dict[str, float], *, vgg: Path | None = None) -> nn.Module:
    """Make `loss(output, reference) -> scalar` of TERMS with their weights.

    vgg: the file of VGG-16's weights, as `vgg.load` takes it; read only where the terms ask for it. RED is
    {l1: 0.8, ms_ssim: 0.2}; Zamir, with alpha 0.9 and beta 0.99, {l1: 0.891, ms_ssim: 0.009, vgg: 0.1}. Raises
    SettingsError for no term, an unknown one, a weight that is no number above 0, or missing VGG weights; calling the
    loss raises it for pictures smaller than `least_crop`.
    """
    return Loss(terms, _features(vgg) if "vgg" in _checked(terms) else None)


def least_crop(terms: dict[str, float]) -> int:
    """Say how many pixels a side the pictures of these terms must have."""
    return max(_LEAST.get(name, 1) for name in _checked(terms))


class Loss(nn.Module):
    """A weighted sum of terms; `features` turns (N, 3, H, W) into what the term `vgg` compares."""

    def __init__(self, terms: dict[str, float], features: nn.Module | None):
        super().__init__()
        self.terms = _checked(terms)
        self.features = features
        self.least = least_crop(terms)

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        if min(output.shape[-2:]) < self.least:
            height, width = output.shape[-2:]
            raise SettingsError(
                f"crop: the output is {height}x{width}, and {', '.join(self.terms)} needs {self.least} a side; "
                "train on larger crops"
            )
        with torch.autocast(output.device.type, enabled=False):
            output, reference = output.float(), reference.float()
            return reduce(add, [weight * self._term(name, output, reference) for name, weight in self.terms.items()])

    def _term(self, name: str, output: Tensor, reference: Tensor) -> Tensor:
        match name:
            case "l1":
                return F.l1_loss(output, reference)
            case "l2":
                return F.mse_loss(output, reference)
            case "ssim":
                return 1 - ssim(output, reference).mean()
            case "vgg":
                assert self.features
                with torch.no_grad():
                    wanted = self.features(reference)
                return F.mse_loss(self.features(output), wanted)
            case "ms_ssim_sampled":
                return 1 - _sampled(output, reference, SCALES["ms_ssim"]).mean()
            case _:
                return 1 - ms_ssim(output, reference, SCALES[name]).mean()


def ssim(output: Tensor, reference: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004) of (N, 3, H, W), H and W at least 11: (N, 3), a mean over pixels."""
    means, contrast = _compared(output, reference, _Blur.apply)
    return (_luminance(*means) * contrast).mean((-2, -1))


def ms_ssim(output: Tensor, reference: Tensor, exponents: tuple[float, ...], blurs: Sequence[Blur] = ()) -> Tensor:
    """Multi-scale structural similarity (Wang, Simoncelli, Bovik 2003) of (N, C, H, W): (N, C).

    blurs: what applies the window at each scale, else at every place where it fits. A contrast that is negative on the
    mean has no fractional power, and 0 has one of infinite slope: other implementations cut it off at 0, where the
    gradient of every scale dies with it. Here a hyperbola takes over below FLOOR, so that the loss still falls towards
    contrast of the right sign.
    """
    product = output.new_ones(output.shape[:2])
    for i, exponent in enumerate(exponents):
        if i:
            output, reference = _halved(output), _halved(reference)
        means, contrast = _compared(output, reference, blurs[i] if blurs else _Blur.apply)
        value = contrast if i < len(exponents) - 1 else _luminance(*means) * contrast
        product = product * _positive(value.mean((-2, -1))) ** exponent
    return product


def _sampled(output: Tensor, reference: Tensor, exponents: tuple[float, ...]) -> Tensor:
    """MS-SSIM of one channel of each picture, of every SKIP-th window at the finest scales: (N, 3, H, W) -> (N, 1).

    Which channel and where the windows begin follow from the reference, so that a resumed run repeats itself; over the
    batches every channel and window has its turn, and the mean is that of `ms_ssim`, for a third of the time.
    """
    picked = int(reference[:, :, 0].sum().mul(4096).item())
    picture = torch.arange(len(output), device=output.device)
    channel = (picture + picked) % output.shape[1]
    blurs = [
        partial(_blur_some, skip=SKIP if i < SKIPPED else 1, first=(picked >> i) % SKIP) for i in range(len(exponents))
    ]
    return ms_ssim(output[picture, channel, None], reference[picture, channel, None], exponents, blurs)


def _positive(value: Tensor) -> Tensor:
    """Leave what is above FLOOR; bend the rest, in one smooth and rising line, to stay above 0."""
    return torch.where(value > FLOOR, value, FLOOR**2 / (2 * FLOOR - value.clamp(max=FLOOR)))


def _compared(output: Tensor, reference: Tensor, blur: Blur) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Give the means' product and sum of squares, and SSIM's contrast times structure, (N, C, rows, columns) each."""
    planes = [output, reference, output * reference, torch.addcmul(output**2, reference, reference)]
    mean, wanted, products, both_squares = blur(torch.stack(planes))
    product, squares = mean * wanted, torch.addcmul(mean**2, wanted, wanted)
    return (product, squares), (2 * (products - product) + C2) / (both_squares - squares + C2)


def _luminance(product: Tensor, squares: Tensor) -> Tensor:
    return (2 * product + C1) / (squares + C1)


class _Blur(torch.autograd.Function):
    """The Gaussian window where all of it lies inside: (..., H, W) -> (..., H - 10, W - 10).

    Its own derivative, for the window is symmetric: the gradient is blurred likewise, with zeros all around.
    """

    @staticmethod
    def forward(_: object, picture: Tensor) -> Tensor:
        return _windowed(picture)

    @staticmethod
    def backward(_: object, gradient: Tensor) -> Tensor:
        return _windowed(F.pad(gradient, (TAPS - 1,) * 4))


def _windowed(picture: Tensor) -> Tensor:
    """Blur by banded matrices, a stripe of rows, then of columns, at a time.

    Many times as fast on the CPU as 11-tap convolutions of single channels, and CUDA by default multiplies matrices in
    full float32, convolutions in TF32, whose ten bits leave nothing of a variance.
    """
    rows = [window @ picture[..., band, :] for band, window in _stripes(picture.shape[-2], picture.device)]
    # As one matrix: a product for each picture would cost more than it computes.
    tall = torch.cat(rows, -2).flatten(0, -2)
    columns = [tall[:, band] @ window.T for band, window in _stripes(picture.shape[-1], picture.device)]
    return torch.cat(columns, -1).unflatten(0, (*picture.shape[:-2], -1))


def _blur_some(picture: Tensor, *, skip: int, first: int) -> Tensor:
    """The same at every `skip`-th place in either direction, from `first` on where that is less than `skip`."""
    rows, columns = (_places(length, skip, first % skip, picture.device) for length in picture.shape[-2:])
    across = (picture.flatten(0, -2) @ columns.T).unflatten(0, picture.shape[:-1])
    return rows @ across


@cache
def _stripes(length: int, device: torch.device) -> list[tuple[slice, Tensor]]:
    """Cut the places where the window fits into STRIPEs: what of the length each needs, and its windows as a matrix."""
    stripes = []
    for first in range(0, length - TAPS + 1, STRIPE):
        needed = slice(first, min(first + STRIPE + TAPS - 1, length))
        stripes.append((needed, _places(needed.stop - needed.start, 1, 0, device)))
    return stripes


@cache
def _places(length: int, skip: int, first: int, device: torch.device) -> Tensor:
    """The windows that start at first, first + skip, ... within a length, as a matrix: (windows, length)."""
    with torch.inference_mode(False):  # or a loss first used while validating could not be trained with
        taps = torch.exp(-((torch.arange(TAPS, dtype=torch.float64) - TAPS // 2) ** 2) / (2 * SIGMA**2))
        starts = range(first, length - TAPS + 1, skip)
        windows = torch.zeros(len(starts), length, dtype=torch.float64)
        for row, start in zip(windows, starts, strict=True):
            row[start : start + TAPS] = taps / taps.sum()
        return windows.to(device, torch.float32)


def _halved(picture: Tensor) -> Tensor:
    """Average 2 x 2 pixels; an odd last row or column counts twice, as in the authors' symmetric border."""
    height, width = picture.shape[-2:]
    if height % 2 or width % 2:
        picture = F.pad(picture, (0, width % 2, 0, height % 2), mode="replicate")
    return F.avg_pool2d(picture, 2)


_LEAST = {"vgg": 2, "ssim": TAPS} | {name: (TAPS - 1) * 2 ** (len(SCALES[name]) - 1) + 1 for name in SCALES}
_LEAST["ms_ssim_sampled"] = _LEAST["ms_ssim"]


def _checked(terms: dict[str, float]) -> dict[str, float]:
    if not terms:
        raise SettingsError(f"loss: no term; give a weight to some of {', '.join(TERMS)}")
    for name, weight in terms.items():
        if name not in TERMS:
            raise SettingsError(f"loss: {name} is no term; known are {', '.join(TERMS)}")
        if not 0 < weight < math.inf:
            raise SettingsError(f"loss: {name} has the weight {weight:g}; give it one above 0, or leave it out")
    return dict(terms)


def _features(file: Path | None) -> nn.Module:
    from darkroom.train import vgg

    return vgg.load(file)
