"""Variants of a network: they compute nearly the same, say what they are, and tell what they lose."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from exported import Tiny, facts_for, metadata
from onnx import numpy_helper

from darkroom.develop import model, pipeline
from darkroom.errors import SettingsError
from darkroom.sensor.simulate import Example
from darkroom.train import export, networks, variants


def examples(count=3, side=32) -> list[Example]:
    rng = np.random.default_rng(1)
    brights = rng.random((count, 4, side, side), np.float32)
    return [Example(bright, rng.random((3, 2 * side, 2 * side), np.float32)) for bright in brights]


@pytest.fixture
def tiny(tmp_path):
    export.export(Tiny(1, 2, 1, 1, 2, 1), tmp_path / "night.onnx", facts_for())
    return tmp_path / "night.onnx"


def test_half_computes_in_16_bits_and_loses_next_to_nothing(tmp_path):
    torch.manual_seed(0)
    file = tmp_path / "night.onnx"
    export.export(networks.build("unet", "bayer4", {"width": 8, "levels": 3}), file, facts_for())
    variant = variants.half(file)
    contract, promise = (model.load(path, device="cpu").contract for path in (variant, file))
    assert variant == tmp_path / "night-fp16.onnx" and variant.stat().st_size < 1.2 * file.stat().st_size
    assert contract == replace(promise, name="night-fp16", training="two steps; in 16-bit floats")
    assert metadata(variant)[export.RECIPE] == metadata(file)[export.RECIPE]
    assert 0 < abs(variants.loss_of(variant, file, examples())) < 0.01


def test_quantised_has_inner_convolutions_in_8_bits(tiny):
    brights = [example.bright for example in examples()]
    variant = variants.quantised(tiny, brights)
    loaded, whole = (model.load(path, device="cpu") for path in (variant, tiny))
    assert loaded.contract == replace(
        whole.contract, name="night-int8", training="two steps; 3 of its convolutions in 8 bits"
    )
    weights = [numpy_helper.to_array(w) for w in onnx.load(variant).graph.initializer]
    assert sum(w.dtype == np.int8 and w.ndim == 4 for w in weights) == 3, "a quarter of four is spared"
    worst = max(np.abs(loaded.run(bright) - whole.run(bright)).max() for bright in brights)
    assert 0 < worst < 0.02
    assert sorted(file.name for file in tiny.parent.iterdir()) == ["night-int8.onnx", "night.onnx"]


def test_what_8_bits_harm_most_keeps_32(tmp_path):
    network = Tiny(*[1] * 10)
    with torch.no_grad():
        network.layers[4].bias[0] = 50  # leaves the other channels few of the 256 levels
        network.layers[5].weight[:, 0] = 0
    export.export(network, tmp_path / "night.onnx", facts_for())
    graph = onnx.load(variants.quantised(tmp_path / "night.onnx", [example.bright for example in examples()])).graph
    spared = {weight.name for weight in graph.initializer} & {f"layers.{i}.weight" for i in range(1, 9)}
    assert spared == {"layers.4.weight", "layers.5.weight"}


def test_a_variant_develops_a_photo(tiny, write_dng):
    photo = write_dng("dark.dng", np.random.default_rng(0).integers(500, 700, (96, 128), np.uint16))
    settings = pipeline.Settings()
    plain, small = (
        pipeline.develop(photo, model.load(file, device="cpu"), settings).picture.astype(int)
        for file in (tiny, variants.quantised(tiny, [example.bright for example in examples()]))
    )
    assert plain.shape == (96, 128, 3) and 0 < np.abs(plain - small).max() < 30


def test_loss_is_in_db_of_psnr(tiny):
    loaded = model.load(tiny, device="cpu")
    rng = np.random.default_rng(0)
    made = [Example(e.bright, loaded.run(e.bright) + rng.choice([-0.01, 0.01], (3, 64, 64))) for e in examples()]
    worse = Tiny(1, 2, 1, 1, 2, 1)
    with torch.no_grad():
        worse.layers[-1].bias.add_(0.2)
    export.export(worse, tiny.with_name("worse.onnx"), facts_for())
    off = [
        float(np.mean((model.load(tiny.with_name("worse.onnx"), device="cpu").run(e.bright) - e.reference) ** 2))
        for e in made
    ]
    assert variants.loss_of(tiny, tiny, made) == 0
    assert variants.loss_of(tiny.with_name("worse.onnx"), tiny, made) == pytest.approx(
        40 + 10 * np.mean(np.log10(off)), abs=1e-3
    )


def test_quantising_needs_brights_and_something_to_quantise(tiny, tmp_path):
    with pytest.raises(SettingsError, match="nothing to calibrate its 8 bits on; give some brights"):
        variants.quantised(tiny, [])
    export.export(Tiny(1, 1), tmp_path / "two.onnx", facts_for())
    with pytest.raises(SettingsError, match="two.onnx: has no convolution between its first and its last"):
        variants.quantised(tmp_path / "two.onnx", [example.bright for example in examples()])
