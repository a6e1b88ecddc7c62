"""Packing, amplifying and the ways around them."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import colours
from made import EVERY, MATRIX, PACKINGS, arranged, contract_for, frame_of

from darkroom.develop import balance, cfa, curves
from darkroom.develop.contract import KIND, PIXEL, PLANES
from darkroom.errors import SettingsError
from darkroom.frame import CELL


@pytest.mark.parametrize("packing", cfa.SITES)
def test_unpacking_gives_every_site_back(packing):
    mosaic = np.arange(24 * 36).reshape(24, 36)
    packed = cfa.pack(mosaic, packing)
    assert packed.shape == (PLANES[packing], 24 // PIXEL[packing], 36 // PIXEL[packing])
    assert (cfa.unpack(packed, packing) == mosaic).all()


@pytest.mark.parametrize("kind", PACKINGS)
def test_layouts_are_those_of_the_sensor(kind):
    assert cfa.packing(kind, "packed") == PACKINGS[kind] and cfa.packing(kind, "srgb") == "srgb3"
    assert all(KIND[packing] in (kind, "") for packing in cfa.LAYOUTS[kind].values())
    strange = {"bayer": "packed36", "xtrans": "masked"}[kind]
    with pytest.raises(SettingsError, match=f"^layout {strange}: {kind} sensors have none such; choose packed, "):
        cfa.packing(kind, strange)


@pytest.mark.parametrize("packing", ["bayer4", "xtrans9", "xtrans36"])
def test_a_packed_channel_holds_one_colour(packing):
    packed = cfa.pack(colours((12, 12), KIND[packing]), packing)
    assert all(len(np.unique(channel)) == 1 for channel in packed)


def test_a_masked_colour_is_at_its_own_sites_and_nowhere_else():
    mosaic = 1 + np.arange(48).reshape(6, 8)
    masked = cfa.pack(mosaic, "bayer3")
    for colour, plane in enumerate(masked):
        assert (plane == np.where(colours((6, 8)) == colour, mosaic, 0)).all()


def test_bayer_is_packed_clockwise():
    assert cfa.pack(colours((2, 2)), "bayer4")[:, 0, 0].tolist() == [0, 1, 2, 1]
    assert cfa.pack(np.array([[1, 2], [4, 3]]), "bayer4")[:, 0, 0].tolist() == [1, 2, 3, 4]


def test_xtrans_follows_the_published_order():
    sites = np.arange(36).reshape(6, 6)
    packed = cfa.pack(sites, "xtrans9")
    assert packed[0].ravel().tolist() == [0, 4, 19, 21]  # (0,0) (0,4) (3,1) (3,3)
    assert packed[4].ravel().tolist() == [14, 11, 26, 35]
    assert packed[5].ravel().tolist() == [6, 9, 24, 27]
    assert [int(CELL["xtrans"].ravel()[c[0, 0]]) for c in packed] == [0, 1, 2, 0, 2, 1, 1, 1, 1]


def test_bright_is_light_times_gain_times_ratio():
    frame = frame_of(np.full((8, 8), 612, np.uint16), "bayer")
    bright = cfa.bright(
        frame, slice(0, 4), slice(0, 4), gains=np.array([2, 1, 1.5]), ratio=10, contract=contract_for("bayer")
    )
    light = 100 / (16383 - 512)
    assert np.allclose(bright[:, 0, 0], [20 * light, 10 * light, 15 * light, 10 * light], rtol=1e-5)


def test_bright_keeps_noise_below_black_and_clips_above_white():
    mosaic = np.full((8, 8), 500, np.uint16)
    mosaic[4:] = 16000
    bright = cfa.bright(
        frame_of(mosaic, "bayer"), slice(0, 4), slice(0, 4), gains=np.ones(3), ratio=100, contract=contract_for("bayer")
    )
    assert bright[:, :2].max() < 0
    assert (bright[:, 2:] == 1).all()


def test_a_network_with_headroom_sees_how_far_light_goes_beyond_white():
    mosaic = np.full((8, 8), 500, np.uint16)
    mosaic[4:] = 16000
    frame, window = frame_of(mosaic, "bayer"), (slice(0, 4), slice(0, 4))
    contract = contract_for("bayer", input="headroom")
    seen = cfa.bright(frame, *window, gains=np.array([2, 1, 3]), ratio=1, contract=contract)
    light = (16000 - 512) / (16383 - 512)
    assert np.allclose(seen[:, 3, 0], [2 * light, light, 3 * light, light]) and seen[:, 0].max() < 0
    assert (cfa.bright(frame, *window, gains=np.ones(3), ratio=100, contract=contract)[:, 2:] == 4).all()


def test_a_sensor_network_gets_no_gain_and_no_negative_light():
    frame = frame_of(np.arange(480, 544, dtype=np.uint16).reshape(8, 8), "bayer")
    window = slice(0, 4), slice(0, 4)
    contract = contract_for("bayer", input="sensor", output="srgb")
    bright = cfa.bright(frame, *window, gains=np.array([9, 1, 9]), ratio=5, contract=contract)
    same = cfa.bright(frame, *window, gains=np.ones(3), ratio=5, contract=contract)
    assert (bright == same).all() and bright.min() == 0 and bright.max() > 0


def test_each_site_has_its_own_black_level():
    frame = frame_of(np.full((12, 12), 1000, np.uint16), "xtrans")
    black = np.arange(36, dtype=np.float32).reshape(6, 6) + 900
    bright = cfa.bright(
        replace(frame, black=black),
        slice(0, 4),
        slice(0, 4),
        gains=np.ones(3),
        ratio=1,
        contract=contract_for("xtrans"),
    )
    expected = cfa.pack(np.tile((1000 - black) / (16383 - black), (2, 2)), "xtrans9")
    assert np.allclose(bright, expected, atol=1e-6)


@pytest.mark.parametrize(("kind", "layout"), EVERY)
@pytest.mark.parametrize("shape", [(37, 41), (24, 24), (13, 90)])
def test_windows_past_the_edge_keep_every_colour_in_its_place(kind, layout, shape):
    contract = arranged(kind, layout)
    frame = frame_of(1000 + 100 * colours(shape, kind).astype(np.uint16), kind)
    height, width = cfa.packed_size(frame, contract)
    assert height % 4 == 0 and height * contract.scale >= shape[0]
    bright = cfa.bright(frame, slice(0, height), slice(0, width), gains=np.ones(3), ratio=1, contract=contract)
    assert bright.shape == (PLANES[contract.packing], height, width)
    if layout == "masked":
        bright = cfa.pack(cfa.unpack(bright, "bayer3"), "bayer4")
    assert all(np.ptp(channel) < 1e-6 for channel in bright)


@pytest.mark.parametrize(("kind", "layout"), EVERY)
@pytest.mark.parametrize("sensor", [False, True])
def test_a_window_equals_its_part_of_the_whole(kind, layout, sensor):
    contract = arranged(kind, layout)
    if sensor and layout != "srgb":
        contract = replace(contract, input="sensor")
    frame = replace(
        frame_of(np.random.default_rng(0).integers(0, 16383, (92, 95), np.uint16), kind), camera_to_srgb=MATRIX
    )
    chosen = {"gains": np.array([2, 1, 1.7]), "ratio": 3.0, "contract": contract}
    height, width = cfa.packed_size(frame, contract)
    whole = cfa.bright(frame, slice(0, height), slice(0, width), **chosen)
    for rows, cols in (
        (slice(4, 12), slice(0, 8)),
        (slice(0, 8), slice(8, 16)),
        (slice(height - 8, height), slice(width - 12, width)),
    ):
        assert np.abs(cfa.bright(frame, rows, cols, **chosen) - whole[:, rows, cols]).max() < 1e-6


@pytest.mark.parametrize("kind", PACKINGS)
def test_a_picture_may_be_cut_anywhere(kind):
    frame = frame_of(np.random.default_rng(0).integers(0, 16383, (37, 41), np.uint16), kind)
    chosen = {"gains": np.array([2, 1, 1.7]), "ratio": 3.0, "contract": arranged(kind, "srgb", multiple=1)}
    whole = cfa.bright(frame, slice(0, 37), slice(0, 41), **chosen)
    for top, left in ((1, 3), (5, 7), (11, 2)):
        rows, cols = slice(top, top + 9), slice(left, left + 13)
        assert np.abs(cfa.bright(frame, rows, cols, **chosen) - whole[:, rows, cols]).max() < 1e-6


@pytest.mark.parametrize("kind", PACKINGS)
def test_a_picture_network_gets_the_mosaic_plainly_developed(kind):
    mosaic = np.random.default_rng(1).integers(300, 3000, (36, 48), np.uint16)
    frame = replace(frame_of(mosaic, kind), camera_to_srgb=MATRIX)
    gains = np.array([2, 1, 1.7], np.float32)
    bright = cfa.bright(
        frame, slice(0, 36), slice(0, 48), gains=gains, ratio=8, contract=arranged(kind, "srgb", multiple=1)
    )
    light = (mosaic.astype(np.float32) - 512) / (16383 - 512) * 8 * gains[colours((36, 48), kind)]
    plain = cfa.developed(np.minimum(light, 1), kind, MATRIX)
    assert np.abs(bright - plain)[:, 2:-2, 2:-2].max() < 1e-5  # at the edge one is mirrored, the other ends
    assert bright.min() == 0 and bright.max() == pytest.approx(1)


@pytest.mark.parametrize("kind", PACKINGS)
def test_developing_a_flat_colour_applies_matrix_and_curve(kind):
    colour = np.array([0.2, 0.5, 0.002], np.float32)
    for matrix in (MATRIX, np.eye(3, dtype=np.float32)):
        picture = cfa.developed(colour[colours((12, 12), kind)], kind, matrix)
        wanted = curves.linear_to_srgb(np.clip(matrix @ colour, 0, 1))
        assert np.allclose(picture, wanted[:, None, None], atol=1e-5)


@pytest.mark.parametrize("kind", PACKINGS)
def test_developing_keeps_noise_below_black_until_it_is_averaged(kind):
    light = np.random.default_rng(0).normal(0.01, 0.02, (120, 120)).astype(np.float32)
    picture = cfa.developed(light, kind, np.eye(3, dtype=np.float32))
    kept, cut = (cfa.developed(np.maximum(light, floor), kind, np.eye(3)) for floor in (-1, 0))
    assert picture.min() == 0 and (kept == picture).all() and kept.mean() < cut.mean()


def test_grey_world_undoes_a_cast():
    light = np.array([0.02, 0.04, 0.01])
    mosaic = 512 + light[colours((60, 60))] * (16383 - 512)
    gains = balance.grey_world(frame_of(np.rint(mosaic).astype(np.uint16), "bayer"))
    assert np.allclose(gains, [2, 1, 4], rtol=0.01)


def test_grey_world_leaves_a_frame_without_light_alone():
    assert (balance.grey_world(frame_of(np.full((6, 6), 512, np.uint16), "xtrans")) == 1).all()


@pytest.mark.parametrize("packing", cfa.SITES)
def test_demosaicking_a_flat_colour_gives_it_back(packing):
    colour = np.array([0.2, 0.5, 0.7], np.float32)
    picture = cfa.demosaic(cfa.pack(colour[colours((24, 24), KIND[packing])], packing), packing)
    assert np.allclose(picture, colour[:, None, None], atol=1e-6)


@pytest.mark.parametrize("kind", PACKINGS)
def test_sampling_sees_each_site_through_its_colour(kind):
    rgb = np.broadcast_to(np.array([0, 1, 2]), (13, 17, 3))
    assert (cfa.sample(rgb, kind) == colours((13, 17), kind)).all()


def seen(mosaic: np.ndarray, kind: str, gains: tuple[float, ...], ratio: float, **changes) -> np.ndarray:
    """What a network is given of a whole mosaic."""
    contract = replace(contract_for(kind), **changes)
    rows, columns = (slice(0, length // PIXEL[contract.packing]) for length in mosaic.shape)
    frame = frame_of(mosaic.clip(0, 16383).astype(np.uint16), kind)
    return cfa.bright(frame, rows, columns, gains=np.float32(gains), ratio=ratio, contract=contract)


@pytest.mark.parametrize("kind", PACKINGS)
@pytest.mark.parametrize(("gains", "ratio"), [((2, 1, 1.5), 0.5), ((0.8, 1, 2.6), 1.0), ((1.2, 1, 1.4), 0.7)])
def test_light_that_saturates_in_every_colour_is_neutral(kind, gains, ratio):
    white = seen(np.full((48, 48), 16383), kind, gains, ratio)
    assert np.allclose(white, min(max(gains) * ratio, 1), atol=1e-3)


def test_only_saturated_sites_are_rebuilt():
    """A lamp of light (1.6, 1.2, 0.3) times white's: green saturates, red and blue do not."""
    gains = (2, 1, 1.5)
    light = np.broadcast_to(np.float32([1.6, 1.2, 0.3]), (48, 48, 3))
    mosaic = 512 + cfa.sample(light / np.float32(gains), "bayer") * 15871
    red, green, blue, other = seen(mosaic, "bayer", gains, 0.5).mean((1, 2))
    assert (red, green, blue, other) == pytest.approx((0.8, 0.8, 0.15, 0.8), abs=1e-3)


def test_what_saturates_beyond_white_is_left_to_the_network():
    white = seen(np.full((48, 48), 16383), "bayer", (2, 1, 1.5), 1.0, input="headroom")
    assert sorted(white[:, 0, 0].tolist()) == pytest.approx([1, 1, 1.5, 2])


def test_beyond_the_edge_cells_follow_as_in_a_mirror_that_stands_in_the_last_one():
    assert cfa._mirror(slice(-4, 12), 8, 2).tolist() == [4, 5, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 2, 3]


@pytest.mark.parametrize(
    ("packing", "multiple", "shape", "wanted"),
    [
        ("bayer4", 4, (40, 48), (20, 24)),
        ("bayer4", 4, (41, 49), (24, 28)),
        ("bayer3", 4, (41, 48), (44, 48)),
        ("xtrans9", 4, (36, 37), (12, 16)),
        ("xtrans36", 2, (36, 37), (6, 8)),
        ("srgb3", 1, (37, 41), (37, 41)),
    ],
)
def test_a_mosaic_is_covered_by_as_few_packed_pixels_as_the_network_takes(packing, multiple, shape, wanted):
    kind = KIND[packing] or "bayer"
    contract = contract_for(kind, packing=packing, multiple=multiple)
    assert cfa.packed_size(frame_of(np.zeros(shape, np.uint16), kind), contract) == wanted


@pytest.mark.parametrize(
    ("length", "period", "span", "wanted"),
    [
        (8, 2, slice(8, 16), [4, 5, 2, 3, 0, 1, 2, 3]),
        (7, 2, slice(4, 12), [4, 5, 6, 3, 0, 1, 2, 3]),
        (2, 2, slice(-3, 5), [1, 0, 1, 0, 1, 0, 1, 0]),
        (12, 6, slice(-7, 1), [5, 6, 7, 8, 9, 10, 11, 0]),
        (13, 6, slice(11, 20), [11, 12, 1, 2, 3, 4, 5, 6, 7]),
        (3, 1, slice(-2, 6), [2, 1, 0, 1, 2, 1, 0, 1]),
    ],
)
def test_a_mirror_keeps_sites_in_their_place_of_the_cell(length, period, span, wanted):
    assert cfa._mirror(span, length, period).tolist() == wanted


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("rows", "within"),
    [(slice(0, 8), True), (slice(2, 6), True), (slice(-2, 8), False), (slice(0, 10), False), (slice(-2, 10), False)],
)
def test_of_a_window_within_the_mosaic_no_copy_is_made(rows, within, turned):
    mosaic = np.arange(8 * 12, dtype=np.uint16).reshape(8, 12)
    window = (mosaic.T, slice(0, 12), rows) if turned else (mosaic, rows, slice(0, 12))
    assert np.shares_memory(cfa._window(*window, 2), mosaic) is within


@pytest.mark.parametrize("kind", PACKINGS)
def test_the_plain_demosaic_weighs_sites_by_their_distance_along_each_axis(kind):
    mosaic = np.random.default_rng(0).random((12, 12), np.float32)
    seen, far = colours((12, 12), kind), {"bayer": 2, "xtrans": 3}[kind]
    rows, columns = np.indices((12, 12))
    wanted = np.empty((3, 12, 12))
    for colour, row, column in np.ndindex(3, 12, 12):
        weights = np.maximum(far - abs(rows - row), 0) * np.maximum(far - abs(columns - column), 0) * (seen == colour)
        wanted[colour, row, column] = (weights * mosaic).sum() / weights.sum()
    for packing in (PACKINGS[kind], {"bayer": "bayer3", "xtrans": "xtrans36"}[kind]):
        assert np.allclose(cfa.demosaic(cfa.pack(mosaic, packing), packing), wanted, atol=1e-5)


def test_a_matrix_is_applied_to_every_pixel():
    camera = np.random.default_rng(0).random((3, 4, 5), np.float32)
    assert np.allclose(cfa.coloured(camera, MATRIX), np.tensordot(MATRIX, camera, 1), atol=1e-6)


@pytest.mark.parametrize("rows", [2, 4])
def test_a_matrix_has_a_row_for_each_colour(rows):
    with pytest.raises(ValueError):
        cfa.coloured(np.zeros((3, 4, 5), np.float32), np.ones((rows, 3)))


@pytest.mark.parametrize("packing", cfa.SITES)
def test_sites_within_a_thousandth_of_where_they_saturate_are_rebuilt(packing):
    kind = KIND[packing]
    limits = np.float32([0.4, 0.2, 0.3])
    for share, rebuilt in ((0.9985, False), (0.9995, True)):
        light = np.full((12, 12), 0.1, np.float32)
        light[0, 0] = 0.35  # red, and not saturated
        light[colours((12, 12), kind) == 1] = 0.2 * share
        packed = cfa.pack(light, packing)
        brightest = np.broadcast_to(packed.max(0), packed.shape)
        green = np.isclose(packed, 0.2 * share, rtol=1e-5)
        wanted = np.where(green, brightest, packed) if rebuilt else packed.copy()
        cfa.rebuilt(packed, limits, packing)
        assert np.array_equal(packed, wanted)


def test_a_sensor_network_is_shown_what_saturates_as_it_is():
    white = seen(np.full((48, 48), 16383), "bayer", (2, 1, 1.5), 0.5, input="sensor", output="srgb")
    assert np.allclose(white, 0.5)
    kept = seen(np.full((48, 48), 16383), "bayer", (2, 1, 1.5), 0.5, input="headroom")
    assert np.allclose(kept, 1.0), "light below white is rebuilt for this one, too"
