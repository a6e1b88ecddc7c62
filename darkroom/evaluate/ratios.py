"""The automatic ratio against the true one, on the bench's dark raws.

photos x cameras x ratios -> one Estimate each, of the photo as it is or lit by lamps
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log2
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from darkroom.decode import raw
from darkroom.develop import amplifier
from darkroom.develop.amplifier import Amp
from darkroom.evaluate import simulated
from darkroom.evaluate.lit import Scene
from darkroom.frame import CFA

RATIOS = (50.0, 100.0, 200.0, 300.0)
CAMERAS = ("sonya7s2", "nikond850", "canon5d4", "canon70d", "canon700d")


@dataclass(frozen=True)
class Estimate:
    """What was found for one dark raw."""

    photo: str
    camera: str
    ratio: float
    """The true one."""
    found: float
    scene: Scene = "plain"

    @property
    def error(self) -> float:
        """EV; above 0 the picture comes out too bright."""
        return log2(self.found / self.ratio)


@dataclass(frozen=True)
class Summary:
    """How far off the estimates of a group are, EV."""

    median: float
    """Of the absolute error."""
    nine_tenths: float
    """Within which nine of ten lie."""
    bias: float
    """Median of the signed error."""


def estimates(
    photos: Path,
    amp: Amp,
    *,
    ratios: Sequence[float] = RATIOS,
    cameras: Sequence[str] = CAMERAS,
    cfa: CFA = "bayer",
    scene: Scene = "plain",
) -> Iterator[Estimate]:
    """Let `amp` find the ratio of every photo, lit as `scene` says and taken too dark by every camera at every ratio.

    Raises SettingsError as `simulated.plan` does.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "dark.dng"
        for camera in cameras:
            for dark in simulated.plan(photos, ratios=ratios, cameras=[camera], cfa=cfa):
                simulated.write(dark, simulated.read_photo(dark.photo), path, scene=scene)
                yield Estimate(dark.photo.name, camera, dark.ratio, amplifier.ratio(raw.read(path), amp), scene)


def summary(group: Sequence[Estimate]) -> Summary:
    """Sum a group of estimates up."""
    errors = np.array([estimate.error for estimate in group])
    return Summary(float(np.median(abs(errors))), float(np.quantile(abs(errors), 0.9)), float(np.median(errors)))
