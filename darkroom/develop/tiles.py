"""A network over a large image, seamless, inside a memory budget.

    window -> bright (C, h, w), for every tile  ->  rgb (3, H, W) uint16

A tile is a core, whose output is kept, and around it a halo as wide as the network's reach, whose
output is thrown away; at the image's own edge there is no halo and the network pads as it was trained
to. Cores start on multiples of what the network pools, so every pixel meets the same arithmetic in
any tiling. Output is held in 16 bits: as float32 a 61 MP picture would take 732 MB.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darkroom.develop.contract import Contract
from darkroom.errors import ModelError, SettingsError

LARGEST = 200_000_000
"""Bytes of work in a tile beyond which time is lost: glibc then hands every tensor back to the system, and the page
faults cost more than fewer halos save (12 MP: 1.7 s in 6 tiles, 2.6 s in 2)."""

FULL = 65535
"""What 1.0 is in the 16-bit output."""


@dataclass(frozen=True)
class Tile:
    """One piece of the work, in packed pixels."""

    seen_rows: slice
    """Core and halo: what the network is given."""
    seen_cols: slice
    core_rows: slice
    """What is kept of its output."""
    core_cols: slice


def plan(height: int, width: int, contract: Contract, memory: int) -> list[Tile]:
    """Cut (height, width) packed pixels into the tiles that cost least within `memory` bytes, and LARGEST.

    Cost is what the network computes in all, halos included. Raises SettingsError where not even the
    smallest core fits.
    """
    affordable = min(memory, LARGEST) // contract.pixel_bytes
    best: tuple[int, int, int] | None = None
    for down in range(1, height // contract.multiple + 1):
        tall = _longest(height, down, contract)
        if best and down * tall * width >= best[0]:
            break  # more cuts across only add halos
        for across in range(1, width // contract.multiple + 1):
            wide = _longest(width, across, contract)
            if tall * wide <= affordable:
                cost = down * tall * across * wide
                if best is None or cost < best[0]:
                    best = cost, down, across
                break
    if best is None:
        smallest = _longest(height, height, contract) * _longest(width, width, contract) * contract.pixel_bytes
        raise SettingsError(
            f"memory: {max(memory, 0) / 1e6:.0f} MB are left for a tile, {contract.name} needs {smallest / 1e6:.0f}; "
            "raise --memory by the difference"
        )
    _, down, across = best
    return [
        Tile(_seen(rows, height, contract), _seen(cols, width, contract), rows, cols)
        for rows in _cores(height, down, contract.multiple)
        for cols in _cores(width, across, contract.multiple)
    ]


def run(
    network: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    bright: Callable[[slice, slice], NDArray[np.float32]],
    *,
    size: tuple[int, int],
    contract: Contract,
    memory: int,
    on_tile: Callable[[int, int], None],
) -> NDArray[np.uint16]:
    """Run a network over an image of `size` packed pixels, tile by tile.

    `bright` gives the packed pixels of a window; `network` turns them into (3, h * scale, w * scale)
    in [0, 1]. `on_tile` hears (done, all) after each. Returns (3, H, W), 0..65535. Raises ModelError
    when an output is not finite.
    """
    height, width = size
    tiles = plan(height, width, contract, memory)
    scale = contract.scale
    rgb = np.empty((3, height * scale, width * scale), np.uint16)
    for done, tile in enumerate(tiles, 1):
        output = network(bright(tile.seen_rows, tile.seen_cols))
        core = output[
            :,
            _scaled(tile.core_rows, tile.seen_rows.start, scale),
            _scaled(tile.core_cols, tile.seen_cols.start, scale),
        ]
        if not np.isfinite(core.sum()):  # one NaN or infinity makes the sum one
            raise ModelError(
                f"{contract.name}: gave a value that is not finite in tile {done} of {len(tiles)}; report this"
            )
        core *= np.float32(FULL)  # in place: the output is ours and as large as all the rest of the tile
        core += np.float32(0.5)
        rgb[:, _scaled(tile.core_rows, 0, scale), _scaled(tile.core_cols, 0, scale)] = core
        on_tile(done, len(tiles))
    return rgb


def _split(length: int, parts: int, multiple: int) -> int:
    """How long each core is when `length` is cut into at most `parts` equal ones.

    >>> _split(1200, 2, 16)  # 608 + 592, not 1024 + 176
    608
    """
    return -(-length // (parts * multiple)) * multiple


def _longest(length: int, parts: int, contract: Contract) -> int:
    """The longest tile, halos included, when `length` is cut into `parts`."""
    core = _split(length, parts, contract.multiple)
    return min(length, core + 2 * contract.halo)


def _cores(length: int, parts: int, multiple: int) -> list[slice]:
    core = _split(length, parts, multiple)
    return [slice(start, min(start + core, length)) for start in range(0, length, core)]


def _seen(core: slice, length: int, contract: Contract) -> slice:
    return slice(max(0, core.start - contract.halo), min(length, core.stop + contract.halo))


def _scaled(span: slice, origin: int, scale: int) -> slice:
    return slice((span.start - origin) * scale, (span.stop - origin) * scale)
