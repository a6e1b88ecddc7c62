"""Folders that photos arrive in: tethered shooting, card readers.

folders -> sets of raw files that have come and stopped growing, each file once
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from darkroom.batch import jobs

SETTLED = 1.5
"""Seconds in which a file must not have changed: cameras and card readers write in bursts with gaps between them."""
PAUSE = 1000
"""Milliseconds until folders are looked at again where the system tells of no change: network drives never do."""


@dataclass(frozen=True)
class _State:
    """How a file lay there when it was first seen so."""

    size: int
    changed: int
    since: float


def arrivals(
    folders: Sequence[Path], *, recursive: bool, stop: Callable[[], bool], tell: Callable[[str], None]
) -> Iterator[frozenset[Path]]:
    """Give what has arrived, what lies there at the start included, until `stop`.

    A file that is being written waits until it rests. `tell` hears one line when a folder vanishes, as when a card is
    pulled, and one when it is back.
    """
    states: dict[Path, _State] = {}
    given: set[tuple[Path, int, int]] = set()
    gone: set[Path] = set()
    waiter: Iterator[object] = iter(())
    while not stop():
        now = time.monotonic()
        there = [folder for folder in folders if folder.is_dir()]
        for folder in folders:
            if folder not in there and folder not in gone:
                gone.add(folder)
                tell(f"{folder}: is gone; waiting for it to come back")
            elif folder in there and folder in gone:
                gone.discard(folder)
                tell(f"{folder}: is back")
                waiter = iter(())
        found = {path: at for folder in there for path, at in _raws(folder, recursive)}
        for path, (size, changed) in found.items():
            state = states.get(path)
            if state is None or (state.size, state.changed) != (size, changed):
                states[path] = _State(size, changed, now)
        ready = {
            path
            for path, (size, changed) in found.items()
            if size and now - states[path].since >= SETTLED and (path, size, changed) not in given
        }
        if ready:
            given |= {(path, *found[path]) for path in ready}
            yield frozenset(ready)
            continue
        waiter = _waited(waiter, there, recursive)


def _raws(folder: Path, recursive: bool) -> Iterator[tuple[Path, tuple[int, int]]]:
    """Raw files of a folder, their sizes and times; what vanishes meanwhile is left out."""
    for here, below, files in os.walk(folder):
        below[:] = [name for name in below if recursive and not name.startswith(".")]
        for name in files:
            if jobs.is_raw(name):
                try:
                    found = os.stat(os.path.join(here, name))
                except OSError:
                    continue
                yield Path(here, name), (found.st_size, found.st_mtime_ns)


def _waited(waiter: Iterator[object], folders: list[Path], recursive: bool) -> Iterator[object]:
    """Wait until something changes in the folders, or for PAUSE; return what to wait on next time."""
    from watchfiles import watch

    try:
        next(waiter)
        return waiter
    except (StopIteration, OSError, RuntimeError):  # none yet, or its folder has vanished
        pass
    if not folders:
        time.sleep(PAUSE / 1000)
        return iter(())
    return iter(
        watch(
            *folders,
            watch_filter=None,
            rust_timeout=PAUSE,
            yield_on_timeout=True,
            raise_interrupt=False,
            recursive=recursive,
            ignore_permission_denied=True,
        )
    )
