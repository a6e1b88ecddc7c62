"""`darkroom develop`: raw photos -> pictures."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from darkroom.cli import FAILED, STOPPED, formats, options, pipes, presets, say
from darkroom.errors import ModelError, SettingsError

if TYPE_CHECKING:
    from darkroom.batch.jobs import Batch
    from darkroom.cli.running import Elsewhere
    from darkroom.frame import Frame


def develop(
    context: typer.Context,
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILES...", help="Raw photos, folders or globs; - is stdin.", show_default=False),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE|FOLDER",
            help="Where to write: a name may hold {date:%Y-%m-%d}, {camera}, {stem}, {ratio:.0f} and {model}; - is "
            "stdout. [default: the current folder]",
        ),
    ] = None,
    amp: options.Amp = "auto",
    model: options.ModelName = None,
    quality: Annotated[
        str, typer.Option(metavar="QUALITY", help="Shipped networks to choose from: fast or fine.")
    ] = "fast",
    device: options.Device = "auto",
    memory: options.Memory = "1GB",
    format: Annotated[
        Literal["png", "tiff", "jpeg", "avif", "jxl", "dng"] | None,
        typer.Option(help="File format; dng is linear, for raw converters. [default: png, or by the name of -o]"),
    ] = None,
    bits: Annotated[
        Literal[8, 10, 12, 16, 32] | None,
        typer.Option(
            help="Bits of a sample; 32 is linear float, cut at 8 times white; 10 and 12 are for AVIF. "
            "[default: 8, for TIFF, JXL and DNG 16]"
        ),
    ] = None,
    colour_space: Annotated[
        Literal["srgb", "display-p3", "rec2020", "prophoto"],
        typer.Option(help="The picture's colours, under the sRGB curve; its profile says so."),
    ] = "srgb",
    long_edge: Annotated[
        int | None, typer.Option(metavar="PIXELS", min=1, help="Reduce the longer side to this, in linear light.")
    ] = None,
    megapixels: Annotated[
        float | None, typer.Option(metavar="MP", min=0.001, help="Reduce to so many million pixels, in linear light.")
    ] = None,
    compression: Annotated[
        Literal["none", "deflate", "zstd"], typer.Option(help="Of a TIFF; zstd is fast, but not read everywhere.")
    ] = "none",
    tiled: Annotated[bool, typer.Option("--tiled", help="Lay a TIFF out in tiles of 256 x 256, not strips.")] = False,
    wb: Annotated[
        str, typer.Option(metavar="WB", help="White balance: camera, daylight, auto, or gains R,G,B.")
    ] = "camera",
    exposure: Annotated[float, typer.Option(metavar="EV", min=-20, max=20, help="Brighten after the network.")] = 0.0,
    stretch: Annotated[bool, typer.Option("--stretch", help="Stretch the histogram to the full range.")] = False,
    tone: Annotated[
        float, typer.Option(metavar="0..1", min=0, max=1, help="Lift shadows and lower lights, by local tone mapping.")
    ] = 0.0,
    contrast: Annotated[float, typer.Option(metavar="0..1", min=0, max=1, help="Strengthen local contrast.")] = 0.0,
    highlights: Annotated[
        Literal["clip", "roll"] | None,
        typer.Option(help="Cut lights at white, or roll them off softly. [default: roll for auto, else clip]"),
    ] = None,
    sharpen: Annotated[
        float, typer.Option(metavar="0..1", min=0, max=1, help="Sharpen what stands above the noise that was there.")
    ] = 0.0,
    denoise: Annotated[
        float, typer.Option(metavar="0..1", min=0, max=1, help="Blend from plain demosaicing, 0, to the network, 1.")
    ] = 1.0,
    hot_sites: Annotated[
        Literal["auto", "off"], typer.Option(help="Fill in hot and dead sites, which shine through any network.")
    ] = "auto",
    dark: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RAW",
            help="Lens-cap frames of the same camera: files or folders, once or more.",
            show_default=False,
        ),
    ] = None,
    camera_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A camera's profile by `calibrate -o`, instead of lens-cap frames."),
    ] = None,
    burst: Annotated[
        bool,
        typer.Option(
            "--burst",
            help="The files are one scene, shot in a row by hand or not: one picture of all. --burst auto FOLDER finds "
            "the bursts in it by the time of capture.",
        ),
    ] = False,
    brackets: Annotated[
        str | None,
        typer.Option(metavar="0.5,1,2", help="Write one picture for each factor on the ratio, from one decode."),
    ] = None,
    on_conflict: Annotated[
        Literal["error", "skip", "overwrite", "unique", "older"] | None,
        typer.Option(
            help="Where a picture exists; older replaces those that an older network made, as the journal knows. "
            "[default: error for named files, skip for folders]"
        ),
    ] = None,
    journal: Annotated[
        bool, typer.Option("--journal", help="Keep what was done in darkroom.sqlite, in the output folder.")
    ] = False,
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Look in the folders below, too, and mirror them.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Develop what is in the folders and what arrives in them, until Ctrl-C.")
    ] = False,
    sheet: Annotated[
        bool, typer.Option("--sheet", help="Keep a contact sheet, index.html, beside the pictures, as they come.")
    ] = False,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Options from [preset.NAME] of darkroom.toml; these here win.")
    ] = None,
    save_preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Keep the options of this run as a preset of yours.")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="tcp://...|FILE|local:N", help="Develop on the workers of a Dask cluster."),
    ] = None,
    as_json: options.Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")] = False,
) -> None:
    """Develop dark raw photos into clean pictures.

    Writes IMG.png for IMG.ARW into the current folder, or to -o. Ctrl-C stops after the photo in work; running the
    same command on a folder again goes on where it stopped. What options hold that are left out may stand in
    darkroom.toml: beside the photos, in a folder above them, or among your settings.

    \b
    Example:
      darkroom develop IMG_0412.ARW --amp auto
    """
    if not dry_run:
        from darkroom.decode import child

        child.running()  # LibRaw loads beside everything below
    from darkroom.batch import jobs
    from darkroom.develop import amplifier, finish
    from darkroom.write import image

    suffix = formats.suffix(output, format)
    kind = formats.FORMATS[suffix.lower()]
    depth = bits or formats.BITS[kind]
    formats.check(suffix, context.params)
    encoding = image.Encoding(compression, tiled, depth if depth == 10 or depth == 12 else 12)
    parsed = amplifier.parse(amp)
    balance, size, device = options.white_balance(wb), options.memory(memory), options.device(device)
    named = model or options.default_network(quality)
    if dry_run:  # else the batch loads it before it develops anything
        options.network_file(named)
    factors = options.brackets(brackets)
    to_stdout = output == pipes.PIPE or (output is None and files == [pipes.PIPE])
    piped = pipes.piped(files, output, suffix, pictures=len(factors) or 1, dry_run=dry_run, as_json=as_json)
    files, output, stdin = context.with_resource(piped)
    merged: dict[Path, tuple[Path, ...]] = {}
    if cluster and (burst or sheet or to_stdout):
        other = "--burst" if burst else "--sheet" if sheet else "-o -"
        raise SettingsError(f"--cluster: {other} needs all on one machine; leave one of them out")
    if watch and (burst or to_stdout):
        raise SettingsError(
            f"--watch: {'--burst' if burst else '-o -'} wants all photos at once; leave one of them out"
        )
    if burst:
        files, merged = _bursts(files, recursive)

    def plan() -> "Batch":
        return jobs.plan(
            files,
            place=output,
            suffix=suffix,
            brackets=factors,
            conflict=on_conflict or ("skip" if watch else None),
            recursive=recursive,
            older=_older(model, quality),
        )

    planned = None if watch and not dry_run else _without(plan(), merged)
    if save_preset:
        presets.check_free(context, save_preset)
    if not as_json:
        for line in presets.described(context):
            say.line(line, file=sys.stderr)
    if dry_run and planned:
        _say_what_would_be(planned, as_json, presets.used(context))
        return
    from darkroom.batch import batch
    from darkroom.cli import running
    from darkroom.develop import pipeline
    from darkroom.develop.size import Size

    prepare, held = _darkness(dark, camera_file)
    settings = pipeline.Settings(
        amp=parsed,
        white_balance=balance,
        denoise=denoise,
        sharpen=sharpen,
        hot_sites=hot_sites,
        look=finish.Look(exposure=exposure, stretch=stretch, tone=tone, contrast=contrast, highlights=highlights),
        colour_space="camera" if kind == "dng" else colour_space,
        size=Size(long_edge, megapixels),
        bits=16 if depth == 10 or depth == 12 else depth,
        memory=size - held,
    )
    if merged:
        from darkroom.batch import bursts

        prepare = bursts.joining_each(merged, bursts.loading(device), settings, prepare)
    work = running.Run(
        folder=planned.folder if planned else jobs.folder(output),
        choice=batch.Choice(model, quality, device),
        settings=settings,
        encoding=encoding,
        prepare=prepare,
        amp=amp,
        told=presets.used(context),
        as_json=as_json,
        stdin=stdin,
        to_stdout=to_stdout,
        journal=journal,
        sheet=sheet,
        elsewhere=_on_cluster(cluster, dark, camera_file) if cluster else None,
    )
    if planned is None:
        well = work.watch(files, recursive, plan)
        if save_preset:
            say.line(f"preset {save_preset} saved in {presets.save(context, save_preset)}", file=sys.stderr)
        raise typer.Exit(0 if well else FAILED)
    with running.stoppable() as stop:
        show = work.once(planned, stop)
    if save_preset:
        show.log(f"preset {save_preset} saved in {presets.save(context, save_preset)}")
    left = planned.pictures - show.done
    if left and stop():
        show.log(f"darkroom: stopped, {left} not developed; run again with --on-conflict skip to go on")
        raise typer.Exit(STOPPED)
    if left:
        show.log(f"darkroom: the other {left} were not developed")
    if show.failed or show.unheard:
        raise typer.Exit(FAILED)


def _on_cluster(place: str, dark: list[str] | None, camera_file: Path | None) -> "Elsewhere":
    """Have the workers of a cluster do what `batch.run` does here."""
    from darkroom.batch import cluster, jobs, worker

    frames = jobs.found(dark, recursive=True) if dark else []
    pattern = worker.Pattern(
        tuple(source.path.absolute() for source in frames),
        camera_file.with_suffix(".npz").absolute() if camera_file else None,
    )
    return partial(cluster.run, place=place, pattern=pattern)


def _older(model: str | None, quality: str) -> "Callable[[Path], frozenset[str]]":
    """Tell of a folder which pictures an older version of the network developed."""

    def older(folder: Path) -> frozenset[str]:
        from darkroom.batch import batch, journal

        try:
            return journal.older(folder, journal.newest(batch.Choice(model, quality)))
        except ModelError as error:
            raise SettingsError(str(error)) from error

    return older


def _bursts(files: list[str], recursive: bool) -> tuple[list[str], dict[Path, tuple[Path, ...]]]:
    """Tell what to develop, and of each burst in it the first frame and the others, which are merged into that one."""
    from darkroom.batch import jobs

    if "auto" in files and not os.path.lexists("auto"):
        from darkroom.batch import bursts

        files = [name for name in files if name != "auto"]
        if not files:
            raise SettingsError("--burst auto: no photos to look for bursts in; name a folder, too")
        return files, bursts.grouped([source.path for source in jobs.found(files, recursive)])
    first, *others = [source.path for source in jobs.found(files, recursive)]
    if not others:
        raise SettingsError(f"--burst: {first} is alone; name the other frames of its burst, too")
    return [str(first)], {first: tuple(others)}


def _without(planned: "Batch", merged: dict[Path, tuple[Path, ...]]) -> "Batch":
    """Leave out what is merged into another picture."""
    gone = {other for others in merged.values() for other in others}
    return replace(
        planned,
        jobs=tuple(job for job in planned.jobs if job.input not in gone),
        settled=tuple(done for done in planned.settled if done.input not in gone),
    )


def _darkness(dark: list[str] | None, camera_file: Path | None) -> "tuple[Callable[[Frame, Path], Frame], int]":
    """Tell what to take from each photo first, its sensor's pattern where that is known, and the bytes that holds."""
    if dark and camera_file:
        raise SettingsError("--dark and --camera-file: both tell of the sensor's pattern; give one")
    if not dark and not camera_file:
        return lambda frame, path: frame, 0
    from darkroom.batch import jobs
    from darkroom.sensor import darkframes

    if camera_file:
        if not camera_file.exists():
            raise SettingsError(f"--camera-file {camera_file}: no such file; `darkroom calibrate -o` writes one")
        learned = darkframes.load(camera_file.with_suffix(".npz"))
    else:
        learned = darkframes.learn([source.path for source in jobs.found(dark or [], recursive=True)])
    held = sum(group.pattern.nbytes for group in learned.groups)
    return lambda frame, path: darkframes.removed(frame, learned, path), held


def _say_what_would_be(planned: "Batch", as_json: bool, settings: dict[str, dict[str, object]]) -> None:
    """Print a line for each picture; exit as the run itself would, as far as can be known."""
    found: list[tuple[Path, Path, str, str | None]] = []
    for job in planned.jobs:
        gone = not job.input.exists() and job.input != Path(pipes.STDIN)
        error = f"{job.input}: no such file; check the name" if gone else None
        found += [(job.input, target.shown, "failed" if gone else "to do", error) for target in job.targets]
    found += [(done.input, done.path, "failed" if done.error else "skipped", done.error) for done in planned.settled]
    for source, path, outcome, error in found:
        if as_json:
            entries = {"input": str(source), "output": str(path), "outcome": outcome, "error": error}
            say.line(json.dumps({**entries, "settings": settings}))
        elif error is None:
            say.line(f"{source} -> {path}" + ("  skipped, it is there already" if outcome == "skipped" else ""))
    errors = [error for *_, error in found if error]
    for error in errors:
        say.line(f"darkroom: {error}", file=sys.stderr)
    if errors:
        raise typer.Exit(FAILED)
