"""Damaged runs, caches and cameras, full disks and second runs: one line each, and what was good is kept."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sets
from filelock import FileLock
from safetensors.torch import load_file, save_file
from test_loop import cache, photos, recipe_for, train  # noqa: F401  fixtures
from torch import Tensor

from darkroom.errors import DarkroomError, SettingsError
from darkroom.sensor import noise
from darkroom.train import checkpoint, loop, recipe
from darkroom.train.cache import Cache

FILE = "checkpoint.safetensors"


@pytest.fixture(scope="module")
def trained(photos, cache, tmp_path_factory):  # noqa: F811
    """A run of four steps, and how to go on with a copy of it."""
    run = tmp_path_factory.mktemp("runs") / "run"
    train(recipe_for(), photos, cache, run)

    def go_on(change, into: Path):
        into.mkdir()
        for name in ("recipe.toml", FILE):
            (into / name).write_bytes((run / name).read_bytes())
        change(into)
        longer = replace(recipe_for().stages[0], steps=6)
        return train(recipe_for(longer), photos, cache, into)

    return go_on


def load(run: Path) -> dict[str, Tensor]:
    """Copies, for what was loaded maps the file that is to be written over."""
    return {key: value.clone() for key, value in load_file(run / FILE).items()}


def cut(run: Path) -> None:
    (run / FILE).write_bytes((run / FILE).read_bytes()[:-100])


def garbage(run: Path) -> None:
    (run / FILE).write_bytes(b"\xff" * 1000)


def lost(name: str):
    def change(run: Path) -> None:
        tensors = load(run)
        kept = {key: value for key, value in tensors.items() if not key.startswith(name)}
        save_file(kept, run / FILE, {"state": json.dumps({"step": 4, "stage": 0, "entered": 0})})

    return change


def said(state: str):
    def change(run: Path) -> None:
        save_file(load(run), run / FILE, {"state": state})

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut, "is damaged"),
        (garbage, "is damaged"),
        (lost("average."), "holds another network's weights"),
        (lost("weights."), "holds another network's weights"),
        (said("[]"), "is damaged"),
        (said('{"step": "many"}'), "is damaged"),
        (said('{"step": 4, "stage": 0, "psnr": NaN}'), "is damaged"),
        (said('{"step": 4, "colour": 1}'), "is damaged"),
        (lambda run: (run / "recipe.toml").write_bytes(b"\xff\xfe"), "recipe.toml: "),
    ],
)
def test_a_damaged_run_is_refused_in_one_line(trained, tmp_path, change, message):
    with pytest.raises(DarkroomError, match=message) as raised:
        trained(change, tmp_path / "run")
    assert "\n" not in str(raised.value)


def test_a_whole_run_goes_on(trained, tmp_path):
    _, heard = trained(lambda run: None, tmp_path / "run")
    assert [progress.step for progress in heard] == [6]


def test_a_second_run_in_one_folder_is_refused(trained, tmp_path):
    held: list[FileLock] = []

    def hold(run: Path) -> None:
        held.append(FileLock(run / loop.LOCK))
        held[0].acquire()

    with pytest.raises(SettingsError, match="another run is training there; wait for it"):
        trained(hold, tmp_path / "run")
    held[0].release()


def test_a_full_disk_keeps_the_last_checkpoint(trained, tmp_path, monkeypatch):
    good = []

    def full(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    def fill(run: Path) -> None:
        good.append((run / FILE).read_bytes())
        monkeypatch.setattr(checkpoint, "save_file", full)

    with pytest.raises(DarkroomError, match="step 6 cannot be written .*No space left.*; the last one is kept"):
        trained(fill, tmp_path / "run")
    assert (tmp_path / "run" / FILE).read_bytes() == good[0] and not (tmp_path / "run" / "checkpoint.part").exists()


MINIMAL = 'about = "a test"\nnetwork = "half"\n'
STAGE = "[[stages]]\nsteps = 10\n"


@pytest.mark.parametrize(
    "text",
    [
        "cap = -3\n" + STAGE,
        "cap = nan\n" + STAGE,
        "clip = nan\n" + STAGE,
        "weight_decay = inf\n" + STAGE,
        "arguments = { width = 100000000 }\n" + STAGE,
        "arguments = { depth = [1, -1, 1] }\n" + STAGE,
        STAGE + "batch = 1000000000\n",
        STAGE + "crop = 10000000\n",
        STAGE + "learning_rate = inf\n",
        STAGE + "learning_rate = nan\n",
        STAGE + "warm_up = -1\n",
        STAGE + "loss = { l1 = nan }\n",
        STAGE + "loss = { l1 = 0.0 }\n",
        STAGE + "drops = [[2.0, 1e-4]]\n",
    ],
)
def test_numbers_no_training_can_have_are_refused(text):
    with pytest.raises(SettingsError, match="^bad.toml: "):
        recipe.parse(MINIMAL + text, "bad.toml", name="bad")


def test_a_shortened_recipe_warms_up_in_proportion():
    plan = replace(recipe.load("fast"), stages=(recipe.Stage(steps=1000, warm_up=100), recipe.Stage(steps=1000)))
    assert [stage.warm_up for stage in recipe.shortened(plan, 60, scenes=1).stages] == [3, 0]


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ("black = 512", "black = nan"),
        ("white = 16383", "white = inf"),
        ("white = 16383", "white = -1"),
        ("white = 16383", "white = 1e9"),
        ("gain = [0.1, 12.0]", "gain = []"),
        ("gain = [0.1, 12.0]", "gain = [nan, 1.0]"),
        ("shapes = [0.1]", "shapes = []"),
        ("bias = -0.4", "bias = nan"),
        ("red = [1.8, 2.4]", "red = [0.0, 2.4]"),
        ("black_error = [[0.0, 0.0, 0.0, 0.0]]", "black_error = [[0.0]]"),
    ],
)
def test_a_camera_no_sensor_can_be_is_refused(tmp_path, what, instead):
    whole = """
[mine]
model = "Mine"
cfa = "bayer"
black = 512
white = 16383
gain = [0.1, 12.0]
read = { slope = 0.8, bias = -0.4, scatter = 0.1 }
gauss = { slope = 0.8, bias = 0.9, scatter = 0.1 }
row = { slope = 0.8, bias = -2.0, scatter = 0.1 }
shapes = [0.1]
black_error = [[0.0, 0.0, 0.0, 0.0]]
white_balance = { red = [1.8, 2.4], blue = [1.4, 2.0] }
camera_to_srgb = [[1.7, -0.5, -0.2], [-0.2, 1.5, -0.3], [0.1, -0.6, 1.5]]
"""
    file = tmp_path / "own.toml"
    file.write_text(whole)
    assert noise.cameras(file)["mine"].measured
    assert what in whole
    file.write_text(whole.replace(what, instead))
    with pytest.raises(SettingsError, match=r"own.toml: \[mine\] ") as raised:
        noise.cameras(file)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("entry", ["3", '"word"', "{}", '{"stamp": 1}', '{"cfa": "bayer", "black": "dark"}'])
def test_a_cache_entry_of_the_wrong_kind_is_made_anew(tmp_path, entry):
    from darkroom.frame import Exposure

    file = sets.write(tmp_path / "a.dng", sets.scene(1), exposure=Exposure(1, 100, 4))
    kept = Cache(tmp_path / "cache")
    first = kept.frame(file)
    assert kept.numbers("n", [file], lambda: (1.5,)) == (1.5,)
    for path in (tmp_path / "cache").rglob("*.json"):
        path.write_text(entry)
    for path in (tmp_path / "cache").rglob("*-mosaic.npy"):
        path.unlink()  # mapped still
        np.save(path, np.zeros(3))
    again = Cache(tmp_path / "cache")
    assert np.array_equal(again.frame(file).mosaic, first.mosaic)
    assert again.numbers("n", [file], lambda: (1.5,)) == (1.5,)
