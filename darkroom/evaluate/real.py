"""Real pairs -> cases, by the rules under which scores were published.

list, folder or CSV -> [Pair] that count -> Case: the short as it was read, LibRaw's picture of its reference

SID's 28.88 dB is the mean over all 598 shorts of the Sony test list; its test script takes the first of each scene and
exposure, 93; three scenes are misaligned, without which 562 and 88 remain. RED's is over the shorts of 0.1 s that come
first. All are of 8-bit pictures under LibRaw's BT.709 curve.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Literal

import numpy as np

from darkroom.decode.raw import Curve
from darkroom.errors import SettingsError
from darkroom.evaluate.case import BURST, Case, light
from darkroom.frame import Frame
from darkroom.train import pairs
from darkroom.train.cache import Cache
from darkroom.train.pairlist import Shorts
from darkroom.train.pairs import Pair

MISALIGNED = ("10034", "10045", "10172")
"""Scenes of SID's Sony test set that its authors' README names."""


@dataclass(frozen=True)
class Convention:
    """What counts, and how it is compared."""

    name: str
    shorts: Shorts
    exclude: tuple[str, ...]
    """Scenes."""
    first_digit: str
    """Scenes whose id begins so: SID numbers its test scenes from 10000; empty for all."""
    cap: float
    """The largest ratio."""
    curve: Curve
    """Of the references."""
    eight_bit: bool


CONVENTIONS = {
    each.name: each
    for each in (
        Convention("sid-598", "all", (), "1", pairs.CAP, "bt709", True),
        Convention("sid-562", "all", MISALIGNED, "1", pairs.CAP, "bt709", True),
        Convention("sid-93", "first", (), "1", pairs.CAP, "bt709", True),
        Convention("sid-88", "first", MISALIGNED, "1", pairs.CAP, "bt709", True),
        Convention("red", "red", (), "1", pairs.CAP, "bt709", True),
        Convention("folder", "all", (), "", inf, "srgb", False),
    )
}


@dataclass(frozen=True)
class Shot:
    """A pair that counts, and the other shorts of its burst."""

    pair: Pair
    burst: tuple[Path, ...]
    """This short first, BURST in all; empty where nobody asked."""


def _unheard(done: int, files: int) -> None:
    return None


def plan(
    source: Path,
    convention: Convention,
    cache: Cache,
    *,
    burst: bool = False,
    on_pair: Callable[[int, int], None] = _unheard,
) -> list[Shot]:
    """Find the pairs that count, and have their files decoded into the cache.

    source: as `pairs.find` takes it. burst: only pairs whose scene has BURST shorts of that exposure. `on_pair` hears
    (done, all). Raises SettingsError where none is left, and as `pairs.find` does.
    """
    exclude, cap = convention.exclude, convention.cap
    found = pairs.find(source, cache, cap=cap, exclude=exclude, shorts=convention.shorts, on_pair=on_pair)
    counted = [pair for pair in found if pair.scene.startswith(convention.first_digit)]
    if not counted:
        raise SettingsError(
            f"{source}: none of its {len(found)} pairs is a test scene of SID's; give --convention folder to take all"
        )
    if not burst:
        return [Shot(pair, ()) for pair in counted]
    every = pairs.find(source, cache, cap=cap, exclude=exclude, shorts="all")
    shots = [Shot(pair, _burst(pair, every, cache)) for pair in counted]
    shots = [shot for shot in shots if len(shot.burst) == BURST]
    if not shots:
        raise SettingsError(f"{source}: no scene has {BURST} shorts of one exposure; leave the baseline burst out")
    return shots


def cases(
    shots: Sequence[Shot], convention: Convention, cache: Cache, *, domain: Literal["srgb", "raw"] = "srgb"
) -> Iterator[Case]:
    """Open the pairs, one after the other; for the raw domain with the reference's light."""
    for shot in shots:
        pair, frame = shot.pair, _open(shot.pair.short, cache)
        reference = replace(cache.reference(pair.reference, pair.short), orientation=1)
        rendering = cache.shown(pair.reference, pair.short, kind="srgb", curve=convention.curve)
        yield Case(
            photo=pair.short.name,
            frame=frame,
            reference=rendering.astype(np.float32) / np.float32(65535),
            curve=convention.curve,
            ratio=pair.ratio,
            camera=frame.camera,
            gain=0.0,
            white_balance=reference.white_balance,
            light=light(reference) if domain == "raw" else None,
            burst=tuple(_open(path, cache) for path in shot.burst),
        )


def data(source: Path, convention: Convention) -> str:
    """What the scores are of: the convention, or the folder that has none."""
    return f"folder {source.resolve().name}" if convention.name == "folder" else convention.name


def eight_bit(data: str) -> bool:
    """Tell how scores of this data were measured."""
    name, *more = data.split(", ")
    return name in CONVENTIONS and CONVENTIONS[name].eight_bit and "raw planes" not in more


def _open(path: Path, cache: Cache) -> Frame:
    return replace(cache.frame(path), orientation=1)


def _burst(pair: Pair, every: Sequence[Pair], cache: Cache) -> tuple[Path, ...]:
    """The short and those that follow it in its scene, of the same exposure, as in a ring; fewer where there are."""
    exposure = cache.frame(pair.short).exposure
    alike = [
        each.short
        for each in every
        if (each.scene, each.ratio) == (pair.scene, pair.ratio) and cache.frame(each.short).exposure == exposure
    ]
    first = alike.index(pair.short)
    return tuple((alike[first:] + alike[:first])[:BURST])
