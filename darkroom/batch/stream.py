"""Photos as they come, for programs of others: any iterable of paths -> one Result after another."""

import os
import queue
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from darkroom.batch import batch, jobs
from darkroom.batch.batch import Choice, Result
from darkroom.batch.names import Conflict
from darkroom.develop import amplifier
from darkroom.develop.pipeline import Settings
from darkroom.frame import Frame

CHUNK = 32
"""Photos planned at a time, so that an endless stream is no matter."""


def develop(
    photos: Iterable[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    *,
    amp: str = "auto",
    suffix: str = ".png",
    conflict: Conflict = "skip",
    choice: Choice = Choice(),
    settings: Settings | None = None,
) -> Iterator[Result]:
    """Develop a stream of raw files into a folder; what became of each comes when it is known, in order.

    photos: paths, taken CHUNK at a time. amp: as of the option; `settings`, where given, says it and all else instead.
    conflict: what to do where a picture exists; the default makes a repeated task do what is left. A file that fails is
    a Result with an error, one line; what is wrong with folder or network is raised, as by `batch.run`. Stops after the
    photo in work where the caller stops asking.
    """
    wanted = settings or Settings(amp=amplifier.parse(amp))
    coming = iter(photos)
    while names := [os.fspath(photo) for photo in islice(coming, CHUNK)]:
        planned = jobs.plan(names, place=os.path.join(folder, ""), suffix=suffix, conflict=conflict)
        yield from _developed(planned, choice, wanted)


def _developed(planned: jobs.Batch, choice: Choice, settings: Settings) -> Iterator[Result]:
    """Run a batch in a thread, and hand on what it tells."""
    told: queue.SimpleQueue[Result | BaseException | None] = queue.SimpleQueue()
    left = threading.Event()

    def work() -> None:
        try:
            batch.run(
                planned, choice, settings, on_tile=_unheard, on_done=told.put, stop=left.is_set, prepare=_as_it_is
            )
        except BaseException as error:
            told.put(error)
        told.put(None)

    thread = threading.Thread(target=work, name="develop")
    thread.start()
    try:
        while (result := told.get()) is not None:
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        left.set()
        thread.join()


def _unheard(path: Path, done: int, tiles: int) -> None:
    """Progress within a photo, which a stream does not tell."""


def _as_it_is(frame: Frame, path: Path) -> Frame:
    return frame
