"""What lies on the disk where pictures are to go, asked once a folder and not once a picture, as far as that can be.

a path, however it is spelled -> one string for the file, and whether anything is there
"""

import os
import stat
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

_FEW = 32
"""Questions about a folder that are asked one by one before its list of names is read instead."""


@dataclass(frozen=True)
class Disk:
    """What lies where, remembered while one batch is planned."""

    real: dict[str, str] = field(default_factory=dict)
    """Folder as it is spelled -> its one true name, ready for a name in it."""
    asked: Counter[str] = field(default_factory=Counter)
    names: dict[str, frozenset[str]] = field(default_factory=dict)
    """Folder -> what lies in it, folded."""

    def at(self, path: str) -> tuple[str, bool, bool]:
        """One string for one file however it is spelled, whether anything is there, and whether that has no byte.

        An empty file is what a killed run may leave on a disk that has no hard links.
        """
        folder, name = os.path.split(path)
        if not self._may_be(folder, name):
            return self.key(folder, name), False, False
        try:
            found = os.lstat(path)
        except OSError:
            return self.key(folder, name), False, False
        if stat.S_ISLNK(found.st_mode):
            return real(path), True, os.path.isfile(path) and os.path.getsize(path) == 0
        return self.key(folder, name), True, stat.S_ISREG(found.st_mode) and found.st_size == 0

    def key(self, folder: str, name: str) -> str:
        """One string for a file that is no link itself."""
        if name in ("", os.pardir):
            return real(os.path.join(folder, name))
        if folder not in self.real:
            self.real[folder] = os.path.join(os.path.realpath(folder), "")
        return os.path.normcase(self.real[folder] + name)

    def _may_be(self, folder: str, name: str) -> bool:
        """Tell whether a file may be there; a folder that is asked about often is listed."""
        if folder not in self.names:
            self.asked[folder] += 1
            if self.asked[folder] <= _FEW:
                return True
            try:
                self.names[folder] = frozenset(map(folded, os.listdir(folder or os.curdir)))
            except OSError:  # none such yet
                self.names[folder] = frozenset()
        return folded(name) in self.names[folder]


def folded(name: str) -> str:
    """What a file system that sees no case, or spells accents its own way, may take for the same name."""
    return name.casefold() if name.isascii() else unicodedata.normalize("NFKC", name).casefold()


def real(path: str | Path) -> str:
    """The one true name of a file, links followed."""
    return os.path.normcase(os.path.realpath(path))
