"""The simulated cluster: it obeys what can be reckoned by hand."""

import os
import subprocess

import pytest

from darkroom.batch import cluster, rehearsal
from darkroom.batch.rehearsal import Cost
from darkroom.errors import DarkroomError
from darkroom.evaluate import clusters


def test_with_free_tasks_many_workers_are_as_many_times_as_fast():
    pace = clusters.simulated(10, 80_000, 2.0, Cost(1e-9, 1000))
    assert pace.linear == pytest.approx(1, abs=0.01) and pace.bytes == 80_000 // cluster.CHUNK * 1000


def test_the_scheduler_bounds_the_pace():
    pace = clusters.simulated(1000, 80_000, 1.0, Cost(0.1, 0))
    assert pace.rate == pytest.approx(cluster.CHUNK / 0.1, rel=0.05)
    assert pace.scheduler == pytest.approx(1000)


def test_few_photos_leave_workers_idle():
    assert clusters.simulated(1000, 800, 1.0, Cost(1e-6, 0)).linear == pytest.approx(0.1, rel=0.2)


def test_a_task_costs_something():
    pytest.importorskip("distributed", reason="needs the extra cluster")
    each = rehearsal.cost()
    assert 0 < each.scheduler < 1 and 500 < each.bytes < 50_000


def test_what_workers_are_measured_by_has_no_start_in_it(monkeypatch):
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("cores cannot be told apart here")
    seen = []

    def lasts(photo, workers, tasks, cores):
        seen.append((workers, tasks, cores))
        return 100 + tasks * cluster.CHUNK * (1.0 if workers == 1 else 1.25)

    monkeypatch.setattr(clusters, "_lasts", lasts)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2})
    figures = list(clusters.measured(2, on_step=lambda step: None))
    assert [figure.value for figure in figures] == [pytest.approx(value) for value in (1, 1.6, 0.8)]
    assert {(workers, tuple(cores)) for workers, _, cores in seen} == {(1, (0,)), (2, (0, 1))}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be held to a core here")
def test_a_run_that_is_measured_is_held_to_its_cores_and_must_succeed(monkeypatch, tmp_path):
    before, held = os.sched_getaffinity(0), []
    (tmp_path / "a.dng").touch()

    def run(command, **_):
        held.append((sorted(os.sched_getaffinity(0)), len(os.listdir(command[4]))))
        return subprocess.CompletedProcess(command, 0 if len(held) == 1 else 3, "", "darkroom: no\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert clusters._lasts(tmp_path / "a.dng", 2, 3, [min(before)]) < 10
    assert held == [([min(before)], 6 * cluster.CHUNK)] and os.sched_getaffinity(0) == before
    with pytest.raises(DarkroomError, match="ended with 3 and said: darkroom: no"):
        clusters._lasts(tmp_path / "a.dng", 1, 1, [min(before)])
    assert os.sched_getaffinity(0) == before
