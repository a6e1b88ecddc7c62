"""The decoder's process: started early, ended with its parent, started anew when it is gone.

Only the standard library is imported here, so a command can start the process before it loads anything else, and LibRaw
loads beside all that (0.1 s of a 12 MP photo).
"""

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

PROGRAM = "darkroom.decode.libraw"
"""The module whose `serve` answers."""
PIPE = 1 << 20
"""Bytes the pipe from the process may hold, and are read at a time: small enough to stay in the processor's cache."""

_START = "import sys; sys.path[:] = sys.argv[1:]; from {program} import serve; serve()"
"""Runs the program; `sys` is built in, so nothing is looked for before the path is what the parent says."""

lock = threading.RLock()
"""Held by whoever talks with the process."""
process: subprocess.Popen[bytes] | None = None


def running() -> subprocess.Popen[bytes]:
    """Return the process, started now if none runs; does not wait until it is ready."""
    global process
    with lock:
        if process and process.poll() is None:
            return process
        end()
        command = [sys.executable, "-P", "-c", _START.format(program=PROGRAM), *_path()]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if sys.platform == "linux":
            import fcntl

            with contextlib.suppress(OSError):  # a user's share of large pipes may be used up
                assert process.stdout
                fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PIPE)
        return process


def _path() -> list[str]:
    """Where the process looks for modules: where the parent does, and in any case where this very package lies.

    But not in the folder one works in, which Python adds of itself: there may be a `numpy.py` among the photos.
    """
    package, here = str(Path(__file__).parents[2]), [""]
    with contextlib.suppress(FileNotFoundError):  # the folder may be gone
        here.append(os.getcwd())
    places = [place for place in sys.path if place == package or place not in here]
    return places if package in places else [package, *places]


def end() -> None:
    """End the process if one runs; the next file starts another."""
    global process
    with lock:
        ended, process = process, None
        if ended is None:
            return
        ended.kill()  # it holds nothing worth saving
        ended.wait()
        for pipe in (ended.stdin, ended.stdout):
            with contextlib.suppress(OSError):  # a request may still lie in the buffer
                assert pipe
                pipe.close()


def _forget() -> None:
    """Leave the process, and a lock that a thread may hold, to the parent that this process was forked from."""
    global process, lock
    if process:
        assert process.stdin and process.stdout
        process.stdin.close()
        process.stdout.close()
        process.returncode = 0  # not ours to wait for
    process, lock = None, threading.RLock()


atexit.register(end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
