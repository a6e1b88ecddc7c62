"""What becomes of damaged raw files: refused in one line, developed as if whole, or worse.

raw files -> mutants of nine kinds of damage, each through the real decoder's process -> a table of what came of them.

Damage as cards, readers and interrupted copies leave it: a file that ends too early, and stretches of it that hold
zeros, 0xFF (erased flash memory) or another file's bytes; and as a hostile hand might: bits flipped anywhere, bytes
changed in the head, and the file's own parts put together otherwise.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darkroom.decode import child, raw
from darkroom.errors import RawError

QUICK = 3
"""Places in a file at which it is damaged, each in nine ways, in a quick campaign."""
HOLE = 4
"""A hole is a quarter of the file long."""
SAME = 0.98
"""Share of sites that must be those of the whole file for a picture to count as sound; 1/64 of the rows is less than
what `decode.intact` looks for."""
KINDS = ("cut short", "zeros to the end", "0xFF to the end", "random to the end", "hole of zeros", "hole of random")
SCATTERED = ("bits flipped", "head changed", "spliced")
HEAD = 4096
"""Bytes from the start that hold most of a file's directories."""
_NEVER = ("crashed", "still decoding", "without sense")
"""Words of a refusal that the decoder's process earned by dying, hanging or babbling."""


@dataclass(frozen=True)
class Tally:
    """What came of the mutants of one kind."""

    kind: str
    refused: int
    sound: int
    """Developed, and hardly a site differs: the damage did not reach the picture."""
    missed: int
    """Developed although the picture is not that of the whole file."""
    fell: int
    """Refused because the decoder's process crashed, hung or babbled."""
    peak: int
    """Bytes the decoder's process held at the worst moment; 0 where the system does not tell."""

    @property
    def mutants(self) -> int:
        return self.refused + self.sound + self.missed


def mutants(whole: bytes, *, cuts: int = QUICK, seed: int = 0) -> Iterator[tuple[str, int, bytes]]:
    """Damage a file at `cuts` places spread evenly over it, in each of the six kinds: (kind, place, bytes)."""
    rng = np.random.default_rng(seed)
    for cut in range(cuts):
        start = int(len(whole) * (cut + 0.5) / cuts)
        end = min(len(whole), start + len(whole) // HOLE)
        head, rest, hole = whole[:start], len(whole) - start, end - start
        yield KINDS[0], start, head
        yield KINDS[1], start, head + bytes(rest)
        yield KINDS[2], start, head + b"\xff" * rest
        yield KINDS[3], start, head + rng.bytes(rest)
        yield KINDS[4], start, head + bytes(hole) + whole[end:]
        yield KINDS[5], start, head + rng.bytes(hole) + whole[end:]


def scattered(whole: bytes, *, cuts: int = QUICK, seed: int = 0) -> Iterator[tuple[str, int, bytes]]:
    """Damage a file in three kinds that leave its length: (kind, place, bytes), the place being the first byte hit."""
    rng = np.random.default_rng([seed, 1])
    for _ in range(cuts):
        for kind, within, hits in ((SCATTERED[0], len(whole), 64), (SCATTERED[1], min(HEAD, len(whole)), 4)):
            data = np.frombuffer(whole, np.uint8).copy()
            places = rng.choice(within, size=min(hits, within), replace=False)
            data[places] ^= np.uint8(1) << rng.integers(0, 8, len(places), dtype=np.uint8)
            yield kind, int(places.min()), data.tobytes()
        length = len(whole) // HOLE
        source, start = (int(place) for place in rng.integers(0, len(whole) - length, 2))
        yield SCATTERED[2], start, whole[:start] + whole[source : source + length] + whole[start + length :]


def campaign(
    files: list[Path],
    *,
    cuts: int = QUICK,
    on_missed: Callable[[Path, str, int], None] = lambda file, kind, start: None,
) -> list[Tally]:
    """Damage each file in every way and decode what is left; returns one tally a kind.

    on_missed: called with file, kind and place of each mutant that was developed although it should not have been.
    Raises RawError where a file cannot be decoded even whole.
    """
    counts = {kind: {"refused": 0, "sound": 0, "missed": 0, "fell": 0, "peak": 0} for kind in KINDS + SCATTERED}
    with tempfile.TemporaryDirectory() as folder:
        for number, file in enumerate(files):
            picture = raw.read(file).mosaic
            _peak()
            damaged = Path(folder) / file.name
            whole = file.read_bytes()
            made = chain(mutants(whole, cuts=cuts, seed=number), scattered(whole, cuts=cuts, seed=number))
            for kind, start, data in made:
                damaged.write_bytes(data)
                try:
                    outcome = "sound" if _same(raw.read(damaged).mosaic, picture) else "missed"
                except RawError as error:
                    outcome = "refused"
                    counts[kind]["fell"] += any(word in str(error) for word in _NEVER)
                counts[kind][outcome] += 1
                counts[kind]["peak"] = max(counts[kind]["peak"], _peak())
                if outcome == "missed":
                    on_missed(file, kind, start)
    return [Tally(kind, **count) for kind, count in counts.items()]


def _peak() -> int:
    """Bytes the decoder's process has held at most since this was asked; 0 where it is gone or Linux is not there."""
    process = child.process
    try:
        place = Path(f"/proc/{process.pid}") if process else Path()
        held = next(line for line in (place / "status").read_text().splitlines() if line.startswith("VmHWM"))
        (place / "clear_refs").write_text("5")
    except (OSError, StopIteration):
        return 0
    return 1024 * int(held.split()[1])


def _same(found: NDArray[np.uint16], whole: NDArray[np.uint16]) -> bool:
    return found.shape == whole.shape and float(np.mean(found == whole)) >= SAME
