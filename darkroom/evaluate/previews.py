"""A developed picture against the one that the camera put into the file: is it turned, mirrored, moved, or of a cast?

(H, W, 3) uint8 developed, the camera's as it lies in the file  ->  numbers

Cameras tone and sharpen as they like, so brightness is compared by its correlation, colours by their middle, and both
on reduced pictures. That needs no reference.
"""

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darkroom.decode import decoder
from darkroom.decode.decoder import Refusal
from darkroom.develop.curves import srgb_to_linear

SIDE = 192
"""Pixels of the longer side that both are reduced to, to see how they lie."""
COARSE = 48
"""Pixels of the longer side where they are compared: thumbnails are less sharp."""
BAR = 12
"""Of 255: rows and columns at the edges that are nowhere brighter are bars, such as 3:2 has in a 4:3 thumbnail."""
FLAT = 3.0
"""Of 255: sd of a preview that shows nothing."""
SURE = 0.05
"""Correlation by which another orientation must be better than the file's own,"""
LIKE = 0.7
"""and which it must have: of pictures that are merely unlike, some orientation always is less so."""
TONES = (0.02, 0.9)
"""Linear: pixels that have a colour to compare, in both."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Preview:
    """The picture that the camera made of its own raw."""

    picture: Pixels
    """(H, W, 3) sRGB as it lies in the file; for a large one, halved until it is handy."""
    height: int
    width: int
    orientation: int
    """EXIF orientation that stands in the preview itself, 1 where none does."""


@dataclass(frozen=True)
class Agreement:
    """How a developed picture and the preview differ."""

    correlation: float
    """Of brightness, in the orientation that the file tells; 1 is the same picture."""
    best: int
    """EXIF orientation in which the preview, as it lies in the file, fits best."""
    expected: tuple[int, ...]
    """Those in which it should: as the file says, or upright already."""
    shift: tuple[float, float]
    """Down and across, in shares of the longer side."""
    proportions: float
    """Width by height of the picture, over the preview's as it fits best."""
    cast: tuple[float, float]
    """EV by which red and blue are stronger against green than in the preview; nan where no pixel can tell."""
    saturation: float
    """How much its colours differ among themselves, over the preview's; nan likewise."""


def read(path: Path) -> Preview | None:
    """Read the preview of a raw file; None where it has none, or none that can be read. Raises RawError."""
    from PIL import Image

    held = decoder.preview(path)
    if isinstance(held, Refusal):
        return None
    if not isinstance(held, bytes):
        return Preview(held, held.shape[0], held.shape[1], 1)
    try:
        with Image.open(io.BytesIO(held), formats=["JPEG"]) as opened:
            width, height = opened.size
            orientation = int(opened.getexif().get(274, 1))
            opened.draft("RGB", (4 * SIDE, 4 * SIDE))
            picture = np.asarray(opened.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return Preview(picture, height, width, orientation if 1 <= orientation <= 8 else 1)


def is_blank(preview: Preview) -> bool:
    """Tell whether a preview shows nothing that could be compared: that of a lens cap, or of a photo as dark as one."""
    return float(preview.picture.mean(2).std()) < FLAT


def brightness(preview: Preview) -> float:
    """Middle of its green, linear."""
    return float(np.median(srgb_to_linear(_trimmed(preview.picture)[..., 1].astype(np.float32) / np.float32(255))))


def compare(picture: Pixels, preview: Preview, orientation: int) -> Agreement:
    """Compare a developed picture, upright, with the preview of the same file, of which EXIF tells this orientation."""
    theirs = _trimmed(preview.picture)
    size = _size(picture, COARSE)
    own = _reduced(picture, *size)
    seen = {turn: _reduced(turned(theirs, turn), *size) for turn in range(1, 9)}
    fits = {turn: _correlation(own, each) for turn, each in seen.items()}
    expected = (preview.orientation,) if preview.orientation != 1 else tuple(dict.fromkeys((orientation, 1)))
    told = max(expected, key=fits.__getitem__)
    best = max(fits, key=fits.__getitem__)
    best = best if fits[best] > max(fits[told] + SURE, LIKE) else told
    upright, fine = turned(theirs, best), _size(picture, SIDE)
    cast, saturation = _colours(own, seen[best])
    return Agreement(
        correlation=fits[told],
        best=best,
        expected=expected,
        shift=_shift(_reduced(picture, *fine), _reduced(upright, *fine)),
        proportions=picture.shape[1] / picture.shape[0] * upright.shape[0] / upright.shape[1],
        cast=cast,
        saturation=saturation,
    )


def turned(picture: Pixels, orientation: int) -> Pixels:
    """Turn what EXIF says is to be turned: (H, W, 3), 1 to 8."""
    if orientation >= 5:
        picture = picture.swapaxes(0, 1)
    rows, columns = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}[
        orientation
    ]
    return picture[::rows, ::columns]


def _trimmed(picture: Pixels) -> Pixels:
    """Cut dark bars off, but for a picture that is dark all over."""
    bright = picture.max(2) > BAR
    rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    if len(rows) < picture.shape[0] / 2 or len(columns) < picture.shape[1] / 2:
        return picture
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _size(picture: Pixels, side: int) -> tuple[int, int]:
    """Height and width of the picture with this longer side."""
    height, width = picture.shape[:2]
    return max(round(height * side / max(height, width)), 8), max(round(width * side / max(height, width)), 8)


def _reduced(picture: Pixels, height: int, width: int) -> NDArray[np.float32]:
    from PIL import Image

    small = Image.fromarray(np.ascontiguousarray(picture)).resize((width, height), Image.Resampling.BOX)
    return np.asarray(small).astype(np.float32)


def _correlation(own: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    a, b = (each.mean(2).ravel() - each.mean() for each in (own, theirs))
    power = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / power if power > 0 else 0.0


def _shift(own: NDArray[np.float32], theirs: NDArray[np.float32]) -> tuple[float, float]:
    """How far the picture lies below and right of the preview: the place of the peak of their phase correlation."""
    height, width = own.shape[:2]
    window = np.hanning(height)[:, None] * np.hanning(width)
    spectra = [np.fft.rfft2((each.mean(2) - each.mean()) * window) for each in (own, theirs)]
    product = spectra[0] * spectra[1].conj()
    product /= abs(product) + 1e-3 * abs(product).max() + 1e-9  # what is in neither has no phase
    peak = np.fft.irfft2(product, (height, width))
    down, across = np.unravel_index(int(peak.argmax()), peak.shape)
    down, across = (int(place) - length * (place > length // 2) for place, length in ((down, height), (across, width)))
    return float(down) / max(height, width), float(across) / max(height, width)


def _colours(own: NDArray[np.float32], theirs: NDArray[np.float32]) -> tuple[tuple[float, float], float]:
    """Compare red and blue against green, in EV: their middles, and how far they spread."""
    light = [srgb_to_linear(each / np.float32(255)) for each in (own, theirs)]
    told = np.logical_and.reduce([(each.min(2) > TONES[0]) & (each.max(2) < TONES[1]) for each in light])
    if np.count_nonzero(told) < told.size / 100:
        return (math.nan, math.nan), math.nan
    ratios = [np.log2(each[told][:, (0, 2)] / each[told][:, 1:2]) for each in light]
    red, blue = np.median(ratios[0] - ratios[1], axis=0)
    spreads = [float(each.std(0).mean()) for each in ratios]
    return (float(red), float(blue)), spreads[0] / spreads[1] if spreads[1] > 0 else math.nan
