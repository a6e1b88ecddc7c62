"""What a sensor leaves in every photo, and what `develop` leaves of it: glow, gradients, columns, hot sites; and stars.

clean photos, a sensor's pattern -> dark raws -> dB, hot sites that stay visible; a drawn sky -> stars that were taken

Noise averages out, a pattern does not. Here one sensor with a pattern of its own records several scenes, and each is
developed as it is, with hot sites mended, and with the mean of lens-cap frames taken away first. Every random number
has a fixed seed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from darkroom.decode import raw
from darkroom.develop import amplifier, grain, hotsites, pipeline
from darkroom.develop.model import Model
from darkroom.errors import SettingsError
from darkroom.evaluate import metrics, simulated
from darkroom.evaluate.case import Picture
from darkroom.evaluate.lit import Scene
from darkroom.evaluate.simulated import Dark
from darkroom.frame import BAYER, SRGB_TO_XYZ, Exposure, Frame, Window
from darkroom.sensor import calibrate, darkframes, noise
from darkroom.write import dng

CAMERA = "sonya7s2"
RATIOS = (100.0, 250.0)
CROP = (768, 1152)
SCENES = 4
HOT = 357
"""Hot sites of the sensor: 1428 in four scenes, 4 in 10,000."""
GLOW, GRADIENT, COLUMNS = 6.0, 2.0, 0.7
"""DN: an amplifier's glow at its corner, dark current that rises across the sensor, sd of the column offsets."""
CAPS = 8
"""Lens-cap frames."""
HOTTEST = 120.0
"""DN: the mean of hot sites, which are exponential."""
VISIBLE = 16 / 255
"""A hot site shows where the mean of its 3 x 3 pixels, in some colour, is so far from that without hot sites."""
STARS = 4000
STAR_WIDTH = 2.0
"""FWHM of a star, sites."""
KELVIN = (2500.0, 20000.0)
"""Of stars."""


@dataclass(frozen=True)
class Marks:
    """What one way to develop makes of the scenes at one ratio."""

    ratio: float
    way: str
    psnr: float
    """dB, the mean over scenes."""
    visible: int
    """Hot sites that show."""
    hot: int
    """Of so many."""
    taken: float
    """Sites that were filled in, a scene."""


def pattern(shape: tuple[int, int], seed: int = 1) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw what a sensor adds to every exposure, (H, W) DN each: what is smooth or in columns, and its hot sites."""
    rng = np.random.default_rng(seed)
    rows, columns = np.linspace(0, 1, shape[0])[:, None], np.linspace(0, 1, shape[1])
    smooth = GLOW * np.exp(-((1 - rows) ** 2 + (1 - columns) ** 2) / 0.08) + GRADIENT * (0.6 * rows + 0.4 * columns)
    smooth = smooth + COLUMNS * rng.standard_normal((1, shape[1]))
    hot = np.zeros(shape)
    hot.reshape(-1)[rng.choice(hot.size, HOT, replace=False)] = rng.exponential(HOTTEST, HOT)
    return smooth.astype(np.float32), hot.astype(np.float32)


def scores(
    photos: Path,
    network: Model,
    on_step: Callable[[str], None],
    *,
    ratios: Sequence[float] = RATIOS,
    scene: Scene = "plain",
) -> Iterator[Marks]:
    """Develop the scenes in every way. Raises SettingsError where the folder has too few photos, or they are small."""
    darks = simulated.plan(photos, ratios=ratios, cameras=(CAMERA,))
    names = sorted({dark.photo for dark in darks})
    if len(names) < SCENES:
        raise SettingsError(f"{photos}: has {len(names)} photos; give a folder of {SCENES} or more")
    chosen = [names[index * len(names) // SCENES] for index in range(SCENES)]
    smooth, hot = pattern(CROP)
    places = np.argwhere(hot)
    for ratio in ratios:
        found: dict[str, list[tuple[float, int, int]]] = {}
        for dark in darks:
            if dark.ratio != ratio or dark.photo not in chosen:
                continue
            on_step(f"{dark.photo.name} at x{ratio:g}")
            photo = simulated.read_photo(dark.photo, CROP)
            if photo.shape[:2] != CROP:
                raise SettingsError(f"{dark.photo}: is smaller than {CROP[0]}x{CROP[1]}; give larger photos")
            reference = simulated.shown(dark, photo, scene)
            with TemporaryDirectory() as folder:
                for way, (plain, marked, mend) in _ways(
                    dark, simulated.sites(dark, photo, scene), smooth, hot, Path(folder)
                ).items():
                    settings = pipeline.Settings(amp=amplifier.parse(f"{ratio:g}"), bits=16, hot_sites=mend)
                    clean = _developed(plain, network, replace(settings, hot_sites="off"))
                    picture = clean if marked is plain and mend == "off" else _developed(marked, network, settings)
                    taken = hotsites.mended(marked, grain.measure(marked))[1] if mend == "auto" else 0
                    score = metrics.psnr(picture, reference)
                    found.setdefault(way, []).append((score, _visible(picture, clean, places), taken))
        for way, rows in found.items():
            psnr, shown, filled = zip(*rows, strict=True)
            yield Marks(ratio, way, float(np.mean(psnr)), sum(shown), HOT * SCENES, float(np.mean(filled)))


def _developed(frame: Frame, network: Model, settings: pipeline.Settings) -> Picture:
    return pipeline.expose(frame, network, settings).picture.astype(np.float32) / np.float32(65535)


def _ways(
    dark: Dark, light: NDArray[np.float32], smooth: NDArray[np.float32], hot: NDArray[np.float32], folder: Path
) -> dict[str, tuple[Frame, Frame, Literal["auto", "off"]]]:
    """Each way to develop a scene: without hot sites, with them, and whether these are filled in."""
    light = light / np.float32(dark.ratio)
    none, bare, marked = (recorded(dark, light, 0, each, folder)[0] for each in (None, smooth, smooth + hot))
    less = []
    for frame, added in ((bare, smooth), (marked, smooth + hot)):
        caps = [recorded(dark, np.zeros_like(light), 1 + index, added, folder)[1] for index in range(CAPS)]
        less.append(darkframes.removed(frame, darkframes.learn(caps), caps[0]))
    return {
        "a sensor without a pattern": (none, none, "off"),
        "the same, --hot-sites auto": (none, none, "auto"),
        "as recorded": (bare, marked, "off"),
        "--hot-sites auto": (bare, marked, "auto"),
        f"--hot-sites auto --dark, {CAPS} frames": (less[0], less[1], "auto"),
    }


def recorded(
    dark: Dark, light: NDArray[np.float32], shot: int, pattern: NDArray[np.float32] | None, folder: Path
) -> tuple[Frame, Path]:
    """Record light as the file a camera would give, and read it."""
    camera = noise.camera(dark.camera)
    sensor = noise.central(camera, dark.gain, dark.shape)
    noisy = noise.record(light, sensor, np.random.default_rng((*dark.seed, 1 + shot)), pattern)
    path = folder / f"{shot}.dng"
    dng.write(
        path,
        np.maximum(noisy + np.float32(camera.black), 0).astype(np.uint16),
        cfa=dark.cfa,
        phase=dark.phase,
        black=camera.black,
        white=int(camera.white),
        white_balance=dark.white_balance,
        camera_to_srgb=np.eye(3),
    )
    return raw.read(path), path


def _visible(picture: NDArray[np.float32], clean: NDArray[np.float32], sites: NDArray[np.intp]) -> int:
    """Count the hot sites that show."""
    off = picture - clean
    return sum(
        bool(np.abs(off[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].mean((0, 1))).max() > VISIBLE)
        for row, column in sites
    )


@dataclass(frozen=True)
class Sky:
    """What became of a drawn night sky."""

    stars: int
    taken: int
    """Stars of which the brightest site, or one beside it, was filled in."""
    elsewhere: int
    """Sites filled in where there is no star."""


def sky(seed: int = 2) -> Sky:
    """Draw stars STAR_WIDTH wide, of black-body colours and all brightnesses, record them, and mend hot sites."""
    rng = np.random.default_rng(seed)
    camera = noise.camera(CAMERA)
    sensor = noise.central(camera, 1.5, -0.1)
    shape = (2 * CROP[0], 2 * CROP[1])
    places = rng.uniform(4, np.array(shape) - 5, (STARS, 2))
    peaks = np.exp(rng.uniform(np.log(5 * sensor.read), np.log(8000), STARS))
    colours = np.exp(rng.uniform(np.log(KELVIN[0]), np.log(KELVIN[1]), STARS))
    balance = np.array([2.0, 1.0, 1.6], np.float32)
    light = np.full(shape, 10.0)
    reach = np.arange(-4, 5)
    for place, peak, kelvin in zip(places, peaks, colours, strict=True):
        seen = _camera_colour(camera, float(kelvin)) / balance
        rows, columns = np.ix_(*(np.rint(place).astype(int)[:, None] + reach))
        far = (rows - place[0]) ** 2 + (columns - place[1]) ** 2
        shines = peak * np.exp(-far * 4 * np.log(2) / STAR_WIDTH**2)
        light[rows, columns] += shines * (seen / seen.max())[BAYER[rows % 2, columns % 2]]
    recorded = noise.record(np.minimum(light / (sensor.white - sensor.black), 1), sensor, rng) + camera.black
    frame = Frame(
        mosaic=np.maximum(recorded, 0).astype(np.uint16),
        cfa="bayer",
        black=np.full((2, 2), camera.black, np.float32),
        white=camera.white,
        white_balance=balance,
        daylight=None,
        camera_to_srgb=camera.camera_to_srgb,
        exposure=Exposure(0, 0, 0),
        visible=Window(0, 0, *shape),
        orientation=1,
        camera=camera.model,
        bits=14,
    )
    found = np.zeros(shape, bool)
    found[hotsites.found(frame, grain.measure(frame))] = True
    taken, near = 0, np.zeros_like(found)
    for row, column in np.rint(places).astype(int):
        around = np.s_[row - 1 : row + 2, column - 1 : column + 2]
        taken += bool(found[around].any())
        near[around] = True
    return Sky(STARS, taken, int((found & ~near).sum()))


def _camera_colour(camera: noise.Camera, kelvin: float) -> NDArray[np.float64]:
    """White-balanced camera RGB of a black body, nothing below 0."""
    srgb = np.linalg.solve(SRGB_TO_XYZ, calibrate.black_body(kelvin))
    return np.maximum(np.linalg.solve(camera.camera_to_srgb.astype(np.float64), srgb), 0.02)
