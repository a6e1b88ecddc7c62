"""How far a network sees, and how much of that is felt: the halo its tiles need.

network  ->  reach: packed pixels beyond which nothing changes an output pixel  ->  halo <= reach
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from darkroom.develop import cfa
from darkroom.develop.contract import LIMITS, PIXEL, PLANES, Input, Packing
from darkroom.errors import ModelError

SEAM = 0.1 / 255
"""Largest error a tile's missing surroundings may cause."""
FARTHEST = 1024
"""Packed pixels a network may see around it; tiles would else be all halo."""
TRIES = 8
"""Most halos that are tried."""


def halo(network: nn.Module, packing: Packing, input: Input, multiple: int) -> int:
    """Packed pixels that must surround a core: a multiple, at most the network's reach, less where that is not felt.

    From the reach inwards the surroundings are cut off more closely until the core changes by more than `SEAM`; so
    every wider halo serves as well.
    """
    scale, core = PIXEL[packing], up(32, multiple)
    reach = up(_reach(network, PLANES[packing], scale, multiple), multiple)
    whole = scenes(packing, input, core + 2 * reach, core + 2 * reach)
    step = up(-(-reach // TRIES), multiple)
    enough = reach
    with torch.inference_mode():
        wanted = _core(network(whole), reach * scale, core * scale)
        for closer in range(reach - step, 0, -step):
            cut = reach - closer
            found = _core(network(whole[..., cut:-cut, cut:-cut]), closer * scale, core * scale)
            if not (found - wanted).abs().max() <= SEAM:
                break
            enough = closer
    return enough


def scenes(packing: Packing, input: Input, height: int, width: int) -> Tensor:
    """Make three scenes as hard as a network will meet: (3, C, h, w) bright.

    A ramp of light under strong noise, lamps that saturate in the dark, and flat fields with steps between them.
    """
    rng = np.random.default_rng(0)
    pixel = PIXEL[packing]
    shape = (PLANES[packing] if packing == "srgb3" else 1, height * pixel, width * pixel)
    noise = rng.standard_normal(shape, np.float32)
    ramp = np.linspace(0, 1, shape[2], dtype=np.float32) + np.float32(0.2) * noise
    lamps = np.where(_fields(rng, shape, 8) > 0.95, 1, np.float32(0.05) * noise)
    steps = _fields(rng, shape, 32)
    light = np.clip([ramp, lamps, steps], *LIMITS[input]).astype(np.float32)
    if packing == "srgb3":
        return torch.from_numpy(light.clip(min=0))
    return torch.from_numpy(np.stack([cfa.pack(mosaic, packing) for mosaic in light[:, 0]]))


def _fields(rng: np.random.Generator, shape: tuple[int, int, int], side: int) -> NDArray[np.float32]:
    """Squares of `side` sites, each of one level in [0, 1)."""
    levels = rng.random((shape[0], -(-shape[1] // side), -(-shape[2] // side)), np.float32)
    return levels.repeat(side, 1).repeat(side, 2)[:, : shape[1], : shape[2]]


def up(length: int, multiple: int) -> int:
    """Round a length up to a multiple."""
    return -(-length // multiple) * multiple


def _reach(network: nn.Module, planes: int, scale: int, multiple: int) -> int:
    """Packed pixels beyond which nothing is seen: how far NaN spreads from each side of a strip.

    What is not a number stays so through every weight, however small, and through rectifiers and pooling.
    """
    strip = torch.zeros(1, planes, multiple, multiple + FARTHEST)
    strip[..., :multiple] = torch.nan
    farthest = 0
    for mirrored in (False, True):
        for turned in (False, True):
            seen = strip.flip(3) if mirrored else strip
            with torch.inference_mode():
                spoilt = network(seen.transpose(2, 3) if turned else seen).isnan().any(1)[0]
            columns = spoilt.any(1 if turned else 0)
            columns = columns.flip(0) if mirrored else columns
            farthest = max(farthest, int(columns.nonzero().max()) + 1)
    if farthest == strip.shape[3] * scale:
        raise ModelError(f"the network's reach is beyond {FARTHEST} packed pixels; it cannot be run in tiles")
    return max(-(-farthest // scale) - multiple, 0)


def _core(picture: Tensor, start: int, size: int) -> Tensor:
    return picture[..., start : start + size, start : start + size]
