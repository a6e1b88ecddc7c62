"""Clean photos -> the places at which networks are judged by eye, one of each kind that mean scores do not show.

folder of photos | TOML -> [Place]

A folder's places are chosen by what a window holds: strong edges, steps across and upright, fine texture, green, hues
of skin, small lights in the dark, near-black. That is a guess, the same at every run; `to_toml` writes what was chosen,
to be corrected by hand and named next time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darkroom import documents
from darkroom.errors import SettingsError
from darkroom.evaluate import simulated

SIDE = 160
"""Pixels along a side of a place."""
CELL = 16
"""Pixels along a side of what is summed up first; places begin on one."""
EDGE = 0.08
"""Step of the encoded luminance from pixel to pixel that is an edge."""
TEXTURE = (0.012, 0.06)
"""Steps that are texture."""
CB, CR = (77 / 255, 127 / 255), (133 / 255, 173 / 255)
"""Hues of skin (Chai and Ngan 1999)."""
TWICE = 2
"""Places that one photo may give."""

KINDS = ("text", "windows", "foliage", "fur", "skin", "lamps", "near-black")


@dataclass(frozen=True)
class Place:
    """A square of SIDE pixels of a photo."""

    kind: str
    """What is there, in a word."""
    photo: Path
    top: int
    left: int


def choose(photos: Path) -> list[Place]:
    """Choose the place of each kind in a folder of photos, the one that shows most of it.

    A kind that is nowhere has no place. Raises SettingsError for a folder without photos, or whose photos are all too
    small.
    """
    found = []
    for photo in simulated.photos_of(photos):
        picture = simulated.read_photo(photo, (1 << 16, 1 << 16))
        if min(picture.shape[:2]) >= SIDE:
            found.append((photo, _worth(picture)))
    if not found:
        raise SettingsError(f"{photos}: none of its photos has {SIDE} pixels a side; name a folder of larger ones")
    chosen: list[Place] = []
    for index, kind in enumerate(KINDS):
        best = sorted(found, key=lambda each: -each[1][index].max())
        ranked = [_best(kind, photo, worth[index]) for photo, worth in best if worth[index].max() > 0]
        if ranked:
            chosen.append(next((place for place in ranked if _free(place, chosen)), ranked[0]))
    return chosen


def _best(kind: str, photo: Path, worth: NDArray[np.float64]) -> Place:
    row, column = divmod(int(worth.argmax()), worth.shape[1])
    return Place(kind, photo, row * CELL, column * CELL)


def _free(place: Place, taken: Sequence[Place]) -> bool:
    there = [each for each in taken if each.photo == place.photo]
    apart = all(max(abs(each.top - place.top), abs(each.left - place.left)) >= SIDE for each in there)
    return len(there) < TWICE and apart


def read(file: Path, photos: Path) -> list[Place]:
    """Read places, in the order of the file, of photos in a folder; raises SettingsError naming what is wrong."""
    try:
        entries = documents.from_toml(file.read_text(encoding="utf-8"))["place"]
        places = [
            Place(str(each["kind"]), photos / str(each["photo"]), int(each["top"]), int(each["left"]))
            for each in entries
        ]
    except OSError as error:
        raise SettingsError(
            f"{file}: cannot be read ({(error.strerror or '').lower()}); name a file of places"
        ) from error
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise SettingsError(
            f'{file}: holds no places ({error}); give each as [[place]] with kind = "fur", photo = "a.jpg", top, left'
        ) from error
    for place in places:
        height, width = simulated.read_photo(place.photo, (1 << 16, 1 << 16)).shape[:2]
        if not (0 <= place.top <= height - SIDE and 0 <= place.left <= width - SIDE):
            raise SettingsError(
                f"{file}: {place.kind} begins at row {place.top}, column {place.left}, and {place.photo.name} has "
                f"{height}x{width} pixels; leave {SIDE} below and right of it"
            )
    return places


def to_toml(places: Sequence[Place]) -> str:
    """Write places as `read` takes them."""
    return "\n".join(
        f'[[place]]\nkind = "{each.kind}"\nphoto = "{each.photo.name}"\ntop = {each.top}\nleft = {each.left}\n'
        for each in places
    )


def _worth(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How much of each kind a place shows, for every cell that it may begin on: (kinds, rows, columns)."""
    from scipy.ndimage import sobel

    height, width = (length // CELL * CELL for length in picture.shape[:2])
    rgb = picture[:height, :width].astype(np.float32) / np.float32(255)
    luminance = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    down, across = sobel(luminance, 0) / 8, sobel(luminance, 1) / 8
    steps = np.hypot(down, across)
    cb, cr = 0.5 + 0.564 * (rgb[..., 2] - luminance), 0.5 + 0.713 * (rgb[..., 0] - luminance)
    spread = rgb.max(2) - rgb.min(2)

    def share(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Of each place."""
        cells = mask.reshape(height // CELL, CELL, width // CELL, CELL).mean((1, 3), dtype=np.float64)
        sums = np.pad(cells, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
        n = SIDE // CELL
        return (sums[n:, n:] - sums[:-n, n:] - sums[n:, :-n] + sums[:-n, :-n]) / n**2

    edges = share(steps > EDGE)
    upright, level = (
        share((steps > EDGE) & (abs(one) > 8 * abs(other))) for one, other in ((across, down), (down, across))
    )
    texture = share((steps > TEXTURE[0]) & (steps < TEXTURE[1]))
    grey = share(spread < 0.12)
    green = share((rgb[..., 1] > 1.08 * rgb[..., 0]) & (rgb[..., 1] > 1.15 * rgb[..., 2]))
    skin = share((cb > CB[0]) & (cb < CB[1]) & (cr > CR[0]) & (cr < CR[1]) & (luminance > 0.3) & (luminance < 0.9))
    light, dim, bright = share(luminance > 0.6), share(luminance < 0.35), share(luminance > 0.96)
    # Hairs run side by side: within a cell the steps share a direction, which is neither across nor upright.
    xx, yy, xy = (share(a * b) for a, b in ((across, across), (down, down), (across, down)))
    along = 2 * abs(xy) / (xx + yy + 1e-6)
    return np.stack(
        [
            (edges - upright - level) * grey * np.minimum(light, dim),
            np.minimum(upright, level) * (edges > 0.02),
            green * (texture + edges),
            texture * (1 - green) * (1 - 4 * np.minimum(edges, 0.25)) * (0.3 + along),
            skin * (1 - 4 * np.minimum(edges, 0.25)) * (0.1 + np.minimum(texture, 0.3)),
            np.minimum(bright, 0.05) * np.maximum(dim - 0.5, 0),
            share((luminance > 0.02) & (luminance < 0.16))
            * (1 - 4 * np.minimum(edges, 0.25))
            * (0.2 + np.minimum(texture, 0.3)),
        ]
    )
