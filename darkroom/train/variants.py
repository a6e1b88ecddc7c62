"""A network's ONNX -> the same in 16-bit floats or 8-bit integers, and what that loses.

    NAME.onnx  ->  NAME-fp16.onnx, NAME-int8.onnx

A variant keeps its network's contract and recipe, and says in its name and its training what it is.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from darkroom.develop import model
from darkroom.errors import SettingsError
from darkroom.sensor.simulate import Example
from darkroom.train import export

SPARED = 0.25
"""Share of the inner convolutions that 8 bits harm most, and that therefore keep 32. On the shipped networks it takes
the loss from 0.19 dB to 0.05, and the time from 0.5 of the whole network's to 0.65."""
TRIED_ON = 4
"""Brights on which each convolution is tried alone in 8 bits."""


def half(file: Path) -> Path:
    """Write NAME-fp16.onnx beside a network: the same in 16-bit floats, input and output still in 32; return its path.

    It is faster where the device computes in 16 bits; ONNX Runtime's CPU computes it in 32.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one for every weight too small for 16 bits
        graph = convert_float_to_float16(_used(export.opened(file)), keep_io_types=True)
    return _write_variant(graph, file, "fp16", "in 16-bit floats")


def quantised(file: Path, brights: Sequence[NDArray[np.float32]]) -> Path:
    """Write NAME-int8.onnx beside a network: most of its convolutions in 8 bits, calibrated; return its path.

    brights: (C, h, w) each, of the kind the network will meet; each layer's range is what was seen on them. In 32
    bits stay the first and the last convolutions, which light passes at its full depth, `SPARED` of the others, those
    that cost most (each is tried alone), and all between the convolutions. Weights are signed and scaled by channel,
    activations unsigned, which x86 multiplies fastest. Raises SettingsError without brights, and where there is no
    convolution between the first and the last.
    """
    if not brights:
        raise SettingsError(f"{file}: nothing to calibrate its 8 bits on; give some brights")
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with TemporaryDirectory() as folder:
        whole, tried = Path(folder) / "whole.onnx", Path(folder) / "tried.onnx"
        source = _used(export.opened(file))
        quant_pre_process(source, whole, skip_symbolic_shape=True)
        graph = onnx.load(whole)
        graph.metadata_props.extend(source.metadata_props)
        onnx.save(graph, whole)
        inner = _inner_convolutions(graph.graph)
        if not inner:
            raise SettingsError(f"{file}: has no convolution between its first and its last; keep it in 32 bits")
        some = brights[:TRIED_ON]
        exact = _outputs(whole, some)
        cost = {}
        for name in inner:
            _to_8_bits(whole, tried, [name], some)
            cost[name] = sum(float(np.mean((a - b) ** 2)) for a, b in zip(_outputs(tried, some), exact, strict=True))
        cheapest = sorted(inner, key=lambda name: cost[name])[: len(inner) - int(SPARED * len(inner))]
        _to_8_bits(whole, tried, cheapest, brights)
        return _write_variant(onnx.load(tried), file, "int8", f"{len(cheapest)} of its convolutions in 8 bits")


def loss_of(variant: Path, file: Path, examples: Sequence[Example]) -> float:
    """Measure how many dB of PSNR a variant loses against the network it was made of, in the mean over examples."""
    networks = [model.load(path, device="cpu") for path in (file, variant)]
    scores = [[_psnr(network.run(e.bright), e.reference) for e in examples] for network in networks]
    return float(np.mean(scores[0]) - np.mean(scores[1]))


def _to_8_bits(file: Path, to: Path, convolutions: list[str], brights: Sequence[NDArray[np.float32]]) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    quantize_static(
        file,
        to,
        _Brights(iter(brights)),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_quantize=convolutions,
    )


def _outputs(file: Path, brights: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    network = model.load(file, device="cpu")
    return [network.run(bright) for bright in brights]


@dataclass(frozen=True)
class _Brights:
    """What ONNX Runtime's calibration asks for its inputs."""

    left: Iterator[NDArray[np.float32]]

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        bright = next(self.left, None)
        return None if bright is None else {"bright": bright[None]}


def _widen(graph: onnx.GraphProto) -> None:
    """Undo what `export` did to keep weights in 16 bits."""
    held = {weight.name: weight for weight in graph.initializer}
    casts = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast" and node.input[0] in held}
    nodes = [node for node in graph.node if node.output[0] not in casts]
    for node in nodes:
        node.input[:] = [casts.get(name, name) for name in node.input]
    for name in casts.values():
        wide = numpy_helper.to_array(held[name]).astype(np.float32)
        held[name].CopyFrom(numpy_helper.from_array(wide, name))
    del graph.node[:]
    graph.node.extend(nodes)


def _used(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what a network holds only for training, and widen its weights: ONNX Runtime's tools stumble over both."""
    _widen(graph.graph)
    asked = {name for node in graph.graph.node for name in node.input}
    kept = [weight for weight in graph.graph.initializer if weight.name in asked]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(kept)
    return graph


def _write_variant(graph: onnx.ModelProto, file: Path, kind: str, told: str) -> Path:
    """Write a changed copy of a network under a name and a contract that say what it is."""
    recipe = next((entry.value for entry in export.opened(file).metadata_props if entry.key == export.RECIPE), "")
    promise = model.read_contract(file)
    promise = replace(promise, name=f"{promise.name}-{kind}", training=f"{promise.training}; {told}")
    export.describe(graph, promise, recipe)
    path = file.with_name(f"{file.stem}-{kind}.onnx")
    part = path.with_suffix(".part.onnx")
    onnx.save(graph, part)
    part.replace(path)
    return path


def _inner_convolutions(graph: onnx.GraphProto) -> list[str]:
    """Names of the convolutions that have another before them and another after."""
    convolved: set[str] = set()  # the tensors some convolution has had a part in
    for node in graph.node:  # in the order of their execution, as ONNX demands
        if node.op_type == "Conv" or convolved.intersection(node.input):
            convolved.update(node.output)
    awaited: set[str] = set()  # the tensors some convolution will have a part in
    for node in reversed(graph.node):
        if node.op_type == "Conv" or awaited.intersection(node.output):
            awaited.update(node.input)
    return [
        node.name
        for node in graph.node
        if node.op_type == "Conv" and convolved.intersection(node.input) and awaited.intersection(node.output)
    ]


def _psnr(output: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    return float(-10 * np.log10(max(float(np.mean((output.astype(np.float64) - reference) ** 2)), 1e-10)))
