"""The loop: what is trained is what is run, and what was begun goes on as if unbroken."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

import darkroom
from darkroom.develop import model
from darkroom.errors import DarkroomError, SettingsError
from darkroom.sensor import noise
from darkroom.train import data, export, learning, loop, networks, workers
from darkroom.train.cache import Cache
from darkroom.train.recipe import Recipe, Stage
from darkroom.train.run import Options


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(2):
        coarse = Image.fromarray(rng.integers(0, 255, (30, 30, 3), np.uint8))
        coarse.resize((400, 400), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


def recipe_for(*stages: Stage, **changes) -> Recipe:
    made = Recipe(
        name="tiny",
        about="a test",
        network="half",
        camera="sonya7s2",
        arguments={"width": 8, "down": [0, 1, 0, 0], "up": [1, 1, 0, 0]},
        clip=0.5,
        stages=stages or (Stage(steps=4, batch=1, crop=64),),
    )
    return replace(made, **changes)


def train(plan: Recipe, photos: Path, cache: Cache, run: Path, *, hear=None, **options):
    material = data.gather(
        plan,
        data.Sources(photos=photos, validation=photos),
        [noise.camera("sonya7s2")],
        cache,
        sensor="bayer",
        tell=lambda line: None,
    )
    heard = []
    file = loop.train(plan, material, run, Options(**({"every": 2} | options)), hear or heard.append)
    return file, heard


def log_of(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "log.csv").read_text().splitlines()))


def numbers_of(run: Path) -> list[tuple[str, ...]]:
    """The log without the time, which differs."""
    return [tuple(value for name, value in row.items() if name != "hours") for row in log_of(run)]


def test_a_run_trains_exports_logs_and_shows(photos, cache, tmp_path):
    file, heard = train(recipe_for(), photos, cache, tmp_path / "run")
    contract = model.load(file, device="cpu").contract
    assert contract.training.startswith("half on 2 photos") and contract.max_ratio == 300
    assert [p.step for p in heard] == [2, 4] and heard[-1].share == 1 and heard[-1].hours > 0
    rows = log_of(tmp_path / "run")
    assert [row["step"] for row in rows] == ["2", "4"] and float(rows[-1]["psnr"]) > 5
    assert rows[-1].keys() >= {"psnr/x1", "psnr/x100", "psnr/x250"}, "two photos, the first in full light, too"
    assert float(rows[-1]["psnr"]) == pytest.approx(np.mean([float(rows[-1][f"psnr/x{n}"]) for n in (1, 100, 250)]))
    last = tmp_path / "run" / "last" / file.name
    assert "; 4 steps of " in model.load(last, device="cpu").contract.training
    assert 'network = "half"' in (tmp_path / "run" / "recipe.toml").read_text()
    assert (tmp_path / "run" / "samples" / "step-000002.png").exists()
    assert "data:image" in (tmp_path / "run" / "report.html").read_text()


def test_a_resumed_run_ends_as_an_unbroken_one(photos, cache, tmp_path):
    plan = recipe_for(Stage(steps=2, batch=2, crop=64), Stage(steps=4, batch=1, crop=64, loss={"l2": 1.0}))
    train(plan, photos, cache, tmp_path / "whole", every=1)
    for broken_at in (1, 3, 5):  # in either stage and between them

        def interrupt(progress: loop.Progress, at: int = broken_at) -> None:
            if progress.step == at:
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            train(plan, photos, cache, tmp_path / "parts", every=1, hear=interrupt)
    train(plan, photos, cache, tmp_path / "parts", every=1)
    assert numbers_of(tmp_path / "whole") == numbers_of(tmp_path / "parts")


def test_an_interrupted_run_is_saved_where_it_was(photos, cache, tmp_path):
    def interrupt(progress: loop.Progress) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train(recipe_for(Stage(steps=90, batch=1, crop=64)), photos, cache, tmp_path / "run", hear=interrupt, every=3)
    assert json.loads((tmp_path / "run" / "checkpoint.json").read_text())["step"] == 4


def test_cpu_minutes_can_stand_in_for_steps(photos, cache, tmp_path):
    plan = recipe_for(Stage(steps=10**6, batch=1, crop=64))
    _, heard = train(plan, photos, cache, tmp_path / "run", minutes=0.02, every=10**6)
    assert heard[-1].share >= 1 and heard[-1].hours < 0.02 and heard[-1].psnr is not None


def test_only_the_last_blocks_change_when_the_others_are_frozen(photos, cache, tmp_path):
    plan = recipe_for(Stage(steps=1, batch=1, crop=64), Stage(steps=3, batch=1, crop=64, last_blocks=1))
    train(recipe_for(plan.stages[0]), photos, cache, tmp_path / "first")
    train(plan, photos, cache, tmp_path / "both")
    weights = []
    for run in ("first", "both"):
        network = networks.build("half", "bayer4", plan.arguments)
        with safe_open(tmp_path / run / "checkpoint.safetensors", "pt") as opened:
            network.load_state_dict({k[8:]: opened.get_tensor(k) for k in opened.keys() if k.startswith("weights.")})
        weights.append([[p.detach().clone() for p in block.parameters()] for block in network.blocks()])
    same = [all((a == b).all() for a, b in zip(*pair, strict=True)) for pair in zip(*weights, strict=True)]
    assert all(same[:-1]) and not same[-1]


def test_starting_from_an_onnx_takes_its_weights(photos, cache, tmp_path):
    file, _ = train(recipe_for(), photos, cache, tmp_path / "first")
    other, _ = train(recipe_for(Stage(steps=1, batch=1, crop=64)), photos, cache, tmp_path / "second", init=(file,))
    assert "started from tiny.onnx" in model.load(other, device="cpu").contract.training
    network = networks.build("half", "bayer4", recipe_for().arguments)
    assert export.load_weights(network, [file]) >= len(network.state_dict())


def test_a_run_keeps_its_recipe_but_may_be_longer(photos, cache, tmp_path):
    train(recipe_for(Stage(steps=2, batch=1, crop=64)), photos, cache, tmp_path / "run")
    train(recipe_for(Stage(steps=3, batch=1, crop=64)), photos, cache, tmp_path / "run")
    assert log_of(tmp_path / "run")[-1]["step"] == "3"
    with pytest.raises(SettingsError, match="follows another recipe; choose another folder"):
        train(recipe_for(Stage(steps=3, batch=2, crop=64)), photos, cache, tmp_path / "run")


def test_a_crop_that_does_not_fit_is_refused(photos, cache, tmp_path):
    with pytest.raises(SettingsError, match="crop 50: must be a multiple of 32"):
        train(recipe_for(Stage(steps=1, crop=50)), photos, cache, tmp_path / "run")
    with pytest.raises(SettingsError, match="crop 64: the loss ms_ssim needs 1.* at least"):
        train(recipe_for(Stage(steps=1, crop=64, loss={"ms_ssim": 1.0})), photos, cache, tmp_path / "run")


def test_a_loss_that_is_not_finite_keeps_the_checkpoint_before(photos, cache, tmp_path, monkeypatch):
    made, steps = learning.step, []

    def step(*given: object) -> float:
        steps.append(made(*given))
        return steps[-1] if len(steps) < 3 else math.nan

    monkeypatch.setattr(learning, "step", step)
    with pytest.raises(DarkroomError, match="no longer finite at step 2; .*start again with a lower learning rate"):
        train(recipe_for(Stage(steps=60, batch=1, crop=64)), photos, cache, tmp_path / "run", every=1)
    state = json.loads((tmp_path / "run" / "checkpoint.json").read_text())
    assert state["step"] == 2
    with safe_open(tmp_path / "run" / "checkpoint.safetensors", "pt") as opened:
        assert json.loads(opened.metadata()["state"]) == state


TOGETHER = 12
"""Steps of the runs of one and of two processes."""


IN_FLOAT32 = """
from darkroom.cli import main
from darkroom.train import learning
learning._has_bf16 = lambda device: False
main()
"""
"""The command, without what rounds to a ten-thousandth by itself."""


def started(photos: Path, run: Path, *launcher: str) -> subprocess.Popen[str]:
    """A training of TOGETHER steps."""
    script = run.parent / "in_float32.py"
    script.write_text(IN_FLOAT32)
    return subprocess.Popen(
        [
            sys.executable, *launcher, script, "train", "--camera", "sonya7s2", "--photos", photos,
            "--validation", photos, "--steps", str(TOGETHER), "--batch", "2", "--crop", "96", "--loss", "l1=1",
            "--threads", "1", "--every", "1", "--cache", run.parent / "cache", "-o", run,
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(darkroom.__file__).parents[1])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


TWO = ("-m", "torch.distributed.run", "--nproc-per-node", "2")


def process_of(launcher: int, rank: int) -> int:
    """The process that torchrun started for a rank."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return next(int(pid) for pid in children if f"\0RANK={rank}\0" in Path(f"/proc/{pid}/environ").read_text())


def step_of(run: Path) -> int:
    """The step of a run's checkpoint, 0 where there is none."""
    file = run / "checkpoint.safetensors"
    if not file.exists():
        return 0
    with safe_open(file, "pt") as opened:
        return json.loads(opened.metadata()["state"])["step"]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the system does not tell processes' environments")
def test_two_processes_learn_what_one_does_and_go_on_where_either_died(photos, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    process = started(photos, one)
    _, err = process.communicate()
    assert process.returncode == 0, err

    for rank in (1, 0):
        before = step_of(two)
        process = started(photos, two, *TWO)
        while step_of(two) == before:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.01)
        lost, left = (process_of(process.pid, each) for each in (rank, 1 - rank))
        os.kill(lost, signal.SIGKILL)
        _, err = process.communicate()
        assert process.returncode and not Path(f"/proc/{left}").exists()
        assert f"[rank{1 - rank}]: Traceback" not in err, "the one that is left says it in a line, if torchrun lets it"
        assert before < step_of(two) < TOGETHER

    process = started(photos, two, *TWO)
    _, err = process.communicate()
    assert process.returncode == 0, err
    logs = log_of(one), log_of(two)
    assert [row["step"] for row in logs[1]] == [str(step + 1) for step in range(TOGETHER)]
    for alone, shared in zip(*logs, strict=True):
        assert float(shared["loss"]) == pytest.approx(float(alone["loss"]), rel=1e-4)
        assert float(shared["psnr"]) == pytest.approx(float(alone["psnr"]), abs=0.01)


AGREED = """
import os
import torch
from darkroom.train import workers
with workers.workers() as (rank, world):
    interrupted, share = workers.agreed(rank == 1, (0.5, 0.25)[rank], torch.device("cpu"))
    os.write(1, f"{interrupted} {share}\\n".encode())
"""
"""A line of each process, written at once: two that print write into each other's."""


def test_processes_stop_where_any_would_and_are_as_far_as_the_furthest(tmp_path):
    script = tmp_path / "agreed.py"
    script.write_text(AGREED)
    there = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(darkroom.__file__).parents[1])}
    told = subprocess.run([sys.executable, *TWO, script], env=there, capture_output=True, text=True, check=True)
    assert told.stdout.split("\n") == ["True 0.5", "True 0.5", ""]


def test_the_learning_rate_follows_what_the_processes_agreed_on(photos, cache, tmp_path, monkeypatch):
    agreed, followed, rate = [], [], learning.rate

    def ahead(interrupted: bool, share: float, device: torch.device) -> tuple[bool, float]:
        agreed.append(share + 0.3)
        return interrupted, share + 0.3

    def spied(stage: Stage, step: int, share: float) -> float:
        followed.append(share)
        return rate(stage, step, share)

    monkeypatch.setattr(workers, "agreed", ahead)
    monkeypatch.setattr(learning, "rate", spied)
    train(recipe_for(Stage(steps=4, batch=1, crop=64)), photos, cache, tmp_path / "run", every=10)
    assert followed == agreed[:-1] == [0.3, 0.55, 0.8]


def test_the_loss_is_a_number_from_the_first_step_to_the_one_after_each_validation(
    photos, cache, tmp_path, monkeypatch
):
    monkeypatch.setattr(loop, "HEARD", 1)
    heard: list[loop.Progress] = []
    plan = recipe_for(Stage(steps=5, batch=1, crop=64))
    train(plan, photos, cache, tmp_path / "run", hear=heard.append, every=2)
    assert [progress.step for progress in heard] == [1, 2, 3, 4, 5]
    assert [progress.psnr is not None for progress in heard] == [False, True, False, True, True]
    assert all(np.isfinite(progress.loss) for progress in heard)
