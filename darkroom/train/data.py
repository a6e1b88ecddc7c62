"""What a run learns from: real pairs, photos made dark by the sensor model, photos darkened in sRGB; freely mixed.

    folders and lists  ->  Material  ->  (recipe's stage, number of the draw)  ->  Example

Nothing is held in memory but what a draw needs: pictures and mosaics are memory-mapped from the cache, or read out of
shards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from pathlib import Path

import numpy as np

from darkroom.develop import cfa
from darkroom.errors import SettingsError
from darkroom.frame import CFA
from darkroom.sensor import noise, simulate
from darkroom.sensor.simulate import Example, Kind, Photo
from darkroom.train import darken, pairs, shards
from darkroom.train.cache import Appearance, Cache
from darkroom.train.pairs import Pair
from darkroom.train.recipe import Recipe, Stage
from darkroom.train.shards import Photos

HELD_OUT = 20
"""Without a validation set every so many-th scene and photo is kept from training for it."""
VALIDATION_SIDE = 480
"""Sites along a side of the validation crops, at most."""
ROOM = 12
"""Sites that a mirrored crop may need beyond itself to find its phase again: two cells of X-Trans."""
VALIDATION_CROPS = 24
"""Validation examples, at most."""
VALIDATION_RATIOS = (100.0, 250.0, 300.0)
"""Of the photos in turn; the first of every three is seen once more in full light, at ratio 1."""
DARKNESS_PAIRS = 200
"""Pairs that paper 004's parameters are estimated from."""
OPEN = 256
"""Photos of the cache that stay open, at most."""
Scenes = tuple[tuple[Pair, ...], ...]


@dataclass(frozen=True)
class Sources:
    """Where the data is."""

    pairs: Path | None = None
    """A SID list file, a folder with short/ and long/, or a CSV of pairs."""
    photos: Path | None = None
    """Clean photos, as `shards.find` takes them."""
    validation: Path | None = None
    """Pairs or photos to choose weights by; None holds some of the above out."""
    exclude: tuple[str, ...] = ()
    """Scenes to leave out."""


@dataclass(frozen=True, eq=False)
class Material:
    """Everything a run draws from."""

    kind: Kind
    cameras: tuple[noise.Camera, ...]
    scenes: Scenes
    photos: Photos
    darkness: darken.Darkness | None
    cache: Cache
    validation: Scenes | Photos
    """Scenes or photos kept for choosing weights."""

    @property
    def epoch(self) -> int:
        """Scenes, or photos where there is no scene."""
        return len(self.scenes) or len(self.photos)


def gather(
    plan: Recipe,
    sources: Sources,
    cameras: Sequence[noise.Camera],
    cache: Cache,
    *,
    sensor: CFA,
    tell: Callable[[str], None],
) -> Material:
    """Find all data, check the pairs' alignment, and set the validation data apart.

    `cameras`: whose noise to imitate. `tell` hears one line about each thing left out or set apart.
    Raises SettingsError where there is nothing to learn from, or not what the recipe needs.
    """
    cache.sweep()
    scenes: Scenes = ()
    if sources.pairs:
        found = pairs.find(sources.pairs, cache, cap=plan.cap, exclude=sources.exclude, shorts=plan.shorts)
        kept, misaligned, unclear = pairs.aligned(found, cache)
        for pair in misaligned:
            tell(str(pair))
        if unclear:
            tell(f"{len(unclear)} of {len(kept)} pairs are too dark to check that short and reference are aligned")
        scenes = _scenes(kept)
    photos = shards.find(sources.photos, cache) if sources.photos else shards.NONE
    scenes, photos, validation = _set_apart(plan, scenes, photos, sources.validation, cache, tell)
    if not scenes and not photos:
        raise SettingsError("nothing to learn from; give --pairs, --photos or both")
    darkness = None
    if any("darkened" in stage.data for stage in plan.stages):
        if not photos:
            raise SettingsError(f"{plan.name}: darkens photos; give --photos, too")
        darkness = darken.PUBLISHED
        if scenes:
            darkness = darken.of_pairs([pair for scene in scenes for pair in scene][:DARKNESS_PAIRS], cache)
    if scenes and (taken := cache.frame(scenes[0][0].short).cfa) != sensor:
        raise SettingsError(
            f"{scenes[0][0].short}: is {taken}, the recipe's camera is {sensor}; name the camera that took it, or --cfa"
        )
    kind = Kind(sensor, cfa.packing(sensor, plan.layout), plan.input, plan.output)
    return Material(kind, tuple(cameras), scenes, photos, darkness, cache, validation)


def _scenes(found: Sequence[Pair]) -> Scenes:
    return tuple(tuple(scene) for scene in pairs.scenes(found))


def _set_apart(
    plan: Recipe, scenes: Scenes, photos: Photos, validation: Path | None, cache: Cache, tell: Callable[[str], None]
) -> tuple[Scenes, Photos, Scenes | Photos]:
    """Return what is left to train on, and the validation's scenes or photos."""
    if validation is not None:
        if shards.is_shard(validation.name) or (validation.is_dir() and not (validation / "long").is_dir()):
            return scenes, photos, shards.find(validation, cache)
        return scenes, photos, _scenes(pairs.find(validation, cache, cap=plan.cap, shorts=plan.shorts))
    what, number = ("scene", len(scenes)) if scenes else ("photo", len(photos))
    if not number:
        raise SettingsError("nothing to learn from; give --pairs, --photos or both")
    if number == 1:
        raise SettingsError(
            f"1 {what} to learn from, and none is left for validation; pass --validation PATH, or another {what}"
        )
    held = np.arange(number) % HELD_OUT == 0
    tell(f"validation: {np.count_nonzero(held)} of {number} {what}s kept from training")
    if not scenes:
        return scenes, photos.only(np.flatnonzero(~held)), photos.only(np.flatnonzero(held))
    return tuple(scene for i, scene in enumerate(scenes) if i % HELD_OUT), photos, scenes[::HELD_OUT]


@dataclass(frozen=True, eq=False)
class _Opening:
    """Some photos in a row, each opened when it is drawn: a million could not be open at once."""

    photos: Photos
    first: int
    number: int
    cache: Cache
    look: Appearance

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, number: int, /) -> Photo:
        place = self.photos[self.first + number]
        # Those of the cache are maps, of which the last few stay open.
        return (_mapped if isinstance(place, Path) else shards.opened)(place, self.cache, self.look)


@dataclass(frozen=True, eq=False)
class Draws:
    """One stage's examples by number: the same number always gives the same example."""

    plan: Recipe
    stage: Stage
    material: Material
    seed: int
    lanes: int
    """Places in a batch, each of which has photos of its own."""
    scenes: Scenes
    kinds: tuple[str, ...]
    shares: tuple[float, ...]

    def example(self, number: int) -> Example:
        rng = np.random.default_rng([self.seed, number])
        kind = self.kinds[rng.choice(len(self.kinds), p=self.shares)]
        if kind == "photos":
            material, size, cap = self.material, self.stage.crop, self.plan.cap
            return simulate.example(self._photos(number), material.cameras, rng, kind=material.kind, size=size, cap=cap)
        if kind == "darkened":
            assert self.material.darkness
            return darken.example(self._photos(number), self.material.darkness, rng, size=self.stage.crop)
        epoch, place = divmod(number, len(self.scenes))
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.scenes))
        scene, look = self.scenes[order[place]], self.stage.references
        return _of_scene(scene, self.plan, look, self.material, rng, self.stage.crop)

    def _photos(self, number: int) -> _Opening:
        """Those that an example may be of: of as many photos, one beside the other, as each place in a batch has."""
        photos, lane = self.material.photos, number % self.lanes
        first, end = (len(photos) * each // self.lanes for each in (lane, lane + 1))
        if len(photos) < self.lanes:
            first, end = 0, len(photos)
        return _Opening(photos, first, end - first, self.material.cache, self.stage.references)


def draws(plan: Recipe, stage: Stage, material: Material, seed: int, *, lanes: int = 1) -> Draws:
    """Prepare a stage's draws; no photo is opened before it is drawn.

    lanes: places in a batch. Example n is of the place n % lanes, and places share no photo where there is one for
    each. Raises SettingsError where the stage's kind of data was not given.
    """
    given = [name for name, there in (("pairs", material.scenes), ("photos", material.photos)) if there]
    data = stage.data or dict.fromkeys(given, 1.0)
    for name in data:
        if name not in given and not (name == "darkened" and material.darkness):
            raise SettingsError(f"{plan.name}: learns from {name}; give --{name}")
    scenes = list(material.scenes)
    np.random.default_rng([seed, 2]).shuffle(scenes)
    return Draws(
        plan=plan,
        stage=stage,
        material=material,
        seed=seed,
        lanes=lanes,
        scenes=tuple(scenes[: ceil(stage.fraction * len(scenes))]),
        kinds=tuple(data),
        shares=tuple(share / sum(data.values()) for share in data.values()),
    )


@lru_cache(OPEN)
def _mapped(path: Path, cache: Cache, look: Appearance) -> Photo:
    return shards.opened(path, cache, look)


def validation(plan: Recipe, material: Material, multiple: int) -> list[Example]:
    """Make the examples that weights are chosen by: fixed, from data that is not trained on.

    `multiple`: the network's, in packed pixels. Photos are the bench's: their centre, every ratio
    and camera in turn. Of a scene the first short is taken.
    """
    step = simulate.sites_multiple(material.kind, multiple)
    side = max(VALIDATION_SIDE // step * step, step)
    look = plan.stages[-1].references
    examples = []
    for i in range(min(VALIDATION_CROPS, len(material.validation))):
        held = material.validation[i]
        if not isinstance(held, tuple):
            opened = shards.opened(held, material.cache, look)
            camera = material.cameras[(i + i // 3) % len(material.cameras)]
            small = min(*opened.picture.shape[:2], side) // step * step
            for ratio in (VALIDATION_RATIOS[i % 3],) if i % 3 else (VALIDATION_RATIOS[0], 1.0):
                dark = min(ratio, plan.cap)
                examples.append(simulate.central(opened, camera, dark, i, kind=material.kind, size=small))
        else:
            seen = material.cache.frame(held[0].short).visible
            room = min(seen.height, seen.width) - ROOM
            size = max(min(side, room // step * step), step)
            examples.append(_of_scene(held[:1], plan, look, material, np.random.default_rng(i), size))
    return examples


def _of_scene(
    scene: Sequence[Pair],
    plan: Recipe,
    look: Appearance,
    material: Material,
    rng: np.random.Generator,
    size: int,
) -> Example:
    return pairs.example(
        list(scene),
        material.cache,
        rng,
        packing=material.kind.packing,
        input=plan.input,
        output=plan.output,
        curve=plan.curve,
        look=look,
        size=size,
        flips=plan.flips,
    )
