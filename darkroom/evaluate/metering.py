"""Teach the light meter of `--amp auto` from photos that people exposed: photos -> weights of develop/meter.py.

Every photo is cropped and reduced at random, lit (lit.py), recorded too dark by a random camera at a random ratio, and
what the meter shall find is that ratio. The weights are those of a ridge regression of least absolute errors, by
reweighting; the errors that are told are of photos left out of the fit, a group at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from darkroom.develop import cfa as cfas
from darkroom.develop import meter
from darkroom.develop.curves import decoding
from darkroom.develop.meter import Weights
from darkroom.evaluate import simulated
from darkroom.evaluate.lit import Scene, lit
from darkroom.evaluate.ratios import CAMERAS, Estimate
from darkroom.frame import CELL, Exposure, Frame, Window
from darkroom.sensor import noise

SIZE = (512, 768)
"""Height and width that crops are reduced to; turned for upright photos."""
CROP = (0.6, 1.0)
"""Sides of a crop, of the photo's."""
TURNS: tuple[Scene, ...] = ("plain", "plain", "lamps", "night")
"""The scenes that are made of a photo, in turn."""
EACH = 16
"""Scenes made of each photo."""
LOW, DARK, HIGH = 1.0, 50.0, 300.0
"""Ratios: log-uniform from LOW for every other four scenes, from DARK for the others; to HIGH for all."""

RIDGE = 10.0
"""Strength of the ridge, in scenes."""
NEAR = 0.3
"""EV: smaller errors count by their square, larger ones as they are."""
ROUNDS = 8
GROUPS = 11
"""Into which the photos are dealt, each left out once."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """One scene and the ratio the meter shall find."""

    photo: str
    camera: str
    scene: Scene
    ratio: float
    mean: float
    """Of its light; see meter.histogram."""
    numbers: NDArray[np.float64]
    """(13,)"""


def lessons(photos: Path) -> Iterator[list[Lesson]]:
    """Make every photo's lessons in turn, the same at every call. Raises SettingsError as `simulated.plan` does."""
    names = list(dict.fromkeys(dark.photo for dark in simulated.plan(photos)))
    cameras = [noise.camera(name) for name in CAMERAS]
    for index, path in enumerate(names):
        rng = np.random.default_rng([7, index])
        photo = simulated.read_photo(path, crop=(1 << 20, 1 << 20))
        yield [_lesson(path.name, photo, number, cameras, rng) for number in range(EACH)]


def learned(taught: Sequence[Lesson]) -> Weights:
    """Fit the weights."""
    numbers = np.array([lesson.numbers for lesson in taught])
    wanted = np.log2([lesson.ratio * lesson.mean for lesson in taught])
    mean, spread = numbers.mean(axis=0), np.maximum(numbers.std(axis=0), 1e-3)
    known = np.hstack([meter.standard(numbers, mean, spread), np.ones((len(taught), 1))])
    ridge = np.diag([RIDGE] * len(mean) + [0.0])
    trust = np.ones(len(taught))
    for _ in range(ROUNDS):
        found = np.linalg.solve(known.T @ (trust[:, None] * known) + ridge, known.T @ (trust * wanted))
        trust = 1 / np.maximum(np.abs(wanted - known @ found), NEAR)
    return Weights(mean, spread, found[:-1].astype(np.float64), float(found[-1]))


def left_out(taught: Sequence[Lesson]) -> list[Estimate]:
    """Estimate every lesson's ratio by weights that were learned without its photo."""
    photos = sorted({lesson.photo for lesson in taught})
    group = {photo: number % GROUPS for number, photo in enumerate(photos)}
    found = []
    for number in sorted(set(group.values())):
        weights = learned([lesson for lesson in taught if group[lesson.photo] != number])
        for lesson in taught:
            if group[lesson.photo] == number:
                ratio = 2 ** meter.predicted(lesson.numbers[None], weights)[0] / lesson.mean
                found.append(
                    Estimate(lesson.photo, lesson.camera, lesson.ratio, min(max(ratio, LOW), HIGH), lesson.scene)
                )
    return found


def _lesson(
    name: str, photo: NDArray[np.uint8], number: int, cameras: Sequence[noise.Camera], rng: np.random.Generator
) -> Lesson:
    light = decoding(8)[_cropped(photo, rng)]
    scene = TURNS[number % len(TURNS)]
    light = lit(light, scene, rng)
    camera = cameras[int(rng.integers(len(cameras)))]
    ratio = float(np.exp(rng.uniform(np.log(LOW if number // len(TURNS) % 2 == 0 else DARK), np.log(HIGH))))
    frame = _frame(light, ratio, camera, rng)
    mean, numbers = meter.histogram(meter.zones(frame))
    return Lesson(name, camera.name, scene, ratio, max(mean, 1e-7), numbers)


def _cropped(photo: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    share = rng.uniform(*CROP)
    height, width = round(photo.shape[0] * share), round(photo.shape[1] * share)
    top, left = rng.integers(photo.shape[0] - height + 1), rng.integers(photo.shape[1] - width + 1)
    size = SIZE if height <= width else SIZE[::-1]
    crop = Image.fromarray(photo[top : top + height, left : left + width])
    return np.asarray(crop.resize(size[::-1], Image.Resampling.BOX))


def _frame(light: NDArray[np.float32], ratio: float, camera: noise.Camera, rng: np.random.Generator) -> Frame:
    """Record linear light (H, W, 3) too dark by a ratio."""
    gains = np.array([rng.uniform(*simulated.RED_GAINS), 1, rng.uniform(*simulated.BLUE_GAINS)], np.float32)
    low, high = np.log(camera.gains(simulated.GAINS))
    sensor = noise.central(camera, float(np.exp(rng.uniform(low, high))), float(rng.choice(camera.shapes)))
    recorded = noise.record(np.minimum(cfas.sample(light / gains, "bayer") / np.float32(ratio), 1), sensor, rng)
    return Frame(
        mosaic=np.clip(recorded + np.float32(camera.black), 0, 65535).astype(np.uint16),
        cfa="bayer",
        black=np.full(CELL["bayer"].shape, camera.black, np.float32),
        white=camera.white,
        white_balance=gains,
        daylight=None,
        camera_to_srgb=np.eye(3, dtype=np.float32),
        exposure=Exposure(0, 0, 0),
        visible=Window(0, 0, *recorded.shape),
        orientation=1,
        camera=camera.name,
        bits=14,
    )
