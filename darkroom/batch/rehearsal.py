"""What a cluster's task costs besides its work: tasks that do nothing, timed."""

import pickle
import time
from dataclasses import dataclass
from pathlib import Path

from darkroom.batch import cluster, worker
from darkroom.batch.batch import Choice, Result, Seconds
from darkroom.batch.jobs import Job, Target
from darkroom.develop.pipeline import Settings
from darkroom.errors import SettingsError
from darkroom.write.image import Encoding

TASKS = 400
"""Tasks of no work at all, by which a task's cost is measured."""


@dataclass(frozen=True)
class Cost:
    """What a task takes besides its work."""

    scheduler: float
    """CPU seconds of scheduler, client and an idle worker, which share a process where this is measured: a bound."""
    bytes: int
    """Sent and received, pickled."""


def cost() -> Cost:
    """Measure a task's cost on a cluster within this process. Raises SettingsError where the extra is missing."""
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise SettingsError("cluster: needs Dask's distributed; pip install 'darkroom-raw[cluster]'") from None
    jobs = tuple(
        Job(Path(f"/mnt/night/card/IMG_{i:07}.ARW"), (Target(Path(f"/mnt/out/card/IMG_{i:07}.png"), 1, False),))
        for i in range(cluster.CHUNK)
    )
    work = worker.Work("0" * 32, Choice(), Settings(), Encoding(), worker.Pattern())
    results = [
        Result(job.input, job.targets[0].path, "written", 200.0, 0.01, Seconds(1, 1, 1, 1), "fast-bayer", 3, "cpu")
        for job in jobs
    ]
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=":0", silence_logs=50) as here,
        Client(here) as client,
    ):
        client.gather([client.submit(_idle, work, jobs, results, -i, pure=False) for i in range(20)])
        started = time.process_time()
        client.gather([client.submit(_idle, work, jobs, results, i, pure=False) for i in range(TASKS)])
        spent = (time.process_time() - started) / TASKS
    return Cost(spent, len(pickle.dumps((work, jobs))) + len(pickle.dumps(results)))


def _idle(work: object, jobs: object, results: list[Result], number: int) -> list[Result]:
    return results
