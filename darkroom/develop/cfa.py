"""Mosaic <-> packed light: black level, white balance, ratio and packing in one pass.

    (H, W) DN  ->  (C, H/s, W/s) bright        Bayer: C = 4, s = 2; X-Trans: C = 9, s = 3; more in `Contract.packing`

Light is 0 at the black level and 1 where the sensor saturates. The mosaic starts at the canonical
phase (raw.read sees to that), so no function here knows about phases.
"""

from functools import reduce
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from darkroom.develop.contract import KIND, LIMITS, PIXEL, PLANES, Contract, Packing
from darkroom.develop.curves import linear_to_srgb
from darkroom.errors import SettingsError
from darkroom.frame import CELL, Frame

Array = NDArray[np.float32]
SATURATED = 0.999
"""Of where a colour saturates: what rounding leaves of it."""

Number = TypeVar("Number", bound=np.generic)


class Site(NamedTuple):
    """Where one site of the CFA cell goes: packed[channel, row::across, col::across]."""

    top: int
    left: int
    channel: int
    row: int
    col: int


BAYER4 = (Site(0, 0, 0, 0, 0), Site(0, 1, 1, 0, 0), Site(1, 1, 2, 0, 0), Site(1, 0, 3, 0, 0))
"""SID's clockwise order R G B G (train_Sony.py, pack_raw)."""

# SID's nine channels (train_Fuji.py, pack_raw): for each, the sites of its 2 x 2 packed pixels in raster order.
_XTRANS9 = (
    ((0, 0), (0, 4), (3, 1), (3, 3)),
    ((0, 2), (0, 5), (3, 2), (3, 5)),
    ((0, 1), (0, 3), (3, 0), (3, 4)),
    ((1, 2), (2, 5), (5, 2), (4, 5)),
    ((2, 2), (1, 5), (4, 2), (5, 5)),
    ((1, 0), (1, 3), (4, 0), (4, 3)),
    ((1, 1), (1, 4), (4, 1), (4, 4)),
    ((2, 0), (2, 3), (5, 0), (5, 3)),
    ((2, 1), (2, 4), (5, 1), (5, 4)),
)
XTRANS9 = tuple(
    Site(top, left, channel, spot // 2, spot % 2)
    for channel, spots in enumerate(_XTRANS9)
    for spot, (top, left) in enumerate(spots)
)

BAYER3 = tuple(Site(top, left, int(colour), top, left) for (top, left), colour in np.ndenumerate(CELL["bayer"]))
XTRANS36 = tuple(Site(top, left, 6 * top + left, 0, 0) for top, left in np.ndindex(6, 6))

SITES: dict[Packing, tuple[Site, ...]] = {
    "bayer4": BAYER4,
    "xtrans9": XTRANS9,
    "bayer3": BAYER3,
    "xtrans36": XTRANS36,
}
"""Every packing of a mosaic; srgb3 is a picture."""

LAYOUTS: dict[str, dict[str, Packing]] = {
    "bayer": {"packed": "bayer4", "masked": "bayer3", "srgb": "srgb3"},
    "xtrans": {"packed": "xtrans9", "packed36": "xtrans36", "srgb": "srgb3"},
}
"""CFA -> what SID's Table 3 calls the arrangement of its data -> packing."""


_BAND = 1 << 16
"""Sites that are demosaiced at once: what a core's cache holds."""

NEAR = {"bayer": (1.0, 2.0, 1.0), "xtrans": (1.0, 2.0, 3.0, 2.0, 1.0)}
"""Weights of the plain demosaic along one axis."""


def packing(kind: str, layout: str) -> Packing:
    """Name the packing that arranges the data of a CFA in a layout.

    Raises SettingsError where the CFA has no such layout.

    >>> packing("bayer", "masked")
    'bayer3'
    """
    known = LAYOUTS[kind]
    if layout not in known:
        raise SettingsError(f"layout {layout}: {kind} sensors have none such; choose {', '.join(known)}")
    return known[layout]


def sample(rgb: NDArray[Number], cfa: str) -> NDArray[Number]:
    """See a colour image through the mosaic: (H, W, 3) -> (H, W), at the canonical phase."""
    mosaic = np.empty(rgb.shape[:2], rgb.dtype)
    period = len(CELL[cfa])
    for (top, left), colour in np.ndenumerate(CELL[cfa]):
        mosaic[top::period, left::period] = rgb[top::period, left::period, colour]
    return mosaic


def pack(mosaic: NDArray[Number], packing: Packing) -> NDArray[Number]:
    """Rearrange a mosaic by colour: (H, W) -> (C, H/s, W/s), values untouched.

    H and W must be multiples of the CFA cell, 2 for Bayer and 6 for X-Trans.

    >>> pack(np.array([[1, 2], [3, 4]]), "bayer4")[:, 0, 0].tolist()  # clockwise
    [1, 2, 4, 3]
    """
    pixel = PIXEL[packing]
    period, across = _period(packing)
    height, width = mosaic.shape
    packed = _planes(packing, height // pixel, width // pixel, mosaic.dtype)
    for s in SITES[packing]:
        packed[s.channel, s.row :: across, s.col :: across] = mosaic[s.top :: period, s.left :: period]
    return packed


def unpack(packed: NDArray[Number], packing: Packing) -> NDArray[Number]:
    """Undo `pack`: (C, h, w) -> (H, W)."""
    pixel = PIXEL[packing]
    period, across = _period(packing)
    mosaic = np.empty((packed.shape[1] * pixel, packed.shape[2] * pixel), packed.dtype)
    for s in SITES[packing]:
        mosaic[s.top :: period, s.left :: period] = packed[s.channel, s.row :: across, s.col :: across]
    return mosaic


def packed_size(frame: Frame, contract: Contract) -> tuple[int, int]:
    """Packed height and width that cover the mosaic, rounded up to the contract's multiple."""
    step = PIXEL[contract.packing] * contract.multiple
    height, width = frame.mosaic.shape
    return -(-height // step) * contract.multiple, -(-width // step) * contract.multiple


def bright(frame: Frame, rows: slice, cols: slice, *, gains: Array, ratio: float, contract: Contract) -> Array:
    """Pack and amplify one window of the mosaic to the brightness the network was trained for.

    `rows` and `cols` are in packed pixels and start on a CFA cell; where they reach past the mosaic
    it is continued by its own cells, mirrored. Returns (C, h, w) = light x gain x ratio within
    the LIMITS of the network's input, noise below black left negative; for networks of input "sensor" no
    gain is applied and the lower limit is 0, as SID has it; for those of input "srgb" it is `developed`. Where a colour
    saturates in the sensor below 1, highlights are `rebuilt`.
    """
    packing = contract.packing
    if packing == "srgb3":
        return _picture(frame, rows, cols, gains=gains, ratio=ratio)
    pixel, (period, across) = PIXEL[packing], _period(packing)
    mosaic = _window(
        frame.mosaic, slice(rows.start * pixel, rows.stop * pixel), slice(cols.start * pixel, cols.stop * pixel), period
    )
    packed = _planes(packing, rows.stop - rows.start, cols.stop - cols.start, np.float32)
    balance = np.ones(3, np.float32) if contract.input == "sensor" else gains
    for s in SITES[packing]:
        plane = packed[s.channel, s.row :: across, s.col :: across]
        _amplify(
            mosaic[s.top :: period, s.left :: period], plane, (s.top, s.left), frame=frame, gains=balance, ratio=ratio
        )
    if contract.input in ("balanced", "headroom") and ratio * float(np.min(gains)) < 1:
        rebuilt(packed, np.asarray(gains, np.float32) * np.float32(ratio), packing)
    return np.clip(packed, *LIMITS[contract.input], out=packed)


def rebuilt(packed: Array, limits: Array, packing: Packing) -> None:
    """Make saturated sites as bright as the brightest of their packed pixel, in place: neutral, not magenta or cyan.

    packed: (C, h, w) balanced light. limits: (3,), where each colour saturates. The true light is beyond, so that the
    colours that go farther tell of it; where all are saturated, nothing tells of a colour.
    """
    cell, across = CELL[KIND[packing]], _period(packing)[1]
    brightest = packed.max(0)
    for s in SITES[packing]:
        plane, best = packed[s.channel, s.row :: across, s.col :: across], brightest[s.row :: across, s.col :: across]
        np.copyto(plane, best, where=plane >= limits[cell[s.top, s.left]] * np.float32(SATURATED))


def demosaic(packed: Array, packing: Packing) -> Array:
    """Interpolate plainly: (C, h, w) -> (3, H, W), each colour the weighted mean of its near sites.

    The weights fall off linearly over one Bayer cell, which for Bayer is the bilinear demosaic;
    X-Trans needs one site more.
    """
    return _interpolate(unpack(packed, packing), KIND[packing])


def developed(light: Array, kind: str, camera_to_srgb: Array) -> Array:
    """Develop plainly, without a network: demosaic, colour matrix, sRGB curve.

    (H, W) light, balanced, amplified and clipped above at 1, from the start of a CFA cell -> (3, H, W) sRGB in [0, 1].
    It is what networks of input "srgb" are given: the traditional pipeline of SID's Table 3, row 3.
    """
    picture = coloured(_interpolate(light, kind), camera_to_srgb)
    return linear_to_srgb(np.clip(picture, 0, 1, out=picture))


def coloured(camera: Array, matrix: Array) -> Array:
    """Take linear camera RGB (3, H, W) to another space by a (3, 3) matrix.

    Not by `@`, whose rounding depends on the size of the array: tiles would differ from the whole.
    """
    colour = np.empty_like(camera)
    for plane, (red, green, blue) in zip(colour, np.asarray(matrix, np.float32), strict=True):
        plane[:] = red * camera[0] + green * camera[1] + blue * camera[2]
    return colour


def _period(packing: Packing) -> tuple[int, int]:
    period = len(CELL[KIND[packing]])
    return period, period // PIXEL[packing]


def _planes(packing: Packing, height: int, width: int, dtype: np.dtype[Number] | type[Number]) -> NDArray[Number]:
    """Room for packed light; a masked packing leaves most of it at 0."""
    empty = np.zeros if packing == "bayer3" else np.empty
    return empty((PLANES[packing], height, width), dtype)


def _amplify(
    sites: NDArray[np.uint16], plane: Array, spot: tuple[int, int], *, frame: Frame, gains: Array, ratio: float
) -> None:
    """Write the light x gain x ratio of one site of the cell into `plane`."""
    black = float(frame.black[spot])
    scale = float(gains[CELL[frame.cfa][spot]]) * ratio / (frame.white - black)
    np.multiply(sites, np.float32(scale), out=plane, casting="same_kind")
    plane -= np.float32(black * scale)


def _picture(frame: Frame, rows: slice, cols: slice, *, gains: Array, ratio: float) -> Array:
    """Develop a window plainly: (3, h, w), made from as much more of the mosaic as the demosaic sees."""
    period, reach = len(CELL[frame.cfa]), len(NEAR[frame.cfa]) // 2
    tall, wide = (
        slice((span.start - reach) // period * period, -(-(span.stop + reach) // period) * period)
        for span in (rows, cols)
    )
    mosaic = _window(frame.mosaic, tall, wide, period)
    light = np.empty(mosaic.shape, np.float32)
    for spot in np.ndindex(period, period):
        cell = np.s_[spot[0] :: period, spot[1] :: period]
        _amplify(mosaic[cell], light[cell], spot, frame=frame, gains=gains, ratio=ratio)
    picture = developed(np.minimum(light, 1, out=light), frame.cfa, frame.camera_to_srgb)
    top, left = rows.start - tall.start, cols.start - wide.start
    return np.ascontiguousarray(picture[:, top : top + rows.stop - rows.start, left : left + cols.stop - cols.start])


def _interpolate(mosaic: Array, kind: str) -> Array:
    cell, kernel = CELL[kind], NEAR[kind]
    (height, width), period, reach = mosaic.shape, len(cell), len(kernel) // 2
    rows = max(1, _BAND // (width * period)) * period
    colour = np.tile(cell, (rows // period + 2, width // period))
    planes = np.empty((3, height, width), np.float32)
    known: dict[tuple[int, int, int], list[tuple[Array, Array]]] = {}
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        above, below = min(reach, top), min(reach, height - bottom)
        around = (reach - above, reach - below), (reach, reach)
        if (above, bottom - top, below) not in known:
            here = colour[period - above : period + bottom - top + below]
            masks = [np.pad((here == channel).astype(np.float32), around) for channel in range(3)]
            known[above, bottom - top, below] = [(mask, _blur(mask, kernel)) for mask in masks]
        light = np.pad(mosaic[top - above : bottom + below], around)
        for plane, (mask, weight) in zip(planes, known[above, bottom - top, below], strict=True):
            np.divide(_blur(light * mask, kernel), weight, out=plane[top:bottom])
    return planes


def _window(mosaic: NDArray[np.uint16], rows: slice, cols: slice, period: int) -> NDArray[np.uint16]:
    if rows.start >= 0 and cols.start >= 0 and rows.stop <= mosaic.shape[0] and cols.stop <= mosaic.shape[1]:
        return mosaic[rows, cols]
    return mosaic[np.ix_(_mirror(rows, mosaic.shape[0], period), _mirror(cols, mosaic.shape[1], period))]


def _mirror(span: slice, length: int, period: int) -> NDArray[np.intp]:
    """Indices of `span` folded back into `length` cell by cell, so every site keeps its colour."""
    index = np.arange(span.start, span.stop)
    cell, site = np.divmod(index, period)
    last = length // period - 1  # the last whole cell
    folded = cell % max(2 * last, 1)
    folded = np.minimum(folded, 2 * last - folded)
    return np.where((index >= 0) & (index < length), index, folded * period + site)


def _blur(padded: Array, kernel: tuple[float, ...]) -> Array:
    """Blur along both axes what has half a kernel's length around it, which is lost."""
    height, width = (side - len(kernel) + 1 for side in padded.shape)
    across = reduce(np.add, [np.float32(k) * padded[:, i : i + width] for i, k in enumerate(kernel)])
    return reduce(np.add, [np.float32(k) * across[i : i + height] for i, k in enumerate(kernel)])
