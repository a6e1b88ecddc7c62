"""`darkroom evaluate --sheet`: the places where networks are judged by eye, side by side."""

from pathlib import Path
from typing import TYPE_CHECKING

from darkroom.cli import grids
from darkroom.errors import SettingsError

if TYPE_CHECKING:
    from darkroom.evaluate.systems import Plan
    from darkroom.frame import CFA


def write(
    folder: Path,
    photos: Path,
    plan: "Plan",
    *,
    places: Path | None,
    ratios: tuple[float, ...],
    cameras: tuple[str, ...],
    cfa: "CFA | None",
) -> Path:
    """Choose or read the places, have them developed and write the sheet; return its page."""
    from darkroom.evaluate import cropsheet, simulated
    from darkroom.evaluate import places as at

    ratios = ratios or cropsheet.RATIOS
    if set(plan.baselines) - {"libraw"}:
        raise SettingsError("--sheet: shows networks beside libraw; leave other baselines out")
    if min(ratios) <= 0:
        raise SettingsError("--sheet: ratios must all be above 0; try 1,100,300")
    chosen = at.read(places, photos) if places else at.choose(photos)
    kinds = {each.model.contract.cfa for each in plan.networks.values()} - {""}
    if not cfa and len(kinds) > 1:
        raise SettingsError("--sheet: shows one kind of sensor; name networks of one, or --cfa bayer")
    seen = cropsheet.judge(
        chosen,
        plan,
        ratios=ratios,
        cameras=cameras or simulated.CAMERAS,
        cfa=cfa or ("xtrans" if kinds == {"xtrans"} else "bayer"),
    )
    return cropsheet.write(folder, list(grids.watched(seen, "places", len(chosen) * len(ratios))))
