"""Pictures as references: what a camera or a converter made of a long exposure, beside the raw short.

    PNG, TIFF or JPEG of 8 or 16 bits, sRGB  ->  (H, W, 3) uint16, as the sensor lies  ->  a Frame worth the same

A picture says neither sensor nor exposure. Both are the short's, and how much more light it holds is measured.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from darkroom.decode.raw import Curve
from darkroom.develop import cfa, curves
from darkroom.develop.curves import FULL
from darkroom.errors import SettingsError
from darkroom.frame import CELL, Exposure, Frame

SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg"})

WHITE = 0.98
"""Of a picture's white: brighter sites are clipped, and tell no ratio."""
LEAST = 0.01
"""Of the sites, that must tell the ratio."""

Array = NDArray[np.float32]


def is_picture(path: Path) -> bool:
    """Tell by the name."""
    return path.suffix.lower() in SUFFIXES


def read(path: Path, short: Frame) -> NDArray[np.uint16]:
    """Read a picture of what the short shows: (H, W, 3) sRGB, turned as the sensor lies.

    Raises SettingsError for what is no picture of 8 or 16 bits, or another size than the short.
    """
    try:
        picture = _decoded(path)
    except (OSError, ValueError, RuntimeError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"{path}: cannot be read as a picture ({reason}); give PNG, TIFF or JPEG") from error
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype not in (np.uint8, np.uint16):
        found = f"{picture.dtype} of {' x '.join(map(str, picture.shape))}"
        raise SettingsError(f"{path}: holds {found}; give red, green and blue of 8 or 16 bits")
    seen = short.visible
    lying = _laid(picture.astype(np.uint16) * np.uint16(257 if picture.dtype == np.uint8 else 1), short.orientation)
    if lying.shape[:2] != (seen.height, seen.width):
        sizes = f"{lying.shape[1]} x {lying.shape[0]} as the sensor lies, the short {seen.width} x {seen.height}"
        raise SettingsError(f"{path}: has {sizes} pixels; give a picture that was neither cut nor resized")
    return np.ascontiguousarray(lying)


def rendered(picture: NDArray[np.uint16], short: Frame, *, camera: bool, curve: Curve) -> NDArray[np.uint16]:
    """Bring a picture to what `raw.render` gives of a raw file: (H, W, 3), in camera RGB or sRGB, under a curve."""
    light = curves.srgb_to_linear(picture / np.float32(FULL))
    if camera:
        light = np.clip(light @ np.linalg.inv(short.camera_to_srgb).T.astype(np.float32), 0, 1)
    encode = curves.linear_to_srgb if curve == "srgb" else curves.linear_to_bt709
    return (encode(light) * FULL + 0.5).astype(np.uint16)


def frame(mosaic: NDArray[np.uint16], short: Frame) -> Frame:
    """The frame that a picture's mosaic makes, with the short's sensor; its exposure is unknown."""
    return replace(short, mosaic=mosaic, white_balance=_gains(short), exposure=Exposure(0, 0, 0))


def mosaic(picture: NDArray[np.uint16], short: Frame) -> NDArray[np.uint16]:
    """Make what the short's sensor would have recorded of a picture, up to its white level: (H, W) DN."""
    camera = rendered(picture, short, camera=True, curve="srgb")
    light = curves.srgb_to_linear(camera / np.float32(FULL)) / _gains(short)
    (height, width), seen = short.mosaic.shape, short.visible
    around = ((seen.top, height - seen.top - seen.height), (seen.left, width - seen.left - seen.width), (0, 0))
    sampled = cfa.sample(np.pad(light, around, "edge").astype(np.float32), short.cfa)
    period = len(short.black)
    black = np.tile(short.black, (-(-height // period), -(-width // period)))[:height, :width]
    return np.rint(black + sampled * (short.white - black)).astype(np.uint16)


def _gains(short: Frame) -> NDArray[np.float32]:
    """White-balance gains as LibRaw renders with them: the least is 1."""
    gains = short.white_balance
    return np.ones(3, np.float32) if gains is None else gains / gains.min()


def ratio(short: Frame, reference: Frame) -> float:
    """Measure how much more light a picture's frame holds; SettingsError where nearly all of it is clipped or black."""
    gains = _gains(short)[CELL[short.cfa]]
    spots = list(np.ndindex(*gains.shape))
    dark, bright = ([_site(each, top, left, len(gains)) for top, left in spots] for each in (short, reference))
    # A picture's white is less light where gain is more.
    told = np.concatenate([site < WHITE / gains[spot] for site, spot in zip(bright, spots, strict=True)])
    light = [np.concatenate(dark), np.concatenate(bright)]
    if told.mean() < LEAST or not light[0][told].mean() > 0:
        raise SettingsError(f"{short.camera}: the picture or its short is all white or black; give a CSV with ratios")
    return float(light[1][told].mean() / light[0][told].mean())


def _site(frame: Frame, top: int, left: int, period: int) -> Array:
    black = frame.black[top, left]
    return ((frame.mosaic[top::period, left::period].ravel() - black) / (frame.white - black)).astype(np.float32)


def _decoded(path: Path) -> NDArray[np.generic]:
    if path.suffix.lower() in (".jpg", ".jpeg"):
        with Image.open(path) as file:
            return np.asarray(file.convert("RGB"))
    import imagecodecs  # Pillow halves 16 bits without a word

    data = path.read_bytes()
    decode = imagecodecs.png_decode if path.suffix.lower() == ".png" else imagecodecs.tiff_decode
    picture: NDArray[np.generic] = decode(data)
    return picture[..., :3] if picture.ndim == 3 else picture


def _laid(picture: NDArray[np.uint16], orientation: int) -> NDArray[np.uint16]:
    """Undo an EXIF orientation: upright as a picture -> as the sensor lies."""
    if orientation >= 5:
        picture = picture.transpose(1, 0, 2)
    upside_down, mirrored = {
        1: (False, False), 2: (False, True), 3: (True, True), 4: (True, False),
        5: (False, False), 6: (True, False), 7: (True, True), 8: (False, True),
    }[orientation]  # fmt: skip
    return picture[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
