"""ICC profiles: what every field holds, read back by hand and worked out from the primaries of the standards."""

import io
import struct

import numpy as np
import pytest
from PIL import ImageCms

from darkroom.write import icc

SPACES = ("srgb", "display-p3", "rec2020", "prophoto")
D50 = (0.9642, 1.0, 0.8249)
"""ICC.1:2010, 7.2.16."""
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
"""XYZ to the responses of the cones (Lam 1985)."""


def adaptation() -> np.ndarray:
    """XYZ under D65 -> XYZ under D50."""
    x, y = 0.3127, 0.3290
    from_white, to_white = (BRADFORD @ white for white in ((x / y, 1, (1 - x - y) / y), D50))
    return np.linalg.solve(BRADFORD, np.diag(to_white / from_white) @ BRADFORD)


def fields(data: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", data, 128)
    listed = [struct.unpack_from(">4sII", data, 132 + 12 * i) for i in range(count)]
    return {tag: data[at : at + size] for tag, at, size in listed}


def numbers(field: bytes) -> np.ndarray:
    return np.frombuffer(field, ">i4")[2:] / 65536


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("space", SPACES)
def test_the_header_says_what_kind_of_profile_it_is_and_how_long(space, linear):
    data = icc.profile(space, linear=linear)
    assert struct.unpack_from(">I", data)[0] == len(data) and data[8:12] == bytes((4, 0x30, 0, 0))
    assert data[12:24] == b"mntrRGB XYZ " and data[36:40] == b"acsp"
    assert struct.unpack_from(">6H", data, 24) == (2024, 1, 1, 0, 0, 0)
    assert np.frombuffer(data[68:80], ">i4") / 65536 == pytest.approx(D50, abs=1e-5)
    assert not any(data[4:8] + data[40:68] + data[80:128])


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("space", SPACES)
def test_every_field_lies_whole_behind_the_listing_at_a_multiple_of_four(space, linear):
    data = icc.profile(space, linear=linear)
    (count,) = struct.unpack_from(">I", data, 128)
    listed = [struct.unpack_from(">4sII", data, 132 + 12 * i) for i in range(count)]
    assert {tag for tag, _, _ in listed} == {
        *(b"desc", b"cprt", b"wtpt", b"chad"),
        *(b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"),
    }
    assert all(at % 4 == 0 and at >= 132 + 12 * count and at + size <= len(data) for _, at, size in listed)
    stored = {(at, size) for _, at, size in listed}
    assert sum(size for _, size in stored) == len(data) - 132 - 12 * count, "equal curves are held once"


@pytest.mark.parametrize("space", SPACES)
def test_red_green_and_blue_add_up_to_the_white_exactly(space):
    held = fields(icc.profile(space, linear=False))
    primaries = [numbers(held[tag]) for tag in (b"rXYZ", b"gXYZ", b"bXYZ")]
    assert np.array_equal(sum(primaries), numbers(held[b"wtpt"]))
    assert numbers(held[b"wtpt"]) == pytest.approx(D50, abs=1e-5)


def test_the_primaries_of_srgb_are_those_of_the_standard_adapted_to_d50():
    xy = np.array([(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)])
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in xy]).T
    white = np.array((0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290))
    expected = adaptation() @ (columns * np.linalg.solve(columns, white))
    held = fields(icc.profile("srgb", linear=False))
    found = np.array([numbers(held[tag]) for tag in (b"rXYZ", b"gXYZ", b"bXYZ")]).T
    assert np.abs(found - expected).max() < 2e-4


@pytest.mark.parametrize("space", SPACES)
def test_the_adaptation_is_bradfords_and_none_where_the_white_is_d50(space):
    found = numbers(fields(icc.profile(space, linear=False))[b"chad"]).reshape(3, 3)
    if space == "prophoto":
        assert np.array_equal(found, np.eye(3))
    else:
        assert np.abs(found - adaptation()).max() < 0.5 / 65536


def test_only_a_space_whose_white_is_d50_is_not_adapted():
    adapted, plain = (b"chad", b"sf32"), np.rint(65536 * np.eye(3)).astype(int).tolist()
    for space in ("srgb", "display-p3", "rec2020", "prophoto"):
        data = icc.profile(space, linear=False)
        at = next(
            int.from_bytes(data[entry + 4 : entry + 8])
            for entry in range(132, 132 + 12 * int.from_bytes(data[128:132]), 12)
            if data[entry : entry + 4] == adapted[0]
        )
        assert data[at : at + 4] == adapted[1]
        matrix = np.frombuffer(data[at + 8 : at + 44], ">i4").reshape(3, 3)
        assert (matrix.tolist() == plain) == (space == "prophoto")
        white = matrix / 65536 @ np.array([0.9505, 1, 1.0891] if space != "prophoto" else [0.9642, 1, 0.8249])
        assert white == pytest.approx([0.9642, 1, 0.8249], abs=2e-4), "D65 comes to D50"


@pytest.mark.parametrize("space", SPACES)
def test_the_curve_is_that_of_srgb_and_none_for_linear_light(space):
    held = fields(icc.profile(space, linear=False))
    assert held[b"rTRC"] == held[b"gTRC"] == held[b"bTRC"]
    assert held[b"rTRC"][:12] == b"para" + bytes(4) + bytes((0, 3, 0, 0))
    gamma, slope, offset, foot, edge = np.frombuffer(held[b"rTRC"], ">i4")[3:] / 65536
    for value in (0.0, 0.02, 0.04, 0.05, 0.5, 1.0):
        light = value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        told = (slope * value + offset) ** gamma if value >= edge else foot * value
        assert told == pytest.approx(light, abs=3e-5)
    assert edge == pytest.approx(0.04045, abs=1e-5)
    straight = fields(icc.profile(space, linear=True))
    assert straight[b"rTRC"] == straight[b"gTRC"] == straight[b"bTRC"] == b"curv" + bytes(8)


@pytest.mark.parametrize(
    ("space", "linear", "name"),
    [
        ("srgb", False, "sRGB"),
        ("display-p3", False, "Display P3"),
        ("rec2020", False, "Rec. 2020, sRGB curve"),
        ("prophoto", False, "ProPhoto, sRGB curve"),
        ("srgb", True, "sRGB, linear"),
        ("display-p3", True, "Display P3, linear"),
        ("rec2020", True, "Rec. 2020, linear"),
        ("prophoto", True, "ProPhoto, linear"),
    ],
)
def test_a_profile_is_named_by_space_and_curve_as_littlecms_reads_it(space, linear, name):
    data = icc.profile(space, linear=linear)
    read = ImageCms.ImageCmsProfile(io.BytesIO(data)).profile
    assert (read.profile_description, read.copyright) == (name, "No copyright, use freely")
    for field, text in ((b"desc", name), (b"cprt", "No copyright, use freely")):
        held = fields(data)[field]
        length, at = struct.unpack_from(">2I", held, 20)
        assert held[:20] == b"mluc" + struct.pack(">3I", 0, 1, 12) + b"enUS" and at == 28
        assert held[at : at + length].decode("utf-16-be") == text and not any(held[at + length :])
