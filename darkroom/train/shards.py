"""Clean photos by number, as many as there are: of each only its name, or its place in a tar shard, is held.

    folder, list or shards  ->  Files | Shards  ->  number  ->  Path | Member  ->  Photo

A million photos need neither a folder of their own nor memory: shards are plain tar files, as WebDataset's are, in
which JPEG, PNG, TIFF, WebP and AVIF count and all else is passed over. A photo in a shard is read and decoded when it
is drawn and not kept, for a cache of so many would be larger than they are; files are decoded into the cache.
"""

import csv
import os
import tarfile
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darkroom.batch import jobs
from darkroom.errors import SettingsError
from darkroom.sensor.photos import SUFFIXES
from darkroom.sensor.simulate import Photo
from darkroom.train import cache as caches
from darkroom.train.cache import Appearance, Cache

REDUCED_BY = 2.0
"""How much smaller than the camera's file a photo must be before its pixels count as clean."""
SHARD = ".tar"
Array = NDArray[np.int64]


@dataclass(frozen=True)
class Member:
    """A photo in a shard."""

    shard: Path
    at: int
    """Byte at which its header begins."""


@dataclass(frozen=True, eq=False)
class Files:
    """Photos that are files."""

    folder: Path
    names: tuple[str, ...]
    """Relative to the folder."""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> Path:
        return self.folder / self.names[number]

    def only(self, numbers: Array) -> "Files":
        """Keep some of the photos."""
        return Files(self.folder, tuple(self.names[number] for number in numbers))


@dataclass(frozen=True, eq=False)
class Shards:
    """Photos in tar files."""

    files: tuple[Path, ...]
    places: Array
    """(n, 2): a photo's shard, and the byte in it at which its header begins."""

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> Member:
        shard, at = self.places[number].tolist()
        return Member(self.files[shard], at)

    def only(self, numbers: Array) -> "Shards":
        """Keep some of the photos."""
        return Shards(self.files, self.places[numbers])


Photos = Files | Shards
NONE = Files(Path(), ())


def find(place: Path, cache: Cache) -> Photos:
    """Find the photos of a folder, a shard, or a text that names photos or shards, one a line, relative to it.

    What lies where in shards is remembered. Raises SettingsError where there is no photo, or something else.
    """
    if is_shard(place.name):
        return _in_shards((place,), cache)
    folder, names = (place.parent, _listed(place)) if place.is_file() else (place, _in_folder(place))
    shards = tuple(folder / name for name in names if is_shard(name))
    if shards and len(shards) < len(names):
        raise SettingsError(f"{place}: holds photos and {SHARD} shards; give one kind of them")
    return _in_shards(shards, cache) if shards else Files(folder, names)


def is_shard(name: str) -> bool:
    """Tell by the name."""
    return name.lower().endswith(SHARD)


def kept_in(photos: Photos) -> str:
    """Name the folder of the first photo."""
    first = photos[0]
    return (first if isinstance(first, Path) else first.shard).parent.name


def _in_folder(folder: Path) -> tuple[str, ...]:
    try:
        names = tuple(sorted(name for name in os.listdir(folder) if is_shard(name) or _is_photo(name)))
    except OSError:
        names = ()
    if not names:
        raise SettingsError(
            f"{folder}: holds no photo; name a folder of clean photos, JPEG, PNG or raw, or of {SHARD} shards"
        )
    return names


def _listed(file: Path) -> tuple[str, ...]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: is no list of photos ({error}); name a folder, or a text of paths") from error
    names = tuple(line for line in map(str.strip, lines) if line and not line.startswith("#"))
    for name in names:
        if not is_shard(name) and not _is_photo(os.path.basename(name)):
            raise SettingsError(f"{file}: {name} is no photo by its name; list JPEG, PNG or raw files, one a line")
    if not names:
        raise SettingsError(f"{file}: lists no photo; write one path a line")
    return names


def _is_photo(name: str) -> bool:
    return _is_picture(name) or jobs.is_raw(name)


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _in_shards(shards: tuple[Path, ...], cache: Cache) -> Shards:
    def look() -> Array:
        found = ([(number, at) for at in _pictures(shard)] for number, shard in enumerate(shards))
        return np.array(list(chain.from_iterable(found)), np.int64).reshape(-1, 2)

    return Shards(shards, cache.places(shards, look))


def _pictures(shard: Path) -> list[int]:
    """Byte at which each picture's header begins."""
    found = []
    try:
        with tarfile.open(shard, "r:") as archive:
            while (entry := archive.next()) is not None:
                if entry.isfile() and _is_picture(os.path.basename(entry.name)):
                    found.append(entry.offset)
                archive.members.clear()  # type: ignore[attr-defined]  # else it remembers them all
    except (OSError, tarfile.TarError) as error:
        raise SettingsError(f"{shard}: is no whole tar file ({error}); copy it again, uncompressed") from error
    if not found:
        raise SettingsError(f"{shard}: holds no photo; put JPEG, PNG, TIFF, WebP or AVIF files into it")
    return found


def opened(place: Path | Member, cache: Cache, look: Appearance) -> Photo:
    """Open a photo, reduced until its pixels count as clean, with the reference the look asks for.

    Raises SettingsError for what is no photo, RawError as `raw.read`.
    """
    if isinstance(place, Path):
        factor = max(1.0, REDUCED_BY / _reduced_already(place.parent, place.name))
        plain = cache.photo(place, factor, look="plain")
        return Photo(plain, plain if look == "plain" else cache.photo(place, factor, look=look))
    name, data = _unpacked(place)
    factor = max(1.0, REDUCED_BY / _reduced_already(place.shard.parent, name))
    plain = caches.read_picture(BytesIO(data), f"{place.shard}: {name}", factor)
    return Photo(plain, plain if look == "plain" else caches.looked(plain, look))


def _unpacked(member: Member) -> tuple[str, bytes]:
    """Read a photo out of its shard: its name without folders, and its bytes."""
    try:
        with member.shard.open("rb") as file:
            file.seek(member.at)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                entry = archive.next()
                data = archive.extractfile(entry) if entry else None
                assert entry and data, "the index knows files only"
                return os.path.basename(entry.name), data.read()
    except (OSError, tarfile.TarError) as error:
        raise SettingsError(f"{member.shard}: cannot be read any more ({error}); copy it again") from error


def _reduced_already(folder: Path, name: str) -> float:
    """How far a photo was reduced from the camera's file, as the sources.csv in its or its shard's folder says;
    else 1."""
    table = folder / "sources.csv"
    try:
        changed = table.stat().st_mtime_ns
    except OSError:
        return 1.0
    return _reductions(table, changed).get(name, 1.0)


@lru_cache(maxsize=4)
def _reductions(table: Path, changed: int) -> dict[str, float]:
    """Read a table; changed: when it was, for one that is changed is read anew."""
    with open(table, newline="", encoding="utf-8") as rows:
        try:
            return {row["file"]: float(row["reduced_by"]) for row in csv.DictReader(rows)}
        except (KeyError, ValueError, TypeError, csv.Error) as error:
            raise SettingsError(
                f"{table}: has no names under file, numbers under reduced_by ({error}); mend it, or name it otherwise"
            ) from None
