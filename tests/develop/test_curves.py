"""Transfer curves: where their parts meet, and back."""

import numpy as np
import pytest

from darkroom.develop import curves

SRGB = [(0.0, 0.0), (0.002, 0.02584), (0.01, 0.0998528), (0.18, 0.4613561), (0.5, 0.7353570), (1.0, 1.0)]
BT709 = [(0.0, 0.0), (0.01, 0.045), (0.02, 0.0897540), (0.18, 0.4088481), (0.5, 0.7054355), (1.0, 1.0)]
"""Light and what is stored for it, by the formulas of IEC 61966-2-1 and BT.709 on a pocket calculator."""


@pytest.mark.parametrize(
    ("encode", "decode", "pairs"),
    [
        (curves.linear_to_srgb, curves.srgb_to_linear, SRGB),
        (curves.linear_to_bt709, curves.bt709_to_linear, BT709),
    ],
)
def test_known_light_has_its_known_code(encode, decode, pairs):
    light, codes = np.array(pairs).T
    assert encode(light) == pytest.approx(codes, abs=1e-6) and decode(codes) == pytest.approx(light, abs=1e-6)


@pytest.mark.parametrize(
    ("encode", "decode", "corner"),
    [
        (curves.linear_to_srgb, curves.srgb_to_linear, 0.0031308),
        (curves.linear_to_bt709, curves.bt709_to_linear, 0.018053968510807),
    ],
)
def test_the_two_parts_of_a_curve_meet_and_it_has_a_way_back(encode, decode, corner):
    beside = corner * (1 + np.linspace(-1e-6, 1e-6, 21))
    assert np.ptp(encode(beside)) < 1e-6 and np.ptp(decode(encode(beside))) < 1e-7
    light = np.linspace(0, 1, 2001)
    assert np.abs(decode(encode(light)) - light).max() < 2e-7
    assert (np.diff(encode(light)) > 0).all()


def test_the_foot_of_srgb_reaches_up_to_its_corner_and_holds_it():
    assert curves.srgb_to_linear(np.array(0.04045)) == 0.04045 / 12.92
    assert curves.linear_to_srgb(np.array(0.0031308)) == 0.0031308 * 12.92


def test_the_linear_foot_goes_on_below_black():
    below = np.array([-1.0, -0.25])
    assert curves.linear_to_srgb(below) == pytest.approx(12.92 * below)
    assert curves.srgb_to_linear(below) == pytest.approx(below / 12.92)
    assert curves.linear_to_bt709(below) == pytest.approx(4.5 * below)
    assert curves.bt709_to_linear(below) == pytest.approx(below / 4.5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_comes_back_is_of_the_same_kind(dtype):
    light = np.linspace(-0.1, 1, 12, dtype=dtype)
    for curve in (curves.linear_to_srgb, curves.srgb_to_linear):
        assert curve(light).dtype == dtype


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_codes_become_light_and_come_back_as_they_were(dtype):
    full = np.iinfo(dtype).max
    codes = np.linspace(0, full, 768).astype(dtype).reshape(16, 16, 3)
    light = curves.light_of(codes)
    assert light.dtype == np.float32 and light == pytest.approx(curves.srgb_to_linear(codes / full), abs=1e-6)
    back = curves.codes_of(light, codes.dtype)
    assert back.dtype == dtype and np.array_equal(back, codes)
    beyond = curves.codes_of(np.array([-0.1, 1.2], np.float32), codes.dtype)
    assert beyond.tolist() == [0, full]


def test_light_stays_what_it_is():
    light = np.array([[[-0.5, 0.3, 7.0]]], np.float32)
    assert np.array_equal(curves.codes_of(curves.light_of(light), light.dtype), light)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_light_between_two_codes_becomes_the_nearer(dtype):
    full = np.iinfo(dtype).max
    codes = np.linspace(0, full - 1, 200).astype(int)
    for over, nearer in ((0.4, 0), (0.6, 1)):
        light = curves.srgb_to_linear((codes + over) / full)
        assert np.array_equal(curves.codes_of(light, np.dtype(dtype)), codes + nearer)
