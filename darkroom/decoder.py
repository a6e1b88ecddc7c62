"""One long-lived process that decodes raw files, and what it says, checked.

path -> facts, then (H, W) uint16 DN read straight from a pipe into the caller's array.

LibRaw is C++ that parses bytes nobody vouches for. In a process of its own (`libraw.py`) its crash or hang costs one
file: the process is killed, the file refused, and the next file starts a new one. Nothing the process says is
believed before it is checked.
"""

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darkroom import child
from darkroom.errors import RawError

PATIENCE = 60.0
"""seconds a file may take, at least; a 61 MP file takes about 2."""
_SLOWEST = 4e6
"""bytes a second: large files get more than `PATIENCE`, for they may come from a slow drive."""
_LONGEST_HEADER = 1 << 16
"""bytes; real headers have about 2,000."""
_MOST_SITES = 1 << 30
"""LibRaw itself refuses more than 2 GB of samples."""
_PROBE = 16
"""sites: side of the corner of the colour filter array that the process tells."""


@dataclass(frozen=True, eq=False)
class Facts:
    """What LibRaw says of an unpacked mosaic: of the right types and shapes, but not yet of sense."""

    height: int
    width: int
    top: int
    """Rows of margin above the visible picture."""
    left: int
    colours: NDArray[np.uint8]
    """(16, 16) colour of each site at the top left of the visible picture: 0 to 3 as in `names`, 6 for no filter."""
    names: str
    """One letter a colour, such as RGBG."""
    black: NDArray[np.float32]
    """(4,) DN by colour."""
    white: float
    camera_gains: NDArray[np.float32]
    """(4,) by colour, as the camera chose; zeros or worse where it did not."""
    daylight_gains: NDArray[np.float32]
    """(4,) by colour; ones where unknown."""
    camera_to_srgb: NDArray[np.float32]
    """(3, 4) zeros where unknown."""
    xyz_to_camera: NDArray[np.float32]
    """(4, 3) zeros where unknown."""
    seconds: float
    iso: float
    aperture: float
    flip: int
    """1 mirrors the columns, 2 the rows, 4 then swaps both."""
    pixel_aspect: float
    """Width of a photosite over its height."""
    chatter: str
    """What LibRaw printed."""


@dataclass(frozen=True)
class Refusal:
    """What LibRaw raised instead of decoding."""

    kind: str
    detail: str


Canvas = Callable[[Facts], NDArray[np.uint16]]
"""Gives the (H, W) array or view to read the visible mosaic into, once its size is known; may raise RawError."""


def decode(path: Path, canvas: Canvas, *, patience: float = PATIENCE) -> tuple[Facts, NDArray[np.uint16]] | Refusal:
    """Decode a file into the array that `canvas` gives.

    patience: seconds before the process counts as hung; large files get more. One file at a time: other threads wait.
    Raises RawError where the process dies, hangs or talks nonsense.
    """
    patience = max(patience, path.stat().st_size / _SLOWEST)
    request = {"path": os.fspath(path.absolute()), "seconds": int(patience) + 10}
    with child.lock:
        process = child.running()
        expired = threading.Event()
        watch = threading.Timer(patience, lambda: (expired.set(), process.kill()))
        watch.daemon = True
        watch.start()
        in_step = False  # until then, the pipe may hold half an answer
        try:
            _say(process, json.dumps(request))
            told = _told(process)
            if isinstance(told, Refusal):
                in_step = True
                return told
            try:
                mosaic = canvas(told)
            except RawError:
                _say(process, "skip")
                in_step = True
                raise
            _say(process, "send")
            _receive(process, mosaic)
            in_step = True
            return told, mosaic
        except (EOFError, OSError) as error:
            fault = _fault(process, patience, expired, nonsense=isinstance(error, EOFError) and bool(error.args))
            raise RawError(f"{path}: {fault}; copy it again from the card") from error
        finally:
            watch.cancel()
            watch.join()
            if expired.is_set() or not in_step:
                child.end()


def _say(process: subprocess.Popen[bytes], line: str) -> None:
    process.stdin.write(line.encode() + b"\n")
    process.stdin.flush()


def _told(process: subprocess.Popen[bytes]) -> Facts | Refusal:
    """Read and check the header of an answer; raises EOFError where there is none."""
    line = process.stdout.readline(_LONGEST_HEADER)
    if not line.endswith(b"\n"):
        raise EOFError
    try:
        header = json.loads(line)
        if "refused" in header:
            return Refusal(str(header["refused"])[:40], " ".join(str(header["detail"]).split())[:200])
        facts = Facts(
            height=int(header["height"]),
            width=int(header["width"]),
            top=int(header["top"]),
            left=int(header["left"]),
            colours=_array(header["colours"], (_PROBE, _PROBE), np.uint8),
            names=str(header["names"])[:4],
            black=_array(header["black"], (4,), np.float32),
            white=float(header["white"]),
            camera_gains=_array(header["camera_gains"], (4,), np.float32),
            daylight_gains=_array(header["daylight_gains"], (4,), np.float32),
            camera_to_srgb=_array(header["camera_to_srgb"], (3, 4), np.float32),
            xyz_to_camera=_array(header["xyz_to_camera"], (4, 3), np.float32),
            seconds=float(header["seconds"]),
            iso=float(header["iso"]),
            aperture=float(header["aperture"]),
            flip=int(header["flip"]),
            pixel_aspect=float(header["pixel_aspect"]),
            chatter=" ".join(str(header["chatter"]).split())[:400],
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise EOFError("an answer without sense") from error
    if facts.height < 1 or facts.width < 1 or facts.height * facts.width > _MOST_SITES:
        raise EOFError(f"a mosaic of {facts.width} x {facts.height}")
    return facts


def _array(numbers: list, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray:
    array = np.array(numbers, kind)
    if array.shape != shape:
        raise ValueError(f"{array.shape} numbers instead of {shape}")
    return array


def _receive(process: subprocess.Popen[bytes], mosaic: NDArray[np.uint16]) -> None:
    """Read (H, W) samples into an array or view, band by band; raises EOFError where they end too early."""
    rows = max(1, child.PIPE // mosaic[0].nbytes)
    buffer = None if mosaic.flags.c_contiguous else np.empty((rows, mosaic.shape[1]), np.uint16)
    for row in range(0, len(mosaic), rows):
        band = mosaic[row : row + rows]
        part = band if buffer is None else buffer[: len(band)]
        if process.stdout.readinto(part.data.cast("B")) < part.nbytes:
            raise EOFError
        if buffer is not None:
            band[:] = part


def _fault(process: subprocess.Popen[bytes], patience: float, expired: threading.Event, *, nonsense: bool) -> str:
    """Say in words why the process gave no whole answer."""
    if expired.is_set():
        return f"LibRaw was still decoding it after {patience:.0f} s and was stopped"
    if nonsense:
        return "LibRaw answered without sense"
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)  # seconds; its pipe closes a moment before it is gone
    code = process.returncode
    return f"LibRaw crashed on it (signal {-code})" if code and code < 0 else f"LibRaw crashed on it (exit code {code})"
