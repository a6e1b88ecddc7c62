"""A training under way, judged and shipped: what it is at any step, its score on the validation data, its ONNX.

averaged weights + validation examples -> PSNR, curves and samples; the best so far -> RUN/NAME.onnx
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from darkroom.errors import DarkroomError
from darkroom.sensor import simulate
from darkroom.sensor.simulate import Example
from darkroom.train import export, networks, pool, recipe, shards, watch
from darkroom.train.checkpoint import State
from darkroom.train.data import Material
from darkroom.train.networks import Network
from darkroom.train.recipe import Recipe

SAMPLES = 4
"""Validation examples shown at each validation."""
CURVES = 6
"""Most ratios of which each has its curve."""


@dataclass(frozen=True)
class Options:
    """How a run is carried out; what it makes is the recipe's and the data's affair."""

    seed: int = 0
    threads: int = 1
    every: int = 500
    """Steps between validations, each with a checkpoint."""
    minutes: float = 0.0
    """Minutes, as `Run.hours` counts, that replace the recipe's steps and drive its schedule; 0: the steps count."""
    init: tuple[Path, ...] = ()
    """ONNX files whose weights of the same name and shape to start from; of several, their mean."""
    vgg: Path | None = None
    """VGG-16's weights, for losses that need them."""
    window: int = pool.SIZE
    """Examples that are kept and trained on several times."""
    version: int = 1
    licence: str = "unstated"
    """Of the weights, as the user states it: it depends on the data."""


@dataclass(frozen=True, eq=False)
class Run:
    """One training under way."""

    plan: Recipe
    material: Material
    folder: Path
    options: Options
    rank: int
    world: int
    device: torch.device
    network: Network
    average: dict[str, Tensor]
    state: State
    validation: list[Example]
    ends: tuple[int, ...]
    """Step at which each stage ends, by the recipe."""
    clock: Callable[[], float]
    """Seconds: of CPU time where that trains, else on the wall."""
    started: tuple[float, float]
    """The clock at the start, and hours spent before."""

    def hours(self) -> float:
        """Say how long the CPU has worked or the GPU was held for this run."""
        return self.started[1] + (self.clock() - self.started[0]) / 3600

    def share(self) -> float:
        """How much of the run is done: steps, or minutes where those were given; 1 is all."""
        if self.options.minutes:
            return self.hours() * 60 / self.options.minutes
        return self.state.step / self.ends[-1]


def look(run: Run, seen: watch.Watch, *, loss: float, rate: float) -> float:
    """Measure the averaged weights on the validation data, log and show them, export them if best; return dB."""
    network = averaged(run)
    scores: dict[float, list[float]] = {}
    samples: list[watch.Sample] = []
    with torch.inference_mode():
        for example in run.validation:
            output = network(torch.from_numpy(example.bright)[None])[0].clamp(0, 1).numpy()
            wrong = float(np.mean((output - example.reference) ** 2))
            scores.setdefault(example.ratio, []).append(-10 * math.log10(max(wrong, 1e-10)))
            if len(samples) < SAMPLES:
                samples.append((simulate.shown(example.bright, run.material.kind), output, example.reference))
    psnr, state = float(np.mean([score for alike in scores.values() for score in alike])), run.state
    check_finite(psnr, run)
    numbers = {"hours": state.hours, "loss": loss, "learning_rate": rate, "psnr": psnr}
    if 1 < len(scores) <= CURVES:
        numbers |= {f"psnr/x{ratio:.0f}": float(np.mean(alike)) for ratio, alike in sorted(scores.items())}
    seen.scalars(state.step, numbers | {watch.STAGE: state.stage + 1})
    seen.samples(state.step, samples)
    if psnr > state.psnr:
        state.psnr = psnr
        ship(run, network, run.folder)
    return psnr


def check_finite(number: float, run: Run) -> None:
    """Raise DarkroomError where a loss or a score is not finite."""
    if not math.isfinite(number):
        raise DarkroomError(
            f"{run.folder}: the loss is no longer finite at step {run.state.step}; the checkpoint before it is kept, "
            "start again with a lower learning rate"
        )


def averaged(run: Run) -> Network:
    """Make the network of the averaged weights, on the CPU, as it is for inference."""
    network = networks.build(run.plan.network, run.material.kind.packing, run.plan.arguments).eval()
    network.load_state_dict({key: value.cpu() for key, value in run.average.items()})
    return network


def ship(run: Run, network: Network, folder: Path) -> None:
    """Export a network of this run to FOLDER/NAME.onnx, with what it was trained on; raises as `export.export`."""
    plan, kind = run.plan, run.material.kind
    export.export(
        network,
        folder / f"{plan.name}.onnx",
        export.Facts(
            name=plan.name,
            version=run.options.version,
            packing=kind.packing,
            input=kind.input,
            output=kind.output,
            max_ratio=plan.cap,
            training=_training(run),
            licence=run.options.licence,
            recipe=recipe.dump(plan),
        ),
    )


def _training(run: Run) -> str:
    """Say in one line how the weights came about."""
    plan, state, material = run.plan, run.state, run.material
    sources = []
    if material.scenes:
        sources.append(f"{len(material.scenes)} real scenes")
    if material.photos:
        cameras = ", ".join(camera.name for camera in material.cameras)
        sources.append(f"{len(material.photos)} {shards.kept_in(material.photos)} photos with the noise of {cameras}")
    stage = plan.stages[state.stage]
    start = ", started from " + " and ".join(file.name for file in run.options.init) if run.options.init else ""
    return (
        f"{plan.network} on {' and '.join(sources)}; {state.step} steps of {stage.batch} x {stage.crop} px, "
        f"{state.hours:.2f} {'GPU' if run.device.type == 'cuda' else 'CPU'}-hours{start}"
    )


def facts(run: Run) -> dict[str, str]:
    """Tell what the report says of a run, by heading."""
    stages = zip(run.plan.stages, run.ends, strict=True)
    return {
        "recipe": run.plan.about,
        "training": _training(run),
        "stages": "; ".join(f"{' + '.join(stage.loss)} until step {end}" for stage, end in stages),
        "best PSNR on the validation data": f"{run.state.psnr:.2f} dB on {len(run.validation)} crops",
    }
