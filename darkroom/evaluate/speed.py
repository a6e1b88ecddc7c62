"""The tool itself, measured from outside: seconds and megabytes of `darkroom develop` on photos made here.

megapixels -> one Figure after another

The photos are uncompressed DNGs of a drawn scene at x200, so that decoding is as cheap as it gets and the rest
stands out.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory, TemporaryFile

import numpy as np
from numpy.typing import NDArray

from darkroom import processor
from darkroom.decode import child, decoder, raw
from darkroom.develop import balance, cfa, model, pipeline, tiles
from darkroom.develop.curves import srgb_to_linear
from darkroom.develop.model import Model
from darkroom.errors import DarkroomError, SettingsError
from darkroom.evaluate import baselines
from darkroom.frame import CFA
from darkroom.sensor import noise
from darkroom.write import dng

GROUPS = ("develop", "memory", "folder", "decoding", "peers")
"""What can be measured, in this order."""
MEGAPIXELS = (12.0, 24.0, 61.0)
RATIO = 200.0
CAMERA, GAIN = "sonya7s2", 0.8
"""Whose noise the photos have, and K in DN per electron: about ISO 800."""
TIMES = 5
"""Runs of each measurement, of which the best or the median counts."""
WATCHED = 0.005
"""Seconds between two looks at a process's memory."""
WATCHABLE = Path("/proc/self/statm").exists()
"""Other systems than Linux do not tell a process's memory so plainly; there it is left out."""
TEXTURE = 1024
"""Pixels along a side of the texture that the scene repeats."""
BAND = 252
"""Rows drawn at a time, whole cells of either CFA."""


@dataclass(frozen=True)
class Machine:
    """Where a figure was measured."""

    cpu: str
    cores: int
    """Those this process may use."""
    system: str


@dataclass(frozen=True)
class Figure:
    """One measurement."""

    name: str
    value: float | None
    """None where there is none."""
    unit: str
    goal: str = ""
    """What it should be, where that is stated for 2 cores."""
    missing: str = ""
    """Why there is no value."""


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    megapixels: tuple[float, ...] = MEGAPIXELS
    """Sizes of the photos; the first is also that of the folder, of decoding and of the peers."""
    groups: tuple[str, ...] = GROUPS
    files: int = 6
    """Photos in the folder."""
    model: str = ""
    """A network's name or file; empty is the shipped one."""


def figures(plan: Plan, on_step: Callable[[str], None]) -> Iterator[Figure]:
    """Measure what is planned.

    `on_step` hears what comes next. Raises SettingsError for an unknown group, DarkroomError where a run fails.
    """
    unknown = sorted(set(plan.groups) - set(GROUPS))
    if unknown:
        raise SettingsError(f"{unknown[0]}: nothing that can be measured; known are {', '.join(GROUPS)}")
    network = model.load(model.find(plan.model or model.default("bayer")))
    with TemporaryDirectory(prefix="darkroom-bench-") as folder:
        photos = []
        for size in plan.megapixels:
            on_step(f"drawing {size:g} MP")
            photos.append(Path(folder) / f"{size:g}MP.dng")
            write_photo(photos[-1], size, network.contract.cfa or "bayer")
        walls: dict[float, float] = {}
        for size, photo in zip(plan.megapixels, photos, strict=True):
            if "develop" in plan.groups or ("peers" in plan.groups and size == plan.megapixels[0]):
                on_step(f"developing {size:g} MP")
                run = _whole(photo, network)
                walls[size] = run.best
                yield from _develop(photo, network, size, run)
            if "memory" in plan.groups and WATCHABLE:
                on_step(f"watching the memory at {size:g} MP")
                yield _memory(photo, network, size)
        size, photo = plan.megapixels[0], photos[0]
        if "folder" in plan.groups:
            on_step(f"developing {plan.files} photos")
            yield from _folder(photo, network, size, plan.files)
        if "decoding" in plan.groups:
            on_step("decoding")
            yield from _decoding(photo, size)
        if "peers" in plan.groups:
            on_step("other programs")
            yield from _peers(photo, size, walls[size])


def machine() -> Machine:
    """Say what runs this."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(processor.name(), cores, f"{platform.system()}, Python {platform.python_version()}")


def write_photo(path: Path, megapixels: float, kind: CFA = "bayer") -> None:
    """Draw a scene of smooth light over fine and coarse texture, 3 x 2, and write a DNG too dark by RATIO."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5 / 2) * 2
    width = round(height * 0.75) * 2
    rng = np.random.default_rng(0)
    camera, texture = noise.camera(CAMERA), _texture(rng)
    sensor = noise.central(camera, GAIN, camera.shapes[0])
    mosaic = np.empty((height, width), np.uint16)
    columns = np.arange(width)
    for top in range(0, height, BAND):
        rows = np.arange(top, min(top + BAND, height))
        fall = np.float32(0.25) + np.outer(rows / height, columns / width).astype(np.float32)
        light = texture[(rows % TEXTURE)[:, None], columns % TEXTURE] * (fall / (np.float32(RATIO * 1.25)))[..., None]
        recorded = noise.record(cfa.sample(light, kind), sensor, rng)
        mosaic[rows] = np.maximum(recorded + np.float32(camera.black), 0)
    dng.write(path, mosaic, cfa=kind, black=camera.black, white=int(camera.white), white_balance=(2.0, 1.0, 1.7))


def _texture(rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a repeating square with photographs' 1/f spectrum: (TEXTURE, TEXTURE, 3) camera light in [0, 1]."""
    frequency = np.hypot(np.fft.fftfreq(TEXTURE)[:, None], np.fft.rfftfreq(TEXTURE))
    frequency[0, 0] = np.inf
    planes = [np.fft.irfft2(np.fft.rfft2(rng.standard_normal((TEXTURE, TEXTURE))) / frequency) for _ in range(4)]
    grey, *colours = (plane / plane.std() for plane in planes)
    encoded = np.stack([0.5 + 0.18 * grey + 0.06 * colour for colour in colours], axis=-1)
    return (srgb_to_linear(np.clip(encoded, 0, 1)) / np.array([2.0, 1.0, 1.7])).astype(np.float32)


@dataclass(frozen=True)
class _Runs:
    """The same photo developed several times, each in a process of its own: seconds from start to exit."""

    best: float
    median: float
    bound: float
    """CPU seconds of the cheapest run over the machine's cores: no run can be faster with that work."""


def _whole(photo: Path, network: Model) -> _Runs:
    walls, busy = [], []
    with TemporaryDirectory() as folder:
        for turn in range(TIMES):
            before = cpu_seconds()
            walls.append(_timed(_command(photo, Path(folder) / f"{turn}.png", network)))
            busy.append(cpu_seconds() - before)
    return _Runs(min(walls), median(walls), min(busy) / machine().cores)


def cpu_seconds() -> float:
    """CPU seconds of all programs run so far, with what they started; always 0 on Windows, which does not tell."""
    spent = os.times()
    return spent.children_user + spent.children_system


def _develop(photo: Path, network: Model, size: float, run: _Runs) -> Iterator[Figure]:
    """Tell of the whole process, from start to exit, and what of it is not the network."""
    alone = network_seconds(photo, network)
    twelve, engine = size == 12, f"{network.contract.name} on {network.device} {network.precision}"
    yield Figure(f"{size:g} MP: whole process, best of {TIMES}, {engine}", run.best, "s")
    yield Figure(f"{size:g} MP: whole process, median of {TIMES}", run.median, "s")
    yield Figure(f"{size:g} MP: network alone", alone, "s")
    yield Figure(f"{size:g} MP: everything but the network", run.best - alone, "s", "at most 0.35" if twelve else "")
    yield from _against_bound(f"{size:g} MP: whole process", run.best, run.bound)


def _against_bound(what: str, wall: float, bound: float, goal: str = "") -> Iterator[Figure]:
    """Say what the CPU seconds alone would take on all cores, and how near to that the run came."""
    if bound:
        yield Figure(f"{what}, its CPU seconds over the cores", bound, "s")
        yield Figure(f"{what}, share of that pace", bound / wall, "", goal)


def network_seconds(photo: Path, network: Model) -> float:
    """Time the network alone over the tiles that a photo is cut into: seconds, the best of TIMES."""
    frame = raw.read(photo)
    gains = balance.grey_world(frame) if frame.white_balance is None else frame.white_balance
    height, width = cfa.packed_size(frame, network.contract)
    picture = 3 * height * width * network.contract.scale**2
    budget = pipeline.MEMORY - pipeline.RESIDENT - frame.mosaic.nbytes - picture
    plan = tiles.plan(height, width, network.contract, pixel_bytes=network.pixel_bytes, memory=budget)
    best = np.inf
    for _ in range(TIMES):
        spent = 0.0
        for tile in plan:
            bright = cfa.bright(
                frame, tile.seen_rows, tile.seen_cols, gains=gains, ratio=RATIO, contract=network.contract
            )
            started = time.perf_counter()
            network.run(bright)
            spent += time.perf_counter() - started
        best = min(best, spent)
    return best


def _memory(photo: Path, network: Model, size: float) -> Figure:
    with TemporaryDirectory() as folder:
        peak = peak_memory(_command(photo, Path(folder) / "picture.png", network))
    return Figure(f"{size:g} MP: peak memory, decoder included", peak / 1e6, "MB", "at most 1000")


def _folder(photo: Path, network: Model, size: float, files: int) -> Iterator[Figure]:
    """Time a folder of photos against the pace the network alone would allow."""
    with TemporaryDirectory(dir=photo.parent) as folder:
        for index in range(files):
            shutil.copy(photo, Path(folder) / f"{index}.dng")
        before = cpu_seconds()
        wall = _timed(_command(Path(folder), Path(folder) / "pictures", network))
        bound = (cpu_seconds() - before) / machine().cores
    yield Figure(f"{size:g} MP: a photo of a folder of {files}", wall / files, "s")
    yield from _against_bound(f"{size:g} MP: a photo of a folder", wall / files, bound / files, "at least 0.95")


def _decoding(photo: Path, size: float) -> Iterator[Figure]:
    """Time decoding in the process of its own against decoding in this one."""
    child.end()
    first = _clock(lambda: _isolated(photo), 1)
    apart, here = _clock(lambda: _isolated(photo)), _clock(lambda: baselines.decode(photo))
    yield Figure(f"{size:g} MP: decoding in its own process", 1000 * apart, "ms")
    yield Figure(f"{size:g} MP: what isolating it costs", 1000 * (apart - here), "ms", "at most 50")
    yield Figure(f"{size:g} MP: starting that process, once a run", 1000 * (first - apart), "ms")
    yield Figure(f"{size:g} MP: raw.read, checks included", 1000 * _clock(lambda: raw.read(photo)), "ms")


def _isolated(photo: Path) -> None:
    told = decoder.decode(photo, lambda facts: np.empty((facts.height, facts.width), np.uint16))
    if isinstance(told, decoder.Refusal):
        raise DarkroomError(f"{photo}: LibRaw refused what was just written ({told.kind}); report this")


def _clock(work: Callable[[], object], times: int = 2 * TIMES) -> float:
    """Time some work: seconds, the median of a few runs."""
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return median(spent)


PLACES = ("/usr/lib/libraw",)
"""Where programs lie that are not on the path: Debian keeps LibRaw's samples there."""


def _peers(photo: Path, size: float, ours: float) -> Iterator[Figure]:
    """Time other programs on the same file, and how long darkroom takes over each; they have no neural step.

    One that is not installed, or fails, is a row that says so.
    """
    with TemporaryDirectory() as place:
        folder = Path(place)
        copy = str(shutil.copy(photo, folder))
        out, settings = str(folder / "out"), str(folder / "settings")
        peers = {
            "dcraw_emu": ["-T", "-w", copy],
            "rawtherapee-cli": ["-q", "-Y", "-n", "-b8", "-o", f"{out}.png", "-c", copy],
            "darktable-cli": [copy, f"{out}-darktable.png", "--core", "--configdir", settings, "--library", ":memory:"],
        }
        for name, arguments in peers.items():
            label = f"{size:g} MP: {name}"
            program = shutil.which(name) or shutil.which(name, path=os.pathsep.join(PLACES))
            if program is None:
                yield Figure(label, None, "s", missing="not installed")
                continue
            try:
                wall = min(_timed([program, *arguments]) for _ in range(TIMES))
            except DarkroomError as error:
                yield Figure(label, None, "s", missing=f"failed: {error}")
                continue
            yield Figure(label, wall, "s")
            yield Figure(f"{size:g} MP: darkroom over {name}", ours / wall, "")


def _command(photo: Path, output: Path, network: Model) -> list[str]:
    amp = f"{RATIO:g}"
    return [
        *(sys.executable, "-m", "darkroom", "develop", str(photo), "-o", str(output)),
        *("--amp", amp, "--model", str(network.file), "--on-conflict", "overwrite", "--json"),
    ]


def _timed(command: Sequence[str]) -> float:
    """Run a program to its end: wall-clock seconds. Raises DarkroomError where it fails."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    spent = time.perf_counter() - started
    if done.returncode:
        raise DarkroomError(_failure(command, done.returncode, done.stderr))
    return spent


def peak_memory(command: Sequence[str]) -> int:
    """Run a program and watch it and all that it starts: bytes resident at the worst moment, shared pages counted each
    time.

    Only where WATCHABLE. Raises DarkroomError where the program fails.
    """
    peak = 0
    with (
        TemporaryFile("w+", errors="replace") as said,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said) as process,
    ):
        while process.poll() is None:
            peak = max(peak, sum(resident(pid) for pid in family(process.pid)))
            time.sleep(WATCHED)
        if process.returncode:
            said.seek(0)
            raise DarkroomError(_failure(command, process.returncode, said.read()))
    return peak


def _failure(command: Sequence[str], code: int, said: str) -> str:
    last = (said.strip().splitlines() or ["nothing"])[-1]
    return f"{Path(command[0]).name}: ended with {code} and said: {last}; run it by hand: {' '.join(command)}"


def family(pid: int) -> list[int]:
    """List a process and its descendants."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def resident(pid: int) -> int:
    """Bytes a process has in memory, 0 once it has ended; only where WATCHABLE."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):  # it has just ended
        return 0


def to_line(figure: Figure, where: Machine) -> str:
    """Write a figure and its machine as one line of JSON."""
    value = None if figure.value is None else round(figure.value, 4)
    entries = {"name": figure.name, "value": value, "unit": figure.unit, "goal": figure.goal}
    if figure.missing:
        entries["missing"] = figure.missing
    return json.dumps(entries | {"cpu": where.cpu, "cores": where.cores, "system": where.system})
