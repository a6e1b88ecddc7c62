"""How a picture lies in the sensor: EXIF's eight orientations, against Pillow's."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from darkroom.develop import upright
from darkroom.frame import Window

WINDOW = Window(3, 5, 4, 6)
SENSOR = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)


def by_pillow(orientation: int) -> np.ndarray:
    picture = Image.fromarray(SENSOR)
    picture.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(picture))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_written_as_the_sensor_lies_is_upright(orientation):
    picture, turned = upright.canvas(WINDOW, orientation, np.dtype(np.uint8))
    assert turned.shape == (4, 6, 3) and picture.shape == upright.shape(WINDOW, orientation)
    turned[:] = SENSOR
    assert np.array_equal(picture, by_pillow(orientation))
    assert upright.lying(orientation) is (picture.shape == (6, 4, 3))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_way_onward_meets_the_rows_of_the_upright_picture_from_its_top(orientation):
    strips = {"down": SENSOR[0], "up": SENSOR[-1], "right": SENSOR[:, 0], "left": SENSOR[:, -1]}
    first = strips[upright.onward(orientation)]
    top = by_pillow(orientation)[0]
    assert np.array_equal(top, first) or np.array_equal(top, first[::-1])


@pytest.mark.parametrize(
    ("orientation", "strip"), [(1, (4, 5, 2, 6)), (4, (4, 5, 2, 6)), (5, (3, 7, 4, 3)), (8, (3, 7, 4, 3))]
)
def test_a_strip_runs_across_all_of_the_window(orientation, strip):
    assert upright.strip(slice(4, 6), slice(7, 10), WINDOW, orientation) == Window(*strip)
