"""Picture against reference -> every number that was asked for.

(H, W, 3) float in [0, 1], twice -> Measured; what each number is, is told in metrics.py
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from darkroom.errors import SettingsError
from darkroom.evaluate import metrics, perceptual
from darkroom.evaluate.case import Picture, as_authors

EXPLAINED = {
    "ms-ssim": "MS-SSIM: structure at five scales, the mean over channels; 1 is equal",
    "niqe": "NIQE: how far from the statistics of clean photos, 0 the nearest; its model is of other photos than the "
    "authors', so compare within this table only",
    "lpips": "LPIPS: how different two pictures look to a network trained on objects; 0 is equal",
    "gt-gc": "GT-GC: PSNR and SSIM against the brightness of the reference, a gamma of 0.7 to 1.3, that suits best",
    "near-black": "near-black: colour error, CIEDE2000, of what is flat and near black; 0 is equal",
    "bright": "bright: PSNR of where the reference is bright; higher is better",
    "grain": "grain: coloured grain near strong edges, RMS in levels of 255, and the part of it that another draw of "
    "the noise changes; 0 is none",
    "pieapp": "PieAPP: how much worse than the reference people find it; 0 is equal",
    "dists": "DISTS: structure and texture compared by a network; 0 is equal",
    "clip-iqa": "CLIP-IQA: how good it looks by itself, 0 to 1; higher is better",
}
"""What is measured only when asked for, each in a line."""
EXTRAS = tuple(EXPLAINED)


@dataclass(frozen=True)
class Measures:
    """What to measure, and how."""

    extras: tuple[str, ...] = ()
    """Of EXTRAS."""
    eight_bit: bool = False
    """Pictures are rounded to 8 bits first, as those that published numbers did."""
    lpips_weights: Path | None = None
    align: metrics.Align | None = None
    """How pictures are brought to the reference's brightness first; None: they are taken as they are."""

    def __post_init__(self) -> None:
        """Raise SettingsError for an unknown measure, or for LPIPS without weights."""
        if unknown := sorted(set(self.extras) - set(EXTRAS)):
            raise SettingsError(f"{unknown[0]}: no such metric; beside PSNR and SSIM there are {', '.join(EXTRAS)}")
        if "lpips" in self.extras and self.lpips_weights is None:
            raise SettingsError("lpips: comes without its network's weights; give --lpips-weights FILE")


@dataclass(frozen=True)
class Measured:
    """The numbers of one picture, or their mean; None where nobody asked."""

    psnr: float
    """dB"""
    ssim: float
    ms_ssim: float | None = None
    niqe: float | None = None
    """Lower is better; not a number for a picture of flat tones."""
    lpips: float | None = None
    """Lower is better."""
    gt_gc_psnr: float | None = None
    """dB, against the brightness of the reference that suits the picture best (RED, table 2)."""
    gt_gc_ssim: float | None = None
    near_black: float | None = None
    """CIEDE2000, see `metrics.near_black`; not a number for a picture without flat near-black."""
    bright: float | None = None
    """dB, see `metrics.bright`; not a number for a picture without bright places."""
    pieapp: float | None = None
    """Lower is better; see perceptual.py, as for the next two."""
    dists: float | None = None
    clip_iqa: float | None = None
    """Higher is better."""
    grain: float | None = None
    """0..255, see `metrics.grain`; not a number for a picture without strong edges."""
    grain_noise: float | None = None
    """0..255, see `metrics.grain_of_noise`; None, too, where the scene was recorded once only."""


def measure(picture: Picture, reference: Picture, wanted: Measures, again: Picture | None = None) -> Measured:
    """Compare; raises SettingsError where a picture is too small for what was asked for.

    again: the same scene, developed from another draw of the noise.
    """
    if wanted.align:
        picture = metrics.aligned(picture, reference, wanted.align)
        again = None if again is None else metrics.aligned(again, reference, wanted.align)
    psnr, ssim = (metrics.psnr8, metrics.ssim8) if wanted.eight_bit else (metrics.psnr, metrics.ssim)
    if wanted.eight_bit:
        picture, reference = (as_authors(each).astype(np.float32) / np.float32(255) for each in (picture, reference))
    extras, weights = wanted.extras, wanted.lpips_weights
    return Measured(
        psnr=psnr(picture, reference),
        ssim=ssim(picture, reference),
        ms_ssim=metrics.ms_ssim(picture, reference) if "ms-ssim" in extras else None,
        niqe=metrics.niqe(picture) if "niqe" in extras else None,
        lpips=metrics.lpips(picture, reference, weights) if "lpips" in extras and weights else None,
        gt_gc_psnr=metrics.gt_gc(picture, reference, psnr)[0] if "gt-gc" in extras else None,
        gt_gc_ssim=metrics.gt_gc(picture, reference, ssim)[0] if "gt-gc" in extras else None,
        near_black=metrics.near_black(picture, reference) if "near-black" in extras else None,
        bright=metrics.bright(picture, reference) if "bright" in extras else None,
        **{
            name.replace("-", "_"): perceptual.score(name, picture, reference)
            for name in perceptual.CLASSES
            if name in extras
        },
        grain=metrics.grain(picture, reference) if "grain" in extras else None,
        grain_noise=metrics.grain_of_noise(picture, again, reference)
        if "grain" in extras and again is not None
        else None,
    )


def called(data: str, wanted: Measures) -> str:
    """Name data by what was done to its pictures, too: what was aligned is not averaged with what was not."""
    return f"{data}, aligned by {wanted.align}" if wanted.align else data


def settings(eight_bit: bool) -> str:
    """Name how the numbers came about, in one line."""
    if eight_bit:
        return (
            "8-bit pictures; scikit-image's SSIM with gaussian_weights, sigma 1.5, use_sample_covariance False, "
            "data_range 255, mean over channels"
        )
    return (
        "scikit-image's SSIM with gaussian_weights, sigma 1.5, use_sample_covariance True, data_range 1, "
        "mean over channels"
    )
