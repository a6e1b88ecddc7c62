"""SID's U-Net (Chen et al., "Learning to See in the Dark", CVPR 2018) and its depths of the Canon study.

    (N, C, h, w) bright  ->  (N, 3, H, W) picture, for every packing

With 5 levels and a width of 32 it is the published one: 7,760,268 parameters for Bayer, 562 GMAC on a
4256 x 2848 frame. The Canon study's "-2", "-1" and "+1" have 3, 4 and 6 levels. Two choices where the
authors' code leaves PyTorch one: the up-convolutions have no bias, as theirs (most ports have), and
the last planes become pixels in the order of pixel_shuffle, colour by colour; theirs is TensorFlow's.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.develop.contract import PIXEL, PLANES, WHOLE, Packing


class Unet(nn.Module):
    """U-Net of two 3 x 3 convolutions a level; each of `levels` has twice the channels of the one above.

    multiples: packed height and width must be multiples of this, one pixel of the lowest level, in whole CFA cells.
    """

    def __init__(self, packing: Packing, *, width: int = 32, levels: int = 5) -> None:
        super().__init__()
        coarsest = 2 ** (levels - 1)
        self.multiples: dict[Packing, int] = {each: max(coarsest, WHOLE[each]) for each in PIXEL}
        self.pixel = PIXEL[packing]
        widths = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(_Level(*pair) for pair in zip([PLANES[packing], *widths], widths, strict=False))
        self.up = nn.ModuleList(_Up(2 * fine, fine) for fine in reversed(widths[:-1]))
        self.last = _conv(width, 3 * self.pixel**2, 1)

    def forward(self, bright: Tensor) -> Tensor:
        x = bright
        skips: list[Tensor] = []
        for level in self.down:
            x = level(F.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        for up, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = up(x, skip)
        picture = F.pixel_shuffle(self.last(x), self.pixel)
        return picture if self.training else picture.clamp(0, 1)

    def blocks(self) -> tuple[nn.Module, ...]:
        """Levels on the way down, levels on the way up, the last convolution."""
        return (*self.down, *self.up, self.last)


class _Level(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = _conv(channels, width, 3)
        self.second = _conv(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.second(F.leaky_relu(self.first(x), 0.2)), 0.2)


class _Up(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(channels, width, 2, stride=2, bias=False)
        nn.init.trunc_normal_(self.enlarge.weight, std=0.02, a=-0.04, b=0.04)
        self.level = _Level(2 * width, width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.level(torch.cat([self.enlarge(x), skip], 1))


def _conv(channels: int, width: int, kernel: int) -> nn.Conv2d:
    """A convolution that starts as the authors' do: Xavier-uniform weights, no bias."""
    layer = nn.Conv2d(channels, width, kernel, padding=kernel // 2)
    nn.init.xavier_uniform_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
