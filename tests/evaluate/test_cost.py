"""What a network costs: counted by hand, and measured."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from made import contract_for, write_average
from onnx import TensorProto, helper

from darkroom.develop import contract, model
from darkroom.errors import ModelError, SettingsError
from darkroom.evaluate import cost, speed


def save(path: Path, nodes: list[onnx.NodeProto], *weights: tuple[str, tuple[int, ...]]) -> model.Model:
    """A network of these nodes; its contract asks for multiples of 4."""
    constants = [helper.make_tensor(name, TensorProto.FLOAT, shape, np.zeros(shape).ravel()) for name, shape in weights]
    bright = helper.make_tensor_value_info("bright", TensorProto.FLOAT, [1, 4, "h", "w"])
    rgb = helper.make_tensor_value_info("rgb", TensorProto.FLOAT, [1, 3, "H", "W"])
    graph = helper.make_graph(nodes, "made", [bright], [rgb], constants)
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    network.metadata_props.add(key=contract.KEY, value=contract_for("bayer").to_json())
    onnx.save(network, path)
    return model.load(path)


def test_products_biases_and_values_are_counted(tmp_path):
    network = save(
        tmp_path / "n.onnx",
        [
            helper.make_node("Conv", ["bright", "a", "bias"], ["1"], group=2, kernel_shape=[3, 3], pads=[1] * 4),
            helper.make_node("LeakyRelu", ["1"], ["2"]),
            helper.make_node("MaxPool", ["2"], ["3"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("ConvTranspose", ["3", "b"], ["4"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("ConvTranspose", ["4", "c"], ["5"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("MatMul", ["5", "d"], ["rgb"]),
        ],
        ("a", (6, 2, 3, 3)), ("bias", (6,)), ("b", (6, 5, 2, 2)), ("c", (5, 3, 2, 2)), ("d", (24, 24)),
    )  # fmt: skip
    height, width = 8, 12  # packed: what 16 x 24 sites, and 10 x 20 filled up, come to
    pixels = height * width
    conv, values = pixels * 6 * (2 * 9 + 1), pixels * 6 * 2
    up = pixels // 4 * 6 * 5 * 4 + pixels * 5 * 3 * 4
    product = 3 * 2 * height * 2 * width * 24
    assert cost.macs(network, 16, 24) == cost.macs(network, 10, 20) == conv + values + up + product


def test_a_graph_that_hides_its_shapes_is_refused(tmp_path):
    network = save(
        tmp_path / "n.onnx",
        [
            helper.make_node("NonZero", ["bright"], ["where"]),
            helper.make_node("Cast", ["where"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", ["a", "numbers"], ["product"]),
            helper.make_node("ReduceMean", ["product"], ["mean"]),
            helper.make_node("Conv", ["bright", "b"], ["flat"], kernel_shape=[1, 1]),
            helper.make_node("Add", ["flat", "mean"], ["rgb"]),
        ],
        ("a", (4, 4)), ("b", (3, 4, 1, 1)),
    )  # fmt: skip
    with pytest.raises(ModelError, match="n.onnx: the shapes of MatMul cannot be told; export it again"):
        cost.macs(network, 16, 16)


def test_without_onnx_the_message_says_where_it_is(tmp_path, monkeypatch):
    network = model.load(write_average(tmp_path / "n.onnx", 1))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SettingsError, match=r"--cost: needs onnx; `pip install 'darkroom-raw\[evaluate\]'`"):
        cost.macs(network, 16, 16)


def test_time_and_memory_are_those_of_a_frame(tmp_path, monkeypatch):
    network = model.load(write_average(tmp_path / "n.onnx", 1))
    asked = []
    monkeypatch.setattr(speed, "WATCHABLE", True)
    monkeypatch.setattr(speed, "peak_memory", lambda command: asked.append(command) or 5e8)
    found = cost.measure(network, (64, 96))
    assert found.megabytes == 500 and found.ms > 0 and found.gmac == cost.macs(network, 64, 96) / 1e9
    assert [str(network.file), network.device] == asked[0][-3::2]
    monkeypatch.setattr(speed, "WATCHABLE", False)
    assert cost.measure(network, (64, 96)).megabytes is None
