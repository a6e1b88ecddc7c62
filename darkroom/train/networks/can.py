"""CAN32, SID's second network: the context aggregation network of Chen, Xu and Koltun ("Fast Image Processing with
Fully-Convolutional Networks", ICCV 2017), 32 channels wide.

    (N, C, h, w) bright  ->  (N, 3, H, W) picture, for every packing

Nothing is ever reduced: eight 3 x 3 convolutions, dilated by 1, 2, 4 ... 64 and 1 again, see 128 packed
pixels far; a 1 x 1 ends them. Adaptive normalisation mixes each layer with its batch-normalised self,
from "not at all".
SID published no code for its variant; this is the authors' CAN24_AN, widened, with a last layer of as
many planes as a packed pixel has colours. One departure: at test time they normalise by the statistics
of the picture at hand, which no tile can know; here it is by those gathered in training.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.develop.contract import PIXEL, PLANES, WHOLE, Packing

DILATIONS = (1, 2, 4, 8, 16, 32, 64, 1)
"""As published; 128 is commented out there."""
EPSILON = 1e-3
"""Added to the variance: TensorFlow slim's, which the authors use."""
MOMENTUM = 0.01
"""Share of a batch in the statistics kept for use; slim's 0.001 would still remember the start of a short run."""


class Can(nn.Module):
    """CAN of any `width`.

    multiples: packed height and width must be multiples of this, a whole CFA cell.
    """

    multiples: dict[Packing, int] = WHOLE

    def __init__(self, packing: Packing, *, width: int = 32) -> None:
        super().__init__()
        self.pixel = PIXEL[packing]
        self.layers = nn.ModuleList(
            _Layer(width if i else PLANES[packing], width, dilation) for i, dilation in enumerate(DILATIONS)
        )
        self.last = nn.Conv2d(width, 3 * self.pixel**2, 1)
        nn.init.xavier_uniform_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, bright: Tensor) -> Tensor:
        x = bright
        for layer in self.layers:
            x = layer(x)
        picture = F.pixel_shuffle(self.last(x), self.pixel)
        return picture if self.training else picture.clamp(0, 1)

    def blocks(self) -> tuple[nn.Module, ...]:
        """The dilated layers, then the last convolution."""
        return (*self.layers, self.last)


class _Layer(nn.Module):
    """Dilated convolution, adaptive normalisation, rectifier; starts as the identity."""

    def __init__(self, channels: int, width: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation, bias=False)
        nn.init.dirac_(self.conv.weight)
        self.plain = nn.Parameter(torch.ones(()))
        self.normed = nn.Parameter(torch.zeros(()))
        self.norm = nn.BatchNorm2d(width, eps=EPSILON, momentum=MOMENTUM, affine=False)
        self.shift = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.training:
            return F.leaky_relu(self.plain * x + self.normed * (self.norm(x) + self.shift), 0.2)
        # One affine step, which ONNX Runtime folds into the convolution.
        assert self.norm.running_var is not None and self.norm.running_mean is not None
        slope = self.normed * torch.rsqrt(self.norm.running_var + EPSILON)
        offset = self.normed * self.shift[0] - (slope * self.norm.running_mean)[:, None, None]
        return F.leaky_relu(x * (self.plain + slope)[:, None, None] + offset, 0.2)
