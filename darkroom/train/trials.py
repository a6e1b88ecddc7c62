"""The papers' comparisons, small: every row the same simulated camera, data, schedule and CPU time, one thing changed.

    row's name  ->  Trial: a Recipe, and what the papers say of it

Few CPU-minutes a row cannot repeat days on a GPU: what it shows is which choice learns faster. Every row learns the
finished picture of a Sony A7S II (input "sensor", output "srgb") as the papers' networks do.
"""

from dataclasses import dataclass, replace
from typing import Any

from darkroom.errors import SettingsError
from darkroom.frame import CFA
from darkroom.train.recipe import Recipe, Stage

CAMERA = "sonya7s2"
STAGE = Stage(steps=100_000, batch=4, crop=192, learning_rate=5e-4, warm_up=50)
"""The steps are never reached: the minutes end a row. The crop suits every network and MS-SSIM."""


@dataclass(frozen=True)
class Trial:
    """One row."""

    name: str
    group: str
    """What it is compared within."""
    published: str
    """PSNR/SSIM and source, where the papers give them."""
    recipe: Recipe
    cfa: CFA = "bayer"


def _unet(name: str, **stage: Any) -> Recipe:
    return Recipe(
        name=name,
        about=f"trial {name}",
        network="unet",
        camera=CAMERA,
        input="sensor",
        output="srgb",
        clip=1.0,
        stages=(replace(STAGE, **stage),),
    )


def _other(name: str, network: str, arguments: dict[str, object]) -> Recipe:
    return replace(_unet(name), network=network, arguments=arguments)


TRIALS = (
    Trial("unet", "network", "28.88/.787 SID", _unet("unet")),
    Trial("unet-1", "network", "", _other("unet-1", "unet", {"levels": 4})),
    Trial("unet-2", "network", "", _other("unet-2", "unet", {"levels": 3})),
    Trial("unet+1", "network", "", _other("unet+1", "unet", {"levels": 6})),
    Trial("can", "network", "27.40/.792 SID", _other("can", "can", {})),
    Trial("red", "network", "28.66/.790 RED", _other("red", "red", {})),
    Trial("red-rdb", "network", "0.7 dB below RDB* (RED)", _other("red-rdb", "red", {"star": False})),
    Trial("half", "network", "ours", _other("half", "half", {})),
    Trial("masked", "input", "26.95/.744 SID", replace(_unet("masked"), layout="masked")),
    Trial("srgb", "input", "17.40/.554 SID", replace(_unet("srgb"), layout="srgb", input="srgb")),
    Trial("xtrans9", "X-Trans", "26.61/.680 SID", _unet("xtrans9"), "xtrans"),
    Trial("xtrans36", "X-Trans", "23.05/.567 SID", replace(_unet("xtrans36"), layout="packed36"), "xtrans"),
    Trial("l2", "loss", "28.47/.784 SID", _unet("l2", loss={"l2": 1.0})),
    Trial("ssim", "loss", "28.64/.817 SID", _unet("ssim", loss={"ssim": 1.0})),
    Trial("l1+ms-ssim", "loss", "28.66/.790 RED", _unet("l1+ms-ssim", loss={"l1": 0.8, "ms_ssim": 0.2})),
    Trial("hybrid", "loss", "29.43 Zamir", _unet("hybrid", loss={"l1": 0.891, "ms_ssim_even": 0.009, "vgg": 0.1})),
    Trial("muon", "optimiser", "ours", replace(_unet("muon"), optimiser="muon")),
    Trial("stretched", "references", "18.23/.674 SID", _unet("stretched", references="stretched")),
)


def find(name: str) -> Trial:
    """Look a row up; SettingsError names the known ones."""
    for trial in TRIALS:
        if trial.name == name:
            return trial
    raise SettingsError(f"{name}: no such trial; known are {', '.join(trial.name for trial in TRIALS)}")
