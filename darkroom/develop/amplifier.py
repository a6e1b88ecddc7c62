"""How much a dark frame must be amplified: what the user asked for, and the frame -> one ratio.

`auto` exposes as people do (meter.py): for what is neither sky nor lamp, highlights kept. `paper` is RED's weighted
mean as printed (Lamba and Mitra 2021, eq. 5-7): it brings the mean of linear light to m, four times a well-exposed
photo's.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from darkroom.develop import meter
from darkroom.errors import RawError, SettingsError
from darkroom.frame import CELL, Frame

Kind = Literal["auto", "paper", "number", "iso", "exposure"]

DEFAULT_M = 0.5
"""The paper's m (section 4.3)."""

BINS = 128
"""n of eq. 5-7."""

LIMITS: dict[Kind, tuple[float, float]] = {
    "auto": (0.01, 1),
    "paper": (0.01, 1),
    "number": (0.1, 10_000),
    "iso": (1, 1e9),
    "exposure": (1e-6, 1e6),
}
"""What is taken for a mistake lies outside: m, ratio, ISO, seconds."""
DARK = 0.1
"""of the standard deviation of the sites: mean light below this is none, for a photo 300 times too dark has 0.5."""
_KINDS: dict[str, Kind] = {kind: kind for kind in LIMITS}

SAMPLES = 1 << 22
"""Sites that the mean is taken over, at most twice as many: whole rows of cells, evenly spread. Even a quarter of the
rows of a 2.5 MP frame moves the mean by 0.003 EV only."""

HEADROOMS = (1.0, 2.0, 4.0, 8.0)
"""Times white that light may reach where highlights are not to be cut; the least is taken that cuts no more than SPENT,
else the last. The network is then given light that many times darker, which costs it little: it was trained on dim
scenes, too."""
SPENT = 0.001
"""Share of sites: what no headroom is spent on."""

EXAMPLES = "auto, auto:0.7, paper, 100, iso:409600, exposure:10s or exposure:1/10s"


@dataclass(frozen=True)
class Amp:
    """How the ratio is to be found."""

    kind: Kind
    value: float
    """auto, paper: m, the brightness wanted, up to 1; `auto` is in proportion to it.

    number: the ratio. iso: ISO. exposure: seconds."""


def parse(text: str) -> Amp:
    """Read the `--amp` option.

    "auto" and "paper" take m behind a colon; "iso:N" and "exposure:T" say how the photo should have been taken, T in
    seconds, "10s" or "1/10s"; anything else is the ratio itself. Raises SettingsError.
    """
    name, colon, rest = text.strip().lower().partition(":")
    try:
        kind = _KINDS.get(name, "number")
        if kind in ("auto", "paper"):
            amp = Amp(kind, float(rest) if colon else DEFAULT_M)
        elif kind == "iso":
            amp = Amp(kind, float(rest))
        elif kind == "exposure":
            amp = Amp(kind, _seconds(rest))
        else:
            amp = Amp(kind, float(text))
    except (ValueError, ZeroDivisionError):
        raise SettingsError(f"--amp {text}: is no amplification; give {EXAMPLES}") from None
    least, most = LIMITS[amp.kind]
    if not least <= amp.value <= most:
        raise SettingsError(f"--amp {text}: {amp.value:g} is not within {least:g} to {most:g}; give {EXAMPLES}")
    return amp


def ratio(frame: Frame, amp: Amp, ceiling: float = 300.0) -> float:
    """Find the ratio for this frame.

    `auto` and `paper` stay within 1 and `ceiling`; what the user stated outright does not. Raises RawError where the
    file lacks the ISO or exposure time that `amp` is measured against; it names the camera, the caller adds the file.
    """
    if amp.kind == "number":
        return amp.value
    if amp.kind == "iso":
        return _against(frame, amp, frame.exposure.iso, "ISO")
    if amp.kind == "exposure":
        return _against(frame, amp, frame.exposure.seconds, "exposure time")
    if amp.kind == "auto":
        wanted = meter.ratio(frame) * amp.value / DEFAULT_M
        return min(max(wanted, 1.0), ceiling)
    mean = _weighted_mean(frame)
    return min(max(amp.value / mean, 1.0), ceiling) if mean > 0 else ceiling


def notes(frame: Frame, amp: Amp, ratio: float, ceiling: float = 300.0) -> tuple[str, ...]:
    """Say what the ratio that `ratio` found for this frame cannot mend: no light, or more darkness than it goes to."""
    mean = variance = 0.0
    for black in np.unique(frame.black):
        counts = _histogram(frame, frame.black == black, SAMPLES // 16)
        found = np.flatnonzero(counts)
        share = counts[found] / counts.sum() * np.mean(frame.black == black)
        mean += float((found - float(black)) @ share)
        variance += float((found - float(black)) ** 2 @ share)
    if mean < DARK * (variance - mean**2) ** 0.5:
        return ("no light above the sensor's noise, as under a lens cap: expect noise, not a picture",)
    if amp.kind in ("auto", "paper") and ratio >= ceiling:
        return (f"--amp {amp.kind} is at its ceiling of x{ceiling:g}: hardly any light; give a number to go beyond",)
    return ()


def clipped(frame: Frame, gains: NDArray[np.float32], ratio: float) -> float:
    """Give the share of visible sites, 0..1, whose light x gain x ratio exceeds 1; `gains` (3,) red, green, blue."""
    cell = CELL[frame.cfa]
    black = frame.black.astype(np.float64)
    limit = black + (frame.white - black) / (np.asarray(gains, np.float64)[cell] * ratio)
    limit = np.minimum(limit, np.iinfo(np.uint16).max).astype(np.uint16)
    window = frame.visible
    columns = np.arange(window.left, window.left + window.width)
    above = 0
    for row in range(len(cell)):
        sites = frame.mosaic[_rows(frame, row), window.left : window.left + window.width]
        above += int(np.count_nonzero(sites > limit[row, columns % len(cell)]))
    return above / (window.height * window.width)


def headroom(frame: Frame, gains: NDArray[np.float32], ratio: float, enough: float = np.inf) -> float:
    """Give how many times white light reaches under a ratio, of HEADROOMS, or the first of them that is `enough`.

    At most the ratio: below 1, what saturated in the sensor is a guess (`cfa.rebuilt`).
    """
    held = [times for times in HEADROOMS if times <= max(ratio, 1.0)]
    fits = (times for times in held if times >= enough or clipped(frame, gains, ratio / times) <= SPENT)
    return next(fits, held[-1])


def _seconds(text: str) -> float:
    """Read "10", "10s", "1/10" or "1/10s"."""
    over, slash, under = text.strip().removesuffix("s").partition("/")
    return float(over) / float(under) if slash else float(over)


def _against(frame: Frame, amp: Amp, found: float, what: str) -> float:
    """Divide what the user wants by what the file has."""
    camera, asked = frame.camera or "the camera", f"--amp {amp.kind}:{amp.value:g}"
    if not found > 0:
        raise RawError(f"{camera} gives no {what}, which {asked} needs; give --amp auto, or a number such as --amp 100")
    ratio = amp.value / found
    least, most = LIMITS["number"]
    if not least <= ratio <= most:
        raise RawError(
            f"{camera} gives {what} {found:g}, so {asked} is a ratio of {ratio:g}; "
            f"choose one that makes {least:g} to {most:g}"
        )
    return ratio


def _weighted_mean(frame: Frame) -> float:
    """Average light over the visible sites, cut at black, lamps counting little (eq. 5)."""
    total = weights = 0.0
    for black in np.unique(frame.black):
        counts = _histogram(frame, frame.black == black)
        found = np.flatnonzero(counts)
        light = np.maximum((found.astype(np.float64) - float(black)) / (frame.white - float(black)), 0)
        weighted = _weights(light) * counts[found]
        total += float(weighted @ light)
        weights += float(weighted.sum())
    return float(total / weights)


def _weights(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weigh light by its bin: eq. 6 ends bin k at 2^(8k/n) / 2^8, eq. 7 gives it 2^(8(n - k + 1)/n) / 2^8.

    So light up to 1/256 weighs 1, and less in proportion beyond.
    """
    bins = np.ceil(np.log2(np.maximum(light, 2.0**-8) * 2**8) * BINS / 8)
    return 2 ** ((BINS - np.clip(bins, 1, BINS) + 1) * 8 / BINS) / 2**8


def _histogram(frame: Frame, sites: NDArray[np.bool_], samples: int = 0) -> NDArray[np.intp]:
    """Count the DN of these sites of the cell, (65536,); of about `samples`, 0 for `SAMPLES`."""
    window = frame.visible
    step = max(1, window.height * window.width // (samples or SAMPLES))
    counts = np.zeros(1 << 16, np.intp)
    for row, column in np.argwhere(sites):
        first = window.left + (column - window.left) % len(sites)
        picked = frame.mosaic[_rows(frame, row, step), first : window.left + window.width : len(sites)]
        counts += np.bincount(picked.ravel(), minlength=1 << 16)
    return counts


def _rows(frame: Frame, row: int, step: int = 1) -> slice:
    """Select the visible rows that are this row of the cell, or one in `step` of them."""
    window, period = frame.visible, len(CELL[frame.cfa])
    return slice(window.top + (row - window.top) % period, window.top + window.height, period * step)
