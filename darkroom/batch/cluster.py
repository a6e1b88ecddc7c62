"""Many files on many machines: the jobs of a batch go to Dask's workers, a few at a time.

jobs -> tasks of some photos each -> pictures on a file system that all machines share, and results as they come

Each worker process keeps its network loaded, and decodes, develops and writes beside one another as `batch` does. What
a lost worker had in work is done again by another one, photo by photo; a photo that goes on to kill workers is given
up. Nothing is kept of what is done, and of what is to come only the plan.
"""

import os
import queue
import signal
import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkroom import __version__
from darkroom.batch import batch as one_machine
from darkroom.batch import worker
from darkroom.batch.batch import Choice, Result
from darkroom.batch.jobs import Batch, Job
from darkroom.batch.worker import Pattern, Work
from darkroom.develop.pipeline import Settings
from darkroom.errors import DarkroomError, OutputError, SettingsError
from darkroom.write import image
from darkroom.write.image import Encoding

if TYPE_CHECKING:
    from distributed import Client, Future

LOCAL = "local:"
CHUNK = 8
"""Photos of a task, at most: enough that decoding and writing hide behind the network, few enough to lose."""
AHEAD = 2
"""Tasks a worker process has at a time: one in work and one to go on with."""
POISON = 3
"""Workers that may die of one photo."""
LOST = 12
"""Workers that may die while they have a photo, even where it cannot be told that they had begun it."""
PATIENCE = 60
"""Seconds to wait for the first worker."""
GLANCE = 0.25
"""Seconds between two looks at what the user wishes."""
ROUND = 2.0
"""Seconds between two counts of the workers."""
AGAIN = "and run the same command again"
LONELY = 300.0
"""Seconds without any worker after which a run is given up: Dask does not always start a lost one again."""


def run(
    batch: Batch,
    choice: Choice,
    settings: Settings,
    *,
    place: str,
    encoding: Encoding = Encoding(),
    pattern: Pattern = Pattern(),
    on_done: Callable[[Result], None],
    stop: Callable[[], bool],
) -> None:
    """Develop every job as `batch.run` does, on a cluster; results come as they are ready, not in order.

    place: a scheduler's address, the file it wrote, or "local:N" for N processes here. Ctrl-C stops every worker after
    its photo in work. Raises SettingsError where there is no such cluster or its workers are of another version,
    OutputError where a worker does not see the files, ModelError as `batch.run`.
    """
    one_machine.tell_settled(batch, on_done)
    one_machine.sweep(batch)
    if not batch.jobs:
        return
    here = Path.cwd()
    for folder in {here / target.path.parent for job in batch.jobs for target in job.targets if target.late is None}:
        image.make_folder(folder)
    name = choice.name and str(Path(choice.name).absolute() if choice.name.endswith(".onnx") else choice.name)
    work = Work(uuid.uuid4().hex, replace(choice, name=name), settings, encoding, pattern)
    with _connected(place) as client:
        _Run(client, work, here, batch, on_done, stop).follow()
    one_machine.sweep(batch)  # what lost workers left


class _Run:
    """One run as its client sees it: what is to be done, and what is in flight."""

    def __init__(
        self,
        client: "Client",
        work: Work,
        here: Path,
        batch: Batch,
        on_done: Callable[[Result], None],
        stop: Callable[[], bool],
    ) -> None:
        self.client, self.work, self.here, self.on_done, self.stop = client, work, here, on_done, stop
        self.jobs, self.left = iter(batch.jobs), len(batch.jobs)
        self.again: deque[Job] = deque()
        """What a lost worker had in work: each a task of its own, so that a poisonous one is known by it."""
        self.flying: dict[Future[Any], tuple[Job, ...]] = {}
        self.landed: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self.tickets: dict[Future[Any], str] = {}
        self.begun: set[str] = set()
        """Tickets of tasks that a worker has begun: Dask blames those that waited behind them, too."""
        self.deaths: Counter[Path] = Counter()
        self.losses: Counter[Path] = Counter()
        """Workers lost while they had a photo, begun or not."""
        self.halted = self.full = False
        self.error: DarkroomError | None = None

    def follow(self) -> None:
        """Keep the workers busy until all is done, or the user, a full disk or an error ends it."""
        workers, looked, alone = self._greeted(), 0.0, 0.0
        self.client.subscribe_topic(self.work.run, lambda event: self.begun.add(event[1]))
        while True:
            looked += GLANCE
            if looked >= ROUND:
                workers, looked = len(self.client.nthreads()), 0.0
                alone = 0.0 if workers else alone + ROUND
                if alone >= LONELY:
                    raise OutputError(f"the cluster has lost all its workers; start some, {AGAIN}")
            if self.stop() and not self.halted:
                self.halted = True
                self.client.run(worker.halt, self.work.run, on_error="ignore")
            while len(self.flying) < AHEAD * max(workers, 1) and (jobs := self._next(max(workers, 1))):
                self._submit(jobs)
            if not self.flying:
                break
            with suppress(queue.Empty):
                self._settle(self.landed.get(timeout=GLANCE))
                looked -= GLANCE
        if self.error:
            raise self.error

    def _greeted(self) -> int:
        """Wait for a worker and see that all there are can do the work; their number."""
        try:
            self.client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            where = self.client.scheduler_info()["address"]
            raise SettingsError(f"{where}: has no worker; start one on each machine: dask worker {where}") from None
        heard = self.client.run(worker.greeting, on_error="return")
        for address, said in heard.items():
            if isinstance(said, ImportError):
                raise SettingsError(f"a worker has no darkroom ({said}); install darkroom-raw there, too")
            if isinstance(said, Exception):  # it was lost as it was asked
                continue
            host, version = said
            if version != __version__:
                raise SettingsError(
                    f"worker {address} on {host}: has darkroom {version}, this is {__version__}; install the same there"
                )
        return len(heard)

    def _next(self, workers: int) -> tuple[Job, ...]:
        """Take the jobs of the next task, fewer towards the end; none where there are no more, or it is over."""
        if self.halted or self.full or self.error:
            return ()
        if self.again:
            return (self.again.popleft(),)
        wanted = min(CHUNK, max(1, self.left // (2 * AHEAD * workers)))
        jobs = tuple(islice(self.jobs, wanted))
        self.left -= len(jobs)
        return jobs

    def _submit(self, jobs: tuple[Job, ...]) -> None:
        there = tuple(_absolute(job, self.here) for job in jobs)
        key = f"darkroom-{uuid.uuid4().hex}"
        future = self.client.submit(worker.develop, self.work, there, key, key=key, pure=False, retries=0)
        self.flying[future], self.tickets[future] = jobs, key
        future.add_done_callback(self.landed.put)

    def _settle(self, future: "Future[Any]") -> None:
        from distributed.scheduler import KilledWorker

        jobs, ticket = self.flying.pop(future), self.tickets.pop(future)
        begun = ticket in self.begun
        self.begun.discard(ticket)
        if future.status not in ("finished", "error"):
            raise OutputError(f"the cluster's scheduler is gone; start it, {AGAIN}")
        try:
            results, full = future.result()
        except KilledWorker as lost:  # perhaps after it had finished, and with what it had to tell
            for job in jobs:
                self._revive(job, lost.allowed_failures + 1, begun=begun, alone=len(jobs) == 1)
        except DarkroomError as error:
            self.error = self.error or error
        except Exception as error:
            for job in jobs:
                self.on_done(one_machine.failed(job.input, error, len(job.targets)))
        else:
            if full and self.full:
                results = results[:-1]  # a full disk is told once
            self.full = self.full or full
            for result in results:
                self.on_done(self._as_asked(result, jobs))

    def _revive(self, job: Job, deaths: int, *, begun: bool, alone: bool) -> None:
        """Have a photo whose worker was lost developed again, alone, or give it up."""
        self.losses[job.input] += deaths
        if begun:
            self.deaths[job.input] += deaths
        if alone and (self.deaths[job.input] >= POISON or self.losses[job.input] >= LOST):
            died = max(self.deaths[job.input], POISON)
            line = f"{job.input}: {died} workers died of it, it is given up; try it on one machine, without --cluster"
            self.on_done(Result(job.input, None, "failed", pictures=len(job.targets), error=line))
            return
        # What the lost worker had written of it is this run's own.
        targets = tuple(replace(target, overwrite=True) for target in job.targets)
        self.again.append(replace(job, targets=targets))

    def _as_asked(self, result: Result, jobs: tuple[Job, ...]) -> Result:
        """Name files as the user did."""
        job = next((job for job in jobs if self.here / job.input == result.input), None)
        if job is None:
            return result
        output = result.output
        if output and not job.targets[0].path.is_absolute():
            output = output.relative_to(self.here)
        error = result.error and result.error.replace(str(result.input), str(job.input), 1)
        return replace(result, input=job.input, output=output, error=error)


def _absolute(job: Job, here: Path) -> Job:
    targets = tuple(replace(target, path=here / target.path) for target in job.targets)
    return Job(here / job.input, targets)


@contextmanager
def _connected(place: str) -> "Iterator[Client]":
    """Reach a cluster, or start one here."""
    try:
        from distributed import Client
    except ImportError:
        raise SettingsError("--cluster: needs Dask's distributed; pip install 'darkroom-raw[cluster]'") from None
    if place.startswith(LOCAL):
        with _local(place) as client:
            yield client
        return
    if "://" not in place and not Path(place).is_file():
        raise SettingsError(f"--cluster {place}: no such file; give tcp://HOST:PORT, a scheduler's file, or local:N")
    try:
        reach: dict[str, Any] = {"address": place} if "://" in place else {"scheduler_file": place}
        client = Client(**reach, timeout=10)  # seconds
    except (OSError, ValueError, TimeoutError) as error:
        raise SettingsError(f"--cluster {place}: cannot be reached ({error}); is `dask scheduler` running?") from error
    with client:
        yield client


@contextmanager
def _local(place: str) -> "Iterator[Client]":
    """Start worker processes here, which share the cores, and end them behind us."""
    import dask
    from distributed import Client, LocalCluster

    number = place.removeprefix(LOCAL)
    if not number.isdigit() or not int(number):
        raise SettingsError(f"--cluster {place}: is no number of workers; give local:2 or so")
    # A terminal's Ctrl-C reaches every process of the command; the workers are to hear of it from here.
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
            cluster = LocalCluster(
                n_workers=int(number),
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address=":0",
                silence_logs=50,  # logging.CRITICAL: what matters of lost workers is told by the results
            )
    except RuntimeError as error:  # one was lost before it could work
        raise DarkroomError(f"--cluster {place}: a worker did not start ({error}); run the same again") from error
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
    with cluster, Client(cluster) as client:
        if hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))
            for place_, address in enumerate(client.nthreads()):
                share = cores[place_ % len(cores) :: int(number)]
                client.run(worker.pin, share, workers=[address], on_error="ignore")  # it may be lost by now
        yield client
