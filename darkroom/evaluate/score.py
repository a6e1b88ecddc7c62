"""Cases, developed by every network and baseline, against their references.

cases -> for each case, window and system one Score

The dark raw is a file that went through `raw.read`, and goes through `pipeline.expose`, like any photo: at its true
ratio unless told otherwise, unfinished, 16 bit.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from darkroom.evaluate import measure, systems
from darkroom.evaluate.case import Case, Picture
from darkroom.evaluate.cost import Cost
from darkroom.evaluate.measure import Measured, Measures
from darkroom.evaluate.systems import Made, Plan

BM3D_CENTRE = 384
"""Pixels along a side of the centre that BM3D is tried on: that takes a core a minute or more."""


@dataclass(frozen=True)
class Score:
    """How near a system's picture of a dark raw came to the reference."""

    system: str
    """A network's name, or a baseline's."""
    photo: str
    """Of the clean photo, or of the short's file."""
    cfa: str
    ratio: float
    """The true one."""
    camera: str
    gain: float
    """K, DN per electron; 0 where it is not known."""
    window: str
    """What was compared: height x width of the centre, or what there is of it; or whole."""
    chosen: str
    """What an oracle chose for this picture; empty where there was no choice."""
    measured: Measured
    data: str = "simulated"
    """Where the case is from: what may be averaged together."""
    cost: Cost | None = None
    """The system's, the same in all its scores; None where nobody asked."""


@dataclass(frozen=True)
class Setting:
    """What all scores of a run have in common."""

    data: str = "simulated"
    window: str = "whole"
    """Of the pictures as they are."""
    centre: int | None = None
    """Pixels along a side of the middle on which everything is scored once more."""
    domain: Literal["srgb", "raw"] = "srgb"
    """raw: mosaics are scored, as in rawdomain.py."""
    measures: Measures = Measures()


Keep = Callable[[Case, Mapping[str, Made]], None]


def scores(cases: Iterable[Case], plan: Plan, setting: Setting, keep: Keep | None = None) -> Iterator[Score]:
    """Develop and score every case.

    BM3D, where it was asked for, works on the centre and on nothing else, of BM3D_CENTRE where none was named. `keep`
    hears every case and its pictures. Raises SettingsError as `systems.develop` and `measure.measure` do.
    """
    if "bm3d" in plan.baselines and setting.centre is None:
        setting = replace(setting, centre=BM3D_CENTRE)
    for case in cases:
        made = systems.develop(case, plan)
        again = systems.develop_again(case, plan)
        if keep:
            keep(case, made)
        yield from _compared(case, made, again, plan, setting)
        if setting.centre is None:
            continue
        small = replace(case, reference=centre(case.reference, setting.centre))
        made, again = (
            {system: Made(centre(each.picture, setting.centre), each.chosen) for system, each in draw.items()}
            for draw in (made, again)
        )
        if "bm3d" in plan.baselines:
            made[plan.named("bm3d")] = systems.denoise(made[plan.named("libraw")], small.reference, plan)
            if keep:
                keep(small, {plan.named("bm3d"): made[plan.named("bm3d")]})
        side = f"{setting.centre}x{setting.centre}"
        yield from _compared(small, made, again, plan, replace(setting, window=side))


def centre(picture: Picture, side: int) -> Picture:
    """Cut out the middle, (side, side, 3) or what there is of it."""
    height, width = min(side, picture.shape[0]), min(side, picture.shape[1])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def _compared(
    case: Case, made: Mapping[str, Made], again: Mapping[str, Made], plan: Plan, setting: Setting
) -> Iterator[Score]:
    asked = systems.shown(plan)
    for system, each in made.items():
        if system in asked:
            yield Score(
                system=system,
                photo=case.photo,
                cfa=case.frame.cfa,
                ratio=case.ratio,
                camera=case.camera,
                gain=case.gain,
                window=setting.window,
                chosen=each.chosen,
                measured=measure.measure(
                    each.picture,
                    case.reference,
                    setting.measures,
                    again[system].picture if system in again else None,
                ),
                data=setting.data,
            )
