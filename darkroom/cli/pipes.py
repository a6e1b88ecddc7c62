"""A raw from stdin and a picture to stdout: `darkroom develop - < a.ARW > a.png`.

LibRaw and the encoders want files, so both pass through a folder that is gone afterwards.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from darkroom.cli import say
from darkroom.errors import OutputError, SettingsError

PIPE = "-"
STDIN = "stdin"
"""What a raw from there is called."""


@contextmanager
def piped(
    files: list[str], output: str | None, suffix: str, *, pictures: int, dry_run: bool, as_json: bool
) -> Iterator[tuple[list[str], str | None, Path | None]]:
    """Put files in the place of pipes: what is asked for comes back with their names, and stdout is fed at the end.

    The last is the file in stdin's place, where there is one. A raw from stdin goes to stdout unless something else is
    said. pictures: of each photo. Raises SettingsError for pipes that cannot serve.
    """
    if files == [PIPE] and output is None:
        output = PIPE
    if output == PIPE and as_json:
        raise SettingsError("-o -: stdout takes the picture or --json, not both; leave one out")
    if output == PIPE and sys.stdout.isatty() and not dry_run:
        raise SettingsError("-o -: would fill the terminal with a picture; send it to a file, or to a program")
    if output == PIPE and len(files) != 1:
        raise SettingsError(f"-o -: stdout takes one picture, but {len(files)} photos were given; give one")
    if output == PIPE and pictures != 1:
        raise SettingsError(f"-o -: stdout takes one picture, but {pictures} brightnesses were asked for; give one")
    if PIPE not in files and output != PIPE:
        yield files, output, None
        return
    with TemporaryDirectory(prefix="darkroom-") as folder:
        raw, picture = Path(folder, STDIN), Path(folder, f"stdout{suffix}")
        if dry_run:
            raw, picture = Path(STDIN), Path(f"stdout{suffix}")
        elif PIPE in files:
            with raw.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        given = [str(raw) if file == PIPE else file for file in files]
        yield given, str(picture) if output == PIPE else output, raw if PIPE in files else None
        if output == PIPE and not dry_run and picture.exists():
            try:
                with picture.open("rb") as made, suppress(BrokenPipeError):
                    shutil.copyfileobj(made, sys.stdout.buffer)
                    sys.stdout.buffer.flush()
            except OSError as error:
                say.silence(1)
                reason = (error.strerror or str(error)).lower()
                raise OutputError(f"stdout: cannot be written ({reason}); make room, or send it elsewhere") from error
