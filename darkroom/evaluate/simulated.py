"""Clean photos -> dark raw files of known ratio: the bench every picture quality figure is measured on.

(H, W, 3) uint8 sRGB photo -> (H, W) DN -> a DNG, too dark by the ratio, with the noise of a calibrated sensor.

The photo's linear light is taken as white-balanced camera RGB, its colour matrix as identity. Every random number comes
from the photo's name and the ratio, so a case is the same in every run, with whatever others it is run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from darkroom import cfa as cfas
from darkroom import dng
from darkroom.errors import SettingsError
from darkroom.finish import srgb_to_linear
from darkroom.frame import CFA
from darkroom.train import noise

RATIOS = (100.0, 250.0, 300.0)
CAMERAS = ("sonya7s2", "nikond850", "canon5d4")
CROP = (1024, 1536)
"""Height and width of the centre crop of a photo, or what there is of it."""

RED_GAINS, BLUE_GAINS = (1.6, 2.4), (1.4, 2.1)
"""White-balance gains are uniform over these, green 1."""
GAINS = (0.3, 6.0)
"""DN per electron: log-uniform over what of this the camera has."""
PHASES = ((0, 0), (0, 1), (1, 1), (1, 0))
"""Row and column of the Bayer cell that the mosaic starts at, in turn."""


@dataclass(frozen=True)
class Case:
    """One dark raw of the bench: all that decides its every sample."""

    photo: Path
    ratio: float
    camera: str
    cfa: CFA
    phase: tuple[int, int]
    white_balance: tuple[float, float, float]
    gain: float
    """K, DN per electron."""
    shape: float
    """Of the Tukey-lambda read noise."""
    seed: tuple[int, int]


def cases(
    photos: Path, *, ratios: Sequence[float] = RATIOS, cameras: Sequence[str] = CAMERAS, cfa: CFA = "bayer"
) -> list[Case]:
    """Plan the bench over every JPEG or PNG of a folder, by name.

    Cameras and phases go in turn, shifted by one with each ratio, so that every ratio meets them all. Raises
    SettingsError for a folder without photos, an unknown camera, or a ratio that is not positive.
    """
    names = sorted(path for path in photos.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not names:
        raise SettingsError(f"{photos}: holds no photo; name a folder of clean JPEG or PNG photos")
    known = [noise.camera(name) for name in cameras]
    if not ratios or min(ratios) <= 0:
        raise SettingsError(
            f"ratios {', '.join(f'{ratio:g}' for ratio in ratios)}: must all be above 0; try 100,250,300"
        )
    return [
        _case(photo, ratio, known[(row + column) % len(known)], cfa, PHASES[(row + column) % len(PHASES)])
        for row, photo in enumerate(names)
        for column, ratio in enumerate(ratios)
    ]


def _case(photo: Path, ratio: float, camera: noise.Camera, cfa: CFA, phase: tuple[int, int]) -> Case:
    seed = (crc32(photo.name.encode()), round(1000 * ratio))
    rng = np.random.default_rng(seed)
    return Case(
        photo=photo,
        ratio=ratio,
        camera=camera.name,
        cfa=cfa,
        phase=phase if cfa == "bayer" else (0, 0),
        white_balance=(rng.uniform(*RED_GAINS), 1.0, rng.uniform(*BLUE_GAINS)),
        gain=float(np.exp(rng.uniform(np.log(max(camera.gain[0], GAINS[0])), np.log(min(camera.gain[1], GAINS[1]))))),
        shape=float(rng.choice(camera.shapes)),
        seed=seed,
    )


def read_photo(path: Path, crop: tuple[int, int] = CROP) -> NDArray[np.uint8]:
    """Read the centre of a photo: (H, W, 3), as high and wide as `crop` or as the photo is. Raises SettingsError."""
    try:
        with Image.open(path) as photo:
            height, width = min(crop[0], photo.height), min(crop[1], photo.width)
            left, top = (photo.width - width) // 2, (photo.height - height) // 2
            return np.asarray(photo.crop((left, top, left + width, top + height)).convert("RGB"))
    except OSError as error:  # Pillow's own error is one, too
        raise SettingsError(
            f"{path}: no photo that can be read ({type(error).__name__}); take it out of the folder"
        ) from None


def record(case: Case, photo: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Expose the case's sensor too short: (H, W, 3) photo -> (H, W) DN, black level included, at the case's phase."""
    light = srgb_to_linear(np.arange(256) / 255).astype(np.float32)[photo]
    light /= np.array(case.white_balance, np.float32)
    top, left = case.phase
    mosaic = cfas.sample(np.pad(light, ((top, 0), (left, 0), (0, 0))), case.cfa)[top:, left:]
    camera = noise.camera(case.camera)
    sensor = noise.central(camera, case.gain, case.shape)
    recorded = noise.record(mosaic / np.float32(case.ratio), sensor, np.random.default_rng((*case.seed, 1)))
    return np.maximum(recorded + np.float32(camera.black), 0).astype(np.uint16)


def write(case: Case, photo: NDArray[np.uint8], path: Path) -> None:
    """Record the photo and write it as the DNG a camera of this kind would give."""
    camera = noise.camera(case.camera)
    dng.write(
        path,
        record(case, photo),
        cfa=case.cfa,
        phase=case.phase,
        black=camera.black,
        white=int(camera.white),
        white_balance=case.white_balance,
    )
