"""Many files through the path of a photo: decode | network | encode, overlapped, one network for all.

jobs -> pictures on disk, and one result a picture, in the order of the jobs

A frame is decoded ahead and a picture encoded behind the one in the network only while all of them fit in the memory
allowed; what does not fit waits its turn. Nothing here prints: the caller hears of tiles and results.
"""

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from darkroom import __version__, tiff
from darkroom.batch.handover import Handover
from darkroom.batch.jobs import Batch, Job, Target
from darkroom.decode import child, raw
from darkroom.develop import model, pipeline
from darkroom.develop.developed import Begun, Developed
from darkroom.develop.model import Model
from darkroom.develop.pipeline import RESIDENT, Settings
from darkroom.errors import DarkroomError, OutputError, told
from darkroom.frame import CFA, Bands, Frame, Picture
from darkroom.tiff import Field, Fields
from darkroom.write import exif, image, linear, part
from darkroom.write.image import Encoding

TILE = 200_000_000
"""Bytes always left to a tile: with less, halos cost the fast networks more time than overlapping saves."""

UNPACKED = 2
"""Times a file's bytes its mosaic may take: cameras' lossless compression saves up to half of 14 bits in 16."""

_NO_MORE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""What a disk says that will take no further picture either."""


@dataclass(frozen=True)
class Seconds:
    """Wall clock of each stage. Stages of different files overlap, so a batch takes less than their sum."""

    read: float
    network: float
    finish: float
    """From the last tile to the last row."""
    write: float
    """From there to the file in its place."""


@dataclass(frozen=True)
class Result:
    """What became of one picture."""

    input: Path
    output: Path | None
    """What was written, or was there already; None where the file failed."""
    outcome: Literal["written", "skipped", "failed"]
    ratio: float | None = None
    clipped: float | None = None
    """Share of sites that the ratio pushed past white."""
    seconds: Seconds | None = None
    model: str | None = None
    version: int | None = None
    """The network's."""
    device: str | None = None
    """Where the network ran, as --device names it."""
    precision: str | None = None
    notes: tuple[str, ...] = ()
    pictures: int = 1
    """How many this stands for: a file that fails is one result, whatever its brackets."""
    error: str | None = None
    """One line that names the file."""
    bug: BaseException | None = None
    """Where the error was not the file's: what was raised, with its traceback."""


@dataclass(frozen=True)
class Choice:
    """The network the user asked for."""

    name: str | None = None
    """A shipped one's name or an .onnx file; None takes the shipped one for each photo's CFA."""
    quality: str = "fast"
    device: str = "auto"


def run(
    batch: Batch,
    choice: Choice,
    settings: Settings,
    *,
    encoding: Encoding = Encoding(),
    on_tile: Callable[[Path, int, int], None],
    on_done: Callable[[Result], None],
    stop: Callable[[], bool],
    prepare: Callable[[Frame, Path], Frame] = lambda frame, path: frame,
    compare: Callable[[Frame, Model, Settings], Picture] | None = None,
    keep: Callable[[Path, Frame, Developed, Picture], None] | None = None,
) -> None:
    """Develop every job; a file that fails costs that file only, a full disk ends the batch.

    prepare: what to do to each frame first, such as taking its sensor's pattern away; it may raise a DarkroomError.
    compare, keep: of a contact sheet; the one makes a second picture of a frame to set beside the first, the other
    hears of both when the first is written, in a thread of its own.
    on_tile hears (input, done, all) after each tile of the network, on_done every result in order, both in this thread;
    `stop` is asked before each file. Raises ModelError where the network asked for cannot be had, before any file is
    developed.
    """
    tell_settled(batch, on_done)
    sweep(batch)
    if not batch.jobs:
        return

    @cache
    def load(name: str) -> Model:
        return model.load(model.find(name), device=choice.device, alone=batch.pictures == 1)

    through(
        batch.jobs,
        choice,
        settings,
        load=load,
        encoding=encoding,
        on_tile=on_tile,
        on_done=on_done,
        stop=stop,
        prepare=prepare,
        compare=compare,
        keep=keep,
    )


def sweep(batch: Batch) -> None:
    """Take away what killed runs left in the folders of a batch, those where all is done by now included."""
    made = (target.path for job in batch.jobs for target in job.targets)
    for folder in {path.parent for path in chain(made, (done.path for done in batch.settled))}:
        part.sweep(folder)


def tell_settled(batch: Batch, on_done: Callable[[Result], None]) -> None:
    """Tell of the pictures that need no work."""
    for done in batch.settled:
        if done.error is None:
            on_done(Result(done.input, done.path, "skipped"))
        else:
            on_done(Result(done.input, None, "failed", error=done.error))


def through(
    jobs: Sequence[Job],
    choice: Choice,
    settings: Settings,
    *,
    load: Callable[[str], Model],
    encoding: Encoding,
    on_tile: Callable[[Path, int, int], None],
    on_done: Callable[[Result], None],
    stop: Callable[[], bool],
    prepare: Callable[[Frame, Path], Frame],
    compare: Callable[[Frame, Model, Settings], Picture] | None = None,
    keep: Callable[[Path, Frame, Developed, Picture], None] | None = None,
    more: bool = False,
) -> bool:
    """Take some jobs through the three stages; whether the disk can take no more. Else as `run`.

    load: gives a network by its name or file, the same one each time. more: other jobs will follow; the decoder stays.
    """

    def network(cfa: CFA) -> Model:
        return load(choice.name or model.default(cfa, choice.quality))

    reader, writer = ThreadPoolExecutor(1, "read"), ThreadPoolExecutor(1, "write")
    behind: deque[Future[tuple[Result, bool]]] = deque()
    named: set[str] = set()
    introduced: set[Model] = set()
    full = False

    def settle(*, leave: int) -> None:
        """Wait until at most so many pictures are still being written."""
        nonlocal full
        while len(behind) > leave:
            result, ended = behind.popleft().result()
            if not (full and ended):  # a full disk is told once
                on_done(result)
            full = full or ended

    def ready(frame: Frame, path: Path) -> Frame:
        frame = prepare(frame, path)
        return pipeline.mended(frame) if settings.hot_sites == "auto" else frame  # here, beside the network, and once

    def begin(job: Job | None) -> Future[tuple[Frame, float]] | None:
        return reader.submit(_read, job.input, ready) if job else None

    try:
        ahead = begin(jobs[0])
        network(_likely_cfa(jobs[0].input))  # loads while the first file is decoded
        largest = 0
        for job, following in zip(jobs, (*jobs[1:], None), strict=True):
            if stop() or full:
                break
            assert ahead
            try:
                frame, seconds = ahead.result()
            except Exception as error:
                settle(leave=0)
                on_done(failed(job.input, error, len(job.targets)))
                ahead = begin(following)
                continue
            if following is None and not more:
                child.end()  # its memory is the network's
            largest = max(largest, frame.mosaic.size)
            flight = _in_flight(largest, following, settings)
            ahead = begin(following) if flight else None
            for made, target in enumerate(job.targets):
                settle(leave=1 if flight else 0)
                if full:
                    break
                writing: Future[tuple[Result, bool]] | None = None
                try:
                    chosen = network(frame.cfa)
                    other = 3 * frame.mosaic.size if compare else 0
                    wanted = replace(
                        settings,
                        bracket=target.bracket,
                        hot_sites="off",
                        memory=settings.memory - flight - other,
                    )
                    before = compare(frame, chosen, wanted) if compare else None
                    told_of = None if before is None else replace(frame, mosaic=frame.mosaic[:0])
                    whole = compare is not None or image.waits(target.path, encoding)
                    begun = pipeline.begin(frame, chosen, wanted, partial(on_tile, job.input), whole=whole)
                    tags = _exif(job.input, frame, begun)
                    if chosen not in introduced:
                        begun = replace(begun, notes=chosen.notes + begun.notes)
                    with Handover() as handover:
                        work = _Unwritten(job.input, target, begun, handover, tags, seconds, chosen, told_of, before)
                        writing = writer.submit(_write, work, encoding, keep, named)
                        writing.add_done_callback(handover.leave)
                        handover.fill(begun.bands.rows)
                except Exception as error:
                    if writing:
                        wait([writing])  # it has been given up
                    settle(leave=0)
                    on_done(failed(job.input, error, len(job.targets) - made))
                    break
                introduced.add(chosen)
                behind.append(writing)
                del begun, work, before  # the writer's now
            del frame
            ahead = ahead or begin(following)
        settle(leave=0)
    finally:
        reader.shutdown(wait=False, cancel_futures=True)
        writer.shutdown(wait=True, cancel_futures=True)
    return full


@dataclass(frozen=True, eq=False)
class _Unwritten:
    """A picture on its way to the disk."""

    input: Path
    target: Target
    begun: Begun
    handover: Handover
    """Through which its bands come."""
    tags: dict[int, Field | Fields]
    """Its EXIF, by `exif.directories`."""
    read: float
    """Seconds the decoding took."""
    model: Model
    frame: Frame | None = None
    """Without its mosaic."""
    before: Picture | None = None
    """To be set beside it."""


def _read(path: Path, prepare: Callable[[Frame, Path], Frame]) -> tuple[Frame, float]:
    started = time.perf_counter()
    frame = prepare(raw.read(path), path)
    return frame, time.perf_counter() - started


def _exif(path: Path, frame: Frame, begun: Begun) -> dict[int, Field | Fields]:
    height, width, _ = begun.bands.shape
    software = f"darkroom {__version__}"
    srgb = begun.space == "srgb" and begun.bands.dtype != np.float32  # which is linear light
    return exif.directories(path, frame, begun.ratio, width=width, height=height, software=software, srgb=srgb)


def _write(
    work: _Unwritten,
    encoding: Encoding,
    keep: Callable[[Path, Frame, Developed, Picture], None] | None,
    named: set[str],
) -> tuple[Result, bool]:
    """Write a picture as it is made; also tell whether the disk can take no more.

    named: the pictures written before whose names, too, were known only when they were made; this one joins them.
    """
    begun, name = work.begun, work.model.contract.name
    target, skipped = work.target.named(begun.ratio, name)
    path, key = target.path, os.path.normcase(os.path.abspath(target.path))
    if key in named:
        return failed(
            work.input,
            OutputError(
                f"{path}: another photo has just been written there; put {{stem}} into -o, or pass --on-conflict unique"
            ),
        ), False
    if skipped:
        return Result(work.input, path, "skipped"), False
    bands = Bands(begun.bands.shape, begun.bands.dtype, work.handover.bands())
    try:
        image.make_folder(path.parent)
        picture = bands.whole() if keep or path.suffix.lower() == ".dng" else bands
        if begun.course.negative and not isinstance(picture, Bands):
            linear.write(
                path,
                picture.astype(np.uint16, copy=False),
                begun.course.negative,
                ratio=begun.ratio,
                tags=work.tags,
                overwrite=target.overwrite,
            )
        else:
            block, overwrite = tiff.block(work.tags), target.overwrite
            image.write(picture, path, exif=block, overwrite=overwrite, encoding=encoding, space=begun.space)
        if keep and work.frame and work.before is not None and not isinstance(picture, Bands):
            keep(path, work.frame, begun.developed(picture), work.before)
    except Exception as error:
        return failed(work.input, error), getattr(error.__cause__, "errno", None) in _NO_MORE
    if work.target.late:
        named.add(key)
    spent, written = begun.course.seconds, time.perf_counter() - begun.course.finished
    result = Result(
        input=work.input,
        output=path,
        outcome="written",
        ratio=begun.ratio,
        clipped=begun.clipped,
        seconds=Seconds(work.read, spent.network, spent.finish, written),
        model=name,
        version=work.model.contract.version,
        device=work.model.device,
        precision=work.model.precision,
        notes=begun.notes,
    )
    return result, False


def failed(path: Path, error: BaseException, pictures: int = 1) -> Result:
    """Say in one line what went wrong; keep the exception where it is nobody's input that did."""
    if isinstance(error, DarkroomError):
        return Result(path, None, "failed", pictures=pictures, error=told(error, path))
    line = f"{path}: {type(error).__name__} {error}".splitlines()[0]
    return Result(path, None, "failed", pictures=pictures, error=f"{line}; this is a bug, report it", bug=error)


def _in_flight(sites: int, following: Job | None, settings: Settings) -> int:
    """Bytes that the frames before and behind the one in the network need; 0 where they do not fit beside it.

    sites: of the largest mosaic so far, which stands for those to come.
    """
    picture, mosaic, rgb = 3 * sites * settings.bits // 8, 2 * sites, 6 * sites
    decoded = max(mosaic, UNPACKED * _bytes(following.input)) if following else 0
    flight = picture + 2 * decoded  # once in LibRaw's process, once here
    return flight if RESIDENT + mosaic + rgb + max(TILE, picture) + flight <= settings.memory else 0


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # raw.read will say what is wrong with it
        return 0


def _likely_cfa(path: Path) -> CFA:
    """Guess what sensor a file comes from, to have its network at hand; a wrong guess costs a tenth of a second."""
    return "xtrans" if path.suffix.lower() == ".raf" else "bayer"
