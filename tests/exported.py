"""What tests of the export and its variants share: a small network, what is told of it, and what its file tells."""

from dataclasses import replace

import onnx
import torch
from torch import nn
from torch.nn import functional as F

from darkroom.train import export


class Tiny(nn.Module):
    """Convolutions, dilated as told, between a first and a last; reach: the sum of all dilations."""

    multiples = {"bayer4": 2}

    def __init__(self, *dilations: int, far: float = 1.0) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.layers = nn.ModuleList(
            nn.Conv2d(4, 4 if i else 12, 3, padding=d, dilation=d) for i, d in reversed(list(enumerate(dilations)))
        )
        with torch.no_grad():
            for layer in self.layers:
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=rng) / 6)
                layer.bias.fill_(0.1)
                if layer.dilation[0] > 2:  # what lies far counts for little
                    rest = layer.weight[..., 1, 1].clone()
                    layer.weight.mul_(far)
                    layer.weight[..., 1, 1] = rest

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), 0.2)
        return torch.sigmoid(F.pixel_shuffle(self.layers[-1](x), 2))


def facts_for(packing="bayer4", **changes) -> export.Facts:
    picture = packing == "srgb3"
    facts = export.Facts(
        name="night", version=3, packing=packing, input="srgb" if picture else "balanced",
        output="srgb" if picture else "camera", max_ratio=250.0, training="two steps", licence="MIT",
        recipe='about = "a test"\n',
    )  # fmt: skip
    return replace(facts, **changes)


def metadata(file) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(file).metadata_props}
