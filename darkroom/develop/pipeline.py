"""The path of a photo, all of it: decode, mend hot sites, pack and amplify, network, finish."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from darkroom import colour
from darkroom.colour import Space
from darkroom.decode import raw
from darkroom.develop import amplifier, cfa, curves, finish, grain, hotsites, linear, shape, sharpen, tiles, upright
from darkroom.develop import size as size_
from darkroom.develop.amplifier import Amp
from darkroom.develop.contract import Contract
from darkroom.develop.finish import Bits, Look
from darkroom.develop.model import Model
from darkroom.develop.size import Size
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
STRIPS = 3
"""Strips of a picture held at once: one in the making, one waiting, one that is being encoded."""
CLIPPED = 0.05
"""Share of clipped sites above which the user is warned."""

HEADROOMS = (1.0, 2.0, 4.0, 8.0)
"""Times white that light may reach where highlights are not to be cut; the least is taken that cuts no more than SPENT,
else the last. The network is then given light that many times darker, which costs it little: it was trained on dim
scenes, too."""
SPENT = 0.001
"""Share of sites: what no headroom is spent on."""

WhiteBalance = Literal["camera", "daylight", "auto"] | tuple[float, float, float]


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


@dataclass(frozen=True)
class Seconds:
    """Where the time went."""

    network: float
    finish: float


@dataclass(frozen=True, eq=False)
class Developed:
    """A finished picture and what was done to get it."""

    picture: Picture
    """(H, W, 3) in `space`, uint8, uint16 or float32, upright; or camera RGB as `Settings.colour_space` has it."""
    ratio: float
    clipped: float
    """Share of sites that the ratio pushed past what the picture holds: white, or where highlights end."""
    seconds: Seconds
    notes: tuple[str, ...]
    """One line each, worth telling the user."""
    space: Space = "srgb"
    """What the picture is in, but for camera RGB."""
    negative: Negative | None = None
    """Of camera RGB, what its colours mean; None of a finished picture."""


@dataclass(eq=False)
class Course:
    """How the making of a picture goes; all of it is known once the last band was given."""

    started: float = field(default_factory=time.perf_counter)
    networked: float = 0.0
    finished: float = 0.0
    negative: Negative | None = None
    """As `Developed.negative`."""

    @property
    def seconds(self) -> Seconds:
        return Seconds(self.networked - self.started, self.finished - self.networked)


@dataclass(frozen=True, eq=False)
class Begun:
    """A picture in the making: what is known of it before the network has run."""

    bands: Bands
    """As `Developed.picture`; the network runs as they are asked for."""
    ratio: float
    clipped: float
    notes: tuple[str, ...]
    space: Space
    course: Course

    def developed(self, picture: Picture) -> Developed:
        """Say the same of the picture, once it is made."""
        course = self.course
        return Developed(picture, self.ratio, self.clipped, course.seconds, self.notes, self.space, course.negative)


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
    if contract.cfa not in ("", frame.cfa):
        raise SettingsError(
            f"{contract.name}: is for {contract.cfa} sensors, {frame.camera} has {frame.cfa}; leave --model out"
        )
    camera = settings.colour_space == "camera"
    if camera and contract.output != "camera":
        raise SettingsError(f"{contract.name}: gives finished colours, a DNG holds the camera's; leave --model out")
    course = Course()
    frame = mended(frame) if settings.hot_sites == "auto" else frame
    chosen, notes = _gains(frame, settings.white_balance)
    gains = _gains(frame, "camera")[0] if camera else chosen  # white balance of camera RGB is for others to apply
    ratio = settings.bracket * amplifier.ratio(frame, settings.amp, contract.max_ratio)
    usual = "clip" if camera else _usual(settings.amp)
    look = settings.look if settings.look.highlights else replace(settings.look, highlights=usual)
    headroom = _headroom(frame, gains, ratio) if _kept(look, settings.bits, contract) else 1.0
    clipped = amplifier.clipped(frame, gains, ratio / headroom)
    size = cfa.packed_size(frame, contract)
    orientation = 1 if camera else frame.orientation
    full, dtype = upright.shape(frame.visible, orientation), finish.DTYPES[settings.bits]
    square = shape.sides(*full[:2], frame.pixel_aspect, orientation)
    small = full if camera else (*settings.size.of(*square), 3)
    whole = whole or look.waits or settings.sharpen > 0 or small != full
    made: Bits = 16 if settings.sharpen and settings.bits == 8 else settings.bits

    def heard(done: int, tiles: int) -> None:
        course.networked = time.perf_counter()
        on_tile(done, tiles)

    pieces = tiles.run(
        partial(_blended, model, settings.denoise, partial(_plain, frame, gains, contract)),
        partial(cfa.bright, frame, gains=gains, ratio=ratio / headroom, contract=contract),
        size=size,
        contract=contract,
        pixel_bytes=model.pixel_bytes,
        memory=_tile_memory(frame, settings, size[0] * size[1] * contract.scale**2, whole),
        on_tile=heard,
        onward=upright.onward(orientation),
        strip_bytes=0 if camera or look.waits else STRIPS * 3 * made // 8 * contract.scale**2,
    )
    size = size[0] * contract.scale, size[1] * contract.scale

    def rows() -> Iterator[Picture]:
        if camera:
            rgb = finish.gathered(pieces, size)
            course.negative = _negative(rgb, frame, chosen, settings.denoise)
            last = linear.undone(rgb, neutral=_neutral(gains), window=frame.visible)
            course.finished = time.perf_counter()
            yield last
            return
        bands = finish.follow(
            pieces,
            size=size,
            matrix=_matrix(frame, contract, settings.colour_space),
            window=frame.visible,
            orientation=orientation,
            look=look,
            bits=made,
            headroom=headroom,
        )
        if settings.sharpen or small != full:
            picture = Bands(full, finish.DTYPES[made], bands).whole()
            if settings.sharpen:
                had = partial(_noise, grain.measure(frame), frame, ratio * 2**look.exposure)
                picture = sharpen.sharpened(picture, settings.sharpen, had, bits=settings.bits)
            picture = shape.stretched(picture, frame.pixel_aspect, orientation)
            yield size_.reduced(picture, settings.size)
        else:
            yield from bands
        course.finished = time.perf_counter()

    notes += frame.notes + amplifier.notes(frame, settings.amp, ratio / settings.bracket, contract.max_ratio)
    if ratio > contract.max_ratio:
        notes += (f"ratio {ratio:.0f} is beyond the {contract.max_ratio:.0f} that {contract.name} was trained for",)
    if settings.colour_space in colour.WIDE and settings.bits == 8:
        notes += (f"8 bits of {settings.colour_space} may show steps in smooth tones; --bits 16 does not",)
    if clipped > CLIPPED:
        notes += (f"{clipped:.0%} of the sites are clipped at ratio {ratio:.3g}; a lower --amp keeps them",)
    space: Space = "srgb" if settings.colour_space == "camera" else settings.colour_space
    return Begun(Bands(small, dtype, rows()), ratio, clipped, notes, space, course)


def _matrix(frame: Frame, contract: Contract, space: ColourSpace) -> Array:
    """(3, 3), what the network gives, linear, -> linear RGB of the colour space."""
    assert space != "camera"
    return colour.from_srgb(space) @ frame.camera_to_srgb if contract.output == "camera" else colour.from_srgb(space)


def _neutral(gains: Array) -> Array:
    """Camera RGB of white, (3,), the greatest 1: there the first channel saturates."""
    return np.min(gains) / gains


def _negative(rgb: NDArray[np.uint16], frame: Frame, chosen: Array, denoised: float) -> Negative:
    """Gather what a DNG tells beside its samples, white-balanced as the user chose."""
    small = linear.reduced(rgb, frame.visible)
    preview = finish.render(small, matrix=frame.camera_to_srgb, window=Window(0, 0, *small.shape[1:]), orientation=1)
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


def _usual(amp: Amp) -> Literal["clip", "roll"]:
    """What becomes of highlights unless the user says: a ratio that was stated gives a colorimetric picture."""
    return "roll" if amp.kind == "auto" else "clip"


def _kept(look: Look, bits: int, contract: Contract) -> bool:
    """Whether light beyond white is of use: to a look, or in a linear file; networks of output srgb finish it."""
    return contract.output == "camera" and (look.highlights == "roll" or look.tone > 0 or bits == 32)


def _headroom(frame: Frame, gains: Array, ratio: float) -> float:
    """Times white that the picture's light reaches.

    At most the ratio: below 1, what saturated in the sensor is a guess (`cfa.rebuilt`).
    """
    held = [headroom for headroom in HEADROOMS if headroom <= max(ratio, 1.0)]
    return next((each for each in held if amplifier.clipped(frame, gains, ratio / each) <= SPENT), held[-1])


def _assumed(frame: Frame) -> bool:
    return frame.sources.white_balance == "daylight"


def _gains(frame: Frame, chosen: WhiteBalance) -> tuple[Array, tuple[str, ...]]:
    """White-balance gains, (3,) with green = 1, and a note where the choice could not be had."""
    if not isinstance(chosen, str):
        return np.array(chosen, np.float32) / np.float32(chosen[1]), ()
    if chosen == "camera" and frame.daylight is not None and (_assumed(frame) or cfa.unbalanced(frame)):
        guess, share = cfa.guessed_balance(frame)
        light = "daylight" if share < 0.005 else "tungsten" if share == 1 else f"{share:.0%} from daylight to tungsten"
        return guess, (f"white balance guessed from the picture: {light}",)
    if chosen == "camera" and frame.white_balance is not None:
        return frame.white_balance, ()
    if chosen == "daylight" and frame.daylight is not None:
        return frame.daylight, ()
    notes = () if chosen == "auto" else (f"the file has no {chosen} white balance; grey-world gains are used",)
    return cfa.grey_world(frame), notes


def _blended(model: Model, denoise: float, plain: Callable[[Array], Array], bright: Array) -> Array:
    """The network's output, mixed with the plain picture as far as `denoise` falls short of 1."""
    if denoise == 0:
        return plain(bright)
    output = model.run(bright)
    if denoise == 1:
        return output
    return np.float32(denoise) * output + np.float32(1 - denoise) * plain(bright)


def _plain(frame: Frame, gains: Array, contract: Contract, bright: Array) -> Array:
    """What the network is given as a picture of the kind it returns: (C, h, w) bright -> (3, H, W) in [0, 1]."""
    if contract.input == "srgb":
        return bright
    light = cfa.demosaic(bright, contract.packing)
    if contract.input == "sensor":
        light *= gains[:, None, None]
    if contract.output == "srgb":
        light = cfa.coloured(light, frame.camera_to_srgb)
    return curves.linear_to_srgb(np.clip(light, 0, 1))


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
