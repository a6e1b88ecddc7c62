"""How different two pictures look, by the features of a network trained to tell objects: LPIPS.

(H, W, 3) float in [0, 1], sRGB-encoded, twice -> a distance, 0 where they are equal

After Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018, version 0.1 of their
code: five layers of AlexNet or VGG-16, each pixel's features made of length 1, squared differences weighed per channel,
averaged over the layer, summed over the layers.

None of their weights come with darkroom. The user names one file, .pth or .safetensors, that holds the state dict of
their `lpips` package, or the two published files as one:

    torch.save(lpips.LPIPS(net="alex").state_dict(), "lpips-alex.pth")
    torch.save(torch.load("alexnet-owt-7be5be79.pth") | torch.load("alex.pth", "cpu"), "lpips-alex.pth")

`piq` gives the same numbers by VGG-16 (0.134553 and 0.134553 at noise of 0.1, equal to 1e-7 on the same weights), but
has no AlexNet, which is what papers report, and cannot be imported without torchvision; `torchmetrics` cannot measure
it without that either, and `pyiqa` brings two dozen packages. So this stays.

12 MP take 0.5 GB by AlexNet, 10 GB by VGG-16.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from darkroom.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""ImageNet's mean and deviation on a scale of -1 to 1, as the authors round them."""
TINY = 1e-10
"""What keeps features of length 0 from a division by it."""


@dataclass(frozen=True)
class Backbone:
    """Which of torchvision's layers are run, and compared."""

    kernel: int
    """Of the first convolution, pixels; tells the two apart."""
    stride: int
    padding: int
    """Of the first convolution; the others move by 1 and keep the size."""
    window: int
    """Pixels a side of the pooling, which moves by 2."""
    layers: tuple[tuple[int, ...], ...]
    """Positions of the convolutions in `features`, up to each layer that is compared."""
    pooled: tuple[int, ...]
    """Layers that begin with a pooling."""
    least: int
    """Pixels a side that leave something of the last layer."""


BACKBONES = {
    "AlexNet": Backbone(11, 4, 2, 3, ((0,), (3,), (6,), (8,), (10,)), (1, 2), 31),
    "VGG-16": Backbone(
        3, 1, 1, 2, ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)), (1, 2, 3, 4), 16
    ),
}  # fmt: skip


def distance(picture: NDArray[np.floating], reference: NDArray[np.floating], weights: Path) -> float:
    """Say how different the two look by the network of a file.

    Raises SettingsError where torch or the file is missing, the file holds something else, or the pictures are too
    small for the network.
    """
    try:
        import torch
    except ImportError:
        raise SettingsError("lpips: needs torch; `pip install 'darkroom-raw[train]'`") from None
    name, network = _network(weights)
    backbone = BACKBONES[name]
    if min(picture.shape[:2]) < backbone.least:
        raise SettingsError(
            f"lpips: the picture is {picture.shape[0]}x{picture.shape[1]}, and {name} needs {backbone.least} a side; "
            "measure a larger one, or leave it out"
        )
    with torch.inference_mode():
        x, y = (_prepared(each) for each in (picture, reference))
        total = 0.0
        for i in range(len(backbone.layers)):
            x, y = _run(x, backbone, network, i), _run(y, backbone, network, i)
            difference = (_unit(x) - _unit(y)).square_()
            total += float(torch.nn.functional.conv2d(difference, network[f"linear{i}"]).mean())
    return total


@lru_cache(maxsize=1)
def _network(file: Path) -> tuple[str, dict[str, "Tensor"]]:
    """Read the weights of a file: the backbone's name, `weight0`, `bias0`... by position, `linear0`... by layer."""
    from darkroom.train import vgg

    network = {}
    for key, value in vgg.read(file).items():
        if found := re.fullmatch(r"(?:net\.slice\d|features)\.(\d+)\.(weight|bias)", key):
            network[f"{found[2]}{found[1]}"] = value.float()
        elif found := re.fullmatch(r"lin(\d)\.model\.\d\.weight", key):
            network[f"linear{found[1]}"] = value.float()
    for name, backbone in BACKBONES.items():
        first = network.get("weight0")
        if first is not None and first.shape[2:] == (backbone.kernel, backbone.kernel):
            needed = {
                f"{part}{position}" for layer in backbone.layers for position in layer for part in ("weight", "bias")
            }
            needed |= {f"linear{i}" for i in range(len(backbone.layers))}
            if missing := sorted(needed - set(network)):
                raise SettingsError(
                    f"{file}: has {name}'s first layer but no {missing[0]}; "
                    "save the state dict of lpips.LPIPS(net='alex') or 'vgg', linear layers and all"
                )
            return name, network
    raise SettingsError(
        f"{file}: is neither AlexNet nor VGG-16; save the state dict of lpips.LPIPS(net='alex') or 'vgg'"
    )


def _prepared(picture: NDArray[np.floating]) -> "Tensor":
    import torch

    planes = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32))
    shift, scale = (torch.tensor(values)[:, None, None] for values in (SHIFT, SCALE))
    return ((planes * 2 - 1 - shift) / scale)[None]


def _run(x: "Tensor", backbone: Backbone, network: dict[str, "Tensor"], layer: int) -> "Tensor":
    """Go on from one compared layer to the next."""
    from torch.nn import functional as F

    if layer in backbone.pooled:
        x = F.max_pool2d(x, backbone.window, 2)
    for position in backbone.layers[layer]:
        weight, bias = network[f"weight{position}"], network[f"bias{position}"]
        stride, padding = (1, weight.shape[-1] // 2) if position else (backbone.stride, backbone.padding)
        x = F.conv2d(x, weight, bias, stride=stride, padding=padding).relu_()
    return x


def _unit(features: "Tensor") -> "Tensor":
    return features / (features.norm(dim=1, keepdim=True) + TINY)
