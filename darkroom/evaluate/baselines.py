"""What a photographer has without a network: the same dark raw, amplified and rendered by LibRaw, denoised by BM3D, or
the median of a burst.

Frame, ratio -> (H, W, 3) float32 in [0, 1], of the visible window.

SID helps its baselines with what only the reference can tell: its white balance, and the mean of each channel.
Outside the decoder's process this is the only import of rawpy: it renders files that were written here.

BM3D (Dabov et al. 2007; Mäkinen et al. 2020) is Tampere University's own package `bm3d`, free for non-commercial use
only.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from darkroom.decode.raw import CURVES, Curve
from darkroom.errors import SettingsError
from darkroom.evaluate import metrics
from darkroom.evaluate.case import Picture
from darkroom.frame import CELL, Frame
from darkroom.write import dng

BLACK, WHITE = 1 << 15, (1 << 16) - 1
"""DN of black and white in the amplified mosaic: noise stays unclipped down to a light of -1."""

SIGMAS = (0.1, 0.14, 0.2, 0.28, 0.4, 0.55)
"""Noise that BM3D may be told of, sd of the encoded picture in [0, 1]; x100 wants the third, x300 the last."""

LICENCE = "bm3d: package of Tampere University, free for non-commercial use only"

XTRANS_SIDE = 512
"""Pixels: LibRaw refuses to interpolate X-Trans pictures with a shorter side (TS in its xtrans_demosaic.cpp)."""

ROWS = 256
"""Rows of a burst whose median is taken at a time."""


def libraw(frame: Frame, ratio: float, curve: Curve = "srgb") -> Picture:
    """Amplify the mosaic in floating point and let LibRaw render it plainly.

    Camera white balance, LibRaw's default demosaic, no automatic brightness, not turned. LibRaw clips below black
    before it demosaics, as it does with any raw. Raises SettingsError for an X-Trans frame too small for it.
    """
    import rawpy

    height, width = frame.visible.height, frame.visible.width
    if frame.cfa == "xtrans" and min(height, width) < XTRANS_SIDE:
        raise SettingsError(
            f"libraw: cannot interpolate X-Trans of {height}x{width}; "
            f"use photos and a crop of at least {XTRANS_SIDE} a side"
        )
    power, slope = CURVES[curve]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "bright.dng"
        write_bright(frame, ratio, path)
        with rawpy.imread(str(path)) as raw:
            picture = raw.postprocess(
                use_camera_wb=True,
                no_auto_bright=True,
                adjust_maximum_thr=0.0,  # else white becomes the brightest site, and the picture brighter
                gamma=(power, slope),
                output_bps=16,
                user_flip=0,
            )
    return picture.astype(np.float32) / np.float32(65535)


def median(frames: Sequence[Frame]) -> Frame:
    """Join a burst of one scene: the median of each site, in halves of a DN where the burst is even.

    SID does not say whether it takes the median before or after rendering. Before is the better: LibRaw clips below
    black, which brightens what it interpolates, and a median has less to be clipped.
    """
    height, width = frames[0].mosaic.shape
    mosaic = np.empty((height, width), np.float32)
    for top in range(0, height, ROWS):
        mosaic[top : top + ROWS] = np.median([frame.mosaic[top : top + ROWS] for frame in frames], axis=0)
    return replace(frames[0], mosaic=mosaic)  # type: ignore[arg-type]  # halves of a DN, which no file holds


def to_means(picture: Picture, reference: Picture) -> Picture:
    """Scale each channel to the reference's mean, as SID does before it compares; clipped at 1 once more."""
    means, wanted = picture.mean((0, 1), np.float64), reference.mean((0, 1), np.float64)
    factors = np.divide(wanted, means, out=np.ones(3), where=means > 0)
    return np.minimum(picture * factors.astype(np.float32), 1)


def write_bright(frame: Frame, ratio: float, path: Path) -> None:
    """Write the visible mosaic, amplified and clipped above, as a 16-bit DNG of the same phase, gains and matrix."""
    window, cell = frame.visible, len(CELL[frame.cfa])
    height, width = frame.mosaic.shape
    black = np.tile(frame.black, (-(-height // cell), -(-width // cell)))[:height, :width]
    light = (frame.mosaic - black) * (np.float32(ratio) / (np.float32(frame.white) - black))
    bright = np.clip(np.rint(light * np.float32(WHITE - BLACK) + np.float32(BLACK)), 0, WHITE).astype(np.uint16)
    dng.write(
        path,
        bright[window.top : window.top + window.height, window.left : window.left + window.width],
        cfa=frame.cfa,
        phase=(window.top % cell, window.left % cell),
        black=BLACK,
        white=WHITE,
        white_balance=frame.white_balance,
        camera_to_srgb=frame.camera_to_srgb,
    )


def bm3d(noisy: Picture, reference: Picture, sigma: float | None = None) -> tuple[Picture, float]:
    """Denoise, told of noise of this sd: the picture, and the sigma.

    Without one, the best of `SIGMAS` is taken: what comes nearest to the reference. That choice needs the reference, so
    it flatters BM3D. The PSNR rises to one peak over sigma, and each try costs a core many seconds: so the search
    starts at twice the noisy picture's error and climbs. Raises SettingsError where the package is missing.
    """
    try:
        from bm3d import bm3d_rgb
    except ImportError:
        raise SettingsError(
            "bm3d: not installed; `pip install 'darkroom-raw[bm3d]'`, for non-commercial use only by its licence"
        ) from None

    def denoised(sigma: float) -> Picture:
        return np.clip(bm3d_rgb(noisy, sigma), 0, 1).astype(np.float32)

    if sigma is not None:
        return denoised(sigma), sigma

    @cache
    def tried(index: int) -> tuple[float, Picture]:
        picture = denoised(SIGMAS[index])
        return metrics.psnr(picture, reference), picture

    start = 2 * np.sqrt(np.mean(np.square(noisy - reference)))
    best = int(np.argmin(abs(np.log(SIGMAS) - np.log(max(start, SIGMAS[0])))))
    for step in (1, -1):
        while 0 <= best + step < len(SIGMAS) and tried(best + step)[0] > tried(best)[0]:
            best += step
    return tried(best)[1], SIGMAS[best]


def decode(path: Path) -> NDArray[np.uint16]:
    """Decode a raw file in this process, unprotected, to measure what the protection of `raw.read` costs."""
    import rawpy

    with rawpy.imread(str(path)) as raw:
        return raw.raw_image_visible.copy()
