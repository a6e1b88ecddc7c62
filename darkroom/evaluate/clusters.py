"""How far a cluster carries, by simulation from the measured costs of one task.

costs of a task, workers, photos -> Pace

A scheduler is one process that handles one message at a time; a worker goes on with the task it has waiting. So many
workers pay as long as tasks end more slowly than the scheduler can give out others.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from darkroom.batch import cluster
from darkroom.batch.rehearsal import Cost

WORKERS = (10, 100, 1000)
PHOTOS = (10**4, 10**5, 10**6, 10**7)
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
