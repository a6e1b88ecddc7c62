"""What a network expects and what it returns, carried as JSON in the ONNX file's own metadata.

Two kinds of network exist. One with `output` "camera" takes white-balanced light and gives
white-balanced camera RGB under the sRGB curve; colour comes afterwards from the file's own
calibration, so it serves any camera. One with `output` "srgb" takes light as the sensor gave it
and gives the finished picture: the systems of the papers, which learn one camera's colour. Or it
takes a picture that was plainly developed and gives a better one (`input` "srgb").
"""

import json
import math
from dataclasses import asdict, dataclass
from math import inf
from typing import Literal, get_args, get_type_hints

from darkroom import documents
from darkroom.errors import ModelError
from darkroom.frame import CFA

KEY = "darkroom"
"""The ONNX metadata entry that holds the contract."""

Packing = Literal["bayer4", "xtrans9", "bayer3", "xtrans36", "srgb3"]
Input = Literal["headroom", "balanced", "sensor", "srgb"]
Output = Literal["camera", "srgb"]

PLANES: dict[Packing, int] = {"bayer4": 4, "xtrans9": 9, "bayer3": 3, "xtrans36": 36, "srgb3": 3}
"""Channels that a network is given."""
PIXEL: dict[Packing, int] = {"bayer4": 2, "xtrans9": 3, "bayer3": 1, "xtrans36": 6, "srgb3": 1}
"""Photosites along one side of a packed pixel."""
KIND: dict[Packing, CFA | Literal[""]] = {
    "bayer4": "bayer", "xtrans9": "xtrans", "bayer3": "bayer", "xtrans36": "xtrans", "srgb3": "",
}  # fmt: skip
"""The CFA it is for; "" for any."""
LIMITS: dict[Input, tuple[float, float]] = {
    "headroom": (-inf, 4.0), "balanced": (-inf, 1.0), "sensor": (0.0, 1.0), "srgb": (-inf, 1.0),
}  # fmt: skip
"""Least and greatest bright light that is kept. With room above 1, noise in what is nearly white keeps its mean, and
where a highlight saturates in one colour the others tell how far they go."""
WHOLE: dict[Packing, int] = {"bayer4": 1, "xtrans9": 2, "bayer3": 2, "xtrans36": 1, "srgb3": 1}
"""Packed pixels along one side of a CFA cell: a tile must start on one."""


@dataclass(frozen=True)
class Contract:
    """The promise a network file makes; everything inference needs to know about it."""

    name: str
    version: int
    packing: Packing
    """What the network is given, of a mosaic of H x W sites.

    bayer4: (4, H/2, W/2) in the order R G B G, clockwise. xtrans9: (9, H/3, W/3). Both as SID packs.
    bayer3: (3, H, W), each colour at its own sites, 0 elsewhere (SID's "masked").
    xtrans36: (36, H/6, W/6), every site of the cell a channel, in raster order.
    srgb3: (3, H, W), the picture that `input` "srgb" names, of any CFA.
    """
    scale: int
    """Output pixels per packed pixel along one axis."""
    halo: int
    """Packed pixels a tile must see beyond its core: the network's reach, measured at export."""
    multiple: int
    """Packed height and width, and every tile origin, must be multiples of this."""
    max_ratio: float
    """The largest ratio the network was trained for."""
    input: Input
    """headroom: light x white balance x ratio, negatives kept, clipped above 4. balanced: clipped above 1.
    sensor: light x ratio, in [0, 1]. srgb: balanced, then plainly demosaiced and brought to sRGB by the file's own
    matrix, in [0, 1]."""
    output: Output
    """camera: white-balanced camera RGB under the sRGB curve, in [0, 1]. srgb: the finished picture, in [0, 1]."""
    pixel_bytes: int
    """Working memory a run needs per packed pixel, measured at export; what sizes the tiles."""
    training: str
    """How it was trained, in one line."""
    licence: str

    @property
    def cfa(self) -> CFA | Literal[""]:
        """What sensors it is for: bayer, xtrans, or nothing where it takes the picture of any."""
        return KIND[self.packing]

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def from_json(text: str, file: str) -> Contract:
    """Read a contract, refusing by name what this version does not know.

    Raises ModelError, naming `file`, on malformed JSON, missing or unknown fields, unknown kinds
    and impossible numbers.
    """
    try:
        entries = documents.from_json(text)
    except ValueError:
        raise ModelError(f"{file}: its contract is not JSON; export it again with `darkroom train`") from None
    if not isinstance(entries, dict):
        raise ModelError(f"{file}: its contract is not a JSON object; export it again with `darkroom train`")
    known = get_type_hints(Contract)
    odd = sorted(known.keys() ^ entries.keys())
    if odd:
        raise ModelError(
            f"{file}: contract fields {', '.join(odd)} are missing or unknown; "
            "use a darkroom of the network's own version, or export it again"
        )
    for name, type_ in known.items():
        found = entries[name]
        kinds = get_args(type_)
        fits = found in kinds if kinds else isinstance(found, (int, float) if type_ is float else type_)
        if not fits or isinstance(found, bool):
            wanted = " or ".join(kinds) if kinds else type_.__name__
            raise ModelError(f"{file}: contract says {name} {found!r}, this darkroom knows {wanted}; update darkroom")
    contract = Contract(**entries)
    if min(contract.scale, contract.multiple, contract.pixel_bytes, contract.max_ratio) <= 0 or contract.halo < 0:
        raise ModelError(f"{file}: contract holds a size that is not positive; export it again")
    if not all(math.isfinite(entry) for entry in entries.values() if isinstance(entry, float)):
        raise ModelError(f"{file}: contract holds a number that is not finite; export it again")
    if contract.halo % contract.multiple:
        raise ModelError(f"{file}: halo {contract.halo} is no multiple of {contract.multiple}; export it again")
    if contract.multiple % WHOLE[contract.packing]:
        raise ModelError(
            f"{file}: multiple {contract.multiple} is no whole CFA cell, {contract.packing} wants multiples of "
            f"{WHOLE[contract.packing]}; export it again"
        )
    picture = contract.packing == "srgb3"
    if picture != (contract.input == "srgb") or (picture and contract.output != "srgb"):
        raise ModelError(
            f"{file}: packing {contract.packing} with input {contract.input} and output {contract.output} "
            "contradict each other; packing srgb3 goes with input and output srgb, and input srgb with nothing else"
        )
    if contract.scale != PIXEL[contract.packing]:
        raise ModelError(
            f"{file}: scale {contract.scale} contradicts packing {contract.packing}, whose pixels are "
            f"{PIXEL[contract.packing]} photosites wide; export it again"
        )
    return contract
