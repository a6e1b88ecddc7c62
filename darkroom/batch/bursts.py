"""A burst's other files, read one by one and merged into the first frame.

paths  ->  those of each burst  ->  what `batch.run` does to the first one's frame before it is developed
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darkroom.decode import raw
from darkroom.develop import amplifier, burst, grain, model, pipeline
from darkroom.develop.amplifier import Amp
from darkroom.develop.model import Model
from darkroom.develop.pipeline import Settings
from darkroom.errors import RawError, SettingsError
from darkroom.frame import Frame, Window
from darkroom.write import exif

Prepare = Callable[[Frame, Path], Frame]

APART = 3.0
"""Seconds from the end of one exposure to the start of the next of the same burst: EXIF tells whole ones, and a camera
may work on a long exposure before it takes the next."""


def grouped(paths: Sequence[Path]) -> dict[Path, tuple[Path, ...]]:
    """Tell which files are one burst: the first of each, and the others; a file that is alone has none.

    Frames of one camera and exposure, each begun within `APART` of the end of the one before, by EXIF; a file that does
    not tell when it was taken is alone.
    """
    bursts: list[list[Path]] = []
    open_bursts: dict[tuple[Path, tuple[bytes, ...]], tuple[list[Path], exif.Shot]] = {}
    shots = {path: exif.shot(path) for path in paths}
    bursts += [[path] for path, shot in shots.items() if shot is None]
    known = [(shot, path) for path, shot in shots.items() if shot is not None]
    for shot, path in sorted(known, key=lambda each: (each[0].taken, each[1])):
        key = (path.parent, shot.alike)
        burst_so_far, last = open_bursts.get(key, ([], shot))
        if not burst_so_far or (shot.taken - last.taken).total_seconds() > last.seconds + APART:
            burst_so_far = []
            bursts.append(burst_so_far)
        burst_so_far.append(path)
        open_bursts[key] = (burst_so_far, shot)
    return {first: tuple(others) for first, *others in bursts}


def joining_each(
    bursts: Mapping[Path, Sequence[Path]], load: Callable[[str], Model], settings: Settings, prepare: Prepare
) -> Prepare:
    """Make what merges the others of its burst into a frame, by its path; a frame that is alone is only prepared."""
    joined = {first: joining(others, load, settings, prepare) for first, others in bursts.items() if others}
    return lambda frame, path: joined.get(path, prepare)(frame, path)


def joining(others: Sequence[Path], load: Callable[[str], Model], settings: Settings, prepare: Prepare) -> Prepare:
    """Make what merges `others` into a frame.

    load: a network by name, for the pictures on which frames are aligned. prepare: what is done to each frame first.
    """

    def joined(first: Frame, path: Path) -> Frame:
        network = load(model.default(first.cfa))
        start = _ready(first, path)
        ratio = amplifier.ratio(start, settings.amp, network.contract.max_ratio)
        plain = Settings(amp=Amp("number", ratio), hot_sites="off", memory=settings.memory)

        def see(frame: Frame) -> NDArray[np.float32]:
            whole = Window(0, 0, *frame.mosaic.shape)
            upright = replace(frame, orientation=1, pixel_aspect=1.0, visible=whole)
            return _reduced(pipeline.expose(upright, network, plain).picture, len(frame.black))

        def each() -> Iterator[Frame]:
            for other in others:
                frame = _ready(raw.read(other), other)
                try:
                    burst.refuse_other(frame, start)
                except SettingsError as error:
                    raise RawError(f"{other}: {error}") from error
                yield frame

        merged, count = burst.merged(start, each(), grain.measure(start), see)
        note = f"merged with {len(others)} more: {count:.1f} frames' worth of light, in the mean over the picture"
        return replace(merged, notes=(*merged.notes, note))

    def _ready(frame: Frame, path: Path) -> Frame:
        frame = prepare(frame, path)
        return pipeline.mended(frame) if settings.hot_sites == "auto" else frame

    return joined


def loading(choice_device: str) -> Callable[[str], Model]:
    """Load networks by name, each once."""
    return cache(lambda name: model.load(model.find(name), device=choice_device))


def _reduced(picture: NDArray[np.generic], side: int) -> NDArray[np.float32]:
    """Brightness at a pixel a cell: (H, W, 3) -> (H // side, W // side)."""
    height, width = (length // side * side for length in picture.shape[:2])
    rows = sum(picture[top:height:side, :width].astype(np.float32).sum(2) for top in range(side))
    return np.asarray(sum(rows[:, left::side] for left in range(side)), np.float32) / np.float32(3 * side**2)
