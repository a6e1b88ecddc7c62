"""Tiles: nothing shows where they meet, and they keep to their memory."""

import threading

import numpy as np
import pytest
from made import contract_for, joined

from darkroom.develop import engines, model, tiles
from darkroom.develop.curves import FULL
from darkroom.errors import ModelError, SettingsError

REACH = 4


def blur(bright: np.ndarray) -> np.ndarray:
    """A network that sees REACH pixels around each, zero-padded as convolutions are, and doubles the size."""
    plane = bright[0]
    padded = np.pad(plane, REACH)
    mean = sum(
        padded[i : i + plane.shape[0], j : j + plane.shape[1]]
        for i in range(2 * REACH + 1)
        for j in range(2 * REACH + 1)
    )
    return np.repeat(np.repeat(mean[None] / (2 * REACH + 1) ** 2, 2, 1), 2, 2).repeat(3, 0).astype(np.float32)


def run(image: np.ndarray, memory: int, **changes) -> np.ndarray:
    pieces = tiles.run(
        blur,
        lambda rows, cols: image[:, rows, cols],
        size=image.shape[1:],
        contract=contract_for("bayer", **changes),
        pixel_bytes=100,
        memory=memory,
        on_tile=lambda done, tiles: None,
    )
    return joined(pieces, (2 * image.shape[1], 2 * image.shape[2]))


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).random((4, 72, 88), np.float32)


def test_tiled_equals_whole(image):
    whole = run(image, 10**9)
    for memory in (400_000, 200_000, 90_000):
        difference = np.abs(run(image, memory).astype(int) - whole)
        assert difference.max() <= 1


@pytest.mark.parametrize("pixels", [1, 7, 14, 1 << 20])
def test_an_output_is_rounded_and_cut(monkeypatch, pixels):
    monkeypatch.setattr(tiles, "_BAND", pixels)
    values = np.array([-0.2, 0, 0.4 / 65535, 0.6 / 65535, 0.5, 1, 1.2], np.float32)
    rows = np.stack([np.roll(values, shift) for shift in range(5)])
    rounded = tiles._rounded(np.stack([rows, rows[::-1], 1 - rows]), "n", "here")
    wanted = np.array([0, 0, 0, 1, 32768, 65535, 65535], np.uint16)
    wanted = np.stack([np.roll(wanted, shift) for shift in range(5)])
    assert rounded.dtype == np.uint16
    assert np.array_equal(rounded[0], wanted) and np.array_equal(rounded[1], wanted[::-1])
    assert np.array_equal(rounded[2], np.floor((1 - rows).clip(0, 1) * np.float32(65535) + np.float32(0.5)))


def test_an_output_is_taken_before_the_network_runs_again(image):
    """As an engine gives it: in memory that the next run writes to."""
    lent = {}

    def network(seen: np.ndarray) -> np.ndarray:
        rgb = blur(seen)
        lent.setdefault(rgb.shape, np.empty_like(rgb))[:] = rgb
        return lent[rgb.shape]

    pieces = tiles.run(
        network,
        lambda rows, cols: image[:, rows, cols],
        size=image.shape[1:],
        contract=contract_for("bayer"),
        pixel_bytes=100,
        memory=90_000,
        on_tile=lambda done, tiles: None,
    )
    assert np.array_equal(joined(list(pieces), (144, 176)), run(image, 90_000))


def test_too_small_a_halo_seams(image):
    whole = run(image, 10**9).astype(int)
    assert np.abs(run(image, 90_000, halo=0) - whole).max() > 0.1 / 255 * FULL


def test_the_next_tile_is_prepared_while_the_network_works(image):
    prepared, started = [], threading.Event()

    def bright(rows: slice, cols: slice) -> np.ndarray:
        prepared.append((rows, cols))
        if len(prepared) == 2:
            started.set()
        return image[:, rows, cols]

    def network(seen: np.ndarray) -> np.ndarray:
        assert started.wait(30), "the second tile waits for the first"
        return blur(seen)

    contract = contract_for("bayer")
    next(
        tiles.run(
            network, bright, size=(72, 88), contract=contract, pixel_bytes=100, memory=90_000, on_tile=lambda *_: None
        )
    )
    assert len(prepared) == 2


@pytest.mark.parametrize("memory", [60_000, 90_000, 100_000, 300_000, 10**9])
@pytest.mark.parametrize("size", [(72, 88), (8, 400), (4, 4), (136, 68)])
def test_all_tiles_are_of_one_size_and_waste_nothing(size, memory):
    contract = contract_for("bayer")
    plan = tiles.plan(*size, contract, pixel_bytes=100, memory=memory)
    (tall,), (wide,) = (
        {seen.stop - seen.start for seen in seens}
        for seens in ([tile.seen_rows for tile in plan], [tile.seen_cols for tile in plan])
    )
    down, across = len({tile.core_rows.start for tile in plan}), len({tile.core_cols.start for tile in plan})
    for parts, side, length in ((down, tall, size[0]), (across, wide, size[1])):
        assert parts * side < length + 2 * (parts - 1) * contract.halo + parts * contract.multiple


def test_halos_cost_at_most_a_quarter_at_12_mp():
    for name in ("fast-bayer", "fine-bayer"):
        contract = model.read_contract(model.find(name))
        room = engines.ROOM["bf16"].pixel_bytes(contract)
        plan = tiles.plan(1424, 2136, contract, pixel_bytes=room, memory=700 * 10**6)
        seen = plan[0].seen_rows.stop * plan[0].seen_cols.stop * len(plan)
        assert seen <= 1.25 * 1424 * 2136, name


@pytest.mark.parametrize("memory", [60_000, 100_000, 300_000, 10**9])
def test_every_pixel_belongs_to_one_core_and_no_tile_is_too_large(memory):
    contract = contract_for("bayer")
    count = np.zeros((72, 88), int)
    for tile in tiles.plan(72, 88, contract, pixel_bytes=100, memory=memory):
        count[tile.core_rows, tile.core_cols] += 1
        seen = (tile.seen_rows.stop - tile.seen_rows.start) * (tile.seen_cols.stop - tile.seen_cols.start)
        assert seen * 100 <= memory
        assert tile.seen_rows.start % contract.multiple == tile.seen_cols.start % contract.multiple == 0
    assert (count == 1).all()


def test_the_plan_is_one_tile_when_memory_allows():
    assert len(tiles.plan(72, 88, contract_for("bayer"), pixel_bytes=100, memory=10**9)) == 1


def test_an_image_smaller_than_any_tile_works():
    assert run(np.ones((4, 4, 4), np.float32), 10**6).shape == (3, 8, 8)


def test_progress_counts_every_tile(image):
    heard = []
    pieces = tiles.run(
        blur, lambda rows, cols: image[:, rows, cols], size=(72, 88), contract=contract_for("bayer"), pixel_bytes=100,
        memory=90_000, on_tile=lambda done, tiles: heard.append((done, tiles)),
    )  # fmt: skip
    assert heard == [], "nothing runs before the first piece is asked for"
    for given, _ in enumerate(pieces, 1):
        assert len(heard) == given
    assert heard == [(i + 1, len(heard)) for i in range(len(heard))] and len(heard) > 1


def test_a_value_that_is_not_finite_is_an_error(image):
    image[0, 50, 50] = np.nan
    with pytest.raises(ModelError, match="not finite in tile"):
        run(image, 90_000)


def test_too_little_memory_says_how_much_is_needed():
    with pytest.raises(SettingsError, match="raise --memory"):
        tiles.plan(72, 88, contract_for("bayer"), pixel_bytes=100, memory=1000)


@pytest.mark.parametrize("onward", ["down", "up", "right", "left"])
def test_tiles_go_strip_by_strip_the_way_that_is_asked_for(onward):
    plan = tiles.plan(72, 88, contract_for("bayer"), pixel_bytes=100, memory=100_000, onward=onward)
    starts = [(t.core_rows if onward in ("down", "up") else t.core_cols).start for t in plan]
    assert starts == sorted(starts, reverse=onward in ("up", "left")) and len(set(starts)) > 1
    assert sum(t.core_rows.stop == 72 for t in plan) == len({t.core_cols.start for t in plan})


def test_a_strip_beside_the_tiles_is_paid_from_their_memory():
    contract, memory = contract_for("bayer"), 300_000
    plain = tiles.plan(72, 88, contract, pixel_bytes=100, memory=memory)
    thrifty = tiles.plan(72, 88, contract, pixel_bytes=100, memory=memory, strip_bytes=60)
    tall, wide = (seen.stop - seen.start for seen in (thrifty[0].seen_rows, thrifty[0].seen_cols))
    assert 100 * tall * wide + 60 * tall * 88 <= memory
    assert len(thrifty) > len(plain)


def shortest(length, parts, contract):
    """The least side, in whole multiples, of so many tiles that cover a length and overlap by two halos."""
    side = contract.multiple * (1 if parts == 1 else 1 + 2 * contract.halo // contract.multiple)
    while parts * (side - 2 * contract.halo) + 2 * contract.halo < length:
        side += contract.multiple
    return min(side, length)


def cheapest(height, width, contract, pixel_bytes, memory, onward, strip_bytes):
    """Sides of the tiles that cost least, by trying all of them."""
    found = []
    for down in range(1, height // contract.multiple + 1):
        for across in range(1, width // contract.multiple + 1):
            tall, wide = shortest(height, down, contract), shortest(width, across, contract)
            strip = tall * width if onward in ("down", "up") else wide * height
            taken = pixel_bytes * tall * wide + strip_bytes * strip
            if taken <= memory:
                found.append((down * across * (tall * wide + 10_000) * (1 + taken / 1.9e9), tall, wide))
    return min(found)[1:]


@pytest.mark.parametrize("onward", ["down", "up", "right", "left"])
@pytest.mark.parametrize(
    ("size", "multiple", "halo", "pixel_bytes", "memory", "strip_bytes"),
    [
        ((1424, 2128), 16, 32, 2000, 700 * 10**6, 0),
        ((1424, 2128), 16, 32, 2000, 300 * 10**6, 300),
        ((2128, 1424), 16, 16, 9000, 900 * 10**6, 100),
        ((320, 2128), 16, 48, 4000, 90 * 10**6, 30),
        ((96, 2400), 8, 8, 100, 700_000, 3),
        ((2400, 96), 8, 8, 100, 700_000, 3),
        ((72, 88), 4, 4, 100, 60_000, 10),
        ((72, 88), 4, 0, 100, 60_000, 10),
        ((72, 88), 4, 4, 100, 60_000, 0),
        ((256, 300), 4, 4, 10**6, 10**10, 0),
    ],
)
def test_the_tiles_are_the_cheapest_of_all(size, multiple, halo, pixel_bytes, memory, strip_bytes, onward):
    contract = contract_for("bayer", multiple=multiple, halo=halo)
    plan = tiles.plan(*size, contract, pixel_bytes=pixel_bytes, memory=memory, onward=onward, strip_bytes=strip_bytes)
    seen = plan[0].seen_rows, plan[0].seen_cols
    wanted = cheapest(*size, contract, pixel_bytes, memory, onward, strip_bytes)
    assert tuple(side.stop - side.start for side in seen) == wanted


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 22])
@pytest.mark.parametrize("length", [4, 40, 88, 132])
def test_a_side_is_as_short_as_its_halos_allow(length, parts):
    for contract in (contract_for("bayer"), contract_for("bayer", multiple=2, halo=8), contract_for("bayer", halo=0)):
        assert tiles._side(length, parts, contract) == shortest(length, parts, contract)


@pytest.mark.parametrize(
    ("onward", "needed", "more"), [("down", 25, 20), ("up", 25, 20), ("right", 23, 18), ("left", 23, 18)]
)
def test_the_smallest_tile_and_its_strip_are_what_is_needed(onward, needed, more):
    """A tile of 12 x 12 at 100 kB, a strip of 12 x 88 or 72 x 12 at 10 kB."""
    wishes = {"pixel_bytes": 100_000, "onward": onward, "strip_bytes": 10_000}
    with pytest.raises(SettingsError) as refusal:
        tiles.plan(72, 88, contract_for("bayer"), memory=5_000_000, **wishes)
    assert str(refusal.value) == (f"memory: a tile of test needs {needed} MB, 5 are left; raise --memory by {more}MB")
    with pytest.raises(SettingsError, match=f"needs {needed} MB, 0 are left; raise --memory by {needed + 3}MB$"):
        tiles.plan(72, 88, contract_for("bayer"), memory=-3_000_000, **wishes)


def test_a_tile_may_take_all_of_the_memory():
    assert len(tiles.plan(72, 88, contract_for("bayer"), pixel_bytes=100, memory=14_400)) == 18 * 22 - 2 * (18 + 22) + 4
    with pytest.raises(SettingsError):
        tiles.plan(72, 88, contract_for("bayer"), pixel_bytes=100, memory=14_399)


@pytest.mark.parametrize(("length", "side", "halo"), [(40, 24, 4), (88, 12, 4), (40, 40, 4), (60, 24, 8), (44, 16, 0)])
def test_a_core_lies_a_halo_inside_of_what_its_tile_sees(length, side, halo):
    covered = []
    for seen, core in tiles._spans(length, side, halo):
        assert seen.stop - seen.start == side and 0 <= seen.start and seen.stop <= length
        assert core.start - seen.start >= halo or core.start == seen.start == 0
        assert seen.stop - core.stop >= halo or core.stop == seen.stop == length
        covered += range(core.start, core.stop)
    assert covered == list(range(length))


@pytest.mark.parametrize("onward", ["down", "up", "right", "left"])
def test_every_tile_sees_the_rows_and_columns_around_its_own_core(onward):
    for tile in tiles.plan(72, 88, contract_for("bayer"), pixel_bytes=100, memory=60_000, onward=onward):
        for seen, core, length in ((tile.seen_rows, tile.core_rows, 72), (tile.seen_cols, tile.core_cols, 88)):
            assert seen.start <= max(0, core.start - 4) and seen.stop >= min(length, core.stop + 4)


@pytest.mark.parametrize(
    ("value", "rest", "count", "refused"),
    [
        (1.26, 0.5, 31, True),
        (1.26, 0.5, 30, False),
        (1.25, 0.5, 31, False),
        (-0.26, 0.5, 31, True),
        (-0.26, 0.5, 30, False),
        (-0.25, 0.5, 31, False),
        (1.26, -0.26, 9, True),
    ],
)
def test_an_output_is_of_another_scale_where_most_of_it_is_more_than_a_quarter_off(value, rest, count, refused):
    """Of 60 values, `count` of one kind."""
    rgb = np.full((3, 4, 5), rest, np.float32)
    rgb.flat[:count] = value
    if refused:
        with pytest.raises(ModelError, match="^n: gave .* in tile 1, its contract says 0 to 1; export it again$"):
            tiles._rounded(rgb, "n", "in tile 1")
    else:
        rounded = tiles._rounded(rgb, "n", "in tile 1")
        assert np.array_equal(rounded, np.floor(rgb.clip(0, 1) * np.float32(FULL) + np.float32(0.5)))
