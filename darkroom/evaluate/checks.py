"""What a mean over photos does not show: noise left in real frames of a still scene, and detail lost in a good photo.

raw files, a network -> one line's numbers each

Pictures are compared as they are seen: sRGB-encoded, in [0, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darkroom.decode import raw
from darkroom.develop import pipeline
from darkroom.develop.amplifier import Amp
from darkroom.develop.finish import Look
from darkroom.develop.model import Model
from darkroom.develop.pipeline import Settings
from darkroom.errors import SettingsError
from darkroom.evaluate import baselines, metrics
from darkroom.frame import Frame

PLAIN = Look(highlights="clip")
"""What is compared is the network, not how lights are shown."""


@dataclass(frozen=True)
class Still:
    """What a network does to frames of one still scene."""

    frames: int
    noise: float
    """sd of one plainly demosaiced frame's noise."""
    removed: float
    """Share of the noise variance that is gone: one developed frame against the mean of the other plain ones."""
    lost: float
    """What the mean of the developed frames differs from that of the plain ones, in shares of the noise variance:
    detail and brightness lost, whatever noise is left in either mean taken out."""


def still(paths: Sequence[Path], model: Model, amp: Amp) -> Still:
    """Measure the noise left in frames of one scene that stands still, and what went with it.

    The others' mean has noise of its own, 1 / (n - 1) of a frame's, which is subtracted. Raises SettingsError for
    less than three frames or frames of different sizes; RawError as `raw.read`.
    """
    if len(paths) < 3:
        raise SettingsError(f"{len(paths)} frames: too few to tell noise from scene; give three or more of one scene")
    frames = [raw.read(path) for path in paths]
    plain = _developed(frames, model, Settings(amp=amp, look=PLAIN, bits=16, denoise=0.0))
    clean = _developed(frames, model, Settings(amp=amp, look=PLAIN, bits=16))
    n = len(frames)
    total, variance, left = plain.sum(0), [], []
    for noisy, picture in zip(plain, clean, strict=True):
        others = (total - noisy) / (n - 1)
        variance.append(np.mean((noisy - others) ** 2) * (n - 1) / n)
        left.append(np.mean((picture - others) ** 2))
    noise = float(np.mean(variance))
    remaining = float(np.mean(left)) - noise / (n - 1)
    spread = float(np.mean(np.var(clean, axis=0, ddof=1)))
    covered = float(np.mean((plain - plain.mean(0)) * (clean - clean.mean(0)))) * n / (n - 1)
    gap = float(np.mean((plain.mean(0) - clean.mean(0)) ** 2)) - (noise + spread - 2 * covered) / n
    return Still(n, noise**0.5, 1 - remaining / noise, gap / noise)


def _developed(frames: Sequence[Frame], model: Model, settings: Settings) -> NDArray[np.float32]:
    pictures = [pipeline.expose(frame, model, settings).picture for frame in frames]
    if len({picture.shape for picture in pictures}) > 1:
        raise SettingsError("frames of different sizes: are not of one scene; give those of one camera and mode")
    return np.stack(pictures).astype(np.float32) / np.float32(65535)


def ordinary(path: Path, model: Model) -> tuple[float, float]:
    """Develop a well-exposed photo at ratio 1: SSIM to LibRaw's rendering, of the network and of a plain demosaic."""
    frame = replace(raw.read(path), orientation=1)
    reference = baselines.libraw(frame, 1.0)
    settings = Settings(amp=Amp("number", 1.0), bits=16)
    pictures = [_developed([frame], model, replace(settings, denoise=denoise))[0] for denoise in (1.0, 0.0)]
    network, plain = (metrics.ssim(picture, reference) for picture in pictures)
    return network, plain
