"""`darkroom train`: clean photos -> a network of one's own."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from darkroom.cli import STOPPED
from darkroom.errors import DarkroomError, SettingsError

if TYPE_CHECKING:
    from darkroom.train.loop import Progress

PACKINGS = {"bayer": "bayer4", "xtrans": "xtrans9"}


def train(
    photos: Annotated[Path, typer.Option(metavar="FOLDER", help="Clean JPEG or PNG photos to learn from.")],
    validation: Annotated[Path, typer.Option(metavar="FOLDER", help="Other clean photos, to choose weights by.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="RUN", help="The run's folder: checkpoints, log.csv, RUN.onnx.")
    ],
    cameras: Annotated[
        str, typer.Option("--cameras", "--camera", metavar="A,B,...", help="Cameras whose noise to imitate.")
    ] = "sonya7s2,nikond850,canon5d4,canon70d,canon700d",
    network: Annotated[Literal["compact", "red"], typer.Option(help="Kind of network.")] = "compact",
    cfa: Annotated[Literal["bayer", "xtrans"], typer.Option(help="Kind of sensor.")] = "bayer",
    steps: Annotated[int, typer.Option(min=1, help="Batches to learn from.")] = 20_000,
    batch: Annotated[int, typer.Option(min=1, help="Crops in a batch.")] = 8,
    crop: Annotated[int, typer.Option(min=48, help="Side of a crop, in sites.")] = 288,
    learning_rate: Annotated[float, typer.Option(min=1e-7, max=1.0, help="Peak of the learning rate.")] = 1e-3,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same run.")] = 0,
    init: Annotated[Path | None, typer.Option(metavar="FILE.onnx", help="Start from this network's weights.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="Cores to use; 0 is all.")] = 0,
    every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 500,
) -> None:
    """Train a network on clean photos made dark by the noise of known cameras.

    Started again, it goes on where it stopped.

    \b
    Example:
      darkroom train --photos photos/train --validation photos/val -o night
    """
    try:
        from darkroom.train import loop
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("darkroom"):
            raise
        missing = f"train: needs {error.name}, which is not installed"
        raise DarkroomError(f'{missing}; run pip install "darkroom[train]"') from None
    if init and not init.is_file():
        raise SettingsError(f"--init {init}: no such file; give an .onnx file")
    plan = loop.Plan(
        name=output.resolve().name,
        network=network,
        packing=PACKINGS[cfa],
        photos=str(photos),
        validation=str(validation),
        cameras=tuple(name.strip() for name in cameras.split(",")),
        steps=steps,
        batch=batch,
        crop=crop,
        learning_rate=learning_rate,
        seed=seed,
        init=str(init) if init else "",
    )
    try:
        made = loop.train(plan, output, threads=threads or os.cpu_count() or 1, every=every, on_progress=_teller())
    except KeyboardInterrupt:
        print(f"stopped; run the same command again to go on from {output}'s last checkpoint", file=sys.stderr)
        raise typer.Exit(STOPPED) from None
    print(made)


def _teller() -> Callable[["Progress"], None]:
    """Make what says where the run stands: a line rewritten on a terminal; lines that stay where PSNR was measured."""
    live = sys.stderr.isatty()
    first: tuple[int, float] | None = None

    def tell(progress: "Progress") -> None:
        nonlocal first
        now = time.monotonic()
        first = first or (progress.step, now)
        steps = progress.step - first[0]
        left = f"  {(now - first[1]) / steps * (progress.steps - progress.step) / 60:.0f} min left" if steps else ""
        line = f"step {progress.step} of {progress.steps}  loss {progress.loss:.4f}"
        line += f"  {progress.cpu_hours:.2f} CPU-hours{left}"
        if progress.psnr is not None:
            line += f"  {progress.psnr:.2f} dB"
        if live:
            print(f"\r\033[K{line}", end="" if progress.psnr is None else "\n", file=sys.stderr, flush=True)
        elif progress.psnr is not None:
            print(line, file=sys.stderr, flush=True)

    return tell
