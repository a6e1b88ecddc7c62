"""What tests of several rooms stand on: contracts, frames, tiny networks and photos, made on the spot."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from darkroom.develop import cfa, contract, finish
from darkroom.develop.contract import PIXEL, Contract
from darkroom.evaluate import systems
from darkroom.frame import CELL, Exposure, Frame, Window

PACKINGS = {"bayer": "bayer4", "xtrans": "xtrans9"}
MATRIX = np.array([[1.7, -0.5, -0.2], [-0.2, 1.6, -0.4], [0.1, -0.6, 1.5]], np.float32)


def contract_for(kind: str, **changes) -> Contract:
    contract = Contract(
        name="test", version=1, packing=PACKINGS[kind], scale=2 if kind == "bayer" else 3, halo=4, multiple=4,
        max_ratio=300.0, input="balanced", output="camera", pixel_bytes=100, training="none", licence="MIT",
    )  # fmt: skip
    return replace(contract, **changes)


def arranged(kind: str, layout: str, **changes) -> Contract:
    """A contract for any layout of a CFA's data; those of pictures take and give sRGB."""
    packing = cfa.packing(kind, layout)
    srgb = {"input": "srgb", "output": "srgb"} if layout == "srgb" else {}
    return contract_for(kind, **{"packing": packing, "scale": PIXEL[packing], **srgb, **changes})


EVERY = [(kind, layout) for kind, layouts in cfa.LAYOUTS.items() for layout in layouts]


def frame_of(mosaic: np.ndarray, kind: str, *, black: float = 512, white: float = 16383) -> Frame:
    return Frame(
        mosaic=mosaic,
        cfa=kind,
        black=np.full(CELL[kind].shape, black, np.float32),
        white=white,
        white_balance=np.array([2, 1, 1.5], np.float32),
        daylight=None,
        camera_to_srgb=np.eye(3, dtype=np.float32),
        exposure=Exposure(0.1, 3200, 2.8),
        visible=Window(0, 0, *mosaic.shape),
        orientation=1,
        camera="test",
        bits=14,
    )


def joined(pieces: Iterable[finish.Piece], size: tuple[int, int]) -> np.ndarray:
    """The pieces of a network's output as one image, (3, *size), 0 to FULL."""
    whole = np.full((3, *size), np.nan)
    for rows, cols, values in pieces:
        assert np.isnan(whole[:, rows, cols]).all(), "no place is given twice"
        whole[:, rows, cols] = values
    return whole


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


def write_slow(path: Path, *, kernel: int) -> Path:
    """A network of one convolution, of 16 channels of 1024 x 1024 to 16 by a `kernel`, which comes to nothing."""
    pads = [kernel // 2, kernel // 2, (kernel - 1) // 2, (kernel - 1) // 2]
    nodes = [
        helper.make_node("ReduceMean", ["bright"], ["mean"], keepdims=1),
        helper.make_node("Expand", ["mean", "vast"], ["wide"]),
        helper.make_node("Conv", ["wide", "weights"], ["far"], pads=pads),
        helper.make_node("ReduceMean", ["far"], ["all"], keepdims=1),
        helper.make_node("Slice", ["bright", "zero", "one", "one"], ["first"]),
        helper.make_node("Add", ["first", "all"], ["sum"]),
        helper.make_node("Tile", ["sum", "twelve"], ["planes"]),
        helper.make_node("DepthToSpace", ["planes"], ["rgb"], blocksize=2, mode="CRD"),
    ]
    constants = [
        helper.make_tensor("vast", TensorProto.INT64, [4], [1, 16, 1024, 1024]),
        onnx.numpy_helper.from_array(np.full((16, 16, kernel, kernel), 1e-9, np.float32), "weights"),
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("twelve", TensorProto.INT64, [4], [1, 12, 1, 1]),
    ]
    bright = helper.make_tensor_value_info("bright", TensorProto.FLOAT, [1, 4, "h", "w"])
    rgb = helper.make_tensor_value_info("rgb", TensorProto.FLOAT, [1, 3, "H", "W"])
    graph = helper.make_graph(nodes, "slow", [bright], [rgb], constants)
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    network.metadata_props.add(key=contract.KEY, value=contract_for("bayer").to_json())
    onnx.save(network, path)
    return path


def write_average(path: Path, pool: int, recipe: str = "", **contract_changes) -> Path:
    """A Bayer network that averages over `pool` x `pool` packed pixels, shows each as 2 x 2, and knows roughly the sRGB
    curve."""
    weights = np.zeros((12, 4, 1, 1), np.float32)
    weights[0:4, 0] = weights[8:12, 2] = 1
    weights[4:8, 1] = weights[4:8, 3] = 0.5
    pads = [pool // 2] * 4
    nodes = [
        helper.make_node("AveragePool", ["bright"], ["calm"], kernel_shape=[pool, pool], pads=pads),
        helper.make_node("Conv", ["calm", "weights"], ["planes"]),
        helper.make_node("Clip", ["planes", "low", "high"], ["clipped"]),
        helper.make_node("Pow", ["clipped", "gamma"], ["encoded"]),
        helper.make_node("DepthToSpace", ["encoded"], ["rgb"], blocksize=2, mode="CRD"),
    ]
    constants = [
        helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.ravel()),
        helper.make_tensor("low", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("high", TensorProto.FLOAT, [], [1.0]),
        helper.make_tensor("gamma", TensorProto.FLOAT, [], [1 / 2.2]),
    ]
    bright = helper.make_tensor_value_info("bright", TensorProto.FLOAT, [1, 4, "h", "w"])
    rgb = helper.make_tensor_value_info("rgb", TensorProto.FLOAT, [1, 3, "H", "W"])
    graph = helper.make_graph(nodes, "average", [bright], [rgb], constants)
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    network.metadata_props.add(key=contract.KEY, value=contract_for("bayer", **contract_changes).to_json())
    if recipe:
        network.metadata_props.add(key=systems.RECIPE, value=recipe)
    onnx.save(network, path)
    return path


def draw_photos(folder: Path) -> Path:
    """Three smooth, colourful photos, one with odd sides."""
    folder.mkdir()
    for index, size in enumerate([(120, 96), (121, 97), (96, 120)]):
        coarse = np.random.default_rng(index).integers(90, 230, (5, 6, 3), np.uint8)
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    return folder


def picture(height: int = 37, width: int = 53, dtype: type = np.uint8) -> np.ndarray:
    """A photo-like ramp with noise, whose samples use all bits."""
    chance = np.random.default_rng(0)
    ramp = np.linspace(0, 0.9, height * width * 3).reshape(height, width, 3)
    ramp += chance.uniform(0, 0.1, ramp.shape)
    return ramp.astype(np.float32) if dtype == np.float32 else (ramp * np.iinfo(dtype).max).astype(dtype)
