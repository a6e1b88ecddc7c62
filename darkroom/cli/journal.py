"""`darkroom journal`: what `darkroom develop --journal` wrote down in an output folder."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from darkroom.cli import options, say
from darkroom.errors import escaped


def journal(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of pictures.", show_default=False)],
    as_json: options.Json = False,
) -> None:
    """Report what was developed into a folder: by which networks, with which settings, and what failed.

    The settings are told where they differ from those before.

    \b
    Example:
      darkroom journal out/
    """
    from darkroom.batch import journal as book

    groups, failures = book.report(folder)
    if as_json:
        for line in (*map(asdict, groups), *map(asdict, failures)):
            say.line(json.dumps(line))
        return
    before: dict[str, object] = {}
    for group in groups:
        seconds = group.seconds / group.pictures
        say.line(
            escaped(f"{group.pictures} by {group.network} {group.version}")
            + f", {group.first} to {group.last}, {seconds:.1f} s a picture"
        )
        changed = {name: value for name, value in group.settings.items() if before.get(name) != value}
        if changed:
            say.line("    " + "  ".join(f"{name}={json.dumps(value)}" for name, value in changed.items()))
        before = group.settings
    for failure in failures:
        say.line(f"failed {failure.done}: {failure.error}")
