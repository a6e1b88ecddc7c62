"""How far a picture's statistics are from those of clean photos: NIQE.

(H, W, 3) float in [0, 1], sRGB-encoded -> a distance, 0 or more; 36 features of each patch of 96 x 96 pixels on the way

After Mittal, Soundararajan and Bovik, "Making a completely blind image quality analyzer", 2013. Luminance in 0..255 is
divided by its local deviation; in each patch, at full and at half size, an asymmetric generalised Gaussian is fitted to
the result and to its products with four neighbours. The features' mean and covariance over the patches are compared
with those of the sharp patches of clean photos.

The numbers hang on those photos: the authors' own model is fitted on others, so its scores are not ours. OURS is
fitted by `fit` on the 121 photos, of free licences, that the networks of this project are trained on, each reduced to
1280 pixels: 1152 sharp patches. Of the libraries only `pyiqa` has NIQE, with the authors' model; it needs torchvision
and two dozen packages more, so this stays.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from darkroom.errors import SettingsError
from darkroom.evaluate.case import as_authors
from darkroom.sensor.photos import SUFFIXES

Array = NDArray[np.floating]

OURS = Path(__file__).with_name("niqe.npz")

PATCH = 96
"""Pixels a side; the authors' choice, as are the next four."""
SHARP = 0.75
"""Share of a photo's sharpest patch above which another serves to fit."""
RADIUS, SIGMA = 3, 7 / 6
"""Pixels: the Gaussian window of the local mean and deviation, 7 taps a side."""
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (-1, 1))
"""Pixels down and right."""
LONGEST = 1280
"""Pixels: what a photo is reduced to before fitting, about the size of the authors' own."""


@dataclass(frozen=True, eq=False)
class Pristine:
    """The statistics of clean photos."""

    mean: NDArray[np.float64]
    """(36,)"""
    covariance: NDArray[np.float64]
    """(36, 36)"""
    patches: int
    """How many were sharp enough to be counted."""


def score(picture: Array, pristine: Pristine) -> float:
    """Measure the distance of a picture, rounded to 8 bits, from clean photos.

    Patches that are one flat tone have no statistics and are left out; not a number where fewer than two others
    remain. Raises SettingsError for a picture of fewer than two patches.
    """
    if (picture.shape[0] // PATCH) * (picture.shape[1] // PATCH) < 2:
        raise SettingsError(
            f"niqe: the picture is {picture.shape[0]}x{picture.shape[1]}, and it takes {PATCH}x{2 * PATCH} at least; "
            "measure a larger one, or leave it out"
        )
    features, _ = _patches(picture)
    if len(features) < 2:
        return nan
    away = features.mean(0) - pristine.mean
    spread = (np.cov(features, rowvar=False) + pristine.covariance) / 2
    return float(np.sqrt(max(0, away @ np.linalg.pinv(spread) @ away)))


def fit(folder: Path, *, longest: int = LONGEST) -> Pristine:
    """Take the statistics of the sharp patches of every photo in a folder.

    longest: pixels that the longer side of a photo is reduced to. Raises SettingsError for a photo that cannot be read,
    or a folder whose photos have too few patches for 36 features.
    """
    kept = []
    for photo in _photos(folder, longest):
        if min(photo.shape[:2]) >= PATCH:
            features, sharpness = _patches(photo)
            if len(features):
                kept.append(features[sharpness > SHARP * sharpness.max()])
    found = sum(map(len, kept))
    if found <= 36:
        raise SettingsError(f"{folder}: its photos have {found} sharp patches, and 36 features need more; add photos")
    features = np.concatenate(kept)
    return Pristine(features.mean(0), np.cov(features, rowvar=False), found)


def save(pristine: Pristine, file: Path) -> None:
    """Write the statistics as .npz, beside their place first, then in one step."""
    part = file.with_name(f"{file.name}.part")
    with part.open("wb") as out:
        np.savez_compressed(out, mean=pristine.mean, covariance=pristine.covariance, patches=pristine.patches)
    part.replace(file)


@lru_cache(maxsize=2)
def load(file: Path) -> Pristine:
    """Read what `save` wrote; raises SettingsError for anything else."""
    try:
        with np.load(file) as kept:
            pristine = Pristine(kept["mean"], kept["covariance"], int(kept["patches"]))
    except FileNotFoundError:
        raise SettingsError(f"{file}: there is no such file; fit one on a folder of clean photos") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"{file}: holds no statistics for NIQE; fit it on a folder of clean photos") from error
    if pristine.mean.shape != (36,) or pristine.covariance.shape != (36, 36):
        raise SettingsError(f"{file}: holds {len(pristine.mean)} features and not 36; fit it again")
    return pristine


def _photos(folder: Path, longest: int) -> Iterator[NDArray[np.float64]]:
    """Read a folder's photos, each reduced to `longest` pixels: (H, W, 3) in [0, 1]."""
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() not in SUFFIXES:
            continue
        try:
            with Image.open(file) as photo:
                small = photo.convert("RGB")
                small.thumbnail((longest, longest), Image.Resampling.BICUBIC)
        except OSError as error:
            raise SettingsError(f"{file}: no photo that can be read; take it out of the folder") from error
        yield np.asarray(small) / 255


def _patches(picture: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features (n, 36) and sharpness (n,) of the patches that are not flat, at full size and at half."""
    rows, columns = picture.shape[0] // PATCH, picture.shape[1] // PATCH
    levels = as_authors(picture[: rows * PATCH, : columns * PATCH])
    luminance = levels @ np.array([0.2989, 0.5870, 0.1140])  # of BT.601, as MATLAB's rgb2gray
    features, sharpness = _statistics(luminance, PATCH)
    half = Image.fromarray(luminance.astype(np.float32)).resize(
        (columns * PATCH // 2, rows * PATCH // 2), Image.Resampling.BICUBIC
    )
    coarse, _ = _statistics(np.asarray(half, np.float64), PATCH // 2)
    features = np.concatenate([features, coarse], 1)
    known = np.isfinite(features).all(1)
    return features[known], sharpness[known]


def _statistics(luminance: NDArray[np.float64], side: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cut (H, W) into patches of `side` pixels: 18 features (n, 18) and the mean deviation (n,) of each."""
    from scipy.ndimage import correlate1d

    taps = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * SIGMA**2))
    taps /= taps.sum()

    def blurred(plane: Array) -> Array:
        return correlate1d(correlate1d(plane, taps, 0, mode="nearest"), taps, 1, mode="nearest")

    mean = blurred(luminance)
    deviation = np.sqrt(abs(blurred(luminance**2) - mean**2))
    normal = _cut((luminance - mean) / (deviation + 1), side)
    shape, left, right = _gaussian(normal)
    features = [shape, (left + right) / 2]
    for down, across in NEIGHBOURS:
        shape, left, right = _gaussian(normal * np.roll(normal, (down, across), (1, 2)))
        features += [shape, (right - left) * _gamma(2 / shape) / _gamma(1 / shape), left, right]
    return np.stack(features, 1), _cut(deviation, side).mean((1, 2))


def _cut(plane: Array, side: int) -> Array:
    """(H, W) -> (n, side, side)."""
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    return plane.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)


def _gaussian(patches: Array) -> tuple[Array, Array, Array]:
    """Fit an asymmetric generalised Gaussian to each patch by its moments (Lasmar, Stitou, Berthoumieu 2009).

    (n, side, side) -> shape (2 of a Gaussian), left and right scale, (n,) each; not numbers where a side has no values.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        squares = patches**2
        below, above = patches < 0, patches > 0
        left = np.sqrt((squares * below).sum((1, 2)) / below.sum((1, 2)))
        right = np.sqrt((squares * above).sum((1, 2)) / above.sum((1, 2)))
        lean = left / right
        peaked = abs(patches).mean((1, 2)) ** 2 / squares.mean((1, 2))
        peaked *= (lean**3 + 1) * (lean + 1) / (lean**2 + 1) ** 2
    shapes, moments = _shapes()
    shape = np.interp(peaked, moments, shapes)
    scale = np.sqrt(_gamma(1 / shape) / _gamma(3 / shape))
    return shape, left * scale, right * scale


@lru_cache(maxsize=1)
def _shapes() -> tuple[Array, Array]:
    """Shapes of a generalised Gaussian, and the square of its mean magnitude over its mean square, both rising."""
    shapes = np.arange(0.2, 10, 0.001)
    return shapes, _gamma(2 / shapes) ** 2 / (_gamma(1 / shapes) * _gamma(3 / shapes))


def _gamma(x: Array) -> Array:
    from scipy.special import gamma

    return gamma(x)
