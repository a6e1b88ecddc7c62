"""Develop raw photos taken in extreme darkness into clean pictures.

`develop` is what `darkroom develop` does, as an array. To decode once and develop many times, `open` the photo, `load`
the network, and give both to `develop`:

>>> frame, network = open("night.dng"), load("fast-bayer")
>>> develop(frame, model=network, amp=100).dtype, develop(frame, model=network, amp=50, bits=8).shape
(dtype('uint16'), (96, 128, 3))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

# The room of this name, which is empty, comes first: Python binds a package in its parent once, when it is imported.
# The function of the same name is bound after that and stays, whatever is imported from the room later.
from darkroom import develop as _room  # noqa: F401

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from typing import Literal

    from darkroom.develop.balance import WhiteBalance
    from darkroom.develop.finish import Bits
    from darkroom.develop.model import Model
    from darkroom.develop.pipeline import ColourSpace
    from darkroom.frame import Frame, Picture

__version__ = "0.1.0"


def open(path: str | PathLike[str]) -> Frame:
    """Decode a raw file: its mosaic, levels, gains and colour matrix, ready to be developed as often as one likes.

    Raises darkroom.errors.RawError, as `darkroom.decode.raw.read` does.

    >>> frame = open("night.dng")
    >>> frame.mosaic.shape, frame.cfa, frame.exposure.iso
    ((96, 128), 'bayer', 3200.0)
    """
    from pathlib import Path

    from darkroom.decode import raw

    return raw.read(Path(path))


def load(name: str | PathLike[str], *, device: str = "auto") -> Model:
    """Load a network: a shipped one by its name, or an .onnx file; `device` as of the option --device.

    Raises darkroom.errors.ModelError, as `darkroom.develop.model.load` does.

    >>> load("fine-bayer").contract.cfa
    'bayer'
    """
    from os import fspath

    from darkroom.develop import model as models

    return models.load(models.find(fspath(name)), device=device)


@overload
def develop(
    photo: str | PathLike[str] | Frame,
    *,
    amp: str | float = ...,
    model: str | PathLike[str] | Model | None = ...,
    quality: str = ...,
    device: str = ...,
    white_balance: WhiteBalance = ...,
    exposure: float = ...,
    stretch: bool = ...,
    tone: float = ...,
    contrast: float = ...,
    highlights: Literal["clip", "roll"] | None = ...,
    denoise: float = ...,
    sharpen: float = ...,
    hot_sites: Literal["auto", "off"] = ...,
    colour_space: ColourSpace = ...,
    long_edge: int | None = ...,
    megapixels: float | None = ...,
    brackets: None = ...,
    bits: Bits = ...,
    memory: int = ...,
) -> Picture: ...


@overload
def develop(
    photo: str | PathLike[str] | Frame,
    *,
    amp: str | float = ...,
    model: str | PathLike[str] | Model | None = ...,
    quality: str = ...,
    device: str = ...,
    white_balance: WhiteBalance = ...,
    exposure: float = ...,
    stretch: bool = ...,
    tone: float = ...,
    contrast: float = ...,
    highlights: Literal["clip", "roll"] | None = ...,
    denoise: float = ...,
    sharpen: float = ...,
    hot_sites: Literal["auto", "off"] = ...,
    colour_space: ColourSpace = ...,
    long_edge: int | None = ...,
    megapixels: float | None = ...,
    brackets: Sequence[float],
    bits: Bits = ...,
    memory: int = ...,
) -> list[Picture]: ...


def develop(
    photo: str | PathLike[str] | Frame,
    *,
    amp: str | float = "auto",
    model: str | PathLike[str] | Model | None = None,
    quality: str = "fast",
    device: str = "auto",
    white_balance: WhiteBalance = "camera",
    exposure: float = 0.0,
    stretch: bool = False,
    tone: float = 0.0,
    contrast: float = 0.0,
    highlights: Literal["clip", "roll"] | None = None,
    denoise: float = 1.0,
    sharpen: float = 0.0,
    hot_sites: Literal["auto", "off"] = "auto",
    colour_space: ColourSpace = "srgb",
    long_edge: int | None = None,
    megapixels: float | None = None,
    brackets: Sequence[float] | None = None,
    bits: Bits = 16,
    memory: int = 1_000_000_000,
) -> Picture | list[Picture]:
    """Develop one raw photo, a file or what `open` made of one: (H, W, 3) sRGB, uint8, uint16 or float32 for `bits`.

    Every setting is that of the command's option and has its default, but for `bits`; 32 is linear. amp: "auto", a
    ratio, "iso:N" or "exposure:Ns". model: what `load` returned, a shipped network's name or an .onnx file; without one
    the shipped network of this `quality`, "fast" or "fine", for the photo's CFA. device: where it runs, unless it was
    loaded already. white_balance: "camera", "daylight", "auto" or the gains of red, green and blue. exposure: EV. tone,
    contrast, sharpen: 0 to 1. highlights: "clip" or "roll"; None rolls them off for amp "auto". colour_space: "srgb",
    "display-p3", "rec2020", "prophoto", or "camera" for what a linear DNG holds: linear camera RGB, not white-balanced,
    not turned. long_edge: pixels. memory: bytes that the whole process may use. brackets: factors on the ratio; the
    pictures then come back as a list, one a factor and in their order, from one decode. Raises
    darkroom.errors.DarkroomError. For what else there is to know of a picture, such as the ratio found, see
    `darkroom.develop.pipeline.expose`.

    >>> dark, bright = develop("night.dng", brackets=(0.5, 2), bits=32, white_balance=(2, 1, 1.5))
    >>> bool(dark.mean() < bright.mean())
    True
    """
    from os import fspath

    from darkroom.develop import amplifier, finish, pipeline
    from darkroom.develop import model as models
    from darkroom.develop.size import Size
    from darkroom.frame import Frame

    settings = [
        pipeline.Settings(
            amp=amplifier.parse(str(amp)),
            bracket=bracket,
            white_balance=white_balance,
            denoise=denoise,
            sharpen=sharpen,
            hot_sites=hot_sites,
            colour_space=colour_space,
            size=Size(long_edge, megapixels),
            look=finish.Look(exposure=exposure, stretch=stretch, tone=tone, contrast=contrast, highlights=highlights),
            bits=bits,
            memory=memory,
        )
        for bracket in ((1.0,) if brackets is None else brackets)
    ]
    frame = photo if isinstance(photo, Frame) else open(photo)
    if isinstance(model, models.Model):
        network = model
    else:
        network = load(models.default(frame.cfa, quality) if model is None else fspath(model), device=device)
    pictures = [pipeline.expose(frame, network, each).picture for each in settings]
    return pictures[0] if brackets is None else pictures
