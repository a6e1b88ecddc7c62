"""Files that appear whole or not at all: written beside their place, and what a killed run left of such swept away.

A file being written is locked, so that one nobody writes any more can be told from it, whichever process that was.
"""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from darkroom.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be deleted: that is its lock
    fcntl = None  # type: ignore[assignment]

PREFIX, SUFFIX = ".darkroom-", ".part"
AGE = 60.0
"""Seconds; younger files may not be locked yet."""

_begun = set[Path]()
"""What this process is writing."""


def whole(path: Path, encode: Callable[[BinaryIO], None], *, overwrite: bool) -> None:
    """Have a file written beside its place, flush it to the disk, then move it there in one step.

    `encode` writes the file, in which it may seek. A file already there, even one that appeared
    meanwhile, is replaced only if `overwrite`. Raises OutputError, and leaves nothing behind.
    """
    try:
        if not overwrite and os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "")
        with part(path.parent) as (beside, file):
            encode(file)
            file.flush()
            os.fsync(file.fileno())
            file.close()  # Windows moves no open file
            if overwrite:
                os.replace(beside, path)
            else:
                _place(beside, path)
    except OSError as error:
        raise OutputError(f"{path.name}: {_reason(error, path.parent)}") from error


def _place(finished: Path, path: Path) -> None:
    """Give a finished file its name, unless the name is taken."""
    try:
        os.link(finished, path)
    except FileExistsError:
        raise
    except OSError:
        # exFAT and some network drives have no hard links: take the name with an empty file, then replace that.
        path.touch(exist_ok=False)
        try:
            os.replace(finished, path)
        except OSError:
            path.unlink()
            raise


def _reason(error: OSError, folder: Path) -> str:
    """Say what keeps a file from being written, and what to do about it."""
    match error.errno:
        case errno.EEXIST:
            return "already exists; pass --on-conflict overwrite, or unique"
        case errno.ENOSPC:
            return "no space left on the disk; free some and run again"
        case errno.ENOENT if folder.is_dir():  # /proc and its like say so
            return f"the folder {folder} takes no files; choose another"
        case errno.ENOENT:
            return f"there is no folder {folder}; make it first"
        case errno.ENOTDIR:
            return f"{folder} is not a folder; choose another"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"the folder {folder} may not be written to; choose another"
        case errno.ENAMETOOLONG:
            return "the name is too long for this disk; shorten it"
        case errno.EISDIR:
            return "is a folder; choose another name"
        case _:
            return f"cannot be written ({(error.strerror or str(error)).lower()}); check the disk"


@contextmanager
def part(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a new file in a folder, to be written and moved to its place; what is not moved is deleted at the end.

    Its name is short, for the place may have as long a name as there can be. Raises OSError.
    """
    path = folder / f"{PREFIX}{os.urandom(6).hex()}{SUFFIX}"
    _begun.add(path)
    try:
        with path.open("x+b") as file:
            _locked(file)
            yield path, file
    finally:
        with suppress(OSError):
            path.unlink()
        _begun.discard(path)


def abandon() -> None:
    """Delete what this process is writing, whichever thread writes it: the process is about to leave."""
    for path in tuple(_begun):
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
