"""`darkroom info`: what a raw photo or a network says of itself."""

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from darkroom.cli import FAILED, options, say
from darkroom.errors import DarkroomError, SettingsError, escaped, told

if TYPE_CHECKING:
    from darkroom.develop.amplifier import Amp
    from darkroom.frame import Frame

LETTERS = "RGB"


def info(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES...",
            help="Raw photos, folders or globs; .onnx networks, or shipped ones by name.",
            show_default=False,
        ),
    ],
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Look in the folders below, too.")] = False,
    amp: options.Amp = "auto",
    as_json: options.Json = False,
) -> None:
    """Look at raw photos before developing them: camera, levels, how dark they are, the ratio `auto` would take.

    For a network: its contract.

    \b
    Example:
      darkroom info IMG_0412.ARW
    """
    from darkroom.develop import amplifier

    wanted = amplifier.parse(amp)
    errors = []
    for file in _meant(files, recursive):
        try:
            entries = _network(file) if file.suffix.lower() == ".onnx" else _photo(file, wanted)
        except SettingsError:
            raise
        except DarkroomError as error:
            errors.append(told(error, file))
            entries = {"input": str(file), "error": errors[-1]}
        if as_json:
            say.line(json.dumps(entries))
        elif "error" not in entries:
            for fact in _page(entries).splitlines():
                say.line(fact)
    for line in errors:
        say.line(f"darkroom: {line}", file=sys.stderr)
    if errors:
        raise typer.Exit(FAILED)


def _meant(names: list[str], recursive: bool) -> list[Path]:
    """Find what is named: networks that ship, and files as `darkroom develop` finds them."""
    from darkroom.batch import jobs
    from darkroom.develop import model

    networks = {file.stem: file for file in model.shipped()}
    found: list[Path] = []
    for name in names:
        if name in networks and not Path(name).exists():
            found.append(networks[name])
        else:
            found += [source.path for source in jobs.found([name], recursive)]
    return list(dict.fromkeys(found))


def _network(file: Path) -> dict[str, Any]:
    from darkroom.develop import model

    network = model.load(file)
    runs = {"device": network.device, "precision": network.precision, "notes": list(network.notes)}
    return {"input": str(file), "contract": asdict(network.contract), **runs}


def _photo(file: Path, amp: "Amp") -> dict[str, Any]:
    from darkroom.decode import raw
    from darkroom.develop import amplifier, balance

    frame = raw.read(file)
    gains, said = balance.gains(frame, "camera")
    ratio = amplifier.ratio(frame, amp)
    light = _mean_light(frame)
    period = len(frame.black)
    return {
        "input": str(file),
        "camera": frame.camera,
        "cfa": frame.cfa,
        "phase": [frame.visible.top % period, frame.visible.left % period],
        "width": frame.visible.width,
        "height": frame.visible.height,
        "bits": frame.bits,
        "black": [round(float(level), 3) for level in frame.black.flat],
        "white": frame.white,
        "seconds": frame.exposure.seconds,
        "iso": frame.exposure.iso,
        "aperture": frame.exposure.aperture,
        "white_balance": [round(float(gain), 4) for gain in gains],
        "light": light,
        "amp": f"{amp.value:g}" if amp.kind == "number" else f"{amp.kind}:{amp.value:g}",
        "ratio": ratio,
        "clipped": amplifier.clipped(frame, gains, ratio),
        "notes": [*said, *frame.notes, *amplifier.notes(frame, amp, ratio)],
    }


def _mean_light(frame: "Frame") -> float:
    """Mean over the visible sites, 0 black, 1 white; over whole cells, the blacks' mean is as good as each."""
    window = frame.visible
    seen = frame.mosaic[window.top : window.top + window.height, window.left : window.left + window.width]
    black = float(frame.black.mean())
    return (float(seen.mean()) - black) / (frame.white - black)


def _page(entries: dict[str, Any]) -> str:
    """Lay the facts out for reading, a fact a line."""
    facts = _network_facts(entries) if "contract" in entries else _photo_facts(entries)
    width = max(map(len, facts))
    lines = [str(entries["input"]), *(f"  {name:{width}}  {fact}" for name, fact in facts.items())]
    return "\n".join(map(escaped, lines))


def _network_facts(entries: dict[str, Any]) -> dict[str, str]:
    return {**entries["contract"], "runs on": f"{entries['device']} {entries['precision']}"} | _notes(entries)


def _photo_facts(entries: dict[str, Any]) -> dict[str, str]:
    return {
        "camera": entries["camera"],
        "sensor": f"{entries['cfa']} {_phase(entries['cfa'], entries['phase'])}, "
        f"{entries['width']} x {entries['height']}, {entries['bits']} bits",
        "levels": f"black {_levels(entries['black'])}, white {entries['white']:g} DN",
        "exposure": _exposure(entries["seconds"], entries["iso"], entries["aperture"]),
        "white balance": " ".join(f"{gain:.3g}" for gain in entries["white_balance"]),
        "light": f"{100 * entries['light']:.3f} % of white on average{_below(entries['light'])}",
        "ratio": f"x{entries['ratio']:.3g} by --amp {entries['amp']}, {math.log2(entries['ratio']):.1f} EV, "
        f"clips {100 * entries['clipped']:.2f} % of the sites",
    } | _notes(entries)


def _notes(entries: dict[str, Any]) -> dict[str, str]:
    return {f"note {number}": note for number, note in enumerate(entries["notes"], 1)}


def _phase(cfa: str, phase: list[int]) -> str:
    """Name the phase at the picture's corner: Bayer by its colours, X-Trans by the place in the canonical cell."""
    if cfa != "bayer":
        return f"from row {phase[0]}, column {phase[1]} of the canonical cell"
    from darkroom.frame import BAYER

    return "".join(LETTERS[BAYER[(phase[0] + row) % 2, (phase[1] + column) % 2]] for row in (0, 1) for column in (0, 1))


def _levels(black: list[float]) -> str:
    return f"{black[0]:g}" if min(black) == max(black) else f"{min(black):g} to {max(black):g} by site"


def _exposure(seconds: float, iso: float, aperture: float) -> str:
    facts = []
    if seconds:
        facts.append(f"{seconds:g} s" if seconds >= 0.3 else f"1/{1 / seconds:.0f} s")
    if iso:
        facts.append(f"ISO {iso:.0f}")
    if aperture:
        facts.append(f"f/{aperture:g}")
    return ", ".join(facts) or "not told"


def _below(light: float) -> str:
    return f", {-math.log2(light):.1f} EV below it" if light > 0 else ""
