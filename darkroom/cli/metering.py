"""`darkroom evaluate --amplifier`: how far off the ratio is that `--amp` finds, and what `--amp auto` learns from."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from darkroom.cli import grids, say
from darkroom.errors import SettingsError

if TYPE_CHECKING:
    from darkroom.evaluate.ratios import Estimate


def ratios(
    photos: Path,
    amp: str,
    those: tuple[float, ...],
    cameras: tuple[str, ...],
    cfa: Literal["bayer", "xtrans"],
    scenes: tuple[str, ...],
) -> None:
    """Print how far the ratio that `amp` finds is off, by scene, by ratio and by camera."""
    from darkroom.develop import amplifier
    from darkroom.evaluate import lit
    from darkroom.evaluate import ratios as measure

    wanted = amplifier.parse(amp)
    those, cameras = those or measure.RATIOS, cameras or measure.CAMERAS
    if unknown := sorted(set(scenes) - set(lit.SCENES)):
        raise SettingsError(f"--scenes {unknown[0]}: no such scene; known are {', '.join(lit.SCENES)}")
    lights = [scene for scene in lit.SCENES if scene in (scenes or ("plain",))]
    found = [
        estimate
        for scene in lights
        for estimate in grids.watched(
            measure.estimates(photos, wanted, ratios=those, cameras=cameras, cfa=cfa, scene=scene),
            f"--amp {amp}",
            None,
        )
    ]
    say.line(f"ratio found by --amp {amp} against the true one, EV, on {len(found)} dark raws ({cfa})")
    groups = [("all", found)]
    groups += [(scene, [each for each in found if each.scene == scene]) for scene in lights if len(lights) > 1]
    groups += [(f"x{ratio:g}", [each for each in found if each.ratio == ratio]) for ratio in those]
    groups += [(camera, [each for each in found if each.camera == camera]) for camera in cameras]
    _show(groups)


def fit(photos: Path, file: Path) -> None:
    """Teach the meter of `--amp auto`, print how far it is off on photos it was not taught from, write its weights."""
    from darkroom.develop import meter
    from darkroom.evaluate import lit
    from darkroom.evaluate import metering as lessons

    if file.exists():
        raise SettingsError(f"{file}: already exists; name a new file")
    taught = list(grids.watched(lessons.lessons(photos), "photos", None))
    all_of_them = [lesson for photo in taught for lesson in photo]
    if len(taught) < lessons.GROUPS:
        raise SettingsError(f"{photos}: {len(taught)} photos teach too little; give {lessons.GROUPS} or more")
    found = lessons.left_out(all_of_them)
    say.line(
        f"ratio found against the true one, EV, on {len(found)} scenes of {len(taught)} photos, each left out once"
    )
    groups = [("all", found)]
    _show(groups + [(scene, [each for each in found if each.scene == scene]) for scene in lit.SCENES])
    command = f"darkroom evaluate --amplifier {photos.parent.name}/{photos.name} --fit {file.name}"
    file.write_text(meter.dump(lessons.learned(all_of_them), command), encoding="utf-8")


def _show(groups: "list[tuple[str, list[Estimate]]]") -> None:
    from darkroom.evaluate.ratios import summary

    say.line(f"{'':12}{'median error':>14}{'nine of ten within':>20}{'bias':>8}")
    for name, group in groups:
        summed = summary(group)
        say.line(f"{name:12}{summed.median:14.2f}{summed.nine_tenths:20.2f}{summed.bias:+8.2f}")
