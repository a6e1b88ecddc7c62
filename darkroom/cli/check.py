"""`darkroom check`: networks and real raw files -> how much noise goes, and whether detail goes with it; or raw files
alone -> what was read of each, and how the picture agrees with the camera's own.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom.cli import FAILED, grids, options, say, terminable
from darkroom.errors import DarkroomError, SettingsError, told

if TYPE_CHECKING:
    from darkroom.develop.amplifier import Amp
    from darkroom.develop.model import Model
    from darkroom.evaluate.report import Grid


def check(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL...", help="Networks: shipped names or .onnx files.", show_default=False),
    ] = None,
    still: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RAW",
            help="Dark frames of one scene that stands still, three or more: files, a folder or a pattern.",
            show_default=False,
        ),
    ] = None,
    ordinary: Annotated[
        list[str] | None,
        typer.Option(metavar="RAW", help="Well-exposed photos: files, a folder or a pattern.", show_default=False),
    ] = None,
    raws: Annotated[
        list[str] | None,
        typer.Option(metavar="RAW", help="Any raws, to see how they are read: files, folders, patterns; no MODEL."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FOLDER", help="New folder for the table and the page of --raws."),
    ] = None,
    amp: Annotated[str, typer.Option(metavar="AMP", help="Ratio for --still, as `develop` takes it.")] = "auto",
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Look in the folders below, too.")] = False,
    device: options.Device = "auto",
) -> None:
    """Check networks on real raw files whose right picture nobody knows.

    Frames of a still scene tell noise from scene: each developed frame is compared with the mean of the other frames,
    plainly demosaiced. Well-exposed photos are developed at ratio 1 and compared with LibRaw's rendering: a network
    must not smear them.

    With --raws, how files of your camera are read: levels, colours and where they come from, noise, hot sites, seconds
    and memory, and how each picture agrees with the camera's own preview; worst first. Nothing is sent anywhere.

    \b
    Example:
      darkroom check fast-bayer --still 'night/*.dng' --ordinary photos/
      darkroom check --raws photos/ -o report/
    """
    if raws:
        if models or still or ordinary:
            raise SettingsError("--raws: needs no network, and looks at each file alone; leave the others out")
        terminable()
        _raws(raws, output, recursive, device)
        return
    if output:
        raise SettingsError("-o: is for the report of --raws; leave it out")
    if not models:
        raise SettingsError("nothing to check; name a network, or give --raws FOLDER")
    if not still and not ordinary:
        raise SettingsError(
            "nothing to check on; give --still RAW, frames of one scene, or --ordinary RAW, good photos"
        )
    terminable()
    from darkroom.develop import amplifier

    wanted = amplifier.parse(amp)
    loaded = options.networks(models, options.device(device))
    frames, photos = (_files(names, recursive) if names else [] for names in (still, ordinary))
    failed: list[str] = []
    if frames:
        grids.show([_still(loaded, _sound(frames, failed), wanted, amp)], (), to_stderr=False)
    if photos:
        grids.show([_ordinary(loaded, _sound(photos, failed))], (), to_stderr=False)
    for error in failed:
        say.line(f"darkroom: {error}", file=sys.stderr)
    if failed:
        raise typer.Exit(FAILED)


def _raws(names: list[str], output: Path | None, recursive: bool, device: str) -> None:
    """Check raw files one by one, and lay the report out."""
    from darkroom.evaluate import rawfiles

    files = _files(names, recursive)
    folder = options.new_folder(output) if output else None
    checks = (rawfiles.check(file, device) for file in files)
    checked = rawfiles.worst_first(list(grids.watched(checks, "raw files", len(files))))
    grids.show([rawfiles.grid(checked)], (), to_stderr=False)
    for shown in checked:
        if shown.row.found and not shown.failed:
            say.line(f"{shown.row.file}: {shown.row.found}")
    if folder:
        for written in rawfiles.write(folder, checked):
            say.line(written)
    failed = [shown.row.found for shown in checked if shown.failed]
    for error in failed:
        say.line(f"darkroom: {error}", file=sys.stderr)
    if failed:
        raise typer.Exit(FAILED)


def _files(names: list[str], recursive: bool) -> "list[Path]":
    from darkroom.batch import jobs

    return [source.path for source in jobs.found(names, recursive=recursive)]


def _sound(files: "list[Path]", failed: list[str]) -> "list[Path]":
    """Leave out what cannot be decoded, and remember why."""
    from darkroom.decode import raw

    sound = []
    for file in files:
        try:
            raw.read(file)
        except DarkroomError as error:
            failed.append(told(error, file))
        else:
            sound.append(file)
    return sound


def _still(models: "dict[str, Model]", files: "list[Path]", wanted: "Amp", amp: str) -> "Grid":
    from darkroom.evaluate import checks
    from darkroom.evaluate.report import Grid

    rows = []
    for name, network in models.items():
        found = checks.still(files, network, wanted)
        rows.append((name, f"{found.noise:.4f}", f"{found.removed:.1%}", f"{found.lost:.1%}"))
    title = f"{len(files)} frames of a still scene, --amp {amp}: shares of the plain frame's noise variance"
    return Grid(title, ("", "noise, sd", "removed", "lost with it"), tuple(rows))


def _ordinary(models: "dict[str, Model]", files: "list[Path]") -> "Grid":
    from darkroom.evaluate import checks
    from darkroom.evaluate.report import Grid

    def rows() -> "Iterator[tuple[str, ...]]":
        for file in files:
            found = [checks.ordinary(file, network) for network in models.values()]
            yield (file.name, f"{found[0][1]:.3f}", *(f"{by_network:.3f}" for by_network, _ in found))

    title = "well-exposed photos at ratio 1: SSIM to LibRaw's rendering"
    return Grid(title, ("", "plain demosaic", *models), tuple(grids.watched(rows(), "photos", len(files))))
