"""Examples drawn once and trained on several times: drawing one costs a core as much as a tenth of a step.

number of the step  ->  bright (N, C, h, w), reference (N, 3, H, W), float16 from a memory-mapped ring

At any step the batch is picked at random from a window of consecutive examples, which moves on as it is used up: one
for each place in it, out of those whose number leaves that place when divided by the batch. Which ones follows from
(seed, step) alone, so a resumed run repeats itself, and processes that have places of their own share the batches of
one process, and no example; an example is drawn when it is first picked.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import torch
from torch import Tensor

from darkroom.sensor.simulate import Example

SIZE = 2048
"""Examples in a run's window, about: 1 GB on disk for crops of 240."""
USES = 8
"""How often an example is picked, on average, before the window has passed it."""


class Pool:
    """The examples of one stage, by number."""

    def __init__(self, draw: Callable[[int], Example], folder: Path, *, batch: int, seed: int, size: int) -> None:
        """draw: gives the example of a number, always the same. The ring lies in `folder`, as a file without a name.

        size: examples in the window, at least a batch.
        """
        self._draw, self._batch, self._seed = draw, batch, seed
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115  closed with the pool
        self._slots = batch * max(1, size // batch)
        self._held = np.full(self._slots, -1)
        self._rings: tuple[np.memmap, np.memmap] | None = None

    def picked(self, step: int) -> list[int]:
        """Tell which examples make up a step's batch.

        The window begins small: as long as nothing is held, every pick is new.
        """
        rows = self._slots // self._batch
        end = min(step + 1, rows + step // USES)
        rng = np.random.default_rng([self._seed, 3, step])
        picked = rng.integers(max(0, end - rows), end, self._batch) * self._batch + np.arange(self._batch)
        return [int(number) for number in picked]

    def batch(self, numbers: list[int]) -> tuple[Tensor, Tensor]:
        """Gather examples: (N, C, h, w) and (N, 3, H, W) float32."""
        for number in numbers:
            if self._held[number % self._slots] != number:
                self._keep(number, self._draw(number))
        slots = [number % self._slots for number in numbers]
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
            ring[number % self._slots] = planes
        self._held[number % self._slots] = number

    def _laid_out(self, example: Example) -> tuple[np.memmap, np.memmap]:
        shapes = [(self._slots, *planes.shape) for planes in (example.bright, example.reference)]
        starts = (0, 2 * int(np.prod(shapes[0])))
        first, second = (
            np.memmap(self._file, np.float16, "r+" if i else "w+", offset=start, shape=shape)
            for i, (start, shape) in enumerate(zip(starts, shapes, strict=True))
        )
        return first, second
