"""`darkroom evaluate`: networks and baselines -> how near their pictures of dark raws come to what is known of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from darkroom.cli import cropsheet, grids, metering, options, say, scoring, terminable
from darkroom.errors import SettingsError

if TYPE_CHECKING:
    from darkroom.evaluate.cost import Cost
    from darkroom.evaluate.score import Score


def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODELS]...", help="Networks: shipped names or .onnx files.", show_default=False),
    ] = None,
    simulate: Annotated[
        Path | None, typer.Option(metavar="PHOTOS", help="Score on dark raws made from this folder of clean photos.")
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Score on real pairs: a SID list, a folder with short/ and long/, or a CSV."),
    ] = None,
    amplifier: Annotated[
        Path | None,
        typer.Option(metavar="PHOTOS", help="Instead, compare the ratio --amp finds in such raws with the true one."),
    ] = None,
    scenes: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="How --amplifier and --sensor light the photos: plain, lamps, night (by the lamps alone). "
            "[default: plain]",
        ),
    ] = None,
    fit: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Teach --amp auto from the photos of --amplifier; write its weights."),
    ] = None,
    sensor: Annotated[
        Path | None,
        typer.Option(
            metavar="PHOTOS",
            help="Instead, measure what a sensor's glow, columns and hot sites cost, and what mends them.",
        ),
    ] = None,
    burst: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=2, max=32, help="With --simulate: bursts of N frames, merged as `develop --burst`."
        ),
    ] = None,
    hand_held: Annotated[
        bool, typer.Option("--hand-held", help="With --burst: the camera strays and turns, and something moves.")
    ] = False,
    convention: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Which pairs count: sid-598, sid-562, sid-93, sid-88, red (8 bits, as published) or folder (all). "
            "[default: folder]",
        ),
    ] = None,
    ratios: Annotated[
        str | None,
        typer.Option(metavar="N,N,...", help="Ratios. [default: 100,250,300; for --amplifier 50,100,200,300]"),
    ] = None,
    cameras: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Cameras whose noise to use. [default: sonya7s2,nikond850,canon5d4; for --amplifier all]",
        ),
    ] = None,
    cfa: Annotated[
        Literal["bayer", "xtrans"] | None, typer.Option(help="Sensor to simulate. [default: the networks', else bayer]")
    ] = None,
    colour: Annotated[
        Literal["identity", "camera"] | None,
        typer.Option(help="Colours to simulate: the photo's, or what the camera sees. [default: identity]"),
    ] = None,
    cross: Annotated[
        bool, typer.Option("--cross", help="Every photo by every camera, in the camera's colours; cameras across.")
    ] = False,
    crop: Annotated[
        str | None,
        typer.Option(metavar="HxW", help=f"Centre of each clean photo that is used. [default: {scoring.CROP}]"),
    ] = None,
    centre: Annotated[
        int | None,
        typer.Option(metavar="PX", min=32, help="Score all once more on so small a centre. [default: with bm3d, 384]"),
    ] = None,
    baselines: Annotated[str, typer.Option(metavar="A,B", help="Score these, too: libraw, bm3d, burst.")] = "",
    oracle: Annotated[
        str, typer.Option(metavar="A,B", help="Tell baselines the reference's white-balance, its mean, or both.")
    ] = "",
    bm3d_sigma: Annotated[
        float | None,
        typer.Option(metavar="SD", min=0.001, max=1, help="Noise that BM3D is told of. [default: the best of six]"),
    ] = None,
    metrics: Annotated[
        str,
        typer.Option(
            metavar="A,B",
            help="Measure these, too: ms-ssim, niqe, lpips, gt-gc, near-black, bright, grain, pieapp, dists, clip-iqa; "
            "help explains each.",
        ),
    ] = "",
    lpips_weights: Annotated[Path | None, typer.Option(metavar="FILE", help="LPIPS's networks' weights.")] = None,
    peer: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Score this raw-to-raw network, too: .onnx, planes R G G B to the same, demosaiced by LibRaw.",
            show_default=False,
        ),
    ] = None,
    normalisation: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="How peers want light: light or k-sigma. [default: what the file names]"),
    ] = None,
    noise: Annotated[
        str | None,
        typer.Option(metavar="K,SD", help="Gain and read noise in DN, for k-sigma. [default: those simulated]"),
    ] = None,
    cost: Annotated[
        bool, typer.Option("--cost", help="Measure milliseconds, megabytes and GMAC of a frame of SID's size.")
    ] = False,
    domain: Annotated[
        Literal["srgb", "raw"],
        typer.Option(help="What is compared: finished pictures, or packed planes of the mosaic, as ELD and AIM do."),
    ] = "srgb",
    align: Annotated[
        Literal["gain", "channels"] | None,
        typer.Option(
            help="Fit the brightness to the reference's first, by least squares: one factor, or a factor and an offset "
            "for each channel. [default: as it is]"
        ),
    ] = None,
    ab: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write a page into this new folder that asks which of two pictures is better."
        ),
    ] = None,
    detector: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Find objects, too, by this .onnx, and compare with those of the references."
        ),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(metavar="P", min=0.01, max=0.99, help="What a find in a reference must exceed. [default: 0.7]"),
    ] = None,
    merge: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Add the scores of an earlier run's --json.", show_default=False),
    ] = None,
    amp: Annotated[
        str | None,
        typer.Option(metavar="AMP", help="How to find the ratio, such as auto. [default: the true one is told]"),
    ] = None,
    device: options.Device = "auto",
    cache: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Decoded pairs. [default: the user's cache folder]")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON line a score; the tables go to stderr.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one row a score.")] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page of tables, and the worst, median and best photo.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FOLDER", help="Keep the pictures in this new folder.")
    ] = None,
    crops: Annotated[
        Path | None,
        typer.Option(
            "--sheet",
            metavar="FOLDER",
            help="Instead of scores, write a sheet of crops into this new folder: places of each kind, side by side.",
        ),
    ] = None,
    places: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Which places; --sheet writes such a file. [default: by kind]")
    ] = None,
) -> None:
    """Score networks on dark raws whose right picture is known.

    Clean photos are made into dark raw files with the noise of calibrated sensors, or real pairs are read; each dark
    raw is developed at the true ratio and compared with the photo or the reference: PSNR in dB and SSIM, the means at
    each ratio. The same command gives the same figures. Baselines: LibRaw amplified, BM3D after it (not for commercial
    use, by its licence), the median of a burst of 8.

    \b
    Example:
      darkroom evaluate fast-bayer --simulate photos/ --baselines libraw
    """
    if metrics == "help":
        from darkroom.evaluate.measure import EXPLAINED

        for name, explained in EXPLAINED.items():
            say.line(f"{name:12}{explained.partition(': ')[2]}")
        return
    terminable()
    at, by = scoring.numbers("--ratios", ratios), scoring.words(cameras)
    if amplifier:
        if simulate or pairs or models or merge:
            raise SettingsError("--amplifier: stands alone; leave networks, --simulate, --pairs and --merge out")
        if fit:
            metering.fit(amplifier, fit)
        else:
            metering.ratios(amplifier, amp or "auto", at, by, cfa or "bayer", scoring.words(scenes))
        return
    _alone("--amplifier", amplifier, {"fit": fit})
    _alone("--amplifier or --sensor", sensor, {"scenes": scenes})
    if sensor:
        if simulate or pairs or merge or len(models or []) > 1:
            raise SettingsError("--sensor: takes one network and photos; leave --simulate, --pairs and --merge out")
        _sensor(sensor, (models or ["fast-bayer"])[0], device, at, scenes or "plain")
        return
    if burst or hand_held:
        if not simulate or not burst or pairs or merge or len(models or []) > 1:
            raise SettingsError("--burst, --hand-held: go with one network, --simulate PHOTOS and --burst N")
        _bursts(simulate, (models or ["fast-bayer"])[0], device, at, burst, hand_held)
        return
    if simulate and pairs:
        raise SettingsError("--simulate and --pairs: score on one; merge the other's scores by --json and --merge")
    if not simulate and not pairs and (models or not merge):
        raise SettingsError(
            "nothing to score on; give --simulate PHOTOS, a folder of clean photos, or --pairs, a folder or a list"
        )
    if cross and pairs:
        raise SettingsError("--cross: is for --simulate; leave it out")
    _alone("--simulate", simulate, {"ratios": ratios, "cameras": cameras, "cfa": cfa, "colour": colour, "crop": crop})
    _alone("--pairs", pairs, {"convention": convention, "cache": cache})
    _alone("--sheet", crops, {"places": places})
    _alone("--detector", detector, {"confidence": confidence})
    _alone("--peer", peer, {"normalisation": normalisation, "noise": noise})
    from darkroom.evaluate import preference, rawdomain, report, systems
    from darkroom.evaluate.measure import Measures
    from darkroom.evaluate.score import Setting

    merged = [score for path in merge or [] for score in report.read(path)]
    wanted = _Wanted(detector, confidence, ab, output, html, csv, as_json, cost, "camera" if cross else "ratio")
    if not simulate and not pairs:
        _tell([], merged, wanted)
        return
    others = scoring.peers(peer or [], normalisation, noise)
    beside = scoring.words(baselines or ("libraw" if crops else ""))
    plan = scoring.plan(models or [], others, device, beside, scoring.words(oracle), bm3d_sigma, amp)
    made: dict[str, object] = {"ab": ab, "detector": detector, "html": html, "output": output, "centre": centre}
    if crops:
        if not simulate:
            raise SettingsError("--sheet: is for --simulate; leave it out")
        unused = made | {"csv": csv, "json": as_json, "cost": cost, "merge": merge, "metrics": metrics, "align": align}
        unused |= {"crop": crop, "cross": cross, "colour": colour, "domain": domain == "raw"}
        _unused("--sheet", "shows crops and measures nothing", unused)
        where = options.new_folder(crops)
        say.line(cropsheet.write(where, simulate, plan, places=places, ratios=at, cameras=by, cfa=cfa))
        return
    measures = Measures(scoring.words(metrics), lpips_weights=lpips_weights, align=align)
    if ab and len(systems.shown(plan)) < 2:
        raise SettingsError(preference.FEW)
    if domain == "raw":
        rawdomain.check(plan, measures)
        _unused("--domain raw", "makes no pictures", made)
    if (detector or ab) and "bm3d" in beside:
        option = "--detector" if detector else "--ab"
        raise SettingsError(f"{option}: looks at whole pictures, and bm3d works on the centre; leave bm3d out")
    setting = Setting(centre=centre, measures=measures, domain=domain)
    if simulate:
        bench = scoring.Bench(simulate, at, by, cfa, colour, cross, scoring.crop(crop))
        _tell(scoring.simulated(bench, plan, setting), merged, wanted)
    elif pairs:
        _tell([scoring.real(pairs, convention or "folder", plan, setting, cache)], merged, wanted)


@dataclass(frozen=True)
class _Wanted:
    """What is to be made of the pictures, and of their scores."""

    detector: Path | None
    confidence: float | None
    ab: Path | None
    pictures: Path | None
    html: Path | None
    csv: Path | None
    as_json: bool
    cost: bool
    across: Literal["camera", "ratio"]
    """What the tables' columns are."""


def _tell(runs: Iterable[scoring.Run], merged: list["Score"], wanted: _Wanted) -> None:
    """Score the runs' pictures, and show the scores and those of earlier runs."""
    from darkroom.evaluate import preference, report, sheet
    from darkroom.write import page

    if wanted.ab and not runs:
        raise SettingsError("--ab: shows new pictures; give --simulate or --pairs")
    seen = scoring.watch(wanted.detector, wanted.confidence) if wanted.detector else None
    asked_in, asked = (options.new_folder(wanted.ab), preference.Pairs()) if wanted.ab else (None, None)
    folder = options.new_folder(wanted.pictures) if wanted.pictures else None
    scores: list[Score] = []
    costs: dict[str, Cost] = {}
    weights: dict[str, float] = {}
    with TemporaryDirectory(prefix="darkroom-crops-") as place:
        middles = sheet.Crops(Path(place))
        for run in runs:
            costs |= scoring.costs(run.plan, costs) if wanted.cost else {}
            weights |= scoring.weights(run.plan) if seen else {}
            for score in scoring.scored(run, middles if wanted.html else None, folder, seen, asked):
                scores.append(scoring.priced(score, costs))
                if wanted.as_json:
                    say.line(report.to_line(scores[-1]))
        scores += merged
        if wanted.csv:
            report.write_csv(scores, wanted.csv)
        tables, notes = report.tables(scores, wanted.across), report.notes(scores)
        if asked and asked_in:
            asked.write(asked_in)
        found = [seen.grid(weights)] if seen and seen.finds else []
        if wanted.html:
            more = [piece for grid in found for piece in (page.heading(grid.title), page.table(grid.header, grid.rows))]
            sheet.write(wanted.html, tables, scores, middles, notes, [*more, *(seen.parts() if seen else ())])
    shown = [*(grid for table in tables for grid in report.grids(table)), *found]
    grids.show(shown, notes, to_stderr=wanted.as_json)


def _unused(option: str, why: str, others: Mapping[str, object]) -> None:
    """Refuse options that say nothing beside another."""
    if found := next((name for name, value in others.items() if value), None):
        raise SettingsError(f"{option}: {why}; leave --{found} out")


def _bursts(photos: Path, model: str, device: str, ratios: tuple[float, ...], frames: int, by_hand: bool) -> None:
    """Print what bursts are worth, merged and otherwise."""
    from darkroom.evaluate import bursts, marks

    network = next(iter(options.networks([model], device).values()))
    scores = bursts.scores(photos, network, ratios or marks.RATIOS, frames, by_hand=by_hand)
    say.line(f"bursts of {frames}, {'hand-held' if by_hand else 'from a tripod'}, {marks.CAMERA}, developed by {model}")
    say.line(f"{'':26}{'dB':>8}{'dB at what moves':>20}")
    for each in grids.watched(scores, "bursts", None):
        moving = "" if each.moving != each.moving else f"{each.moving:.2f}"
        say.line(f"{f'x{each.ratio:g} {each.way}':26}{each.psnr:8.2f}{moving:>20}")


def _sensor(photos: Path, model: str, device: str, ratios: tuple[float, ...], scene: str) -> None:
    """Print what a sensor's pattern costs, developed in several ways, and what becomes of stars."""
    from darkroom.evaluate import lit, marks

    lights = next((each for each in lit.SCENES if each == scene), None)
    if lights is None:
        raise SettingsError(f"--scenes {scene}: --sensor takes one of {', '.join(lit.SCENES)}")
    network = next(iter(options.networks([model], device).values()))
    scores = marks.scores(photos, network, lambda step: None, ratios=ratios or marks.RATIOS, scene=lights)
    found = list(grids.watched(scores, "a sensor's pattern", None))
    size = f"{marks.CROP[0]}x{marks.CROP[1]}"
    say.line(f"{marks.SCENES} {scene} scenes of {size}, noise of {marks.CAMERA}, developed by {model}")
    say.line(f"{'':38}{'dB':>8}{'hot sites seen':>18}{'sites filled in':>18}")
    for each in found:
        way = f"x{each.ratio:g} {each.way}"
        say.line(f"{way:38}{each.psnr:8.2f}{f'{each.visible} of {each.hot}':>18}{each.taken:18.0f}")
    sky = marks.sky()
    say.line(f"a drawn sky: {sky.taken} of {sky.stars} stars {marks.STAR_WIDTH:g} sites wide were taken for hot sites")


def _alone(option: str, given: object, others: Mapping[str, object]) -> None:
    """Refuse options that say nothing without another."""
    found = next((name for name, value in others.items() if value), None)
    if found and not given:
        raise SettingsError(f"--{found}: is for {option} only; leave it out, or give {option}")
