"""Drawn raw files: every tag as tifffile reads it back, and the samples last."""

import numpy as np
import pytest
from tifffile import TiffFile

from darkroom.frame import CELL, SRGB_TO_XYZ, Exposure, Window
from darkroom.write import dng
from darkroom.write.dng import Circumstances

MOSAIC = np.arange(12 * 18, dtype=np.uint16).reshape(12, 18) * 7


def tags(path, **changes) -> dict[int, object]:
    dng.write(path / "a.dng", MOSAIC, **changes)
    with TiffFile(path / "a.dng") as file:
        return {tag.code: tag.value for tag in file.pages[0].tags}


def fractions(told) -> np.ndarray:
    above, below = np.reshape(told, (-1, 2)).T
    return above / below


def test_the_samples_come_last_and_read_back(tmp_path):
    told = tags(tmp_path)
    data = (tmp_path / "a.dng").read_bytes()
    assert data[-MOSAIC.nbytes :] == MOSAIC.astype("<u2").tobytes()
    assert told[273] == (len(data) - MOSAIC.nbytes,) and told[279] == (MOSAIC.nbytes,)
    assert (told[256], told[257], told[278], told[258], told[277], told[259]) == (18, 12, 12, 16, 1, 1)
    assert (told[254], told[262], told[50711], told[50778]) == (0, 32803, 1, 21)
    assert told[50706] == bytes((1, 4, 0, 0)) and told[50707] == bytes((1, 1, 0, 0)) and told[50710] == bytes((0, 1, 2))


def test_a_plain_photo_tells_what_it_is_given_by_default(tmp_path):
    told = tags(tmp_path)
    assert (told[271], told[272], told[50708], told[274]) == ("Darkroom", "Demo", "Darkroom Demo", 1)
    assert fractions(told[50714]) == pytest.approx([512]) and told[50713] == (1, 1) and told[50717] == 16383
    assert fractions(told[50728]) == pytest.approx([1 / 2, 1, 1 / 1.5], abs=1e-6)
    assert told[50829] == (0, 0, 12, 18)
    assert fractions(told[50721]).reshape(3, 3) == pytest.approx(np.linalg.inv(SRGB_TO_XYZ), abs=1e-5)
    shot = told[34665]
    assert fractions(shot["ExposureTime"]) == pytest.approx([1 / 30])
    assert fractions(shot["FNumber"]) == pytest.approx([2.8]) and shot["ISOSpeedRatings"] == 3200
    assert shot["ExifVersion"] == "0231" and not {306, 34853} & told.keys()
    assert not {"DateTimeOriginal", "LensModel"} & shot.keys()


@pytest.mark.parametrize("phase", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_the_pattern_and_the_black_levels_begin_at_the_first_visible_site(tmp_path, phase):
    levels = np.array([[500, 501], [502, 503.25]])
    told = tags(tmp_path, phase=phase, black=levels)
    sites = [((row + phase[0]) % 2, (column + phase[1]) % 2) for row in (0, 1) for column in (0, 1)]
    assert list(told[33422]) == [CELL["bayer"][site] for site in sites] and told[33421] == (2, 2)
    assert fractions(told[50714]) == pytest.approx([levels[site] for site in sites]) and told[50713] == (2, 2)


def test_an_x_trans_pattern_is_told_by_its_36_sites(tmp_path):
    told = tags(tmp_path, cfa="xtrans", phase=(1, 2))
    cell = CELL["xtrans"]
    assert told[33421] == (6, 6)
    assert list(told[33422]) == [cell[(r + 1) % 6, (c + 2) % 6] for r in range(6) for c in range(6)]


def test_the_matrix_takes_daylight_to_what_the_sensor_sees_of_it(tmp_path):
    matrix, daylight = np.array([[1.6, -0.5, -0.1], [-0.2, 1.5, -0.3], [0.1, -0.6, 1.5]]), np.array([2.0, 1.0, 1.25])
    told = fractions(tags(tmp_path, camera_to_srgb=matrix, daylight=daylight)[50721]).reshape(3, 3)
    seen = told @ SRGB_TO_XYZ @ matrix @ np.ones(3)
    assert seen == pytest.approx(1 / daylight, abs=1e-5)


def test_what_is_unknown_is_left_out(tmp_path):
    told = tags(tmp_path, white_balance=None, camera_to_srgb=None, exposure=Exposure(0, 0, 0))
    assert not {50728, 50721} & told.keys()
    assert told[34665].keys() == {"ExifVersion"}


def test_what_was_masked_lies_outside_the_active_area(tmp_path):
    assert tags(tmp_path, visible=Window(2, 4, 8, 10))[50829] == (2, 4, 10, 14)


def test_when_and_through_what_it_was_taken_is_told(tmp_path):
    taken = "2024:02:29 23:59:58"
    told = tags(tmp_path, circumstances=Circumstances(taken=taken, lens="35 mm"), orientation=6)
    shot = told[34665]
    assert (told[306], shot["DateTimeOriginal"], shot["LensModel"], told[274]) == (taken, taken, "35 mm", 6)


@pytest.mark.parametrize(("iso", "told"), [(99.6, 100), (65535, 65535), (65536, 65535), (409600, 65535)])
def test_an_iso_is_whole_and_no_more_than_the_tag_holds(tmp_path, iso, told):
    assert tags(tmp_path, exposure=Exposure(1, iso, 2))[34665]["ISOSpeedRatings"] == told


@pytest.mark.parametrize(("place", "sides"), [((55.5, 12.25), "NE"), ((-33.75, -70.5), "SW"), ((0.0, 0.0), "NE")])
def test_a_drawn_raw_tells_the_side_of_the_equator_and_of_greenwich(write_dng, place, sides):
    path = write_dng("a.dng", np.zeros((40, 60), np.uint16), circumstances=Circumstances(place=place))
    with TiffFile(path) as file:
        told = file.pages[0].tags[34853].value
    assert told["GPSLatitudeRef"] + told["GPSLongitudeRef"] == sides
    for name, degrees in (("GPSLatitude", abs(place[0])), ("GPSLongitude", abs(place[1]))):
        above, below, *rest = told[name]
        assert above / below == degrees and rest == [0, 1, 0, 1]
