"""The part of `darkroom bench` that does harm: damaged raws, kills, full disks, hostile files, and tables of them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from glob import glob
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from darkroom.cli import say
from darkroom.errors import SettingsError, escaped

if TYPE_CHECKING:
    from darkroom.evaluate.ordeal import Ordeal

ALL = "faults"
PARTS = ("raws", "kills", "disks", "hostile")


def parts(groups: tuple[str, ...]) -> tuple[str, ...]:
    """Say which parts are asked for; SettingsError where other words stand beside them."""
    asked = tuple(part for part in PARTS if part in groups or ALL in groups)
    others = [group for group in groups if group not in (ALL, *PARTS)]
    if asked and others:
        raise SettingsError(f"{others[0]}: is no fault; leave it out beside {asked[0]}")
    return asked


def faults(asked: tuple[str, ...], places: list[str], rounds: int, as_json: bool, tell: Callable[[str], None]) -> None:
    """Do the harm that is asked for, and print what came of it; `tell` hears what was wrong, line by line."""
    if "raws" in asked:
        _raws(_files(places), rounds, as_json, tell)
    if "raws" not in asked or asked[1:]:
        _ordeals(asked, rounds, as_json, tell)


def _files(places: list[str]) -> list[Path]:
    """The files in folders and of patterns."""
    found: list[Path] = []
    for place in places:
        matches = sorted(Path(place).iterdir()) if Path(place).is_dir() else sorted(map(Path, glob(place)))
        if not matches:
            raise SettingsError(f"--raws {place}: no such folder or files; check the name")
        found += [match for match in matches if match.is_file()]
    if not found:
        raise SettingsError("raws: needs whole raw files to damage; give them by --raws")
    return found


def _raws(files: list[Path], rounds: int, as_json: bool, tell: Callable[[str], None]) -> None:
    from darkroom.evaluate import faults as damage

    tallies = damage.campaign(
        files,
        cuts=rounds,
        on_missed=lambda file, kind, start: tell(f"{escaped(str(file))}: {kind} from byte {start} was developed"),
    )
    if as_json:
        for tally in tallies:
            say.line(json.dumps(asdict(tally)))
        return
    say.line(f"{'':18}{'mutants':>9}{'refused':>9}{'sound':>7}{'missed':>8}{'process fell':>14}{'MB':>6}")
    for tally in tallies:
        say.line(
            f"{tally.kind:18}{tally.mutants:9}{tally.refused:9}{tally.sound:7}{tally.missed:8}{tally.fell:14}"
            f"{tally.peak / 1e6:6.0f}"
        )


def _ordeals(asked: tuple[str, ...], rounds: int, as_json: bool, tell: Callable[[str], None]) -> None:
    trains, clusters = (all(map(find_spec, names)) for names in (("torch", "safetensors"), ("dask", "distributed")))
    if not as_json:
        say.line(f"{'':34}{'tried':>7}{'unharmed':>10}{'stopped':>9}{'wrong':>7}")
    for each in chain.from_iterable(_campaigns(asked, rounds, trains, clusters, tell)):
        if as_json:
            say.line(json.dumps(asdict(each)))
        else:
            say.line(f"{each.what:34}{each.tried:7}{each.unharmed:10}{each.stopped:9}{each.wrong:7}")


def _campaigns(
    asked: tuple[str, ...], rounds: int, trains: bool, clusters: bool, tell: Callable[[str], None]
) -> "Iterator[Iterator[Ordeal]]":
    from darkroom.evaluate import disks, hostile, kills

    def wrong(line: str) -> None:
        tell(escaped(line))

    if "kills" in asked:
        yield kills.campaign(rounds, trains=trains, clusters=clusters, on_wrong=wrong)
    if "disks" in asked:
        yield disks.campaign(rounds, trains=trains, on_wrong=wrong)
    if "hostile" in asked:
        yield hostile.campaign(rounds, trains=trains, on_wrong=wrong)
