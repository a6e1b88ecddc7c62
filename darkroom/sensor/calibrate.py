"""Lens-cap frames and series of a static scene -> a camera's entry, as cameras.toml has it.

    raw files, in any order  ->  (H, W) DN each  ->  Point for each ISO  ->  Calibration  ->  TOML

The series tell the gain (gain.py), the lens-cap frames what reading adds (lenscap.py).
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darkroom.decode import raw
from darkroom.errors import SettingsError
from darkroom.frame import CFA, SRGB_TO_XYZ, Frame
from darkroom.sensor import gain, lenscap, noise
from darkroom.sensor.lenscap import LensCap, Look
from darkroom.sensor.noise import Sensor, Trend

DARK, LIT = 0.002, 0.005
"""Of white - black: a lens-cap frame's mean lies below the one, that of a series' frame above the other."""
FEWEST = 2
"""Lens-cap frames of an ISO: the black level wanders from one to the next."""
UNKNOWN_SCATTER = 0.25
"""Around a line through too few ISOs to show their own: about what ELD's five cameras have."""
SHOWN_BY = 4
"""ISOs that show their own scatter."""
KELVIN = (2500.0, 8000.0)
"""From tungsten to shade."""
ANY_BALANCE = ((1.2, 2.8), (1.1, 2.6))
"""Gains of red and blue where the file has no colour calibration."""


@dataclass(frozen=True)
class Point:
    """What the frames of one ISO tell, in DN of the file."""

    iso: float
    """0 where the files do not tell it."""
    gain: float
    """K, DN per electron: the mean of `gains`."""
    gains: tuple[float, ...]
    """K at lenscap.SITES."""
    read: float
    """Tukey-lambda scale of the read noise."""
    shape: float
    gauss: float
    """sd of the read noise, quantisation taken out: that of its fitted distribution."""
    row: float
    black_error: tuple[float, ...]
    """Above the file's black level, at lenscap.SITES."""
    step: float
    dark: int
    """Lens-cap frames."""
    lit: int
    """Frames in series."""
    looks: tuple[Look, ...]
    """Of each lens-cap frame."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """A camera as calibrated."""

    model: str
    cfa: CFA
    black: float
    white: float
    white_balance: tuple[tuple[float, float], tuple[float, float]]
    camera_to_srgb: NDArray[np.float32]
    points: tuple[Point, ...]
    """By gain."""


def calibrate(paths: Sequence[Path], on_frame: Callable[[Path, str], None] = lambda path, kind: None) -> Calibration:
    """Calibrate a camera from lens-cap frames and series of a static scene or a flat, at one ISO or several.

    Order does not matter: lens-cap frames are told by their level, series by exposure and level. `on_frame` hears what
    each file was taken for. Raises RawError for what cannot be read, SettingsError for frames of different cameras, too
    few of them, frames neither dark nor lit, a scene that moved, and noise that is cut off at black.
    """
    dark: dict[float, list[LensCap]] = {}
    lit: dict[float, list[gain.Shot]] = {}
    first, white, darkest = None, 0.0, (np.inf, Path())
    for path in paths:
        frame = raw.read(path)
        first = first or frame
        _check_same(frame, path, first, paths[0])
        mosaic, black = _visible(frame)
        level = float(mosaic.mean(dtype=np.float64) - black.mean(dtype=np.float64)) / (frame.white - black.mean())
        white, darkest = max(white, frame.white), min(darkest, (level, path))
        if abs(level) < DARK:
            on_frame(path, "lens cap")
            dark.setdefault(frame.exposure.iso, []).append(lenscap.measure(mosaic, black, str(path)))
        elif level < LIT:
            raise SettingsError(
                f"{path}: {100 * level:.2f} % of the range above black is neither dark nor lit; cap the lens to be "
                f"below {100 * DARK:g} %, or give more light to be above {100 * LIT:g} %"
            )
        else:
            on_frame(path, "series")
            exposure = (frame.exposure.seconds, frame.exposure.aperture)
            lit.setdefault(frame.exposure.iso, []).append(gain.Shot(path, exposure, level, gain.centre(mosaic, black)))
    if first is None or not dark:
        found = f"; the darkest, {darkest[1]}, is at {100 * darkest[0]:.2f} % above black" if lit else ""
        raise SettingsError(f"no lens-cap frame among {len(paths)} files{found}; take two or more with the lens capped")
    if lone := dark.keys() ^ lit.keys():
        lacks = "a series of a static scene" if min(lone) in dark else "lens-cap frames"
        raise SettingsError(f"{said(min(lone))}: lacks {lacks}; give lens-cap frames and a series of every ISO")
    span = white - float(first.black.mean())
    points = [_point(iso, dark[iso], lit[iso], span) for iso in dark]
    return Calibration(
        model=first.camera or "Unknown camera",
        cfa=first.cfa,
        black=float(first.black.mean()),
        white=white,
        white_balance=balance(first),
        camera_to_srgb=first.camera_to_srgb,
        points=tuple(sorted(points, key=lambda point: point.gain)),
    )


def entry(calibration: Calibration, name: str) -> str:
    """Write a calibration as the entry of cameras.toml that `noise.cameras` reads.

    From one ISO the lines are level and good for its gain alone; see `trend` for more. Raises SettingsError where
    `name` is no bare key of TOML.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise SettingsError(f"--name {name}: is no name for a camera; give one of letters and digits such as canon6d")
    points = calibration.points
    gains = [point.gain for point in points]
    red, blue = calibration.white_balance
    frames = ", ".join(f"{said(point.iso)}: {point.dark} lens-cap and {point.lit} lit frames" for point in points)
    lines = [
        f"# darkroom calibrate, {frames}",
        f"[{name}]",
        f"model = {json.dumps(calibration.model, ensure_ascii=False)}",
        f'cfa = "{calibration.cfa}"',
        f"black = {calibration.black:g}",
        f"white = {calibration.white:g}",
        f"white_balance = {{ red = {_list(red, '.2f')}, blue = {_list(blue, '.2f')} }}",
        "camera_to_srgb = [",
        *(f"    {_list(row, '.4f')}," for row in calibration.camera_to_srgb),
        "]",
        f"gain = {_list((gains[0], gains[-1]), '.4g')}",
        *(
            f"{kind} = {{ slope = {line.slope:.4f}, bias = {line.bias:.4f}, scatter = {line.scatter:.4f} }}"
            for kind in ("read", "gauss", "row")
            for line in [trend(gains, [getattr(point, kind) for point in points])]
        ),
        f"shapes = {_list([point.shape for point in points], '.3f')}",
        "black_error = [",
        *(f"    {_list(point.black_error, '.2f')}," for point in points),
        "]",
    ]
    return "\n".join(lines) + "\n"


def name_of(model: str) -> str:
    """A name for a camera's entry.

    >>> name_of("Canon EOS 6D")
    'canoneos6d'
    """
    return re.sub(r"[^a-z0-9]", "", model.lower()) or "camera"


def _list(numbers: Sequence[float] | NDArray[np.float64], form: str) -> str:
    return f"[{', '.join(format(float(number), form) for number in numbers)}]"


def trend(gains: Sequence[float], sds: Sequence[float]) -> Trend:
    """Fit log sd = slope ln K + bias, and the scatter around it.

    Level through one gain, or through gains that differ by less than a fifth; fewer than SHOWN_BY do not show their
    scatter, and get UNKNOWN_SCATTER.
    """
    x, y = np.log(gains), np.log(sds)
    slope = float(np.polyfit(x, y, 1)[0]) if np.ptp(x) > np.log(1.2) else 0.0
    bias = float(np.mean(y - slope * x))
    left = y - slope * x - bias
    scatter = float(np.sqrt((left**2).sum() / (len(y) - 2))) if len(y) >= SHOWN_BY else UNKNOWN_SCATTER
    return Trend(slope, bias, scatter)


def imitation(calibration: Calibration, point: Point, size: tuple[int, int] = (1024, 1536)) -> Look:
    """What a lens-cap frame looks like that `noise.record` makes with a point's figures."""
    sensor = Sensor(
        black=calibration.black,
        white=calibration.white,
        gain=point.gain,
        read=point.read,
        shape=point.shape,
        row=point.row,
        black_error=point.black_error,
        step=point.step,
    )
    return lenscap.look(noise.record(np.zeros(size, np.float32), sensor, np.random.default_rng(0)))


def balance(frame: Frame) -> tuple[tuple[float, float], tuple[float, float]]:
    """The gains of red and blue that make black bodies of KELVIN grey, by the file's colour calibration.

    ANY_BALANCE where it has none.
    """
    if frame.daylight is None:
        return ANY_BALANCE
    from_xyz = np.linalg.inv(SRGB_TO_XYZ @ frame.camera_to_srgb.astype(np.float64)) / frame.daylight[:, None]
    seen = np.array([from_xyz @ black_body(kelvin) for kelvin in KELVIN])
    gains = seen[:, 1:2] / seen
    if not (np.isfinite(gains).all() and (gains > 0).all()):
        return ANY_BALANCE
    red, blue = sorted(gains[:, 0].tolist()), sorted(gains[:, 2].tolist())
    return (red[0], red[1]), (blue[0], blue[1])


def black_body(kelvin: float) -> NDArray[np.float64]:
    """(3,) XYZ of a black body, Y = 1, between 2222 and 25000 K: Kim et al., US patent 7024034, cubic in 1000 / T."""
    warm = kelvin <= 4000
    inverse = 1000 / kelvin
    x = np.polyval(
        (-0.2661239, -0.2343589, 0.8776956, 0.179910) if warm else (-3.0258469, 2.1070379, 0.2226347, 0.240390), inverse
    )
    y = np.polyval(
        (-0.9549476, -1.37418593, 2.09137015, -0.16748867)
        if warm
        else (3.0817580, -5.87338670, 3.75112997, -0.37001483),
        x,
    )
    return np.array([x / y, 1.0, (1 - x - y) / y])


def said(iso: float) -> str:
    """An ISO in words."""
    return f"ISO {iso:g}" if iso else "ISO not told"


def _check_same(frame: Frame, path: Path, first: Frame, first_path: Path) -> None:
    for what, own, other in (
        ("camera", frame.camera, first.camera),
        ("CFA", frame.cfa, first.cfa),
        ("size", _size(frame), _size(first)),
        ("black level", str(frame.black.mean()), str(first.black.mean())),
    ):
        if own != other:
            raise SettingsError(
                f"{path}: {what} {own}, but {first_path} has {other}; calibrate one camera in one mode at a time"
            )


def _size(frame: Frame) -> str:
    return f"{frame.visible.width} x {frame.visible.height}"


def _visible(frame: Frame) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Cut out whole cells of what the sensor recorded: (H, W) DN, and the black level of each site."""
    window, side = frame.visible, len(frame.black)
    top, left = (side * -(-edge // side) for edge in (window.top, window.left))
    rows, columns = (
        (end - start) // side for start, end in ((top, window.top + window.height), (left, window.left + window.width))
    )
    mosaic = frame.mosaic[top : top + rows * side, left : left + columns * side]
    return mosaic, np.tile(frame.black, (rows, columns))


def _point(iso: float, dark: list[LensCap], lit: list[gain.Shot], span: float) -> Point:
    """Put together what the frames of one ISO tell."""
    if len(dark) < FEWEST:
        raise SettingsError(f"{said(iso)}: {len(dark)} lens-cap frame; take {FEWEST} or more of every ISO")
    shape, read = lenscap.shape(dark)
    gauss = read * lenscap.spread(shape)
    errors = tuple(np.mean([frame.black_error for frame in dark], axis=0).tolist())
    step = min(frame.step for frame in dark)
    series = gain.series(lit)
    still = gauss**2 + step**2 / 12
    gains = gain.measure(series, errors, still, span)
    return Point(
        iso=iso,
        gain=float(np.mean(gains)),
        gains=gains,
        read=read,
        shape=shape,
        gauss=gauss,
        row=float(np.sqrt(np.mean([frame.row**2 for frame in dark]))),
        black_error=errors,
        step=step,
        dark=len(dark),
        lit=len(lit),
        looks=tuple(frame.look for frame in dark),
    )
