"""Disks that are full, or become so at a random moment, or may not be written to.

rounds -> one Ordeal for developing and one for training, on each kind of disk

The disk is one in memory, of a size that is drawn, mounted where only the program under test sees it; what lies on it
at the end is copied to where it can be looked at. So only on Linux, where users may have mounts of their own.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

from darkroom.errors import SettingsError
from darkroom.evaluate import ordeal
from darkroom.evaluate.ordeal import Ordeal

MOUNTED = 'mount -t tmpfs -o "$1" darkroom "$2" && shift 2 && "$@"'
KEPT = """\
mount -t tmpfs -o "$1" darkroom "$2" && disk=$2 kept=$3 && shift 3 && "$@"
code=$?; cp -r "$disk/." "$kept"; exit $code
"""
LEAST = 4096
"""bytes of the smallest disk: one page."""
FULL, CLOSED = ("no space left",), ("may not be written to", "read-only")
"""What a message about such a disk says, one of it."""


def campaign(rounds: int, *, trains: bool, on_wrong: ordeal.OnWrong, seed: int = 0) -> Iterator[Ordeal]:
    """Let developing and, where `trains`, training run on so many disks of each kind.

    on_wrong hears each thing that was wrong. Raises SettingsError where there can be no such disk, DarkroomError where
    an undisturbed run fails.
    """
    rng = Random(seed)
    with tempfile.TemporaryDirectory(prefix="darkroom-disks-") as place:
        folder = Path(place)
        _check(folder)
        card = ordeal.draw(folder)
        kinds: list[tuple[str, Callable[[Path], list[str]]]] = [("develop", lambda out: ordeal.developing(card, out))]
        if trains:
            kinds.append(("train", lambda out: ordeal.training(folder, out)))
        for what, command in kinds:
            whole = folder / f"whole-{what}" / "out"
            whole.parent.mkdir()
            ordeal.sound(command(whole))
            takes = sum(path.stat().st_size for path in whole.rglob("*"))
            sizes = [f"size={round(rng.uniform(LEAST, takes))}" for _ in range(rounds)]
            yield _on(f"{what}, a disk that fills", sizes, FULL, command, whole, on_wrong)
            yield _on(f"{what}, a disk that is read-only", ["ro"] * rounds, CLOSED, command, whole, on_wrong)


def _check(folder: Path) -> None:
    if not shutil.which("unshare") or subprocess.run(_apart(MOUNTED, "size=1m", folder, ["true"])).returncode:
        raise SettingsError("disks: no disk of one's own can be mounted here; run it on Linux, with user namespaces")


def _apart(script: str, disk: str, *rest: "Path | Sequence[str]") -> list[str]:
    words = [word for each in rest for word in ([str(each)] if isinstance(each, Path) else each)]
    return ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", disk, *words]


def _on(
    what: str,
    disks: list[str],
    reasons: tuple[str, ...],
    command: Callable[[Path], list[str]],
    whole: Path,
    on_wrong: ordeal.OnWrong,
) -> Ordeal:
    """Run a command on disks; then go on with what they held where there is room."""
    right, verdicts = ordeal.made(whole), list[str | None]()
    for disk in disks:
        with tempfile.TemporaryDirectory(prefix="darkroom-disks-") as place:
            mounted, kept = Path(place) / "mounted", Path(place) / "kept"
            mounted.mkdir()
            kept.mkdir()
            out, left = mounted / whole.name, kept / whole.name
            ended = ordeal.run(_apart(KEPT, disk, mounted, kept, command(out)))
            wrong = ended.complaint() or ordeal.differs(left, right, complete=ended.code == 0) or ordeal.leftover(kept)
            if not wrong and ended.code and not any(reason in ended.said.lower() for reason in reasons):
                wrong = f"the disk is not said to be the cause: {ended.said.strip()}"
            if not wrong and ended.code:
                again = ordeal.run(command(left))
                wrong = again.complaint() or ordeal.differs(left, right, complete=True)
            if wrong:
                on_wrong(f"{what}, {disk}: {wrong}")
            verdicts.append(wrong or ("" if ended.code else None))
    return ordeal.count(what, verdicts)
