"""Clean photo -> dark raw: unprocessing, then the sensor model of noise.py.

    (H, W, 3) uint8 sRGB photo  ->  bright (C, h, w) as cfa.bright gives it, reference (3, H, W)

The reference is what a network of output "camera" shall return: white-balanced camera RGB under the
sRGB curve. A photo is first reduced until it is at least twice smaller than the camera's own file,
because JPEG and demosaicking have left their marks below that (`reduced_by` in the photos'
sources.csv tells how far each was reduced already).
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from darkroom import cfa
from darkroom.contract import Packing
from darkroom.errors import SettingsError
from darkroom.finish import linear_to_srgb, srgb_to_linear
from darkroom.frame import CELL
from darkroom.train import noise

REDUCED_BY = 2.0
"""How much smaller than the camera's file a photo must be before its pixels count as clean."""

CAMERA_FROM_SRGB = np.linalg.inv(
    np.array([[1.75, -0.60, -0.15], [-0.22, 1.62, -0.40], [0.03, -0.55, 1.52]])  # a typical camera_to_srgb
).astype(np.float32)
"""Linear sRGB -> white-balanced camera RGB of a typical sensor, rows summing to 1."""

LINEAR = srgb_to_linear(np.arange(65536) / 65535).astype(np.float32)
"""The sRGB curve undone, by 16-bit value; tables, because the curve's power is half of an example's cost."""
ENCODED = linear_to_srgb((np.arange(65536) / 65535) ** 2).astype(np.float32)
"""The sRGB curve, by 16-bit square root of light."""


@dataclass(frozen=True)
class Example:
    """One training example."""

    bright: NDArray[np.float32]
    """(C, h, w), as cfa.bright gives it for input "balanced"."""
    reference: NDArray[np.float32]
    """(3, H, W) in [0, 1]: white-balanced camera RGB under the sRGB curve."""


def load_photos(folder: Path, *, reduced_by: float = REDUCED_BY) -> list[NDArray[np.uint8]]:
    """Read every JPEG or PNG of a folder, reduced until at least `reduced_by` below the camera's file.

    Returns (H, W, 3) arrays in the order of their names. Raises SettingsError where there is none.
    """
    names = sorted(p for p in folder.glob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not names:
        raise SettingsError(f"{folder}: holds no photo; name a folder of clean JPEG or PNG photos")
    done = {}
    if (folder / "sources.csv").exists():
        with open(folder / "sources.csv", newline="") as table:
            done = {row["file"]: float(row["reduced_by"]) for row in csv.DictReader(table)}
    return [_reduced(path, reduced_by / done.get(path.name, 1.0)) for path in names]


def _reduced(path: Path, factor: float) -> NDArray[np.uint8]:
    photo = imageio.imread(path, mode="RGB")
    if factor <= 1:
        return photo
    size = (round(photo.shape[1] / factor), round(photo.shape[0] / factor))
    return np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))


def example(
    photos: list[NDArray[np.uint8]],
    cameras: list[noise.Camera],
    rng: np.random.Generator,
    *,
    packing: Packing,
    size: int,
) -> Example:
    """Make one random example: crop, unprocess, expose too short, record, pack and amplify.

    `size` is the crop's side in sites, a multiple of the network's. Ratio: every second one
    log-uniform over 1 to 300, the others uniform over 100 to 300 (as ELD trains).
    """
    light = _camera_light(_crop(photos, rng, size), rng)
    ratio = float(np.exp(rng.uniform(0, np.log(300)))) if rng.random() < 0.5 else float(rng.uniform(100, 300))
    gains = np.array([rng.uniform(1.2, 2.8), 1.0, rng.uniform(1.1, 2.6)], np.float32)
    sensor = noise.draw(cameras[rng.integers(len(cameras))], rng)
    bright = expose(light, gains, ratio, sensor, rng, packing=packing)
    roots = (np.sqrt(np.clip(light, 0, 1)) * np.float32(65535) + np.float32(0.5)).astype(np.uint16)
    return Example(bright, np.ascontiguousarray(ENCODED[roots].transpose(2, 0, 1)))


def expose(
    light: NDArray[np.float32],
    gains: NDArray[np.float32],
    ratio: float,
    sensor: noise.Sensor,
    rng: np.random.Generator,
    *,
    packing: Packing,
) -> NDArray[np.float32]:
    """Record white-balanced camera light (H, W, 3) too dark by `ratio`, then pack and amplify it again.

    Returns (C, h, w) bright. Light above 1 saturates, as in a camera whose brightest gain is 1.
    """
    kind = "bayer" if packing == "bayer4" else "xtrans"
    balance = cfa.sample(np.broadcast_to(gains, light.shape), kind)
    mosaic = cfa.sample(light, kind) / balance
    recorded = noise.record(mosaic / ratio, sensor, rng)
    recorded *= balance
    recorded *= np.float32(ratio / (sensor.white - sensor.black))
    return cfa.pack(np.minimum(recorded, 1), packing)


def _crop(photos: list[NDArray[np.uint8]], rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Cut a random square, reduced by a further 1 to 1.5 in one of two crops, mirrored and turned."""
    photo = photos[rng.integers(len(photos))]
    zoom = rng.uniform(1, 1.5) if rng.random() < 0.5 else 1.0
    side = min(round(size * zoom), *photo.shape[:2])
    if side < size:
        raise SettingsError(f"a photo of {photo.shape[1]} x {photo.shape[0]} is too small for crops of {size}")
    top = rng.integers(photo.shape[0] - side + 1)
    left = rng.integers(photo.shape[1] - side + 1)
    crop = photo[top : top + side, left : left + side]
    if side != size:
        crop = np.asarray(Image.fromarray(crop).resize((size, size), Image.Resampling.BICUBIC, reducing_gap=2.0))
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    return np.rot90(crop, rng.integers(4))


def _camera_light(crop: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Undo the picture: sRGB -> linear, random exposure, linear sRGB -> camera RGB of a random sensor."""
    dither = rng.integers(-128, 129, crop.shape, np.int32)  # 8-bit steps would else show in the amplified darks
    light = LINEAR[np.clip(crop * np.int32(257) + dither, 0, 65535)]
    if rng.random() < 0.5:
        light *= np.float32(2 ** rng.uniform(-3, 0.5))
    if rng.random() < 0.5:
        matrix = (CAMERA_FROM_SRGB + rng.normal(0, 0.04, (3, 3))).astype(np.float32)
        strength = np.float32(rng.uniform(0, 1))
        matrix = strength * matrix / matrix.sum(1, keepdims=True) + (1 - strength) * np.eye(3, dtype=np.float32)
        light = light @ matrix.T
    return np.maximum(light, 0)


def sites_multiple(packing: Packing, multiple: int) -> int:
    """Crop sides must be multiples of this many sites: whole packed multiples of whole CFA cells."""
    cell = len(CELL["bayer" if packing == "bayer4" else "xtrans"])
    side = multiple * cfa.PIXEL[packing]
    return int(np.lcm(cell, side))
