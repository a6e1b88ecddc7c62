"""RED (Lamba and Mitra, "Restoring Extremely Dark Images in Real Time", CVPR 2021): three scales at once.

    (N, 4, H/2, W/2) or (N, 9, H/3, W/3) bright  ->  (N, 3, H, W) picture

The lower scale sees 1/2 of the resolution, the middle 1/8, the higher 1/32, where nearly all layers
are. For Bayer at the default widths it has the paper's 0.78 M parameters and 59.8 GMAC on a
4256 x 2848 frame. Patent pending: Indian application 202141026548; see the model cards.

Where paper and published code disagree the defaults are the code's: a 5 x 5 lower scale (the paper
says 7 x 7) and dense blocks 4, 5 and 5 deep (the paper: 5 each), which alone give the published
784,768 parameters. X-Trans keeps the layout with 9 packed channels and scales 1/3, 1/12 and 1/48.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from darkroom.develop.contract import PIXEL, PLANES, Packing
from darkroom.errors import SettingsError

WIDTH = 64
GROWTH = 32


class Red(nn.Module):
    """RED with RDB* blocks, or with plain RDB (`star=False`) for the paper's ablation.

    `depths` counts the dense convolutions of the three blocks; `lower_kernel` is the lower scale's.
    """

    multiples: dict[Packing, int] = {"bayer4": 16, "xtrans9": 16}
    """Packed height and width must be multiples of this: one pixel of the higher scale."""

    def __init__(
        self, packing: Packing, *, depths: tuple[int, int, int] = (4, 5, 5), star: bool = True, lower_kernel: int = 5
    ) -> None:
        super().__init__()
        if packing not in self.multiples:
            raise SettingsError(f"network red: has no form for {packing}; choose {', '.join(self.multiples)}")
        planes, pixel = PLANES[packing], PIXEL[packing]
        colours = 3 * pixel * pixel
        self.planes, self.pixel = planes, pixel
        self.gather = _conv(planes * 256, planes * 32, 3, groups=planes * 32)
        self.narrow = _conv(planes * 32, WIDTH, 3)
        self.dense = nn.ModuleList(_Dense(depth, star) for depth in depths)
        self.merge = _conv(3 * WIDTH, WIDTH, 1, bias=False)
        self.higher_up = _conv(4, WIDTH, 3)
        self.middle_in = nn.Identity() if planes == 4 else _conv(planes * 16, WIDTH, 3)
        self.middle = nn.ModuleList([_conv(WIDTH, WIDTH, 3), _conv(WIDTH, WIDTH, 3)])
        self.fuse = _conv(2 * WIDTH, 32, 3, groups=4)
        self.fuse_up = _conv(32, colours * 16, 3)
        self.lower = _conv(planes, colours, lower_kernel)
        self.last = _conv(2 * colours, colours, 5)

    def forward(self, bright: Tensor) -> Tensor:
        picture = self.last(torch.cat([self._fused(bright), self.lower(bright)], 1))
        return F.pixel_shuffle(picture, self.pixel).clamp(0, 1)

    def blocks(self) -> tuple[nn.Module, ...]:
        """The lower scale, the higher, the middle, their fusion, the last convolution."""
        higher = (self.gather, self.narrow, *self.dense, self.merge, self.higher_up)
        return (self.lower, *higher, self.middle_in, self.middle, self.fuse, self.fuse_up, self.last)

    def _fused(self, bright: Tensor) -> Tensor:
        middle = self.middle_in(F.pixel_unshuffle(bright, 4))
        middle = middle + self.middle[1](F.leaky_relu(self.middle[0](middle), 0.2))
        both = _shuffled(middle, self._higher(bright))
        return F.pixel_shuffle(F.leaky_relu(self.fuse_up(self.fuse(both)), 0.2), 4)

    def _higher(self, bright: Tensor) -> Tensor:
        start = self.narrow(self.gather(F.pixel_unshuffle(bright, 16)))
        outputs, x = [], start
        for block in self.dense:
            x = block(x)
            outputs.append(x)
        merged = start + self.merge(torch.cat(outputs, 1))
        return self.higher_up(F.pixel_shuffle(merged, 4))


def _shuffled(a: Tensor, b: Tensor) -> Tensor:
    """Alternate the channels of two branches, so that every group of the next convolution sees both."""
    return torch.stack([a, b], 2).flatten(1, 2)


class _Dense(nn.Module):
    """RDB*: the last convolution sees every layer before its rectifier; RDB (`star=False`): after it."""

    def __init__(self, depth: int, star: bool) -> None:
        super().__init__()
        self.star = star
        self.layers = nn.ModuleList(_conv(WIDTH + i * GROWTH, GROWTH, 3, bias=False) for i in range(depth))
        self.out = _conv(WIDTH + depth * GROWTH, WIDTH, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        features = x
        for i, layer in enumerate(self.layers):
            if self.star:
                fresh = layer(F.leaky_relu(features, 0.2) if i else features)
            else:
                fresh = F.leaky_relu(layer(features), 0.2)
            features = torch.cat([features, fresh], 1)
        return x + self.out(features)


def _conv(channels: int, out: int, kernel: int, *, groups: int = 1, bias: bool = True) -> nn.Module:
    layer = nn.Conv2d(channels, out, kernel, padding=kernel // 2, groups=groups, bias=bias)
    nn.init.kaiming_normal_(layer.weight, a=0.2, mode="fan_in")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return weight_norm(layer)
