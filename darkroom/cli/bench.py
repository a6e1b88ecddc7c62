"""`darkroom bench`: how long the tool itself takes, and how much memory, on this machine."""

import sys
from typing import Annotated

import typer

from darkroom.cli import options
from darkroom.errors import SettingsError


def bench(
    megapixels: Annotated[str, typer.Option(metavar="N,N,...", help="Sizes of the photos it draws.")] = "12,24,61",
    only: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Of develop, memory, folder, decoding, peers. [default: all of them]"),
    ] = None,
    files: Annotated[int, typer.Option(metavar="N", min=1, help="Photos in the folder that is developed.")] = 6,
    full: Annotated[bool, typer.Option("--full", help="20 photos in the folder.")] = False,
    model: options.ModelName = None,
    as_json: options.Json = False,
) -> None:
    """Measure seconds and megabytes of darkroom on this machine.

    It draws dark raw photos into a temporary folder and runs `darkroom develop` on them from outside. Memory is that of
    all processes of a run together. Other raw developers are timed on the same photo where they are installed.

    \b
    Example:
      darkroom bench --only develop,memory --megapixels 12
    """
    from darkroom.evaluate import speed

    plan = speed.Plan(
        megapixels=_sizes(megapixels),
        groups=tuple(word.strip() for word in only.split(",")) if only else speed.GROUPS,
        files=20 if full else files,
        model=model or "",
    )
    where = speed.machine()
    figures = []
    for figure in speed.figures(plan, on_step=_say):
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
        grid.add_row(figure.name, f"{figure.value:.{digits}f} {figure.unit}".strip(), figure.goal)
    console.print(grid)


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
