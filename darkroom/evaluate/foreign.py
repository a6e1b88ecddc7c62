"""ONNX file of others, without a contract of ours -> what it takes, what it gives, and a way to run it.

{input: array} -> [array]

It is untrusted like any network: read whole into memory, and refused where it points at data in other files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from darkroom.develop import door
from darkroom.errors import ModelError, SettingsError

Shape = tuple[int | str | None, ...]


@dataclass(frozen=True, eq=False)
class Foreign:
    """A network ready to run on the CPU."""

    file: Path
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]
    metadata: dict[str, str]
    session: onnxruntime.InferenceSession

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> Sequence[NDArray[np.float32]]:
        """Run it: every output, in its order. Raises SettingsError where it fails on what it is given."""
        try:
            return self.session.run(None, dict(inputs))
        except Exception as error:  # ONNX Runtime's own exceptions share no parent but this
            reason = str(error).splitlines()[0]
            raise SettingsError(f"{self.file}: fails on what it is given ({reason}); leave it out") from error

    def told(self) -> str:
        """Its inputs and outputs in words, for a message."""
        takes, gives = (
            ", ".join(f"{name} {list(shape)}" for name, shape in each.items()) for each in (self.inputs, self.outputs)
        )
        return f"takes {takes} and gives {gives}"


def load(file: Path) -> Foreign:
    """Open a network; raises SettingsError where it is none, or keeps data outside its file."""
    try:
        data, _ = door.read(file)
    except ModelError as error:
        raise SettingsError(str(error)) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        reason = str(error).splitlines()[0]
        raise SettingsError(f"{file}: not a network ONNX Runtime can open ({reason}); export it again") from None
    return Foreign(
        file,
        {each.name: tuple(each.shape) for each in session.get_inputs()},
        {each.name: tuple(each.shape) for each in session.get_outputs()},
        dict(session.get_modelmeta().custom_metadata_map),
        session,
    )
