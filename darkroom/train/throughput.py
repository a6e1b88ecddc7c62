"""How much of training's speed the data costs: the loop as it is, against the bare network on one batch over and over.

photos -> seconds a step, both ways
"""

import time
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from darkroom.sensor import noise
from darkroom.train import data, learning, losses, networks, optimisers, recipe
from darkroom.train import loop as training
from darkroom.train.cache import Cache
from darkroom.train.run import Options

STEPS = 20
"""Steps that are timed, after as many that are not."""
WINDOW = 64
"""Examples kept: so few that they are used and renewed in the timed steps as in a long run."""


def seconds(name: str, threads: int) -> tuple[float, float]:
    """Time a shipped recipe's steps on drawn photos: (in the loop, bare) seconds a step."""
    plan = recipe.load(name)
    stage = replace(plan.stages[0], steps=10**6, epochs=0)
    plan = replace(plan, stages=(stage,))
    with TemporaryDirectory(prefix="darkroom-bench-") as folder:
        place = Path(folder)
        _draw_photos(place / "photos")
        material = data.gather(
            plan,
            data.Sources(photos=place / "photos", validation=place / "photos"),
            noise.calibrated(noise.cameras()),
            Cache(place / "cache"),
            sensor="bayer",
            tell=lambda line: None,
        )
        looped = _looped(plan, material, place / "run", threads)
        drawn = data.draws(plan, stage, material, 0)
        examples = [drawn.example(i) for i in range(stage.batch)]
    torch.set_num_threads(threads)
    bright = torch.from_numpy(np.stack([example.bright for example in examples]))
    reference = torch.from_numpy(np.stack([example.reference for example in examples]))
    return looped, _bare(plan, material, bright, reference)


class _Enough(Exception):
    """Raised out of the loop when enough steps were timed."""


def _looped(plan: recipe.Recipe, material: data.Material, folder: Path, threads: int) -> float:
    times: list[float] = []

    def heard(progress: training.Progress) -> None:
        times.append(time.perf_counter())
        if len(times) == 1 + 2 * STEPS // training.HEARD:
            raise _Enough

    try:
        training.train(plan, material, folder, Options(threads=threads, every=10**9, window=WINDOW), heard)
    except _Enough:
        pass
    return (times[-1] - times[-2]) / training.HEARD


def _bare(plan: recipe.Recipe, material: data.Material, bright: torch.Tensor, reference: torch.Tensor) -> float:
    """Time forward, backward and update alone."""
    stage = plan.stages[0]
    network = networks.build(plan.network, material.kind.packing, plan.arguments)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    optimiser = optimisers.build(plan.optimiser, network.parameters(), stage.learning_rate, plan.weight_decay)
    loss_of = losses.build(stage.loss)
    times = []
    for _ in repeat(None, 2 * STEPS):
        started = time.perf_counter()
        learning.step(plan, network, optimiser, loss_of, bright, reference)
        times.append(time.perf_counter() - started)
    return median(times[STEPS:])


def _draw_photos(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        coarse = Image.fromarray(rng.integers(0, 256, (96, 144, 3), np.uint8))
        coarse.resize((1536, 1024), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
