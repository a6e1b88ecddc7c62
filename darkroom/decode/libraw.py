"""The program of the decoder's process: LibRaw behind a pipe. The only import of rawpy.

stdin, a JSON line a file: {"path", "seconds"} -> stdout, a JSON line: {"refused", "detail"}, or the facts below;
then stdin, a line: "send", "render" or "skip" -> but for "skip", (height, width) native uint16 DN, row by row; after
"render" then stdin, a JSON line, how -> a JSON line: {"refused", "detail"}, or {"height", "width"}, and
(height, width, 3) uint16.

With "preview" in the request, instead of all that, the picture that the camera put into the file: a JSON line,
{"refused", "detail"} or {"bytes", "height", "width"}, then the bytes: a JPEG, or (height, width, 3) uint8.

LibRaw runs C++ on bytes nobody vouches for, so it runs here, where a crash or a hang costs one file. `child` starts
this module as a program of its own: it imports nothing of ours, so that starting it costs numpy and rawpy and no more.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
import tempfile
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy
    import rawpy
    from numpy.typing import NDArray

_THREADS = 4
"""Most threads LibRaw may use: each reserves address space, of which `_MOST_MEMORY` allows only so much."""
_MOST_MEMORY = 4 << 30
"""bytes of address space; LibRaw itself stops at 2 GB of samples, and the libraries reserve up to 1 GB."""
_BAND = 1 << 20
"""bytes written at a time where margins or odd strides force a copy."""
_PROBE = 16
"""sites: no colour filter array LibRaw knows repeats at a longer distance."""


def serve() -> None:
    """Answer requests until stdin ends, which it does when the parent process dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    requests, answers, chatter = sys.stdin.buffer, os.fdopen(os.dup(1), "wb"), tempfile.TemporaryFile()
    for printed in (1, 2):
        os.dup2(chatter.fileno(), printed)
    _curb()
    with contextlib.suppress(ImportError):  # told when there is a file to tell it of
        import rawpy  # noqa: F401
    while line := requests.readline():
        request = json.loads(line)
        _alarm(request["seconds"])
        if "preview" in request:
            _send_preview(request["path"], answers)
            _read_away(chatter)
        else:
            _answer(request["path"], requests, answers, chatter)
        _alarm(0)


def _curb() -> None:
    """Keep a forged header from eating the machine, and give each file fresh pages that return to the system after it.

    LibRaw's sample buffer comes from malloc unwiped, and decoding may stop half way without an error: glibc would
    then hand out the previous photo's pixels. A fixed mmap threshold makes every such buffer new, hence zero.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", str(min(_THREADS, os.cpu_count() or 1)))
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # musl has no mallopt, and no such habit either
            libc = ctypes.CDLL(None)
            libc.mallopt(-3, 1 << 18)  # M_MMAP_THRESHOLD, bytes
            libc.mallopt(-8, 2)  # M_ARENA_MAX
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has no limits; macOS refuses this one
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = _MOST_MEMORY if hard == resource.RLIM_INFINITY else min(hard, _MOST_MEMORY)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _alarm(seconds: int) -> None:
    """Have the system end this process should it hang with no parent left to kill it; 0 calls that off."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def _answer(path: str, requests: BinaryIO, answers: BinaryIO, chatter: BinaryIO) -> None:
    """Decode one file and send what came of it; a later fault ends the process, its pipe being out of step."""
    try:
        raw = _opened(path)
        facts, mosaic = _unpacked(raw)
    except Exception as error:  # whatever rawpy makes of a bad file: the parent puts it into words
        facts = {"refused": type(error).__name__, "detail": str(error)[:200]}
    _send(answers, {**facts, "chatter": _read_away(chatter)})
    wanted = b"skip\n" if "refused" in facts else requests.readline()
    if wanted != b"skip\n" and mosaic is not None:
        _send_rows(answers, mosaic)
    if wanted == b"render\n":
        _send_rendering(answers, raw, json.loads(requests.readline()))


def _opened(path: str) -> "rawpy.RawPy":
    import rawpy

    return rawpy.imread(path if _is_unicode(path) else open(path, "rb"))


def _is_unicode(path: str) -> bool:
    """Tell whether rawpy can pass a path on: it takes no names in other encodings, such as Latin-1 on old drives."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unpacked(raw: "rawpy.RawPy") -> tuple[dict[str, object], "numpy.ndarray | None"]:
    """Return the facts and the visible mosaic, or why there is none."""
    import rawpy

    if raw.raw_type != rawpy.RawType.Flat:
        return {"refused": "Stack", "detail": ""}, None
    mosaic, sizes = raw.raw_image_visible, raw.sizes
    if mosaic.shape != (sizes.height, sizes.width):  # numpy cut the window off at the mosaic's edge
        said, held = f"{sizes.width} x {sizes.height}", f"{mosaic.shape[1]} x {mosaic.shape[0]}"
        return {"refused": "Window", "detail": f"a picture of {said} sites, of which its mosaic holds {held}"}, None
    return _facts(raw), mosaic


def _facts(raw: "rawpy.RawPy") -> dict[str, object]:
    """Gather what the parent needs to know of an unpacked mosaic."""
    sizes = raw.sizes
    top, left = sizes.top_margin, sizes.left_margin
    return {
        "height": sizes.height,
        "width": sizes.width,
        "top": top,
        "left": left,
        "colours": [[raw.raw_color(top + i, left + j) for j in range(_PROBE)] for i in range(_PROBE)],
        "names": raw.color_desc.decode("ascii", "replace"),
        "black": raw.black_level_per_channel,
        "white": raw.white_level,
        "camera_gains": raw.camera_whitebalance,
        "daylight_gains": raw.daylight_whitebalance,
        "camera_to_srgb": raw.color_matrix.tolist(),
        "xyz_to_camera": raw.rgb_xyz_matrix.tolist(),
        "seconds": raw.other.shutter_speed,
        "iso": raw.other.iso_speed,
        "aperture": raw.other.aperture,
        "flip": sizes.flip,
        "pixel_aspect": sizes.pixel_aspect,
    }


def _send(answers: BinaryIO, header: dict[str, object]) -> None:
    answers.write(json.dumps(header).encode() + b"\n")
    answers.flush()


def _send_rows(answers: BinaryIO, samples: "NDArray[numpy.uint8] | NDArray[numpy.uint16]") -> None:
    """Write (H, ...) uint16 row by row, in bands where margins leave gaps between the rows."""
    if samples.flags.c_contiguous:
        answers.write(samples.data)
        answers.flush()
        return
    rows = max(1, _BAND // samples[0].nbytes)
    for row in range(0, len(samples), rows):
        answers.write(samples[row : row + rows].tobytes())
    answers.flush()


def _send_rendering(answers: BinaryIO, raw: "rawpy.RawPy", wanted: dict[str, Any]) -> None:
    """Develop as SID did its references, but not turned; colours, curve, white balance and level are the parent's."""
    import rawpy

    try:
        picture = raw.postprocess(
            use_camera_wb=wanted["gains"] is None,
            user_wb=wanted["gains"],
            output_color=rawpy.ColorSpace[wanted["colours"]],
            gamma=tuple(wanted["gamma"]),
            no_auto_bright=True,
            output_bps=16,
            user_flip=0,
            user_sat=wanted["span"],
            adjust_maximum_thr=0.0,
        )
    except Exception as error:  # as above
        _send(answers, {"refused": type(error).__name__, "detail": str(error)[:200]})
        return
    _send(answers, {"height": picture.shape[0], "width": picture.shape[1]})
    _send_rows(answers, picture)


def _send_preview(path: str, answers: BinaryIO) -> None:
    """Send the largest picture that the file holds beside its mosaic."""
    try:
        found = _opened(path).extract_thumb()
        if isinstance(found.data, bytes):
            held, size = found.data, (0, 0)
        else:
            held, size = found.data.tobytes(), found.data.shape[:2]
    except Exception as error:  # as above
        _send(answers, {"refused": type(error).__name__, "detail": str(error)[:200]})
        return
    _send(answers, {"bytes": len(held), "height": size[0], "width": size[1]})
    answers.write(held)
    answers.flush()


def _read_away(chatter: BinaryIO) -> str:
    """Return what LibRaw printed since the last file, and forget it."""
    chatter.seek(0)
    text = chatter.read(400).decode("utf-8", "replace")
    chatter.seek(0)
    chatter.truncate()
    return text


if __name__ == "__main__":
    serve()
