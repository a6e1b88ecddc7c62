"""`darkroom trials`: the papers' comparisons, each row trained for a few minutes and scored alike."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from darkroom.cli import options, say
from darkroom.errors import SettingsError

if TYPE_CHECKING:
    from darkroom.train.trials import Trial


def trials(
    rows: Annotated[
        list[str] | None, typer.Argument(metavar="[ROW]...", help="Rows; none is all.", show_default=False)
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Clean photos to learn from.", show_default=False)
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Other clean photos, to score on.", show_default=False)
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="CPU-minutes for each row.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Cores to use.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other examples and first weights.")] = 0,
    vgg: Annotated[Path | None, typer.Option(metavar="FILE", help="VGG-16's weights, for the row hybrid.")] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Decoded data. [default: the user's cache folder]")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Compare networks, inputs, losses and references as the papers do, all with the same CPU time.

    Every row learns a simulated Sony A7S II from the same photos and is scored on the centres of the others at x100,
    x250 and x300. `hybrid` needs VGG-16's weights and is left out of "all" without them.

    \b
    Example:
      darkroom trials unet can --photos photos/train --validation photos/val --minutes 3
    """
    options.needs_torch()
    from darkroom.train import trials as table

    if photos is None or validation is None:
        raise SettingsError("trials: need photos to learn from and others to score on; give --photos and --validation")
    chosen = [table.find(row) for row in rows or [t.name for t in table.TRIALS if vgg or t.name != "hybrid"]]
    if not as_json:
        say.line(f"{'':11} {'group':11} {'dB':>6} {'SSIM':>6} {'steps':>6} {'M':>6} {'GMAC':>6}  published")
    for trial in chosen:
        say.line(f"trials: {trial.name}", file=sys.stderr)
        _row(trial, photos, validation, minutes, threads, seed, vgg, cache or options.cache_folder(), as_json)


def _row(
    trial: "Trial",
    photos: Path,
    validation: Path,
    minutes: float,
    threads: int,
    seed: int,
    vgg: Path | None,
    cache: Path,
    as_json: bool,
) -> None:
    """Train and score one row, and print it."""
    import json
    from statistics import fmean

    from darkroom.develop import model
    from darkroom.evaluate import metrics
    from darkroom.sensor import noise
    from darkroom.train import count, data, loop, networks, run
    from darkroom.train.cache import Cache

    plan = trial.recipe
    with TemporaryDirectory(prefix="darkroom-trial-") as folder:
        material = data.gather(
            plan,
            data.Sources(photos=photos, validation=validation),
            [noise.camera(plan.camera)],
            Cache(cache),
            sensor=trial.cfa,
            tell=lambda line: None,
        )
        steps = 0

        def heard(progress: loop.Progress) -> None:
            nonlocal steps
            steps = progress.step

        options_ = run.Options(seed=seed, threads=threads, every=10**9, minutes=minutes, vgg=vgg)
        network = model.load(loop.train(plan, material, Path(folder), options_, heard))
        examples = data.validation(plan, material, network.contract.multiple)
        pairs = [
            (network.run(example.bright).clip(0, 1).transpose(1, 2, 0), example.reference.transpose(1, 2, 0))
            for example in examples
        ]
    built = networks.build(plan.network, material.kind.packing, plan.arguments)
    row: dict[str, Any] = {
        "trial": trial.name,
        "group": trial.group,
        "psnr": fmean(metrics.psnr(picture, reference) for picture, reference in pairs),
        "ssim": fmean(metrics.ssim(picture, reference) for picture, reference in pairs),
        "steps": steps,
        "parameters": count.parameters(built),
        "macs": count.macs(built, material.kind.packing, 2848, 4256),
        "minutes": minutes,
        "seed": seed,
        "published": trial.published,
    }
    if as_json:
        say.line(json.dumps(row))
        return
    say.line(
        f"{row['trial']:11} {row['group']:11} {row['psnr']:6.2f} {row['ssim']:6.3f} {row['steps']:6} "
        f"{row['parameters'] / 1e6:6.2f} {row['macs'] / 1e9:6.0f}  {row['published']}",
    )
