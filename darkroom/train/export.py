"""torch network -> ONNX with its contract inside, checked against torch before it is kept."""

import io
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn.utils import parametrize

from darkroom import cfa, model
from darkroom.contract import KEY, Contract
from darkroom.errors import ModelError

OPSET = 17
TOLERANCE = 1e-4
"""Largest difference between torch and ONNX that counts as equal, on outputs in [0, 1]."""
SEAM = 0.1 / 255
"""Largest error a tile's missing surroundings may cause."""
MAX_RATIO = 300.0
HEAP = 2.2
"""Memory taken per byte alive: glibc keeps freed blocks under 32 MB (2.0 measured on tiles of 1024 x 1024)."""


def export(
    network: nn.Module, file: Path, *, name: str, version: int, packing: str, training: str, licence: str
) -> Contract:
    """Write a network of input "balanced" and output "camera" as an ONNX file with its contract.

    The halo is measured: the smallest multiple beyond which nothing the network sees changes the
    output by more than `SEAM`. Raises ModelError, writing nothing, where ONNX Runtime's output
    differs from torch's by more than `TOLERANCE`.
    """
    plain = _plain(network)
    multiple = network.multiples[packing]
    graph = _graph(plain, packing, multiple)
    contract = Contract(
        name=name,
        version=version,
        packing=packing,
        scale=cfa.PIXEL[packing],
        halo=_halo(plain, packing, multiple),
        multiple=multiple,
        max_ratio=MAX_RATIO,
        input="balanced",
        output="camera",
        pixel_bytes=_pixel_bytes(graph, packing, multiple),
        training=training,
        licence=licence,
    )
    graph.metadata_props.add(key=KEY, value=contract.to_json())
    part = file.with_suffix(".part.onnx")
    onnx.save(graph, part)
    try:
        _check(plain, part, packing, multiple)
    except ModelError:
        part.unlink()
        raise
    part.replace(file)
    return contract


def load_weights(network: nn.Module, file: Path) -> int:
    """Copy an ONNX's initialisers into a network, where name and shape agree; return how many did.

    Raises ModelError where none agrees.
    """
    weights = {w.name: numpy_helper.to_array(w) for w in onnx.load(file).graph.initializer}
    taken = 0
    with torch.no_grad():
        for key, parameter in network.state_dict().items():
            if key in weights and weights[key].shape == tuple(parameter.shape):
                parameter.copy_(torch.from_numpy(weights[key].copy()))
                taken += 1
    if not taken:
        raise ModelError(f"{file}: none of its weights fit this network; start from one of the same kind")
    return taken


def _plain(network: nn.Module) -> nn.Module:
    """Fold weight normalisation into plain weights; the network itself is changed."""
    for module in list(network.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
    return network.eval()


def _graph(network: nn.Module, packing: str, multiple: int) -> onnx.ModelProto:
    memory = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter announces its successor; it keeps initialiser names
        torch.onnx.export(
            network,
            (_noise(packing, 4 * multiple, 4 * multiple),),
            memory,
            input_names=["bright"],
            output_names=["rgb"],
            dynamic_axes={"bright": {2: "h", 3: "w"}, "rgb": {2: "H", 3: "W"}},
            opset_version=OPSET,
            do_constant_folding=True,
            dynamo=False,
        )
    return onnx.load_from_string(memory.getvalue())


def _noise(packing: str, height: int, width: int) -> Tensor:
    """Bright like the network sees it: a ramp of light under noise, below black included."""
    channels = 1 + max(s.channel for s in cfa.SITES[packing])
    light = torch.linspace(0, 1, width).expand(1, channels, height, width)
    return (light + 0.2 * torch.randn(light.shape, generator=torch.Generator().manual_seed(0))).clamp(max=1)


def _halo(network: nn.Module, packing: str, multiple: int) -> int:
    """Packed pixels that must surround a core: found by cutting the surroundings off and looking."""
    largest, core = 256 - 256 % multiple, 2 * multiple
    whole = _noise(packing, core + 2 * largest, core + 2 * largest)
    scale = cfa.PIXEL[packing]
    with torch.inference_mode():
        wanted = _core(network(whole), largest * scale, core * scale)
        for halo in range(multiple, largest, multiple):
            cut = largest - halo
            seen = whole[..., cut : -cut or None, cut : -cut or None]
            if (_core(network(seen), halo * scale, core * scale) - wanted).abs().max() <= SEAM:
                return halo
    raise ModelError(f"the network's reach is beyond {largest} packed pixels; it cannot be run in tiles")


def _core(picture: Tensor, start: int, size: int) -> Tensor:
    return picture[..., start : start + size, start : start + size]


def _pixel_bytes(graph: onnx.ModelProto, packing: str, multiple: int) -> int:
    """Bytes of working memory per packed pixel: what is alive at the graph's fullest moment, with room to spare."""
    side = 8 * multiple
    sized = onnx.ModelProto()
    sized.CopyFrom(graph)
    channels = 1 + max(s.channel for s in cfa.SITES[packing])
    for dim, value in zip(sized.graph.input[0].type.tensor_type.shape.dim, (1, channels, side, side), strict=True):
        dim.dim_value = value
    del sized.graph.output[0].type.tensor_type.shape.dim[:]
    sized.graph.output[0].type.tensor_type.ClearField("shape")
    inner = onnx.shape_inference.infer_shapes(sized, strict_mode=True, data_prop=True).graph
    shapes = {v.name: v.type.tensor_type.shape.dim for v in (*inner.value_info, *inner.output, *inner.input)}
    sizes = {name: 4 * int(np.prod([d.dim_value for d in shape])) for name, shape in shapes.items()}
    last_use = {name: i for i, node in enumerate(inner.node) for name in node.input}
    alive, fullest = {inner.input[0].name}, 0
    for i, node in enumerate(inner.node):
        alive.update(node.output)
        fullest = max(fullest, sum(sizes.get(name, 0) for name in alive))
        alive = {name for name in alive if last_use.get(name, len(inner.node)) > i}
    return int(np.ceil(HEAP * fullest / side**2))


def _check(network: nn.Module, file: Path, packing: str, multiple: int) -> None:
    bright = _noise(packing, 8 * multiple, 6 * multiple)
    with torch.inference_mode():
        wanted = network(bright)[0].numpy()
    found = model.load(file).run(bright[0].numpy())
    worst = float(np.abs(found - wanted).max())
    if not worst <= TOLERANCE:
        raise ModelError(f"{file}: ONNX differs from torch by {worst:.2g}, wanted at most {TOLERANCE}; do not use it")
