"""Whole experiments on tiny sets, as a user runs them: train -> export -> develop -> evaluate."""

import csv
from pathlib import Path

import numpy as np
import pytest
import sets
from PIL import Image

from darkroom.develop import model
from darkroom.train import recipe

TINY = ("--threads", "1", "--batch", "1", "--every", "4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("experiments")


@pytest.fixture(scope="module")
def photos(folder) -> Path:
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for i in range(2):
        coarse = Image.fromarray(rng.integers(0, 255, (30, 30, 3), np.uint8))
        coarse.resize((400, 400), Image.Resampling.BICUBIC).save(folder / "photos" / f"{i}.png")
    return folder / "photos"


@pytest.fixture(scope="module")
def made(folder) -> dict[str, Path]:
    """One set of each layout, by name."""
    return {
        "sid": sets.sid(folder / "sid"),
        "canon": sets.canon(folder / "canon"),
        "folder": sets.folders(folder / "folders"),
    }


def train(run, folder: Path, name: str, *arguments) -> Path:
    """Run `darkroom train` and return the network it made."""
    code, out, err = run("train", *arguments, *TINY, "--cache", folder / "cache", "-o", folder / "runs" / name)
    assert code == 0, err
    file = Path(out.strip().splitlines()[0])
    assert file.name == f"{name}.onnx"
    return file


def losses_of(file: Path) -> list[float]:
    return [float(row["loss"]) for row in csv.DictReader((file.parent / "log.csv").read_text().splitlines())]


def written(folder: Path, name: str, text: str) -> Path:
    (folder / f"{name}-recipe.toml").write_text(text)
    return folder / f"{name}-recipe.toml"


NETWORKS = {
    "unet": 'network = "unet"\narguments = { width = 4, levels = 3 }\n',
    "can": 'network = "can"\narguments = { width = 8 }\n',
    "red": 'network = "red"\narguments = { depths = [1, 1, 1] }\n',
    "half": 'network = "half"\narguments = { width = 8, down = [0, 1, 0, 0], up = [1, 1, 0, 0] }\n',
}
SID = """
about = "a test"
camera = "sonya7s2"
input = "sensor"
output = "srgb"
curve = "bt709"
shorts = "first"
flips = "sid"
"""
STAGE = "[[stages]]\nsteps = 40\ncrop = 64\nlearning_rate = 3e-3\n"


@pytest.mark.parametrize(("network", "layout"), [("unet", "sid"), ("can", "canon"), ("red", "folder"), ("half", "sid")])
def test_real_pairs_make_a_network_that_develops_and_is_scored(run, folder, made, network, layout):
    stage = STAGE.replace("3e-3", "1e-3") if network == "red" else STAGE  # RED's dense blocks blow up above that
    mine = written(folder, network, SID + NETWORKS[network] + stage)
    pairs = made[layout]
    file = train(run, folder, f"{network}-{layout}", pairs, "--recipe", mine, "--validation", pairs, "--every", "20")
    losses = losses_of(file)
    assert losses[-1] < losses[0]
    assert model.load(file, device="cpu").contract.output == "srgb"
    short = sorted((made["canon"] / "short").iterdir())[0]
    code, out, err = run("develop", short, "--model", file, "--amp", "50", "-o", folder / "out" / network)
    assert code == 0 and Path(out.strip()).stat().st_size > 1000, err
    code, out, err = run("evaluate", file, "--pairs", pairs, "--json")
    assert code == 0 and '"psnr"' in out, err


@pytest.mark.parametrize("layout", ["packed", "masked", "srgb", "packed36"])
def test_photos_make_a_network_of_every_input(run, folder, photos, layout):
    kind = 'input = "srgb"\n' if layout == "srgb" else 'input = "sensor"\n'
    text = f'about = "a test"\ncamera = "sonya7s2"\noutput = "srgb"\nlayout = "{layout}"\n' + kind + NETWORKS["unet"]
    mine = written(folder, layout, text + STAGE.replace("crop = 64", "crop = 96").replace("40", "16"))
    cfa = "xtrans" if layout == "packed36" else "bayer"
    file = train(run, folder, layout, photos, "--recipe", mine, "--validation", photos, "--cfa", cfa, "--every", "8")
    losses = losses_of(file)
    assert losses[-1] < losses[0]
    code, _, err = run("evaluate", file, "--simulate", photos, "--crop", "96x96", "--cfa", cfa, "--ratios", "100")
    assert code == 0, err


@pytest.mark.parametrize("loss", ["l2=1", "ssim=1", "ms_ssim=1", "l1=0.8,ms_ssim=0.2", "l1=0.99,ms_ssim_even=0.01"])
def test_every_loss_falls(run, folder, photos, loss):
    stage = STAGE.replace("64", "192").replace("40", "24")
    mine = written(folder, "loss", 'about = "a test"\n' + NETWORKS["unet"] + stage)
    file = train(
        run, folder, f"loss-{loss.replace(',', '-')}", photos, "--recipe", mine, "--validation", photos,
        "--loss", loss, "--every", "8",
    )  # fmt: skip
    losses = losses_of(file)
    assert losses[-1] < losses[0]


def test_the_hybrid_loss_reads_weights_the_user_names(run, folder, photos):
    code, _, err = run(
        "train", photos, "--recipe", "zamir-sony", "--steps", "2", "--vgg", folder / "none.pth", "--crop", "192",
        "--cache", folder / "cache", "-o", folder / "zamir",
    )  # fmt: skip
    assert code == 2 and "none.pth" in err


def test_the_transfer_study_runs_both_its_stages(run, folder, photos, made):
    file = train(
        run, folder, "moved", "--recipe", "transfer", "--photos", photos, "--pairs", made["sid"],
        "--validation", made["sid"], "--steps", "6", "--every", "2",
    )  # fmt: skip
    kept = recipe.load(str(file.parent / "recipe.toml"))
    assert [stage.steps for stage in kept.stages] and kept.stages[1].last_blocks == 2
    assert model.load(file, device="cpu").contract.max_ratio == 1


def test_a_shipped_network_is_tuned_on_a_handful_of_pairs(run, folder, made):
    file = train(
        run, folder, "tuned", "--init", "fast-bayer", "--pairs", made["folder"], "--validation", made["folder"],
        "--freeze", "2", "--steps", "2", "--crop", "64", "--loss", "l1=1", "--variants", "fp16,int8",
    )  # fmt: skip
    for variant in ("tuned-fp16", "tuned-int8"):
        assert model.load(file.with_name(f"{variant}.onnx"), device="cpu").contract.name == variant


def test_stretched_references_can_be_learned(run, folder, photos):
    mine = written(
        folder, "stretched", SID + NETWORKS["unet"] + STAGE.replace("40", "4") + 'references = "stretched"\n'
    )
    assert train(run, folder, "stretched", photos, "--recipe", mine, "--validation", photos).exists()


def test_the_trials_print_a_row_each(run, folder, photos):
    code, out, err = run(
        "trials",
        "half",
        "--photos",
        photos,
        "--validation",
        photos,
        "--minutes",
        "0.02",
        "--cache",
        folder / "cache",
    )
    assert code == 0, err
    assert out.splitlines()[1].split()[:2] == ["half", "network"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--recipe", "tasty"), "tasty: no such recipe"),
        (("nowhere",), "nowhere: no such file or folder; give pairs or photos"),
        (("--loss", "l1=much"), "--loss l1=much: is no loss"),
        (("--variants", "int4"), "--variants int4: no such variant; known are fp16, int8"),
        (("--camera", "brownie"), "brownie: no such camera"),
        (("--camera", "sonya7s2,fujixt2"), "are of both kinds of sensor"),
        ((), "nothing to learn from; give --pairs, --photos or both"),
    ],
)
def test_wrong_usage_is_told_in_one_line(run, folder, arguments, message):
    code, _, err = run("train", *arguments, "--cache", folder / "cache", "-o", folder / "wrong")
    assert code == 2 and message in err and err.count("\n") == 1


def test_recipes_and_cameras_are_listed(run):
    code, out, _ = run("train", "--list")
    assert code == 0 and "sid-sony" in out and "fujixt2" in out
