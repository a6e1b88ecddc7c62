"""The command line: one file a command, and here what they share in starting and ending.

Nothing heavy is imported before a command runs: `darkroom --help` needs typer and no more.
"""

import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated

import typer

from darkroom import __version__
from darkroom.cli import say
from darkroom.errors import DarkroomError, SettingsError
from darkroom.write import part

COMMANDS = (
    "develop",
    "journal",
    "info",
    "models",
    "presets",
    "demo",
    "calibrate",
    "train",
    "trials",
    "evaluate",
    "check",
    "bench",
)
"""Modules here, each with a function of its own name."""

FAILED, MISUSED, STOPPED, TERMINATED = 1, 2, 130, 143
"""Exit codes; 0 is done, what was skipped included. Stopped by Ctrl-C is 128 + SIGINT, by TERM 128 + SIGTERM, as shells
have it."""
NAMELESS = (errno.ENAMETOOLONG, errno.ELOOP)
"""What a system says of names that lead to no file whatever lies on the disk: any option may hold one."""
SHOWN = 80
"""Characters of such a name that are shown."""
GRACE = 2.0
"""Seconds from the second Ctrl-C for a command to end of its own accord."""


def main() -> None:
    """Run the command line: the one place where an error becomes a line and an exit code."""
    try:
        _open_streams()
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="surrogateescape")  # file names need not be text
        with _left_at_the_second_ctrl_c():
            _app()(prog_name="darkroom")
    except KeyboardInterrupt:  # before a command could listen
        sys.exit(STOPPED)
    except DarkroomError as error:
        say.line(f"darkroom: {str(error)}", file=sys.stderr)
        sys.exit(MISUSED if isinstance(error, SettingsError) else FAILED)
    except OSError as error:
        if error.errno == errno.ENOSPC and error.filename is None:
            say.silence(1)
            say.line("darkroom: stdout: cannot be written (no space left on device); make room", file=sys.stderr)
            sys.exit(FAILED)
        if error.errno not in NAMELESS:
            raise
        name = os.fsdecode(error.filename or "a name")
        say.line(
            f"darkroom: {name[:SHOWN]}: no file can have this name ({error.strerror}); shorten it", file=sys.stderr
        )
        sys.exit(MISUSED)


def _open_streams() -> None:
    """Open what the caller has closed of stdin, stdout and stderr: the first file written would else take its place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, this one
    sys.stdout = sys.stdout or open(1, "w", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)


@contextmanager
def _left_at_the_second_ctrl_c() -> Iterator[None]:
    """End the process soon after Ctrl-C was pressed twice, whatever the main thread does.

    Python hears of a signal between two of its own steps only, and one operator of a network may take minutes, of which
    no engine looks up. The C handler tells a thread that waits for nothing else.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours, theirs = os.pipe()
    if os.name == "posix":  # which asks for it
        os.set_blocking(theirs, False)
    ended = threading.Event()

    def wait() -> None:
        pressed = 0
        while pressed < 2 and (heard := os.read(ours, 1)):
            pressed += heard[0] == signal.SIGINT
        if pressed == 2 and not ended.wait(GRACE):
            part.abandon()
            os._exit(STOPPED)

    waiting = threading.Thread(target=wait, name="Ctrl-C", daemon=True)
    waiting.start()
    before = signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        ended.set()
        os.close(theirs)
        waiting.join()
        os.close(ours)


def terminable() -> None:
    """Let SIGTERM end the command as an exit does, so that it clears up behind itself."""

    def leave(*_: object) -> None:
        sys.exit(TERMINATED)

    signal.signal(signal.SIGTERM, leave)


def _app() -> typer.Typer:
    from_file = import_module(f"{__name__}.presets").FromFile
    app = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,  # loading rich takes as long as all the rest
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_darkroom)
    for name in COMMANDS:
        module = import_module(f"{__name__}.{name}")
        app.command(name, cls=from_file if name == "develop" else None)(getattr(module, name))
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        say.line(f"darkroom {__version__}")
        raise typer.Exit


def _darkroom(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Develop raw photos taken in extreme darkness into clean pictures.

    Exit codes: 0 done (what was skipped included), 1 a file failed, 2 wrong usage, 130 stopped by Ctrl-C.
    """
