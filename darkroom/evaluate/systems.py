"""A case, developed by every system that is to be compared: networks, and what there is without one.

Case -> {system: Made}, each picture (H, W, 3) in [0, 1] under the curve of the case's reference
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from darkroom import documents
from darkroom.decode.raw import CURVES, Curve
from darkroom.develop import amplifier, pipeline
from darkroom.develop.amplifier import Amp
from darkroom.develop.model import Model
from darkroom.errors import ModelError, SettingsError
from darkroom.evaluate import baselines, metrics, peers
from darkroom.evaluate.case import Case, Picture, encoded
from darkroom.evaluate.peers import Noise, Peer
from darkroom.frame import Frame

BASELINES = ("libraw", "bm3d", "burst")
ORACLES = {"white-balance": "wb", "mean": "mean"}
"""What a baseline may be told of the reference, and the mark it then carries in its name."""
RECIPE = "darkroom.recipe"
"""The ONNX metadata entry that holds the recipe a network was trained by."""
CEILING = 300.0
"""Largest ratio that is found for a baseline."""


@dataclass(frozen=True, eq=False)
class Network:
    """A network, and what its recipe tells of it beyond its contract."""

    model: Model
    curve: Curve | None
    """Of its pictures; None where it is unknown, and they are taken to be as the references."""
    cap: float
    """Ratios above are cut down to it, as they were in training."""
    camera: str
    """What it was trained for: names of cameras.toml, or any."""


@dataclass(frozen=True)
class Plan:
    """Who develops, and how."""

    networks: Mapping[str, Network]
    """By the name to show."""
    baselines: tuple[str, ...] = ()
    """Of BASELINES."""
    oracles: tuple[str, ...] = ()
    """Of ORACLES: what the baselines are told."""
    sigma: float | None = None
    """What BM3D is told of the noise; None: the best of a grid."""
    amp: Amp | None = None
    """How networks and baselines find the ratio; None: they are told the true one."""
    peers: Mapping[str, Peer] = field(default_factory=dict)
    """Networks from mosaic to mosaic, by the name to show."""
    noise: Noise | None = None
    """What the peers are told of the sensor; None: what the case knows."""

    def __post_init__(self) -> None:
        """Raise SettingsError for an unknown baseline or oracle, an oracle without a baseline, or nothing to score."""
        for asked, known, what in ((self.baselines, BASELINES, "baseline"), (self.oracles, ORACLES, "oracle")):
            if unknown := sorted(set(asked) - set(known)):
                raise SettingsError(f"{unknown[0]}: no such {what}; known are {', '.join(known)}")
        if not self.networks and not self.baselines and not self.peers:
            raise SettingsError("nothing to score; name a network, or --baselines libraw")
        if self.oracles and not self.baselines:
            raise SettingsError("--oracle: helps baselines only; name some with --baselines")

    def named(self, baseline: str) -> str:
        """The name a baseline is shown by."""
        return "+".join((baseline, *(ORACLES[oracle] for oracle in ORACLES if oracle in self.oracles)))


@dataclass(frozen=True, eq=False)
class Made:
    """A system's picture of a case."""

    picture: Picture
    chosen: str = ""
    """What was found out on the way: the ratio, BM3D's sigma."""


def network(model: Model) -> Network:
    """Read what a network's recipe tells; raises ModelError where that is no recipe."""
    text = model.metadata.get(RECIPE, b"").decode(errors="replace")
    try:
        told = documents.from_toml(text)
    except ValueError as error:
        raise ModelError(f"{model.file}: its recipe is no TOML ({error}); export it again") from None
    curve, cap, camera = told.get("curve"), told.get("cap", math.inf), told.get("camera", "any")
    if curve not in (None, *CURVES) or not isinstance(cap, (int, float)) or not isinstance(camera, str):
        found = f"curve {curve!r}, cap {cap!r}, camera {camera!r}"
        raise ModelError(f"{model.file}: its recipe says {found}, which no recipe can; export it again")
    # The matrix and curve of pictures in camera RGB come from `finish`, whatever the references' were.
    return Network(model, "srgb" if model.contract.output == "camera" else curve, float(cap), camera)


def develop(case: Case, plan: Plan) -> dict[str, Made]:
    """Develop a case by every system but BM3D, baselines first.

    LibRaw's picture is there where BM3D needs it, asked for or not. Raises SettingsError where a network is for another
    kind of sensor.
    """
    made = {}
    if {"libraw", "bm3d"} & set(plan.baselines):
        made[plan.named("libraw")] = _rendered(case, case.frame, plan)
    if "burst" in plan.baselines:
        made[plan.named("burst")] = _rendered(case, baselines.median(case.burst), plan)
    for name, peer in plan.peers.items():
        made[name] = _by_peer(case, peer, plan)
    for name, each in plan.networks.items():
        ratio = min(ratio_for(case, plan.amp, each.model.contract.max_ratio), each.cap)
        settings = pipeline.Settings(amp=amplifier.parse(f"{ratio:.9g}"), bits=16)
        developed = pipeline.expose(case.frame, each.model, settings).picture
        picture = encoded(developed.astype(np.float32) / np.float32(65535), each.curve or case.curve, case.curve)
        made[name] = Made(picture, told_ratio(plan.amp, ratio))
    return made


def develop_again(case: Case, plan: Plan) -> dict[str, Made]:
    """Develop the case's other draw of the noise, where it has one, by every system that needs one frame only."""
    single = tuple(baseline for baseline in plan.baselines if baseline == "libraw")
    if case.again is None or not (plan.networks or plan.peers or single):
        return {}
    oracles = plan.oracles if single else ()
    return develop(
        replace(case, frame=case.again, burst=(), again=None), replace(plan, baselines=single, oracles=oracles)
    )


def shown(plan: Plan) -> set[str]:
    """Names of the systems that were asked for."""
    return {*plan.networks, *plan.peers, *(plan.named(baseline) for baseline in plan.baselines)}


def denoise(noisy: Made, reference: Picture, plan: Plan) -> Made:
    """Have BM3D denoise what LibRaw made; without a sigma given, the reference chooses it."""
    picture, sigma = baselines.bm3d(noisy.picture, reference, plan.sigma)
    return Made(picture, ", ".join(filter(None, (noisy.chosen, f"sigma {sigma:g}"))))


def _rendered(case: Case, frame: Frame, plan: Plan) -> Made:
    """Amplify and render by LibRaw, told of the reference what the oracles tell."""
    ratio = ratio_for(case, plan.amp, CEILING)
    if "white-balance" in plan.oracles and case.white_balance is not None:
        frame = replace(frame, white_balance=case.white_balance)
    picture = baselines.libraw(frame, ratio, case.curve)
    if "mean" in plan.oracles:
        picture = baselines.to_means(picture, case.reference)
    return Made(picture, told_ratio(plan.amp, ratio))


def _by_peer(case: Case, peer: Peer, plan: Plan) -> Made:
    """Denoise the mosaic, with and without what lies below black, and render the better by LibRaw."""
    ratio, noise = ratio_for(case, plan.amp, CEILING), plan.noise or Noise(case.gain, case.read)
    tried = []
    for clip in (False, True):
        frame = peers.denoise(peer, case.frame, ratio, noise, clip=clip)
        picture = baselines.libraw(frame, ratio, case.curve)
        tried.append((metrics.psnr(picture, case.reference), Made(picture, "clipped" if clip else "unclipped")))
    best = max(tried, key=lambda each: each[0])[1]
    return replace(best, chosen=", ".join(filter(None, (told_ratio(plan.amp, ratio), best.chosen))))


def ratio_for(case: Case, amp: Amp | None, ceiling: float) -> float:
    """The ratio a system is told, or finds, up to a ceiling."""
    return case.ratio if amp is None else amplifier.ratio(case.frame, amp, ceiling)


def told_ratio(amp: Amp | None, ratio: float) -> str:
    """Say a ratio that was found; nothing where it was told."""
    return "" if amp is None else f"ratio {ratio:.4g}"
