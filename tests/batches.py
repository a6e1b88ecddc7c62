"""What tests of a batch share: files to plan for, a run of them, and an ear at what it calls."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from darkroom.batch import batch, jobs
from darkroom.develop import amplifier, pipeline

SETTINGS = pipeline.Settings(amp=amplifier.parse("2"))


def make(*names: str, content: bytes = b"x") -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)


def outputs(*names: str, **wishes) -> dict[str, list[str]]:
    """Input -> the pictures planned for it."""
    batch = jobs.plan(names, **wishes)
    return {job.input.as_posix(): [target.path.as_posix() for target in job.targets] for job in batch.jobs}


def run(names, settings=SETTINGS, *, network="n.onnx", stop=lambda: False, **wishes) -> list[batch.Result]:
    results: list[batch.Result] = []
    batch.run(
        jobs.plan(names, **wishes),
        batch.Choice(network),
        settings,
        on_tile=lambda path, done, tiles: None,
        on_done=results.append,
        stop=stop,
    )
    return results


def seen(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def watch(monkeypatch, module, name, before=lambda path: None, after=lambda path: None) -> None:
    """Have a function of a module tell of its calls."""
    real = getattr(module, name)

    def told(first, *rest, **named):
        before(first)
        try:
            return real(first, *rest, **named)
        finally:
            after(first)

    monkeypatch.setattr(module, name, told)
