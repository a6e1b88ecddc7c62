"""A batch at work: what hears of its results, how it stops, how it ends; once, or as long as photos arrive."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NoReturn, Protocol

from darkroom.batch import batch
from darkroom.batch.batch import Result
from darkroom.batch.jobs import Batch
from darkroom.batch.sheet import Sheet, before
from darkroom.cli import STOPPED, pipes
from darkroom.cli.show import Show
from darkroom.develop.pipeline import Settings
from darkroom.errors import ModelError, SettingsError, escaped
from darkroom.frame import Frame
from darkroom.write.image import Encoding


class Elsewhere(Protocol):
    """What develops a batch on other machines."""

    def __call__(
        self,
        batch: Batch,
        choice: batch.Choice,
        settings: Settings,
        *,
        encoding: Encoding,
        on_done: Callable[[Result], None],
        stop: Callable[[], bool],
    ) -> None: ...


@dataclass(frozen=True)
class Run:
    """All that is the same for every batch of one command."""

    folder: Path
    """Where pictures go, or the folders that mirror the photos'."""
    choice: batch.Choice
    settings: Settings
    encoding: Encoding
    prepare: Callable[[Frame, Path], Frame]
    amp: str
    """As the user gave it."""
    told: dict[str, dict[str, object]]
    """Options that are not left to their defaults, for JSON."""
    as_json: bool
    stdin: Path | None
    """The file that holds what came from there."""
    to_stdout: bool
    journal: bool
    """Whether to keep one."""
    sheet: bool
    """Whether to keep a contact sheet."""
    elsewhere: "Elsewhere | None" = None
    """What develops in place of this process, where something does."""

    @cached_property
    def page(self) -> Sheet | None:
        """The contact sheet; raises SettingsError where it can show nothing, or its place is taken."""
        if not self.sheet:
            return None
        camera = self.settings.colour_space == "camera"
        if camera or self.to_stdout:
            what = "it shows pictures, a DNG is not one yet" if camera else "stdout has no folder for it"
            raise SettingsError(f"--sheet: {what}; leave it out")
        return Sheet(self.folder)

    def once(self, planned: Batch, stop: Callable[[], bool]) -> Show:
        """Develop a batch, and tell of it as it goes."""
        page = self.page
        with (
            Show(planned.pictures, self.amp, self.as_json, self.told, self.to_stdout) as show,
            _kept(self.journal, self.folder, self.settings, show.result) as noted,
        ):

            def heard(result: Result) -> None:
                result = self._as_given(result)
                noted(result)
                if page:
                    page.heard(result)

            try:
                if self.elsewhere:
                    encoding = self.encoding
                    self.elsewhere(planned, self.choice, self.settings, encoding=encoding, on_done=heard, stop=stop)
                else:
                    batch.run(
                        planned,
                        self.choice,
                        self.settings,
                        encoding=self.encoding,
                        on_tile=show.tile,
                        on_done=heard,
                        stop=stop,
                        prepare=self.prepare,
                        compare=before if page else None,
                        keep=page.keep if page else None,
                    )
            except ModelError as error:  # the network asked for cannot be had: no photo's fault
                raise SettingsError(str(error)) from error
            except KeyboardInterrupt:
                show.end()
                show.close()
                _leave_now()
            finally:
                if page and page.entries:
                    show.log(f"contact sheet: {page.write()}")
            show.end()
        return show

    def _as_given(self, result: Result) -> Result:
        """Call a raw from stdin so, wherever its file lies."""
        if result.input != self.stdin:
            return result
        error = result.error and result.error.replace(str(self.stdin), pipes.STDIN)
        return replace(result, input=Path(pipes.STDIN), error=error)

    def watch(self, folders: list[str], recursive: bool, plan: Callable[[], Batch]) -> bool:
        """Develop what arrives until Ctrl-C, nothing twice; tell whether all went well. `plan` plans for all there."""
        from darkroom.batch import watching

        def tell(line: str) -> None:
            print(escaped(line), file=sys.stderr, flush=True)

        places, well = [Path(name) for name in folders], True
        for place in places:
            if not place.is_dir():
                raise SettingsError(f"--watch: {place} is no folder; name one that photos arrive in")
        if self.settings.colour_space == "camera" and any(_holds(place, self.folder, recursive) for place in places):
            raise SettingsError("--watch: DNGs written there would be taken for new photos; choose another -o")
        with stoppable() as stop:
            tell(f"watching {', '.join(folders)}; Ctrl-C ends")
            for ready in watching.arrivals(places, recursive=recursive, stop=stop, tell=tell):
                try:
                    planned = plan()
                except SettingsError as error:
                    if all(place.is_dir() for place in places):  # else it has just vanished
                        tell(f"darkroom: {error}")
                        well = False
                    continue
                new = tuple(job for job in planned.jobs if job.input in ready)
                settled = tuple(done for done in planned.settled if done.input in ready and done.error)
                if new or settled:
                    planned = replace(planned, jobs=new, settled=settled)
                    show = self.once(planned, stop)
                    well = well and not show.failed
                    if left := planned.pictures - show.done:
                        tell(f"darkroom: {left} not developed; watch again to go on")
        return well


def _holds(place: Path, folder: Path, recursive: bool) -> bool:
    """Tell whether what is written to a folder is seen where photos arrive."""
    there, here = place.resolve(), folder.resolve()
    return here == there or (recursive and there in here.parents)


@contextmanager
def _kept(
    wanted: bool, folder: Path, settings: Settings, heard: Callable[[Result], None]
) -> Iterator[Callable[[Result], None]]:
    """Have results written down in the folder's journal, too, where that is wanted."""
    if not wanted:
        yield heard
        return
    from darkroom.batch.journal import Journal

    book = Journal(folder, settings)

    def kept(result: Result) -> None:
        heard(result)
        book.note(result)

    try:
        yield kept
    finally:
        book.close()


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Take the first Ctrl-C as a wish to stop after the photo in work; the second interrupts."""
    stopped = False

    def wish(*_: object) -> None:
        nonlocal stopped
        stopped = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # Not print, which this may have interrupted in the middle of a line.
        os.write(2, b"\nstopping after this photo; press Ctrl-C again to stop at once\n")

    before = signal.signal(signal.SIGINT, wish)
    try:
        yield lambda: stopped
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN if stopped else before)  # it is ending already


def _leave_now() -> NoReturn:
    """End without waiting for the decoder, which may hang; pictures being written have been finished."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(STOPPED)
