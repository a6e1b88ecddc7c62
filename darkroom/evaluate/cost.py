"""What a network costs: its file -> milliseconds, megabytes and multiply-accumulates of one frame of SID's.

Multiply-accumulates are counted as ptflops does, whose figures the papers state (U-Net 562e9, RED 59.8e9): products
with weights, biases, and one for each value that is rectified or pooled. They are read from the ONNX graph: torch is
not needed.
"""

import sys
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from darkroom.decode import raw
from darkroom.develop import amplifier, door, pipeline
from darkroom.develop.contract import PIXEL, PLANES
from darkroom.develop.model import Model
from darkroom.errors import ModelError, SettingsError
from darkroom.evaluate import speed
from darkroom.frame import CFA
from darkroom.write import dng

FRAME: dict[CFA, tuple[int, int]] = {"bayer": (2848, 4256), "xtrans": (4032, 6032)}
"""Height and width, in sites, of SID's Sony and Fuji frames, for which papers state what their networks cost."""
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
VALUES = ("LeakyRelu", "Relu", "MaxPool", "AveragePool")
"""What ONNX calls that which is counted."""
TIMES = 3
"""Runs, of which the fastest counts."""


@dataclass(frozen=True)
class Cost:
    """What developing one frame of FRAME takes."""

    ms: float
    """From mosaic to camera RGB, tiles put together."""
    megabytes: float | None
    """Most that `darkroom develop` held, decoder included; None where the system does not tell."""
    gmac: float


def measure(network: Model, frame: tuple[int, int] | None = None) -> Cost:
    """Develop a frame of darkness by the network, here to time it, and by the command to see its memory.

    frame: height and width in sites, FRAME's where none is given. Raises as `macs` does, and DarkroomError where the
    command fails.
    """
    cfa = network.contract.cfa or "bayer"
    height, width = frame or FRAME[cfa]
    with TemporaryDirectory(prefix="darkroom-cost-") as folder:
        photo = Path(folder) / "dark.dng"
        dng.write(photo, np.random.default_rng(0).integers(500, 600, (height, width), np.uint16), cfa=cfa)
        settings = pipeline.Settings(amp=amplifier.parse("100"))
        opened = raw.read(photo)
        fastest = min(pipeline.expose(opened, network, settings).seconds.network for _ in range(TIMES))
        peak = speed.peak_memory(_command(photo, network)) / 1e6 if speed.WATCHABLE else None
    return Cost(1000 * fastest, peak, macs(network, height, width) / 1e9)


def _command(photo: Path, network: Model) -> list[str]:
    output = str(photo.with_suffix(".png"))
    return [
        *(sys.executable, "-m", "darkroom", "develop", str(photo), "-o", output, "--amp", "100"),
        *("--model", str(network.file), "--device", network.device),
    ]


def macs(network: Model, height: int, width: int) -> int:
    """Count the multiply-accumulates of a network over a frame.

    The frame is filled up to the network's multiple, as it is when developed. Raises SettingsError without the package
    onnx, ModelError where the graph does not tell its shapes.
    """
    contract = network.contract
    step = PIXEL[contract.packing] * contract.multiple
    high, wide = (-(-length // step) * contract.multiple for length in (height, width))
    return count(network.file, (1, PLANES[contract.packing], high, wide))


def count(file: Path, shape: tuple[int, ...]) -> int:
    """Count the multiply-accumulates of an ONNX file for an input of this shape; raises as `macs` does."""
    try:
        import onnx
    except ImportError:
        raise SettingsError("--cost: needs onnx; `pip install 'darkroom-raw[evaluate]'`") from None
    graph = onnx.load_from_string(door.read(file)[0])
    dims = graph.graph.input[0].type.tensor_type.shape.dim
    for dim, length in zip(dims, shape, strict=True):
        dim.dim_value = length
    for output in graph.graph.output:
        output.type.tensor_type.ClearField("shape")  # its names for height and width contradict the numbers
    del graph.graph.value_info[:]
    try:
        inner = onnx.shape_inference.infer_shapes(graph, strict_mode=True, data_prop=True).graph
    except onnx.shape_inference.InferenceError as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{file}: its shapes cannot be told ({reason}); export it again") from None
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*inner.input, *inner.value_info, *inner.output)
    }
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in inner.initializer}
    total = 0
    for node in inner.node:
        if node.op_type in (*PRODUCTS, *VALUES):
            wanted = (node.input[0], node.input[1] if node.op_type in PRODUCTS else node.input[0], node.output[0])
            known = [shapes.get(name, ()) for name in wanted]
            if not all(known) or not all(map(all, known)):
                what = node.name or node.op_type
                raise ModelError(f"{file}: the shapes of {what} cannot be told; export it again")
            total += _of_node(node.op_type, *known) + (prod(known[2]) if len(node.input) > 2 else 0)  # with biases
    return total


def _of_node(kind: str, given: tuple[int, ...], weights: tuple[int, ...], out: tuple[int, ...]) -> int:
    """Count one node's, but for its biases, by the shapes of its input, weights and output."""
    if kind == "Conv":  # weights (out, in / groups, kernel): each output sample is a product with one out
        return prod(out) * prod(weights[1:])
    if kind == "ConvTranspose":  # weights (in, out / groups, kernel): each input sample goes to one in
        return prod(given) * prod(weights[1:])
    return prod(given) if kind in VALUES else prod(out) * given[-1]
