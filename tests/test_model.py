"""Opening network files: ours run, everything else is refused in one line."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from test_cfa import contract_for

from darkroom import contract, model
from darkroom.errors import ModelError


def write_network(path: Path, *, channels: int = 4, promise: str | None = contract_for("bayer").to_json()) -> Path:
    """A network that shows its first packed channel in grey, at twice the size."""
    nodes = [
        helper.make_node("Slice", ["bright", "zero", "one", "one"], ["first"]),
        helper.make_node("Tile", ["first", "twelve"], ["planes"]),
        helper.make_node("DepthToSpace", ["planes"], ["large"], blocksize=2, mode="CRD"),
        helper.make_node("Clip", ["large", "low", "high"], ["rgb"]),
    ]
    constants = [
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("twelve", TensorProto.INT64, [4], [1, 12, 1, 1]),
        helper.make_tensor("low", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("high", TensorProto.FLOAT, [], [1.0]),
    ]
    bright = helper.make_tensor_value_info("bright", TensorProto.FLOAT, [1, channels, "h", "w"])
    rgb = helper.make_tensor_value_info("rgb", TensorProto.FLOAT, [1, 3, "H", "W"])
    graph = helper.make_graph(nodes, "grey", [bright], [rgb], constants)
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if promise is not None:
        network.metadata_props.add(key=contract.KEY, value=promise)
    onnx.save(network, path)
    return path


def test_a_network_runs(tmp_path):
    network = model.load(write_network(tmp_path / "n.onnx"), device="cpu")
    bright = np.random.default_rng(0).random((4, 8, 12), np.float32)
    rgb = network.run(bright)
    assert rgb.shape == (3, 16, 24) and network.device == "cpu"
    assert (rgb[:, ::2, ::2] == bright[0]).all()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"promise": None}, "carries no contract; export it with `darkroom train`"),
        ({"promise": "{}"}, "missing or unknown"),
        ({"channels": 9}, "its contract says bright \\(1, 4, h, w\\)"),
    ],
)
def test_a_network_that_breaks_its_word_is_refused(tmp_path, change, complaint):
    with pytest.raises(ModelError, match=complaint) as refusal:
        model.load(write_network(tmp_path / "n.onnx", **change))
    assert str(refusal.value).startswith(str(tmp_path / "n.onnx")) and "\n" not in str(refusal.value)


def test_what_is_not_onnx_is_refused(tmp_path):
    (tmp_path / "n.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelError, match="not a network ONNX Runtime can open"):
        model.load(tmp_path / "n.onnx")
    with pytest.raises(ModelError, match="no such file"):
        model.load(tmp_path / "missing.onnx")


def test_data_in_other_files_is_refused(tmp_path):
    network = onnx.load(write_network(tmp_path / "n.onnx"))
    secret = onnx.numpy_helper.from_array(np.zeros(4096, np.float32), "secret")
    network.graph.initializer.append(secret)
    onnx.save(network, tmp_path / "n.onnx", save_as_external_data=True, location="weights.bin", size_threshold=100)
    with pytest.raises(ModelError, match="refers to data in another file"):
        model.load(tmp_path / "n.onnx")


def test_a_device_that_is_not_there_is_an_error(tmp_path):
    file = write_network(tmp_path / "n.onnx")
    with pytest.raises(ModelError, match="abacus: no such device"):
        model.load(file, device="abacus")
    if model.PROVIDERS["cuda"] not in model.onnxruntime.get_available_providers():
        with pytest.raises(ModelError, match="cuda: this ONNX Runtime has no such device, only cpu"):
            model.load(file, device="cuda")


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(ModelError, match="nonsense: no such network; shipped are fast-bayer, fast-xtrans"):
        model.find("nonsense")


@pytest.mark.parametrize("cfa", ["bayer", "xtrans"])
def test_the_shipped_networks_are_whole_and_keep_their_contract(cfa):
    file = model.find(model.default(cfa))
    network = model.load(file, device="cpu")
    promise = network.contract
    assert model.verify(file) and promise.cfa == cfa and promise.name == file.stem
    size = 4 * promise.multiple
    flat = np.full((int(promise.packing[-1]), size, size), 0.2, np.float32)
    inner = network.run(flat)[:, 8:-8, 8:-8]
    assert np.abs(inner - 0.485).max() < 0.05  # 0.2 under the sRGB curve is 0.485: flat light stays flat and neutral


def test_a_changed_network_fails_its_checksum(tmp_path):
    copy = tmp_path / "fast-bayer.onnx"
    copy.write_bytes(model.find("fast-bayer").read_bytes() + b"\0")
    assert not model.verify(copy)
