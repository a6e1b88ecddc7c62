"""The one place that prints: a line a call, and nothing in it that a terminal would obey."""

import os
import sys
from typing import TextIO

from darkroom.errors import escaped


def line(text: object, *, file: TextIO | None = None) -> None:
    """Print a line to stdout, or to `file`: names, paths and errors come from files, so control characters go out as
    escapes. Raises BrokenPipeError where nobody reads on."""
    print(escaped(str(text)), file=file or sys.stdout, flush=True)


def silence(stream: int) -> None:
    """Have stdout, 1, or stderr, 2, which takes no more, take all that follows: or Python tries again as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
