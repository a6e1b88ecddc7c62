"""Examples drawn once and trained on several times: drawing one costs a core as much as a tenth of a step.

number of the step  ->  bright (N, C, h, w), reference (N, 3, H, W), float16 from a memory-mapped ring

At any step the batch is picked at random from a window of consecutive examples, which moves on as it is used up. Which
ones follows from (seed, step) alone, so a resumed run repeats itself, and several processes share one batch; an example
is drawn when it is first picked.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import torch
from torch import Tensor

from darkroom.sensor.simulate import Example

SIZE = 2048
"""Examples in a run's window: 1 GB on disk for crops of 240."""
USES = 8
"""How often an example is picked, on average, before the window has passed it."""


class Pool:
    """The examples of one stage, by number."""

    def __init__(self, draw: Callable[[int], Example], folder: Path, *, batch: int, seed: int, size: int) -> None:
        """draw: gives the example of a number, always the same. The ring lies in `folder`, as a file without a name.

        size: examples in the window, at least a batch.
        """
        self._draw, self._batch, self._seed, self._size = draw, batch, seed, size
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115  closed with the pool
        self._held = np.full(self._size, -1)
        self._rings: tuple[np.memmap, np.memmap] | None = None

    def picked(self, step: int) -> list[int]:
        """Tell which examples make up a step's batch.

        The window begins small: as long as nothing is held, every pick is new.
        """
        end = min(self._batch * (step + 1), self._size + self._batch * step // USES)
        start = max(0, end - self._size)
        rng = np.random.default_rng([self._seed, 3, step])
        return [start + int(place) for place in rng.choice(end - start, self._batch, replace=False)]

    def batch(self, numbers: list[int]) -> tuple[Tensor, Tensor]:
        """Gather examples: (N, C, h, w) and (N, 3, H, W) float32."""
        for number in numbers:
            if self._held[number % self._size] != number:
                self._keep(number, self._draw(number))
        slots = [number % self._size for number in numbers]
        assert self._rings  # of the first example kept
        bright, reference = (torch.from_numpy(ring[slots].astype(np.float32)) for ring in self._rings)
        return bright, reference

    def close(self) -> None:
        self._rings = None
        self._file.close()

    def _keep(self, number: int, example: Example) -> None:
        if self._rings is None:
            self._rings = self._laid_out(example)
        for ring, planes in zip(self._rings, (example.bright, example.reference), strict=True):
            ring[number % self._size] = planes
        self._held[number % self._size] = number

    def _laid_out(self, example: Example) -> tuple[np.memmap, np.memmap]:
        shapes = [(self._size, *planes.shape) for planes in (example.bright, example.reference)]
        starts = (0, 2 * int(np.prod(shapes[0])))
        first, second = (
            np.memmap(self._file, np.float16, "r+" if i else "w+", offset=start, shape=shape)
            for i, (start, shape) in enumerate(zip(starts, shapes, strict=True))
        )
        return first, second
