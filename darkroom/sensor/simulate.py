"""Clean photo -> dark raw: unprocessing, then the sensor model of noise.py.

    (H, W, 3) uint8 sRGB photo  ->  bright (C, h, w) as cfa.bright gives it, reference (3, H, W)

The reference is what the network shall return: for output "camera" white-balanced camera RGB under the
sRGB curve, of a random sensor; for output "srgb" the picture, while the light is the camera's own RGB.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from darkroom.develop import cfa
from darkroom.develop.contract import LIMITS, PIXEL, Input, Output, Packing
from darkroom.develop.curves import decoding, linear_to_srgb
from darkroom.errors import SettingsError
from darkroom.frame import CELL, CFA
from darkroom.sensor import lights, noise

CAMERA_FROM_SRGB = np.linalg.inv(
    np.array([[1.75, -0.60, -0.15], [-0.22, 1.62, -0.40], [0.03, -0.55, 1.52]])  # a typical camera_to_srgb
).astype(np.float32)
"""Linear sRGB -> white-balanced camera RGB of a typical sensor, rows summing to 1."""

ENCODED = linear_to_srgb((np.arange(65536) / 65535) ** 2).astype(np.float32)
"""The sRGB curve, by 16-bit square root of light: a table, because its power is half of an example's cost."""
RED_GAINS, BLUE_GAINS = (1.2, 2.8), (1.1, 2.6)
"""White-balance gains of any camera in any light, green 1."""
PATTERNED = 0.5
"""Share of examples that show their camera's pattern: in the others it was taken away, as `develop` does."""
FULL_LIGHT = 0.15
"""Share of examples that are amplified next to nothing."""
CENTRAL_GAINS = (0.3, 6.0)
"""DN per electron, as the bench has it."""


@dataclass(frozen=True)
class Kind:
    """What a network is given and what it shall return; see Contract."""

    cfa: CFA
    packing: Packing
    input: Input
    output: Output


@dataclass(frozen=True)
class Example:
    """One training example."""

    bright: NDArray[np.float32]
    """(C, h, w), as cfa.bright gives it."""
    reference: NDArray[np.float32]
    """(3, H, W) in [0, 1]: white-balanced camera RGB under the sRGB curve, or the finished sRGB picture."""
    ratio: float = 1.0
    """What the light was amplified by."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A clean photo and the picture that a network shall make of its dark raw."""

    picture: NDArray[np.uint8]
    """(H, W, 3) sRGB"""
    reference: NDArray[np.uint8]
    """(H, W, 3) sRGB: the picture itself, or with the look that the network shall learn."""


class Photos(Protocol):
    """Photos by number, open or opened on the way."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Photo: ...


def example(
    photos: Photos,
    cameras: Sequence[noise.Camera],
    rng: np.random.Generator,
    *,
    kind: Kind,
    size: int,
    cap: float = 300.0,
) -> Example:
    """Make one random example: crop, unprocess, expose too short, record, pack and amplify.

    `size` is the crop's side in sites, a multiple of the network's; `cap` is the largest ratio. For output "camera" the
    colours are a random sensor's and the gains any; for output "srgb" the camera's own.
    """
    photo = photos[int(rng.integers(len(photos)))]
    camera = cameras[int(rng.integers(len(cameras)))]
    looked = photo.reference is not photo.picture
    crops = _crops(photo, rng, size)
    light = _linear(crops[0], rng)
    if not looked:
        lights.draw(light, rng)
    ratio = _ratio(rng, cap)
    sensor = noise.draw(camera, rng)
    if kind.output == "camera":
        seen = reference = _random_sensor(light, rng)
        gains = np.array([rng.uniform(*RED_GAINS), 1.0, rng.uniform(*BLUE_GAINS)], np.float32)
    else:
        seen, reference = from_srgb(light, camera), light
        gains = _gains(camera, rng)
    pattern = _pattern(camera, sensor.gain, size, rng) if camera.patterns and rng.random() < PATTERNED else None
    bright = expose(seen, gains, ratio, sensor, rng, kind=kind, camera_to_srgb=camera.camera_to_srgb, pattern=pattern)
    if looked:
        return Example(
            bright, np.ascontiguousarray(crops[1].transpose(2, 0, 1)).astype(np.float32) / np.float32(255), ratio
        )
    roots = (np.sqrt(np.clip(reference, 0, 1)) * np.float32(65535) + np.float32(0.5)).astype(np.uint16)
    return Example(bright, np.ascontiguousarray(ENCODED[roots].transpose(2, 0, 1)), ratio)


def _ratio(rng: np.random.Generator, cap: float) -> float:
    """Draw a ratio: below 2 for FULL_LIGHT, where there is hardly more to do than to demosaic well; of the others one
    half is log-uniform over 1 to the cap, one uniform over the upper two thirds (of 300, as ELD trains).
    """
    share = rng.random()
    if share < FULL_LIGHT:
        return float(rng.uniform(1, min(2, cap)))
    if share < (1 + FULL_LIGHT) / 2:
        return float(np.exp(rng.uniform(0, np.log(cap))))
    return float(rng.uniform(max(1, cap / 3), cap))


def central(photo: Photo, camera: noise.Camera, ratio: float, seed: int, *, kind: Kind, size: int) -> Example:
    """Make the one example that a photo, camera and ratio always give, as the bench makes it: for validation.

    `size` is the side of the photo's centre in sites. Raises SettingsError where the photo is smaller.
    """
    rng = np.random.default_rng([seed, round(ratio)])
    height, width = photo.picture.shape[:2]
    if min(height, width) < size:
        raise SettingsError(f"a photo of {width} x {height} is too small to validate on {size}; use larger ones")
    window = np.s_[(height - size) // 2 :, (width - size) // 2 :]
    picture, reference = (each[window][:size, :size] for each in (photo.picture, photo.reference))
    low, high = camera.gains(CENTRAL_GAINS)
    gain = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    sensor = noise.central(camera, gain, float(rng.choice(camera.shapes)))
    light = decoding(16)[picture * np.int32(257)]
    if kind.output == "camera":
        gains = np.array([rng.uniform(1.6, 2.4), 1, rng.uniform(1.4, 2.1)], np.float32)
    else:
        light, gains = from_srgb(light, camera), _gains(camera, rng)
    bright = expose(light, gains, ratio, sensor, rng, kind=kind, camera_to_srgb=camera.camera_to_srgb)
    return Example(bright, (reference.transpose(2, 0, 1) / 255).astype(np.float32), ratio)


def from_srgb(light: NDArray[np.float32], camera: noise.Camera) -> NDArray[np.float32]:
    """Linear sRGB (H, W, 3) -> the camera's own white-balanced RGB, what it cannot show cut off at 0."""
    return np.maximum(light @ np.linalg.inv(camera.camera_to_srgb).astype(np.float32).T, 0)


def _gains(camera: noise.Camera, rng: np.random.Generator) -> NDArray[np.float32]:
    red, blue = camera.white_balance
    return np.array([rng.uniform(*red), 1.0, rng.uniform(*blue)], np.float32)


def expose(
    light: NDArray[np.float32],
    gains: NDArray[np.float32],
    ratio: float,
    sensor: noise.Sensor,
    rng: np.random.Generator,
    *,
    kind: Kind,
    camera_to_srgb: NDArray[np.float32],
    pattern: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Record white-balanced camera light (H, W, 3) too dark by `ratio`, then pack and amplify it again.

    pattern: (H, W) DN that the sensor adds. Returns (C, h, w) bright. Light above 1 saturates, as in a camera whose
    brightest gain is 1.
    """
    balance = cfa.sample(np.broadcast_to(gains, light.shape), kind.cfa)
    mosaic = cfa.sample(light, kind.cfa) / balance
    recorded = noise.record(mosaic / ratio, sensor, rng, pattern)
    recorded *= np.float32(ratio / (sensor.white - sensor.black))
    if kind.input != "sensor":
        recorded *= balance
    np.clip(recorded, *LIMITS[kind.input], out=recorded)
    if kind.input == "srgb":
        return cfa.developed(recorded, kind.cfa, camera_to_srgb)
    return cfa.pack(recorded, kind.packing)


def _pattern(camera: noise.Camera, gain: float, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Cut (size, size) DN at random from one of the camera's patterns, whole cells from its start, at this gain.

    Patterns seen at a gain far from it count as if the amplifier alone were in between.
    """
    known = sorted(camera.patterns, key=lambda each: abs(np.log(each.gain / gain)))
    near = [each for each in known if each.gain == known[0].gain]  # several exposure times
    chosen = near[int(rng.integers(len(near)))]
    cell = len(CELL[camera.cfa])
    starts = [int(rng.integers(max(length - size, 0) // cell + 1)) * cell for length in chosen.dn.shape]
    rows, columns = (
        (start + np.arange(size)) % (length // cell * cell)
        for start, length in zip(starts, chosen.dn.shape, strict=True)
    )
    return chosen.dn[np.ix_(rows, columns)] * np.float32(gain / chosen.gain)


def _crops(photo: Photo, rng: np.random.Generator, size: int) -> list[NDArray[np.uint8]]:
    """Cut a random square of picture and reference, mirrored and turned alike; in one of two reduced by up to 1.5.

    Of two places the one with more detail is taken in every second crop.
    """
    zoom = rng.uniform(1, 1.5) if rng.random() < 0.5 else 1.0
    height, width = photo.picture.shape[:2]
    side = min(round(size * zoom), height, width)
    if side < size:
        raise SettingsError(f"a photo of {width} x {height} is too small for crops of {size}; make crops smaller")
    places = [(rng.integers(height - side + 1), rng.integers(width - side + 1)) for _ in range(rng.integers(1, 3))]
    if len(places) > 1:
        places.sort(key=lambda place: _detail(_cut(photo.picture, place, side)))
    turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
    images = [photo.picture] if photo.reference is photo.picture else [photo.picture, photo.reference]
    return [_placed(_cut(image, places[-1], side), size, turns, mirrored) for image in images]


def _cut(image: NDArray[np.uint8], place: tuple[int, int], side: int) -> NDArray[np.uint8]:
    top, left = place
    return image[top : top + side, left : left + side]


def _detail(crop: NDArray[np.uint8]) -> float:
    """Mean step from one sampled site to the next, in 8-bit levels."""
    green = crop[::2, :, 1].astype(np.int16)
    return float(np.abs(np.diff(green, axis=1)).mean())


def _placed(crop: NDArray[np.uint8], size: int, turns: int, mirrored: bool) -> NDArray[np.uint8]:
    if len(crop) != size:
        crop = np.asarray(Image.fromarray(crop).resize((size, size), Image.Resampling.BICUBIC, reducing_gap=2.0))
    return np.rot90(crop[:, ::-1] if mirrored else crop, turns)


def _linear(crop: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Undo the sRGB curve, dithered: 8-bit steps would else show in the amplified darks."""
    levels = crop * np.int32(257)
    levels += np.frombuffer(rng.bytes(crop.size), np.int8).reshape(crop.shape)
    return decoding(16)[np.clip(levels, 0, 65535, out=levels)]


def _random_sensor(light: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Every second time linear sRGB -> camera RGB of a random sensor."""
    if rng.random() < 0.5:
        return light
    matrix = (CAMERA_FROM_SRGB + rng.normal(0, 0.04, (3, 3))).astype(np.float32)
    strength = np.float32(rng.uniform(0, 1))
    matrix = strength * matrix / matrix.sum(1, keepdims=True) + (1 - strength) * np.eye(3, dtype=np.float32)
    return np.maximum(light @ matrix.T, 0)


def sites_multiple(kind: Kind, multiple: int) -> int:
    """Crop sides must be multiples of this many sites: whole packed multiples of whole CFA cells."""
    return int(np.lcm(len(CELL[kind.cfa]), multiple * PIXEL[kind.packing]))


def shown(bright: NDArray[np.float32], kind: Kind) -> NDArray[np.float32]:
    """Show what a network is given as a picture: (C, h, w) bright -> (3, H, W) in [0, 1], plainly demosaiced."""
    if kind.input == "srgb":
        return bright
    return linear_to_srgb(np.clip(cfa.demosaic(bright, kind.packing), 0, 1)).astype(np.float32)
