"""The command line: one file a command, and here what they share in starting and ending.

Nothing heavy is imported before a command runs: `darkroom --help` needs typer and no more.
"""

import io
import sys
from importlib import import_module
from typing import Annotated

import typer

from darkroom import __version__
from darkroom.errors import DarkroomError, SettingsError

COMMANDS = ("develop", "info", "models", "demo", "calibrate", "train", "trials", "evaluate", "check", "bench")
"""Modules here, each with a function of its own name."""

FAILED, MISUSED, STOPPED = 1, 2, 130
"""Exit codes; 0 is done, what was skipped included. Stopped by Ctrl-C is 128 + SIGINT, as shells have it."""


def main() -> None:
    """Run the command line: the one place where an error becomes a line and an exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # file names need not be text
    try:
        _app()(prog_name="darkroom")
    except DarkroomError as error:
        print(f"darkroom: {error}", file=sys.stderr)
        sys.exit(MISUSED if isinstance(error, SettingsError) else FAILED)


def _app() -> typer.Typer:
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,  # loading rich takes as long as all the rest
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_darkroom)
    for name in COMMANDS:
        app.command(name)(getattr(import_module(f"{__name__}.{name}"), name))
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"darkroom {__version__}")
        raise typer.Exit


def _darkroom(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Develop raw photos taken in extreme darkness into clean pictures.

    Exit codes: 0 done (what was skipped included), 1 a file failed, 2 wrong usage, 130 stopped by Ctrl-C.
    """
