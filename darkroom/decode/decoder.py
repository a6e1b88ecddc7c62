"""One long-lived process that decodes raw files, and what it says, checked.

path -> facts, then (H, W) uint16 DN read straight from a pipe into the caller's array; and, where it is asked for,
LibRaw's own (H, W, 3) uint16 picture.

LibRaw is C++ that parses bytes nobody vouches for. In a process of its own (`libraw.py`) its crash or hang costs one
file: the process is killed, the file refused, and the next file starts a new one. Nothing the process says is
believed before it is checked.
"""

import contextlib
import io
import json
import math
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from darkroom import documents
from darkroom.decode import child
from darkroom.errors import RawError

Answer = TypeVar("Answer")
Number = TypeVar("Number", bound=np.generic)
Header = dict[str, Any]
"""JSON, whose values are checked one by one."""

PATIENCE = 60.0
"""seconds a file may take, at least; a 61 MP file takes about 2."""
_SLOWEST = 4e6
"""bytes a second: large files get more than `PATIENCE`, for they may come from a slow drive."""
_SLOWEST_RENDERING = 1e6
"""bytes a second where LibRaw renders, too: X-Trans at 24 MP takes 10 s on one slow core."""
_LONGEST_HEADER = 1 << 16
"""bytes; real headers have about 2,000."""
_MOST_SITES = 1 << 30
"""LibRaw itself refuses more than 2 GB of samples."""
_LONGEST_PREVIEW = 1 << 28
"""bytes; a JPEG of 61 MP has some 3e7."""
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


@dataclass(frozen=True)
class Rendering:
    """How LibRaw shall develop a file."""

    colours: Literal["raw", "sRGB"]
    """raw: the sensor's own, white-balanced."""
    gamma: tuple[float, float]
    """Power, and slope of the linear foot: (2.222, 4.5) is BT.709."""
    gains: tuple[float, ...] | None
    """(4,) by colour; None: those the camera chose."""
    span: int
    """DN from black, the least of the sites', to white."""


Canvas = Callable[[Facts], NDArray[np.uint16]]
"""Gives the (H, W) array or view to read the visible mosaic into, once its size is known; may raise RawError."""


def decode(path: Path, canvas: Canvas, *, patience: float = PATIENCE) -> tuple[Facts, NDArray[np.uint16]] | Refusal:
    """Decode a file into the array that `canvas` gives.

    patience: seconds before the process counts as hung; large files get more. One file at a time: other threads wait.
    Raises RawError where the process dies, hangs or talks nonsense.
    """
    patience = max(patience, path.stat().st_size / _SLOWEST)

    def receive(
        process: subprocess.Popen[bytes], facts: Facts, mosaic: NDArray[np.uint16]
    ) -> tuple[Facts, NDArray[np.uint16]]:
        _say(process, "send")
        _receive(process, mosaic)
        return facts, mosaic

    return _ask(path, canvas, patience, receive)


def render(
    path: Path, canvas: Canvas, style: Callable[[Facts, NDArray[np.uint16]], Rendering], *, patience: float = PATIENCE
) -> tuple[Facts, NDArray[np.uint16], NDArray[np.uint16] | Refusal] | Refusal:
    """Decode a file into the array that `canvas` gives, and have LibRaw render it in the style that both suggest.

    Returns the picture last, (H, W, 3) of LibRaw's size, or why there is none. Else as `decode`.
    """
    patience = max(patience, path.stat().st_size / _SLOWEST_RENDERING)

    def receive(
        process: subprocess.Popen[bytes], facts: Facts, mosaic: NDArray[np.uint16]
    ) -> tuple[Facts, NDArray[np.uint16], NDArray[np.uint16] | Refusal]:
        _say(process, "render")
        _receive(process, mosaic)
        _say(process, json.dumps(asdict(style(facts, mosaic))))
        header = _header(process)
        if "refused" in header:
            return facts, mosaic, _refusal(header)
        picture = np.empty((*_size(header), 3), np.uint16)
        _receive(process, picture)
        return facts, mosaic, picture

    return _ask(path, canvas, patience, receive)


def preview(path: Path, *, patience: float = PATIENCE) -> bytes | NDArray[np.uint8] | Refusal:
    """Take the picture that the camera put into the file, not turned: a JPEG, or (H, W, 3) sRGB; or why there is none.

    patience: as `decode` has it. Raises RawError where the process dies, hangs or talks nonsense.
    """

    def receive(process: subprocess.Popen[bytes]) -> bytes | NDArray[np.uint8] | Refusal:
        header = _header(process)
        if "refused" in header:
            return _refusal(header)
        try:
            length, shape = int(header["bytes"]), (int(header["height"]), int(header["width"]), 3)
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise EOFError("an answer without sense") from error
        if not 0 < length <= _LONGEST_PREVIEW or (any(shape[:2]) and length != math.prod(shape)):
            raise EOFError(f"a preview of {length} bytes")
        assert process.stdout
        held = process.stdout.read(length)
        if len(held) < length:
            raise EOFError
        return np.frombuffer(held, np.uint8).reshape(shape) if shape[0] else held

    return _heard(path, patience, receive, preview=True)


def _ask(
    path: Path,
    canvas: Canvas,
    patience: float,
    receive: Callable[[subprocess.Popen[bytes], Facts, NDArray[np.uint16]], Answer],
) -> Answer | Refusal:
    """Have the process open a file, and `receive` what it then sends."""

    def heard(process: subprocess.Popen[bytes]) -> Answer | Refusal:
        told = _told(process)
        if isinstance(told, Refusal):
            return told
        try:
            mosaic = canvas(told)
        except RawError:
            _say(process, "skip")
            raise
        return receive(process, told, mosaic)

    return _heard(path, patience, heard)


def _heard(
    path: Path, patience: float, listen: Callable[[subprocess.Popen[bytes]], Answer], *, preview: bool = False
) -> Answer:
    """Have the process open a file, and `listen` to all it says of it, or until that raises RawError."""
    request: Header = {"path": os.fspath(path.absolute()), "seconds": int(patience) + 10}
    with child.lock:
        process = child.running()
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            process.kill()

        watch = threading.Timer(patience, expire)
        watch.daemon = True
        watch.start()
        in_step = False  # until then, the pipe may hold half an answer
        try:
            _say(process, json.dumps(request | {"preview": True} if preview else request))
            answer = listen(process)
            in_step = True
            return answer
        except RawError:
            in_step = True
            raise
        except (EOFError, OSError) as error:
            fault = _fault(process, patience, expired, nonsense=isinstance(error, EOFError) and bool(error.args))
            raise RawError(f"{path}: {fault}; copy it again from the card") from error
        finally:
            watch.cancel()
            watch.join()
            if expired.is_set() or not in_step:
                child.end()


def _say(process: subprocess.Popen[bytes], line: str) -> None:
    assert process.stdin
    process.stdin.write(line.encode() + b"\n")
    process.stdin.flush()


def _header(process: subprocess.Popen[bytes]) -> Header:
    """Read the line that an answer begins with; raises EOFError where there is none."""
    assert process.stdout
    line = process.stdout.readline(_LONGEST_HEADER)
    if not line.endswith(b"\n"):
        raise EOFError("an answer without an end") if len(line) == _LONGEST_HEADER else EOFError
    try:
        header = documents.from_json(line)
    except ValueError as error:
        raise EOFError("an answer without sense") from error
    if not isinstance(header, dict):
        raise EOFError("an answer without sense")
    return header


def _refusal(header: Header) -> Refusal:
    return Refusal(str(header["refused"])[:40], " ".join(str(header.get("detail", "")).split())[:200])


def _size(header: Header) -> tuple[int, int]:
    """Check a height and a width; raises EOFError where they make no sense."""
    try:
        height, width = int(header["height"]), int(header["width"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise EOFError("an answer without sense") from error
    if height < 1 or width < 1 or height * width > _MOST_SITES:
        raise EOFError(f"a mosaic of {width} x {height}")
    return height, width


def _told(process: subprocess.Popen[bytes]) -> Facts | Refusal:
    """Read and check the header of an answer; raises EOFError where there is none."""
    header = _header(process)
    if "refused" in header:
        return _refusal(header)
    height, width = _size(header)
    try:
        return Facts(
            height=height,
            width=width,
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
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise EOFError("an answer without sense") from error


def _array(numbers: object, shape: tuple[int, ...], kind: type[Number]) -> NDArray[Number]:
    array = np.array(numbers, kind)
    if array.shape != shape:
        raise ValueError(f"{array.shape} numbers instead of {shape}")
    return array


def _receive(process: subprocess.Popen[bytes], samples: NDArray[np.uint16]) -> None:
    """Read (H, ...) samples into an array or view, band by band; raises EOFError where they end too early."""
    assert isinstance(process.stdout, io.BufferedReader)
    rows = max(1, child.PIPE // samples[0].nbytes)
    buffer = None if samples.flags.c_contiguous else np.empty((rows, *samples.shape[1:]), np.uint16)
    for row in range(0, len(samples), rows):
        band = samples[row : row + rows]
        part = band if buffer is None else buffer[: len(band)]
        if process.stdout.readinto(part.data.cast("B")) < part.nbytes:
            raise EOFError
        if buffer is not None:
            band[:] = part


def _fault(process: subprocess.Popen[bytes], patience: float, expired: threading.Event, *, nonsense: bool) -> str:
    """Say in words why the process gave no whole answer."""
    if expired.is_set():
        return f"LibRaw was still decoding it after {patience:.0f} s and was stopped"
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=0 if nonsense else 5)  # seconds; its pipe closes a moment before it is gone
    code = process.returncode
    if nonsense or code is None:
        return "LibRaw answered without sense"
    return f"LibRaw crashed on it (signal {-code})" if code and code < 0 else f"LibRaw crashed on it (exit code {code})"
