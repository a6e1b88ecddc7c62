"""Picture against the photo it was made from -> one number.

(H, W, 3) float in [0, 1], sRGB-encoded, twice -> dB, or SSIM in [-1, 1].
"""

from math import inf, log10

import numpy as np
from numpy.typing import NDArray


def psnr(picture: NDArray, photo: NDArray) -> float:
    """Peak signal to noise ratio in dB over all samples of all channels; infinite where the two are equal."""
    error = np.mean(np.square(picture - photo, dtype=np.float64))
    return -10 * log10(error) if error else inf


def ssim(picture: NDArray, photo: NDArray) -> float:
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
