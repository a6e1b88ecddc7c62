"""ONNX file -> a network that can be run, with its contract; the only import of onnxruntime.

    bright (C, h, w) float32  ->  rgb (3, h * scale, w * scale) float32 in [0, 1]

A network file is untrusted input: it is read whole into memory, must carry a contract this version
knows, and may not point at data in other files.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from darkroom.develop import contract as contracts
from darkroom.develop.contract import Contract
from darkroom.errors import ModelError

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""What --device may name, and ONNX Runtime's word for it; "auto" takes CUDA where there is one, else the CPU."""

CHECKSUMS = "SHA256SUMS"


@dataclass(frozen=True, eq=False)
class Model:
    """A network ready to run."""

    file: Path
    contract: Contract
    device: str
    """Where it runs, a key of PROVIDERS."""
    session: onnxruntime.InferenceSession

    def run(self, bright: NDArray[np.float32]) -> NDArray[np.float32]:
        """(C, h, w) bright -> (3, H, W); h and w multiples of the contract's."""
        return self.session.run(["rgb"], {"bright": bright[None]})[0][0]


def shipped() -> list[Path]:
    """The networks that come with darkroom, by name."""
    return sorted(_folder().glob("*.onnx"))


def verify(file: Path) -> bool:
    """Tell whether a shipped network's bytes are those it was released with."""
    released = _folder() / CHECKSUMS
    lines = released.read_text().splitlines() if released.exists() else []
    sums = {name: told for told, name in (line.split("  ", 1) for line in lines)}
    return sums.get(file.name) == hashlib.sha256(file.read_bytes()).hexdigest()


def find(name: str) -> Path:
    """Resolve what a user calls a network: a file, or the name of a shipped one.

    Raises ModelError listing the shipped names where it is neither.
    """
    if name.endswith(".onnx"):
        return Path(name)
    names = {file.stem: file for file in shipped()}
    if name not in names:
        raise ModelError(f"{name}: no such network; shipped are {', '.join(names)}, or give an .onnx file")
    return names[name]


def default(cfa: str, quality: str = "fast") -> str:
    """Name of the shipped network for a CFA."""
    return f"{quality}-{cfa}"


def read_contract(file: Path) -> Contract:
    """Read a network's contract; raises ModelError as `load` does."""
    return load(file).contract


def load(file: Path, *, device: str = "auto", threads: int = 0, alone: bool = True) -> Model:
    """Open a network on a device; `threads` 0 takes every core.

    alone: nothing else computes meanwhile. Threads that wait for work then spin, which makes the network faster but
    takes a core from whoever decodes and encodes beside it.

    Raises ModelError: no such file, not ONNX, no contract or an unknown one, data outside the file,
    inputs that contradict the contract, or a device that is not there.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ModelError(f"{file}: {reason}; give the path of an .onnx file") from None
    if b"location" in data:  # the key by which ONNX names a file beside it; encoded in any way it holds these bytes
        raise ModelError(f"{file}: refers to data in another file, which is not allowed; export it as one file")
    wanted = _provider(device)
    session = _session(data, file, wanted, threads, alone)
    entries = session.get_modelmeta().custom_metadata_map
    if contracts.KEY not in entries:
        raise ModelError(f"{file}: carries no contract; export it with `darkroom train`")
    contract = contracts.from_json(entries[contracts.KEY], str(file))
    _check_shapes(session, contract, file)
    got = next(name for name, provider in PROVIDERS.items() if provider == session.get_providers()[0])
    if device not in ("auto", got):
        raise ModelError(
            f"{file}: asked for {device}, ONNX Runtime gave {got}; see that the driver works, or use --device cpu"
        )
    return Model(file, contract, got, session)


def _folder() -> Path:
    """`models` inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "models"
    return inside if inside.exists() else package.parent / "models"


def _provider(device: str) -> str:
    there = onnxruntime.get_available_providers()
    if device == "auto":
        return PROVIDERS["cuda"] if PROVIDERS["cuda"] in there else PROVIDERS["cpu"]
    if device not in PROVIDERS:
        raise ModelError(f"{device}: no such device; known are auto, {', '.join(PROVIDERS)}")
    if PROVIDERS[device] not in there:
        have = [name for name, provider in PROVIDERS.items() if provider in there]
        raise ModelError(
            f"{device}: this ONNX Runtime has no such device, only {', '.join(have)}; install its build for {device}"
        )
    return PROVIDERS[device]


def _session(data: bytes, file: Path, provider: str, threads: int, alone: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if alone else "0")
    options.enable_cpu_mem_arena = False  # the arena keeps a third more than it uses at 12 MP
    options.enable_mem_pattern = False  # tiles differ in shape; a pattern planned for one is memory lost for the next
    options.log_severity_level = 4
    providers = [provider] if provider == PROVIDERS["cpu"] else [provider, PROVIDERS["cpu"]]
    try:
        return onnxruntime.InferenceSession(data, options, providers=providers)
    except Exception as error:  # ONNX Runtime's own exceptions share no parent but this
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{file}: not a network ONNX Runtime can open ({reason}); export it again") from None


def _check_shapes(session: onnxruntime.InferenceSession, contract: Contract, file: Path) -> None:
    inputs = {i.name: i.shape for i in session.get_inputs()}
    outputs = {o.name: o.shape for o in session.get_outputs()}
    channels = contracts.PLANES[contract.packing]
    bright = inputs.get("bright", [])
    if len(inputs) != 1 or len(bright) != 4 or bright[1] != channels or "rgb" not in outputs:
        raise ModelError(
            f"{file}: takes {inputs} and gives {outputs}, its contract says bright (1, {channels}, h, w) -> rgb; "
            "export it again"
        )
