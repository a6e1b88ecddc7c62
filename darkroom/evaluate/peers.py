"""Networks of others that keep to the mosaic: raw to raw, demosaiced by LibRaw afterwards.

Frame, ratio -> Frame of the same scene, denoised; its mosaic in fractions of a DN

Such a network takes the four planes of an RGGB mosaic, in raster order R G G B, as (1, 4, h, w) and gives as many.
Light is normalised before, by what the file names under `darkroom.normalisation` in its metadata, or the user does:

    light     amplified, 0 black and 1 white: as ELD and those that follow SID
    k-sigma   made alike in noise whatever the sensor (Wang et al., "Practical deep raw image denoising on mobile
              devices", 2020), by the constants of their published weights, PMRID's, and times 256

Whether it helps to clip below black before depends on the photo, so both are tried, and the picture that is nearer to
the reference is kept. That choice flatters them.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from darkroom.errors import SettingsError
from darkroom.evaluate import foreign
from darkroom.evaluate.foreign import Foreign
from darkroom.frame import Frame

Normalisation = Literal["light", "k-sigma"]

KEY = "darkroom.normalisation"
"""The ONNX metadata entry that names it."""
MULTIPLE = 32
"""Packed pixels: what height and width are filled up to."""
FULL = 959.0
"""PMRID's V: the range of a 10-bit sensor above black, DN, on which its noise is stated."""
ANCHOR = 1600
"""The ISO whose noise every other is made alike to, and below the noise there: variance = K x + S."""
ANCHOR_K = 0.0005995267 * ANCHOR + 0.00868861
ANCHOR_S = 7.11772e-7 * ANCHOR**2 + 6.514934e-4 * ANCHOR + 0.11492713
GAIN = 256.0
"""What PMRID's values are multiplied by."""


@dataclass(frozen=True, eq=False)
class Peer:
    """A network from mosaic to mosaic."""

    network: Foreign
    normalisation: Normalisation


@dataclass(frozen=True)
class Noise:
    """What a sensor adds to light."""

    gain: float
    """K, DN per electron."""
    read: float
    """sd of what is there without light, DN."""


def load(file: Path, normalisation: str | None) -> Peer:
    """Open a network of four planes to four; raises SettingsError for another, or without a known normalisation."""
    network = foreign.load(file)
    shapes = [*network.inputs.values(), *network.outputs.values()]
    if len(network.inputs) != 1 or len(network.outputs) != 1 or any(len(s) != 4 or s[1] != 4 for s in shapes):
        raise SettingsError(
            f"{file}: {network.told()}; a network from mosaic to mosaic takes and gives one (1, 4, h, w)"
        )
    named, known = normalisation or network.metadata.get(KEY), get_args(Normalisation)
    if named not in known:
        found = f"normalisation {named} is unknown" if named else "names no normalisation"
        raise SettingsError(f"{file}: {found}; give --normalisation {' or '.join(known)}")
    return Peer(network, "light" if named == "light" else "k-sigma")


def denoise(peer: Peer, frame: Frame, ratio: float, noise: Noise, *, clip: bool) -> Frame:
    """Denoise a Bayer frame; clip: light below black is cut off before.

    Raises SettingsError for X-Trans, or where k-sigma is wanted and the noise is not known.
    """
    if frame.cfa != "bayer":
        raise SettingsError(f"{peer.network.file}: denoises Bayer mosaics only, this is {frame.cfa}; leave it out")
    if peer.normalisation == "k-sigma" and noise.gain <= 0:
        raise SettingsError(
            f"{peer.network.file}: k-sigma needs the sensor's noise; give --noise K,SD in DN, as `darkroom calibrate` "
            "finds them"
        )
    height, width = frame.mosaic.shape
    black = np.tile(frame.black, (-(-height // 2), -(-width // 2)))[:height, :width]
    span = np.float32(frame.white) - black
    light = (frame.mosaic - black) / span
    if clip:
        np.maximum(light, 0, out=light)
    even = np.pad(light, ((0, height % 2), (0, width % 2)), mode="reflect")
    planes = np.stack([even[row::2, column::2] for row in (0, 1) for column in (0, 1)])
    scale, offset = _normal(peer, ratio, noise, float(span.mean()))
    found = _run(peer.network, planes * np.float32(scale) + np.float32(offset))
    for index, (row, column) in enumerate(np.ndindex(2, 2)):
        even[row::2, column::2] = (found[index] - np.float32(offset)) / np.float32(scale)
    return replace(frame, mosaic=even[:height, :width] * span + black)


def _normal(peer: Peer, ratio: float, noise: Noise, span: float) -> tuple[float, float]:
    """What light is multiplied by, and what is then added. K-sigma comes to the same for any ratio."""
    if peer.normalisation == "light":
        return ratio, 0.0
    k = noise.gain * FULL / span
    s = (noise.read * FULL / span) ** 2
    alike = ANCHOR_K / k
    shift = (s / k**2 - ANCHOR_S / ANCHOR_K**2) * ANCHOR_K
    return alike * GAIN, shift / FULL * GAIN


def _run(network: Foreign, planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(4, h, w) -> the same, filled up to whole multiples for the network."""
    height, width = planes.shape[1:]
    filled = np.pad(planes, ((0, 0), (0, -height % MULTIPLE), (0, -width % MULTIPLE)), mode="symmetric")
    (name,) = network.inputs
    (found,) = network.run({name: np.ascontiguousarray(filled[None], np.float32)})
    return found[0, :, :height, :width]
