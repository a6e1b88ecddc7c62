"""Camera RGB to the finished picture: the file's own colour matrix, an optional look, the sRGB curve, orientation.

(3, H, W) uint16 white-balanced camera RGB under the sRGB curve -> (H', W', 3) sRGB, of the visible window; linear
where it is float.

With a plain `Look` the picture is colorimetric: sRGB(matrix x light), and nothing brightens it. Everything runs in
bands small enough for the processor's cache, and each band is written through a turned view of the picture, so no
second copy of it ever exists. A picture that lies on its side in the sensor is followed column by column, so that it,
too, comes in bands of rows.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from darkroom.develop import blocks, upright
from darkroom.develop import tone as toning
from darkroom.develop.curves import decoding, linear_to_srgb, srgb_to_linear
from darkroom.develop.tone import LUMA, Base
from darkroom.errors import SettingsError
from darkroom.frame import DType, Picture, Window

Array = NDArray[np.float32]
Bits = Literal[8, 16, 32]
Piece = tuple[slice, slice, NDArray[np.uint16]]

DTYPES: dict[Bits, DType] = {8: np.dtype(np.uint8), 16: np.dtype(np.uint16), 32: np.dtype(np.float32)}
"""What a sample of a picture is held in, by its bits."""

WORKERS = min(4, os.cpu_count() or 1)
"""Bands in the making at once; numpy releases the interpreter while it computes."""

BAND = 1 << 17
"""Pixels in a band, about 10 MB of work. A quarter of it takes half as long again at 12 MP: two threads then mostly
wait for each other's turn in the interpreter."""

STEPS = (1 << 17) - 1
"""Steps of the sRGB curve's table over the square root of light. The curve rises by at most 1.41 for one step of
that root, so a table value is off by at most 0.36 of a 16-bit count: an integer comes back as itself."""

STRETCHED = (1.0, 99.0)
"""Percentiles of light that `stretch` maps to black and white: MATLAB stretchlim's, LibRaw's auto-bright white."""

SAMPLES = 1 << 19
"""Pixels, at most four times as many, that the percentiles are read from, on a regular grid."""

FLAT = 1e-3
"""Brightness that counts as none: less than this between the percentiles is nothing to stretch."""

PATCH = 15
"""Side of the dark channel's patch, in pixels (He et al. 2009)."""
BLOCK = 5
"""Side of the blocks the veil is estimated on, in pixels: divides RADIUS, and PATCH an odd number of times."""
RADIUS = 60
"""Radius of the guided filter, in pixels: what public implementations of He's dehazing use, some 40."""
SMOOTH = 1e-3
"""The guided filter's regulariser, in squared brightness: 1e-4 to 1e-3 in the same implementations."""
OMEGA = 0.95
"""Share of the veil taken away."""
LEAST_TRANSMISSION = 0.1
"""t0: the transmission below which no more is amplified."""
AIR_SHARE = 1e-3
"""Share of the picture, where the dark channel is brightest, that gives the atmospheric light."""


@dataclass(frozen=True)
class Look:
    """What the user asked for beyond a colorimetric picture."""

    exposure: float = 0.0
    """EV, applied to linear light after the network and after `stretch`."""
    stretch: bool = False
    """Map the 1st and 99th percentile of linear light, all channels together, to 0 and 1."""
    tone: float = 0.0
    """0..1: how far local tone mapping lifts shadows and lowers lights; see tone.py."""
    contrast: float = 0.0
    """0..1: how much local contrast is strengthened; see tone.py."""
    highlights: Literal["clip", "roll"] | None = None
    """How light beyond white is shown: cut, or bent softly below white, colours kept. None: bent for `--amp auto`, cut
    for a ratio that was stated, whose picture is colorimetric."""

    def __post_init__(self) -> None:
        """Raise SettingsError for a value without sense."""
        if not np.isfinite(self.exposure):
            raise SettingsError(f"exposure {self.exposure}: is no number of stops; give EV, such as 1 or -0.5")
        for name, share in (("tone", self.tone), ("contrast", self.contrast)):
            if not 0 <= share <= 1:
                raise SettingsError(f"{name} {share}: is not within 0, none, to 1")
        if self.highlights not in (None, "clip", "roll"):
            raise SettingsError(f"highlights {self.highlights}: give clip or roll")

    @property
    def waits(self) -> bool:
        """Whether it goes by a statistic of the whole picture."""
        return self.stretch or self.tone > 0 or self.contrast > 0


@dataclass(frozen=True, eq=False)
class _Tone:
    """The affine step from camera RGB to linear sRGB."""

    matrix: Array
    """(3, 3)"""
    offset: Array
    """(3, 1)"""
    white: float
    """Linear sRGB of the brightest grey there can be."""


@dataclass(frozen=True, eq=False)
class _Veil:
    """What lies over the inverted picture: transmission = slope x grey + offset, per block."""

    slope: Array
    offset: Array
    air: Array
    """(3, 1, 1) atmospheric light of the inverted picture"""


def render(
    rgb: NDArray[np.uint16],
    *,
    matrix: Array,
    window: Window,
    orientation: int,
    look: Look = Look(),
    bits: Bits = 8,
    headroom: float = 1.0,
    dehaze: bool = False,
) -> Picture:
    """Turn camera RGB into the picture one looks at.

    `rgb` (3, H, W) is white-balanced camera RGB under the sRGB curve, 0..65535; `matrix` (3, 3) takes it, linear, to
    linear sRGB (identity where a network already gave sRGB); `window` is what to keep; `orientation` is EXIF's, 1..8;
    `headroom` is how many times as bright as white 65535 is; `dehaze` dehazes the inverted picture, the contrast of
    Zamir et al., for networks that learn it: it tints blacks. Gives a contiguous (H', W', 3) picture: sRGB in uint8 or
    uint16, rounded and within one count of exact, or, for 32 bits, linear sRGB in float32, 1 white, nothing cut.
    """
    seen = rgb[:, window.top : window.top + window.height, window.left : window.left + window.width]
    tone = _tone(seen, matrix, look, headroom)
    base = _base(seen, tone) if look.tone or look.contrast else None
    veil = _veil(seen, tone) if dehaze else None
    picture, turned = upright.canvas(window, orientation, DTYPES[bits])

    def develop(band: slice) -> None:
        light = _light(seen[:, band], tone)
        if base:
            toning.shape(light, base, band, tone=look.tone, contrast=look.contrast)
        codes: Picture
        if veil:
            encoded = _unveil(_encode(_bent(light, tone, look, bits), 32), veil, band)
            codes = srgb_to_linear(encoded) if bits == 32 else _quantise(encoded, bits)
        else:
            codes = _codes(light, tone, look, bits)
        for channel, plane in enumerate(codes):  # one plane at a time: all three at once take four times as long
            turned[band, :, channel] = plane

    _each_band(window, develop)
    return picture


def follow(
    pieces: Iterable[Piece],
    *,
    size: tuple[int, int],
    matrix: Array,
    window: Window,
    orientation: int,
    look: Look = Look(),
    bits: Bits = 8,
    headroom: float = 1.0,
) -> Iterator[Picture]:
    """Do what `render` does while the network makes the next piece; give the picture in bands of rows, from the top.

    `pieces` are rows, columns and values, (3, h, w) from 0 to FULL, and fill (3, *size) strip by strip, in the
    direction of `upright.onward`. What goes by a statistic of the whole picture waits for the last. The rest as for
    `render`.
    """
    if look.waits:
        yield render(
            gathered(pieces, size),
            matrix=matrix,
            window=window,
            orientation=orientation,
            look=look,
            bits=bits,
            headroom=headroom,
        )
        return
    tone = _tone(None, matrix, look, headroom)

    def develop(values: NDArray[np.uint16], place: Picture) -> None:
        for channel, plane in enumerate(_codes(_light(values, tone), tone, look, bits)):
            place[:, :, channel] = plane

    def ended() -> None:
        while working:
            working.pop().result()

    working: list[Future[None]] = []
    strip: slice | None = None
    picture: Picture | None = None
    with ThreadPoolExecutor(WORKERS, "finish") as pool:
        for rows, cols, values in pieces:
            ended()  # one piece at a time, or they would pile up where the network is faster
            down, across = _within(rows, window.top, window.height), _within(cols, window.left, window.width)
            seen = values[:, down.start - rows.start : down.stop - rows.start]
            seen = seen[:, :, across.start - cols.start : across.stop - cols.start]
            if strip != (ahead := cols if upright.lying(orientation) else rows):
                if picture is not None and picture.size:
                    yield picture
                strip = ahead
                held = upright.strip(down, across, window, orientation)
                picture, turned = upright.canvas(held, orientation, DTYPES[bits])
            place = turned[down.start - held.top : down.stop - held.top, across.start - held.left :]
            step = max(1, BAND // max(1, seen.shape[2]))
            for row in range(0, seen.shape[1], step):
                part = place[row : row + step, : seen.shape[2]]
                working.append(pool.submit(develop, seen[:, row : row + step], part))
            del values, seen, place
        ended()
    if picture is not None and picture.size:
        yield picture


def _within(span: slice, start: int, length: int) -> slice:
    """What of a span lies in the `length` from `start` on.

    >>> _within(slice(0, 8), 2, 10), _within(slice(0, 8), 10, 5)
    (slice(2, 8, None), slice(10, 10, None))
    """
    first = min(max(span.start, start), start + length)
    return slice(first, max(first, min(span.stop, start + length)))


def gathered(pieces: Iterable[Piece], size: tuple[int, int]) -> NDArray[np.uint16]:
    """Put the pieces, as `follow` takes them, together to (3, *size), 0 to FULL."""
    rgb = np.empty((3, *size), np.uint16)
    for rows, cols, values in pieces:
        rgb[:, rows, cols] = values
    return rgb


def _each_band(window: Window, work: Callable[[slice], None]) -> None:
    """Do `work` for every band of rows of the window; bands start on whole blocks."""
    rows = max(1, BAND // window.width // BLOCK) * BLOCK
    bands = [slice(top, min(top + rows, window.height)) for top in range(0, window.height, rows)]
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, bands))


@cache
def _encoding(bits: Bits) -> Picture:
    encoded = linear_to_srgb((np.arange(STEPS + 1) / STEPS) ** 2)
    return _quantise(encoded, bits)


def _quantise(encoded: NDArray[np.float32] | NDArray[np.float64], bits: Bits) -> Picture:
    """Round 0..1 to the picture's own numbers."""
    if bits == 32:
        return encoded.astype(np.float32)
    return (encoded * (2**bits - 1) + 0.5).astype(np.uint8 if bits == 8 else np.uint16)


def _light(rgb: NDArray[np.uint16], tone: _Tone) -> Array:
    """(3, h, w) camera RGB, encoded -> (3, h, w) linear sRGB, nothing cut."""
    camera = decoding(16).take(rgb.reshape(3, -1), mode="clip")
    light = tone.matrix[:, :1] * camera[0]  # not `@`: BLAS would start threads of its own, at twice the time
    light += tone.matrix[:, 1:2] * camera[1]
    light += tone.matrix[:, 2:] * camera[2]
    light += tone.offset
    return light.reshape(rgb.shape)


def _bent(light: Array, tone: _Tone, look: Look, bits: Bits) -> Array:
    """Bend what is near white and beyond below it, in place, where the look asks for that."""
    if look.highlights == "roll" and tone.white > 1 and bits != 32:
        toning.roll(light, tone.white)
    return light


def _codes(light: Array, tone: _Tone, look: Look, bits: Bits) -> Picture:
    """Linear sRGB, overwritten -> the picture's own numbers."""
    light = _bent(light, tone, look, bits)
    return light if bits == 32 else _encode(light, bits)


@overload
def _encode(light: Array, bits: Literal[32]) -> Array: ...
@overload
def _encode(light: Array, bits: Bits) -> Picture: ...


def _encode(light: Array, bits: Bits) -> Picture:
    """Linear sRGB, overwritten, cut to 0..1 -> sRGB in the picture's own numbers."""
    np.clip(light, 0, 1, out=light)
    np.sqrt(light, out=light)
    light *= STEPS
    light += 0.5
    return _encoding(bits).take(light.astype(np.intp), mode="clip")


def _tone(rgb: NDArray[np.uint16] | None, matrix: Array, look: Look, headroom: float) -> _Tone:
    """Join colour matrix, headroom, stretch and exposure into one affine step.

    SID (Fig. 9) says "histogram stretching" and no more. Here it is a black and a white point in linear light, shared
    by the three channels, so that greys stay grey.
    """
    tone = _Tone(np.asarray(matrix, np.float32) * np.float32(headroom), np.zeros((3, 1), np.float32), headroom)
    black, white = 0.0, 1.0
    if look.stretch and rgb is not None:
        step = max(1, int((rgb[0].size / SAMPLES) ** 0.5))
        low, high = np.percentile(np.clip(_light(rgb[:, ::step, ::step], tone), 0, 1), STRETCHED)
        if high - low > FLAT:
            black, white = float(low), float(high)
    gain = 2.0**look.exposure / (white - black)
    return _Tone(tone.matrix * np.float32(gain), tone.offset - np.float32(black * gain), (headroom - black) * gain)


def _base(rgb: NDArray[np.uint16], tone: _Tone) -> Base:
    """Fit what local tone stands on to a sample of the picture."""
    step = toning.step(*rgb.shape[1:])
    middle = min(step // 2, *(side - 1 for side in rgb.shape[1:]))
    return toning.base(_light(rgb[:, middle::step, middle::step], tone), step)


def _veil(rgb: NDArray[np.uint16], tone: _Tone) -> _Veil:
    """Estimate what veils the inverted picture: dark channel prior, refined by a guided filter.

    Zamir et al. name He's dehazing and give no numbers; those here are its usual ones. Where they are silent: it works
    on the sRGB-encoded picture; the atmospheric light is the mean over the brightest blocks; the guide is grey; the
    estimate is made on blocks of 5 pixels, whose minimum over 3 x 3 is the patch of 15, and is interpolated in between.
    From the same at every pixel it differs by 0.001 to 0.007 in the mean, on three darkened photos of 2.5 MP.
    """
    height, width = rgb.shape[1:]
    shape = (3, -(-height // BLOCK), -(-width // BLOCK))
    least, mean = np.empty(shape, np.float32), np.empty(shape, np.float32)

    def measure(band: slice) -> None:
        encoded = _encode(_light(rgb[:, band], tone), 32)
        here = slice(band.start // BLOCK, -(-band.stop // BLOCK))
        least[:, here] = 1 - blocks.by_blocks(encoded, BLOCK, np.max)
        mean[:, here] = blocks.by_blocks(encoded, BLOCK, np.mean)

    _each_band(Window(0, 0, height, width), measure)
    dark = blocks.erode(least.min(axis=0), PATCH // BLOCK // 2).ravel()
    count = max(1, int(dark.size * AIR_SHARE))
    brightest = dark >= np.partition(dark, -count)[-count]  # all that tie: which of them a sort puts last is chance
    air = 1 - mean.reshape(3, -1)[:, brightest].mean(axis=1).reshape(3, 1, 1)
    least /= np.maximum(air, FLAT)
    transmission = 1 - np.float32(OMEGA) * blocks.erode(least.min(axis=0), PATCH // BLOCK // 2)
    grey = _grey(mean)
    return _Veil(*blocks.guided(grey, transmission, reach=RADIUS // BLOCK, smooth=SMOOTH), air)


def _unveil(encoded: Array, veil: _Veil, band: slice) -> Array:
    """Dehaze one band of the inverted picture and invert it back, all in place.

    1 - ((1 - encoded - air) / transmission + air), with the inversions cancelled.
    """
    rows, width = np.arange(band.start, band.stop), encoded.shape[2]
    shown = blocks.between(veil.slope, rows, width, BLOCK)
    shown *= _grey(encoded)
    shown += blocks.between(veil.offset, rows, width, BLOCK)
    np.maximum(shown, np.float32(LEAST_TRANSMISSION), out=shown)
    encoded -= 1 - veil.air
    encoded /= shown
    encoded += 1 - veil.air
    return np.clip(encoded, 0, 1, out=encoded)


def _grey(encoded: Array) -> Array:
    return LUMA[0] * encoded[0] + LUMA[1] * encoded[1] + LUMA[2] * encoded[2]
