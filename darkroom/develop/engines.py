"""The engines that run a network: ONNX Runtime and OpenVINO; the only import of either, and only once one is opened.

the bytes of an ONNX file  ->  an engine:  bright (C, h, w) float32  ->  rgb (3, H, W) float32

ONNX Runtime on the CPU computes in float32, the same on every machine: the reference. OpenVINO is faster, in bfloat16
where the processor gains by it (66 dB from the reference), else in float32.
"""

import sys
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from darkroom import processor
from darkroom.develop.contract import PLANES, Contract
from darkroom.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime
    import openvino

Array = NDArray[np.float32]

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
"""Devices of ONNX Runtime, and its word for each."""
OPENVINO = {"openvino": "CPU", "openvino:GPU": "GPU", "openvino:NPU": "NPU"}
"""Devices of OpenVINO, and its word for each."""
DEVICES = ("auto", *PROVIDERS, *OPENVINO)
"""What --device may name."""


@dataclass(frozen=True)
class Room:
    """What an engine works in: shares of what a contract says that tensors take, and pictures held beside them."""

    tensors: float
    pictures: int

    def pixel_bytes(self, contract: Contract) -> int:
        """Memory that a packed pixel of a tile takes; with the next tile's light, and the picture of the one before."""
        beside = 2 * 4 * PLANES[contract.packing] + 6 * contract.scale**2
        return round(self.tensors * contract.pixel_bytes) + self.pictures * 12 * contract.scale**2 + beside


ROOM = {"onnxruntime": Room(1.05, 0), "bf16": Room(0.34, 3), "fp32": Room(0.85, 3)}
"""Room by engine, OpenVINO's by precision. Measured on tiles of 256 x 512 to 800 x 1152 of nine networks of five kinds:
none took more, and the largest of those that ship 0.62 to 0.99 of it."""
EXTRAS = ("cuda", "directml")
"""Devices whose build of ONNX Runtime an extra of the package brings."""

_PRECISIONS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}
"""OpenVINO's word for a precision -> ours."""


@dataclass(frozen=True, eq=False)
class OnnxRuntime:
    """A network in ONNX Runtime."""

    device: str
    """A key of PROVIDERS."""
    session: "onnxruntime.InferenceSession"
    precision: str = "fp32"
    room: Room = ROOM["onnxruntime"]

    def run(self, bright: Array) -> Array:
        """(C, h, w) -> (3, H, W). Raises RuntimeError where the engine does."""
        try:
            return self.session.run(["rgb"], {"bright": bright[None]}, _shrinking())[0][0]
        except Exception as error:  # ONNX Runtime's own exceptions share no parent but this
            raise RuntimeError(_first_line(error)) from error


@dataclass(frozen=True, eq=False)
class OpenVino:
    """A network in OpenVINO. One thread at a time may run it."""

    device: str
    """A key of OPENVINO."""
    precision: str
    request: "openvino.InferRequest"
    room: Room

    def run(self, bright: Array) -> Array:
        """(C, h, w) -> (3, H, W), which lasts until the next run. Raises RuntimeError where the engine does."""
        try:
            return self.request.infer({"bright": bright[None]}, share_inputs=True, share_outputs=True)["rgb"][0]
        except RuntimeError as error:
            raise RuntimeError(_first_line(error)) from error


Engine = OnnxRuntime | OpenVino


def open(
    data: bytes, file: str, device: str, *, threads: int = 0, alone: bool = True
) -> tuple[Engine, tuple[str, ...]]:
    """Open a network that has been checked on a device, `threads` 0 taking every core; also say what went otherwise.

    "auto" takes CUDA where ONNX Runtime has it, else OpenVINO, else the CPU by ONNX Runtime, which also runs what
    OpenVINO cannot; then the reason is told. alone: nothing else computes meanwhile. Threads of ONNX Runtime that wait
    for work then spin, which makes the network faster but takes a core from whoever decodes and encodes beside it.

    Raises ModelError: no such device, or a network that the engine refuses, which the message names by `file`.
    """
    if device not in DEVICES:
        raise ModelError(f"{device}: no such device; known are {', '.join(DEVICES)}")
    if device == "auto" and _has_cuda():
        device = "cuda"
    notes: tuple[str, ...] = ()
    if device in OPENVINO or (device == "auto" and find_spec("openvino")):
        try:
            return _openvino(data, "openvino" if device == "auto" else device, threads), ()
        except _Refusal as error:
            if device != "auto":
                raise ModelError(f"{file}: not a network OpenVINO can open ({error}); use --device cpu") from None
            notes = (f"ONNX Runtime runs it, for OpenVINO cannot ({error})",)
        except ModelError as error:
            if device != "auto":
                raise
            notes = (f"ONNX Runtime runs it: {error}",)
    device = "cpu" if device == "auto" else device
    try:
        return _onnxruntime(data, device, threads, alone), notes
    except _Refusal as error:
        raise ModelError(f"{file}: not a network ONNX Runtime can open ({error}); export it again") from None


class _Refusal(Exception):
    """What an engine says of a network that it does not take."""


def _has_cuda() -> bool:
    """Tell whether ONNX Runtime is a build with CUDA, and a driver is there, without loading either."""
    spec = find_spec("onnxruntime")
    places = (spec and spec.submodule_search_locations) or []
    if not any(list(Path(place).glob("capi/*onnxruntime_providers_cuda*")) for place in places):
        return False
    import onnxruntime

    return PROVIDERS["cuda"] in onnxruntime.get_available_providers()


def _build(device: str) -> str:
    """Say how to get ONNX Runtime for a device."""
    if device in EXTRAS:
        return f'run pip install "darkroom-raw[{device}]"'
    return f"install its build for {device}"


def _onnxruntime(data: bytes, device: str, threads: int, alone: bool) -> OnnxRuntime:
    import onnxruntime

    there = onnxruntime.get_available_providers()
    if PROVIDERS[device] not in there:
        have = [name for name, provider in PROVIDERS.items() if provider in there]
        raise ModelError(f"{device}: this ONNX Runtime has no such device, only {', '.join(have)}; {_build(device)}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if alone else "0")
    options.enable_mem_pattern = False  # a pattern planned for one photo's tiles is memory lost for the next's
    options.log_severity_level = 4
    providers = list(dict.fromkeys([PROVIDERS[device], PROVIDERS["cpu"]]))
    try:
        session = onnxruntime.InferenceSession(data, options, providers=providers)
    except Exception as error:  # as in `run`
        raise _Refusal(_first_line(error)) from None
    got = session.get_providers()[0]
    if got != PROVIDERS[device]:
        raise ModelError(f"{device}: ONNX Runtime gave {got}; see that the driver works, or use --device cpu")
    return OnnxRuntime(device, session)


@cache
def _shrinking() -> "onnxruntime.RunOptions":
    """Have the arena give back, after a run, what it took for it.

    The arena hands a run the same memory again and again, where malloc fetches fresh pages for every large tensor and
    leaves gaps: half the memory and a quarter less time. Kept, it would be cut to the sizes of one photo's tiles.
    """
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def _openvino(data: bytes, device: str, threads: int) -> OpenVino:
    try:
        openvino = _import_openvino()
    except ImportError as error:
        raise ModelError(
            f"{device}: OpenVINO cannot be loaded ({error}); run pip install openvino, or use --device cpu"
        ) from None
    core = _core(openvino)
    have = [name.partition(".")[0] for name in core.available_devices]
    name = OPENVINO[device]
    if name not in have:
        raise ModelError(f"{device}: OpenVINO has no such device here, only {', '.join(have)}; install its driver")
    settings: dict[str, object] = {"INFERENCE_NUM_THREADS": threads} if threads else {}
    if name == "CPU":
        settings["INFERENCE_PRECISION_HINT"] = "bf16" if _has_bf16(core) else "f32"
        settings["ENABLE_CPU_PINNING"] = False  # or a thread waits for its core while another one idles
    try:
        # Sides stay open: the engine prepares each shape when it meets it, which takes 0.04 s of a core.
        compiled = core.compile_model(core.read_model(data), name, settings)
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        precision = _PRECISIONS.get(precision, precision)
        return OpenVino(device, precision, compiled.create_infer_request(), ROOM.get(precision, ROOM["fp32"]))
    except Exception as error:  # OpenVINO raises RuntimeError, and whatever its bindings do
        raise _Refusal(_first_line(error)) from None


def _import_openvino() -> ModuleType:
    """Import OpenVINO without its converter, which nothing here needs: two thirds of the time, and telemetry."""
    converter = "openvino.tools.ovc"
    absent = converter not in sys.modules
    if absent:
        sys.modules[converter] = cast(ModuleType, None)  # an import of it then fails, for which OpenVINO is prepared
    try:
        return import_module("openvino")
    finally:
        if absent:
            sys.modules.pop(converter, None)


@cache
def _core(library: ModuleType) -> "openvino.Core":
    """The one core of the process, kept to its end.

    A core gives the thread that makes it another stack to handle signals on, and when it goes puts back the one that
    was there before. Of two cores the later puts back the earlier one's, which may be gone: the next Ctrl-C then ends
    in a segmentation fault.
    """
    core: openvino.Core = library.Core()
    return core


@cache
def _has_bf16(core: "openvino.Core") -> bool:
    """Tell whether the processor multiplies bfloat16 faster than float32.

    OpenVINO lists BF16 among its capabilities wherever it can be emulated, at several times the cost of float32. What
    it would run tells: oneDNN's brgconv wants the instructions, its jit kernels do without. AMX is eight times as fast
    as float32, AMD's AVX512_BF16 twice; Intel's takes half again as long.
    """
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return False
    import openvino
    from openvino import opset8

    image = opset8.parameter([1, 16, 8, 8], np.float32)
    weights = opset8.constant(np.ones((16, 16, 3, 3), np.float32))
    result = opset8.convolution(image, weights, [1, 1], [1, 1], [1, 1], [1, 1])
    try:
        probe = openvino.Model([result], [image], "probe")
        compiled = core.compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
        layers = [layer.get_rt_info() for layer in compiled.get_runtime_model().get_ops()]
        kernels = [layer["primitiveType"].astype(str) for layer in layers]
    except (RuntimeError, KeyError):  # without AVX-512 it does not even compile
        return False
    kernels = [kernel for kernel in kernels if kernel.startswith("brg") and "bf16" in kernel]
    return any("amx" in kernel for kernel in kernels) or (bool(kernels) and processor.is_amd())


def _first_line(error: Exception) -> str:
    """The line of an engine's message that says most: OpenVINO's begin with where in its source they come from."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line.removeprefix("-- ") for line in lines if line.startswith("-- ")]
    telling = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return (reasons or telling or lines or [type(error).__name__])[0]
