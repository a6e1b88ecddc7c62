"""What a worker of a cluster does: develop a task of some photos, its network loaded once.

a task's jobs -> pictures on the file system that all machines share, and what became of each
"""

import asyncio
import os
import pickle
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from darkroom import __version__
from darkroom.batch import batch
from darkroom.batch.batch import Choice, Result
from darkroom.batch.jobs import Job
from darkroom.develop import model
from darkroom.develop.model import Model
from darkroom.develop.pipeline import Settings
from darkroom.errors import OutputError, RawError
from darkroom.frame import Frame
from darkroom.sensor import darkframes
from darkroom.write.image import Encoding

PATIENCE = 60
"""Seconds in which the scheduler hears that a task is begun."""


@dataclass(frozen=True)
class Pattern:
    """Where a sensor's pattern is to be learned from, on each worker for itself: it is too large to send around."""

    frames: tuple[Path, ...] = ()
    """Lens-cap frames."""
    profile: Path | None = None
    """A camera's profile."""


@dataclass(frozen=True)
class Work:
    """What the tasks of one run have in common."""

    run: str
    choice: Choice
    settings: Settings
    encoding: Encoding
    pattern: Pattern


_ONE = threading.Lock()
"""A network is run by one thread at a time, however many a worker has."""
_HALTED: set[str] = set()


def greeting() -> tuple[str, str]:
    return socket.gethostname(), __version__


def halt(run: str) -> None:
    _HALTED.add(run)


def pin(cores: list[int]) -> None:
    os.sched_setaffinity(0, cores)


def develop(work: Work, jobs: tuple[Job, ...], ticket: str) -> tuple[list[Result], bool]:
    """Develop some photos; what became of them, and whether the disk can take no more."""
    results: list[Result] = []
    with _ONE:
        _tell_begun(work.run, ticket)
        for job in jobs:
            check_seen(job)
        todo, skipped = undone(jobs)
        full = todo and batch.through(
            todo,
            work.choice,
            work.settings,
            load=partial(_loaded, work.choice.device),
            encoding=work.encoding,
            on_tile=lambda path, done, tiles: None,
            on_done=results.append,
            stop=lambda: work.run in _HALTED,
            prepare=_preparing(work.pattern),
            more=True,
        )
    return [*skipped, *map(_sendable, results)], bool(full)


def _tell_begun(run: str, ticket: str) -> None:
    """Tell the client that a task is begun, and wait until the scheduler has heard it: this worker may die of it."""
    from distributed import get_worker

    worker = get_worker()
    told = asyncio.run_coroutine_threadsafe(_heard(worker.scheduler, run, ticket), worker.loop.asyncio_loop)  # type: ignore[attr-defined]
    told.result(PATIENCE)


async def _heard(scheduler: Any, run: str, ticket: str) -> None:
    await scheduler.log_event(topic=run, msg=ticket)


def undone(jobs: tuple[Job, ...]) -> tuple[tuple[Job, ...], list[Result]]:
    """Leave out what the worker that had these jobs before has written, where the scheduler gave them out again."""
    todo, skipped = [], []
    for job in jobs:
        there = [target for target in job.targets if not target.overwrite and target.late is None]
        done = [target for target in there if target.path.exists()]
        skipped += [Result(job.input, target.path, "skipped") for target in done]
        if left := tuple(target for target in job.targets if target not in done):
            todo.append(Job(job.input, left))
    return tuple(todo), skipped


def check_seen(job: Job) -> None:
    """Raise where a file system that the client sees is not mounted here; a file that is missing in it is its own."""
    where = f"a worker on {socket.gethostname()} cannot see it; mount it there under the same name"
    if not job.input.parent.is_dir():
        raise RawError(f"{job.input.parent}: {where}")
    for target in job.targets:
        if target.late is None and not target.path.parent.is_dir():
            raise OutputError(f"{target.path.parent}: {where}")


@cache
def _loaded(device: str, name: str) -> Model:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    return model.load(model.find(name), device=device, threads=cores, alone=False)


@cache
def _preparing(pattern: Pattern) -> Callable[[Frame, Path], Frame]:
    if not pattern.frames and not pattern.profile:
        return lambda frame, path: frame
    learned = darkframes.load(pattern.profile) if pattern.profile else darkframes.learn(list(pattern.frames))
    return lambda frame, path: darkframes.removed(frame, learned, path)


def _sendable(result: Result) -> Result:
    """Leave out an exception that cannot travel; its line says what it was."""
    try:
        pickle.dumps(result.bug)
    except Exception:
        return replace(result, bug=None)
    return result
