"""Lens-cap frames -> the pattern a sensor adds to every photo, and photos without it.

    raw files, grouped by ISO and exposure time  ->  (H, W) DN a group  ->  Frame less the pattern that fits it

Noise averages out, a fixed pattern does not: glow, dark current, columns, hot sites. It is split into what is smooth,
per row, per column and per site, and each part is believed as far as it stands out from what the frames' own noise
would leave of it. For an ISO or time that was not recorded the pattern is fitted through the groups, as PMN (Feng et
al., TPAMI 2023) has it: a map that grows with the ISO, and where several times were recorded, one that grows with both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darkroom.decode import raw
from darkroom.develop import grain
from darkroom.errors import RawError, SettingsError
from darkroom.frame import Frame
from darkroom.sensor import noise

Array = NDArray[np.float32]

BLOCK = 32
"""Sites a side of the blocks whose means are the smooth part."""
LIGHT, PATCH = 0.005, 0.03
"""Of white - black: in a lens-cap frame half the blocks lie below the one, and all but 1 % of them below the other."""
SURE = 4.0
"""sd of the mean of the frames beyond which a site's own pattern is believed as it is."""
HOT = 8.0
"""sd of one frame: a hotter site is filled in from its neighbours, for its dark current is noise, too."""
FINER = 4
"""Steps to a DN in what is left, where 16 bits hold them."""
SAME = 1.02
"""Exposure times that differ by less are the same."""
ROWS = 256
"""Rows worked on at a time."""


@dataclass(frozen=True, eq=False)
class Group:
    """What lens-cap frames of one ISO and exposure time have in common."""

    iso: float
    seconds: float
    frames: int
    pattern: Array
    """(H, W) DN above black."""
    hot: NDArray[np.intp]
    """(n, 2) rows and columns of hot sites."""


@dataclass(frozen=True, eq=False)
class Darkness:
    """A camera's pattern, as its lens-cap frames show it."""

    camera: str
    cfa: str
    groups: tuple[Group, ...]
    source: str
    """A file that it comes from, to name in messages."""


@dataclass(eq=False)
class _Sum:
    """Frames of one group so far; its memory does not grow with them, but for means of rows, columns and blocks."""

    total: Array
    least: Array
    most: Array
    read: list[float] = field(default_factory=list)
    rows: list[Array] = field(default_factory=list)
    columns: list[Array] = field(default_factory=list)
    blocks: list[Array] = field(default_factory=list)


def learn(paths: Sequence[Path], on_frame: Callable[[Path], None] = lambda path: None) -> Darkness:
    """Learn a camera's pattern from lens-cap frames, in any order.

    Raises RawError for what cannot be read, SettingsError for a frame of another camera, size or CFA than the first, or
    with light in it.
    """
    if not paths:
        raise SettingsError("--dark: no lens-cap frame among what was named; give raw files or folders of them")
    sums: dict[tuple[float, float], _Sum] = {}
    first: Frame | None = None
    for path in paths:
        frame = raw.read(path)
        on_frame(path)
        first = first or frame
        if odd := _odd(frame, first.camera, first.cfa, first.mosaic.shape):
            raise SettingsError(f"{path}: {odd[0]}, but {paths[0]} is {odd[1]}; give dark frames of one camera")
        above = frame.mosaic - _tiled(frame)
        blocks = _blocks(above)
        _refuse_light(path, frame, blocks)
        group = sums.setdefault(_like(sums, frame), _Sum(*_empty(frame.mosaic.shape)))
        _add(group, frame, above, blocks)
    assert first is not None
    groups = [_group(iso, seconds, each) for (iso, seconds), each in sorted(sums.items())]
    return Darkness(first.camera, first.cfa, tuple(groups), str(paths[0]))


def removed(frame: Frame, darkness: Darkness, path: Path) -> Frame:
    """Take the pattern away: the mosaic in finer steps, hot sites among the defects, and a note of what was taken.

    Raises RawError, naming `path`, for a photo of another camera, size or CFA.
    """
    shape = darkness.groups[0].pattern.shape
    if odd := _odd(frame, darkness.camera, darkness.cfa, shape):
        raise RawError(f"{path}: {odd[0]}, but the dark frames are {odd[1]} ({darkness.source}); leave --dark out")
    pattern, hot, note = _fitting(frame, darkness)
    finer = max(1, min(FINER, int(65535 // frame.white)))
    mosaic = np.empty_like(frame.mosaic)
    for top in range(0, len(mosaic), ROWS):
        band = frame.mosaic[top : top + ROWS]
        light = (band - pattern[top : top + ROWS]) * np.float32(finer)
        light[band >= frame.white] = finer * frame.white  # what is saturated stays so
        mosaic[top : top + ROWS] = np.clip(np.rint(light, out=light), 0, 65535)
    return replace(
        frame,
        mosaic=mosaic,
        black=frame.black * np.float32(finer),
        white=frame.white * finer,
        defects=np.unique(np.concatenate((frame.defects, hot)), axis=0),
        notes=(*frame.notes, note),
    )


def save(darkness: Darkness, path: Path) -> None:
    """Write what was learned as one .npz file: a map of 16-bit floats and a list of hot sites for each group."""
    arrays: dict[str, NDArray[np.generic]] = {"camera": np.array(darkness.camera), "cfa": np.array(darkness.cfa)}
    for index, group in enumerate(darkness.groups):
        arrays[f"about{index}"] = np.array([group.iso, group.seconds, group.frames])
        arrays[f"pattern{index}"] = group.pattern.astype(np.float16)
        arrays[f"hot{index}"] = group.hot.astype(np.uint32)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    part.replace(path)


def load(path: Path) -> Darkness:
    """Read what `save` wrote; raises SettingsError where it is no such file."""
    try:
        with np.load(path, allow_pickle=False) as told:
            groups = [
                Group(
                    iso=float(told[f"about{index}"][0]),
                    seconds=float(told[f"about{index}"][1]),
                    frames=int(told[f"about{index}"][2]),
                    pattern=told[f"pattern{index}"].astype(np.float32),
                    hot=told[f"hot{index}"].astype(np.intp),
                )
                for index in range(sum(name.startswith("about") for name in told.files))
            ]
            return Darkness(str(told["camera"]), str(told["cfa"]), tuple(groups), str(path))
    except (OSError, ValueError, KeyError, IndexError, EOFError) as error:
        raise SettingsError(f"{path}: is no camera's pattern ({error}); write it with `darkroom calibrate`") from None


def seen_by(camera: noise.Camera, darkness: Darkness) -> noise.Camera:
    """Give a camera the patterns of its lens-cap frames: gain goes with ISO, and its least belongs to the least ISO."""
    least = min((group.iso for group in darkness.groups if group.iso), default=0.0)
    gains = [camera.gain[0] * group.iso / least if group.iso else camera.gain[0] for group in darkness.groups]
    pairs = zip(gains, darkness.groups, strict=True)
    return replace(camera, patterns=tuple(noise.Pattern(gain, group.pattern) for gain, group in pairs))


def _odd(frame: Frame, camera: str, cfa: str, shape: tuple[int, ...]) -> tuple[str, str] | None:
    """What a frame is that it should not be, and what it should be."""
    size, wanted = (f"{each[1]} x {each[0]} sites" for each in (frame.mosaic.shape, shape))
    for own, other in ((frame.camera, camera), (frame.cfa, cfa), (size, wanted)):
        if own != other:
            return f"is of {own or 'an unnamed camera'}", f"of {other or 'an unnamed camera'}"
    return None


def _refuse_light(path: Path, frame: Frame, blocks: Array) -> None:
    span = frame.white - float(frame.black.mean())
    for found, limit, what in (
        (float(np.median(blocks)) / span, LIGHT, "half of it is"),
        (float(np.quantile(blocks, 0.99)) / span, PATCH, "its brightest part is"),
    ):
        if found > limit:
            raise SettingsError(
                f"{path}: no lens-cap frame, {what} {100 * found:.1f} % of the range above black and should be under "
                f"{100 * limit:g} %; cap the lens and cover the viewfinder"
            )


def _like(sums: dict[tuple[float, float], _Sum], frame: Frame) -> tuple[float, float]:
    """The group a frame belongs to, by ISO and exposure time."""
    iso, seconds = frame.exposure.iso, frame.exposure.seconds
    return next((key for key in sums if _same(key, (iso, seconds))), (iso, seconds))


def _same(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] == other[0] and max(one[1], other[1]) <= SAME * min(one[1], other[1])


def _empty(shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
    return np.zeros(shape, np.float32), np.full(shape, np.inf, np.float32), np.full(shape, -np.inf, np.float32)


def _add(group: _Sum, frame: Frame, above: Array, blocks: Array) -> None:
    group.total += above
    np.minimum(group.least, above, out=group.least)
    np.maximum(group.most, above, out=group.most)
    group.read.append(float(grain.measure(frame).at(0)))
    group.rows.append(above.mean(1, dtype=np.float64).astype(np.float32))
    group.columns.append(above.mean(0, dtype=np.float64).astype(np.float32))
    group.blocks.append(blocks)


def _group(iso: float, seconds: float, told: _Sum) -> Group:
    """The parts of the pattern, each as far as it is known."""
    count = len(told.read)
    mean = told.total
    if count > 3:  # without each site's least and most: no cosmic ray hits twice
        mean = (mean - told.least - told.most) / np.float32(count - 2)
    else:
        mean = told.least if count == 2 else mean / np.float32(count)
        if count == 2:  # the lesser of two lies under their mean by what noise alone makes of it
            mean += np.float32(np.mean(told.read) / np.sqrt(np.pi))
    sd = float(np.mean(told.read))
    doubt = sd / np.sqrt(max(count - 2, 1) if count > 3 else count)
    pattern = _between(_shrunk(told.blocks, sd / BLOCK), mean.shape)
    left = mean - pattern
    for axis, lines in ((1, told.rows), (0, told.columns)):
        means = np.median(left, axis=axis).astype(np.float32)
        spread = float(np.var(np.stack(lines) - np.mean(lines, axis=0))) / max(count - 1, 1)
        least = sd**2 / left.shape[axis] / count
        own = means * np.float32(max(0.0, 1 - max(spread, least) / max(float(np.var(means)), 1e-9)))
        pattern += np.expand_dims(own, axis)
        left -= np.expand_dims(own, axis)
    sure = np.abs(left) > SURE * doubt
    calm = left[::7, ::7]
    known = max(0.0, float(np.quantile(np.abs(calm), 0.68)) ** 2 - doubt**2)
    pattern += np.where(sure, left, left * np.float32(known / (known + doubt**2)))
    return Group(iso, seconds, count, pattern, np.argwhere(left > HOT * sd))


def _shrunk(blocks: list[Array], floor: float) -> Array:
    """The mean of the frames' block means, drawn to its own middle as far as the frames disagree."""
    stack = np.stack(blocks)
    mean = stack.mean(0)
    doubt = max(float(np.var(stack - mean)) / max(len(stack) - 1, 1), floor**2 / len(stack))
    middle = np.float32(np.median(mean))
    return middle + (mean - middle) * np.float32(max(0.0, 1 - doubt / max(float(np.var(mean)), 1e-9)))


def _blocks(plane: Array) -> Array:
    """Means of whole blocks of the plane, a twentieth at either end left out for hot sites; of a small one, its own."""
    down, across = max(plane.shape[0] // BLOCK, 1), max(plane.shape[1] // BLOCK, 1)
    tall, wide = min(BLOCK, plane.shape[0]), min(BLOCK, plane.shape[1])
    cut = plane[: down * tall, : across * wide].reshape(down, tall, across, wide)
    trimmed = np.sort(cut.transpose(0, 2, 1, 3).reshape(down, across, -1), axis=2)
    edge = trimmed.shape[2] // 20
    return trimmed[:, :, edge : trimmed.shape[2] - edge].mean(2)


def _between(blocks: Array, shape: tuple[int, ...]) -> Array:
    """Interpolate block values, which lie at the blocks' centres, to every site."""
    for axis in (0, 1):
        places = np.clip((np.arange(shape[axis]) - (BLOCK - 1) / 2) / BLOCK, 0, blocks.shape[axis] - 1)
        lower = places.astype(np.intp)
        share = np.expand_dims((places - lower).astype(np.float32), 1 - axis)
        upper = np.minimum(lower + 1, blocks.shape[axis] - 1)
        blocks = blocks.take(lower, axis) * (1 - share) + blocks.take(upper, axis) * share
    return blocks


def _tiled(frame: Frame) -> Array:
    """(H, W) black level of each site."""
    side, (height, width) = len(frame.black), frame.mosaic.shape
    return np.tile(frame.black, (-(-height // side), -(-width // side)))[:height, :width]


def _fitting(frame: Frame, darkness: Darkness) -> tuple[Array, NDArray[np.intp], str]:
    """The pattern for a frame, its hot sites, and what it was taken from."""
    wanted = (frame.exposure.iso, frame.exposure.seconds)
    for group in darkness.groups:
        if _same((group.iso, group.seconds), wanted):
            return group.pattern, group.hot, f"less {_frames(group.frames)} of {said(group.iso, group.seconds)}"
    nearest = min(darkness.groups, key=lambda group: _apart((group.iso, group.seconds), wanted))
    told = [(group.iso, group.seconds) for group in darkness.groups]
    count = sum(group.frames for group in darkness.groups)
    columns = [column for column in (_by_iso, _by_time) if column(wanted) and len({column(each) for each in told}) > 1]
    design = np.array([[1.0, *(column(each) for column in columns)] for each in told])
    if np.linalg.matrix_rank(design) < design.shape[1]:  # so few groups that one trend hides the other
        columns, design = columns[:1], design[:, :2]
    if not columns:
        scale = wanted[0] / nearest.iso if wanted[0] and nearest.iso else 1.0
        note = f"less {_frames(nearest.frames)} of {said(nearest.iso, nearest.seconds)}, scaled to {said(*wanted)}"
        return nearest.pattern * np.float32(scale), nearest.hot, note
    middles = np.array([float(np.median(group.pattern)) for group in darkness.groups])
    weights = np.sqrt([group.frames for group in darkness.groups])
    fitted = np.array([1.0, *(column(wanted) for column in columns)])
    shares = fitted @ np.linalg.pinv(design * weights[:, None]) * weights
    pattern = np.zeros_like(nearest.pattern)
    for share, middle, group in zip(shares, middles, darkness.groups, strict=True):
        pattern += np.float32(share) * (group.pattern - np.float32(middle))
    # The middle is the black level's error, which follows no gain; over time it grows as dark current does.
    pattern += np.float32(shares @ middles if _by_time in columns else middles[darkness.groups.index(nearest)])
    through = f"{_frames(count)} of {len({iso for iso, _ in told})} ISOs"
    if _by_time in columns:
        through = f"{_frames(count)} of {len(told)} exposures"
    return pattern, nearest.hot, f"less a pattern for {said(*wanted)} fitted through {through}"


def _by_iso(exposure: tuple[float, float]) -> float:
    """What the amplifier makes of a fixed pattern."""
    return exposure[0]


def _by_time(exposure: tuple[float, float]) -> float:
    """What it makes of dark current, which gathers over time; 0 where the time is not told."""
    return (exposure[0] or 1.0) * exposure[1]


def _apart(one: tuple[float, float], other: tuple[float, float]) -> float:
    """How unlike two exposures are: octaves of ISO and of time, where both are told."""
    return float(sum(abs(np.log2(a / b)) for a, b in zip(one, other, strict=True) if a and b))


def _frames(count: int) -> str:
    return "1 dark frame" if count == 1 else f"{count} dark frames"


def said(iso: float, seconds: float) -> str:
    """An exposure in words."""
    time = "" if not seconds else f"{seconds:g} s" if seconds >= 0.3 else f"1/{1 / seconds:.0f} s"
    return ", ".join(filter(None, (f"ISO {iso:g}" if iso else "", time))) or "no exposure told"
