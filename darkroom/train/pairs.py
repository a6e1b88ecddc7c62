"""Real pairs: a short exposure and its reference, found, checked, and cut into examples.

    list, folder or CSV  ->  [Pair]  ->  those that are aligned  ->  Example: bright (C, h, w), reference (3, H, W)

The ratio is what the reference has more of: exposure time x ISO / f-number squared, by the files' own EXIF, else the
exposure times in their names, as the SID dataset has them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache as once
from itertools import product
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from darkroom.decode.raw import Curve
from darkroom.develop import cfa
from darkroom.develop.contract import PIXEL, Contract, Input, Output, Packing
from darkroom.errors import SettingsError
from darkroom.frame import CELL, CFA, Exposure, Frame, Window
from darkroom.sensor.simulate import Example
from darkroom.train import alignment, pairlist, pictures
from darkroom.train.alignment import Shift
from darkroom.train.cache import Appearance, Cache
from darkroom.train.pairlist import Named, Shorts

Flips = Literal["sid", "phase"]

Number = TypeVar("Number", bound=np.generic)
Turn = tuple[bool, bool, bool]
"""Whether rows are mirrored, columns are mirrored, and then both swapped."""
AS_IT_LIES = (False, False, False)

CAP = 300.0
"""The largest ratio SID amplifies by."""
TOLERANCE = 1.5
"""Sites by which a short may lie beside its reference; shifts of 2 are misaligned."""


@dataclass(frozen=True)
class Pair:
    """A short exposure and the long one of the same scene."""

    short: Path
    reference: Path
    ratio: float
    scene: str


@dataclass(frozen=True)
class Misaligned:
    """A pair whose frames do not show the same place."""

    pair: Pair
    down: float
    """Sites from the reference to the short."""
    right: float

    def __str__(self) -> str:
        shift = f"{self.down:+.1f} rows and {self.right:+.1f} columns"
        return f"scene {self.pair.scene}: {self.pair.short.name} is shifted by {shift} against its reference; left out"


def _unheard(done: int, files: int) -> None:
    return None


def find(
    source: Path,
    cache: Cache,
    *,
    cap: float = CAP,
    exclude: Iterable[str] = (),
    shorts: Shorts = "all",
    on_pair: Callable[[int, int], None] = _unheard,
) -> list[Pair]:
    """Find the pairs of a dataset, and decode their files once.

    source: a list as SID's (short and reference, then what is ignored), a CSV (short, reference and perhaps ratio and
    scene), both with paths relative to themselves or to the folder above; or a folder with short/ and long/, whose
    files belong together by equal names, else by what comes before the first "_". References are raw files, or pictures
    as PNG, TIFF or JPEG (pictures.py), whose ratio is measured where none is given. cap: the largest ratio. exclude:
    scenes. shorts: every one of a scene; its first, which is SID's shot 00, whatever its exposure, or, where names
    count no shots, the first name; or RED's, `_00_0.1s`. `on_pair` hears (done, all). Raises SettingsError where there
    is no pair or two files do not go together, RawError for a file that cannot be decoded.
    """
    named = pairlist.chosen(pairlist.read(source), set(exclude), shorts)
    if not named:
        raise SettingsError(f"{source}: no pair is left of it; exclude fewer scenes, or ask for other shorts")
    found = []
    for done, pair in enumerate(named, 1):
        short, reference = cache.frame(pair.short), cache.reference(pair.reference, pair.short)
        _check(pair, short, reference)
        ratio = pair.ratio or _measured(pair, short, reference)
        if ratio < 1:
            light = f"{1 / ratio:.3g} times the light of {pair.reference.name}"
            raise SettingsError(f"{pair.short}: got {light}; give the shorter exposure first")
        found.append(Pair(pair.short, pair.reference, min(ratio, cap), pair.scene))
        on_pair(done, len(named))
    return found


def scenes(pairs: Iterable[Pair]) -> list[list[Pair]]:
    """Group pairs by scene, in the order of the scenes' first pairs; an epoch takes one short of each."""
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.scene, []).append(pair)
    return list(groups.values())


def aligned(
    pairs: Sequence[Pair], cache: Cache, *, on_pair: Callable[[int, int], None] = _unheard
) -> tuple[list[Pair], list[Misaligned], list[Pair]]:
    """Check by phase correlation that each short shows the same place as its reference.

    Returns the pairs to use; those that are shifted by more than TOLERANCE; and which of the first hold too little
    light to tell. What was measured once is remembered. `on_pair` hears (done, all).
    """
    kept, misaligned, unclear = [], [], []
    for done, pair in enumerate(pairs, 1):
        shift = _shift(pair, cache)
        if shift.length > max(TOLERANCE, shift.doubt):
            misaligned.append(Misaligned(pair, shift.down, shift.right))
        else:
            kept.append(pair)
            if shift.doubt > TOLERANCE:
                unclear.append(pair)
        on_pair(done, len(pairs))
    return kept, misaligned, unclear


def _shift(pair: Pair, cache: Cache) -> Shift:
    def measure() -> tuple[float, float, float]:
        found = alignment.shift(cache.frame(pair.short), cache.reference(pair.reference, pair.short), pair.ratio)
        return found.down, found.right, found.doubt

    return Shift(*cache.numbers(f"shift-{pair.ratio:.6g}", (pair.short, pair.reference), measure))


def _check(pair: Named, short: Frame, reference: Frame) -> None:
    for what, one, other in (
        ("sensor", short.cfa, reference.cfa),
        ("size", _said(short.visible), _said(reference.visible)),
        ("phase", _phase(short.visible), _phase(reference.visible)),
    ):
        if one != other:
            raise SettingsError(f"{pair.short}: {what} {one}, {pair.reference.name} has {other}; pair what is alike")


def _said(window: Window) -> str:
    return f"{window.width} x {window.height}"


def _phase(window: Window) -> str:
    return f"({window.top}, {window.left})"


def _measured(pair: Named, short: Frame, reference: Frame) -> float:
    if pictures.is_picture(pair.reference):
        return max(1.0, pictures.ratio(short, reference))
    return _ratio(pair, short.exposure, reference.exposure)


def _ratio(pair: Named, short: Exposure, reference: Exposure) -> float:
    """How much more of the scene's light, in DN, the reference holds."""
    if short.seconds and reference.seconds:
        ratio = reference.seconds / short.seconds
        if short.iso and reference.iso:
            ratio *= reference.iso / short.iso
        if short.aperture and reference.aperture:
            ratio *= (short.aperture / reference.aperture) ** 2
        return ratio
    one, other = (pairlist.seconds(path) for path in (pair.short, pair.reference))
    if not one or not other:
        raise SettingsError(f"{pair.short}: its exposure, or its reference's, is not known; give a CSV with ratios")
    return other / one


# --- examples ---


def example(
    group: Sequence[Pair],
    cache: Cache,
    rng: np.random.Generator,
    *,
    packing: Packing,
    input: Input,
    output: Output,
    curve: Curve = "srgb",
    look: Appearance = "plain",
    size: int,
    flips: Flips = "phase",
) -> Example:
    """Cut one random example from one random short of a scene, mirrored and transposed at random.

    size: the crop's side in sites, a multiple of the network's; crops start on whole cells of the CFA. flips "phase"
    mirrors the mosaic and shifts it until its phase is canonical again, so that a mirrored crop is one that the sensor
    could have taken; "sid" mirrors the packed planes and the reference alike, as SID's authors do, which leaves the
    sites inside a packed pixel unmirrored.

    The light is brought to the brightness of the reference as LibRaw rendered that: for input "balanced" and "srgb"
    with the reference's gains, the least of them 1, and its white level; for "sensor" by the ratio alone, as SID does.
    Raises SettingsError where the picture is smaller than the crop.
    """
    pair = group[int(rng.integers(len(group)))]
    short, reference = cache.frame(pair.short), cache.reference(pair.reference, pair.short)
    picture = cache.shown(pair.reference, pair.short, kind=output, curve=curve, look=look)
    upside_down, mirrored, transposed = (bool(flip) for flip in rng.integers(2, size=3))
    turn = (upside_down, mirrored, transposed)
    starts = _starts(short, size, turn if flips == "phase" else AS_IT_LIES)
    if flips == "phase" and not all(starts):  # no room to shift it
        turn, starts = AS_IT_LIES, _starts(short, size, AS_IT_LIES)
    if not all(starts):
        sites = f"{_said(short.visible)} sites"
        raise SettingsError(f"{pair.short}: {sites} are too few for crops of {size} on its cells; make crops smaller")
    top, left = (int(places[rng.integers(len(places))]) for places in starts)
    crop = picture[top - short.visible.top :, left - short.visible.left :][:size, :size]

    gains = np.ones(3, np.float32)
    if input != "sensor":
        gains = gains if reference.white_balance is None else reference.white_balance / reference.white_balance.min()
        short = replace(short, white=reference.white)
    cut, inside = _cut(short, top, left, size, turn if flips == "phase" else AS_IT_LIES)
    pixel = PIXEL[packing]
    rows, cols = (slice(first // pixel, (first + size) // pixel) for first in inside)
    bright = cfa.bright(cut, rows, cols, gains=gains, ratio=pair.ratio, contract=_contract(packing, input, output))
    if flips == "sid":
        bright = _turned(bright, turn)
    seen = _turned(crop.transpose(2, 0, 1), turn)
    return Example(np.ascontiguousarray(bright), seen.astype(np.float32, order="C") / np.float32(65535), pair.ratio)


def _starts(frame: Frame, size: int, turn: Turn) -> tuple[range, ...]:
    """Rows and columns from which a crop may be cut so that it keeps the CFA's phase when turned; perhaps none."""
    seen, period = frame.visible, len(CELL[frame.cfa])
    if turn not in _shifts(frame.cfa):
        return (range(0), range(0))
    sides = zip((seen.top, seen.left), (seen.height, seen.width), _shifts(frame.cfa)[turn], strict=True)
    return tuple(
        range(-(-(first - shift) // period) * period + shift, first + length - size + 1, period)
        for first, length, shift in sides
    )


def _cut(frame: Frame, top: int, left: int, size: int, turn: Turn) -> tuple[Frame, tuple[int, int]]:
    """Cut a square and, where there is one, a cell around it, and turn them: a frame, and where the square begins."""
    period, (height, width) = len(CELL[frame.cfa]), frame.mosaic.shape
    room = (top, height - top - size, left, width - left - size)
    above, below, before, behind = (period if sites >= period else 0 for sites in room)
    mosaic = frame.mosaic[top - above : top + size + below, left - before : left + size + behind]
    black = np.roll(frame.black, (-top % period, -left % period), (0, 1))
    upside_down, mirrored, transposed = turn
    inside = (below if upside_down else above, behind if mirrored else before)
    cut = replace(frame, mosaic=_turned(mosaic, turn), black=_turned(black, turn))
    return cut, inside[::-1] if transposed else inside


def _turned(planes: NDArray[Number], turn: Turn) -> NDArray[Number]:
    """Mirror the rows, mirror the columns, transpose: (..., H, W) -> (..., H, W) or (..., W, H)."""
    upside_down, mirrored, transposed = turn
    planes = planes[..., :: -1 if upside_down else 1, :: -1 if mirrored else 1]
    return planes.swapaxes(-1, -2) if transposed else planes


@once
def _shifts(kind: CFA) -> dict[Turn, tuple[int, int]]:
    """Each turn that the CFA survives -> the rows and columns into the cell where a crop for it must start.

    >>> _shifts("bayer")[False, True, False]  # mirrored columns: from the second column on
    (0, 1)
    """
    cell = CELL[kind]
    side = len(cell)
    found: dict[Turn, tuple[int, int]] = {}
    for turn in product((False, True), (False, True), (False, True)):
        for shift in product(range(side), range(side)):
            if (_turned(np.roll(cell, (-shift[0], -shift[1]), (0, 1)), turn) == cell).all():
                found.setdefault(turn, shift)
    return found


@once
def _contract(packing: Packing, input: Input, output: Output) -> Contract:
    """What `cfa.bright` wants to know of a network that does not exist yet."""
    return Contract(
        name="",
        version=0,
        packing=packing,
        scale=PIXEL[packing],
        halo=0,
        multiple=1,
        max_ratio=CAP,
        input=input,
        output=output,
        pixel_bytes=1,
        training="",
        licence="",
    )
