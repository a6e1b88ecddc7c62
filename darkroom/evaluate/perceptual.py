"""How a picture looks to people, by networks that learned it from them: PieAPP, DISTS, CLIP-IQA, all by `piq`.

(H, W, 3) float in [0, 1], sRGB-encoded, with its reference or alone -> one number

    pieapp    Prashnani et al. 2018: how much worse than the reference; 0 where they are equal
    dists     Ding et al. 2020: structure and texture; 0 where they are equal
    clip-iqa  Wang et al. 2022: how good it looks by itself, 0 to 1; higher is better

`piq` (Apache-2.0) is no part of `darkroom-raw[evaluate]`: it stands on torchvision, which has to fit the torch that is
there. It fetches its weights once, into torch's cache, where a file of the same name serves as well.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from darkroom.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor

CLASSES = {"pieapp": "PieAPP", "dists": "DISTS", "clip-iqa": "CLIPIQA"}
"""Our word, and piq's class."""
ALONE = ("clip-iqa",)
"""Those that see no reference."""
LEAST = {"pieapp": 64, "dists": 32, "clip-iqa": 32}
"""Pixels a side."""


def score(name: str, picture: NDArray[Any], reference: NDArray[Any]) -> float:
    """Measure by one of CLASSES.

    Raises SettingsError where piq or its weights are missing, or the picture is too small.
    """
    if min(picture.shape[:2]) < LEAST[name]:
        raise SettingsError(
            f"{name}: the picture is {picture.shape[0]}x{picture.shape[1]}, and it takes {LEAST[name]} a side; "
            "measure a larger one, or leave it out"
        )
    measure = _loaded(name)
    import torch

    with torch.inference_mode():
        pictures = (picture,) if name in ALONE else (picture, reference)
        return float(measure(*(_planes(each) for each in pictures)))


@cache
def _loaded(name: str) -> Any:
    try:
        import piq
        import torch
    except ImportError as error:
        raise SettingsError(
            f"{name}: needs piq ({error}); pip install 'darkroom-raw[perceptual]', with the torchvision of your torch"
        ) from None
    try:
        return getattr(piq, CLASSES[name])().eval()
    except OSError as error:  # urllib's own errors are of it, too
        place = Path(torch.hub.get_dir()) / "checkpoints"
        url = getattr(getattr(piq, CLASSES[name]), "_weights_url", "")
        named = f"download {url} and put it there" if url else "run once with a network"
        raise SettingsError(
            f"{name}: its weights are not in {place} and cannot be fetched ({type(error).__name__}); {named}"
        ) from None


def _planes(picture: NDArray[Any]) -> "Tensor":
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.clip(picture, 0, 1).transpose(2, 0, 1), np.float32))[None]
