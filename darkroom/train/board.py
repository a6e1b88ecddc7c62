"""TensorBoard's file of a run: numbers and pictures, on the disk when the call returns.

Torch's own writer hands them to a thread, which leaves a traceback and goes on in silence where the disk is full.
"""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

VERSION = "brain.Event:2"
"""What the first record of such a file says."""


class Board:
    """One file, which only grows."""

    def __init__(self, folder: Path, step: int) -> None:
        """Begin a file in which later steps than `step`, told by an earlier file, come again. Raises OSError."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"  # the form that TensorBoard looks for
        self._records = RecordWriter((folder / name).open("xb", buffering=0))
        self._write(Event(file_version=VERSION))
        self._write(Event(step=step, session_log=SessionLog(status=SessionLog.START)))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Add numbers of a step. Raises OSError."""
        from torch.utils.tensorboard.summary import scalar

        for name, value in values.items():
            self._add(step, scalar(name, value))

    def picture(self, step: int, name: str, picture: NDArray[np.uint8]) -> None:
        """Add a picture of a step, (H, W, 3) sRGB. Raises OSError."""
        from torch.utils.tensorboard.summary import image

        self._add(step, image(name, picture, dataformats="HWC"))

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    def _add(self, step: int, summary: "Summary") -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._write(Event(step=step, summary=summary))

    def _write(self, event: "Event") -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
