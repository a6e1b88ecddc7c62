"""`darkroom bench`: how long the tool itself takes, and how much memory, on this machine."""

import sys
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom.cli import options
from darkroom.errors import SettingsError

if TYPE_CHECKING:
    from darkroom.evaluate.speed import Figure


def bench(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WHAT]...",
            help="Of develop, memory, folder, decoding, peers, train; none is all but train.",
            show_default=False,
        ),
    ] = None,
    megapixels: Annotated[str, typer.Option(metavar="N,N,...", help="Sizes of the photos it draws.")] = "12,24,61",
    files: Annotated[int, typer.Option(metavar="N", min=1, help="Photos in the folder that is developed.")] = 6,
    full: Annotated[bool, typer.Option("--full", help="20 photos in the folder.")] = False,
    model: options.ModelName = None,
    recipe: Annotated[str, typer.Option(metavar="NAME|FILE", help="The recipe that train measures.")] = "fast",
    as_json: options.Json = False,
) -> None:
    """Measure seconds and megabytes of darkroom on this machine.

    It draws dark raw photos into a temporary folder and runs `darkroom develop` on them from outside. Memory is that of
    all processes of a run together. Other raw developers are timed on the same photo where they are installed. train
    compares the training loop with the bare network.

    \b
    Example:
      darkroom bench develop memory --megapixels 12
    """
    from darkroom.evaluate import speed

    groups = tuple(what or speed.GROUPS)
    plan = speed.Plan(
        megapixels=_sizes(megapixels),
        groups=tuple(group for group in groups if group != "train"),
        files=20 if full else files,
        model=model or "",
    )
    where = speed.machine()
    figures = []
    measured = speed.figures(plan, on_step=_say) if plan.groups else ()
    for figure in chain(measured, _training(recipe, where.cores) if "train" in groups else ()):
        figures.append(figure)
        if as_json:
            print(speed.to_line(figure, where), flush=True)
    if as_json:
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"{where.cpu}, {where.cores} cores, {where.system}", highlight=False)
    grid = Table()
    grid.add_column("", no_wrap=True)
    grid.add_column("", justify="right", no_wrap=True)
    grid.add_column("goal on 2 cores")
    for figure in figures:
        digits = 0 if figure.unit in ("ms", "MB") else 2
        value = "" if figure.value is None else f"{figure.value:.{digits}f} {figure.unit}".strip()
        grid.add_row(figure.name, value, figure.missing or figure.goal)
    console.print(grid)


def _training(recipe: str, threads: int) -> "Iterator[Figure]":
    """Measure what drawing the data costs a training."""
    options.needs_torch()
    from darkroom.evaluate.speed import Figure
    from darkroom.train import throughput

    _say(f"training {recipe}")
    looped, bare = throughput.seconds(recipe, threads)
    yield Figure(f"train {recipe}: a step in the loop", 1000 * looped, "ms")
    yield Figure(f"train {recipe}: the bare step", 1000 * bare, "ms")
    yield Figure(f"train {recipe}: the loop's time over the bare step's", looped / bare, "", "at most 1.2")


def _say(step: str) -> None:
    print(f"bench: {step}", file=sys.stderr)


def _sizes(text: str) -> tuple[float, ...]:
    try:
        sizes = tuple(float(word) for word in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or not all(0.05 <= size <= 200 for size in sizes):
        raise SettingsError(f"--megapixels {text}: are no sizes; give some from 0.05 to 200, such as 12,24,61")
    return sizes
