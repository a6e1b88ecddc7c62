"""What a sensor does to light: the ELD noise model (Wei et al., CVPR 2020; numbers in cameras.toml).

    clean mosaic (H, W) light x ratio  ->  recorded mosaic (H, W) DN above black, noisy and quantised

Per site, in DN on the camera's own scale: shot noise Poisson(x / K) K; read noise of Tukey-lambda
shape; one offset per sensor row; the black level's error per site of the cell; rounding to whole
steps of the converter. Beyond ELD, drawn for training only: bands of neighbouring rows that wander
together, offsets per column, a slope of the black level across the crop, hot sites. numpy only: the
demo and the bench draw from the same model as training.

An entry may leave its noise out, where nobody has published it. The camera then gets a stand-in: the
mean of the calibrated cameras' lines, scattered as widely as those cameras differ, so that training
draws virtual sensors that may be the camera's, and the bench a middling one.
"""

from dataclasses import dataclass
from importlib.resources import files
from math import ceil, log, log2
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkroom import documents
from darkroom.errors import SettingsError
from darkroom.frame import CELL, CFA

WIDEST_BAND = 24
"""Rows. The narrowest band is 2: an IMX296's row offsets are shared by neighbours, and go no farther."""
VIRTUAL_SCATTER = 3.0
"""How much wider than its own fit a virtual camera strays from the real one it is drawn around."""
BLACK_OFF = 0.03
"""Share of sensors whose black level is off, and again of those where it slopes."""
_NOISE = {"gain", "read", "gauss", "row", "shapes", "black_error"}
"""What an entry needs to count as measured."""


@dataclass(frozen=True)
class Trend:
    """How a noise grows with gain: log sd = slope ln K + bias, with scatter around it."""

    slope: float
    bias: float
    scatter: float

    def at(self, log_gain: float, deviation: float = 0.0) -> float:
        """sd in DN at a gain, `deviation` scatters away from the central line."""
        return float(np.exp(self.slope * log_gain + self.bias + self.scatter * deviation))

    def rescaled(self, factor: float) -> "Trend":
        """The same noise counted in steps `factor` times as fine: sd and gain grow by it."""
        return Trend(self.slope, self.bias + (1 - self.slope) * log(factor), self.scatter)


@dataclass(frozen=True, eq=False)
class Pattern:
    """What every exposure of one sensor holds beside light and noise, as its lens-cap frames show it."""

    gain: float
    """K at which it was seen, DN per electron."""
    dn: NDArray[np.float32]
    """(H, W) DN above black, from the start of a CFA cell."""


@dataclass(frozen=True, eq=False)
class Camera:
    """One entry of cameras.toml: levels, and how this sensor's noise depends on its gain."""

    name: str
    model: str
    cfa: CFA
    black: float
    white: float
    gain: tuple[float, float]
    """Least and greatest K, DN per electron."""
    read: Trend
    gauss: Trend
    row: Trend
    shapes: tuple[float, ...]
    black_error: tuple[tuple[float, ...], ...]
    white_balance: tuple[tuple[float, float], tuple[float, float]]
    """Least and greatest gain of red, then of blue, over the lights people photograph in; green is 1."""
    camera_to_srgb: NDArray[np.float32]
    """(3, 3), white-balanced camera RGB -> linear sRGB; each row sums to 1."""
    measured: bool
    """False where the noise, or a part of it, is a stand-in."""
    patterns: tuple[Pattern, ...] = ()
    """By ISO and exposure time; none where nobody has seen them."""

    def gains(self, limits: tuple[float, float]) -> tuple[float, float]:
        """What of its gain range lies within limits on a 14-bit scale; its nearest end, twice, where nothing does."""
        low, high = (float(np.clip(limit / fineness(self.white), *self.gain)) for limit in limits)
        return low, high


@dataclass(frozen=True)
class Sensor:
    """One sensor at one gain: all the numbers a recording needs."""

    black: float
    white: float
    gain: float
    """K, DN per electron."""
    read: float
    """Tukey-lambda scale, or Gaussian sd where `shape` is None; DN."""
    shape: float | None
    row: float
    """sd of the row offsets, DN."""
    black_error: tuple[float, ...]
    """DN left above or below the stated black level at the sites (0,0) (0,1) (1,1) (1,0)."""
    step: float
    """DN per step of the converter: 1, or for one coarser than the camera's own 4 or 16."""
    band: float = 0.0
    """sd of what neighbouring rows wander together, DN."""
    band_rows: int = 2
    """Rows over which they do."""
    column: float = 0.0
    """sd of the column offsets, DN."""
    slope: tuple[float, float] = (0.0, 0.0)
    """DN by which the black level rises down and across the recorded mosaic."""
    hot: float = 0.0
    """Share of hot sites."""
    hot_mean: float = 0.0
    """DN by which hot sites are too bright, on average; exponential."""


def fineness(white: float) -> float:
    """Steps of a 14-bit converter to one DN of a converter that ends at `white`.

    >>> fineness(16383), fineness(4095), fineness(1023)
    (1.0, 4.0, 16.0)
    """
    return 2.0 ** (14 - ceil(log2(white)))


def cameras(file: Path | None = None) -> dict[str, Camera]:
    """Read every camera of cameras.toml, by name, and those of a file of one's own, which win where names agree.

    Raises SettingsError where the file cannot be read, is no TOML, or an entry is incomplete.
    """
    shipped = documents.from_toml((files("darkroom.sensor") / "cameras.toml").read_text())
    calibrated = {name: _camera(name, entry, None) for name, entry in shipped.items() if _NOISE <= entry.keys()}
    wide = [camera for camera in calibrated.values() if fineness(camera.white) == 1 and camera.gain[0] < camera.gain[1]]
    stand_in = _pooled(wide)
    known = {name: calibrated.get(name) or _camera(name, entry, stand_in) for name, entry in shipped.items()}
    if file is None:
        return known
    try:
        own = documents.from_toml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read ({error.strerror}); name a file of cameras") from error
    except ValueError as error:  # of the encoding, or of TOML
        raise SettingsError(f"{file}: is no TOML ({error}); write it with `darkroom calibrate`") from error
    for name, entry in own.items():
        try:
            known[name] = _possible(_camera(name, entry, stand_in))
        except KeyError as error:
            raise SettingsError(f"{file}: [{name}] lacks {error.args[0]}; see `darkroom calibrate`") from error
        except (AttributeError, IndexError, OverflowError, TypeError, ValueError) as error:
            raise SettingsError(f"{file}: [{name}] is no camera ({error}); see `darkroom calibrate`") from error
    return known


def camera(name: str, file: Path | None = None) -> Camera:
    """Look one camera up; SettingsError names the known ones."""
    known = cameras(file)
    if name not in known:
        raise SettingsError(f"{name}: no such camera; known are {', '.join(known)}")
    return known[name]


def calibrated(known: dict[str, Camera]) -> list[Camera]:
    """Those whose noise was measured, not stood in for."""
    return [camera for camera in known.values() if camera.measured]


def _camera(name: str, entry: dict[str, Any], stand_in: Camera | None) -> Camera:
    """Make a camera of its entry; noise it lacks is the stand-in's, brought to its scale.

    KeyError, TypeError, ValueError or AttributeError tell what is wrong with the entry.
    """
    white = float(entry["white"])
    fine = fineness(white)

    def lent(kind: str) -> Any:
        return getattr(stand_in, kind)

    def trend(kind: str) -> Trend:
        return Trend(**entry[kind]) if kind in entry else lent(kind).rescaled(1 / fine)

    red, blue = (entry["white_balance"][colour] for colour in ("red", "blue"))
    errors = entry["black_error"] if "black_error" in entry else np.divide(lent("black_error"), fine)
    matrix = np.array(entry["camera_to_srgb"], np.float32)
    gain = entry["gain"] if "gain" in entry else np.divide(lent("gain"), fine)
    if entry["cfa"] not in CELL or matrix.shape != (3, 3) or not 0 < gain[0] <= gain[1]:
        raise ValueError("cfa is bayer or xtrans, camera_to_srgb 3 x 3, gain the least and the greatest")
    return Camera(
        name=name,
        model=entry["model"],
        cfa=entry["cfa"],
        black=float(entry["black"]),
        white=white,
        gain=(float(gain[0]), float(gain[1])),
        read=trend("read"),
        gauss=trend("gauss"),
        row=trend("row"),
        shapes=tuple(entry["shapes"] if "shapes" in entry else lent("shapes")),
        black_error=tuple(tuple(float(error) for error in row) for row in errors),
        white_balance=((float(red[0]), float(red[1])), (float(blue[0]), float(blue[1]))),
        camera_to_srgb=matrix,
        measured=_NOISE <= entry.keys(),
    )


def _possible(camera: Camera) -> Camera:
    """Return a camera that a sensor could be; ValueError says what none has."""
    trends = [number for line in (camera.read, camera.gauss, camera.row) for number in vars(line).values()]
    gains = [*camera.gain, *camera.white_balance[0], *camera.white_balance[1]]
    errors = [error for row in camera.black_error for error in row]
    numbers = np.array([*trends, *gains, *errors, *camera.shapes, *camera.camera_to_srgb.flat], float)
    if not 0 <= camera.black < camera.white <= np.iinfo(np.uint16).max:
        raise ValueError(f"black {camera.black:g} and white {camera.white:g}; wanted 0 <= black < white <= 65535")
    if not np.isfinite(numbers).all():
        raise ValueError("a number is not finite")
    if not camera.shapes or not errors or any(len(row) != 4 for row in camera.black_error):
        raise ValueError("shapes holds one number at least, black_error rows of 4")
    if min(gains) <= 0 or min(line.scatter for line in (camera.read, camera.gauss, camera.row)) < 0:
        raise ValueError("gains must be above 0, scatter 0 or more")
    if abs(np.linalg.det(camera.camera_to_srgb)) < 1e-6:
        raise ValueError("camera_to_srgb cannot be inverted")
    return camera


def _pooled(known: list[Camera]) -> Camera:
    """The stand-in, of 14 bits: mean lines, whose scatter holds the cameras' differences as well as their own."""

    def pooled(lines: list[Trend]) -> Trend:
        apart = np.var([line.bias for line in lines])  # at K = 1, which every range holds
        own = np.mean([line.scatter**2 for line in lines])
        slope, bias = np.mean([(line.slope, line.bias) for line in lines], axis=0)
        return Trend(float(slope), float(bias), float(np.sqrt(own + apart)))

    return Camera(
        name="stand-in",
        model="",
        cfa="bayer",
        black=0.0,
        white=16383.0,
        gain=(min(camera.gain[0] for camera in known), max(camera.gain[1] for camera in known)),
        read=pooled([camera.read for camera in known]),
        gauss=pooled([camera.gauss for camera in known]),
        row=pooled([camera.row for camera in known]),
        shapes=tuple(shape for camera in known for shape in camera.shapes),
        black_error=tuple(errors for camera in known for errors in camera.black_error),
        white_balance=((1.0, 1.0), (1.0, 1.0)),
        camera_to_srgb=np.eye(3, dtype=np.float32),
        measured=False,
    )


def draw(camera: Camera, rng: np.random.Generator, *, gain_limits: tuple[float, float] = (0.1, 12.0)) -> Sensor:
    """Draw one exposure's sensor for training: the camera itself, or a virtual one around it.

    Gain is log-uniform over the camera's range within `gain_limits` (of 14 bits); every second sensor is
    virtual, its noise straying `VIRTUAL_SCATTER` times as far from the fitted lines, unless these are a
    stand-in's, which are virtual already; one in four has Gaussian read noise; bits are 14, 12 or 10, never
    more than the camera's; each fault beyond ELD's model falls on a third to a half of them. A black level that is
    off, all over or more and more across the picture, falls on very few: where it is common no dark grey can be told
    from a black that was read too high, and a network paints it darker than it is (models/README.md).
    """
    low, high = camera.gains(gain_limits)
    log_gain = rng.uniform(np.log(low), np.log(high))
    virtual = rng.random() < 0.5
    spread = VIRTUAL_SCATTER if virtual and camera.measured else 1.0
    deviation = spread * np.clip(rng.standard_normal(2), -2, 2)
    gaussian = rng.random() < 0.25
    read = (camera.gauss if gaussian else camera.read).at(log_gain, deviation[0])
    errors = np.array(camera.black_error[rng.integers(len(camera.black_error))])
    off = rng.uniform(0, 0.5) if rng.random() < BLACK_OFF else 0.0
    row = camera.row.at(log_gain, deviation[1])
    banded = rng.random() < 0.3
    return Sensor(
        black=camera.black,
        white=camera.white,
        gain=float(np.exp(log_gain)),
        read=read,
        shape=None if gaussian else float(rng.choice(camera.shapes)),
        row=row * rng.uniform(0, 1) if banded else row,
        black_error=tuple(errors * off),
        step=max(1.0, float(rng.choice([1.0, 4.0, 16.0], p=[0.7, 0.2, 0.1])) / fineness(camera.white)),
        band=row * rng.uniform(0, 1.5) if banded else 0.0,
        band_rows=round(np.exp(rng.uniform(np.log(2), np.log(WIDEST_BAND)))),
        column=row * rng.uniform(0, 0.8) if rng.random() < 0.5 else 0.0,
        slope=tuple(read * rng.uniform(-0.2, 0.2, 2)) if rng.random() < BLACK_OFF else (0.0, 0.0),
        hot=10 ** rng.uniform(-5.5, -3.5) if rng.random() < 0.5 else 0.0,
        hot_mean=read * rng.uniform(5, 60),
    )


def central(camera: Camera, gain: float, shape: float) -> Sensor:
    """The camera as its fitted lines say, without scatter: what the bench records with."""
    log_gain = float(np.log(gain))
    return Sensor(
        black=camera.black,
        white=camera.white,
        gain=gain,
        read=camera.read.at(log_gain),
        shape=shape,
        row=camera.row.at(log_gain),
        black_error=(0.0, 0.0, 0.0, 0.0),
        step=1.0,
    )


def record(
    light: NDArray[np.float32] | NDArray[np.float64],
    sensor: Sensor,
    rng: np.random.Generator,
    pattern: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Expose a sensor: (H, W) light in [0, 1] -> (H, W) DN above the black level, rounded, may be negative.

    The light is what truly fell on the sensor, that is already divided by the ratio. pattern: (H, W) DN that every
    exposure of this sensor adds; what of it is above 0 is dark current, and noisy as light is. Clipped above at
    white - black.
    """
    span = sensor.white - sensor.black
    signal = rng.poisson(np.asarray(light, np.float64) * (span / sensor.gain)).astype(np.float32)
    signal *= np.float32(sensor.gain)
    signal += read_noise(light.shape, sensor, rng)
    signal += rng.standard_normal((light.shape[0], 1), np.float32) * np.float32(sensor.row)
    _add_faults(signal, sensor, rng)
    for (top, left), error in zip(((0, 0), (0, 1), (1, 1), (1, 0)), sensor.black_error, strict=True):
        signal[top::2, left::2] += np.float32(error)
    if pattern is not None:  # last, so that the other noise is the same with it and without
        signal += pattern + np.sqrt(np.maximum(pattern, 0) * sensor.gain) * rng.standard_normal(light.shape, np.float32)
    signal /= np.float32(sensor.step)
    np.rint(signal, out=signal)
    signal *= np.float32(sensor.step)
    return np.minimum(signal, np.float32(span), out=signal)


def _add_faults(signal: NDArray[np.float32], sensor: Sensor, rng: np.random.Generator) -> None:
    """Add, in place, what ELD's model leaves out; a sensor without a fault draws no random number for it."""
    height, width = signal.shape
    if sensor.band:
        rows = sensor.band_rows
        wander = np.convolve(rng.standard_normal(height + rows - 1), np.full(rows, rows**-0.5), "valid")
        signal += (sensor.band * wander).astype(np.float32)[:, None]
    if sensor.column:
        signal += rng.standard_normal((1, width), np.float32) * np.float32(sensor.column)
    if any(sensor.slope):
        signal += np.linspace(0, sensor.slope[0], height, dtype=np.float32)[:, None]
        signal += np.linspace(0, sensor.slope[1], width, dtype=np.float32)
    if sensor.hot:
        count = rng.binomial(signal.size, sensor.hot)
        sites = rng.integers(signal.size, size=count)
        signal.reshape(-1)[sites] += rng.exponential(sensor.hot_mean, count).astype(np.float32)


def read_noise(shape: tuple[int, ...], sensor: Sensor, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the noise of reading a site: Gaussian, or Tukey-lambda by its quantile function.

    (p^shape - (1-p)^shape) / shape with p uniform; shape 0 is the logistic limit.
    """
    if sensor.shape is None:
        return rng.standard_normal(shape, np.float32) * np.float32(sensor.read)
    p = np.clip(rng.random(shape, np.float32), 1e-6, 1 - 1e-6)
    if abs(sensor.shape) < 1e-4:
        noise = np.log(p / (1 - p))
    else:
        noise = (p**sensor.shape - (1 - p) ** sensor.shape) / np.float32(sensor.shape)
    return (noise * sensor.read).astype(np.float32)
