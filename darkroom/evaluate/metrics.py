"""Picture against the photo it was made from -> one number.

(H, W, 3) float in [0, 1], sRGB-encoded, twice -> dB, or a similarity in [-1, 1].

NIQE needs no photo: lower is better, 0 the least. LPIPS, too, is lower for the better picture.

MS-SSIM is ours because `torchmetrics`, whose figures are the same (0.9024 and 0.9024, 0.6207 and 0.6201 at noise of
0.05 and 0.2), takes twice the time (3.9 s and 8.0 s for 1.5 MP on 2 busy cores with AVX-512) and needs torch, which
evaluating does not.

What was published was measured on 8 bits: `psnr8` and `ssim8` as with scikit-image, `ssim_volume` as MATLAB's `ssim`
does to an RGB picture, which is where the scores of SID's and RED's authors come from.
"""

from collections.abc import Callable
from math import inf, log10, nan
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from darkroom.errors import SettingsError
from darkroom.evaluate.case import as_authors

Array = NDArray[np.floating]

RADIUS, SIGMA = 5, 1.5
"""Pixels: the Gaussian window of Wang et al. 2004, 11 taps a side."""
C1, C2 = 0.01**2, 0.03**2
"""Wang et al.'s K1 and K2, squared, for a data range of 1."""
BAND = 256
"""Rows of a volume at a time: 12 MP at once would take 3 GB."""
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the five scales of MS-SSIM, finest first (Wang, Simoncelli, Bovik 2003)."""
BRIGHT = 0.75
"""sRGB, half of white as light: above it a place is bright."""
NEAR_BLACK_SIDE = 16
"""Pixels along a side of the blocks whose colour is compared."""
NEAR_BLACK, NEAR_BLACK_SPREAD = 40 / 255, 6 / 255
"""Encoded brightness below which a block is near black, and the spread below which it is flat."""
EDGE, EDGE_REACH = 0.1, 6
"""Step of the encoded luminance from pixel to pixel (Sobel) that makes a strong edge, and the pixels around it where
coloured grain is seen."""
GRAIN_SIGMA = 2.0
"""Pixels: what is much wider than that is no grain, but a blotch or a cast."""
Align = Literal["gain", "channels"]
GAMMAS = tuple(round(0.7 + 0.03 * i, 2) for i in range(21))
"""Brightnesses of the reference that GT-GC accepts: 0.7 to 1.3 (RED, section 4.3)."""


def psnr(picture: Array, photo: Array) -> float:
    """Peak signal to noise ratio in dB over all samples of all channels; infinite where the two are equal."""
    error = np.mean(np.square(picture - photo, dtype=np.float64))
    return -10 * log10(error) if error else inf


def aligned(picture: Array, reference: Array, how: Align) -> Array:
    """Bring the brightness of a picture to the reference's by least squares.

    gain: one factor, over the samples where the reference is not saturated, as ELD's authors do (Wei et al. 2020).
    channels: a factor and an offset for each channel, for systems whose colours drift.
    """
    if how == "gain":
        open_ = reference < 1
        x, y = picture[open_].astype(np.float64), reference[open_].astype(np.float64)
        return picture * np.float32(x @ y / (x @ x) if x.any() else 1)
    fitted = np.empty_like(picture)
    for channel in range(picture.shape[2]):
        x, y = (each[..., channel].ravel().astype(np.float64) for each in (picture, reference))
        slope = np.cov(x, y)[0, 1] / x.var(ddof=1) if x.any() and x.var() else 0.0
        fitted[..., channel] = picture[..., channel] * np.float32(slope) + np.float32(y.mean() - slope * x.mean())
    return np.clip(fitted, 0, 1)


def ssim(picture: Array, photo: Array) -> float:
    """Structural similarity (Wang et al. 2004): the mean over channels and over a Gaussian window of sigma 1.5 pixels.

    scikit-image's, with `use_sample_covariance` left at its True. Both sides must have 11 pixels at least.
    """
    from skimage.metrics import structural_similarity

    return float(
        structural_similarity(
            photo,
            picture,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=True,
            data_range=1,
        )
    )


def psnr8(picture: Array, photo: Array) -> float:
    """`psnr` of both pictures rounded to 8 bits, in dB."""
    return psnr(_levels(picture), _levels(photo))


def ssim8(picture: Array, photo: Array) -> float:
    """SSIM of both pictures rounded to 8 bits, channel by channel.

    scikit-image's with the settings of the widely quoted measurement of SID's weights (cydonia999): Gaussian window of
    sigma 1.5, `use_sample_covariance` False, data range 255.
    """
    from skimage.metrics import structural_similarity

    return float(
        structural_similarity(
            as_authors(photo),
            as_authors(picture),
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
        )
    )


def ssim_volume(picture: Array, photo: Array) -> float:
    """SSIM of both pictures rounded to 8 bits, as MATLAB's `ssim` works it out for an RGB array.

    It takes the array for a volume of three slices and blurs across the colours too, borders repeated outward, and
    averages to the very edge.
    """
    taps = _taps()
    # The same 11 taps across three colours, the outer two repeated: which colour each tap falls on.
    across = np.zeros((3, 3))
    for colour in range(3):
        np.add.at(across[colour], np.clip(np.arange(colour - RADIUS, colour + RADIUS + 1), 0, 2), taps)

    def blur(planes: Array) -> Array:
        return np.tensordot(across, np.stack([_blurred(plane)[RADIUS:-RADIUS] for plane in planes]), 1)

    border = ((0, 0), (RADIUS, RADIUS), (0, 0))
    x, y = (np.pad(as_authors(each).transpose(2, 0, 1), border, mode="edge") for each in (picture, photo))
    total = 0.0
    for top in range(0, picture.shape[0], BAND):
        rows = slice(top, top + BAND + 2 * RADIUS)
        luminance, contrast = _compared(x[:, rows] / 255, y[:, rows] / 255, blur)
        total += np.sum(luminance * contrast)
    return float(total / picture.size)


def ms_ssim(picture: Array, reference: Array) -> float:
    """Multi-scale structural similarity (Wang, Simoncelli, Bovik 2003): the mean over channels.

    Only pixels whose window lies inside count; a scale whose contrast is negative on the mean makes its channel 0, as
    in pytorch-msssim. Raises SettingsError where a side has fewer than 161 pixels.
    """
    least = 2 * RADIUS * 2 ** (len(EXPONENTS) - 1) + 1
    if min(picture.shape[:2]) < least:
        raise SettingsError(
            f"ms-ssim: the picture is {picture.shape[0]}x{picture.shape[1]}, and five scales need {least} a side; "
            "measure a larger one, or leave it out"
        )

    def inside(plane: Array) -> Array:
        return _blurred(plane)[RADIUS:-RADIUS, RADIUS:-RADIUS]

    channels = []
    for channel in range(picture.shape[2]):
        x: Array = picture[..., channel].astype(np.float64)
        y: Array = reference[..., channel].astype(np.float64)
        product = 1.0
        for i, exponent in enumerate(EXPONENTS):
            if i:
                x, y = _halved(x), _halved(y)
            luminance, contrast = _compared(x, y, inside)
            product *= max(0, float(np.mean(contrast if i < len(EXPONENTS) - 1 else luminance * contrast))) ** exponent
        channels.append(product)
    return float(np.mean(channels))


def gt_gc(
    picture: Array,
    reference: Array,
    metric: Callable[[Array, Array], float],
) -> tuple[float, float]:
    """Score the picture against the brightness of the reference that suits it best (RED, table 2: "GT-GC").

    metric: one of this module's whose larger value is the better. Returns the best score over GAMMAS of
    reference ** gamma, and that gamma.
    """
    return max((metric(picture, np.clip(reference, 0, 1) ** np.float32(gamma)), gamma) for gamma in GAMMAS)


def near_black(picture: Array, reference: Array) -> float:
    """Mean colour error, CIEDE2000, of what is flat and near black in the reference; nan where nothing is.

    Blocks of NEAR_BLACK_SIDE pixels are compared by their mean colour: noise averages out, a cast or a lifted black
    stays.
    """
    from skimage.color import deltaE_ciede2000, rgb2lab

    side = NEAR_BLACK_SIDE
    height, width = (length // side * side for length in reference.shape[:2])
    blocks = reference[:height, :width].reshape(height // side, side, width // side, side, 3).swapaxes(1, 2)
    shown = picture[:height, :width].reshape(blocks.swapaxes(1, 2).shape).swapaxes(1, 2)
    chosen = (blocks.mean((2, 3, 4)) < NEAR_BLACK) & (blocks.std((2, 3)).max(-1) < NEAR_BLACK_SPREAD)
    if not chosen.any():
        return nan
    lab = [rgb2lab(each[chosen].mean((1, 2)).astype(np.float64)) for each in (blocks, shown)]
    return float(np.mean(deltaE_ciede2000(*lab)))


def bright(picture: Array, reference: Array) -> float:
    """PSNR, dB, of where the reference is bright, its mean over colours above BRIGHT; nan where it nowhere is.

    There light near white is amplified together with its noise: what is cut off above white before the network sees it
    makes the rest too dark.
    """
    there = reference.mean(2) > BRIGHT
    return psnr(picture[there], reference[there]) if there.any() else nan


def grain(picture: Array, reference: Array) -> float:
    """Coloured grain at edges, in levels of 255: what no mean over a photo shows, and every eye does.

    RMS, over R - G and B - G, of the error with all that is coarser than GRAIN_SIGMA taken out, within EDGE_REACH
    pixels of the reference's strong edges; nan where it has none.
    """
    return _grain(picture - reference, reference)


def grain_of_noise(picture: Array, again: Array, reference: Array) -> float:
    """The part of `grain` that the noise draws: from two pictures of one scene, each from noise of its own.

    Their difference, so measured, over the square root of 2; what both get wrong alike, blurred or false colours, is
    not in it.
    """
    return _grain(picture - again, reference) / 2**0.5


def _grain(error: Array, reference: Array) -> float:
    from scipy.ndimage import distance_transform_edt, gaussian_filter, sobel

    luminance = reference @ np.array([0.299, 0.587, 0.114], reference.dtype)
    steps = np.hypot(sobel(luminance, 0), sobel(luminance, 1)) / 8
    near = distance_transform_edt(steps <= EDGE) <= EDGE_REACH
    if steps.max() <= EDGE:
        return nan
    planes = (error[..., colour] - error[..., 1] for colour in (0, 2))
    squares = (np.square(plane - gaussian_filter(plane, GRAIN_SIGMA))[near].mean(dtype=np.float64) for plane in planes)
    return 255 * float(np.mean(list(squares))) ** 0.5


def niqe(picture: Array, *, model: Path | None = None) -> float:
    """Naturalness (Mittal, Soundararajan, Bovik 2013); lower is better.

    model: the statistics of clean photos, as `darkroom.evaluate.niqe.save` writes them; ours where none is named. See
    there for what is raised and when there is no number.
    """
    from darkroom.evaluate import niqe as natural

    return natural.score(picture, natural.load(model or natural.OURS))


def lpips(picture: Array, reference: Array, weights: Path) -> float:
    """Perceptual distance (Zhang et al. 2018) by the networks of a file; see `darkroom.evaluate.lpips`."""
    from darkroom.evaluate.lpips import distance

    return distance(picture, reference, weights)


def _levels(picture: Array) -> NDArray[np.float64]:
    return as_authors(picture) / 255


def _taps() -> NDArray[np.float64]:
    taps = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * SIGMA**2))
    return taps / taps.sum()


def _blurred(plane: Array) -> Array:
    """Blur (H, W), its borders repeated outward."""
    from scipy.ndimage import correlate1d

    return correlate1d(correlate1d(plane, _taps(), 0, mode="nearest"), _taps(), 1, mode="nearest")


def _compared(x: Array, y: Array, blur: Callable[[Array], Array]) -> tuple[Array, Array]:
    """SSIM's luminance, and its contrast times structure, at each place that `blur` returns."""
    mean, wanted = blur(x), blur(y)
    product, squares = mean * wanted, mean**2 + wanted**2
    covariance = blur(x * y) - product
    variances = blur(x**2 + y**2) - squares
    return (2 * product + C1) / (squares + C1), (2 * covariance + C2) / (variances + C2)


def _halved(plane: Array) -> Array:
    """Average 2 x 2 pixels; an odd last row or column counts twice, as in the authors' symmetric border."""
    plane = np.pad(plane, [(0, length % 2) for length in plane.shape], mode="edge")
    return (plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]) / 4
