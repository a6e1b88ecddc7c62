"""Networks, the loop and the export: what is trained is what is run."""

import csv
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image

from darkroom import cfa, model
from darkroom.errors import DarkroomError, ModelError, SettingsError
from darkroom.train import export, loop
from darkroom.train.networks.compact import Compact, encode
from darkroom.train.networks.red import Red

SITES = {"bayer4": (4, 2), "xtrans9": (9, 3)}


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(2):
        coarse = Image.fromarray(rng.integers(0, 255, (60, 60, 3), np.uint8))
        coarse.resize((1000, 1000), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return folder


def plan_for(photos, **changes) -> loop.Plan:
    plan = loop.Plan(
        name="tiny", network="compact", packing="bayer4", photos=str(photos), validation=str(photos),
        cameras=("sonya7s2",), steps=4, batch=1, crop=48,
    )  # fmt: skip
    return replace(plan, **changes)


def train(plan, run, every=2):
    heard = []
    file = loop.train(plan, run, threads=1, every=every, on_progress=heard.append)
    return file, heard


def log_of(run) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "log.csv").read_text().splitlines()))


def test_red_has_the_published_number_of_parameters():
    assert sum(p.numel() for p in Red("bayer4").parameters()) == 784_768


def test_plain_rdb_differs_from_the_starred_one():
    torch.manual_seed(0)
    starred = Red("bayer4").eval()
    plain = Red("bayer4", star=False).eval()
    plain.load_state_dict(starred.state_dict())
    bright = torch.rand(1, 4, 32, 32)
    with torch.inference_mode():
        assert (starred(bright) - plain(bright)).abs().max() > 0


@pytest.mark.parametrize("packing", SITES)
@pytest.mark.parametrize("kind", [Compact, Red])
def test_a_network_gives_three_colours_at_full_size_within_range(kind, packing):
    channels, pixel = SITES[packing]
    side = 2 * kind.multiples[packing]
    with torch.inference_mode():
        picture = kind(packing).eval()(torch.rand(1, channels, side, side) * 3 - 1)
    assert picture.shape == (1, 3, side * pixel, side * pixel)
    assert picture.min() >= 0 and picture.max() <= 1


@pytest.mark.parametrize("packing", SITES)
def test_compact_starts_as_a_demosaic(packing):
    coarse = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    scene = torch.nn.functional.interpolate(coarse, (96, 96), mode="bicubic", align_corners=True).clamp(0.05, 0.95)
    mosaic = cfa.sample(scene[0].permute(1, 2, 0).numpy(), packing.rstrip("49"))
    with torch.inference_mode():
        picture = Compact(packing).eval()(torch.from_numpy(cfa.pack(mosaic, packing))[None])
    assert (picture - encode(scene))[..., 12:-12, 12:-12].abs().mean() < 0.01


def test_encoding_is_odd_and_keeps_black_and_white():
    x = torch.linspace(-2, 2, 101)
    assert torch.allclose(encode(x), -encode(-x)) and (encode(x).diff() > 0).all()
    assert encode(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([0, 1])


@pytest.mark.parametrize("packing", SITES)
@pytest.mark.parametrize("kind", [Compact, Red])
def test_onnx_equals_torch_and_carries_its_contract(kind, packing, tmp_path):
    torch.manual_seed(0)
    network = kind(packing).eval()
    bright = torch.rand(1, SITES[packing][0], 64, 48)
    with torch.inference_mode():
        wanted = network(bright)[0].numpy()
    promise = export.export(
        network, tmp_path / "n.onnx", name="n", version=3, packing=packing, training="none", licence="MIT"
    )
    loaded = model.load(tmp_path / "n.onnx", device="cpu")
    assert loaded.contract == promise and promise.version == 3 and promise.packing == packing
    assert np.abs(loaded.run(bright[0].numpy()) - wanted).max() <= export.TOLERANCE
    assert promise.halo % promise.multiple == 0 and promise.pixel_bytes > 50


def test_a_run_trains_exports_and_logs(photos, tmp_path):
    file, heard = train(plan_for(photos), tmp_path / "run")
    assert model.load(file, device="cpu").contract.training.startswith("compact on photos")
    assert [p.step for p in heard] == [2, 4] and heard[-1].cpu_hours > 0
    rows = log_of(tmp_path / "run")
    assert [row["step"] for row in rows] == ["2", "4"] and float(rows[-1]["psnr"]) > 5
    assert json.loads((tmp_path / "run" / "plan.json").read_text())["seed"] == 0


def test_the_loss_falls(photos, tmp_path):
    train(plan_for(photos, steps=60, batch=2, learning_rate=2e-3), tmp_path / "run", every=15)
    losses = [float(row["loss"]) for row in log_of(tmp_path / "run")]
    assert losses[-1] < 0.8 * losses[0]


def test_a_resumed_run_ends_as_an_unbroken_one(photos, tmp_path):
    train(plan_for(photos), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        loop.train(plan_for(photos), tmp_path / "parts", threads=1, every=2, on_progress=_interrupt)
    train(plan_for(photos), tmp_path / "parts")
    logs = [(tmp_path / run / "log.csv").read_text().splitlines() for run in ("whole", "parts")]
    whole, parts = ([[row.split(",")[i] for i in (0, 2, 3, 4)] for row in log] for log in logs)
    assert whole == parts


def _interrupt(progress: loop.Progress) -> None:
    raise KeyboardInterrupt


def test_starting_from_an_onnx_takes_its_weights(photos, tmp_path):
    file, _ = train(plan_for(photos), tmp_path / "first")
    network = Compact("bayer4")
    assert export.load_weights(network, file) == len(network.state_dict())
    trunk = Compact("xtrans9")
    assert export.load_weights(trunk, file) > 20
    other, _ = train(plan_for(photos, init=str(file), steps=2), tmp_path / "second")
    assert "started from tiny.onnx" in model.load(other, device="cpu").contract.training


def test_weights_of_another_network_are_refused(tmp_path):
    export.export(
        Red("bayer4"), tmp_path / "red.onnx", name="red", version=1, packing="bayer4", training="none", licence="MIT"
    )
    with pytest.raises(ModelError, match="none of its weights fit"):
        export.load_weights(Compact("bayer4"), tmp_path / "red.onnx")


def test_a_run_keeps_its_plan(photos, tmp_path):
    train(plan_for(photos, steps=2), tmp_path / "run")
    with pytest.raises(SettingsError, match="planned with another seed; choose another folder"):
        train(plan_for(photos, seed=5), tmp_path / "run")


def test_a_crop_that_does_not_fit_is_refused(photos, tmp_path):
    with pytest.raises(SettingsError, match="crop 50: must be a multiple of 16"):
        train(plan_for(photos, crop=50), tmp_path / "run")


def test_a_loss_that_is_not_finite_keeps_the_checkpoint_before(photos, tmp_path):
    with pytest.raises(DarkroomError, match="no longer finite at step .*start again with a lower learning rate"):
        train(plan_for(photos, steps=60, learning_rate=1e30), tmp_path / "run", every=1)
    state = json.loads((tmp_path / "run" / "checkpoint.json").read_text())
    assert 1 <= state["step"] < 60


def test_a_plan_can_be_written_down(photos):
    assert json.loads(json.dumps(asdict(plan_for(photos))))["cameras"] == ["sonya7s2"]
