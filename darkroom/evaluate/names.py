"""A folder of very many photos, measured from outside: how long planning takes, and how much memory.

number of names -> one Figure after another

The photos are hard links to one small DNG, and the pictures to one small file, so that what is measured is the names.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from darkroom.errors import DarkroomError
from darkroom.evaluate import speed
from darkroom.evaluate.speed import Figure

NAMES = 100_000
LEFT = 10
"""Photos whose picture is still to be made."""
MEGAPIXELS = 0.05
MEGABYTES = 1e6


def figures(names: int, on_step: Callable[[str], None]) -> Iterator[Figure]:
    """Plan a folder of so many photos, first with none of them done, then with all done but LEFT.

    Of the second it is also told how long the whole command takes until it has found what is done, and until it has
    developed the rest. Raises DarkroomError where a run fails.
    """
    with TemporaryDirectory(prefix="darkroom-bench-") as place:
        photos, pictures = Path(place) / "photos", Path(place) / "pictures"
        photo, picture = Path(place) / "photo.dng", Path(place) / "picture.png"
        speed.write_photo(photo, MEGAPIXELS)
        picture.write_bytes(b"\x89PNG")
        on_step(f"linking {names} photos")
        _link(photo, photos, names, ".dng")
        command = [sys.executable, "-m", "darkroom", "develop", str(photos), "-o", str(pictures), "--amp", "200"]
        for done in (0, names - LEFT):
            if done:
                on_step(f"linking {done} pictures")
                _link(picture, pictures, done, ".png")
            what = f"{names} names, {done} done"
            on_step(f"planning {what}")
            before = speed.cpu_seconds()
            planned = _until(["--dry-run", "--json", "--on-conflict", "skip"], command, None)
            yield Figure(f"{what}: plan (--dry-run)", planned[0], "s", "at most 5")
            yield Figure(f"{what}: plan, CPU seconds of it", speed.cpu_seconds() - before, "s")
            yield from _memory(f"{what}: plan", planned[1], "at most 200")
        on_step(f"developing the {LEFT} left")
        seconds, peak = _until(["--on-conflict", "skip"], command, f"-> {pictures}")
        yield Figure(f"{what}: until the first of the rest is written", seconds, "s", "at most 10")
        yield from _memory(f"{what}: developing the rest", peak)


def _memory(what: str, peak: int, goal: str = "") -> Iterator[Figure]:
    if peak:
        yield Figure(f"{what}, peak memory, decoder left out", peak / MEGABYTES, "MB", goal)


def _link(file: Path, folder: Path, names: int, suffix: str) -> None:
    """Fill a folder with links to a file, by as many copies of it as the file system wants for so many."""
    folder.mkdir()
    source = file
    for number in range(names):
        link = folder / f"IMG_{number:07}{suffix}"
        try:
            os.link(source, link)
        except OSError:  # a file has 65,000 names at most on ext4, 1,023 on NTFS
            link.write_bytes(file.read_bytes())
            source = link


def _until(options: list[str], command: list[str], sign: str | None) -> tuple[float, int]:
    """Run to the end; seconds until a line of stderr holds the sign, or until the end, and bytes resident at the worst
    moment, 0 where that cannot be told."""
    started, spent, peak = time.perf_counter(), 0.0, 0
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr

        def watch() -> None:
            nonlocal peak
            while speed.WATCHABLE and process.poll() is None:
                peak = max(peak, speed.resident(process.pid))
                time.sleep(speed.WATCHED)

        watching = threading.Thread(target=watch)
        watching.start()
        last = "nothing"
        for line in process.stderr:
            last = line.strip() or last
            if sign and not spent and sign in line:
                spent = time.perf_counter() - started
        process.wait()
        watching.join()
    if process.returncode or (sign and not spent):
        raise DarkroomError(f"darkroom develop: ended with {process.returncode} and said: {last}; report this")
    return spent or time.perf_counter() - started, peak
