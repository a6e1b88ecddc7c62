"""A dark scene, a sensor's mosaic of it, and the plain way to develop it."""

import numpy as np
from conftest import colours
from PIL import Image

from darkroom.develop import amplifier, pipeline

PLAIN = pipeline.Settings(amp=amplifier.parse("20"))


def scene(height: int, width: int) -> np.ndarray:
    """(H, W, 3) light: smooth colours, brightest at the top left."""
    coarse = np.random.default_rng(0).integers(20, 235, (6, 8, 3), np.uint8) // 3 + np.uint8(85)  # natural colours
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return (np.asarray(smooth, np.float32) / 255) ** 2.2


def dark(light: np.ndarray, ratio: float, kind: str = "bayer", phase=(0, 0)) -> np.ndarray:
    mosaic = np.take_along_axis(light, colours(light.shape[:2], kind, phase)[..., None].astype(int), 2)[..., 0]
    noise = np.random.default_rng(1).normal(0, 1, mosaic.shape)
    return np.rint(mosaic / ratio * (16383 - 512) + 512 + noise).clip(0, 16383).astype(np.uint16)
