"""The processes of one training: those `torchrun` started, and how all of them stop at the same step.

torchrun's environment, signals  ->  (rank, how many), "shall it stop?", "how far are we?"
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import distributed

from darkroom.errors import DarkroomError


@contextmanager
def workers() -> Iterator[tuple[int, int]]:
    """Join the other processes that `torchrun` started: this one's rank, and how many there are; else (0, 1).

    Raises DarkroomError where another one is lost.
    """
    if not distributed.is_torchelastic_launched():
        yield 0, 1
        return
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield distributed.get_rank(), distributed.get_world_size()
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):  # which has no error of its own
            raise
        raise DarkroomError(
            "another process of this training was lost; run the same command again to go on from the last checkpoint"
        ) from error
    finally:
        distributed.destroy_process_group()


def agreed(interrupted: bool, share: float, device: torch.device) -> tuple[bool, float]:
    """Make every process stop at the same step, where any would, and be as far as the one that is furthest."""
    if not distributed.is_initialized():
        return interrupted, share
    furthest = torch.tensor([interrupted, share], dtype=torch.float64, device=device)
    distributed.all_reduce(furthest, distributed.ReduceOp.MAX)
    return bool(furthest[0]), float(furthest[1])


def mean(value: float, device: torch.device) -> float:
    """Mean of a value over all processes: each sees its share of the batches only."""
    if not distributed.is_initialized():
        return value
    summed = torch.tensor([value], dtype=torch.float32, device=device)  # no device but the CPU has float64 for sure
    distributed.all_reduce(summed)
    return float(summed) / distributed.get_world_size()


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into a question, so that a step is never cut in two; a second SIGINT ends at once."""
    asked: list[int] = []

    def ask(number: int, _frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    try:
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread, which alone is told of signals
        before = {}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
