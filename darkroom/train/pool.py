"""Examples drawn once and trained on several times: drawing one costs a core as much as a tenth of a step.

number of the step  ->  bright (N, C, h, w), reference (N, 3, H, W), from a ring in float16

At any step the batch is picked at random from a window of consecutive examples, which moves on as it is used up: one
for each place in it, out of those whose number leaves that place when divided by the batch. Which ones follows from
(seed, step) alone, so a resumed run repeats itself, and processes that have places of their own share the batches of
one process, and no example; an example is drawn when it is first picked. The ring lies in a file without a name; that
of a GPU in its own memory, for it takes batches faster than they could be sent there.
"""

import atexit
import os
from collections.abc import Callable, Generator, Iterator
from itertools import chain, count, islice
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from darkroom.errors import DarkroomError
from darkroom.sensor.simulate import Example

SIZE = 2048
"""Examples in a run's window, about: 1 GB for crops of 240."""
USES = 8
"""How often an example is picked, on average, before the window has passed it."""
PATIENCE = 300
"""Seconds in which other processes must have drawn an example."""

Planes = tuple[Tensor, Tensor]
"""An example's bright and reference, float16."""


class Pool:
    """The examples of one stage, by number."""

    def __init__(
        self,
        draw: Callable[[int], Example],
        folder: Path,
        *,
        batch: int,
        seed: int,
        size: int,
        places: slice = slice(None),
        device: torch.device = torch.device("cpu"),  # noqa: B008  a value
        drawers: int = 0,
    ) -> None:
        """draw: gives the example of a number, always the same; drawers get it pickled.

        folder: where the ring's file lies. size: examples in the window, at least a batch. places: this process's share
        of every batch. device: where batches are wanted. drawers: processes that draw ahead; with 0 an example is drawn
        when it is asked for.
        """
        self._draw, self._batch, self._seed = draw, batch, seed
        self._places, self._device, self._drawers = places, device, drawers
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115  closed with the pool
        self._slots = batch * max(1, size // batch)
        self._rings: Planes | None = None

    def picked(self, step: int) -> list[int]:
        """Tell which examples make up this process's share of a step's batch.

        The window begins small: as long as nothing is held, every pick is new.
        """
        rows = self._slots // self._batch
        end = min(step + 1, rows + step // USES)
        rng = np.random.default_rng([self._seed, 3, step])
        picked = rng.integers(max(0, end - rows), end, self._batch) * self._batch + np.arange(self._batch)
        return [int(number) for number in picked[self._places]]

    def batches(self, first: int) -> Generator[tuple[Tensor, Tensor]]:
        """Gather the batches of one step after the other: (N, C, h, w) and (N, 3, H, W) float32, on the device."""
        order = chain.from_iterable(new for _, new in self._wanted(first))
        # Fresh processes: one forked off threads and a GPU's context may wait for ever for a lock that no thread holds.
        loader = DataLoader(
            _Drawn(self._draw),
            sampler=order,
            batch_size=None,
            num_workers=self._drawers,
            timeout=PATIENCE if self._drawers else 0,
            multiprocessing_context="spawn" if self._drawers else None,
            worker_init_fn=_ends_at_once,
        )
        drawn = iter(loader)
        for slots, new in self._wanted(first):
            if new:
                self._keep(new, self._arrived(drawn, len(new)))
            assert self._rings  # since the first step, whose examples are all new
            bright, reference = (ring[slots].float() for ring in self._rings)
            yield bright, reference

    def close(self) -> None:
        self._rings = None
        self._file.close()

    def _arrived(self, drawn: Iterator[Planes], number: int) -> list[Planes]:
        try:
            return list(islice(drawn, number))
        except RuntimeError as error:
            if not self._drawers:
                raise
            reason = " ".join(str(error).split())
            raise DarkroomError(f"a process that draws examples was lost ({reason}); try --threads 1") from error

    def _wanted(self, first: int) -> Iterator[tuple[Tensor, list[int]]]:
        """Tell each step's slots in the ring, and the numbers of those that must be drawn for it."""
        held = np.full(self._slots, -1)
        for step in count(first):
            picked = np.array(self.picked(step))
            slots = picked % self._slots
            new = picked[held[slots] != picked]
            held[slots] = picked
            yield torch.from_numpy(slots), new.tolist()

    def _keep(self, numbers: list[int], examples: list[Planes]) -> None:
        if self._rings is None:
            self._rings = self._laid_out(examples[0])
        slots = torch.tensor(numbers) % self._slots
        for ring, planes in zip(self._rings, zip(*examples, strict=True), strict=True):
            ring[slots] = torch.stack(planes).to(self._device)

    def _laid_out(self, example: Planes) -> Planes:
        shapes = [(self._slots, *planes.shape) for planes in example]
        if self._device.type != "cpu":
            bright, reference = (torch.empty(shape, dtype=torch.half, device=self._device) for shape in shapes)
            return bright, reference
        sizes = [2 * int(np.prod(shape)) for shape in shapes]
        starts = (0, sizes[0])
        if hasattr(os, "posix_fallocate"):  # a mapped hole that finds no room later on kills the process
            os.posix_fallocate(self._file.fileno(), 0, sum(sizes))
        first, second = (
            np.memmap(self._file, np.float16, "r+" if i else "w+", offset=start, shape=shape)
            for i, (start, shape) in enumerate(zip(starts, shapes, strict=True))
        )
        return torch.from_numpy(first), torch.from_numpy(second)


def _ends_at_once(drawer: int) -> None:
    """Let a drawer's process end without Python being taken down: it aborts if a thread is still sending an example."""
    atexit.register(os._exit, 0)


class _Drawn(Dataset[Planes]):
    """Examples by number, as a DataLoader asks for them."""

    def __init__(self, draw: Callable[[int], Example]) -> None:
        self._draw = draw

    def __getitem__(self, number: int) -> Planes:
        example = self._draw(number)
        bright, reference = (each.astype(np.float16) for each in (example.bright, example.reference))
        return torch.from_numpy(bright), torch.from_numpy(reference)
