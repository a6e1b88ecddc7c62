"""`darkroom evaluate`: networks and baselines -> how near their pictures of dark raws of known light come to it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from darkroom.cli import options
from darkroom.errors import ModelError, SettingsError

if TYPE_CHECKING:
    from darkroom.evaluate.report import Table
    from darkroom.evaluate.score import Score
    from darkroom.model import Model

T = TypeVar("T")


def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODELS]...", help="Networks: shipped names or .onnx files.", show_default=False),
    ] = None,
    simulate: Annotated[
        Path | None, typer.Option(metavar="PHOTOS", help="Score on dark raws made from this folder of clean photos.")
    ] = None,
    amplifier: Annotated[
        Path | None,
        typer.Option(metavar="PHOTOS", help="Instead, compare the ratio --amp finds in such raws with the true one."),
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
    crop: Annotated[str, typer.Option(metavar="HxW", help="Centre of each photo that is used.")] = "1024x1536",
    baselines: Annotated[str, typer.Option(metavar="A,B", help="Score these, too: libraw, bm3d.")] = "",
    centre: Annotated[
        int | None,
        typer.Option(metavar="PX", min=32, help="Score all once more on so small a centre. [default: with bm3d, 384]"),
    ] = None,
    merge: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Add the scores of an earlier run's --json.", show_default=False),
    ] = None,
    amp: options.Amp = "auto",
    device: options.Device = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON line a score; the tables go to stderr.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one row a score.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FOLDER", help="Keep the pictures in this new folder.")
    ] = None,
) -> None:
    """Score networks on dark raws of known light.

    Clean photos are made into dark raw files with the noise of calibrated sensors, developed at the true ratio, and
    compared with the photos: PSNR in dB and SSIM, the means over all photos at each ratio. The same command gives the
    same figures.

    \b
    Example:
      darkroom evaluate fast-bayer --simulate photos/ --baselines libraw
    """
    if amplifier and (simulate or models or merge):
        raise SettingsError("--amplifier: stands alone; leave networks, --simulate and --merge out")
    if amplifier:
        _ratios(amplifier, amp, _numbers("--ratios", ratios), _words(cameras), cfa or "bayer")
        return
    if not simulate and (models or not merge):
        raise SettingsError("nothing to score on; give --simulate PHOTOS, a folder of clean photos")
    from darkroom.evaluate import report

    merged = [score for path in merge or [] for score in report.read(path)]
    scores = []
    if simulate:
        made = _scored(
            _networks(models or [], device),
            simulate,
            ratios=_numbers("--ratios", ratios),
            cameras=_words(cameras),
            cfa=cfa,
            crop=_crop(crop),
            baselines=_words(baselines),
            centre=centre,
            pictures=_new_folder(output),
        )
        for score in made:
            scores.append(score)
            if as_json:
                print(report.to_line(score), flush=True)
    scores += merged
    if csv:
        report.write_csv(scores, csv)
    _show(report.tables(scores), to_stderr=as_json)


def _scored(
    networks: "dict[str, Model]",
    photos: Path,
    *,
    ratios: tuple[float, ...],
    cameras: tuple[str, ...],
    cfa: Literal["bayer", "xtrans"] | None,
    crop: tuple[int, int],
    baselines: tuple[str, ...],
    centre: int | None,
    pictures: Path | None,
) -> "Iterator[Score]":
    """Score on each CFA that a network is for, with the networks for it."""
    from darkroom.evaluate import score, simulated

    if not networks and not baselines:
        raise SettingsError("nothing to score; name a network, or --baselines libraw")
    kinds = (cfa,) if cfa else tuple(dict.fromkeys(network.contract.cfa for network in networks.values())) or ("bayer",)
    for kind in kinds:
        fitting = networks if cfa else {name: each for name, each in networks.items() if each.contract.cfa == kind}
        cases = simulated.cases(
            photos, ratios=ratios or simulated.RATIOS, cameras=cameras or simulated.CAMERAS, cfa=kind
        )
        made = score.scores(cases, fitting, baselines, crop=crop, centre=centre, pictures=pictures)
        each = (len(fitting) + ("libraw" in baselines)) * (2 if centre or "bm3d" in baselines else 1) + (
            "bm3d" in baselines
        )
        yield from _watched(made, kind, len(cases) * each)


def _ratios(
    photos: Path, amp: str, ratios: tuple[float, ...], cameras: tuple[str, ...], cfa: Literal["bayer", "xtrans"]
) -> None:
    """Print how far the ratio that `amp` finds is off, by ratio and by camera."""
    from darkroom import amplifier
    from darkroom.evaluate import ratios as measure

    wanted = amplifier.parse(amp)
    ratios, cameras = ratios or measure.RATIOS, cameras or measure.CAMERAS
    found = list(
        _watched(measure.estimates(photos, wanted, ratios=ratios, cameras=cameras, cfa=cfa), f"--amp {amp}", None)
    )
    groups = [("all", found)]
    groups += [(f"x{ratio:g}", [each for each in found if each.ratio == ratio]) for ratio in ratios]
    groups += [(camera, [each for each in found if each.camera == camera]) for camera in cameras]
    print(f"ratio found by --amp {amp} against the true one, EV, on {len(found)} dark raws ({cfa})")
    print(f"{'':12}{'median error':>14}{'nine of ten within':>20}{'bias':>8}")
    for name, group in groups:
        summary = measure.summary(group)
        print(f"{name:12}{summary.median:14.2f}{summary.nine_tenths:20.2f}{summary.bias:+8.2f}")


def _networks(names: list[str], device: str) -> "dict[str, Model]":
    """Load the networks, each under its file's name, or its path where two share that."""
    from darkroom import model

    try:
        files = [model.find(name) for name in names]
        stems = [file.stem for file in files]
        called = [file.stem if stems.count(file.stem) == 1 else str(file) for file in files]
        return {name: model.load(file, device=device) for name, file in zip(called, files, strict=True)}
    except ModelError as error:  # wrong usage, as in `develop`
        raise SettingsError(str(error)) from error


def _show(tables: "list[Table]", *, to_stderr: bool) -> None:
    """Print a table for each CFA and window: systems down, ratios across."""
    from rich.console import Console
    from rich.table import Table as Grid

    console = Console(stderr=to_stderr)
    for table in tables:
        console.print(f"{table.cfa}, {table.photos} photos, centre {table.window}: PSNR dB / SSIM", highlight=False)
        grid = Grid()
        grid.add_column("", no_wrap=True)
        for ratio in table.ratios:
            grid.add_column(f"x{ratio:g}", justify="right", no_wrap=True)
        for system, means in table.rows:
            grid.add_row(system, *(f"{mean.psnr:.2f} / {mean.ssim:.3f}" for mean in means))
        console.print(grid)


def _watched(results: Iterable[T], title: str, total: int | None) -> Iterator[T]:
    """Pass results on, with a bar on stderr where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(title, total=total)
        for result in results:
            bar.advance(task)
            yield result


def _new_folder(path: Path | None) -> Path | None:
    """Make the folder for the pictures; what is in use already is refused."""
    if path is None:
        return None
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise SettingsError(f"{path}: already exists and is not empty; name a new folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be made ({(error.strerror or '').lower()}); choose another folder"
        ) from error
    return path


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _numbers(option: str, text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in _words(text))
    except ValueError:
        raise SettingsError(f"{option} {text}: are no numbers; give some such as 100,250,300") from None


def _crop(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and min(int(height), int(width)) >= 32):
        raise SettingsError(f"--crop {text}: is no size; give height x width in pixels, 32 at least, such as 1024x1536")
    return int(height), int(width)
