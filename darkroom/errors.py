"""What can go wrong with what a user hands us. Every message is one line: `what: found; do this`."""

import re
from pathlib import Path


class DarkroomError(Exception):
    """Bad input, said in one line that names the file, what was found and what to do."""


class RawError(DarkroomError):
    """A raw file that cannot be decoded, or holds no mosaic that can be developed."""


class ModelError(DarkroomError):
    """An ONNX file that is no network of ours, or a device that is not there."""


class OutputError(DarkroomError):
    """A picture that cannot be written where it was asked for."""


class SettingsError(DarkroomError):
    """A setting whose value makes no sense; the command line reports it as wrong usage."""


def told(error: DarkroomError, path: Path) -> str:
    """Say an error in one line that names the file, which those raised far from it cannot."""
    line = " ".join(str(error).split())
    return line if line.startswith((f"{path}:", f"{path.name}:")) else f"{path}: {line}"


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What moves a terminal's cursor, breaks a line or turns the direction of writing."""


def escaped(text: str) -> str:
    r"""Write control characters as escapes: names come from files, and a terminal obeys what it is sent.

    >>> escaped("a\x1b[2Jb\n")
    'a\\x1b[2Jb\\n'
    """
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)
