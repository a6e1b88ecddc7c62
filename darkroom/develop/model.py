"""ONNX file -> a network that can be run, with its contract: the one door for network files.

    bright (C, h, w) float32  ->  rgb (3, h * scale, w * scale) float32 in [0, 1]

A network file is untrusted input: it is read whole into memory, must carry a contract this version
knows, and may not point at data in other files. An engine is given the bytes that were checked, never the path.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darkroom.develop import contract as contracts
from darkroom.develop import door, engines, onnxfile
from darkroom.develop.contract import Contract
from darkroom.develop.engines import Engine
from darkroom.develop.onnxfile import OnnxFile
from darkroom.errors import ModelError

CHECKSUMS = "SHA256SUMS"


@dataclass(frozen=True, eq=False)
class Model:
    """A network ready to run. One thread at a time may run it."""

    file: Path
    contract: Contract
    engine: Engine
    notes: tuple[str, ...] = ()
    """What went otherwise when it was opened, worth telling the user once."""
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    """All that the file says of itself beside the contract."""

    @property
    def device(self) -> str:
        """Where it runs, as --device names it."""
        return self.engine.device

    @property
    def precision(self) -> str:
        """What it computes in: fp32, bf16, fp16."""
        return self.engine.precision

    @property
    def pixel_bytes(self) -> int:
        """Memory that a packed pixel of a tile takes."""
        return self.engine.room.pixel_bytes(self.contract)

    def run(self, bright: NDArray[np.float32]) -> NDArray[np.float32]:
        """(C, h, w) bright -> (3, H, W), the caller's to keep; h and w multiples of the contract's.

        Raises ModelError where the engine fails, or gives another shape than the contract says.
        """
        return self.lent(bright).copy()

    def lent(self, bright: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `run`, but in the engine's own memory, to be read until the next run."""
        try:
            rgb = self.engine.run(bright)
        except RuntimeError as error:
            where = f"{self.device} {self.precision} at {' x '.join(map(str, bright.shape))}"
            raise ModelError(
                f"{self.file}: failed on {where} ({error}); use --device cpu, or export it again"
            ) from error
        wanted = (3, *(side * self.contract.scale for side in bright.shape[1:]))
        if rgb.shape != wanted or rgb.dtype != np.float32:
            raise ModelError(
                f"{self.file}: gave {' x '.join(map(str, rgb.shape))} {rgb.dtype}, its contract says "
                f"{' x '.join(map(str, wanted))} float32; export it again"
            )
        return rgb


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
    """Read a network's contract, without an engine; raises ModelError as `load` does."""
    return _checked(file)[2]


def load(file: Path, *, device: str = "auto", threads: int = 0, alone: bool = True) -> Model:
    """Open a network on a device, one of `engines.DEVICES`; `threads` 0 takes every core.

    "auto" takes the fastest there is. alone: nothing else computes meanwhile (`engines.open`).

    Raises ModelError: no such file, not ONNX, no contract or an unknown one, data outside the file,
    inputs that contradict the contract, or a device that is not there.
    """
    data, said, contract = _checked(file)
    engine, notes = engines.open(data, str(file), device, threads=threads, alone=alone)
    return Model(file, contract, engine, tuple(f"{contract.name}: {note}" for note in notes), said.metadata)


def _folder() -> Path:
    """`models` inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "models"
    return inside if inside.exists() else package.parent / "models"


def _checked(file: Path) -> tuple[bytes, OnnxFile, Contract]:
    """Read a network file and check all that can be without an engine."""
    data, said = door.read(file)
    if contracts.KEY not in said.metadata:
        raise ModelError(f"{file}: carries no contract; export it with `darkroom train`")
    contract = contracts.from_json(said.metadata[contracts.KEY].decode(), str(file))
    _check_ports(said, contract, file)
    return data, said, contract


def _check_ports(said: OnnxFile, contract: Contract, file: Path) -> None:
    """Compare what goes in and comes out with the contract: names, types and shapes; all but the sides are fixed."""
    channels = contracts.PLANES[contract.packing]
    bright, rgb = said.inputs.get("bright"), said.outputs.get("rgb")
    fits = (
        len(said.inputs) == 1
        and bright is not None
        and rgb is not None
        and bright.kind == rgb.kind == onnxfile.FLOAT
        and [len(port.shape) for port in (bright, rgb)] == [4, 4]
        and bright.shape[1] == channels
        and all(isinstance(side, str) for side in bright.shape[2:])
        and bright.shape[0] in (1, bright.shape[0] if isinstance(bright.shape[0], str) else 1)
        and rgb.shape[0] in (1, rgb.shape[0] if isinstance(rgb.shape[0], str) else 1)
        and not (isinstance(rgb.shape[1], int) and rgb.shape[1] != 3)
        and all(isinstance(side, str) for side in rgb.shape[2:])
    )
    if not fits:
        takes, gives = (
            ", ".join(f"{name} {port}" for name, port in ports.items()) or "nothing"
            for ports in (said.inputs, said.outputs)
        )
        raise ModelError(
            f"{file}: takes {takes} and gives {gives}, its contract says bright (1, {channels}, h, w) -> "
            "rgb (1, 3, H, W), in float32; export it again"
        )
