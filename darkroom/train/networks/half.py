"""The U-Net of the `fast` and `fine` networks: residual, from half the sensor's resolution downwards.

    (N, 4, H/2, W/2) or (N, 9, H/3, W/3) bright  ->  (N, 3, H, W) camera RGB under the sRGB curve

Light is encoded by a signed square root, which evens out shot noise and resembles the output curve. The mean of roots
is not the root of the mean, in the dark far from it: so each coarser level is shown the light again, averaged before
it is encoded. Everything that reaches the output has passed through the trunk, whose finest level has the resolution of
2 x 2 cells, SID's way: detail is told from noise where it is, not let through with its noise (what else was tried:
models/README.md). The last convolution writes the four pixels of each cell.

X-Trans cells of 6 x 6 sites do not fall on 2 x 2 sites: nine such squares make a cell, each with its colours elsewhere.
So the first convolution has weights of its own for each of the nine, and the light of the coarser levels, which know no
sites, is that of a virtual Bayer sensor. All else is shared, and an X-Trans network can start from a trained Bayer one.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.develop import cfa
from darkroom.develop.contract import Packing
from darkroom.errors import SettingsError
from darkroom.frame import CELL

TOE = 0.0025
"""Offset under the square root: its slope at black is then near the sRGB curve's 12.92."""

LEVELS = 5
"""Resolutions the trunk works at: 1/2, 1/4, 1/8, 1/16 and 1/32 of the sensor's. At x300 hundreds of sites must be
averaged before the level of a dark area shows in the noise."""


class Half(nn.Module):
    """Residual U-Net over 2 x 2 cells.

    `width` channels at the finest of five levels, doubled at each but the coarsest. `down`, `up`: residual blocks at
    the four finer levels, finest first, on the way down and on the way up, 0 for none; `bottom`: those at the coarsest.
    """

    multiples: dict[Packing, int] = {"bayer4": 16, "xtrans9": 32}
    """Packed height and width must be multiples of this: a pixel of the coarsest level, in whole CFA cells."""

    def __init__(
        self,
        packing: Packing,
        *,
        width: int = 16,
        down: tuple[int, int, int, int] = (0, 1, 1, 0),
        bottom: int = 1,
        up: tuple[int, int, int, int] = (1, 1, 1, 2),
    ) -> None:
        super().__init__()
        if packing not in self.multiples:
            raise SettingsError(f"network half: has no form for {packing}; choose {', '.join(self.multiples)}")
        self.packing = packing
        widths = [width << min(level, LEVELS - 2) for level in range(LEVELS)]
        steps = list(pairwise(widths))
        if packing == "xtrans9":
            self.head = nn.Conv2d(9, 9 * width, 4, stride=2, padding=1)
            self.virtual = nn.Conv2d(9, 9 * 4, 4, stride=2, padding=1, bias=False)
        else:
            self.head = nn.Conv2d(4, width, 3, padding=1)
        self.down = nn.ModuleList(_blocks(*each) for each in zip(widths[:-1], down, strict=True))
        self.coarser = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in steps)
        self.lit = nn.ModuleList(nn.Conv2d(4, coarse, 3, padding=1) for coarse in widths[1:])
        self.bottom = _blocks(widths[-1], bottom)
        self.finer = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in steps)
        self.up = nn.ModuleList(_blocks(*each) for each in zip(widths[:-1], up, strict=True))
        self.last = nn.Conv2d(width, 3 * 2 * 2, 3, padding=1)
        with torch.no_grad():
            self.last.weight *= 0.3
            if packing == "xtrans9":
                self.virtual.weight.copy_(_virtual_mosaic())

    def forward(self, bright: Tensor) -> Tensor:
        light, trunk, kept = bright, self.head(encode(bright)), []
        if self.packing == "xtrans9":
            light, trunk = F.pixel_shuffle(self.virtual(bright), 3), F.pixel_shuffle(trunk, 3)
        trunk = F.leaky_relu(trunk, 0.2)
        for down, coarser, lit in zip(self.down, self.coarser, self.lit, strict=True):
            light = F.avg_pool2d(light, 2)
            kept.append(down(trunk))
            trunk = F.leaky_relu(coarser(kept[-1]) + lit(encode(light)), 0.2)
        trunk = self.bottom(trunk)
        for up, finer in zip(reversed(self.up), reversed(self.finer), strict=True):
            trunk = up(kept.pop() + F.pixel_shuffle(finer(trunk), 2))
        picture = F.pixel_shuffle(self.last(trunk), 2)
        return picture if self.training else picture.clamp(0, 1)

    def blocks(self) -> tuple[nn.Module, ...]:
        """The way in, each level on the way down and on the way up, the way out."""
        virtual = (self.virtual,) if self.packing == "xtrans9" else ()
        way_down = [nn.ModuleList(three) for three in zip(self.down, self.coarser, self.lit, strict=True)]
        way_up = [nn.ModuleList(pair) for pair in zip(self.finer, self.up, strict=True)]
        return (nn.ModuleList([*virtual, self.head]), *way_down, self.bottom, *reversed(way_up), self.last)


def encode(bright: Tensor) -> Tensor:
    """Signed square root with a linear toe: 0 -> 0, 1 -> 1, odd, slope about 10 at black.

    sign(x) (sqrt(|x| + TOE) - sqrt(TOE)) / white, with white the value at 1; written as a quotient
    because that is fewer passes over the largest tensor there is.
    """
    white = (1 + TOE) ** 0.5 - TOE**0.5
    return bright / (torch.sqrt(torch.abs(bright) * white**2 + TOE * white**2) + TOE**0.5 * white)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        with torch.no_grad():
            self.second.weight *= 0.1  # starts near the identity, so depth costs nothing early on

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.leaky_relu(self.first(x), 0.2))


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Residual(width) for _ in range(count)))


def _virtual_mosaic() -> Tensor:
    """(36, 9, 4, 4) weights from the packed pixels in and around an X-Trans cell to a mosaic R G B G of 2 x 2 cells.

    Each virtual site is the distance-weighted mean of the near real sites of its colour.
    """
    weight = torch.zeros(9 * 4, 9, 4, 4)
    wanted = [(site.top, site.left, (0, 1, 2, 1)[site.channel]) for site in cfa.BAYER4]
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
