"""`darkroom bench`: how long the tool itself takes, and how much memory, on this machine."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom.cli import options, ordeals, say
from darkroom.errors import SettingsError

if TYPE_CHECKING:
    from darkroom.evaluate.speed import Figure

APART = ("train", "names")
"""What is measured only where it is asked for."""


def bench(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WHAT]...",
            help="Of develop, memory, folder, decoding, peers; where asked for train, names, cluster, "
            "faults, or of these raws, kills, disks, hostile.",
            show_default=False,
        ),
    ] = None,
    megapixels: Annotated[str, typer.Option(metavar="N,N,...", help="Sizes of the photos it draws.")] = "12,24,61",
    files: Annotated[int, typer.Option(metavar="N", min=1, help="Photos in the folder that is developed.")] = 6,
    full: Annotated[bool, typer.Option("--full", help="20 photos in the folder.")] = False,
    rounds: Annotated[
        int, typer.Option(metavar="N", min=1, help="Places at which faults damages a raw; times it tries all else.")
    ] = 3,
    raws: Annotated[
        list[str] | None,
        typer.Option(metavar="FOLDER|'PATTERN'", help="Raw files that faults damages copies of.", show_default=False),
    ] = None,
    model: options.ModelName = None,
    names: Annotated[int, typer.Option(metavar="N", min=100, help="Names in the folder that names plans.")] = 100_000,
    photo_seconds: Annotated[
        float, typer.Option(metavar="S", min=0.01, help="What a photo takes a worker, for cluster.")
    ] = 2.0,
    recipe: Annotated[str, typer.Option(metavar="NAME|FILE", help="The recipe that train measures.")] = "fast",
    as_json: options.Json = False,
) -> None:
    """Measure seconds and megabytes of darkroom on this machine.

    It draws dark raw photos into a temporary folder and runs `darkroom develop` on them from outside. Memory is that of
    all processes of a run together. Other raw developers are timed on the same photo where they are installed. train
    compares the training loop with the bare network, names plans a folder of very many photos. faults damages copies of
    raw files in nine ways, and tells how many were refused and how many were developed although they are not what they
    were; kills programs at random moments, runs them on disks that fill, and has hostile files read.

    \b
    Example:
      darkroom bench develop memory --megapixels 12
    """
    from darkroom.evaluate import speed

    groups = tuple(what or speed.GROUPS)
    if parts := ordeals.parts(groups):
        ordeals.faults(parts, raws or [], rounds, as_json, _say)
        return
    if "cluster" in groups:
        if len(groups) > 1:
            raise SettingsError("cluster: is a simulation of its own; leave the other words out")
        _cluster(photo_seconds, as_json)
        return
    plan = speed.Plan(
        megapixels=_sizes(megapixels),
        groups=tuple(group for group in groups if group not in APART),
        files=20 if full else files,
        model=model or "",
    )
    where = speed.machine()
    figures = []
    measured = speed.figures(plan, on_step=_say) if plan.groups else ()
    apart = {"train": lambda: _training(recipe, where.cores), "names": lambda: _names(names)}
    for figure in chain(measured, *(apart[group]() for group in groups if group in APART)):
        figures.append(figure)
        if as_json:
            say.line(speed.to_line(figure, where))
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


def _cluster(photo: float, as_json: bool) -> None:
    """Measure the workers of this machine, and what a task costs; tell how far a cluster would carry at that."""
    from darkroom.batch import rehearsal
    from darkroom.evaluate import clusters, speed

    if hasattr(os, "sched_setaffinity"):
        where = speed.machine()
        for figure in clusters.measured(where.cores, on_step=_say):
            say.line(speed.to_line(figure, where) if as_json else f"{figure.name}: {figure.value:.2f}")
    each = rehearsal.cost()
    _say(f"a task costs {1000 * each.scheduler:.2f} ms of CPU and {each.bytes} bytes besides its work")
    if not as_json:
        say.line(f"{'workers':>8}{'photos':>10}{'photos/s':>10}{'of linear':>11}{'scheduler s':>13}{'MB':>8}")
    for pace in clusters.table(photo, each):
        if as_json:
            say.line(json.dumps(asdict(pace)))
        else:
            say.line(
                f"{pace.workers:8}{pace.photos:10}{pace.rate:10.1f}{pace.linear:11.3f}{pace.scheduler:13.1f}"
                f"{pace.bytes / 1e6:8.0f}"
            )


def _names(names: int) -> "Iterator[Figure]":
    """Measure what the sheer number of photos costs."""
    from darkroom.evaluate import names as many

    yield from many.figures(names, on_step=_say)


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
    say.line(f"bench: {step}", file=sys.stderr)


def _sizes(text: str) -> tuple[float, ...]:
    try:
        sizes = tuple(float(word) for word in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or not all(0.05 <= size <= 200 for size in sizes):
        raise SettingsError(f"--megapixels {text}: are no sizes; give some from 0.05 to 200, such as 12,24,61")
    return sizes
