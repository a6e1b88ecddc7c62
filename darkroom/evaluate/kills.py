"""Programs killed at a random moment: what they leave, and what the same command makes of it.

rounds -> one Ordeal for each of: a developing process, the decoder beside it, a cluster's worker, a training

After each kill whatever is there must be whole, nothing may go on running, and the same command again must make up for
it: every picture the one that an undisturbed run makes, the trained network the very same. Only on Linux, which tells
who a process has started.
"""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

from darkroom.errors import SettingsError
from darkroom.evaluate import ordeal, speed
from darkroom.evaluate.ordeal import Ordeal
from darkroom.write import part

DECODER = "darkroom.decode.libraw"
"""What the command of a decoder's process holds."""
WORKER = "spawn_main"
"""And that of a worker of a cluster."""
ENDING = 10.0
"""seconds within which what a killed process had started must be gone."""


def campaign(rounds: int, *, trains: bool, clusters: bool, on_wrong: ordeal.OnWrong, seed: int = 0) -> Iterator[Ordeal]:
    """Kill each kind of program so many times.

    trains, clusters: whether the extras for these are installed. on_wrong hears each thing that was wrong. Raises
    SettingsError where processes cannot be told apart, DarkroomError where an undisturbed run fails.
    """
    if not speed.WATCHABLE:
        raise SettingsError("kills: processes can be found out about on Linux only; run it there")
    rng = Random(seed)
    with tempfile.TemporaryDirectory(prefix="darkroom-kills-") as place:
        folder = Path(place)
        card, pictures, run = ordeal.draw(folder), folder / "pictures", folder / "run"
        developing = partial(ordeal.developing, card)
        ordeal.sound(developing(pictures))
        kinds: list[tuple[str, Callable[[Path], list[str]], str, Path]] = [
            ("develop", developing, "", pictures),
            ("its decoder", developing, DECODER, pictures),
        ]
        if clusters:
            kinds.append(("a worker of two", lambda out: [*developing(out), "--cluster", "local:2"], WORKER, pictures))
        if trains:
            training = partial(ordeal.training, folder)
            ordeal.sound(training(run))
            kinds.append(("train", training, "", run))
        for what, command, whom, whole in kinds:
            yield _killed(what, command, whom, rounds, whole, rng, on_wrong)


def _killed(
    what: str,
    command: Callable[[Path], list[str]],
    whom: str,
    rounds: int,
    whole: Path,
    rng: Random,
    on_wrong: ordeal.OnWrong,
) -> Ordeal:
    """Kill runs of a command, or what they started whose command holds `whom`; `whole` has what it must make."""
    right, verdicts = ordeal.made(whole), list[str | None]()
    with tempfile.TemporaryDirectory(prefix="darkroom-kills-") as place:
        lasts = _seconds(command(Path(place) / "timed"))
        for number in range(rounds):
            out = Path(place) / str(number)
            verdict = _interrupted(command(out), rng.uniform(0, lasts), whom)
            wrong = verdict or ordeal.differs(out, right, complete=verdict is None)
            if not wrong and verdict is not None:
                wrong = _made_up(command(out), out) or ordeal.differs(out, right, complete=True)
            if wrong:
                on_wrong(f"{what}, kill {number}: {wrong}")
            verdicts.append(wrong or verdict)
    return ordeal.count(what, verdicts)


def _seconds(command: Sequence[str]) -> float:
    """Seconds an undisturbed run takes, after one that has filled every cache."""
    started = time.perf_counter()
    ordeal.sound(command)
    return time.perf_counter() - started


def _interrupted(command: Sequence[str], after: float, whom: str) -> str | None:
    """Start a program and kill it, or one that it has started, some seconds later.

    Returns None where it ended in success all the same, "" where it was stopped as it should be, else what was wrong.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said) as process:
            time.sleep(after)
            ends = time.monotonic() + ordeal.PATIENCE
            begun = speed.family(process.pid)
            while not (hit := _found(begun, whom)) and process.poll() is None and time.monotonic() < ends:
                time.sleep(speed.WATCHED)  # not started yet
                begun = speed.family(process.pid)
            if hit:
                with suppress(ProcessLookupError):
                    os.kill(hit, signal.SIGKILL)
            try:
                process.wait(ordeal.PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                return f"still running {ordeal.PATIENCE:.0f} s after the kill"
        said.seek(0)
        ended = ordeal.Ended(process.returncode, said.read())
    lost = _orphan(begun)
    if lost:
        return lost
    if ended.code == 0:
        return None
    return "" if ended.code == -signal.SIGKILL else ended.complaint()


def _found(family: list[int], whom: str) -> int:
    """Find the last begun of a family whose command holds `whom`, or the first of all for ""; 0 where there is none."""
    held = [pid for pid in family if whom in _command(pid)]
    return held[-1 if whom else 0] if held else 0


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # it has just ended
        return ""


def _orphan(family: list[int]) -> str:
    """Wait for a family to end; say who did not, and end it."""
    ends = time.monotonic() + ENDING
    while left := [pid for pid in family if _command(pid)]:
        if time.monotonic() > ends:
            told = _command(left[0])
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return f"a process goes on by itself: {told}"
        time.sleep(speed.WATCHED)
    return ""


def _made_up(command: Sequence[str], out: Path) -> str:
    """Run the same command again, as if a minute later; say what was wrong."""
    for path in out.rglob(f"{part.PREFIX}*{part.SUFFIX}"):
        old = time.time() - 2 * part.AGE
        os.utime(path, (old, old))
    again = ordeal.run(command)
    if again.code:
        return again.complaint() or f"run again, it ended with {again.code} and said: {again.said.strip()}"
    return ordeal.leftover(out)
