"""What a command shows while it works and when it is done: bars on stderr, tables.

Rich is loaded when there is something to show.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from darkroom.errors import escaped

if TYPE_CHECKING:
    from darkroom.evaluate.report import Grid

T = TypeVar("T")

WIDTH = 160
"""Characters of a line that goes to no terminal."""


def show(grids: "Sequence[Grid]", notes: Sequence[str], *, to_stderr: bool) -> None:
    """Print every grid, systems down, and the notes."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(stderr=to_stderr)
    if not console.is_terminal:
        console.width = WIDTH
    for grid in grids:
        console.print(escaped(grid.title), markup=False, highlight=False, soft_wrap=True)
        table = Table()
        for i, title in enumerate(grid.header):
            table.add_column(title, justify="right" if i else "left", no_wrap=i > 0, overflow="fold")
        for row in grid.rows:
            table.add_row(*(Text(escaped(cell)) for cell in row))
        console.print(table)
    for note in notes:
        console.print(escaped(note), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def bar(title: str) -> "Iterator[Callable[[int, int | None], None]]":
    """Give what hears (done, all) and shows it as a bar on stderr where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as shown:
        task = shown.add_task(title, total=None)
        yield lambda done, count: shown.update(task, completed=done, total=count)


def watched(results: Iterable[T], title: str, total: int | None) -> Iterator[T]:
    """Pass results on, with a bar."""
    with bar(title) as tell:
        for done, result in enumerate(results):
            tell(done, total)
            yield result
