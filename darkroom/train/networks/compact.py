"""The compact U-Net of the `fast` networks: residual, working at a quarter of the sensor's resolution.

    (N, 4, H/2, W/2) or (N, 9, H/3, W/3) bright  ->  (N, 3, H, W) camera RGB under the sRGB curve

Three ideas make it cheap and quick to train (figures in models/README.md):
light is encoded by a signed square root, which evens out shot noise and resembles the output curve;
every convolution runs on 4 x 4 blocks of sites and coarser, where channels are many and dense;
the encoded mosaic has its own way to the output, a convolution that starts out as a plain demosaic; the
network decides, site by site, how much of the mosaic to let through, and what to add. So detail that
stands above the noise passes untouched, however narrow the trunk.

X-Trans cells of 6 x 6 sites do not fall on 4 x 4 blocks. One convolution first turns each cell into
the mosaic of a virtual sensor with 2 x 2 cells; after it both kinds share one trunk, and an X-Trans
network can start from a trained Bayer one.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.develop import cfa
from darkroom.develop.contract import PLANES, Packing
from darkroom.errors import SettingsError
from darkroom.frame import CELL

TOE = 0.0025
"""Offset under the square root: its slope at black is then near the sRGB curve's 12.92."""

OPEN = 2.0
"""The gates' first bias: they start at sigmoid(2) = 0.88, open yet quick to learn."""

BLOCK = 4
"""Sites along one side of a block, the finest pixel the trunk sees."""
VIRTUAL = 8
"""Channels of the virtual sensor's mosaic."""


class Compact(nn.Module):
    """Residual U-Net over 4 x 4 blocks of sites.

    `width` channels at the finest of three levels, doubled at each; `depth` residual blocks at each
    level, those of the two finer levels once on the way down and once on the way up.
    """

    multiples: dict[Packing, int] = {"bayer4": 8, "xtrans9": 16}
    """Packed height and width must be multiples of this: a block of the coarsest level, in whole CFA cells."""

    def __init__(self, packing: Packing, *, width: int = 24, depth: tuple[int, int, int] = (1, 1, 2)) -> None:
        super().__init__()
        if packing not in self.multiples:
            raise SettingsError(f"network compact: has no form for {packing}; choose {', '.join(self.multiples)}")
        self.packing = packing
        planes = PLANES[packing]
        if packing == "xtrans9":
            self.front = nn.Conv2d(planes, 9 * VIRTUAL, 4, stride=2, padding=1)
            planes = VIRTUAL
        mosaics = 4 * planes
        self.gather = _Gather(planes)
        self.head = nn.Conv2d(mosaics, width, 3, padding=1)
        self.fine_down = blocks(width, depth[0])
        self.to_middle = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.middle_down = blocks(2 * width, depth[1])
        self.to_coarse = nn.Conv2d(2 * width, 4 * width, 2, stride=2)
        self.coarse = blocks(4 * width, depth[2])
        self.from_coarse = nn.Conv2d(4 * width, 4 * 2 * width, 1)
        self.middle_up = blocks(2 * width, depth[1])
        self.from_middle = nn.Conv2d(2 * width, 4 * width, 1)
        self.fine_up = blocks(width, depth[0])
        self.change = nn.Conv2d(width, 3 * BLOCK * BLOCK, 1)
        self.gate = nn.Conv2d(width, mosaics, 1)
        self.interpolate = nn.Conv2d(mosaics, 3 * BLOCK * BLOCK, 3, padding=1, bias=False)
        self._start_as_demosaic(mosaics)

    def forward(self, bright: Tensor) -> Tensor:
        mosaic = encode(bright)
        if self.packing == "xtrans9":
            mosaic = F.pixel_shuffle(self.front(mosaic), 3)
        mosaic = self.gather(mosaic)
        fine = self.fine_down(F.leaky_relu(self.head(mosaic), 0.2))
        middle = self.middle_down(F.leaky_relu(self.to_middle(fine), 0.2))
        coarse = self.coarse(F.leaky_relu(self.to_coarse(middle), 0.2))
        middle = self.middle_up(middle + F.pixel_shuffle(self.from_coarse(coarse), 2))
        fine = self.fine_up(fine + F.pixel_shuffle(self.from_middle(middle), 2))
        kept = mosaic * torch.sigmoid(self.gate(fine))
        picture = F.pixel_shuffle(self.change(fine) + self.interpolate(kept), BLOCK)
        return picture if self.training else picture.clamp(0, 1)

    def blocks(self) -> tuple[nn.Module, ...]:
        """The way in, each level on the way down and on the way up, the way out."""
        front = (self.front,) if self.packing == "xtrans9" else ()
        return (
            nn.ModuleList([*front, self.head]),
            self.fine_down,
            nn.ModuleList([self.to_middle, self.middle_down]),
            nn.ModuleList([self.to_coarse, self.coarse]),
            nn.ModuleList([self.from_coarse, self.middle_up]),
            nn.ModuleList([self.from_middle, self.fine_up]),
            nn.ModuleList([self.change, self.gate, self.interpolate]),
        )

    def _start_as_demosaic(self, mosaics: int) -> None:
        """Let the mosaic pass to an output that interpolates each colour, and the trunk's share be 0."""
        with torch.no_grad():
            self.change.weight.zero_()
            assert self.change.bias is not None and self.gate.bias is not None
            self.change.bias.zero_()
            self.gate.weight.zero_()
            self.gate.bias.fill_(OPEN)
            self.interpolate.weight.copy_(_interpolation(mosaics) * (1 + math.exp(-OPEN)))
            if self.packing == "xtrans9":
                assert self.front.bias is not None
                self.front.bias.zero_()
                self.front.weight.copy_(virtual_mosaic())


def encode(bright: Tensor) -> Tensor:
    """Signed square root with a linear toe: 0 -> 0, 1 -> 1, odd, slope about 10 at black.

    sign(x) (sqrt(|x| + TOE) - sqrt(TOE)) / white, with white the value at 1; written as a quotient
    because that is fewer passes over the largest tensor there is.
    """
    white = (1 + TOE) ** 0.5 - TOE**0.5
    return bright / (torch.sqrt(torch.abs(bright) * white**2 + TOE * white**2) + TOE**0.5 * white)


class _Gather(nn.Module):
    """pixel_unshuffle by 2, as a convolution: ONNX Runtime then has its blocked layout at once."""

    places: Tensor

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.register_buffer("places", torch.eye(4 * planes).reshape(4 * planes, planes, 2, 2), persistent=False)

    def forward(self, planes: Tensor) -> Tensor:
        return F.conv2d(planes, self.places, stride=2)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        with torch.no_grad():
            self.second.weight *= 0.1  # starts near the identity, so depth costs nothing early on

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.leaky_relu(self.first(x), 0.2))


def blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Residual(width) for _ in range(count)))


def _colour_at(row: int, col: int) -> tuple[int, int]:
    """Which packed channel and which colour a site of the 2 x 2 cell has."""
    for site in cfa.BAYER4:
        if (site.top, site.left) == (row % 2, col % 2):
            return site.channel, (0, 1, 2, 1)[site.channel]
    raise AssertionError


def _interpolation(mosaics: int) -> Tensor:
    """(48, mosaics, 3, 3) weights that interpolate a 4 x 4 block's colours from its Bayer mosaic.

    Mosaic channel: packed channel x 4 + place in the 2 x 2 packed pixels (pixel_unshuffle order), of
    the first four packed channels; further ones get no weight.
    """
    weight = torch.zeros(3 * BLOCK * BLOCK, mosaics, 3, 3)
    for colour in range(3):
        for row in range(BLOCK):
            for col in range(BLOCK):
                near = [
                    (r, c, (2 - abs(r - row)) * (2 - abs(c - col)))
                    for r in range(row - 1, row + 2)
                    for c in range(col - 1, col + 2)
                    if _colour_at(r, c)[1] == colour
                ]
                total = sum(w for _, _, w in near)
                out = colour * BLOCK * BLOCK + row * BLOCK + col
                for r, c, w in near:
                    packed_row, packed_col = (r % BLOCK) // 2, (c % BLOCK) // 2
                    channel = _colour_at(r, c)[0] * 4 + packed_row * 2 + packed_col
                    weight[out, channel, 1 + r // BLOCK, 1 + c // BLOCK] = w / total
    return weight


def virtual_mosaic() -> Tensor:
    """(72, 9, 4, 4) weights from the packed pixels in and around an X-Trans cell to a mosaic with 2 x 2 cells.

    Of the eight channels at half resolution the first four are the virtual R G B G sites, each the
    distance-weighted mean of the near real sites of its colour; the other four start as the other
    colours there (green at red, red and blue at green, green at blue), so that no colour is lost.
    """
    weight = torch.zeros(9 * VIRTUAL, 9, 4, 4)
    wanted = [(site.top, site.left, (0, 1, 2, 1)[site.channel]) for site in cfa.BAYER4]
    wanted += [(site.top, site.left, (1, 0, 1, 2)[site.channel]) for site in cfa.BAYER4]
    real = {(s.top, s.left): (s, int(CELL["xtrans"][s.top, s.left])) for s in cfa.XTRANS9}
    for channel, (top, left, colour) in enumerate(wanted):
        for cell_row in range(3):
            for cell_col in range(3):
                row, col = 2 * cell_row + top, 2 * cell_col + left
                near = []
                for r in range(row - 3, row + 4):
                    for c in range(col - 3, col + 4):
                        site, found = real[r % 6, c % 6]
                        packed = (1 + 2 * (r // 6) + site.row, 1 + 2 * (c // 6) + site.col)
                        if found == colour and set(packed) <= set(range(4)):
                            near.append((site.channel, *packed, 0.3 ** ((r - row) ** 2 + (c - col) ** 2)))
                total = sum(w for *_, w in near)
                for source, r, c, w in near:
                    weight[channel * 9 + cell_row * 3 + cell_col, source, r, c] += w / total
    return weight
