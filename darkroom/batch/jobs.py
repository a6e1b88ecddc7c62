"""Which raw files are meant, and where each one's pictures go.

files, folders, globs + what the user said of the output -> jobs, and what needs no work for what is there already

Nothing is opened and nothing made here: it serves a dry run too, and conflicts are known before a photo is decoded.
"""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from darkroom.errors import OutputError, SettingsError
from darkroom.write import image

RAW_SUFFIXES = frozenset(
    ".3fr .ari .arw .bay .cap .cr2 .cr3 .crw .dcr .dng .erf .fff .gpr .iiq .k25 .kdc .mef .mos .mrw .nef .nrw .orf"
    " .ori .pef .pxn .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f".split()
)
"""What counts as a raw photo in a folder or a glob (LibRaw's formats); a file named outright is tried anyway."""

Conflict = Literal["error", "skip", "overwrite", "unique"]


@dataclass(frozen=True)
class Source:
    """A raw file the user meant."""

    path: Path
    below: Path
    """Its folder, relative to the folder the user named; mirrored in the output."""
    named: bool
    """Named as a file, not found in a folder."""


@dataclass(frozen=True)
class Target:
    """One picture to be made."""

    path: Path
    bracket: float
    """Factor on the ratio."""
    overwrite: bool
    """What lies there may be replaced."""


@dataclass(frozen=True)
class Job:
    """One raw file and the pictures to be made of it."""

    input: Path
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Settled:
    """A picture that needs no work, for something lies in its place."""

    input: Path
    path: Path
    error: str | None
    """One line where that is a conflict; None where the picture is skipped."""


@dataclass(frozen=True)
class Batch:
    """What is to be done, and what needs no doing."""

    jobs: tuple[Job, ...]
    settled: tuple[Settled, ...]

    @property
    def pictures(self) -> int:
        return len(self.settled) + sum(len(job.targets) for job in self.jobs)


def plan(
    names: Sequence[str],
    *,
    place: str | None = None,
    suffix: str = ".png",
    brackets: Sequence[float] = (),
    conflict: Conflict | None = None,
    recursive: bool = False,
) -> Batch:
    """Find the raw files, name their pictures, and settle what to do about those already there. Touches nothing.

    names: files, folders and globs. place: a folder, mirrored into, or a picture's own name; by default the current
    folder. suffix: the pictures', with its dot. brackets: factors on the ratio, one picture each. conflict: by default
    "error" for files named outright, "skip" for those found in folders. Raises SettingsError where nothing is found or
    two pictures would share a name, OutputError where the place cannot be written to.
    """
    sources = found(names, recursive)
    folder, stem = _place(place, sources)
    _check_writable(folder)
    bases = _bases(sources, folder, stem)
    inputs = {_key(source.path): source.path for source in sources}
    claimed: dict[str, Path] = {}
    jobs, settled = [], []
    for source, base in zip(sources, bases, strict=True):
        rule = conflict or ("error" if source.named else "skip")
        targets = []
        for bracket in brackets or (1.0,):
            path = base.with_name(f"{base.name}_x{bracket:g}{suffix}" if brackets else base.name + suffix)
            if rule == "unique":
                path = _free(path, claimed)
            if _key(path) in claimed:
                raise SettingsError(
                    f"{path}: both {claimed[_key(path)]} and {source.path} would be written there; "
                    "develop one at a time, or pass --on-conflict unique"
                )
            if _key(path) in inputs:
                raise SettingsError(f"{path}: is a raw file to be developed; choose another -o or --format")
            claimed[_key(path)] = source.path
            if rule == "skip" and _taken(path):
                settled.append(Settled(source.path, path, None))
            elif rule == "error" and _taken(path):
                error = f"{path}: already exists; pass --on-conflict skip, overwrite or unique"
                settled.append(Settled(source.path, path, error))
            else:
                targets.append(Target(path, bracket, overwrite=rule == "overwrite" or _is_empty(path)))
        if targets:
            jobs.append(Job(source.path, tuple(targets)))
    return Batch(tuple(jobs), tuple(settled))


def found(names: Sequence[str], recursive: bool) -> list[Source]:
    """Find every file meant, once, in the order given and by name within a folder.

    Raises SettingsError for a pattern that matches nothing or a folder without raw photos.
    """
    sources: dict[str, Source] = {}
    for name in names:
        for source in _meant(name, recursive):
            sources.setdefault(_key(source.path), source)
    return list(sources.values())


def _meant(name: str, recursive: bool) -> Iterator[Source]:
    path = Path(name)
    if path.is_dir():
        yield from _in_folder(path, recursive)
    elif os.path.lexists(path) or not any(sign in name for sign in "*?["):
        yield Source(path, Path(), named=True)  # a missing file is refused by raw.read, and the others go on
    else:
        matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]
        matches = [match for match in matches if match.is_dir() or is_raw(match.name)]
        if not matches:
            raise SettingsError(f"{name}: no raw photos match; check the pattern")
        for match in matches:
            yield from _meant(str(match), recursive)


def _in_folder(folder: Path, recursive: bool) -> Iterator[Source]:
    empty = True
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        for file in sorted(filter(is_raw, files)):
            empty = False
            path = Path(here, file)
            yield Source(path, path.parent.relative_to(folder), named=False)
    if empty:
        below = "" if recursive else ", or add -r to look in the folders below"
        raise SettingsError(f"{folder}: no raw photos in this folder; name another{below}")


def is_raw(name: str) -> bool:
    """Tell by name. One that starts with a dot is no photo: macOS keeps a `._IMG.ARW` beside each on foreign disks."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in RAW_SUFFIXES


def _place(place: str | None, sources: list[Source]) -> tuple[Path, str | None]:
    """Split what -o says into a folder and, where it names one picture, that picture's name without suffix."""
    if place is None:
        return Path(), None
    if place == "-":
        raise SettingsError(
            '-o -: pictures are written to files only; name one or a folder ("./-" for one of that name)'
        )
    path = Path(place)
    if path.is_dir() or place.endswith(("/", os.sep)):
        return path, None
    if path.suffix.lower() in image.DEPTHS:
        if len(sources) > 1:
            raise SettingsError(f"{place}: names one picture, but {len(sources)} photos were given; name a folder")
        return path.parent, path.stem
    if path.exists():
        raise SettingsError(
            f"{place}: is a file, but no picture; name a folder, or a .png, .tif, .jpg, .avif, .jxl or .dng"
        )
    if path.suffix and len(sources) == 1 and sources[0].named:
        raise SettingsError(f'{place}: cannot write "{path.suffix}"; name it {image.NAMES}; or end a folder in /')
    return path, None


def _check_writable(folder: Path) -> None:
    above = folder.absolute()
    while not above.exists():
        above = above.parent
    if not above.is_dir():
        raise OutputError(f"{folder}: {above} is a file, not a folder; choose another -o")
    if not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(f"{folder}: the folder {above} may not be written to; choose another with -o")


def _bases(sources: list[Source], folder: Path, stem: str | None) -> list[Path]:
    """Where each photo's picture goes, without its suffix. IMG.ARW beside IMG.DNG gives IMG_ARW and IMG_DNG."""
    if stem is not None:
        return [folder / stem]
    plain = [folder / source.below / source.path.stem for source in sources]
    shared = Counter(map(_key, plain))
    return [
        base.with_name(base.name + source.path.suffix.replace(".", "_")) if shared[_key(base)] > 1 else base
        for source, base in zip(sources, plain, strict=True)
    ]


def _key(path: Path) -> str:
    """One string for one file, however it is spelled."""
    return os.path.normcase(os.path.realpath(path))


def _taken(path: Path) -> bool:
    return os.path.lexists(path) and not _is_empty(path)


def _is_empty(path: Path) -> bool:
    """Tell a file without a byte: what a killed run may leave on a disk that has no hard links."""
    return path.is_file() and path.stat().st_size == 0


def _free(path: Path, claimed: dict[str, Path]) -> Path:
    """The first of IMG.png, IMG_2.png, IMG_3.png ... that no one has."""
    stem, number = path.stem, 1
    while _taken(path) or _key(path) in claimed:
        number += 1
        path = path.with_name(f"{stem}_{number}{path.suffix}")
    return path
