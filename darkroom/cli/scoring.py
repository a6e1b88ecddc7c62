"""What `darkroom evaluate` scores, and by whom: its options -> runs of cases, each with who develops them -> scores."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from darkroom.cli import grids, options
from darkroom.errors import SettingsError

if TYPE_CHECKING:
    from darkroom.evaluate.case import Case
    from darkroom.evaluate.cost import Cost
    from darkroom.evaluate.detection import Watch
    from darkroom.evaluate.peers import Noise, Peer
    from darkroom.evaluate.preference import Pairs
    from darkroom.evaluate.score import Score, Setting
    from darkroom.evaluate.sheet import Crops
    from darkroom.evaluate.systems import Made, Network, Plan

CROP = "1024x1536"


@dataclass(frozen=True)
class Bench:
    """What the options say of the simulated bench."""

    photos: Path
    ratios: tuple[float, ...]
    cameras: tuple[str, ...]
    cfa: Literal["bayer", "xtrans"] | None
    colour: Literal["identity", "camera"] | None
    cross: bool
    crop: tuple[int, int]


@dataclass(frozen=True)
class Run:
    """Cases that are scored alike."""

    cases: "Iterator[Case]"
    count: int
    plan: "Plan"
    setting: "Setting"
    place: str = ""
    """Folder within that of the pictures."""


def plan(
    models: list[str],
    peers: "tuple[dict[str, Peer], Noise | None]",
    device: str,
    baselines: tuple[str, ...],
    oracles: tuple[str, ...],
    sigma: float | None,
    amp: str | None,
) -> "Plan":
    """Open the networks, and say who develops how."""
    from darkroom.develop import amplifier
    from darkroom.evaluate.systems import Plan, network

    wanted = None if amp is None else amplifier.parse(amp)
    loaded = {name: network(each) for name, each in options.networks(models, device).items()}
    if twice := sorted(peers[0].keys() & loaded.keys()):
        raise SettingsError(f"--peer: {twice[0]} is also the name of a network; rename one file")
    return Plan(loaded, baselines, oracles, sigma=sigma, amp=wanted, peers=peers[0], noise=peers[1])


def simulated(bench: Bench, plan: "Plan", setting: "Setting") -> "Iterator[Run]":
    """Plan the bench for each CFA that a network is for, with the networks for it; each camera alone for a cross."""
    from darkroom.evaluate import simulated
    from darkroom.evaluate.measure import called

    if bench.cross and bench.colour == "identity":
        raise SettingsError("--cross: compares cameras by their colours, too; leave --colour identity out")
    colour = bench.colour or ("camera" if bench.cross else "identity")
    cameras = bench.cameras or simulated.CAMERAS
    if bench.cross:
        plan = replace(plan, networks={_trained(name, each): each for name, each in plan.networks.items()})
    found = [each.model.contract.cfa for each in plan.networks.values()]
    kinds = (bench.cfa,) if bench.cfa else tuple(dict.fromkeys(kind for kind in found if kind)) or ("bayer",)
    again = "grain" in setting.measures.extras
    for kind in kinds:
        fitting = {name: each for name, each in plan.networks.items() if each.model.contract.cfa in ("", kind)}
        for those in [(camera,) for camera in cameras] if bench.cross else [cameras]:
            darks = simulated.plan(
                bench.photos, ratios=bench.ratios or simulated.RATIOS, cameras=those, cfa=kind, colour=colour
            )
            yield Run(
                cases=(
                    simulated.case(dark, bench.crop, burst="burst" in plan.baselines, again=again) for dark in darks
                ),
                count=len(darks),
                plan=replace(plan, networks=plan.networks if bench.cfa else fitting),
                setting=replace(
                    setting,
                    data=called(simulated.data(colour), setting.measures),
                    window=f"{bench.crop[0]}x{bench.crop[1]}",
                ),
                place=those[0] if bench.cross else "",
            )


def _trained(name: str, network: "Network") -> str:
    """Say beside a network's name what it was trained for."""
    return f"{name} (of {network.camera}, output {network.model.contract.output})"


def real(source: Path, name: str, plan: "Plan", setting: "Setting", cache: Path | None) -> Run:
    """Find the real pairs that count."""
    from darkroom.evaluate import real
    from darkroom.evaluate.measure import called
    from darkroom.train.cache import Cache

    if name not in real.CONVENTIONS:
        raise SettingsError(f"--convention {name}: no such convention; known are {', '.join(real.CONVENTIONS)}")
    convention, store = real.CONVENTIONS[name], Cache(cache or options.cache_folder())
    with grids.bar("decoding") as tell:
        shots = real.plan(source, convention, store, burst="burst" in plan.baselines, on_pair=tell)
    measures = replace(setting.measures, eight_bit=convention.eight_bit and setting.domain == "srgb")
    setting = replace(setting, data=called(real.data(source, convention), measures), measures=measures)
    return Run(real.cases(shots, convention, store, domain=setting.domain), len(shots), plan, setting)


def peers(files: list[Path], normalisation: str | None, noise: str | None) -> "tuple[dict[str, Peer], Noise | None]":
    """Open the raw-to-raw networks, under their files' names, and read what they are told of the noise."""
    from darkroom.evaluate import peers

    told = numbers("--noise", noise)
    if told and (len(told) != 2 or min(told) <= 0):
        raise SettingsError(f"--noise {noise}: is no gain and read noise; give both in DN, such as 0.8,2.5")
    return {file.stem: peers.load(file, normalisation) for file in files}, peers.Noise(*told) if told else None


def scored(
    run: Run, crops: "Crops | None", pictures: Path | None, seen: "Watch | None", asked: "Pairs | None"
) -> "Iterator[Score]":
    """Score a run, keeping what is to be kept."""
    from darkroom.evaluate import rawdomain, score, sheet, systems

    watched = grids.watched(run.cases, run.setting.data, run.count)
    if run.setting.domain == "raw":
        return rawdomain.scores(watched, run.plan, run.setting)
    folder = pictures / run.place if pictures else None
    if folder:
        folder.mkdir(exist_ok=True)

    def keep(case: "Case", made: "Mapping[str, Made]") -> None:
        if crops:
            crops.keep(case, made)
        if folder:
            sheet.save(folder, case, made)
        wanted = {name: made[name] for name in made if name in systems.shown(run.plan)}
        if seen:
            seen.keep(case, wanted)
        if asked:
            asked.keep(case, wanted)

    return score.scores(watched, run.plan, run.setting, keep)


def watch(file: Path, confidence: float | None) -> "Watch":
    """Open the detector that looks at every picture."""
    from darkroom.evaluate import detection

    return detection.Watch(detection.load(file), confidence or detection.CONFIDENCE)


def weights(plan: "Plan") -> dict[str, float]:
    """Billions of multiply-accumulates of each network over a frame of SID's."""
    from darkroom.evaluate import cost

    return {
        name: cost.macs(each.model, *cost.FRAME[each.model.contract.cfa or "bayer"]) / 1e9
        for name, each in plan.networks.items()
    }


def costs(plan: "Plan", known: "dict[str, Cost]") -> "dict[str, Cost]":
    """Measure every network alone that was not yet."""
    from darkroom.evaluate import cost

    return {name: cost.measure(each.model) for name, each in plan.networks.items() if name not in known}


def priced(score: "Score", costs: "dict[str, Cost]") -> "Score":
    return replace(score, cost=costs.get(score.system, score.cost))


def words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def numbers(option: str, text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in words(text))
    except ValueError:
        raise SettingsError(f"{option} {text}: are no numbers; give some such as 100,250,300") from None


def crop(text: str | None) -> tuple[int, int]:
    height, _, width = (text or CROP).lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and min(int(height), int(width)) >= 32):
        raise SettingsError(f"--crop {text}: is no size; give height x width in pixels, 32 at least, such as {CROP}")
    return int(height), int(width)
