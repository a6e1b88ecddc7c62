"""How large a network is and what it costs: network -> parameters, multiply-accumulates.

Counted as ptflops does, whose "GMac" the papers quote: a convolution's multiplications and its biases, one for each
value that is rectified or pooled. Only so RED's 59.8 GMAC come out; its multiplications alone are 59.6. Nothing is
computed, so a whole frame costs no memory.
"""

from copy import deepcopy
from math import prod

import torch
from torch import Size, nn
from torch.utils.flop_counter import FlopCounterMode

from darkroom.develop.contract import PIXEL, PLANES, Packing
from darkroom.train.networks import Network


def parameters(network: nn.Module) -> int:
    """Count what is trained."""
    return sum(p.numel() for p in network.parameters())


def macs(network: Network, packing: Packing, height: int, width: int) -> int:
    """Count the multiply-accumulates that one frame of `height` x `width` sites takes.

    The frame is filled up to the network's multiple, as it is when developed.
    """
    multiple = network.multiples[packing]
    sides = [-(-length // (PIXEL[packing] * multiple)) * multiple for length in (height, width)]
    hollow = deepcopy(network).to("meta").eval()
    counter = FlopCounterMode(
        display=False,
        custom_mapping={
            torch.ops.aten.convolution: _convolution,
            torch.ops.aten.leaky_relu: _values,
            torch.ops.aten.max_pool2d_with_indices: _values,
        },
    )
    with torch.no_grad(), counter:
        hollow(torch.empty((1, PLANES[packing], *sides), device="meta"))
    return counter.get_total_flops()


def _convolution(
    x: Size, weight: Size, bias: Size | None, stride: object, padding: object, dilation: object, transposed: bool,
    *rest: object, out_shape: Size,
) -> int:  # fmt: skip
    """Multiply-accumulates of aten.convolution, whose arguments these are, tensors by their shapes."""
    return prod(x if transposed else out_shape) * prod(weight[1:]) + (prod(out_shape) if bias else 0)


def _values(x: Size, *rest: object, out_shape: object) -> int:
    return prod(x)
