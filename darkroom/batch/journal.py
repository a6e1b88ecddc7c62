"""What was done in an output folder, picture by picture: with which settings, by which network, and what failed.

results -> one SQLite file in the folder -> which pictures an older network developed, and a report

Names are kept relative to the folder, so that it can be moved. One process at a time writes: that of the command,
whichever machines the work is done on.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from darkroom import __version__, documents
from darkroom.batch.batch import Choice, Result
from darkroom.develop import model
from darkroom.develop.pipeline import Settings
from darkroom.errors import OutputError, SettingsError

NAME = "darkroom.sqlite"
APPLICATION = 0x6461726B
"""SQLite's mark of what program a file belongs to: "dark"."""
SCHEMA = """
create table if not exists pictures (
    output primary key, input, network text, version integer, ratio real, clipped real, device text, precision text,
    settings text, seconds real, darkroom text, done text
) without rowid;
create table if not exists failures (input primary key, error text, done text) without rowid;
"""
UNRECORDED = ("memory", "bracket")
"""Settings that say nothing of how a picture looks beside what is recorded anyway."""


@dataclass(frozen=True)
class Group:
    """Pictures that one network made with the same settings."""

    network: str
    version: int
    settings: dict[str, object]
    pictures: int
    seconds: float
    """Of all stages of all of them, one after another."""
    first: str
    """When the first of them was done, as ISO 8601 in UTC; `last` likewise."""
    last: str


@dataclass(frozen=True)
class Failure:
    """A raw file that could not be developed, and has not been since."""

    input: str
    error: str
    done: str


class Journal:
    """A journal that is open for writing; every result is on the disk when `note` returns."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        """Open a folder's journal, or begin one. Raises OutputError where that cannot be."""
        self.folder = folder
        self._settings = json.dumps(_recorded(settings), sort_keys=True)
        with _told(folder / NAME):
            folder.mkdir(parents=True, exist_ok=True)
            self._base = _opened(folder / NAME)
            self._base.executescript(SCHEMA)

    def note(self, result: Result) -> None:
        """Write down what became of one picture; what was skipped stands there as it was. Raises OutputError."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with _told(self.folder / NAME), self._base:
            if result.outcome == "failed":
                row = (_name(result.input, self.folder), result.error, now)
                self._base.execute("replace into failures values (?, ?, ?)", row)
            elif result.outcome == "written" and result.output and result.seconds:
                source = _name(result.input, self.folder)
                self._base.execute("delete from failures where input = ?", (source,))
                self._base.execute(
                    f"replace into pictures values ({', '.join('?' * 12)})",
                    (
                        _name(result.output, self.folder),
                        source,
                        result.model,
                        result.version,
                        result.ratio,
                        result.clipped,
                        result.device,
                        result.precision,
                        self._settings,
                        sum(asdict(result.seconds).values()),
                        __version__,
                        now,
                    ),
                )

    def close(self) -> None:
        """Close the file."""
        self._base.close()


def older(folder: Path, newest: Mapping[str, int]) -> frozenset[str]:
    """Find the pictures that an older version of a network developed: absolute paths.

    newest: name -> version of the networks there are now. Raises SettingsError where the folder has no journal.
    """
    with _reading(folder) as base:
        rows = base.execute("select output, network, version from pictures").fetchall()
    return frozenset(_path(name, folder) for name, network, version in rows if version < newest.get(network, version))


def newest(choice: Choice) -> dict[str, int]:
    """Name -> version of the networks that a choice may mean. Raises ModelError where it means none."""
    names = [choice.name] if choice.name else [model.default(cfa, choice.quality) for cfa in ("bayer", "xtrans")]
    contracts = [model.read_contract(model.find(name)) for name in names]
    return {contract.name: contract.version for contract in contracts}


def report(folder: Path) -> tuple[list[Group], list[Failure]]:
    """Sum up a folder's journal: its pictures by network and settings, the most recent last; and what failed.

    Raises SettingsError where the folder has no journal, OutputError where it is damaged.
    """
    with _reading(folder) as base:
        groups = base.execute(
            "select network, version, settings, count(*), sum(seconds), min(done), max(done) from pictures"
            " group by network, version, settings order by max(done)"
        ).fetchall()
        failures = base.execute("select input, error, done from failures order by done, input").fetchall()
        return (
            [Group(row[0], row[1], dict(documents.from_json(row[2])), *row[3:]) for row in groups],
            [Failure(_path(name, folder), error, done) for name, error, done in failures],
        )


def _recorded(settings: Settings) -> dict[str, object]:
    return {name: value for name, value in asdict(settings).items() if name not in UNRECORDED}


def _opened(file: Path) -> sqlite3.Connection:
    base = sqlite3.connect(file, timeout=30)  # seconds
    try:
        (mark,) = base.execute("pragma application_id").fetchone()
        if mark != APPLICATION:
            if base.execute("select count(*) from sqlite_master").fetchone() != (0,):
                raise sqlite3.DatabaseError("a database of another program")
            base.execute(f"pragma application_id = {APPLICATION}")
        for (fault,) in base.execute("pragma quick_check(1)"):
            if fault != "ok":
                raise sqlite3.DatabaseError(fault)
    except sqlite3.Error:
        base.close()
        raise
    return base


@contextmanager
def _reading(folder: Path) -> Iterator[sqlite3.Connection]:
    file = folder / NAME
    if not file.is_file():
        raise SettingsError(f"{file}: no such journal; develop into this folder with --journal first")
    with _told(file), closing(_opened(file)) as base:
        yield base


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """Say in one line what is wrong with a journal."""
    try:
        yield
    except (OSError, sqlite3.Error, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise OutputError(f"{file}: cannot be used as a journal ({reason}); make room, or take it away") from error


def _name(path: Path, folder: Path) -> str | bytes:
    """A path relative to the folder; as bytes where it is no text, which SQLite would refuse."""
    try:
        name = os.path.relpath(path, folder)
    except ValueError:  # on another drive of Windows
        name = os.path.abspath(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name)
    return name


def _path(name: str | bytes, folder: Path) -> str:
    return os.path.abspath(folder / os.fsdecode(name))
