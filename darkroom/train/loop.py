"""The training loop: photos in, a run folder with checkpoints, a log and a finished ONNX out.

    RUN/plan.json          what was asked for
    RUN/checkpoint.*       weights, averaged weights and optimiser (safetensors), progress (JSON)
    RUN/log.csv            step, CPU-hours, loss, learning rate, PSNR on the validation photos
    RUN/NAME.onnx          the best averaged weights so far, ready for `darkroom develop --model`

A run is resumed by starting it again: every batch is drawn from (seed, step), so the losses go on as
if it had never stopped.
"""

import csv
import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.errors import DarkroomError, SettingsError
from darkroom.train import export, noise, simulate
from darkroom.train.networks.compact import Compact
from darkroom.train.networks.red import Red

NETWORKS = {"compact": Compact, "red": Red}
WARM_UP = 200
"""Steps over which the learning rate rises from 0."""
AVERAGE = 0.999
"""Decay of the averaged weights, per step."""
VALIDATION_RATIOS = (100.0, 250.0, 300.0)
VALIDATION_SIZE = 480
"""Sites along a side of the validation crops: a multiple of every network's needs."""


@dataclass(frozen=True)
class Plan:
    """All that decides a run's result; saved with it."""

    name: str
    network: str
    packing: str
    photos: str
    validation: str
    cameras: tuple[str, ...]
    steps: int
    batch: int = 8
    crop: int = 288
    """Sites along a side."""
    learning_rate: float = 1e-3
    seed: int = 0
    init: str = ""
    """An ONNX whose initialisers of the same name and shape are the starting weights; empty: from scratch."""
    version: int = 1
    licence: str = "MIT"


@dataclass(frozen=True)
class Progress:
    """Where a run stands, handed to the caller now and then."""

    step: int
    steps: int
    loss: float
    cpu_hours: float
    psnr: float | None
    """dB on the validation crops, where it was just measured."""


def train(plan: Plan, run: Path, *, threads: int, every: int, on_progress: Callable[[Progress], None]) -> Path:
    """Train as planned, resuming what `run` holds; return the finished ONNX.

    `every`: steps between validations; each also writes a checkpoint. Raises SettingsError on a plan
    that cannot be, or differs from the run's own in more than its steps; DarkroomError when the loss
    is no longer finite (the last good checkpoint stays).
    """
    torch.set_num_threads(threads)
    torch.manual_seed(plan.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run.mkdir(parents=True, exist_ok=True)
    _keep_plan(plan, run / "plan.json")
    network = NETWORKS[plan.network](plan.packing)
    multiple = simulate.sites_multiple(plan.packing, network.multiples[plan.packing])
    if plan.crop % multiple:
        raise SettingsError(
            f"crop {plan.crop}: must be a multiple of {multiple} sites for {plan.network} {plan.packing}"
        )
    if plan.init:
        export.load_weights(network, Path(plan.init))
    network.to(device, memory_format=torch.channels_last)  # a tenth faster on the CPU
    average = {key: value.detach().clone() for key, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    state = _resume(run, network, average, optimiser)
    validation = _validation(plan)
    started, spent = time.process_time(), state["cpu_hours"]
    losses: list[float] = []
    network.train()
    for step, (bright, reference) in _batches(plan, state["step"]):
        for group in optimiser.param_groups:
            group["lr"] = _learning_rate(plan, step)
        loss = F.l1_loss(network(bright.to(device, memory_format=torch.channels_last)), reference.to(device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        if not math.isfinite(loss.item()):
            raise DarkroomError(
                f"{run}: the loss is no longer finite at step {step}; the checkpoint before it is kept, "
                "start again with a lower learning rate"
            )
        optimiser.step()
        _update_average(average, network, step)
        losses.append(loss.item())
        done = step + 1
        state["step"], state["cpu_hours"] = done, spent + (time.process_time() - started) / 3600
        if done % every and done != plan.steps:
            if done % 20 == 0:
                on_progress(Progress(done, plan.steps, float(np.mean(losses[-100:])), state["cpu_hours"], None))
            continue
        psnr = _validate(plan, average, validation)
        _log(run, done, state["cpu_hours"], float(np.mean(losses)), _learning_rate(plan, step), psnr)
        losses.clear()
        if psnr > state["psnr"]:
            state["psnr"] = psnr
            _export(plan, average, run, state)
        _save(run, network, average, optimiser, state)
        on_progress(Progress(done, plan.steps, loss.item(), state["cpu_hours"], psnr))
    return run / f"{plan.name}.onnx"


def _keep_plan(plan: Plan, file: Path) -> None:
    if file.exists():
        kept = json.loads(file.read_text())
        changed = [k for k, v in json.loads(json.dumps(asdict(plan))).items() if k != "steps" and kept.get(k) != v]
        if changed:
            raise SettingsError(
                f"{file}: this run was planned with another {', '.join(changed)}; choose another folder"
            )
    file.write_text(json.dumps(asdict(plan), indent=1) + "\n")


def _learning_rate(plan: Plan, step: int) -> float:
    """Linear warm-up, then a cosine down to 1 % of the peak."""
    warm = min(1.0, (step + 1) / WARM_UP)
    return plan.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / plan.steps)))


def _batches(plan: Plan, start: int) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
    """Draw batches, the next one in a thread while the last one trains."""
    photos = simulate.load_photos(Path(plan.photos))
    known = [noise.camera(name) for name in plan.cameras]

    def draw(step: int) -> tuple[Tensor, Tensor]:
        examples = [
            simulate.example(
                photos, known, np.random.default_rng([plan.seed, step, i]), packing=plan.packing, size=plan.crop
            )
            for i in range(plan.batch)
        ]
        bright = torch.from_numpy(np.stack([e.bright for e in examples]))
        return bright, torch.from_numpy(np.stack([e.reference for e in examples]))

    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(draw, start)
        for step in range(start, plan.steps):
            batch, following = following.result(), pool.submit(draw, step + 1)
            yield step, batch


def _validation(plan: Plan) -> list[simulate.Example]:
    """Fixed examples as the bench makes them: the centre of each photo, every ratio, cameras in turn."""
    packing, side = plan.packing, VALIDATION_SIZE
    known = [noise.camera(name) for name in ("sonya7s2", "nikond850", "canon5d4")]
    examples = []
    for i, photo in enumerate(simulate.load_photos(Path(plan.validation), reduced_by=1)):
        top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
        crop = photo[top : top + side, left : left + side]
        light = simulate.srgb_to_linear(crop / np.float32(255)).astype(np.float32)
        ratio = VALIDATION_RATIOS[i % 3]
        rng = np.random.default_rng([i, int(ratio)])
        camera = known[(i + i // 3) % 3]
        gain = float(np.exp(rng.uniform(np.log(max(camera.gain[0], 0.3)), np.log(min(camera.gain[1], 6)))))
        sensor = noise.central(camera, gain, float(rng.choice(camera.shapes)))
        gains = np.array([rng.uniform(1.6, 2.4), 1, rng.uniform(1.4, 2.1)], np.float32)
        bright = simulate.expose(light, gains, ratio, sensor, rng, packing=packing)
        examples.append(simulate.Example(bright, np.float32(crop.transpose(2, 0, 1) / 255)))
    return examples


def _validate(plan: Plan, average: dict[str, Tensor], examples: list[simulate.Example]) -> float:
    network = NETWORKS[plan.network](plan.packing).eval()
    network.load_state_dict({k: v.cpu() for k, v in average.items()})
    scores = []
    with torch.inference_mode():
        for example in examples:
            output = network(torch.from_numpy(example.bright)[None])[0].numpy()
            scores.append(_psnr(output, example.reference))
    return float(np.mean(scores))


def _psnr(output: NDArray, reference: NDArray) -> float:
    return float(-10 * np.log10(np.mean((output - reference) ** 2)))


def _update_average(average: dict[str, Tensor], network: nn.Module, step: int) -> None:
    decay = min(AVERAGE, (step + 1) / (step + 10))
    for key, value in network.state_dict().items():
        average[key].lerp_(value, 1 - decay)


def _export(plan: Plan, average: dict[str, Tensor], run: Path, state: dict[str, float]) -> None:
    network = NETWORKS[plan.network](plan.packing).eval()
    network.load_state_dict({k: v.cpu() for k, v in average.items()})
    facts = (
        f"{plan.network} on {Path(plan.photos).name} photos with the simulated noise of {', '.join(plan.cameras)}; "
        f"{state['step']:.0f} steps of {plan.batch} x {plan.crop} px, {state['cpu_hours']:.2f} CPU-hours"
        + (f", started from {Path(plan.init).name}" if plan.init else "")
    )
    export.export(
        network,
        run / f"{plan.name}.onnx",
        name=plan.name,
        version=plan.version,
        packing=plan.packing,
        training=facts,
        licence=plan.licence,
    )


def _save(
    run: Path, network: nn.Module, average: dict[str, Tensor], optimiser: torch.optim.Optimizer, state: dict
) -> None:
    """Write weights, then progress, each by rename, so that a kill leaves the old or the new checkpoint."""
    tensors = {f"weights.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.items()}
    for i, entry in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{i}.{k}": v for k, v in entry.items()}
    save_file(
        {k: v.contiguous() for k, v in tensors.items()}, run / "checkpoint.part", metadata={"state": json.dumps(state)}
    )
    (run / "checkpoint.part").replace(run / "checkpoint.safetensors")
    (run / "checkpoint.json").write_text(json.dumps(state) + "\n")


def _resume(
    run: Path, network: nn.Module, average: dict[str, Tensor], optimiser: torch.optim.Optimizer
) -> dict[str, float]:
    file = run / "checkpoint.safetensors"
    if not file.exists():
        return {"step": 0, "cpu_hours": 0.0, "psnr": 0.0}
    tensors = load_file(file)
    network.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("weights.")})
    for key in average:
        average[key].copy_(tensors[f"average.{key}"])
    entries: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, index, name = key.split(".", 2)
            entries.setdefault(int(index), {})[name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": entries, "param_groups": groups})
    return json.loads((run / "checkpoint.json").read_text())


def _log(run: Path, step: int, cpu_hours: float, loss: float, rate: float, psnr: float) -> None:
    file = run / "log.csv"
    fresh = not file.exists()
    with open(file, "a", newline="") as log:
        writer = csv.writer(log)
        if fresh:
            writer.writerow(["step", "cpu_hours", "loss", "learning_rate", "psnr"])
        writer.writerow([step, f"{cpu_hours:.4f}", f"{loss:.5f}", f"{rate:.2e}", f"{psnr:.3f}"])
