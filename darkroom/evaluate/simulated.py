"""Clean photos -> dark raw files of known ratio: the bench every picture quality figure is measured on.

(H, W, 3) uint8 sRGB photo -> (H, W) DN -> a DNG, too dark by the ratio, with the noise of a calibrated sensor -> Case

With colour "identity" the photo's linear light is taken as white-balanced camera RGB, and the matrix is identity. With
"camera" the light is what that camera would have seen, and its matrix is in the file. Every random number comes from
the photo's name and the ratio, so a dark raw is the same in every run, with whatever others it is run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gamma, pi, sqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from darkroom.decode import raw
from darkroom.develop import cfa as cfas
from darkroom.develop.curves import decoding, linear_to_srgb
from darkroom.errors import SettingsError
from darkroom.evaluate.case import BURST, Case
from darkroom.evaluate.lit import Scene, lit
from darkroom.frame import CFA, Frame
from darkroom.sensor import noise, simulate
from darkroom.sensor.photos import SUFFIXES
from darkroom.write import dng

Colour = Literal["identity", "camera"]

DATA = "simulated"
RATIOS = (100.0, 250.0, 300.0)
CAMERAS = ("sonya7s2", "nikond850", "canon5d4")
CROP = (1024, 1536)
"""Height and width of the centre crop of a photo, or what there is of it."""

RED_GAINS, BLUE_GAINS = (1.6, 2.4), (1.4, 2.1)
"""White-balance gains are uniform over these, green 1; with colour "camera" over the camera's own."""
GAINS = (0.3, 6.0)
"""DN per electron, of 14 bits: log-uniform over what of this the camera has."""
PHASES = ((0, 0), (0, 1), (1, 1), (1, 0))
"""Row and column of the Bayer cell that the mosaic starts at, in turn."""


@dataclass(frozen=True)
class Dark:
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
    colour: Colour = "identity"


def plan(
    photos: Path,
    *,
    ratios: Sequence[float] = RATIOS,
    cameras: Sequence[str] = CAMERAS,
    cfa: CFA = "bayer",
    colour: Colour = "identity",
) -> list[Dark]:
    """Plan the bench over every photo of a folder, by name.

    Cameras and phases go in turn, shifted by one with each ratio, so that every ratio meets them all. Raises
    SettingsError for a folder without photos, an unknown camera, or a ratio that is not positive.
    """
    names = photos_of(photos)
    known = [noise.camera(name) for name in cameras]
    if not ratios or min(ratios) <= 0:
        raise SettingsError(
            f"ratios {', '.join(f'{ratio:g}' for ratio in ratios)}: must all be above 0; try 100,250,300"
        )
    return [
        dark(photo, ratio, known[(row + column) % len(known)], cfa, PHASES[(row + column) % len(PHASES)], colour)
        for row, photo in enumerate(names)
        for column, ratio in enumerate(ratios)
    ]


def photos_of(folder: Path) -> list[Path]:
    """List the photos of a folder, by name; raises SettingsError where it has none."""
    names = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not names:
        raise SettingsError(f"{folder}: holds no photo; name a folder of clean JPEG or PNG photos")
    return names


def dark(
    photo: Path, ratio: float, camera: noise.Camera, cfa: CFA, phase: tuple[int, int], colour: Colour = "identity"
) -> Dark:
    """Plan one dark raw of a photo; what is left to chance follows from its name and the ratio."""
    seed = (crc32(photo.name.encode()), round(1000 * ratio))
    rng = np.random.default_rng(seed)
    red, blue = camera.white_balance if colour == "camera" else (RED_GAINS, BLUE_GAINS)
    return Dark(
        photo=photo,
        ratio=ratio,
        camera=camera.name,
        cfa=cfa,
        phase=phase if cfa == "bayer" else (0, 0),
        white_balance=(rng.uniform(*red), 1.0, rng.uniform(*blue)),
        gain=float(np.exp(rng.uniform(*np.log(camera.gains(GAINS))))),
        shape=float(rng.choice(camera.shapes)),
        seed=seed,
        colour=colour,
    )


def data(colour: Colour) -> str:
    """What the scores are of: dark raws of different colours are not averaged together."""
    return DATA if colour == "identity" else f"{DATA} in camera colours"


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


def record(dark: Dark, photo: NDArray[np.uint8], shot: int = 0, *, scene: Scene = "plain") -> NDArray[np.uint16]:
    """Expose the sensor too short: (H, W, 3) photo -> (H, W) DN, black level included, at the phase of `dark`.

    shot: which of a burst; each has noise of its own. scene: how the photo is lit.
    """
    camera = noise.camera(dark.camera)
    sensor = noise.central(camera, dark.gain, dark.shape)
    light = sites(dark, photo, scene) / np.float32(dark.ratio)
    recorded = noise.record(light, sensor, np.random.default_rng((*dark.seed, 1 + shot)))
    return np.maximum(recorded + np.float32(camera.black), 0).astype(np.uint16)


def sites(dark: Dark, photo: NDArray[np.uint8], scene: Scene = "plain") -> NDArray[np.float32]:
    """The light that falls on each site where nothing is too dark: (H, W, 3) photo -> (H, W) in [0, 1]."""
    light = _light(dark, photo, scene)
    if dark.colour == "camera":
        light = simulate.from_srgb(light, noise.camera(dark.camera))
    light /= np.array(dark.white_balance, np.float32)
    top, left = dark.phase
    return cfas.sample(np.pad(light, ((top, 0), (left, 0), (0, 0))), dark.cfa)[top:, left:]


def shown(dark: Dark, photo: NDArray[np.uint8], scene: Scene = "plain") -> NDArray[np.float32]:
    """The picture that this is to become: (H, W, 3) sRGB in [0, 1]."""
    return linear_to_srgb(np.clip(_light(dark, photo, scene), 0, 1))


def _light(dark: Dark, photo: NDArray[np.uint8], scene: Scene) -> NDArray[np.float32]:
    light = decoding(8)[photo]
    return lit(light, scene, np.random.default_rng((*dark.seed, 0)))


def write(dark: Dark, photo: NDArray[np.uint8], path: Path, shot: int = 0, *, scene: Scene = "plain") -> None:
    """Record the photo and write it as the DNG a camera of this kind would give."""
    camera = noise.camera(dark.camera)
    dng.write(
        path,
        record(dark, photo, shot, scene=scene),
        cfa=dark.cfa,
        phase=dark.phase,
        black=camera.black,
        white=int(camera.white),
        white_balance=dark.white_balance,
        camera_to_srgb=camera.camera_to_srgb if dark.colour == "camera" else np.eye(3),
    )


def case(dark: Dark, crop: tuple[int, int] = CROP, *, burst: bool = False, again: bool = False) -> Case:
    """Record a dark raw, as a file that is read like any other. Raises SettingsError as `read_photo`.

    again: once more, with noise of its own.
    """
    return recorded(dark, read_photo(dark.photo, crop), burst=burst, again=again)


def recorded(dark: Dark, photo: NDArray[np.uint8], *, burst: bool = False, again: bool = False) -> Case:
    """Record a dark raw of a picture or a part of one, (H, W, 3); else as `case`."""
    frame = _frame(dark, photo, 0)
    return Case(
        photo=dark.photo.name,
        frame=frame,
        reference=photo.astype(np.float32) / np.float32(255),
        curve="srgb",
        ratio=dark.ratio,
        camera=dark.camera,
        gain=dark.gain,
        white_balance=frame.white_balance,
        burst=(frame, *(_frame(dark, photo, shot) for shot in range(1, BURST))) if burst else (),
        read=_read(dark),
        light=sites(dark, photo),
        again=_frame(dark, photo, 1) if again else None,
    )


def _read(dark: Dark) -> float:
    """Standard deviation of a dark raw's read and row noise, DN; Tukey-lambda's by Joiner and Rosenblatt (1971)."""
    sensor, shape = noise.central(noise.camera(dark.camera), dark.gain, dark.shape), dark.shape
    if abs(shape) < 1e-3:
        spread = pi**2 / 3
    else:
        spread = 2 / shape**2 * (1 / (1 + 2 * shape) - gamma(shape + 1) ** 2 / gamma(2 * shape + 2))
    return sqrt(spread * sensor.read**2 + sensor.row**2)


def _frame(dark: Dark, photo: NDArray[np.uint8], shot: int) -> Frame:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "dark.dng"
        write(dark, photo, path, shot)
        # The reader takes the brightest site of a bright frame for white; here white is known, and at x1 it matters.
        return replace(raw.read(path), orientation=1, white=float(int(noise.camera(dark.camera).white)))
