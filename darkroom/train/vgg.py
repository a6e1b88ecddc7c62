"""VGG-16 up to relu2_2: what Zamir's perceptual term compares.

(N, 3, H, W) sRGB in [0, 1] -> (N, 128, H/2, W/2), 0 and above.

Zamir et al. give both "the conv2 layer after ReLU" and H/4 x W/4 x 128; relu2_2, the layer with 128 channels, is
H/2 x W/2. The weights are torchvision's (ImageNet); none come with darkroom, so the user names their file.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from darkroom.errors import SettingsError

CONVOLUTIONS = (0, 2, 5, 7)
"""Where torchvision's VGG-16 holds the first four, as `features.N.weight`; the pooling is between the second two."""
CACHED = "vgg16-*.pth"
"""What torchvision calls the file in `torch.hub`'s folder of checkpoints."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pictures in [0, 1]: what torchvision's weights were trained on."""


class Vgg(nn.Module):
    """Frozen features; `weights` is a state dict of torchvision's VGG-16, of which only CONVOLUTIONS are read."""

    mean: Tensor
    deviation: Tensor
    weight0: Tensor
    weight1: Tensor
    weight2: Tensor
    weight3: Tensor
    bias0: Tensor
    bias1: Tensor
    bias2: Tensor
    bias3: Tensor

    def __init__(self, weights: dict[str, Tensor]):
        super().__init__()
        for i, position in enumerate(CONVOLUTIONS):
            for part in ("weight", "bias"):
                self.register_buffer(f"{part}{i}", weights[f"features.{position}.{part}"].float(), persistent=False)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        x = (picture - self.mean) / self.deviation
        x = F.relu(F.conv2d(x, self.weight0, self.bias0, padding=1))
        x = F.relu(F.conv2d(x, self.weight1, self.bias1, padding=1))
        x = F.max_pool2d(x, 2)
        x = F.relu(F.conv2d(x, self.weight2, self.bias2, padding=1))
        return F.relu(F.conv2d(x, self.weight3, self.bias3, padding=1))


def load(file: Path | None) -> Vgg:
    """Read VGG-16 from a file, or from torchvision's cache where none is named.

    file: torchvision's .pth, or a .safetensors with its names. Raises SettingsError where there is none or it holds
    something else.
    """
    file = file or _cached()
    weights = read(file)
    channels = 3
    for position in CONVOLUTIONS:
        weight, bias = (weights.get(f"features.{position}.{part}") for part in ("weight", "bias"))
        if weight is None or bias is None or weight.shape[1:] != (channels, 3, 3) or bias.shape != weight.shape[:1]:
            raise SettingsError(
                f"{file}: features.{position} is not VGG-16's; name the file of torchvision's vgg16 weights"
            )
        channels = len(weight)
    return Vgg(weights)


def read(file: Path) -> dict[str, Tensor]:
    """Read a state dict, .safetensors or torch's own .pth, without running code from it; raises SettingsError."""
    if not file.is_file():
        raise SettingsError(f"{file}: there is no such file; name a .pth or .safetensors of weights")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        weights = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # what torch raises for a file that is no checkpoint is of any type
        reason = type(error).__name__
        raise SettingsError(f"{file}: holds no plain state dict ({reason}); save a network's state_dict()") from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise SettingsError(f"{file}: holds no plain state dict; save a network's state_dict()")
    return weights


def _cached() -> Path:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    found = sorted(folder.glob(CACHED))
    if not found:
        raise SettingsError(
            f"vgg: needs VGG-16's weights, and {folder} holds no {CACHED}; name their file, "
            "torchvision's vgg16 as .pth or .safetensors"
        )
    return found[-1]
