"""Bursts drawn from clean photos -> what one frame, a merged burst, and the plain mean and median of all are worth.

(H, W, 3) photo -> frames of it, each displaced, turned and noisy in its own way -> dB of each way to develop them

By hand the camera strays by up to 14 sites and 0.35 degrees, and a patch moves 34 sites from frame to frame; from a
tripod nothing does. Every random number comes from the photo's name and the ratio.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from darkroom.batch import bursts
from darkroom.develop import amplifier, pipeline
from darkroom.develop.model import Model
from darkroom.errors import SettingsError
from darkroom.evaluate import baselines, marks, metrics, simulated
from darkroom.evaluate.simulated import Dark
from darkroom.frame import Frame

CROP = (768, 1152)
MARGIN = 32
"""Sites around the crop that frames may stray into."""
STRAY, TURN, STEP = 14.0, 0.35, 34
"""Sites and degrees at most by which the camera strays, by hand; sites a frame by which the patch moves."""
PATCH = (300, 300, 90)
"""Row and column of the patch in the first frame, and its side."""
SCENES = 4


@dataclass(frozen=True)
class Burst:
    """What one way to develop bursts is worth at one ratio, the mean over scenes."""

    ratio: float
    way: str
    psnr: float
    """dB"""
    moving: float
    """dB where the moving patch is in the first frame; NaN from a tripod."""


def scores(photos: Path, network: Model, ratios: Sequence[float], frames: int, *, by_hand: bool) -> Iterator[Burst]:
    """Develop bursts of so many frames. Raises SettingsError where the photos are too few or too small."""
    darks = simulated.plan(photos, ratios=ratios, cameras=(marks.CAMERA,), cfa=network.contract.cfa or "bayer")
    names = sorted({dark.photo for dark in darks})
    chosen = [names[index * len(names) // SCENES] for index in range(min(SCENES, len(names)))]
    for ratio in ratios:
        found: dict[str, list[tuple[float, float]]] = {}
        for dark in darks:
            if dark.ratio == ratio and dark.photo in chosen:
                for way, score in _scene(dark, network, frames, by_hand):
                    found.setdefault(way, []).append(score)
        for way, rows in found.items():
            psnr, moving = np.mean(rows, axis=0)
            yield Burst(ratio, way, float(psnr), float(moving))


def _scene(dark: Dark, network: Model, frames: int, by_hand: bool) -> Iterator[tuple[str, tuple[float, float]]]:
    photos = list(_shots(dark, frames, by_hand))
    reference = photos[0].astype(np.float32) / 255
    settings = pipeline.Settings(amp=amplifier.parse(f"{dark.ratio:g}"), bits=16)
    with TemporaryDirectory() as folder:
        shots, paths = [], []
        for index, photo in enumerate(photos):
            (Path(folder) / str(index)).mkdir()
            light = simulated.sites(dark, photo) / np.float32(dark.ratio)
            frame, path = marks.recorded(dark, light, index, None, Path(folder) / str(index))
            shots.append(frame)
            paths.append(path)
        join = bursts.joining(paths[1:], lambda name: network, settings, lambda frame, path: frame)
        for way, frame in (
            ("one frame", shots[0]),
            (f"--burst of {frames}", join(shots[0], paths[0])),
            (f"mean of {frames}", _joined(shots, np.mean(np.stack([shot.mosaic for shot in shots]), axis=0))),
            (f"median of {frames}", _joined(shots, baselines.median(shots).mosaic)),
        ):
            picture = pipeline.expose(frame, network, settings).picture.astype(np.float32) / np.float32(65535)
            row, column, side = PATCH
            part = np.s_[row - 10 : row + side + 10, column - 10 : column + side + 10]
            moving = metrics.psnr(picture[part], reference[part]) if by_hand else float("nan")
            yield way, (metrics.psnr(picture, reference), moving)


def _joined(shots: Sequence[Frame], mosaic: NDArray[np.generic]) -> Frame:
    """A frame of fractions of a DN, in quarters."""
    first = shots[0]
    return replace(
        first,
        mosaic=np.rint(4 * mosaic.astype(np.float32)).astype(np.uint16),
        black=first.black * 4,
        white=first.white * 4,
    )


def _shots(dark: Dark, frames: int, by_hand: bool) -> Iterator[NDArray[np.uint8]]:
    """What the camera looks at in each frame."""
    photo = simulated.read_photo(dark.photo, (CROP[0] + 2 * MARGIN, CROP[1] + 2 * MARGIN))
    if photo.shape[0] < CROP[0] + 2 * MARGIN or photo.shape[1] < CROP[1] + 2 * MARGIN:
        raise SettingsError(
            f"{dark.photo}: is smaller than {CROP[0]}x{CROP[1]} and {MARGIN} around; give larger photos"
        )
    rng = np.random.default_rng((*dark.seed, 8))
    row, column, side = PATCH
    coarse = Image.fromarray(rng.integers(40, 255, (6, 6, 3), np.uint8))
    patch = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
    for index in range(frames):
        down, across, turn = (
            (*rng.uniform(-STRAY, STRAY, 2), rng.uniform(-TURN, TURN)) if index and by_hand else (0, 0, 0)
        )
        seen = Image.fromarray(photo).rotate(turn, Image.Resampling.BICUBIC, translate=(across, down))
        shot = np.array(seen)[MARGIN : MARGIN + CROP[0], MARGIN : MARGIN + CROP[1]]
        if by_hand:
            left = column + STEP * index
            shot[row : row + side, left : left + side] = patch
        yield shot
