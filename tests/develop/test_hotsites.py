"""Hot and dead sites go, stars and texture stay; and the noise that tells them apart is found in the frame."""

from dataclasses import replace

import numpy as np
import pytest
from made import frame_of

from darkroom.develop import grain, hotsites
from darkroom.frame import CELL

SHAPE = (192, 240)
KINDS = ("bayer", "xtrans")


def flat(level: float = 30, sd: float = 4, seed: int = 0, shape=SHAPE) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sd, shape)
    return np.rint(512 + level + noise).astype(np.uint16)


def places(sites: hotsites.Places) -> set[tuple[int, int]]:
    return set(zip(*(axis.tolist() for axis in sites), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_found_in_the_frame_whatever_hot_sites_it_has(kind):
    light = np.linspace(0, 4000, 1200)[None, :].repeat(960, 0)
    rng = np.random.default_rng(1)
    mosaic = np.rint(512 + 1.5 * rng.poisson(light / 1.5) + rng.normal(0, 5, light.shape)).astype(np.uint16)
    mosaic.reshape(-1)[rng.integers(mosaic.size, size=500)] += 3000
    found = grain.measure(frame_of(mosaic, kind))
    assert found.gain == pytest.approx(1.5, rel=0.1)
    assert found.at(2000) == pytest.approx(np.sqrt(25 + 3000), rel=0.1)


def test_detail_does_not_pass_for_noise():
    mosaic = flat(sd=4)
    mosaic[:, :120] += np.random.default_rng(2).integers(0, 800, (192, 120), np.uint16)
    assert grain.measure(frame_of(mosaic, "bayer")).at(30) == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [(0, 0), (0, 239), (191, 3), (64, 63), (101, 118), (102, 119)])
def test_a_hot_site_is_filled_in_wherever_it_is(kind, place):
    mosaic = flat()
    mosaic[place] = 900
    frame = frame_of(mosaic, kind)
    mended, count = hotsites.mended(frame, grain.measure(frame))
    assert abs(int(mended.mosaic[place]) - 542) < 15
    assert place in places(hotsites.found(frame, grain.measure(frame))) and count < 10
    assert frame.mosaic[place] == 900, "the frame itself stays"


def test_a_dead_site_in_the_light_is_filled_in():
    mosaic = flat(level=2000, sd=40)
    mosaic[50, 51] = 512
    frame = frame_of(mosaic, "bayer")
    assert abs(int(hotsites.mended(frame, grain.measure(frame))[0].mosaic[50, 51]) - 2512) < 100


@pytest.mark.parametrize("kind", KINDS)
def test_stars_stay(kind):
    rng = np.random.default_rng(3)
    light = np.zeros(SHAPE)
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    centres = [(row + rng.uniform(-0.5, 0.5), column + rng.uniform(-0.5, 0.5)) for row in range(10, 180, 12)
               for column in range(10, 230, 12)]  # fmt: skip
    for row, column in centres:
        light += rng.uniform(100, 3000) * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) * np.log(2))
    cell = CELL[kind]
    colour = np.tile(cell, (SHAPE[0] // len(cell) + 1, SHAPE[1] // len(cell) + 1))[: SHAPE[0], : SHAPE[1]]
    mosaic = flat() + (light / np.array([2, 1, 1.5])[colour]).astype(np.uint16)
    frame = frame_of(mosaic, kind)
    found = places(hotsites.found(frame, grain.measure(frame)))
    near = [(row, column) for row, column in found if light[row, column] > 20]
    assert len(near) <= 1


def test_texture_without_noise_stays():
    mosaic = np.full(SHAPE, 4000, np.uint16)
    mosaic[::3, ::5] = 6000  # fine enough to fool neighbours of one colour
    mosaic[1::3, ::5] = 6000
    frame = frame_of(mosaic, "bayer")
    assert hotsites.mended(frame, grain.measure(frame))[1] == 0


@pytest.mark.parametrize("white", [1023, 4095, 65535])
def test_no_arithmetic_overflows_at_any_depth(white):
    rng = np.random.default_rng(4)
    mosaic = rng.normal(0.9 * white, 0.02 * white, SHAPE).clip(0, white).astype(np.uint16)
    mosaic[60, 60] = 0
    frame = frame_of(mosaic, "bayer", black=white // 16, white=white)
    mended, count = hotsites.mended(frame, grain.measure(frame))
    assert mended.mosaic[60, 60] > 0.7 * white and count < 10


def test_a_hot_site_that_the_file_calls_bad_counts_once():
    mosaic = flat()
    mosaic[100, 200] = 9000
    frame = frame_of(mosaic, "bayer")
    listed = replace(frame, defects=np.array([[100, 200], [5, 7]]))
    assert [hotsites.mended(each, grain.measure(each))[1] for each in (frame, listed)] == [1, 2]


def test_sites_that_the_file_calls_bad_are_filled_in():
    mosaic = flat()
    frame = replace(frame_of(mosaic, "bayer"), defects=np.array([[5, 7], [100, 200]]))
    mended, count = hotsites.mended(frame, grain.measure(frame))
    assert count == 2
    for row, column in frame.defects:
        near = [mosaic[row + down, column + across] for down in (-2, 0, 2) for across in (-2, 0, 2) if down or across]
        assert mended.mosaic[row, column] == int(np.median(near))


def test_a_frame_that_is_clipped_throughout_tells_nothing_of_noise():
    frame = frame_of(np.full(SHAPE, 16383, np.uint16), "bayer")
    assert grain.measure(frame).gain == 0


@pytest.mark.parametrize("gains", [None, (4.0, 1.0, 1.0), (1.0, 1.0, 4.0)])
def test_a_star_is_known_by_its_light_whatever_the_white_balance(gains):
    """A white star on a site of each colour; what other colours tell of it is weighed by the gains."""
    mosaic = flat(sd=1, seed=5).astype(np.float64)
    cell, shares = CELL["bayer"], 1 / np.array(gains or (1, 1, 1))
    rows, columns = np.indices(SHAPE)
    for row, column in ((60, 60), (60, 101), (101, 60), (101, 101)):
        light = 4000 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) * np.log(2) / 0.5)
        mosaic += light * shares[cell[rows % 2, columns % 2]]
    frame = replace(
        frame_of(np.rint(mosaic).astype(np.uint16), "bayer"),
        white_balance=None if gains is None else np.array(gains, np.float32),
    )
    assert hotsites.mended(frame, grain.measure(frame))[1] <= 2


@pytest.mark.parametrize(("light", "filled"), [(60, 1), (2000, 0)])
def test_a_glint_in_bright_texture_stays_where_the_like_in_the_dark_is_a_hot_site(light, filled):
    """A site above its neighbours by twice what these differ by."""
    mosaic = np.full(SHAPE, 512 + light, np.float64)
    mosaic += np.random.default_rng(7).normal(0, 1, SHAPE)
    mosaic[58:63:4, 58:63:4] += 100
    mosaic[60, 60] += 100 + 2 * 100
    frame = frame_of(np.rint(mosaic).astype(np.uint16), "bayer")
    taken = places(hotsites.found(frame, grain.measure(frame)))
    assert ((60, 60) in taken) == bool(filled)


def test_a_hot_site_among_smooth_light_is_filled_in_however_bright():
    mosaic = flat(level=3000, sd=30)
    mosaic[60, 61] += 900
    frame = frame_of(mosaic, "bayer")
    assert (60, 61) in places(hotsites.found(frame, grain.measure(frame)))


SPOTS = [(kind, spot) for kind in KINDS for spot in np.ndindex(CELL[kind].shape)]
SILENT = grain.Noise(0.01, 0.0)


def folded(place: int, length: int) -> int:
    """Where the mosaic goes on beyond its edge: two cells of X-Trans further in."""
    return place + 12 if place < 0 else place - 12 if place >= length else place


@pytest.mark.parametrize("length", [12, 13, 30])
def test_beyond_an_edge_the_mosaic_goes_on_as_twelve_sites_further_in(length):
    beside = range(-3, length + 3)
    assert [hotsites._folded(place, length) for place in beside] == [folded(place, length) for place in beside]
    found = hotsites._folded(np.array(beside), length)
    assert found.tolist() == [folded(place, length) for place in beside]


@pytest.mark.parametrize("margin", [2, 3])
@pytest.mark.parametrize(("top", "bottom"), [(0, 30), (0, 10), (1, 12), (20, 30), (27, 29), (3, 27)])
def test_a_band_has_its_margin_all_round(margin, top, bottom):
    mosaic = np.random.default_rng(0).integers(0, 65536, (30, 17), np.uint16)
    rows = [folded(row, 30) for row in range(top - margin, bottom + margin)]
    columns = [folded(column, 17) for column in range(-margin, 17 + margin)]
    assert np.array_equal(hotsites._padded(mosaic, top, bottom, margin), mosaic[np.ix_(rows, columns)])


@pytest.mark.parametrize(("kind", "spot"), SPOTS)
def test_neighbours_are_the_eight_nearest_of_a_sites_own_colour(kind, spot):
    cell, side, reach = CELL[kind], len(CELL[kind]), range(-3, 4)
    near = hotsites._near(kind, spot)
    like = {
        (down, across): down**2 + across**2
        for down in reach
        for across in reach
        if cell[(spot[0] + down) % side, (spot[1] + across) % side] == cell[spot]
    }
    assert len(set(near)) == 8 and set(near) <= set(like) - {(0, 0)}
    if kind == "xtrans":
        assert sorted(like[offset] for offset in near) == sorted(like.values())[1:9]
    else:
        assert {max(map(abs, offset)) for offset in near} == {2}


@pytest.mark.parametrize("kind", KINDS)
def test_extremes_are_those_of_the_neighbours(kind):
    mosaic = np.random.default_rng(0).integers(0, 65536, (24, 30), np.uint16)
    step, margin = (1, 2) if kind == "bayer" else (6, 3)
    band = hotsites._padded(mosaic, 0, 24, margin)
    for spot in np.ndindex(step, step):
        high, low, own = hotsites._extremes(band, hotsites._near(kind, spot), spot, step, margin)
        rows, columns = np.meshgrid(range(spot[0], 24, step), range(spot[1], 30, step), indexing="ij")
        near = [band[rows + margin + down, columns + margin + across] for down, across in hotsites._near(kind, spot)]
        assert np.array_equal(own, mosaic[rows, columns])
        assert np.array_equal(high, np.max(near, axis=0)) and np.array_equal(low, np.min(near, axis=0))


def test_places_are_sorted_by_their_site_of_the_cell():
    rows, columns = np.random.default_rng(0).integers(0, 100, (2, 60))
    sorted_places = hotsites._by_spot(rows, columns, 6)
    assert sorted(np.concatenate([those for _, those in sorted_places]).tolist()) == list(range(60))
    assert len({spot for spot, _ in sorted_places}) == len(sorted_places)
    for spot, those in sorted_places:
        assert {(row % 6, column % 6) for row, column in zip(rows[those], columns[those], strict=True)} == {spot}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("noise", [grain.Noise(10, 0), grain.Noise(8, 1.5), grain.Noise(40, 0.001), grain.Noise(1, 60)])
def test_whatever_stands_out_is_a_candidate_and_little_else(kind, noise):
    rng = np.random.default_rng(6)
    light = np.linspace(0, 9000, 90)[None, :].repeat(78, 0)
    mosaic = np.rint(512 + light + 1.5 * rng.normal(0, noise.at(light))).clip(0, 16383).astype(np.uint16)
    odd = rng.integers(mosaic.size, size=60)
    mosaic.reshape(-1)[odd[:30]], mosaic.reshape(-1)[odd[30:]] = 16383, 0
    frame = frame_of(mosaic, kind)
    candidates, apart = places(hotsites._candidates(frame, noise)), set()
    rows, columns = np.indices(mosaic.shape).reshape(2, -1)
    for spot, those in hotsites._by_spot(rows, columns, len(frame.black)):
        here = (rows[those], columns[those])
        stands = hotsites._is_apart(frame, noise, here, spot)
        apart |= places((here[0][stands], here[1][stands]))
        values = hotsites._values(mosaic, here, np.array(hotsites._near(kind, spot)), len(frame.black))
        beyond = np.maximum(mosaic[here] - values.max(1), values.min(1) - mosaic[here])
        least = 4.5 * noise.read - 1
        assert not candidates & places((here[0][beyond < least], here[1][beyond < least]))
    assert len(apart) > 20 and apart <= candidates


@pytest.mark.parametrize(("kind", "place"), [(kind, place) for kind in KINDS for place in ((0, 0), (13, 64), (70, 5))])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_candidate_in_the_dark_stands_out_by_four_and_a_half_times_the_noise(kind, place, sign):
    for excess, taken in ((45, False), (46, True)):
        mosaic = np.full((72, 66), 512, np.uint16)
        mosaic[place] = 512 + sign * excess
        found = places(hotsites._candidates(frame_of(mosaic, kind), grain.Noise(10, 0)))
        assert found == ({place} if taken else set())


def apart(mosaic: np.ndarray, noise: grain.Noise, *, black: np.ndarray | None = None) -> bool:
    frame = frame_of(mosaic, "bayer")
    frame = frame if black is None else replace(frame, black=black)
    return bool(hotsites._is_apart(frame, noise, (np.array([6]), np.array([7])), (0, 1))[0])


@pytest.mark.parametrize("sign", [1, -1])
def test_a_site_is_apart_beyond_the_noise_that_its_neighbours_have(sign):
    """At 400 DN above the black of its own kind of site the noise is 20 DN, of which it takes 90."""
    black = np.array([[0, 600], [0, 0]], np.float32)
    for excess, wanted in ((90, False), (91, True)):
        mosaic = np.full((16, 16), 1000, np.uint16)
        mosaic[6, 7] = 1000 + sign * excess
        assert apart(mosaic, grain.Noise(0, 1), black=black) is wanted


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("level", "least"), [(600, 100), (1000, 800)])
def test_a_site_is_apart_beyond_half_of_what_its_neighbours_differ_or_four_times_that_in_light(level, least, sign):
    for excess, wanted in ((least, False), (least + 1, True)):
        mosaic = np.full((16, 16), level, np.uint16)
        mosaic[4, 7], mosaic[6, 7] = level - sign * 200, level + sign * excess
        assert apart(mosaic, SILENT) is wanted


@pytest.mark.parametrize(("kind", "spot"), SPOTS)
@pytest.mark.parametrize("gains", [None, (2.0, 1.0, 1.5), (0.5, 1.0, 3.0)])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_site_is_no_star_whose_neighbours_have_less_than_a_seventh_of_the_light(kind, spot, gains, sign):
    """A star of two sites' width, of which the neighbours have half and a quarter, by their gains, on any ground.

    Of those of its own colour that it is measured by nothing is said, so that the others say more.
    """
    cell, side = CELL[kind], len(CELL[kind])
    colour = np.tile(cell, (60 // side, 60 // side))
    white_balance = None if gains is None else np.array(gains, np.float32)
    shares = 1 / np.array(gains or (1, 1, 1))
    row, column = 24 + spot[0], 24 + spot[1]
    shape = {
        (down, across): shares[colour[row + down, column + across]] / shares[cell[spot]] / 2 ** (down**2 + across**2)
        for down in (-1, 0, 1)
        for across in (-1, 0, 1)
        if down or across
    }
    heard = {offset: part for offset, part in shape.items() if offset not in hotsites._near(kind, spot)}
    more = sum(np.square(list(shape.values()))) / sum(np.square(list(heard.values())))
    for share, star in ((0.14, False), (0.16, True)):
        mosaic = np.array([20000, 24000, 28000])[colour].astype(np.float64)
        mosaic[row, column] += sign * 4000
        for (down, across), part in heard.items():
            mosaic[row + down, column + across] += sign * 4000 * share * more * part
        frame = replace(frame_of(np.rint(mosaic).astype(np.uint16), kind, white=65535), white_balance=white_balance)
        alone = hotsites._is_no_star(frame, (np.array([row]), np.array([column])), spot)
        assert alone.tolist() == [not star]


def test_a_frame_without_defects_comes_back_as_it_is():
    frame = frame_of(np.full((24, 24), 600, np.uint16), "bayer")
    assert hotsites.mended(frame, SILENT) == (frame, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_defects_are_found_in_order_and_filled_by_the_median_of_their_neighbours(kind):
    mosaic = np.random.default_rng(8).integers(600, 660, (150, 138), np.uint16)
    hot = [(3, 70), (12, 9), (63, 50), (64, 90), (100, 7), (149, 137)]
    for place in hot:
        mosaic[place] = 9000
    frame = frame_of(mosaic, kind)
    rows, columns = hotsites.found(frame, grain.Noise(10, 0))
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == hot
    made, count = hotsites.mended(frame, grain.Noise(10, 0))
    assert count == len(hot) and (made.mosaic != mosaic).sum() == len(hot)
    for row, column in hot:
        spot = row % len(frame.black), column % len(frame.black)
        near = [
            mosaic[folded(row + down, 150), folded(column + across, 138)] for down, across in hotsites._near(kind, spot)
        ]
        assert made.mosaic[row, column] == int(np.median(near))


def test_the_ring_is_what_lies_two_and_three_sites_away():
    assert sorted(hotsites._ring()) == [
        (down - 3, across - 3) for down, across in np.ndindex(7, 7) if not (1 < down < 5 and 1 < across < 5)
    ]
