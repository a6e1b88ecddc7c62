"""The simulated cluster: it obeys what can be reckoned by hand."""

import pytest

from darkroom.batch import cluster, rehearsal
from darkroom.batch.rehearsal import Cost
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
