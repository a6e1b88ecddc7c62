"""torch network -> ONNX with its contract inside, checked against torch before it is kept.

    network (C, h, w) -> (3, H, W)  ->  NAME.onnx

The file holds every tensor of the network's state under its own name, so that training can start from it, and the
recipe it was trained by. Convolutions' weights are kept in 16 bits and widened when the file is loaded: half the size,
for less than 0.001 dB (models/README.md). Its halo is measured, not derived: see reach.py.
"""

import copy
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils import parametrize

from darkroom.develop import door, model
from darkroom.develop.contract import KEY, PIXEL, PLANES, Contract, Input, Output, Packing
from darkroom.errors import ModelError
from darkroom.train import reach
from darkroom.train.networks import Network

RECIPE = "darkroom.recipe"
"""The ONNX metadata entry that holds the recipe, as TOML."""
OPSET = 17
TOLERANCE = 1e-4
"""Largest difference between torch and ONNX that counts as equal, on outputs in [0, 1]."""
HEAP = 2.2
"""Memory taken per byte alive: glibc keeps freed blocks under 32 MB (2.0 measured on tiles of 1024 x 1024)."""


@dataclass(frozen=True)
class Facts:
    """What a contract says that no measurement can; the fields are the contract's own."""

    name: str
    version: int
    packing: Packing
    input: Input
    output: Output
    max_ratio: float
    training: str
    licence: str
    recipe: str = ""
    """The recipe's TOML text, kept in the file beside the contract."""


def export(network: Network, file: Path, facts: Facts) -> Contract:
    """Write a network as an ONNX file with its contract, and return that.

    `network.multiples[packing]` is what packed height and width must be multiples of; the network itself stays as it
    is. Raises ModelError, writing nothing, where ONNX Runtime's output differs from torch's by more than `TOLERANCE`,
    or where the network sees too far to be run in tiles.
    """
    plain = _rounded(_plain(network))
    multiple = network.multiples[facts.packing]
    graph = _graph(plain, facts, multiple)
    promise = Contract(
        name=facts.name,
        version=facts.version,
        packing=facts.packing,
        scale=PIXEL[facts.packing],
        halo=reach.halo(plain, facts.packing, facts.input, multiple),
        multiple=multiple,
        max_ratio=facts.max_ratio,
        input=facts.input,
        output=facts.output,
        pixel_bytes=_pixel_bytes(graph, PLANES[facts.packing], multiple),
        training=facts.training,
        licence=facts.licence,
    )
    describe(graph, promise, facts.recipe)
    part = file.with_suffix(".part.onnx")
    onnx.save(graph, part)
    try:
        _check(plain, part, facts, multiple)
    except ModelError:
        part.unlink()
        raise
    part.replace(file)
    return promise


def load_weights(network: nn.Module, files: Sequence[Path]) -> int:
    """Give a network the tensors of files where name and shape agree: their mean, where several files have one; return
    how many tensors that were.

    Networks for Bayer and X-Trans of one kind have all but their ends in common, and what was trained from the same
    weights may be averaged. Weights under weight normalisation are split into direction and length. Raises ModelError
    for a file of which no tensor agrees.
    """
    state = network.state_dict()
    normalised = dict(_normalised(network))
    wanted = {**state, **{key: module.weight for key, module in normalised.items()}}
    found: dict[str, list[NDArray[np.floating]]] = {}
    for file in files:
        held = _tensors(file)
        fitting = [key for key in held if key in wanted and held[key].shape == tuple(wanted[key].shape)]
        if not fitting:
            raise ModelError(f"{file}: none of its weights fit this network; start from one of the same kind")
        for key in fitting:
            found.setdefault(key, []).append(held[key])
    with torch.no_grad():
        for key, tensors in found.items():
            # In 32 bits, for they may be kept in 16; as an array again: the mean of scalars is none.
            mean = torch.from_numpy(np.asarray(np.mean(tensors, axis=0, dtype=np.float32)))
            if key in normalised:
                normalised[key].weight = mean.to(wanted[key])
            else:
                state[key].copy_(mean)
    return len(found)


def opened(file: Path) -> onnx.ModelProto:
    """Read an ONNX file; raises ModelError where it is none."""
    data, _ = door.read(file)
    try:
        return onnx.load_from_string(data)
    except Exception:  # protobuf's own, whose class depends on the build
        raise ModelError(f"{file}: is no ONNX file; export it again with `darkroom train`") from None


def _tensors(file: Path) -> dict[str, NDArray[np.floating]]:
    """The tensors a file holds, by name; raises ModelError where their bytes do not fit their shapes."""
    try:
        return {weight.name: numpy_helper.to_array(weight) for weight in opened(file).graph.initializer}
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ModelError(f"{file}: holds a tensor that is none ({reason}); export it again") from None


def _normalised(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules whose weight is parametrised, each with the weight's plain name."""
    return [(f"{name}.weight", m) for name, m in network.named_modules() if parametrize.is_parametrized(m, "weight")]


def _plain(network: nn.Module) -> nn.Module:
    """Copy a network to the CPU for inference, weight normalisation folded into plain weights."""
    plain = copy.deepcopy(network).cpu().eval()
    for _, module in _normalised(plain):
        assert isinstance(module.weight, Tensor)
        weight = module.weight.detach()
        # Not by remove_parametrizations: it changes the class, which the copy shares with the network.
        module.__class__ = parametrize.type_before_parametrizations(module)
        del module.parametrizations
        module.weight = nn.Parameter(weight)
    return plain


def _rounded(network: nn.Module) -> nn.Module:
    """Round the weights of a network's convolutions, in place, to what 16 bits hold; not those too large for them."""
    with torch.no_grad():
        for weight in network.parameters():
            narrow = weight.half()
            if weight.ndim == 4 and narrow.isfinite().all():
                weight.copy_(narrow)
    return network


def _graph(network: nn.Module, facts: Facts, multiple: int) -> onnx.ModelProto:
    memory = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter announces its successor; it keeps initialiser names
        torch.onnx.export(
            network,
            (reach.scenes(facts.packing, facts.input, 4 * multiple, 4 * multiple)[:1],),
            memory,  # type: ignore[arg-type]  # a file object does as well as a path
            input_names=["bright"],
            output_names=["rgb"],
            dynamic_axes={"bright": {2: "h", 3: "w"}, "rgb": {2: "H", 3: "W"}},
            opset_version=OPSET,
            do_constant_folding=False,  # would rename weights; ONNX Runtime folds when it loads
            dynamo=False,
        )
    graph = onnx.load_from_string(memory.getvalue())
    _keep_every_tensor(graph.graph, network.state_dict())
    _narrow(graph.graph)
    return graph


def _keep_every_tensor(graph: onnx.GraphProto, state: dict[str, Tensor]) -> None:
    """Give each tensor of the network's state an initialiser of its own, so that training can start from the file.

    The exporter keeps one of equal tensors, names the others by nodes that copy it, and leaves out what it folded.
    """
    nodes = [node for node in graph.node if node.output[0] not in state]
    del graph.node[:]
    graph.node.extend(nodes)
    kept = {weight.name for weight in graph.initializer}
    graph.initializer.extend(numpy_helper.from_array(state[name].numpy(), name) for name in state if name not in kept)


def _narrow(graph: onnx.GraphProto) -> None:
    """Keep in 16 bits, under their names, the weights that these hold exactly, and widen them before they are used."""
    casts, widened = [], {}
    for weight in graph.initializer:
        wide = numpy_helper.to_array(weight)
        with np.errstate(over="ignore"):
            narrow = wide.astype(np.float16)
        if wide.ndim == 4 and wide.dtype == np.float32 and np.array_equal(narrow, wide):
            widened[weight.name] = f"{weight.name}.wide"
            weight.CopyFrom(numpy_helper.from_array(narrow, weight.name))
            casts.append(helper.make_node("Cast", [weight.name], [widened[weight.name]], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    for node in nodes[len(casts) :]:
        node.input[:] = [widened.get(name, name) for name in node.input]
    del graph.node[:]
    graph.node.extend(nodes)


def describe(graph: onnx.ModelProto, promise: Contract, recipe: str) -> None:
    """Give a network its contract, and the recipe where there is one, in place of what metadata it had."""
    del graph.metadata_props[:]
    graph.metadata_props.add(key=KEY, value=promise.to_json())
    if recipe:
        graph.metadata_props.add(key=RECIPE, value=recipe)


def _pixel_bytes(graph: onnx.ModelProto, planes: int, multiple: int) -> int:
    """Bytes of working memory per packed pixel: what is alive at the graph's fullest moment, with room to spare.

    Weights are none of it, nor what is made of them alone: an engine holds those once, whatever the tile.
    """
    side = reach.up(64, 8 * multiple)
    sized = onnx.ModelProto()
    sized.CopyFrom(graph)
    for dim, value in zip(sized.graph.input[0].type.tensor_type.shape.dim, (1, planes, side, side), strict=True):
        dim.dim_value = value
    del sized.graph.output[0].type.tensor_type.shape.dim[:]
    sized.graph.output[0].type.tensor_type.ClearField("shape")
    inner = onnx.shape_inference.infer_shapes(sized, strict_mode=True, data_prop=True).graph
    shapes = {v.name: v.type.tensor_type.shape.dim for v in (*inner.value_info, *inner.output, *inner.input)}
    sizes = {name: 4 * int(np.prod([d.dim_value for d in shape])) for name, shape in shapes.items()}
    last_use = {name: i for i, node in enumerate(inner.node) for name in node.input}
    alive, fullest = {inner.input[0].name}, 0
    weights = {weight.name for weight in inner.initializer}
    for i, node in enumerate(inner.node):
        if weights.issuperset(node.input):
            weights.update(node.output)
            continue
        alive.update(node.output)
        # ONNX Runtime transposes a convolution through columns as large as its output.
        columns = sizes.get(node.output[0], 0) if node.op_type == "ConvTranspose" else 0
        fullest = max(fullest, columns + sum(sizes.get(name, 0) for name in alive))
        alive = {name for name in alive if last_use.get(name, len(inner.node)) > i}
    return int(np.ceil(HEAP * fullest / side**2))


def _check(network: nn.Module, file: Path, facts: Facts, multiple: int) -> None:
    scenes = reach.scenes(facts.packing, facts.input, reach.up(96, 8 * multiple), reach.up(64, 6 * multiple))
    with torch.inference_mode():
        wanted = network(scenes).numpy()
    loaded = model.load(file, device="cpu")
    worst = max(
        float(np.abs(loaded.run(scene) - want).max()) for scene, want in zip(scenes.numpy(), wanted, strict=True)
    )
    if not worst <= TOLERANCE:
        raise ModelError(f"{file}: ONNX differs from torch by {worst:.2g}, wanted at most {TOLERANCE}; do not use it")
