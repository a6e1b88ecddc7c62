"""The same batch on workers: the same pictures, whatever becomes of a worker."""

import os
import threading
from pathlib import Path

import pytest
from conftest import noise

from darkroom.batch import batch, cluster, jobs, worker
from darkroom.develop import amplifier, pipeline
from darkroom.errors import DarkroomError, OutputError, RawError, SettingsError

distributed = pytest.importorskip("distributed", reason="needs the extra cluster")

SETTINGS = pipeline.Settings(amp=amplifier.parse("2"))
KILLER = """
import os
import threading
from darkroom.batch import batch

def read(path, prepare, read=batch._read):
    return os._exit(9) if path.name == "b.dng" else read(path, prepare)

if batch._read.__name__ == "_read":  # Dask may load this more than once
    batch._read = read
"""


pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def photos(write_dng) -> list[str]:
    return [write_dng(f"{name}.dng", noise((64, 80), seed=seed)).name for seed, name in enumerate("abcd")]


@pytest.fixture(scope="module")
def inside():
    """A cluster within this process, which starts at once."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=2, processes=False, dashboard_address=":0") as here:
        yield here.scheduler_address


@pytest.fixture
def cli(request):
    return request.getfixturevalue("run")


def run(on: str, names, *, stop=lambda: False, **wishes) -> list[batch.Result]:
    results: list[batch.Result] = []
    planned = jobs.plan(names, **wishes)
    cluster.run(planned, batch.Choice("n.onnx"), SETTINGS, place=on, on_done=results.append, stop=stop)
    return sorted(results, key=lambda result: result.input)


def test_workers_make_the_pictures_that_one_machine_makes(inside, photos):
    Path("bad.dng").write_bytes(b"II*\0 but no raw")
    Path("out").mkdir()
    Path("out/d.png").write_bytes(b"mine")
    results = run(inside, [*photos, "bad.dng"], place="out", conflict="skip")
    batch.run(
        jobs.plan(photos[:3], place="alone"),
        batch.Choice("n.onnx"),
        SETTINGS,
        on_tile=lambda path, done, tiles: None,
        on_done=lambda result: None,
        stop=lambda: False,
    )
    assert [(str(result.input), result.outcome) for result in results] == [
        ("a.dng", "written"),
        ("b.dng", "written"),
        ("bad.dng", "failed"),
        ("c.dng", "written"),
        ("d.dng", "skipped"),
    ]
    assert results[2].error.startswith("bad.dng: ")
    for result in (*results[:2], results[3]):
        assert result.output == Path("out", f"{result.input.stem}.png") and result.model == "test" and result.ratio == 2
        assert result.output.read_bytes() == Path("alone", result.output.name).read_bytes()
    assert Path("out/d.png").read_bytes() == b"mine"


def test_the_command_says_what_it_says_on_one_machine(inside, photos, cli):
    Path("bad.dng").write_bytes(b"II*\0 but no raw")
    words = ("develop", *photos, "bad.dng", "-o", "out", "--model", "n.onnx", "--amp", "2", "--journal")
    code, out, err = cli(*words, "--cluster", inside)
    assert code == 1 and sorted(out.split()) == [f"out/{name}.png" for name in "abcd"]
    assert "darkroom: bad.dng: " in err and Path("out/darkroom.sqlite").stat().st_size
    assert cli(*words, "--burst", "--cluster", inside)[0] == 2


def test_a_wish_to_stop_reaches_the_workers_and_the_same_again_does_the_rest(inside, photos):
    done = run(inside, photos, stop=lambda: True)
    assert len(done) < 4
    results = run(inside, photos, conflict="skip")
    assert [result.outcome for result in results].count("skipped") == len(done)
    assert len(results) == 4 and all(Path(f"{name}.png").stat().st_size for name in "abcd")


def test_a_worker_that_cannot_see_a_folder_ends_the_run_by_name(inside, photos, monkeypatch):
    monkeypatch.setattr(cluster, "_absolute", lambda job, here: jobs.Job(Path("/nowhere") / job.input, job.targets))
    with pytest.raises(RawError, match="^/nowhere: a worker on .* cannot see it; mount it there under the same name"):
        run(inside, photos)
    monkeypatch.undo()
    with pytest.raises(OutputError, match="^/nowhere/out: a worker on .* cannot see it"):
        worker.check_seen(jobs.Job(Path(photos[0]).absolute(), (jobs.Target(Path("/nowhere/out/a.png"), 1, False),)))


def test_what_a_scheduler_gives_out_again_is_not_made_twice(photos):
    Path("a.png").write_bytes(b"by the worker before")
    (first, *_) = jobs.plan(["b.dng", "a.dng"], conflict="overwrite").jobs
    written = jobs.Job(Path("a.dng"), (jobs.Target(Path("a.png"), 1, overwrite=False),))
    todo, skipped = worker.undone((first, written))
    assert todo == (first,) and [result.output for result in skipped] == [Path("a.png")]


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("none.json", "--cluster none.json: no such file; give tcp://HOST:PORT, a scheduler's file, or local:N"),
        ("local:x", "--cluster local:x: is no number of workers; give local:2 or so"),
        ("smoke://here", "--cluster smoke://here: cannot be reached"),
    ],
)
def test_a_cluster_that_is_not_there_is_said_so(photos, place, complaint):
    with pytest.raises(SettingsError, match=complaint):
        run(place, photos)


def test_a_photo_that_kills_three_workers_is_given_up_and_the_rest_goes_on(photos, here):
    import dask

    (here / "killer.py").write_text(KILLER)
    with dask.config.set({"distributed.worker.preload": [str(here / "killer.py")]}):
        results = run("local:2", photos, place="out")
    # Skipped is what the worker had written before it died of another photo.
    outcomes = [result.outcome for result in results]
    assert outcomes[1] == "failed" and {outcomes[0], *outcomes[2:]} <= {"written", "skipped"}
    assert results[1].error.startswith("b.dng: 3 workers died of it, it is given up")
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "c.png", "d.png"]


def test_a_worker_that_is_lost_before_it_works_ends_the_run_in_one_line(photos, monkeypatch):
    def failing(**settings):
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(distributed, "LocalCluster", failing)
    with pytest.raises(
        DarkroomError, match=r"--cluster local:2: a worker did not start \(Nanny.*\); run the same again"
    ):
        run("local:2", photos)


def test_what_lost_workers_left_half_written_goes(inside, photos, here):
    def stop() -> bool:  # asked while the batch is under way
        left = here / "out" / ".darkroom-0123456789ab.part"
        left.write_bytes(b"half")
        os.utime(left, (0, 0))
        return False

    run(inside, photos, place="out/", stop=stop)
    assert len(list((here / "out").iterdir())) == 4


def test_a_worker_that_dies_before_its_results_are_fetched_loses_no_photo(photos, here):
    class Gone:
        """A task that was done, and whose worker is no more."""

        status = "finished"

        def result(self):
            raise distributed.scheduler.KilledWorker("task", None, 0)

    planned, gone = jobs.plan(photos), Gone()
    under_way = cluster._Run(None, None, here, planned, on_done=None, stop=None)
    under_way.flying[gone], under_way.tickets[gone] = planned.jobs[:2], "ticket"
    under_way._settle(gone)
    assert [job.input for job in under_way.again] == [job.input for job in planned.jobs[:2]]
    assert all(target.overwrite for job in under_way.again for target in job.targets)


def test_a_run_whose_workers_are_all_lost_for_good_is_given_up(photos, monkeypatch):
    monkeypatch.setattr(cluster, "LONELY", cluster.ROUND)
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as here:
        monkeypatch.setattr(cluster._Run, "_submit", lambda self, jobs: self.flying.update({object(): jobs}))
        monkeypatch.setattr(distributed.Client, "nthreads", lambda self: {})
        with pytest.raises(OutputError, match="has lost all its workers; start some, and run the same command again"):
            run(here.scheduler_address, photos)


SEEN: set[str] = set()
"""Workers that have begun a task of `shared`."""
BOTH = threading.Event()


def shared(*task, develop=worker.develop):
    """A task that is not done before another worker has begun one."""
    SEEN.add(distributed.get_worker().address)
    if len(SEEN) > 1:
        BOTH.set()
    assert BOTH.wait(60), "one worker had to do it all"
    return develop(*task)


def test_a_worker_that_comes_later_gets_its_share(photos, monkeypatch):
    SEEN.clear()
    BOTH.clear()
    monkeypatch.setattr(worker, "develop", shared)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as here:

        def stop() -> bool:  # asked once all that one worker is given is on its way
            if SEEN and len(here.workers) == 1:
                here.scale(2)
            return False

        results = run(here.scheduler_address, photos, place="out", stop=stop)
    assert len(SEEN) == 2 and [result.outcome for result in results] == ["written"] * 4
