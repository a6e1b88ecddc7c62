"""The decoder's process: what a file may do to it, and that no other file suffers."""

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import WriteDng, noise, patch, refusal, unrendered
from numpy.typing import NDArray

from darkroom.decode import child, decoder, raw
from darkroom.frame import Window

ROOT = Path(__file__).parents[2]


HAUNTED = """
import os, time
from darkroom.decode import libraw
answer = libraw._answer

def haunted(path, requests, answers, chatter):
    if "crash" in path:
        os.abort()
    if "hang" in path:
        while True:
            pass
    if "babble" in path:
        answers.write(b'{"height": "tall"}\\n')
        answers.flush()
        time.sleep(60)
    if "endless" in path:
        answers.write(b"1" * (1 << 16))
        answers.flush()
        time.sleep(60)
    if "forge" in path:
        libraw._facts = lambda raw: facts(raw) | {"height": 65535, "width": 65535}
    if "unrendered" in path:
        import rawpy
        def refuse(self, **settings):
            raise MemoryError("no room")
        rawpy.RawPy = type("RawPy", (rawpy.RawPy,), {"postprocess": refuse})
        rawpy.imread = lambda name: opened(rawpy.RawPy(), name)
    if "dies" in path:
        libraw._send_rendering = lambda answers, raw, wanted: os._exit(7)
    if "short" in path:
        libraw._send_rows = lambda answers, mosaic: os._exit(7)
    answer(path, requests, answers, chatter)

def opened(raw, name):
    raw.open_file(name)
    raw.unpack()
    return raw

facts = libraw._facts
libraw._answer = haunted
serve = libraw.serve
"""


@pytest.fixture
def haunted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A decoder's process that comes to grief over files with crash, hang, babble, forge or short in their name."""
    (tmp_path / "haunted.py").write_text(HAUNTED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(child, "PROGRAM", "haunted")
    child.end()
    yield
    child.end()


@pytest.mark.usefixtures("haunted")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("crash.dng", "LibRaw crashed on it ("),
        ("hang.dng", "LibRaw was still decoding it after 1 s and was stopped;"),
        ("babble.dng", "LibRaw answered without sense;"),
        ("forge.dng", "LibRaw answered without sense;"),
        ("short.dng", "LibRaw crashed on it (exit code 7);"),
        ("endless.dng", "LibRaw answered without sense;"),
    ],
)
def test_a_file_that_kills_libraw_costs_no_other(write_dng: WriteDng, name, said):
    sensor = noise((40, 60))
    good = write_dng("good.dng", sensor)
    assert (raw.read(good).mosaic == sensor).all()
    assert refusal(write_dng(name, sensor), patience=1).startswith(said)
    assert (raw.read(good).mosaic == sensor).all()


@pytest.mark.usefixtures("haunted")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unrendered.dng", "LibRaw decodes, but cannot render it (MemoryError: no room);"),
        ("dies.dng", "LibRaw crashed on it (exit code 7);"),
    ],
)
def test_a_file_that_cannot_be_rendered_costs_no_other(write_dng: WriteDng, name, said):
    good = write_dng("good.dng", noise((40, 60)))
    before = raw.render(good, kind="srgb", curve="bt709")[1]
    assert unrendered(write_dng(name, noise((40, 60))), patience=1).startswith(said)
    child.end()
    np.testing.assert_array_equal(raw.render(good, kind="srgb", curve="bt709")[1], before)


@pytest.mark.parametrize("read", [refusal, unrendered])
def test_a_window_beyond_the_mosaic_is_refused_at_once(write_dng: WriteDng, read):
    path = write_dng("a.dng", noise((67, 91)), visible=Window(3, 5, 61, 83))
    raw.read(path)
    process = child.process
    patch(path, {256: struct.pack("<I", 80)})  # ImageWidth, less than where the active area ends
    assert read(path, patience=20).startswith(
        "its header tells of a picture of 82 x 60 sites, of which its mosaic holds "
    )
    assert child.process is process and process.poll() is None


def test_a_process_that_died_meanwhile_is_replaced(write_dng: WriteDng):
    path = write_dng("a.dng", noise((40, 60)))
    raw.read(path)
    first = child.process
    first.kill()
    first.wait()
    raw.read(path)
    assert child.process.pid != first.pid


def test_refused_files_keep_the_process(write_dng: WriteDng, tmp_path: Path):
    (tmp_path / "a.txt").write_text("no photo at all\n" * 99)
    small = write_dng("small.dng", noise((40, 60)), white=100)
    child.running()
    process = child.process
    refusal(tmp_path / "a.txt")
    refusal(small)
    refusal(patch(write_dng("c.dng", noise((40, 60))), {33422: bytes([0, 1, 1, 1])}))
    raw.read(write_dng("good.dng", noise((40, 60))))
    assert child.process is process


def test_an_interrupt_between_facts_and_samples_leaves_no_half_answer(write_dng: WriteDng):
    path = write_dng("a.dng", noise((40, 60)))

    def interrupted(facts: decoder.Facts) -> NDArray[np.uint16]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decoder.decode(path, interrupted)
    assert (raw.read(path).mosaic == noise((40, 60))).all()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_is_left_to_the_parent(write_dng: WriteDng):
    path = write_dng("a.dng", noise((40, 60)))
    raw.read(path)
    process = child.process
    os.kill(process.pid, signal.SIGINT)
    raw.read(path)
    assert child.process is process


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_the_process_dies_with_its_parent(tmp_path: Path):
    code = (
        "import os, signal; from darkroom.decode import child; child.running();"
        "print(child.process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    parent = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False, text=True)
    child = Path("/proc") / parent.stdout.strip()
    deadline = time.monotonic() + 10
    while child.exists() and "\nState:\tZ" not in (child / "status").read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not child.exists() or "\nState:\tZ" in (child / "status").read_text()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_the_process_keeps_no_memory_of_a_photo(write_dng: WriteDng):
    def resident() -> int:
        status = Path(f"/proc/{child.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    raw.read(write_dng("small.dng", noise((40, 60))))
    before = resident()
    large = write_dng("large.dng", noise((3000, 2000)))
    for _ in range(3):
        raw.read(large)
    raw.read(write_dng("small.dng", noise((40, 60))))
    assert resident() - before < 4000  # kB; the photo has 12,000


def test_threads_get_their_own_files(write_dng: WriteDng):
    sensors = [noise((60, 80), seed=seed) for seed in range(8)]
    paths = [write_dng(f"{seed}.dng", sensor) for seed, sensor in enumerate(sensors)]
    right = [False] * 8

    def check(i: int) -> None:
        right[i] = all((raw.read(paths[i]).mosaic == sensors[i]).all() for _ in range(3))

    threads = [threading.Thread(target=check, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(right)


def test_paths_of_any_name_are_read(write_dng: WriteDng, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in ("naïve  ‘photo’.dng", "new\nline.dng", "-c.dng"):
        assert raw.read(write_dng(name, noise((40, 60)))).visible.width == 60
    monkeypatch.chdir(tmp_path)
    assert raw.read(Path("-c.dng")).visible.width == 60


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' names are Unicode")
def test_names_that_are_no_unicode_are_read(write_dng: WriteDng):
    assert raw.read(write_dng(os.fsdecode(b"na\xefve.dng"), noise((40, 60)))).visible.width == 60


def test_the_decoder_imports_no_more_of_ours_than_the_way_to_it():
    code = (
        "import sys, darkroom.decode.libraw, numpy;"
        "print(*sorted(name for name in sys.modules if name.startswith(('darkroom', 'rawpy', 'onnx', 'PIL', 'scipy'))))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True)
    assert run.stdout.split() == ["darkroom", "darkroom.decode", "darkroom.decode.libraw", "darkroom.develop"]


@pytest.mark.parametrize("added", ["", "."])
def test_what_lies_among_the_photos_is_not_run(write_dng: WriteDng, monkeypatch, tmp_path: Path, added):
    for name in ("darkroom", "json", "numpy", "rawpy", "typing"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not meant to be run')")
    path = write_dng("a.dng", noise((40, 60)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [added and str(tmp_path), *sys.path])
    child.end()
    try:
        assert raw.read(path).visible.width == 60
    finally:
        child.end()


def test_the_process_runs_the_same_darkroom_from_any_folder(monkeypatch, tmp_path: Path):
    home = Path(child.__file__).parents[2]  # the checkout, or where it was installed
    monkeypatch.chdir(tmp_path)
    for path in ([place for place in sys.path if place != str(home)], [str(home), *sys.path]):
        monkeypatch.setattr(sys, "path", path)
        assert str(home) in child._path() and str(tmp_path) not in child._path()
    monkeypatch.chdir(home)
    assert str(home) in child._path()


def test_the_decoder_starts_as_a_module_of_its_room(write_dng: WriteDng):
    path = write_dng("a.dng", noise((40, 60)))
    asked = json.dumps({"path": str(path), "seconds": 9}) + "\nskip\n"
    command = [sys.executable, "-m", "darkroom.decode.libraw"]
    run = subprocess.run(command, input=asked.encode(), cwd=ROOT, capture_output=True, check=True)
    assert json.loads(run.stdout)["width"] == 60


@pytest.mark.parametrize(("read", "rate"), [(raw.read, 4e6), (partial(raw.render, kind="srgb", curve="srgb"), 1e6)])
def test_large_files_get_more_patience(write_dng: WriteDng, monkeypatch, read, rate):
    path = write_dng("a.dng", noise((40, 60)))
    os.truncate(path, 120_000_000)  # a hole
    waits = []
    timer = threading.Timer
    monkeypatch.setattr(threading, "Timer", lambda wait, do: waits.append(wait) or timer(wait, do))
    read(path, patience=2)
    assert waits == [120_000_000 / rate]


@pytest.mark.parametrize(("height", "width"), [(0, 5), (5, 0), (-1, 5), (1 << 16, 1 << 16), ("tall", 5), (None, 5)])
def test_a_size_without_sense_is_no_answer(height, width):
    assert decoder._size({"height": 1, "width": 1}) == (1, 1)
    with pytest.raises(EOFError):
        decoder._size({"height": height, "width": width})


def test_one_process_runs_until_it_is_ended():
    first = child.running()
    assert child.running() is first and first.poll() is None
    child.end()
    assert child.process is None and first.returncode is not None
    assert first.stdin.closed and first.stdout.closed
    child.end()
    assert child.running() is not first


@pytest.mark.skipif(sys.platform != "linux", reason="needs pipes of a chosen size")
def test_the_pipe_holds_a_megabyte():
    import fcntl

    child.end()
    assert fcntl.fcntl(child.running().stdout, fcntl.F_GETPIPE_SZ) == 1 << 20


def test_a_forked_process_leaves_the_decoder_to_its_parent(monkeypatch: pytest.MonkeyPatch):
    held, lock = child.running(), child.lock
    pipes = [open(os.devnull, "rb") for _ in range(2)]
    copy = SimpleNamespace(stdin=pipes[0], stdout=pipes[1], returncode=None)
    monkeypatch.setattr(child, "process", copy)
    monkeypatch.setattr(child, "lock", lock)
    child._forget()
    assert child.process is None and child.lock is not lock
    assert copy.returncode == 0 and all(pipe.closed for pipe in pipes)
    assert held.poll() is None


def test_the_package_is_looked_for_first_where_the_parent_does_not_name_it(monkeypatch, tmp_path: Path):
    home = str(Path(child.__file__).parents[2])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), "/elsewhere"])
    assert child._path() == [home, "/elsewhere"]
    monkeypatch.setattr(sys, "path", ["/elsewhere", home])
    assert child._path() == ["/elsewhere", home]


CURBED = """
import ctypes, json, os, resource, sys
from types import SimpleNamespace
from darkroom.decode import libraw
allowed, told = int(sys.argv[1]), []
resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
ctypes.CDLL = lambda name: SimpleNamespace(mallopt=lambda *asked: told.append(asked))
os.cpu_count = lambda: 64
libraw._curb()
limits = [resource.getrlimit(each) for each in (resource.RLIMIT_AS, resource.RLIMIT_CORE)]
print(json.dumps([limits, told, os.environ["OPENBLAS_NUM_THREADS"], os.environ["OMP_NUM_THREADS"]]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="curbs of Linux")
@pytest.mark.parametrize(("allowed", "least"), [(-1, 4), (6, 4), (3, 3)])
def test_a_decoder_is_curbed_within_what_the_system_allows(allowed, least):
    """In GiB of addresses, -1 for no limit; it leaves no core, and gets fresh pages from 256 KiB on."""
    import resource

    hard = allowed << 30 if allowed > 0 else resource.RLIM_INFINITY
    if resource.getrlimit(resource.RLIMIT_AS)[1] != resource.RLIM_INFINITY:
        pytest.skip("the system limits these tests themselves")
    threads = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in threads}
    command = [sys.executable, "-c", CURBED, str(hard)]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, text=True)
    limits, told, *most = json.loads(run.stdout)
    assert limits == [[least << 30, hard], [0, 0]]
    assert told == [[-3, 1 << 18], [-8, 2]] and most == ["1", "4"]
