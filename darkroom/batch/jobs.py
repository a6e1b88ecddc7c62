"""Which raw files are meant, and where each one's pictures go.

files, folders, globs + what the user said of the output -> jobs, and what needs no work for what is there already

Nothing is made here, and nothing opened but what names and linear DNGs need: it serves a dry run too, and conflicts are
known before a photo is decoded. The file system is asked once a folder, not once a photo, as far as that can be: an
archive has a million of them, and may lie on another machine.
"""

import gc
import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from darkroom.batch import names as naming
from darkroom.batch.disk import Disk, real
from darkroom.batch.names import Conflict, Facts
from darkroom.errors import OutputError, SettingsError
from darkroom.write import image, linear

RAW_SUFFIXES = frozenset(
    ".3fr .ari .arw .bay .cap .cr2 .cr3 .crw .dcr .dng .erf .fff .gpr .iiq .k25 .kdc .mef .mos .mrw .nef .nrw .orf"
    " .ori .pef .pxn .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f".split()
)
"""What counts as a raw photo in a folder or a glob (LibRaw's formats); a file named outright is tried anyway."""


@dataclass(frozen=True, slots=True)
class Source:
    """A raw file the user meant."""

    path: Path
    below: Path
    """Its folder, relative to the folder the user named; mirrored in the output."""
    named: bool
    """Named as a file, not found in a folder."""


@dataclass(frozen=True, slots=True)
class Target:
    """One picture to be made."""

    path: Path
    bracket: float
    """Factor on the ratio."""
    overwrite: bool
    """What lies there may be replaced."""
    late: Facts | None = None
    """Where the path is still a template, because it waits for the picture: what the photo says of itself."""
    rule: Conflict = "error"
    """What then is to be done about what lies there."""

    @property
    def shown(self) -> Path:
        """The path, as far as it is known."""
        return self.path if self.late is None else Path(naming.filled(str(self.path), self.late))

    def named(self, ratio: float, model: str) -> "tuple[Target, bool]":
        """Give the target its name, now that the picture is known, and whether it is to be skipped."""
        if self.late is None:
            return self, False
        name, disk = naming.filled(str(self.path), self.late, ratio=ratio, model=model), Disk()
        if self.rule == "unique":
            name = _free(name, {}, disk)
        _, there, empty = disk.at(name)
        taken = there and not empty
        return Target(Path(name), self.bracket, self.rule == "overwrite" or empty), self.rule == "skip" and taken


@dataclass(frozen=True, slots=True)
class Job:
    """One raw file and the pictures to be made of it."""

    input: Path
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
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
    folder: Path = Path()
    """Where the pictures go, or the folders that mirror the photos'."""

    @property
    def pictures(self) -> int:
        return len(self.settled) + sum(len(job.targets) for job in self.jobs)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep Python from looking for circles in what is made in masses and has none: that took a quarter of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@_uncollected()
def plan(
    names: Sequence[str],
    *,
    place: str | None = None,
    suffix: str = ".png",
    brackets: Sequence[float] = (),
    conflict: Conflict | None = None,
    recursive: bool = False,
    older: Callable[[Path], frozenset[str]] = lambda folder: frozenset(),
) -> Batch:
    """Find the raw files, name their pictures, and settle what to do about those already there. Touches nothing.

    names: files, folders and globs. place: a folder, mirrored into, or a picture's own name; by default the current
    folder. suffix: the pictures', with its dot. brackets: factors on the ratio, one picture each. conflict: by default
    "error" for files named outright, "skip" for those found in folders. older: tells, of the folder, which pictures
    "older" is to replace, by absolute path; the others that exist are skipped. Raises SettingsError where nothing is
    found or two pictures would share a name, OutputError where the place cannot be written to.
    """
    disk = Disk()
    inputs = _found(names, recursive, disk)
    if suffix == ".dng":
        inputs = _unmade(inputs)
    sources = list(inputs.values())
    template = place if place is not None and naming.is_template(place) else None
    told: list[Facts | None] = [None] * len(sources)
    if template is not None:
        naming.check(template)
        if conflict == "older" and naming.late(template):
            raise SettingsError(
                f"-o {place}: is known only once a picture is made; for older, leave ratio and model out"
            )
        template = template.removesuffix(suffix)
        folder = naming.folder(template)
        _check_writable(folder)
        told = [naming.facts(source.path) for source in sources]
        bases = [template if naming.late(template) else naming.filled(template, each) for each in told if each]
    else:
        folder, stem = _place(place, sources)
        _check_writable(folder)
        bases = _bases(sources, folder, stem, disk)
    replaced = older(folder) if conflict == "older" else frozenset()
    claimed: dict[str, Path] = {}
    jobs, settled = [], []
    for source, base, each in zip(sources, bases, told, strict=True):
        rule = conflict or ("error" if source.named else "skip")
        targets = []
        for bracket in brackets or (1.0,):
            name = f"{base}_x{bracket:g}{suffix}" if brackets else base + suffix
            if template is not None and naming.late(template):
                targets.append(Target(Path(name), bracket, overwrite=False, late=each, rule=rule))
                continue
            if rule == "unique":
                name = _free(name, claimed, disk)
            key, there, empty = disk.at(name)
            path = Path(name)
            if key in claimed:
                raise SettingsError(
                    f"{path}: both {claimed[key]} and {source.path} would be written there; "
                    "develop one at a time, or pass --on-conflict unique"
                )
            if key in inputs:
                raise SettingsError(f"{path}: is a raw file to be developed; choose another -o or --format")
            claimed[key] = source.path
            taken = there and not empty
            if conflict == "older":
                rule = "overwrite" if os.path.abspath(name) in replaced else "skip"
            if rule == "skip" and taken:
                settled.append(Settled(source.path, path, None))
            elif rule == "error" and taken:
                error = f"{path}: already exists; pass --on-conflict skip, overwrite or unique"
                settled.append(Settled(source.path, path, error))
            else:
                targets.append(Target(path, bracket, overwrite=rule == "overwrite" or empty))
        if targets:
            jobs.append(Job(source.path, tuple(targets)))
    return Batch(tuple(jobs), tuple(settled), folder)


def found(names: Sequence[str], recursive: bool) -> list[Source]:
    """Find every file meant, once, in the order given and by name within a folder.

    Raises SettingsError for a pattern that matches nothing or a folder without raw photos.
    """
    return list(_found(names, recursive, Disk()).values())


def _found(names: Sequence[str], recursive: bool, disk: Disk) -> dict[str, Source]:
    """As `found`, by what each is on the disk."""
    sources: dict[str, Source] = {}
    for name in names:
        for key, source in _meant(name, recursive, disk):
            sources.setdefault(key, source)
    return sources


def _unmade(inputs: dict[str, Source]) -> dict[str, Source]:
    """Leave out the linear DNGs that an earlier run made of photos beside them; raises SettingsError if that is all."""
    left = {
        key: source
        for key, source in inputs.items()
        if source.named or source.path.suffix.lower() != ".dng" or not linear.is_own(source.path)
    }
    if inputs and not left:
        raise SettingsError(
            f"{next(iter(inputs.values())).path.parent}: holds no raw photos but DNGs that darkroom made; name another"
        )
    return left


def _meant(name: str, recursive: bool, disk: Disk) -> Iterator[tuple[str, Source]]:
    path = Path(name)
    if path.is_dir():
        yield from _in_folder(path, recursive, disk)
    elif os.path.lexists(path) or not any(sign in name for sign in "*?["):
        key = real(path) if path.is_symlink() else disk.key(*os.path.split(path))
        yield key, Source(path, Path(), named=True)  # a missing file is refused by raw.read, and the others go on
    else:
        matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]
        matches = [match for match in matches if match.is_dir() or is_raw(match.name)]
        if not matches:
            raise SettingsError(f"{name}: no raw photos match; check the pattern")
        for match in matches:
            yield from _meant(str(match), recursive, disk)


def _in_folder(folder: Path, recursive: bool, disk: Disk) -> Iterator[tuple[str, Source]]:
    empty = True
    for here, names in _walk(str(folder), recursive):
        beside = Path(here)
        below = beside.relative_to(folder)
        for name, linked in names:
            empty = False
            path = beside / name
            yield real(path) if linked else disk.key(here, name), Source(path, below, named=False)
    if empty:
        below_too = "" if recursive else ", or add -r to look in the folders below"
        raise SettingsError(f"{folder}: no raw photos in this folder; name another{below_too}")


def _walk(folder: str, recursive: bool) -> Iterator[tuple[str, list[tuple[str, bool]]]]:
    """List a folder's raw files, and with `recursive` those of the folders below: names, and which are links.

    Links to folders are not followed; a folder that cannot be read is passed over.
    """
    files, folders = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_dir():
                    if is_raw(entry.name):
                        files.append((entry.name, entry.is_symlink()))
                elif recursive and not entry.name.startswith(".") and not entry.is_symlink():
                    folders.append(entry.name)
    except OSError:
        return
    yield folder, sorted(files)
    del files
    for name in sorted(folders):
        yield from _walk(os.path.join(folder, name), recursive)


def is_raw(name: str) -> bool:
    """Tell by name. One that starts with a dot is no photo: macOS keeps a `._IMG.ARW` beside each on foreign disks."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in RAW_SUFFIXES


def folder(place: str | None) -> Path:
    """Tell where pictures go, or the folders that mirror the photos', by what -o says of many."""
    if place is None:
        return Path()
    return naming.folder(place) if naming.is_template(place) else Path(place)


def _place(place: str | None, sources: list[Source]) -> tuple[Path, str | None]:
    """Split what -o says into a folder and, where it names one picture, that picture's name without suffix."""
    if place is None:
        return Path(), None
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


def _bases(sources: list[Source], folder: Path, stem: str | None, disk: Disk) -> list[str]:
    """Where each photo's picture goes, without its suffix. IMG.ARW beside IMG.DNG gives IMG_ARW and IMG_DNG."""
    if stem is not None:
        return [os.path.join(folder, stem)]
    mirrored = {below: os.fspath(folder / below) for below in {source.below for source in sources}}
    stems = [source.path.stem for source in sources]
    plain = [os.path.join(mirrored[source.below], stem) for source, stem in zip(sources, stems, strict=True)]
    keys = [disk.key(mirrored[source.below], stem) for source, stem in zip(sources, stems, strict=True)]
    times = Counter(keys)
    return [
        base + source.path.suffix.replace(".", "_") if times[key] > 1 else base
        for source, base, key in zip(sources, plain, keys, strict=True)
    ]


def _free(path: str, claimed: dict[str, Path], disk: Disk) -> str:
    """The first of IMG.png, IMG_2.png, IMG_3.png ... that no one has."""
    (stem, suffix), free, number = os.path.splitext(path), path, 1
    while True:
        key, there, empty = disk.at(free)
        if key not in claimed and (empty or not there):
            return free
        number += 1
        free = f"{stem}_{number}{suffix}"
