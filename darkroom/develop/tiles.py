"""A network over a large image, seamless, inside a memory budget.

    window -> bright (C, h, w), for every tile  ->  its core: rgb (3, H, W) in 16 bits, and where it belongs

A tile is a core, whose output is kept, and around it a halo as wide as the network's reach, whose
output is thrown away; at the image's own edge there is no halo and the network pads as it was trained
to. Cores start on multiples of what the network pools, so every pixel meets the same arithmetic in
any tiling. All tiles are of one size: an engine prepares itself for a size when it first meets it.
They are done strip by strip, in the direction in which the picture, once turned, is written.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darkroom.develop.contract import Contract
from darkroom.develop.curves import FULL
from darkroom.errors import ModelError, SettingsError
from darkroom.frame import Onward

DEAR = 1.9e9
"""Bytes of a tile that weigh as much as doubling the time: what makes tiles smaller than `memory` allows. In bfloat16
halos then cost the networks for Bayer 15 and 22 % at 12 MP, 22 and 28 % at 24, and a tile of `fast` at 61 MP takes 290
MB; in float32 they cost 22 and 29 % at 12 MP."""
HANDLING = 10_000
"""Packed pixels that a network computes in the time that a tile takes beside it, about 2 ms."""
_STRAY = 0.25
"""How far outside [0, 1] half of a tile may not lie."""


@dataclass(frozen=True)
class Tile:
    """One piece of the work, in packed pixels."""

    seen_rows: slice
    """Core and halo: what the network is given."""
    seen_cols: slice
    core_rows: slice
    """What is kept of its output."""
    core_cols: slice


_BAND = 1 << 17
"""Pixels of a tile that are rounded at once: what a core's cache holds."""


Piece = tuple[slice, slice, NDArray[np.uint16]]
"""Rows and columns of the output, and what belongs there, (3, rows, columns) from 0 to FULL."""


def plan(
    height: int,
    width: int,
    contract: Contract,
    *,
    pixel_bytes: int,
    memory: int,
    onward: Onward = "down",
    strip_bytes: int = 0,
) -> list[Tile]:
    """Cut (height, width) packed pixels into the tiles that cost least within `memory` bytes, in the order of strips.

    pixel_bytes: what a packed pixel of a tile takes. strip_bytes: what one of a strip of tiles does beside. Cost is
    what the network computes in all, halos included, the more the larger the tiles are (DEAR). Raises SettingsError
    where not even the smallest core fits.
    """
    best: tuple[float, int, int] | None = None
    for down in range(1, height // contract.multiple + 1):
        tall = _side(height, down, contract)
        if best and down * tall * width >= best[0]:
            break  # more cuts across only add halos
        for across in range(1, width // contract.multiple + 1):
            wide = _side(width, across, contract)
            if best and down * tall * across * wide >= best[0]:
                break
            strip = tall * width if onward in ("down", "up") else height * wide
            taken = tall * wide * pixel_bytes + strip * strip_bytes
            cost = down * across * (tall * wide + HANDLING) * (1 + taken / DEAR)
            if taken <= memory and (best is None or cost < best[0]):
                best = cost, tall, wide
    if best is None:
        tall, wide = _side(height, height, contract), _side(width, width, contract)
        strip = tall * width if onward in ("down", "up") else height * wide
        smallest = tall * wide * pixel_bytes + strip * strip_bytes
        raise SettingsError(
            f"memory: a tile of {contract.name} needs {smallest / 1e6:.0f} MB, {max(memory, 0) / 1e6:.0f} are left; "
            f"raise --memory by {(smallest - memory) / 1e6:.0f}MB"
        )
    _, tall, wide = best
    rows, cols = list(_spans(height, tall, contract.halo)), list(_spans(width, wide, contract.halo))
    if onward in ("down", "up"):
        lines = rows if onward == "down" else rows[::-1]
        return [Tile(seen, seen_cols, core, core_cols) for seen, core in lines for seen_cols, core_cols in cols]
    lines = cols if onward == "right" else cols[::-1]
    return [Tile(seen_rows, seen, core_rows, core) for seen, core in lines for seen_rows, core_rows in rows]


def run(
    network: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    bright: Callable[[slice, slice], NDArray[np.float32]],
    *,
    size: tuple[int, int],
    contract: Contract,
    pixel_bytes: int,
    memory: int,
    on_tile: Callable[[int, int], None],
    onward: Onward = "down",
    strip_bytes: int = 0,
) -> Iterator[Piece]:
    """Run a network over an image of `size` packed pixels, tile by tile, and give each core as it is done.

    `bright` gives the packed pixels of a window, the next tile's while the network works; `network` turns them into
    (3, h * scale, w * scale) in [0, 1], which need only last until its next call. `on_tile` hears (done, all) after
    each. Raises ModelError when an output is not finite or half of it far from [0, 1], SettingsError as `plan`.
    """
    tiles = plan(*size, contract, pixel_bytes=pixel_bytes, memory=memory, onward=onward, strip_bytes=strip_bytes)
    scale = contract.scale
    with ThreadPoolExecutor(1, "bright") as beside:
        ahead = beside.submit(bright, tiles[0].seen_rows, tiles[0].seen_cols)
        for done, (tile, following) in enumerate(zip(tiles, (*tiles[1:], None), strict=True), 1):
            seen = ahead.result()
            if following:
                ahead = beside.submit(bright, following.seen_rows, following.seen_cols)
            rows = _scaled(tile.core_rows, tile.seen_rows.start, scale)
            cols = _scaled(tile.core_cols, tile.seen_cols.start, scale)
            core = _rounded(network(seen)[:, rows, cols], contract.name, f"in tile {done} of {len(tiles)}")
            del seen
            on_tile(done, len(tiles))
            yield _scaled(tile.core_rows, 0, scale), _scaled(tile.core_cols, 0, scale), core
            del core


def _rounded(rgb: NDArray[np.float32], name: str, where: str) -> NDArray[np.uint16]:
    """Round a network's output to 16 bits, cut to [0, 1].

    Networks without a last activation, such as SID's, overshoot a little, and their authors cut as well. What lies
    elsewhere for the most part is another scale, and cut it would pass for a black or white photo.
    """
    rounded = np.empty(rgb.shape, np.uint16)
    low, high = np.inf, -np.inf
    rows = max(1, _BAND // rgb.shape[2])
    for top in range(0, rgb.shape[1], rows):
        band = rgb[:, top : top + rows]
        least, most = float(band.min()), float(band.max())  # NaN where one is among them
        if not np.isfinite([least, most]).all():
            raise ModelError(f"{name}: gave a value that is not finite {where}; report this to whoever made it")
        low, high = min(low, least), max(high, most)
        scaled = band * np.float32(FULL)
        scaled += np.float32(0.5)
        rounded[:, top : top + rows] = np.clip(scaled, 0, FULL, out=scaled)
    strays = low < -_STRAY or high > 1 + _STRAY
    if strays and np.mean((rgb < -_STRAY) | (rgb > 1 + _STRAY)) > 0.5:
        raise ModelError(f"{name}: gave {low:.2g} to {high:.2g} {where}, its contract says 0 to 1; export it again")
    return rounded


def _side(length: int, parts: int, contract: Contract) -> int:
    """How long each tile is, halos included, when `length` is cut into at most `parts`.

    Between two cores lie two halos. A core is at least one `multiple` long.
    """
    halo, multiple = contract.halo, contract.multiple
    shared = -(-(length + 2 * (parts - 1) * halo) // (parts * multiple)) * multiple
    return min(length, max(shared, 2 * halo + multiple if parts > 1 else 0))


def _spans(length: int, side: int, halo: int) -> Iterator[tuple[slice, slice]]:
    """What each tile sees, all of one `side`, and its core.

    >>> list(_spans(40, 24, 4))
    [(slice(0, 24, None), slice(0, 20, None)), (slice(16, 40, None), slice(20, 40, None))]
    """
    start = 0
    while start < length:
        first = min(max(0, start - halo), length - side)
        stop = length if first + side == length else first + side - halo
        yield slice(first, first + side), slice(start, stop)
        start = stop


def _scaled(span: slice, origin: int, scale: int) -> slice:
    return slice((span.start - origin) * scale, (span.stop - origin) * scale)
