"""Cases, scored on the mosaic instead of the finished picture: what ELD and AIM's raw denoising challenge rank by.

Case -> {system: planes}, (h, w, C) light in [0, 1], packed by colour, amplified by the ratio; against the reference's

Networks that keep to the mosaic are measured as they are. One of ours returns camera RGB: its curve and the white
balance are undone, and its mosaic is sampled from that. A network whose output is the finished picture has no mosaic.

`amplified` is the dark raw itself. Everything is clipped to [0, 1], as in ELD's code (Wei et al. 2020).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from darkroom.develop import amplifier, balance, cfa, pipeline
from darkroom.develop.contract import Packing
from darkroom.errors import SettingsError
from darkroom.evaluate import baselines, measure, metrics, peers
from darkroom.evaluate.case import Case, light
from darkroom.evaluate.peers import Noise, Peer
from darkroom.evaluate.score import Score, Setting
from darkroom.evaluate.systems import CEILING, Made, Network, Plan, ratio_for, told_ratio
from darkroom.frame import CELL, CFA, Frame

DATA = "raw planes"
"""What the data of these scores is called, after where it is from."""
AMPLIFIED = "amplified"
BASELINES = ("burst",)

Array = NDArray[np.float32]

PACKING: dict[CFA, Packing] = {"bayer": "bayer4", "xtrans": "xtrans9"}


def check(plan: Plan, wanted: measure.Measures) -> None:
    """Raise SettingsError for what has no raw domain: LibRaw and BM3D, finished pictures, metrics of pictures."""
    if others := [each for each in plan.baselines if each not in BASELINES]:
        raise SettingsError(f"--domain raw: {others[0]} makes pictures; leave it out, {AMPLIFIED} is always shown")
    if plan.oracles or wanted.extras:
        raise SettingsError("--domain raw: has PSNR and SSIM only; leave --oracle and --metrics out")
    for name, network in plan.networks.items():
        if network.model.contract.output != "camera":
            raise SettingsError(f"--domain raw: {name} returns a finished picture, which has no mosaic; leave it out")


def scores(cases: Iterable[Case], plan: Plan, setting: Setting) -> Iterator[Score]:
    """Denoise and score every case; raises SettingsError as `peers.denoise` and `systems.develop` do."""
    for case in cases:
        assert case.light is not None, "cases of the raw domain know the reference's light"
        reference = planes(case.light, case.frame)
        for system, made in develop(case, plan, reference).items():
            yield Score(
                system=system,
                photo=case.photo,
                cfa=case.frame.cfa,
                ratio=case.ratio,
                camera=case.camera,
                gain=case.gain,
                window=setting.window,
                chosen=made.chosen,
                measured=measure.measure(made.picture, reference, setting.measures),
                data=f"{setting.data}, {DATA}",
            )


def develop(case: Case, plan: Plan, reference: Array) -> Mapping[str, Made]:
    """Make every system's planes, (h, w, C) in [0, 1]; the reference's choose whether a peer sees below black."""
    ratio = ratio_for(case, plan.amp, CEILING)
    made = {AMPLIFIED: Made(planes(light(case.frame) * np.float32(ratio), case.frame), told_ratio(plan.amp, ratio))}
    if "burst" in plan.baselines:
        joined = light(baselines.median(case.burst)) * np.float32(ratio)
        made["burst"] = Made(planes(joined, case.frame), told_ratio(plan.amp, ratio))
    for name, peer in plan.peers.items():
        made[name] = _by_peer(case, peer, plan, ratio, reference)
    for name, network in plan.networks.items():
        own = min(ratio_for(case, plan.amp, network.model.contract.max_ratio), network.cap)
        made[name] = Made(planes(_sampled(case.frame, network, own), case.frame), told_ratio(plan.amp, own))
    return made


def planes(sites: Array, frame: Frame) -> Array:
    """Pack the light of a frame's visible window by colour: (H, W) -> (h, w, C), clipped to [0, 1].

    What is left of whole cells of the canonical phase.
    """
    cell = len(CELL[frame.cfa])
    top, left = -frame.visible.top % cell, -frame.visible.left % cell
    height, width = ((length // cell) * cell for length in (sites.shape[0] - top, sites.shape[1] - left))
    whole = np.ascontiguousarray(sites[top : top + height, left : left + width])
    return np.clip(cfa.pack(whole, PACKING[frame.cfa]).transpose(1, 2, 0), 0, 1)


def _by_peer(case: Case, peer: Peer, plan: Plan, ratio: float, reference: Array) -> Made:
    noise = plan.noise or Noise(case.gain, case.read)
    tried = []
    for clip, said in ((False, "unclipped"), (True, "clipped")):
        frame = peers.denoise(peer, case.frame, ratio, noise, clip=clip)
        tried.append(Made(planes(light(frame) * np.float32(ratio), case.frame), said))
    best = max(tried, key=lambda each: metrics.psnr(each.picture, reference))
    return replace(best, chosen=", ".join(filter(None, (told_ratio(plan.amp, ratio), best.chosen))))


def _sampled(frame: Frame, network: Network, ratio: float) -> Array:
    """See a network's camera RGB through the mosaic: light x ratio at each site of the visible window."""
    plain = replace(frame, camera_to_srgb=np.eye(3, dtype=np.float32))
    gains = frame.white_balance if frame.white_balance is not None else balance.grey_world(frame)
    red, green, blue = map(float, gains)  # told, that what is undone is what was done
    settings = pipeline.Settings(amp=amplifier.parse(f"{ratio:.9g}"), bits=32, white_balance=(red, green, blue))
    camera = pipeline.expose(plain, network.model, settings).picture.astype(np.float32)
    linear = (camera / gains).astype(np.float32)
    top, left = frame.visible.top % len(CELL[frame.cfa]), frame.visible.left % len(CELL[frame.cfa])
    return cfa.sample(np.pad(linear, ((top, 0), (left, 0), (0, 0))), frame.cfa)[top:, left:]
