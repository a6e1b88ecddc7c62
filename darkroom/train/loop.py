"""The training loop: a recipe and its data in, a run folder with checkpoints, a log and a finished ONNX out.

    RUN/recipe.toml        what was asked for, resolved
    RUN/checkpoint.*       weights, averaged weights and optimiser (safetensors), progress (JSON)
    RUN/log.csv            step, hours of the CPU or the GPU, loss, learning rate, PSNR on the validation data
    RUN/samples/           short | output | reference at every validation
    RUN/NAME.onnx          the best averaged weights so far, ready for `darkroom develop --model`
    RUN/last/NAME.onnx     the averaged weights at the end, to choose from where validation swings more than it rises
    RUN/report.html        curves and crops

A run is resumed by starting it again: every example is drawn from (seed, its number), so the losses go on as
if it had never stopped. Under `torchrun` each process trains on its share of every batch (DistributedDataParallel).
"""

import ctypes
import errno
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from darkroom.errors import DarkroomError, SettingsError
from darkroom.sensor import simulate
from darkroom.train import (
    checkpoint,
    data,
    export,
    learning,
    losses,
    networks,
    optimisers,
    pool,
    recipe,
    watch,
    workers,
)
from darkroom.train.data import Material
from darkroom.train.networks import Network
from darkroom.train.recipe import Recipe, Stage
from darkroom.train.run import Options, Run, averaged, check_finite, facts, look, ship

AVERAGE = 0.999
"""Decay of the averaged weights, per step."""
AHEAD = 2
"""Batches drawn before they are needed."""
MALLOC = ((-3, 1 << 30), (-1, (1 << 31) - 1), (-2, 1 << 28))
"""mallopt's M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_TOP_PAD, and bytes for each."""
LOCK = ".lock"
"""File that tells that a run is under way in a folder; the system frees it with the process."""
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of a place where no room helps."""
HEARD = 20
"""Steps between two words about the loss."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands, handed to the caller now and then."""

    share: float
    """Of the whole run, 1 at its end."""
    step: int
    loss: float
    hours: float
    psnr: float | None
    """dB on the validation data, where it was just measured."""


def train(
    plan: Recipe, material: Material, folder: Path, options: Options, on_progress: Callable[[Progress], None]
) -> Path:
    """Train by the recipe, resuming what the run's folder holds; return the finished ONNX.

    Raises SettingsError on a recipe that cannot be followed or differs from the run's own in more than its length;
    DarkroomError when the loss is no longer finite (the last good checkpoint stays); KeyboardInterrupt, after
    saving, on SIGINT or SIGTERM.
    """
    with workers.workers() as (rank, world), workers.stoppable() as stopped, _held(folder, rank):
        run = _prepared(plan, material, folder, options, rank, world)
        with closing(watch.Watch(folder)) if rank == 0 else nullcontext() as seen:
            for number in range(len(plan.stages)):
                _follow(run, number, seen, stopped, on_progress)
            if seen:
                (folder / "last").mkdir(exist_ok=True)
                ship(run, averaged(run), folder / "last")
                seen.report(plan.name, facts(run))
    return folder / f"{plan.name}.onnx"


@contextmanager
def _held(folder: Path, rank: int) -> Iterator[None]:
    """Keep a run's folder to this run, and say in one line what keeps it from being written."""
    if rank:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK, timeout=0):
            yield
    except Timeout:
        raise SettingsError(f"{folder}: another run is training there; wait for it, or choose another folder") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        mend = "choose another folder" if error.errno in CLOSED else "make room, and run the same again"
        raise DarkroomError(f"{folder}: cannot be written ({reason}); the last checkpoint is kept: {mend}") from error


def _prepared(plan: Recipe, material: Material, folder: Path, options: Options, rank: int, world: int) -> Run:
    _keep_freed_memory()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", rank % torch.cuda.device_count()) if cuda else torch.device("cpu")
    torch.backends.cudnn.benchmark = True  # crops keep their size for thousands of steps
    network = networks.build(plan.network, material.kind.packing, plan.arguments)
    multiple = network.multiples[material.kind.packing]
    _check_crops(plan, material, multiple)
    if rank == 0:
        _keep_recipe(plan, folder / "recipe.toml")
    export.load_weights(network, options.init)
    # Channels last is a tenth faster on the CPU.
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    average = {key: value.detach().clone() for key, value in network.state_dict().items()}
    state = checkpoint.resume(folder, network, average)
    clock = time.monotonic if cuda else time.process_time
    return Run(
        plan=plan,
        material=material,
        folder=folder,
        options=options,
        rank=rank,
        world=world,
        device=device,
        network=network,
        average=average,
        state=state,
        validation=data.validation(plan, material, multiple) if rank == 0 else [],
        ends=tuple(accumulate(stage.length(material.epoch) for stage in plan.stages)),
        started=(clock(), state.hours),
        clock=clock,
    )


def _keep_freed_memory() -> None:
    """Let glibc keep what a step's tensors gave back: each would else be mapped, its pages faulted in, every step."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        for option, most in MALLOC:
            libc.mallopt(option, most)


def _follow(
    run: Run,
    number: int,
    seen: watch.Watch | None,
    stopped: Callable[[], bool],
    on_progress: Callable[[Progress], None],
) -> None:
    """Train one stage, from wherever the run stands in it to its end."""
    plan, stage, state = run.plan, run.plan.stages[number], run.state
    begin, end = ((0, *run.ends)[number + i] / run.ends[-1] for i in (0, 1))
    _, share = workers.agreed(False, run.share(), run.device)
    if share >= end:
        return
    trained = _unfrozen(run.network, stage.last_blocks)
    optimiser = optimisers.build(plan.optimiser, trained, stage.learning_rate, plan.weight_decay)
    if state.stage == number:
        checkpoint.resume_optimiser(run.folder, optimiser)
    else:
        state.stage, state.entered = number, state.step
    network = DistributedDataParallel(run.network) if run.world > 1 else run.network
    loss_of = losses.build(stage.loss, vgg=run.options.vgg).to(run.device)
    recent: list[float] = []
    _set_training(run.network, stage.last_blocks)
    with _batches(run, stage) as batches:
        for bright, reference in batches:
            rate = learning.rate(stage, state.step - state.entered, (share - begin) / (end - begin))
            for group in optimiser.param_groups:
                group["lr"] = rate
            wrong = learning.step(plan, network, optimiser, loss_of, bright, reference)
            check_finite(wrong, run)
            _update_average(run.average, run.network, state.step)
            recent.append(wrong)
            state.step, state.hours = state.step + 1, run.hours()
            interrupted, share = workers.agreed(stopped(), run.share(), run.device)
            over = share >= end
            if over or interrupted or state.step % run.options.every == 0:
                loss = workers.mean(float(np.mean(recent)), run.device)
                if seen:
                    psnr = look(run, seen, loss=loss, rate=rate)
                    checkpoint.save(run.folder, run.network, run.average, optimiser, state)
                    on_progress(Progress(share, state.step, loss, state.hours, psnr))
                recent.clear()
            elif state.step % HEARD == 0 and run.rank == 0:
                on_progress(Progress(share, state.step, float(np.mean(recent)), state.hours, None))
            if interrupted:
                raise KeyboardInterrupt
            if over:
                return


def _check_crops(plan: Recipe, material: Material, multiple: int) -> None:
    step = simulate.sites_multiple(material.kind, multiple)
    for stage in plan.stages:
        if stage.crop % step:
            raise SettingsError(
                f"crop {stage.crop}: must be a multiple of {step} sites for {plan.network} {material.kind.packing}"
            )
        if stage.crop < losses.least_crop(stage.loss):
            raise SettingsError(
                f"crop {stage.crop}: the loss {' + '.join(stage.loss)} needs {losses.least_crop(stage.loss)} at least"
            )


def _keep_recipe(plan: Recipe, file: Path) -> None:
    if file.exists():
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise SettingsError(f"{file}: is no text ({error}); take it away to start anew") from error
        kept = recipe.parse(text, str(file), name=plan.name)
        if _timeless(kept) != _timeless(plan):
            raise SettingsError(f"{file}: this run follows another recipe; choose another folder, or give that recipe")
    file.write_text(recipe.dump(plan), encoding="utf-8")


def _timeless(plan: Recipe) -> Recipe:
    return replace(plan, stages=tuple(replace(stage, steps=0, epochs=0, warm_up=0) for stage in plan.stages))


@contextmanager
def _batches(run: Run, stage: Stage) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
    """Draw this process's share of every batch, the next ones in a thread while the last one trains."""
    each = math.ceil(stage.batch / run.world)
    whole = each * run.world
    cuda = run.device.type == "cuda"
    kept = pool.Pool(
        data.draws(run.plan, stage, run.material, run.options.seed, lanes=whole).example,
        run.folder,
        batch=whole,
        seed=run.options.seed,
        size=run.options.window,
        places=slice(run.rank * each, (run.rank + 1) * each),
        device=run.device,
        drawers=run.options.threads if cuda and run.options.threads > 1 else 0,
    )
    gathered = kept.batches(run.state.step)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        waiting = [drawer.submit(next, gathered) for _ in range(AHEAD)]
        while True:
            waiting.append(drawer.submit(next, gathered))
            yield waiting.pop(0).result()

    with ThreadPoolExecutor(1) as drawer:
        try:
            yield batches()
        finally:
            drawer.shutdown(cancel_futures=True)
            gathered.close()
            kept.close()


def _unfrozen(network: Network, last_blocks: int) -> list[nn.Parameter]:
    """Freeze all but the last blocks, 0 none; return what is trained."""
    blocks = network.blocks()
    network.requires_grad_(not last_blocks)
    for block in blocks[-last_blocks:] if last_blocks else ():
        block.requires_grad_(True)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _set_training(network: Network, last_blocks: int) -> None:
    """Put the network into training, frozen blocks excepted: their running statistics stay, too."""
    network.train()
    for block in network.blocks()[:-last_blocks] if last_blocks else ():
        block.eval()


def _update_average(average: dict[str, Tensor], network: nn.Module, step: int) -> None:
    decay = min(AVERAGE, (step + 1) / (step + 10))
    weights = network.state_dict()
    counts = [key for key, value in weights.items() if not value.is_floating_point()]
    for key in counts:
        average[key].copy_(weights.pop(key))
    torch._foreach_lerp_([average[key] for key in weights], list(weights.values()), 1 - decay)
