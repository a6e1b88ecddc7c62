"""Export: the file computes what torch does, promises what tiles need, and can be trained on."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from exported import Tiny, facts_for, metadata
from made import joined
from onnx import numpy_helper

from darkroom.develop import model, tiles
from darkroom.develop.contract import PLANES
from darkroom.develop.curves import FULL
from darkroom.errors import ModelError
from darkroom.train import export, networks, reach

SMALL = {
    "half": {"width": 4, "down": (0, 1, 0, 0)},
    "red": {"depths": (1, 1, 1)},
    "unet": {"width": 4, "levels": 3},
    "can": {"width": 4},
}


class Mean(Tiny):
    """Sees the whole picture at once."""

    def forward(self, x):
        return super().forward(x + x.mean((2, 3), keepdim=True))


class Fickle(Tiny):
    """Computes something else at another size, which no trace can hold."""

    def forward(self, x):
        return super().forward(x) * (1 if x.shape[2] == 4 * self.multiples["bayer4"] else 0.5)


@pytest.fixture
def tiny(tmp_path):
    export.export(Tiny(1, 2, 1, 1, 2, 1), tmp_path / "night.onnx", facts_for())
    return tmp_path / "night.onnx"


@pytest.mark.parametrize(
    ("kind", "packing"),
    [
        *((kind, packing) for kind in ("half", "red") for packing in ("bayer4", "xtrans9")),
        *(("unet", packing) for packing in PLANES),
        ("can", "bayer4"),
        ("can", "srgb3"),
    ],
)
def test_onnx_equals_torch_and_carries_its_contract_and_recipe(kind, packing, tmp_path):
    torch.manual_seed(0)
    network = networks.build(kind, packing, SMALL[kind]).train()
    bright = reach.scenes(packing, "srgb" if packing == "srgb3" else "balanced", 96, 64)
    promise = export.export(network, tmp_path / "n.onnx", facts_for(packing))
    assert network.training, "the network itself stays as it was"
    loaded = model.load(tmp_path / "n.onnx", device="cpu")
    with torch.inference_mode():
        wanted = export._rounded(export._plain(network))(bright).numpy()
    assert all(np.abs(loaded.run(b) - w).max() <= export.TOLERANCE for b, w in zip(bright.numpy(), wanted, strict=True))
    assert loaded.contract == promise
    assert (promise.name, promise.version, promise.max_ratio, promise.packing) == ("night", 3, 250, packing)
    assert promise.halo % promise.multiple == 0 and promise.pixel_bytes > 30
    assert metadata(tmp_path / "n.onnx")[export.RECIPE] == 'about = "a test"\n'
    assert [file.name for file in tmp_path.iterdir()] == ["n.onnx"]


def test_a_file_without_a_recipe_says_nothing_of_one(tmp_path):
    export.export(Tiny(1, 1), tmp_path / "n.onnx", facts_for(recipe=""))
    assert metadata(tmp_path / "n.onnx").keys() == {"darkroom"}


@pytest.mark.parametrize("dilations", [(1,), (1, 2, 5), (7, 1)])
def test_reach_is_what_the_convolutions_add_up_to(dilations):
    found = reach.halo(Tiny(*dilations), "bayer4", "balanced", 2)
    assert found == reach.up(sum(dilations), 2)


@pytest.mark.parametrize(("levels", "expected"), [(3, 24), (5, 96)])
def test_reach_of_a_pooling_network_is_that_of_cores_on_its_multiples(levels, expected):
    torch.manual_seed(0)
    network = networks.build("unet", "bayer4", {"width": 1, "levels": levels}).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_().add_(0.01)  # so that what is seen is felt
    network.train()  # without the clamp
    assert reach.halo(network, "bayer4", "sensor", network.multiples["bayer4"]) == expected


def test_what_is_seen_but_not_felt_needs_no_halo():
    felt, unfelt = Tiny(1, 12, 1), Tiny(1, 12, 1, far=1e-6)
    assert reach.halo(felt, "bayer4", "balanced", 2) == 14
    assert reach.halo(unfelt, "bayer4", "balanced", 2) == 2


def test_the_halo_is_the_same_every_time():
    network = Tiny(1, 2, 4)
    torch.manual_seed(1)
    first = reach.halo(network, "bayer4", "balanced", 2)
    torch.manual_seed(2)
    assert reach.halo(network, "bayer4", "balanced", 2) == first


def test_tiles_with_the_measured_halo_equal_the_whole_and_with_less_seam(tiny):
    loaded = model.load(tiny, device="cpu")
    image = reach.scenes("bayer4", "balanced", 96, 128)[0].numpy()

    def run(memory, **changes):
        pieces = tiles.run(
            loaded.run, lambda rows, cols: image[:, rows, cols], size=image.shape[1:], memory=memory,
            contract=replace(loaded.contract, **changes), pixel_bytes=loaded.contract.pixel_bytes,
            on_tile=lambda done, tiles: None,
        )  # fmt: skip
        return joined(pieces, (image.shape[1] * loaded.contract.scale, image.shape[2] * loaded.contract.scale))

    small = loaded.contract.pixel_bytes * 48 * 48
    whole = run(10**9)
    assert np.abs(run(small) - whole).max() <= reach.SEAM * FULL
    assert np.abs(run(small, halo=0) - whole).max() > reach.SEAM * FULL


def test_memory_a_pixel_is_of_what_is_computed_and_not_of_weights(tiny):
    graph = onnx.load(tiny)
    graph.graph.initializer.append(numpy_helper.from_array(np.ones((1000, 1000), np.float16), "weight"))
    graph.graph.node.insert(0, onnx.helper.make_node("Cast", ["weight"], ["wide"], to=onnx.TensorProto.FLOAT))
    assert export._pixel_bytes(graph, 4, 2) == model.load(tiny, device="cpu").contract.pixel_bytes


def test_a_network_that_sees_everything_is_refused(tmp_path):
    with pytest.raises(ModelError, match="reach is beyond 1024 packed pixels; it cannot be run in tiles"):
        export.export(Mean(1, 1), tmp_path / "n.onnx", facts_for())
    assert not list(tmp_path.iterdir())


def test_a_file_that_differs_from_torch_is_not_kept(tmp_path):
    with pytest.raises(ModelError, match="ONNX differs from torch by 0.*wanted at most 0.0001; do not use it"):
        export.export(Fickle(1, 1), tmp_path / "n.onnx", facts_for())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", SMALL)
def test_weights_come_back_as_they_went(kind, tmp_path):
    torch.manual_seed(0)
    network = networks.build(kind, "bayer4", SMALL[kind])
    export.export(network, tmp_path / "n.onnx", facts_for())
    other = networks.build(kind, "bayer4", SMALL[kind])
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(torch.rand_like(parameter))
    export.load_weights(other, [tmp_path / "n.onnx"])
    bright = torch.rand(1, 4, 32, 32)
    with torch.inference_mode():
        wanted = export._rounded(export._plain(network))(bright)
        assert torch.allclose(wanted, other.eval()(bright), atol=1e-5)


def test_the_file_holds_every_tensor_even_equal_ones(tmp_path):
    network = Tiny(1, 1, 1)
    export.export(network, tmp_path / "n.onnx", facts_for())
    held = {w.name: numpy_helper.to_array(w) for w in onnx.load(tmp_path / "n.onnx").graph.initializer}
    assert held.keys() >= network.state_dict().keys()
    assert export.load_weights(Tiny(1, 1, 1), [tmp_path / "n.onnx"]) == len(network.state_dict())


def test_a_network_of_another_shape_takes_what_fits(tiny):
    assert export.load_weights(Tiny(1, 2, 1, 1), [tiny]) == 6


def test_of_several_files_the_mean_is_taken_of_what_fits(tmp_path):
    first, second, deeper = Tiny(1, 1, 1), Tiny(1, 1, 1), Tiny(1, 2, 1, 1)
    with torch.no_grad():
        second.layers[0].weight.mul_(2)
        second.layers[2].bias.add_(1)
        deeper.layers[0].weight.mul_(-6)
    files = [tmp_path / f"{name}.onnx" for name in "abc"]
    for network, file in zip((first, second, deeper), files, strict=True):
        export.export(network, file, facts_for())
    other = Tiny(1, 1, 1)
    export.load_weights(other, files)
    mean = (first.layers[0].weight * 3 + deeper.layers[0].weight) / 3
    assert torch.allclose(other.layers[0].weight, mean, rtol=2e-3)
    assert torch.allclose(other.layers[2].bias, first.layers[2].bias + 0.5), "the third has a larger layer there"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"not a network", "is not an ONNX network"),
        ("other", "none of its weights fit this network"),
    ],
)
def test_files_without_fitting_weights_are_refused(content, message, tmp_path):
    file = tmp_path / "n.onnx"
    if content == "other":
        export.export(Tiny(1), file, facts_for())
    elif content:
        file.write_bytes(content)
    with pytest.raises(ModelError, match=f"n.onnx: {message}"):
        export.load_weights(networks.build("can", "bayer4", {"width": 3}), [file])


@pytest.mark.parametrize("place", ["secret.bin", "../secret.bin", "/etc/hostname"])
def test_weights_that_lie_in_another_file_are_not_fetched(tmp_path, monkeypatch, place):
    (tmp_path / "below").mkdir()
    for folder in (tmp_path, tmp_path / "below"):
        (folder / "secret.bin").write_bytes(bytes(4096))
    monkeypatch.chdir(tmp_path / "below")
    export.export(Tiny(1), tmp_path / "n.onnx", facts_for())
    network = onnx.load(tmp_path / "n.onnx")
    weight = next(each for each in network.graph.initializer if each.name == "layers.0.bias")
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=place)
    (tmp_path / "n.onnx").write_bytes(network.SerializeToString())
    with pytest.raises(ModelError, match="n.onnx: refers to data in another file, which is not allowed;"):
        export.load_weights(Tiny(1), [tmp_path / "n.onnx"])


def test_a_tensor_whose_bytes_do_not_fit_its_shape_is_refused(tmp_path):
    export.export(Tiny(1), tmp_path / "n.onnx", facts_for())
    network = onnx.load(tmp_path / "n.onnx")
    next(each for each in network.graph.initializer if each.name == "layers.0.bias").dims[0] = 999
    (tmp_path / "n.onnx").write_bytes(network.SerializeToString())
    with pytest.raises(ModelError, match=r"n.onnx: holds a tensor that is none \(.*\); export it again"):
        export.load_weights(Tiny(1), [tmp_path / "n.onnx"])


def test_weights_are_kept_in_16_bits_rounded_as_little_as_these_allow(tmp_path):
    network = Tiny(1, 1, 1)
    with torch.no_grad():
        network.layers[1].weight[0, 0, 0, 0] = 1e5  # beyond what 16 bits hold
        network.layers[2].weight.mul_(1e-4)
    export.export(network, tmp_path / "n.onnx", facts_for())
    held = {w.name: numpy_helper.to_array(w) for w in onnx.load(tmp_path / "n.onnx").graph.initializer}
    for name, value in network.state_dict().items():
        narrow = name.endswith("weight") and name != "layers.1.weight"
        assert held[name].dtype == (np.float16 if narrow else np.float32), name
        assert np.array_equal(held[name], value.numpy().astype(held[name].dtype))
