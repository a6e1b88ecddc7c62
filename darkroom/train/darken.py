"""Clean picture -> the same, dark, in sRGB: the simulator of Gupta, Botica and Brown (paper "Transfer Learning Approach
for Processing Extreme Low-Light Images").

    (H, W, 3) uint8 sRGB -> (H, W, 3) uint8 sRGB, dark = GC(PN(CD(BL(picture))))

Five parameters: BL takes `bl` away, CD weighs red, green and blue, PN is Poisson noise, GC raises to a power, on values
of 0 to 255. They are drawn from a multivariate normal that is estimated from real pairs, on values from 5 to 250.
Where paper and public code (github.com/nalin1096/CS7180) differ, and what is chosen here:

- The paper estimates every module on the pair itself, its code each on what the ones before it leave. Together only the
  latter give back the dark picture, for the former darkens three times: so `chained`, the default.
- The paper draws noise of a mean in [0, 1], nearly binary: `photons` = 1. Its code has 10 photons at 255: the default.
- The paper draws gamma, of which GC takes 1 / gamma; its code draws that power. So it is here.
- The average colour ratio is the paper's sum over a channel divided by all three channels' values. Its code, and this,
  divide by the channel's.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darkroom import documents
from darkroom.decode import raw
from darkroom.errors import SettingsError
from darkroom.sensor.simulate import Example, Photos
from darkroom.train.cache import Cache
from darkroom.train.pairs import Pair

FIRST, LAST = 5, 250
"""Values that tell something; darker ones hold none, brighter ones are lamps (paper, 3.1.4)."""
PHOTONS = 10.0
"""Mean count at 255, as in the authors' code."""
STEP = 4
"""Every so many-th row and column of a pair is looked at: the averages of 12 MP need no more."""
_LEAST = 100
"""Values of a channel that an average is taken over, at least."""
_TRIES = 1000


@dataclass(frozen=True)
class Darkness:
    """How dark pictures come about: a multivariate normal over black level, red, green and blue weight, and power."""

    mean: tuple[float, ...]
    """(5,); black level in values of 0 to 255."""
    covariance: tuple[tuple[float, ...], ...]
    """(5, 5)"""


PUBLISHED = Darkness(
    mean=(81.16, 0.24, 0.24, 0.27, 0.67),
    covariance=(
        (868.405, 0.362018, 0.938552, 0.303885, 0.219097),
        (0.362018, 0.0363319, 0.0330439, 0.0295626, -0.00817526),
        (0.938552, 0.0330439, 0.0722408, 0.0385000, -0.00914216),
        (0.303885, 0.0295626, 0.0385000, 0.0553288, -0.0110112),
        (0.219097, -0.00817526, -0.00914216, -0.0110112, 0.0101516),
    ),
)
"""What the authors found on 200 pairs of SID's Sony set: printed in their notebook "Simulation Variables", the means to
two places, the channels there in the order blue, green, red. Their bright pictures were brightened by LibRaw."""


def parameters(
    reference: NDArray[np.uint8], short: NDArray[np.uint8], *, chained: bool = True
) -> NDArray[np.float64] | None:
    """Estimate the five parameters that darken a reference to its short, (H, W, 3) sRGB both.

    chained: each on what the ones before it leave; else each on the pair alone, as the paper writes it. Returns (5,);
    None where too few values lie between FIRST and LAST to tell.
    """
    bright, dark = reference.astype(np.float64), short.astype(np.float64)
    known = _known(bright) & _known(dark)
    if known.sum(axis=(0, 1)).min() < _LEAST:
        return None
    level = max(float((bright - dark)[known].mean()), 0.0)
    if chained:
        bright = np.maximum(bright - level, 0)
        known &= bright > 0
        if known.sum(axis=(0, 1)).min() < _LEAST:
            return None
    weights = [float((dark[..., c][k] / bright[..., c][k]).mean()) for c in range(3) for k in [known[..., c]]]
    if chained:
        bright = bright * weights
        known &= _known(bright)
        if known.sum() < _LEAST:
            return None
    power = float((np.log(dark[known]) / np.log(bright[known])).mean())
    return np.array([level, *weights, power])


def _known(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (values >= FIRST) & (values <= LAST)


def estimate(pictures: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]], *, chained: bool = True) -> Darkness:
    """Fit the normal to references and their shorts; SettingsError where fewer than two pairs tell anything."""
    return fit([parameters(reference, short, chained=chained) for reference, short in pictures])


def fit(found: Sequence[NDArray[np.float64] | None]) -> Darkness:
    """Fit the normal to pairs' parameters; SettingsError where fewer than two are known."""
    rows = np.array([row for row in found if row is not None]).reshape(-1, 5)
    if len(rows) < 2:
        raise SettingsError(
            f"darkness: {len(rows)} of {len(found)} pairs hold values from {FIRST} to {LAST} enough, 2 are needed; "
            "give brighter shorts, or take the published figures"
        )
    return Darkness(tuple(rows.mean(0).tolist()), tuple(map(tuple, np.cov(rows.T).tolist())))


def of_pairs(pairs: Sequence[Pair], cache: Cache, *, chained: bool = True) -> Darkness:
    """Estimate from real pairs, both rendered by LibRaw to sRGB under BT.709, as the authors had them, unbrightened.

    What a pair gave is remembered. Raises SettingsError where fewer than two pairs tell anything.
    """
    return fit([_remembered(pair, cache, chained) for pair in pairs])


def _remembered(pair: Pair, cache: Cache, chained: bool) -> NDArray[np.float64] | None:
    def eight_bit(picture: NDArray[np.uint16]) -> NDArray[np.uint8]:
        return (picture[::STEP, ::STEP] / 257 + 0.5).astype(np.uint8)

    def measure() -> Sequence[float]:
        reference = cache.shown(pair.reference, pair.short, kind="srgb", curve="bt709")
        _, short = raw.render(pair.short, kind="srgb", curve="bt709")  # looked at once: not worth its place in a cache
        found = parameters(eight_bit(reference), eight_bit(short), chained=chained)
        return () if found is None else found.tolist()

    found = cache.numbers(f"darkness-{'chained' if chained else 'alone'}", (pair.short, pair.reference), measure)
    return np.array(found) if found else None


def draw(darkness: Darkness, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw five parameters, anew until the black level is not negative and the others are above 0."""
    for _ in range(_TRIES):
        drawn = rng.multivariate_normal(darkness.mean, darkness.covariance)
        if drawn[0] >= 0 and (drawn[1:] > 0).all():
            return drawn
    raise SettingsError(
        f"darkness: of {_TRIES} draws none has weights and power above 0, their means are "
        f"{', '.join(f'{mean:.3g}' for mean in darkness.mean)}; estimate it from other pairs"
    )


def darken(
    picture: NDArray[np.uint8], drawn: NDArray[np.float64], rng: np.random.Generator, *, photons: float = PHOTONS
) -> NDArray[np.uint8]:
    """Darken a picture: (H, W, 3) -> (H, W, 3). photons: mean count of the noise at 255; the paper's is 1."""
    level, weights, power = drawn[0], drawn[1:4], drawn[4]
    values = np.maximum(picture - level, 0) * weights
    values = rng.poisson(values * (photons / 255)) * (255 / photons)
    return np.rint(np.clip(values**power, 0, 255)).astype(np.uint8)


def example(
    photos: Photos,
    darkness: Darkness,
    rng: np.random.Generator,
    *,
    size: int,
    photons: float = PHOTONS,
) -> Example:
    """Make one example of packing srgb3: a random crop, darkened, and the crop as it was, mirrored and turned.

    The dark picture is given as it is, not amplified: the paper's network brightens by itself. Returns bright and
    reference, (3, size, size) in [0, 1]. Raises SettingsError where a photo is smaller than the crop.
    """
    photo = photos[int(rng.integers(len(photos)))]
    height, width = photo.picture.shape[:2]
    if min(height, width) < size:
        raise SettingsError(f"a photo of {width} x {height} is too small for crops of {size}; make crops smaller")
    top, left = rng.integers(height - size + 1), rng.integers(width - size + 1)
    turns, mirrored = int(rng.integers(4)), rng.random() < 0.5

    def cut(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        crop = image[top : top + size, left : left + size]
        return np.rot90(crop[:, ::-1] if mirrored else crop, turns)

    dark = darken(cut(photo.picture), draw(darkness, rng), rng, photons=photons)
    return Example(_planes(dark), _planes(cut(photo.reference)))


def _planes(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)


def save(darkness: Darkness, file: Path) -> None:
    """Write a darkness as JSON."""
    file.write_text(json.dumps(asdict(darkness), indent=1) + "\n", encoding="utf-8")


def load(file: Path) -> Darkness:
    """Read a darkness from JSON; SettingsError for anything else."""
    try:
        entries = documents.from_json(file.read_text(encoding="utf-8"))
        mean, covariance = np.array(entries["mean"], float), np.array(entries["covariance"], float)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{file}: holds no darkness ({error}); write one with darken.save") from error
    if mean.shape != (5,) or covariance.shape != (5, 5) or not np.isfinite(covariance).all():
        raise SettingsError(f"{file}: holds {mean.shape} and {covariance.shape} numbers, not (5,) and (5, 5)")
    return Darkness(tuple(mean.tolist()), tuple(map(tuple, covariance.tolist())))
