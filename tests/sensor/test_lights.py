"""What is drawn into photos to make nights of them."""

import numpy as np
import pytest

from darkroom.sensor import lights


def grey(level: float = 0.2, shape: tuple[int, int] = (64, 96)) -> np.ndarray:
    return np.full((*shape, 3), level, np.float32)


def drawn(put, seed: int) -> np.ndarray:
    light = grey()
    put(light, np.random.default_rng(seed))
    assert light.dtype == np.float32 and np.isfinite(light).all() and light.min() >= 0
    return light


@pytest.mark.parametrize(
    "put", [lights.draw, lights._add_lamps, lights._add_stars, lights._light_twice, lights._letter]
)
def test_the_same_seed_draws_the_same_and_another_something_else(put):
    assert np.array_equal(drawn(put, 1), drawn(put, 1))
    assert any(not np.array_equal(drawn(put, 1), drawn(put, seed)) for seed in (2, 3, 4))


def test_lamps_saturate_here_and_there_and_darken_nothing():
    lit = np.stack([drawn(lights._add_lamps, seed) for seed in range(20)])
    assert lit.min() >= np.float32(0.2) and (lit > 1).any(axis=(1, 2, 3)).mean() > 0.5
    assert 0.0005 < (lit > 1).mean() < 0.2


def test_stars_are_points_of_a_few_pixels_with_most_of_them_faint():
    light = grey(0.0)
    lights._add_stars(light, np.random.default_rng(0))
    green = light[..., 1]
    assert (green > 0.01).mean() < 0.5 and 0 < (green > 1).mean() < 0.02
    assert 0.01 < np.median(green[green > 0.01]) < 0.2


def test_a_second_light_tints_one_side_and_leaves_the_other():
    tinted = untouched = 0
    for seed in range(20):
        share = drawn(lights._light_twice, seed) / 0.2
        untouched += bool((np.abs(share - 1) < 0.02).all(axis=-1).any())
        tinted += bool((np.ptp(share, axis=-1) > 0.05).any())
    assert tinted > 5 and untouched > 5


def test_signs_are_dark_or_glow_and_cover_little():
    signs = [drawn(lights._letter, seed) for seed in range(20)]
    assert any(sign.min() < 0.12 for sign in signs) and any(sign.max() > 0.4 for sign in signs)
    assert all((np.abs(sign - 0.2) > 0.02).mean() < 0.6 for sign in signs)


def test_each_kind_falls_on_its_share_of_the_crops(monkeypatch):
    heard = []
    for name in ("_add_lamps", "_add_stars", "_light_twice", "_letter"):
        monkeypatch.setattr(lights, name, lambda light, rng, name=name: heard.append(name))
    rng = np.random.default_rng(0)
    for _ in range(4000):
        lights.draw(grey(shape=(2, 2)), rng)
    shares = [heard.count(name) / 4000 for name in ("_add_lamps", "_add_stars", "_light_twice", "_letter")]
    wanted = [lights.LAMPS * (1 - lights.STARS), lights.STARS, lights.SECOND_LIGHT, lights.SIGNS]
    assert shares == pytest.approx(wanted, abs=0.02)
