"""What is scored: a dark raw and the picture it should become.

photo + simulated sensor (simulated.py) | short + reference (real.py)  ->  Case; whoever scores knows no difference
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darkroom.decode.raw import Curve
from darkroom.develop.curves import bt709_to_linear, linear_to_bt709, linear_to_srgb, srgb_to_linear
from darkroom.frame import Frame

Picture = NDArray[np.float32]
"""(H, W, 3) in [0, 1], under a transfer curve, as it lies on the sensor."""

BURST = 8
"""Frames of a burst (SID, section 5.1)."""


@dataclass(frozen=True, eq=False)
class Case:
    """A dark raw whose right picture is known."""

    photo: str
    """Name of the clean photo, or of the short's file."""
    frame: Frame
    """Orientation 1: no picture is turned before it is compared."""
    reference: Picture
    """Of the visible window."""
    curve: Curve
    """The reference's."""
    ratio: float
    """The true one."""
    camera: str
    gain: float
    """K, DN per electron; 0 where it is not known."""
    white_balance: NDArray[np.float32] | None
    """(3,) gains of the reference, green = 1; None where its file gives none."""
    burst: tuple[Frame, ...] = ()
    """This frame and as many more as make BURST, of the same scene and exposure; empty where nobody asked."""
    read: float = 0.0
    """sd of the noise without light, DN; 0 where it is not known."""
    light: NDArray[np.float32] | None = None
    """(H, W) the reference's light at the sites of the visible window; None where nobody asked."""
    again: Frame | None = None
    """The same scene and exposure under another draw of the noise; None where nobody asked, or nobody can draw."""


def light(frame: Frame) -> NDArray[np.float32]:
    """The light at each site of the visible window: (H, W), 0 black and 1 white, noise below black negative."""
    height, width = frame.mosaic.shape
    black = np.tile(frame.black, (-(-height // len(frame.black)), -(-width // len(frame.black))))[:height, :width]
    seen = frame.visible
    window = np.s_[seen.top : seen.top + seen.height, seen.left : seen.left + seen.width]
    return ((frame.mosaic - black) / (np.float32(frame.white) - black)).astype(np.float32)[window]


def encoded(picture: Picture, curve: Curve, wanted: Curve) -> Picture:
    """Bring a picture from one transfer curve under another; the same array where they are the same."""
    if curve == wanted:
        return picture
    if wanted == "bt709":
        return linear_to_bt709(srgb_to_linear(picture)).astype(np.float32)
    return linear_to_srgb(bt709_to_linear(picture)).astype(np.float32)


def as_authors(picture: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Round to the 8 bits that authors saved before they measured: (H, W, 3) in [0, 1], clipped, -> 0..255.

    Halves go up, as in SciPy's `toimage` of SID's code.
    """
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
