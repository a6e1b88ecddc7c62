"""How far a cluster carries: by measuring the workers of this machine, and by simulation from the costs of one task.

costs of a task, workers, photos -> Pace
workers -> Figure: photos a second, measured

A scheduler is one process that handles one message at a time; a worker goes on with the task it has waiting. So many
workers pay as long as tasks end more slowly than the scheduler can give out others.
"""

import heapq
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from darkroom.batch import cluster
from darkroom.batch.rehearsal import Cost
from darkroom.errors import DarkroomError
from darkroom.evaluate import speed
from darkroom.evaluate.speed import Figure

WORKERS = (10, 100, 1000)
PHOTOS = (10**4, 10**5, 10**6, 10**7)
MEGAPIXELS = 4.0
FEW, MANY = 1, 3
"""Tasks for each worker in a short run and in a long one: what they differ by has no start in it."""
SPREAD = 0.2
"""Standard deviation of a photo's seconds, as a share of their mean."""


@dataclass(frozen=True)
class Pace:
    """What came of one simulated run."""

    workers: int
    photos: int
    rate: float
    """Photos a second."""
    linear: float
    """Of so many times what one worker does alone."""
    scheduler: float
    """Seconds the scheduler was busy."""
    bytes: int


def table(photo: float, each: Cost) -> Iterator[Pace]:
    """Simulate every number of workers with every number of photos; `photo`: a worker's seconds for one."""
    for workers in WORKERS:
        for photos in PHOTOS:
            yield simulated(workers, photos, photo, each)


def simulated(workers: int, photos: int, photo: float, each: Cost) -> Pace:
    """Simulate one run, task by task."""
    rng = np.random.default_rng(0)
    left = -(-photos // cluster.CHUNK)
    tasks, free = left, 0.0
    ends: list[tuple[float, int]] = []
    waiting: list[list[float]] = [[] for _ in range(workers)]

    def lasting() -> Iterator[float]:
        while True:
            yield from rng.normal(1, SPREAD / cluster.CHUNK**0.5, 4096).clip(0.1) * photo * cluster.CHUNK

    lasts = lasting()
    for _ in range(cluster.AHEAD):
        for worker in range(workers):
            if left:
                left, free = left - 1, free + each.scheduler
                waiting[worker].append(free)
    for worker, arrived in enumerate(waiting):
        if arrived:
            heapq.heappush(ends, (arrived.pop(0) + next(lasts), worker))
    now = 0.0
    while ends:
        now, worker = heapq.heappop(ends)
        if left:
            left, free = left - 1, max(free, now) + each.scheduler
            waiting[worker].append(free)
        if waiting[worker]:
            heapq.heappush(ends, (max(now, waiting[worker].pop(0)) + next(lasts), worker))
    rate = photos / now
    return Pace(workers, photos, rate, rate * photo / workers, tasks * each.scheduler, tasks * each.bytes)


def measured(most: int, on_step: Callable[[str], None]) -> Iterator[Figure]:
    """Develop folders by 1 to `most` workers of this machine, so many cores for so many of them.

    Scheduler and client share these cores. Each number of workers has as many photos a worker. Raises DarkroomError
    where a run fails.
    """
    cores, alone = sorted(os.sched_getaffinity(0)), 0.0
    with TemporaryDirectory(prefix="darkroom-bench-") as place:
        photo = Path(place) / "photo.dng"
        speed.write_photo(photo, MEGAPIXELS)
        for workers in range(1, min(most, len(cores)) + 1):
            on_step(f"developing by {workers} workers")
            spans = [_lasts(photo, workers, tasks, cores[:workers]) for tasks in (FEW, MANY)]
            rate = (MANY - FEW) * workers * cluster.CHUNK / (spans[1] - spans[0])
            alone = alone or rate
            who = "1 worker on a core" if workers == 1 else f"{workers} workers on a core each"
            yield Figure(f"{who}: photos of {MEGAPIXELS:g} MP a second", rate, "")
            if workers > 1:
                yield Figure(f"{workers} workers: of {workers} times one", rate / workers / alone, "", "at least 0.95")


def _lasts(photo: Path, workers: int, tasks: int, cores: list[int]) -> float:
    """Seconds that so many workers, on these cores, take for so many tasks each."""
    with TemporaryDirectory(dir=photo.parent) as place:
        folder = Path(place) / "photos"
        folder.mkdir()
        for number in range(workers * tasks * cluster.CHUNK):
            os.link(photo, folder / f"{number}.dng")
        command = [
            *(sys.executable, "-m", "darkroom", "develop", str(folder), "-o", str(Path(place) / "out")),
            *("--amp", f"{speed.RATIO:g}", "--cluster", f"{cluster.LOCAL}{workers}", "--json"),
        ]
        before = os.sched_getaffinity(0)
        started = time.perf_counter()
        os.sched_setaffinity(0, cores)  # what is started inherits it
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        finally:
            os.sched_setaffinity(0, before)
        if done.returncode:
            raise DarkroomError(f"darkroom develop: ended with {done.returncode} and said: {done.stderr.strip()}")
        return time.perf_counter() - started
