"""Tiles: nothing shows where they meet, and they keep to their memory."""

import threading

import numpy as np
import pytest
from made import FULL, contract_for, joined

from darkroom.develop import engines, model, tiles
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
