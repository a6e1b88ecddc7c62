"""What a sensor does to light: the ELD noise model (Wei et al., CVPR 2020; numbers in cameras.toml).

    clean mosaic (H, W) light x ratio  ->  recorded mosaic (H, W) DN above black, noisy and quantised

Per site, in DN on the camera's own scale: shot noise Poisson(x / K) K; read noise of Tukey-lambda
shape; one offset per sensor row; the black level's error per site of the cell; rounding to whole
steps of the converter. numpy only: the demo and the bench draw from the same model as training.
"""

import tomllib
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from darkroom.errors import SettingsError

VIRTUAL_SCATTER = 3.0
"""How much wider than its own fit a virtual camera strays from the real one it is drawn around."""


@dataclass(frozen=True)
class Trend:
    """How a noise grows with gain: log sd = slope ln K + bias, with scatter around it."""

    slope: float
    bias: float
    scatter: float

    def at(self, log_gain: float, deviation: float = 0.0) -> float:
        """sd in DN at a gain, `deviation` scatters away from the central line."""
        return float(np.exp(self.slope * log_gain + self.bias + self.scatter * deviation))


@dataclass(frozen=True)
class Camera:
    """One entry of cameras.toml: levels, and how this sensor's noise depends on its gain."""

    name: str
    model: str
    cfa: str
    black: float
    white: float
    gain: tuple[float, float]
    read: Trend
    gauss: Trend
    row: Trend
    shapes: tuple[float, ...]
    black_error: tuple[tuple[float, ...], ...]


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
    black_error: tuple[float, float, float, float]
    """DN left above or below the stated black level at the sites (0,0) (0,1) (1,1) (1,0)."""
    step: float
    """DN per step of the converter: 1 at 14 bits, 4 at 12, 16 at 10 on a 14-bit scale."""


def cameras() -> dict[str, Camera]:
    """Read every camera of cameras.toml, by name."""
    tables = tomllib.loads((files("darkroom") / "cameras.toml").read_text())
    return {
        name: Camera(
            name=name,
            model=entry["model"],
            cfa=entry["cfa"],
            black=float(entry["black"]),
            white=float(entry["white"]),
            gain=tuple(entry["gain"]),
            read=Trend(**entry["read"]),
            gauss=Trend(**entry["gauss"]),
            row=Trend(**entry["row"]),
            shapes=tuple(entry["shapes"]),
            black_error=tuple(tuple(row) for row in entry["black_error"]),
        )
        for name, entry in tables.items()
    }


def camera(name: str) -> Camera:
    """Look one camera up; SettingsError names the known ones."""
    known = cameras()
    if name not in known:
        raise SettingsError(f"{name}: no such camera; known are {', '.join(known)}")
    return known[name]


def draw(camera: Camera, rng: np.random.Generator, *, gain_limits: tuple[float, float] = (0.1, 12.0)) -> Sensor:
    """Draw one exposure's sensor for training: the camera itself, or a virtual one around it.

    Gain is log-uniform over the camera's range within `gain_limits`; every second sensor is virtual,
    its noise straying `VIRTUAL_SCATTER` times as far from the fitted lines; one in four has Gaussian
    read noise; bits are 14, 12 or 10.
    """
    low, high = max(camera.gain[0], gain_limits[0]), min(camera.gain[1], gain_limits[1])
    log_gain = rng.uniform(np.log(low), np.log(high))
    spread = VIRTUAL_SCATTER if rng.random() < 0.5 else 1.0
    deviation = spread * np.clip(rng.standard_normal(2), -2, 2)
    gaussian = rng.random() < 0.25
    read = (camera.gauss if gaussian else camera.read).at(log_gain, deviation[0])
    errors = np.array(camera.black_error[rng.integers(len(camera.black_error))])
    return Sensor(
        black=camera.black,
        white=camera.white,
        gain=float(np.exp(log_gain)),
        read=read,
        shape=None if gaussian else float(rng.choice(camera.shapes)),
        row=camera.row.at(log_gain, deviation[1]),
        black_error=tuple(errors * rng.uniform(0, 0.5)),
        step=float(rng.choice([1.0, 4.0, 16.0], p=[0.7, 0.2, 0.1])),
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


def record(light: NDArray, sensor: Sensor, rng: np.random.Generator) -> NDArray[np.float32]:
    """Expose a sensor: (H, W) light in [0, 1] -> (H, W) DN above the black level, rounded, may be negative.

    The light is what truly fell on the sensor, that is already divided by the ratio. Clipped above
    at white - black.
    """
    span = sensor.white - sensor.black
    signal = rng.poisson(np.asarray(light, np.float64) * (span / sensor.gain)).astype(np.float32)
    signal *= np.float32(sensor.gain)
    signal += read_noise(light.shape, sensor, rng)
    signal += rng.standard_normal((light.shape[0], 1), np.float32) * np.float32(sensor.row)
    for (top, left), error in zip(((0, 0), (0, 1), (1, 1), (1, 0)), sensor.black_error, strict=True):
        signal[top::2, left::2] += np.float32(error)
    signal /= np.float32(sensor.step)
    np.rint(signal, out=signal)
    signal *= np.float32(sensor.step)
    return np.minimum(signal, np.float32(span), out=signal)


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
