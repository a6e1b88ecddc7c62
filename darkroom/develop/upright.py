"""How a picture lies in the sensor, by EXIF's orientation, 1 to 8, and what it takes to have it upright.

Row by row from the top of the upright picture is, in the sensor's, down, up, right or left.
"""

import numpy as np

from darkroom.frame import DType, Onward, Picture, Window


def lying(orientation: int) -> bool:
    """Whether the sensor's columns are the picture's rows."""
    return orientation >= 5


def onward(orientation: int) -> Onward:
    """Tell which way to go through the sensor's picture to meet the rows of the turned one from the top."""
    upside_down, mirrored = _flips(orientation)
    if lying(orientation):
        return "left" if mirrored else "right"
    return "up" if upside_down else "down"


def strip(down: slice, across: slice, window: Window, orientation: int) -> Window:
    """The strip, across all of the window, that these rows or, where it lies on its side, these columns belong to."""
    if lying(orientation):
        return Window(window.top, across.start, window.height, across.stop - across.start)
    return Window(down.start, window.left, down.stop - down.start, window.width)


def _flips(orientation: int) -> tuple[bool, bool]:
    """Whether a picture is upside down in the sensor, after it was set on its feet where it lay, and mirrored."""
    return {
        1: (False, False),
        2: (False, True),
        3: (True, True),
        4: (True, False),
        5: (False, False),
        6: (True, False),
        7: (True, True),
        8: (False, True),
    }[orientation]


def shape(window: Window, orientation: int) -> tuple[int, int, int]:
    """(H', W', 3) of the picture that is made of a window."""
    return (window.width, window.height, 3) if lying(orientation) else (window.height, window.width, 3)


def canvas(window: Window, orientation: int, dtype: DType) -> tuple[Picture, Picture]:
    """Make an empty picture, and the view of it, (h, w, 3), that lies as the sensor does."""
    upside_down, mirrored = _flips(orientation)
    picture = np.empty(shape(window, orientation), dtype)
    turned = picture.transpose(1, 0, 2) if lying(orientation) else picture
    return picture, turned[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
