"""`darkroom calibrate`: lens-cap frames and a static series -> a camera's entry, to train with."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom.cli import say
from darkroom.errors import SettingsError

if TYPE_CHECKING:
    from darkroom.sensor.calibrate import Calibration, Point
    from darkroom.sensor.lenscap import Look


def calibrate(
    raws: Annotated[
        list[Path],
        typer.Argument(metavar="RAW...", help="Lens-cap frames and series, in any order.", show_default=False),
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to call the camera. [default: by its model]")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write the entry here, and beside it, as .npz, the sensor's pattern."
        ),
    ] = None,
) -> None:
    """Measure a camera's noise, so that a network can be trained for it.

    Take two or more photos with the lens capped, and two or more (better six) of one blurred scene or white wall from a
    tripod, all at the same ISO and nothing moved or dimmed between them. Do so at four ISOs or more to cover the range;
    one ISO gives an entry for that ISO alone. The entry goes to stdout, what was measured to stderr; train with
    --camera-file. With -o FILE.toml the pattern that the lens-cap frames share is kept, too, and `develop
    --camera-file FILE.toml` takes it from photos.

    \b
    Example:
      darkroom calibrate *.CR2 --name canon6d > canon6d.toml
    """
    from darkroom.sensor import calibrate as calibration

    caps: list[Path] = []

    def hear(path: Path, kind: str) -> None:
        _say(f"{path}: {kind}")
        if kind == "lens cap":
            caps.append(path)

    if output and (exists := next((path for path in (output, output.with_suffix(".npz")) if path.exists()), None)):
        raise SettingsError(f"{exists}: already exists; name another file")
    found = calibration.calibrate(raws, on_frame=hear)
    text = calibration.entry(found, name or calibration.name_of(found.model))
    for point in found.points:
        _say(_figures(point))
        _say(_looks(point, calibration.imitation(found, point)))
    for line in _notes(found):
        _say(f"note: {line}")
    if output is None:
        for line in text.splitlines():
            say.line(line)
        return
    from darkroom.sensor import darkframes

    darkframes.save(darkframes.learn(caps), output.with_suffix(".npz"))
    output.write_text(text, encoding="utf-8")
    say.line(output)
    say.line(output.with_suffix(".npz"))


def _figures(point: "Point") -> str:
    from darkroom.sensor.calibrate import said

    by_site = " ".join(f"{gain:.4g}" for gain in point.gains)
    errors = " ".join(f"{error:+.2f}" for error in point.black_error)
    return "\n".join(
        (
            f"{said(point.iso)}, {point.dark} lens-cap and {point.lit} lit frames",
            f"  gain         {point.gain:.4g} DN per electron (R G B G: {by_site})",
            f"  read noise   {point.gauss:.3g} DN, {point.gauss / point.gain:.3g} electrons, quantisation taken out",
            f"               Tukey-lambda scale {point.read:.3g} DN, shape {point.shape:+.3f}",
            f"  row noise    {point.row:.3g} DN",
            f"  black error  {errors} DN (R G B G)",
        )
    )


def _looks(point: "Point", imitation: "Look") -> str:
    """Hold the lens-cap frames against a simulated one."""
    rows = [f"  {'lens-cap frames':28}{'real':>20}{'simulated':>12}"]
    for what, field in (
        ("sd, DN", "sd"),
        ("rows, DN", "row"),
        ("columns, DN", "column"),
        ("a row with the next", "neighbours"),
        ("top to bottom, DN", "drift"),
        ("beyond 4 sd", "tails"),
    ):
        real = [getattr(look, field) for look in point.looks]
        spread = f"{min(real):.2g} to {max(real):.2g}"
        rows.append(f"  {what:28}{spread:>20}{getattr(imitation, field):12.2g}")
    return "\n".join(rows)


def _notes(found: "Calibration") -> list[str]:
    from darkroom.sensor.calibrate import ANY_BALANCE, SHOWN_BY

    notes = []
    if (count := len(found.points)) < SHOWN_BY:
        isos = "one ISO: the entry holds for it alone" if count == 1 else f"{count} ISOs: their scatter is a guess"
        notes.append(f"{isos}; calibrate {SHOWN_BY} or more to cover a range")
    if found.white_balance == ANY_BALANCE:
        notes.append("no colour calibration in the files: white_balance and camera_to_srgb are guesses, edit them")
    return notes


def _say(line: str) -> None:
    for each in line.split("\n"):
        say.line(each, file=sys.stderr)
