"""Develop raw photos taken in extreme darkness into clean pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

# The room of this name, which is empty, comes first: Python binds a package in its parent once, when it is imported.
# The function of the same name is bound after that and stays, whatever is imported from the room later.
from darkroom import develop as _room  # noqa: F401

if TYPE_CHECKING:
    from os import PathLike

    from darkroom.develop.finish import Bits
    from darkroom.frame import Picture

__version__ = "0.1.0"


def develop(
    path: str | PathLike[str],
    *,
    amp: str | float = "auto",
    model: str | None = None,
    device: str = "auto",
    bits: Bits = 16,
    memory: int = 1_000_000_000,
) -> Picture:
    """Develop one raw photo: what `darkroom develop` does, as an array.

    `amp` is "auto", a ratio, "iso:N" or "exposure:Ns"; `model` a shipped network's name or an .onnx file,
    by default the shipped one for the photo's CFA. Returns (H, W, 3) sRGB, uint8, uint16 or float32 for
    `bits` 8, 16, 32. For the other settings see `darkroom.develop.pipeline`. Raises darkroom.errors.DarkroomError.
    """
    from pathlib import Path

    from darkroom.decode import raw
    from darkroom.develop import amplifier, pipeline
    from darkroom.develop import model as models

    settings = pipeline.Settings(amp=amplifier.parse(str(amp)), bits=bits, memory=memory)
    frame = raw.read(Path(path))
    network = models.load(models.find(model or models.default(frame.cfa)), device=device)
    return pipeline.expose(frame, network, settings).picture
