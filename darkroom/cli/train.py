"""`darkroom train`: pairs or clean photos -> a network of one's own."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from darkroom.cli import STOPPED, options, say
from darkroom.errors import SettingsError

if TYPE_CHECKING:
    from darkroom.frame import CFA
    from darkroom.sensor.noise import Camera
    from darkroom.train.data import Material
    from darkroom.train.loop import Progress
    from darkroom.train.recipe import Recipe

VARIANTS = ("fp16", "int8")


def train(
    source: Annotated[
        Path | None, typer.Argument(metavar="[DATA]", help="Pairs or photos, told apart.", show_default=False)
    ] = None,
    recipe: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="What to do; --list shows the shipped ones.")
    ] = "fast",
    camera: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="Known camera, several, or any. [default: the recipe's]"),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Real pairs: a SID list, a folder with short/ and long/, or a CSV."),
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER|TAR|LIST",
            help="Clean photos, JPEG, PNG, TIFF, WebP, AVIF or raw, to be made dark; .tar shards; a list of either.",
        ),
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Pairs or photos to choose weights by. [default: a twentieth of the data]"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="RUN", help="The run's folder. [default: the recipe's name]"),
    ] = None,
    init: Annotated[
        str,
        typer.Option(metavar="MODEL,...", help="Start from the weights of shipped names or files, or from their mean."),
    ] = "",
    steps: Annotated[int | None, typer.Option(min=1, help="Batches to learn from, in all stages together.")] = None,
    minutes: Annotated[
        float, typer.Option(min=0, help="Minutes of CPU time, or on a GPU, to spend instead; 0: by the steps.")
    ] = 0,
    batch: Annotated[int | None, typer.Option(min=1, help="Crops in a batch.")] = None,
    crop: Annotated[int | None, typer.Option(min=48, help="Side of a crop, in sites.")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=1e-7, max=1.0, help="Peak of the learning rate.")] = None,
    loss: Annotated[str | None, typer.Option(metavar="TERM=WEIGHT,...", help="Such as l1=0.8,ms_ssim=0.2.")] = None,
    freeze: Annotated[int | None, typer.Option(min=0, help="Train only so many last blocks; 0: all.")] = None,
    exclude: Annotated[str, typer.Option(metavar="ID,...", help="Scenes to leave out.")] = "",
    cfa: Annotated[
        Literal["bayer", "xtrans"] | None, typer.Option(help="Kind of sensor. [default: the camera's, else bayer]")
    ] = None,
    camera_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="More cameras, as `darkroom calibrate` prints them.")
    ] = None,
    vgg: Annotated[Path | None, typer.Option(metavar="FILE", help="VGG-16's weights, for losses with vgg.")] = None,
    variants: Annotated[str, typer.Option(metavar="A,B", help="Also export: fp16, int8.")] = "",
    licence: Annotated[
        str, typer.Option(metavar="NAME", help="The weights' licence, said in the network; your data decide it.")
    ] = "unstated",
    cache: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Decoded data. [default: the user's cache folder]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same run.")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="Cores to use; 0 is all.")] = 0,
    every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 500,
    list_: Annotated[bool, typer.Option("--list", help="Print the shipped recipes and the known cameras.")] = False,
) -> None:
    """Train a network, from real pairs of photos or from clean photos made dark by the noise of known cameras.

    Started again, it goes on where it stopped. Several GPUs: torchrun --nproc-per-node N -m darkroom train ...

    \b
    Example:
      darkroom train --camera nikond850 --photos photos/ -o night
    """
    if list_:
        _list(camera_file)
        return
    options.needs_torch()
    from darkroom.train import data, loop, run
    from darkroom.train import recipe as recipes
    from darkroom.train.cache import Cache

    if unknown := sorted(set(_words(variants)) - set(VARIANTS)):
        raise SettingsError(f"--variants {unknown[0]}: no such variant; known are {', '.join(VARIANTS)}")
    pairs, photos = _told_apart(source, pairs, photos)
    folder = output or Path(Path(recipe).stem)
    plan = _changed(recipes.load(recipe), batch, crop, learning_rate, _terms(loss), freeze)
    plan = recipes.checked(replace(plan, name=folder.resolve().name, camera=camera or plan.camera), recipe)
    cameras, sensor = _cameras(plan, cfa, camera_file)
    begin = tuple(map(_found, _words(init)))
    material = data.gather(
        plan,
        data.Sources(pairs, photos, validation, tuple(_words(exclude))),
        cameras,
        Cache(cache or options.cache_folder()),
        sensor=sensor,
        tell=_say,
    )
    if steps:
        plan = recipes.shortened(plan, steps, material.epoch)
    carried_out = run.Options(
        seed=seed,
        threads=threads or os.cpu_count() or 1,
        every=every,
        minutes=minutes,
        init=begin,
        vgg=vgg,
        licence=licence,
    )
    try:
        with _watched() as tell:
            made = loop.train(plan, material, folder, carried_out, tell)
    except KeyboardInterrupt:
        say.line(f"stopped; run the same command again to go on from {folder}'s last checkpoint", file=sys.stderr)
        raise typer.Exit(STOPPED) from None
    say.line(made)
    for variant in _words(variants):
        _export(made, variant, plan, material)


def _found(init: str) -> Path:
    try:
        return options.network_file(init)
    except SettingsError as error:
        raise SettingsError(f"--init {error}") from error


def _list(camera_file: Path | None) -> None:
    from darkroom.sensor import noise
    from darkroom.train import recipe

    say.line("recipes")
    for name in recipe.names():
        say.line(f"  {name:12} {recipe.load(name).about}")
    say.line("cameras")
    for name, camera in noise.cameras(camera_file).items():
        say.line(f"  {name:12} {camera.model}, {camera.cfa}")


def _told_apart(source: Path | None, pairs: Path | None, photos: Path | None) -> tuple[Path | None, Path | None]:
    """Take DATA as pairs or as photos."""
    if source is None:
        return pairs, photos
    if not source.exists():
        raise SettingsError(f"{source}: no such file or folder; give pairs or photos")
    if (source.is_file() and source.suffix.lower() != ".tar") or (source / "long").is_dir():
        return pairs or source, photos
    return pairs, photos or source


def _changed(
    plan: "Recipe",
    batch: int | None,
    crop: int | None,
    learning_rate: float | None,
    loss: dict[str, float] | None,
    freeze: int | None,
) -> "Recipe":
    """Put what the command line says in the place of what every stage says."""
    wishes = {"batch": batch, "crop": crop, "learning_rate": learning_rate, "loss": loss, "last_blocks": freeze}
    given: dict[str, Any] = {name: value for name, value in wishes.items() if value is not None}
    if learning_rate is not None:
        given["drops"] = ()  # they are absolute, so they would undo it
    return replace(plan, stages=tuple(replace(stage, **given) for stage in plan.stages))


def _terms(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    try:
        return {
            name.strip(): float(weight or 1) for name, _, weight in (word.partition("=") for word in text.split(","))
        }
    except ValueError:
        raise SettingsError(f"--loss {text}: is no loss; give terms and weights such as l1=0.8,ms_ssim=0.2") from None


def _cameras(plan: "Recipe", cfa: "CFA | None", camera_file: Path | None) -> "tuple[list[Camera], CFA]":
    """The cameras whose noise to imitate, and the kind of sensor."""
    from darkroom.sensor import darkframes, noise

    known = noise.cameras(camera_file)
    if plan.camera == "any":
        return noise.calibrated(known), cfa or "bayer"
    chosen = [noise.camera(name, camera_file) for name in _words(plan.camera)]
    profile = camera_file and camera_file.with_suffix(".npz")
    if profile and profile.exists():
        learned = darkframes.load(profile)
        own = [camera.model == learned.camera for camera in chosen]
        chosen = [
            darkframes.seen_by(camera, learned) if its else camera for camera, its in zip(chosen, own, strict=True)
        ]
        if any(own):
            _say(f"with the pattern of {learned.camera} from {profile} in every second example")
    kinds = {camera.cfa for camera in chosen}
    if len(kinds) > 1 and not cfa:
        raise SettingsError(f"--camera {plan.camera}: are of both kinds of sensor; say --cfa bayer or --cfa xtrans")
    return chosen, cfa or kinds.pop()


def _export(made: Path, variant: str, plan: "Recipe", material: "Material") -> None:
    """Write one variant and say on stderr what it loses."""
    from darkroom.develop import model
    from darkroom.train import data, variants

    examples = data.validation(plan, material, model.read_contract(made).multiple)
    if variant == "fp16":
        file = variants.half(made)
    else:
        file = variants.quantised(made, [example.bright for example in examples[::2]])
        examples = examples[1::2] or examples
    say.line(file)
    _say(f"{file.name}: {variants.loss_of(file, made, examples):.3f} dB below {made.name} on the validation data")


def _say(line: str) -> None:
    say.line(line, file=sys.stderr)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


@contextmanager
def _watched() -> "Iterator[Callable[[Progress], None]]":
    """Show loss, rate and time left on a terminal, and everywhere a line at each validation."""
    from rich import progress as bars
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    shown = "{task.fields[told]}"
    bar = bars.Progress(
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TextColumn(shown),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=1.0, told="")
        last = [0, 0.0]

        def tell(progress: "Progress") -> None:
            now = bar.get_time()
            rate = (progress.step - last[0]) / (now - last[1]) if last[0] and now > last[1] else 0.0
            last[:] = progress.step, now
            told = f"step {progress.step}  loss {progress.loss:.4f}  {rate:.1f} steps/s"
            bar.update(task, completed=progress.share, told=told)
            if progress.psnr is not None:
                console.print(
                    f"step {progress.step}  {progress.share:.0%}  loss {progress.loss:.4f}  "
                    f"{progress.hours:.2f} hours  {progress.psnr:.2f} dB",
                    highlight=False,
                )

        yield tell
