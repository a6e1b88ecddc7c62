"""Files that appear whole or not at all: written beside their place, and what a killed run left of such swept away.

A file being written is locked, so that one nobody writes any more can be told from it, whichever process that was.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be deleted: that is its lock
    fcntl = None  # type: ignore[assignment]

PREFIX, SUFFIX = ".darkroom-", ".part"
AGE = 60.0
"""Seconds; younger files may not be locked yet."""


@contextmanager
def part(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a new file in a folder, to be written and moved to its place; what is not moved is deleted at the end.

    Its name is short, for the place may have as long a name as there can be. Raises OSError.
    """
    path = folder / f"{PREFIX}{os.urandom(6).hex()}{SUFFIX}"
    try:
        with path.open("x+b") as file:
            _locked(file)
            yield path, file
    finally:
        with suppress(OSError):
            path.unlink()


def sweep(folder: Path) -> None:
    """Delete the parts that killed runs left in a folder; those that are being written stay."""
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime < AGE:
                continue
            with path.open("rb") as file:
                stale = _locked(file)
            if stale:
                path.unlink()


def _locked(file: BinaryIO) -> bool:
    """Lock a file against other processes, until it is closed; whether that could be had."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
