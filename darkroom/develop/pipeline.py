"""The path of a photo, all of it: decode, mend hot sites, pack and amplify, network, finish."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from darkroom import colour
from darkroom.colour import Space
from darkroom.decode import raw
from darkroom.develop import (
    amplifier,
    balance,
    cfa,
    curves,
    finish,
    grain,
    hotsites,
    linear,
    shape,
    sharpen,
    tiles,
    upright,
)
from darkroom.develop import size as size_
from darkroom.develop.amplifier import Amp
from darkroom.develop.balance import WhiteBalance
from darkroom.develop.contract import Contract
from darkroom.develop.developed import Begun, Course, Developed
from darkroom.develop.finish import Bits, Look
from darkroom.develop.model import Model
from darkroom.develop.size import Size
from darkroom.develop.tiles import Piece
from darkroom.errors import SettingsError
from darkroom.frame import Bands, Frame, Picture, Window
from darkroom.write.linear import Negative

Array = NDArray[np.float32]

MEMORY = 1_000_000_000
"""Bytes the whole process may use, unless told otherwise."""
RESIDENT = 215_000_000
"""Bytes held before the first photo: Python, its libraries, a loaded network, the idle decoder beside it."""
LEAST_TILE = 64_000_000
"""Bytes a tile gets even where the picture then exceeds the limit: at 61 MP and 16 bits by 5 %."""
STRIPS = 2
"""Strips of a picture held at once: one in the making, and one that is being encoded."""
_BAND = 16
"""Rows of a tile that are encoded at once: what a core's cache holds."""
CLIPPED = 0.05
"""Share of clipped sites above which the user is warned."""
GLARING = 2.0
"""Times white that a network takes well: where light is beyond it for more of the sites than `amplifier.SPENT`, colour
smears around a lamp, so that headroom is given even where highlights are cut."""

ColourSpace = Space | Literal["camera"]
COLOUR_SPACES: tuple[ColourSpace, ...] = (*get_args(Space), "camera")


@dataclass(frozen=True)
class Settings:
    """What the user chose."""

    amp: Amp = field(default_factory=lambda: amplifier.parse("auto"))
    bracket: float = 1.0
    """Factor on the ratio: one of several brightnesses from one decode."""
    white_balance: WhiteBalance = "camera"
    denoise: float = 1.0
    """0 the plainly developed picture, 1 the network's."""
    hot_sites: Literal["auto", "off"] = "auto"
    """Whether hot and dead sites are looked for, and filled in from their neighbours."""
    look: Look = field(default_factory=Look)
    colour_space: ColourSpace = "srgb"
    """The picture's, under the sRGB curve. camera: linear camera RGB as a sensor would have recorded it, not
    white-balanced, of 16 bits, not turned."""
    sharpen: float = 0.0
    """0..1: capture sharpening of what stands above the noise that was removed; see sharpen.py."""
    size: Size = field(default_factory=Size)
    """How large a picture is wanted; none is enlarged."""
    bits: Bits = 8
    memory: int = MEMORY

    def __post_init__(self) -> None:
        """Raise SettingsError for a value without sense."""
        if self.bits not in get_args(Bits):
            raise SettingsError(f"bits {self.bits}: no picture has as many a sample; give 8, 16 or 32")
        if self.colour_space not in COLOUR_SPACES:
            raise SettingsError(f"colour space {self.colour_space}: give {' or '.join(COLOUR_SPACES)}")
        if self.size.long_edge is not None and self.size.long_edge < 1:
            raise SettingsError(f"long edge {self.size.long_edge}: is no length; give pixels, such as 2048")
        if self.size.megapixels is not None and not self.size.megapixels > 0:
            raise SettingsError(f"megapixels {self.size.megapixels}: is no size; give one above 0")
        if self.hot_sites not in ("auto", "off"):
            raise SettingsError(f"hot sites {self.hot_sites}: give auto or off")
        finished = self.look != Look() or self.size != Size() or self.sharpen > 0
        if self.colour_space == "camera" and (self.bits != 16 or finished):
            every = "exposure, stretch, tone, contrast, highlights, sharpening or size"
            wrong = f"{self.bits} bits" if self.bits != 16 else every
            raise SettingsError(f"colour space camera: takes no {wrong}; it has 16 bits, to be finished elsewhere")
        if not 0 <= self.denoise <= 1:
            raise SettingsError(f"denoise {self.denoise}: is not within 0, plainly developed, to 1, the network's")
        if not 0 <= self.sharpen <= 1:
            raise SettingsError(f"sharpen {self.sharpen}: is not within 0, not at all, to 1")
        if not 0 < self.bracket < np.inf:
            raise SettingsError(f"bracket {self.bracket}: is no factor on the ratio; give one above 0")
        if isinstance(self.white_balance, str):
            if self.white_balance not in ("camera", "daylight", "auto"):
                raise SettingsError(f"white balance {self.white_balance}: give camera, daylight, auto, or three gains")
        elif len(self.white_balance) != 3 or not all(0 < gain < np.inf for gain in self.white_balance):
            raise SettingsError(f"white balance {self.white_balance}: give three gains above 0, of red, green and blue")


def _unheard(done: int, tiles: int) -> None:
    return None


def develop(path: Path, model: Model, settings: Settings, on_tile: Callable[[int, int], None] = _unheard) -> Developed:
    """Turn a dark raw photo into a clean picture.

    `on_tile` hears (done, all). Raises RawError for what cannot be decoded, SettingsError for settings
    that do not fit the photo or the network, ModelError when the network fails.
    """
    return expose(raw.read(path), model, settings, on_tile)


def expose(frame: Frame, model: Model, settings: Settings, on_tile: Callable[[int, int], None] = _unheard) -> Developed:
    """Develop a decoded frame; `develop` without the reading."""
    begun = begin(frame, model, settings, on_tile)
    return begun.developed(begun.bands.whole())


def begin(
    frame: Frame,
    model: Model,
    settings: Settings,
    on_tile: Callable[[int, int], None] = _unheard,
    *,
    whole: bool = True,
) -> Begun:
    """Develop a decoded frame band by band, as its rows are asked for.

    whole: they will be gathered again, which takes memory of its own.
    """
    contract = model.contract
    _check(frame, contract, settings)
    course = Course()
    frame = mended(frame) if settings.hot_sites == "auto" else frame
    plan = _planned(frame, contract, settings)
    packed = cfa.packed_size(frame, contract)
    size = packed[0] * contract.scale, packed[1] * contract.scale

    def heard(done: int, tiles: int) -> None:
        course.networked = time.perf_counter()
        on_tile(done, tiles)

    pieces = tiles.run(
        partial(_blended, model, settings.denoise, partial(_plain, frame, plan.gains, contract)),
        partial(cfa.bright, frame, gains=plan.gains, ratio=plan.ratio / plan.headroom, contract=contract),
        size=packed,
        contract=contract,
        pixel_bytes=model.pixel_bytes,
        memory=_tile_memory(frame, settings, size[0] * size[1], whole or plan.gathered),
        on_tile=heard,
        onward=upright.onward(plan.orientation),
        strip_bytes=0 if plan.held else STRIPS * 3 * plan.bits // 8 * contract.scale**2,
    )

    def rows() -> Iterator[Picture]:
        if settings.colour_space == "camera":
            rgb = finish.gathered(pieces, size)
            course.negative = _negative(rgb, frame, plan, settings.denoise)
            brightest = _neutral(plan.gains) * np.float32(plan.headroom)
            yield linear.undone(rgb, neutral=brightest, window=frame.visible)
        else:
            colours = colour.from_srgb(settings.colour_space)
            matrix = colours @ frame.camera_to_srgb if contract.output == "camera" else colours
            yield from _finished(pieces, size, frame, settings, plan, matrix)
        course.finished = time.perf_counter()

    bands = Bands(plan.shape, finish.DTYPES[settings.bits], rows())
    space: Space = "srgb" if settings.colour_space == "camera" else settings.colour_space
    return Begun(bands, plan.ratio, plan.clipped, _notes(frame, contract, settings, plan), space, course)


def _check(frame: Frame, contract: Contract, settings: Settings) -> None:
    if contract.cfa not in ("", frame.cfa):
        raise SettingsError(
            f"{contract.name}: is for {contract.cfa} sensors, {frame.camera} has {frame.cfa}; leave --model out"
        )
    if settings.colour_space == "camera" and contract.output != "camera":
        raise SettingsError(f"{contract.name}: gives finished colours, a DNG holds the camera's; leave --model out")


@dataclass(frozen=True, eq=False)
class _Plan:
    """All that is decided before the network runs: how bright the light it is given, what is made of its output."""

    balance: Array
    """(3,) gains of the white balance that the user chose, green = 1."""
    gains: Array
    """(3,) gains that the light is given: the same, or the camera's for camera RGB, whose balance is for others."""
    ratio: float
    headroom: float
    """Times white that the picture's light reaches; the network is given light that many times darker."""
    clipped: float
    """As `Developed.clipped`."""
    look: Look
    """The user's, its highlights decided."""
    notes: tuple[str, ...]
    """Of the white balance."""
    orientation: int
    """That rows are written in; camera RGB stays as the sensor has it."""
    turned: tuple[int, int, int]
    """(H, W, 3) of what the sensor saw, so turned."""
    shape: tuple[int, int, int]
    """(H, W, 3) of the picture: in the scene's proportions, of the size wanted."""
    bits: Bits
    """Of the bands; more than the picture's where they are worked on further."""
    held: bool
    """Whether the network's output is held whole before anything is made of it."""
    gathered: bool
    """Whether the picture is held whole before its first row can be given."""


def _planned(frame: Frame, contract: Contract, settings: Settings) -> _Plan:
    camera = settings.colour_space == "camera"
    chosen, notes = balance.gains(frame, settings.white_balance)
    gains = balance.gains(frame, "camera")[0] if camera else chosen
    ratio = settings.bracket * amplifier.ratio(frame, settings.amp, contract.max_ratio)
    # A ratio that was stated gives a colorimetric picture.
    usual: Literal["clip", "roll"] = "roll" if settings.amp.kind == "auto" and not camera else "clip"
    look = replace(settings.look, highlights=settings.look.highlights or usual)
    kept, headroom = _kept(look, settings.bits, contract), 1.0
    if camera:  # whatever white is chosen later: each channel as far as the file's samples reach
        headroom = amplifier.headroom(frame, gains, ratio, enough=float(gains.max() / gains.min()))
    elif contract.output == "camera":
        headroom = amplifier.headroom(frame, gains, ratio if kept else ratio / GLARING)
    orientation = 1 if camera else frame.orientation
    turned = upright.shape(frame.visible, orientation)
    square = shape.sides(*turned[:2], frame.pixel_aspect, orientation)
    made = turned if camera else (*settings.size.of(*square), 3)
    return _Plan(
        balance=chosen,
        gains=gains,
        ratio=ratio,
        headroom=headroom,
        clipped=amplifier.clipped(frame, gains, ratio / headroom if kept else ratio),
        look=look,
        notes=notes,
        orientation=orientation,
        turned=turned,
        shape=made,
        bits=16 if settings.sharpen and settings.bits == 8 else settings.bits,
        held=camera or look.waits,
        gathered=camera or look.waits or settings.sharpen > 0 or made != turned,
    )


def _finished(
    pieces: Iterable[Piece], size: tuple[int, int], frame: Frame, settings: Settings, plan: _Plan, matrix: Array
) -> Iterator[Picture]:
    """Make the picture's rows of what the network gives, which fills (3, *size); `matrix` takes it to their RGB."""
    bands = finish.follow(
        pieces,
        size=size,
        matrix=matrix,
        window=frame.visible,
        orientation=plan.orientation,
        look=plan.look,
        bits=plan.bits,
        headroom=plan.headroom,
    )
    if not settings.sharpen and plan.shape == plan.turned:
        yield from bands
        return
    picture = Bands(plan.turned, finish.DTYPES[plan.bits], bands).whole()
    if settings.sharpen:
        had = partial(_noise, grain.measure(frame), frame, plan.ratio * 2**plan.look.exposure)
        picture = sharpen.sharpened(picture, settings.sharpen, had, bits=settings.bits)
    yield size_.reduced(shape.stretched(picture, frame.pixel_aspect, plan.orientation), settings.size)


def _notes(frame: Frame, contract: Contract, settings: Settings, plan: _Plan) -> tuple[str, ...]:
    notes = plan.notes + frame.notes
    notes += amplifier.notes(frame, settings.amp, plan.ratio / settings.bracket, contract.max_ratio)
    if plan.ratio > contract.max_ratio:
        beyond = f"ratio {plan.ratio:.0f} is beyond the {contract.max_ratio:.0f}"
        notes += (f"{beyond} that {contract.name} was trained for",)
    if settings.colour_space in colour.WIDE and settings.bits == 8:
        notes += (f"8 bits of {settings.colour_space} may show steps in smooth tones; more bits (--bits) do not",)
    if plan.clipped > CLIPPED:
        notes += (f"{plan.clipped:.0%} of the sites are clipped at ratio {plan.ratio:.3g}; a lower --amp keeps them",)
    return notes


def _neutral(gains: Array) -> Array:
    """Camera RGB of white, (3,), the greatest 1: there the first channel saturates."""
    return np.min(gains) / gains


def _negative(rgb: NDArray[np.uint16], frame: Frame, plan: _Plan, denoised: float) -> Negative:
    """Gather what a DNG tells beside its samples, white-balanced as the user chose."""
    small, chosen = linear.reduced(rgb, frame.visible), plan.balance
    preview = finish.render(
        small,
        matrix=frame.camera_to_srgb * (chosen / plan.gains),
        window=Window(0, 0, *small.shape[1:]),
        orientation=1,
        headroom=plan.headroom,
    )
    return Negative(
        camera=frame.camera,
        neutral=_neutral(chosen),
        camera_to_srgb=frame.camera_to_srgb,
        daylight=chosen if frame.daylight is None else frame.daylight,
        orientation=frame.orientation,
        denoised=denoised,
        preview=shape.stretched(preview, frame.pixel_aspect, 1).astype(np.uint8, copy=False),
        pixel_aspect=frame.pixel_aspect,
    )


def mended(frame: Frame) -> Frame:
    """Fill in hot and dead sites, and note how many."""
    clean, count = hotsites.mended(frame, grain.measure(frame))
    sites = "hot or dead site" if count == 1 else "hot or dead sites"
    return replace(clean, notes=(*frame.notes, f"{count} {sites} filled in")) if count else frame


def _noise(noise: grain.Noise, frame: Frame, ratio: float, light: Array) -> Array:
    """Tell the sd of the frame's noise where the picture has this light, in that light."""
    scale = (frame.white - float(frame.black.mean())) / ratio  # DN
    return noise.at(light * np.float32(scale)) / np.float32(scale)


def _kept(look: Look, bits: int, contract: Contract) -> bool:
    """Whether light beyond white is of use: to a look, or in a linear file; networks of output srgb finish it."""
    seen = look.highlights == "roll" or look.tone > 0 or look.exposure < 0 or bits == 32
    return contract.output == "camera" and seen


def _blended(model: Model, denoise: float, plain: Callable[[Array], Array], bright: Array) -> Array:
    """The network's output, mixed with the plain picture as far as `denoise` falls short of 1; to be read at once."""
    if denoise == 0:
        return plain(bright)
    output = model.lent(bright)
    if denoise == 1:
        return output
    mixed = plain(bright)
    mixed *= np.float32(1 - denoise)
    mixed += np.float32(denoise) * output
    return mixed


def _plain(frame: Frame, gains: Array, contract: Contract, bright: Array) -> Array:
    """What the network is given as a picture of the kind it returns: (C, h, w) bright -> new (3, H, W) in [0, 1]."""
    if contract.input == "srgb":
        return bright.copy()
    light = cfa.demosaic(bright, contract.packing)
    if contract.input == "sensor":
        light *= gains[:, None, None]
    if contract.output == "srgb":
        light = cfa.coloured(light, frame.camera_to_srgb)
    for top in range(0, light.shape[1], _BAND):
        band = light[:, top : top + _BAND]
        band[:] = curves.linear_to_srgb(np.clip(band, 0, 1))
    return light


def _tile_memory(frame: Frame, settings: Settings, sites: int, whole: bool) -> int:
    """Bytes left to a tile beside the mosaic, and what is held whole: the picture, the network's output."""
    left = settings.memory - RESIDENT - frame.mosaic.nbytes
    if settings.look.waits or settings.colour_space == "camera":
        left -= 6 * sites  # three channels of 16 bits
    picture = 3 * settings.bits // 8 * frame.visible.height * frame.visible.width
    if settings.colour_space == "camera" or not whole:
        picture = 0  # made in the network's output itself, or handed on strip by strip
    elif frame.pixel_aspect != 1:
        picture += round(picture * max(frame.pixel_aspect, 1 / frame.pixel_aspect))  # the stretched one beside it
    return max(left - picture, min(left, LEAST_TILE))
