"""The steps of the finish, each by itself: pieces, bands, stretch, percentiles, highlights, dehazing."""

import numpy as np
import pytest
from finished import HAZE, IDENTITY, MATRIX, develop, in_pieces, random, to_linear, to_srgb

from darkroom.develop import blocks, finish, tone
from darkroom.develop.finish import Look
from darkroom.frame import Window


@pytest.mark.parametrize(("look", "waits"), [
    (Look(), False), (Look(exposure=1, highlights="roll"), False), (Look(stretch=True), True),
    (Look(tone=0.1), True), (Look(contrast=0.1), True),
])  # fmt: skip
def test_a_look_waits_for_what_it_goes_by(look, waits):
    assert look.waits is waits


def test_what_of_a_span_lies_in_a_window_is_never_less_than_nothing():
    for start, stop, first, length in np.ndindex(6, 6, 4, 4):
        found = finish._within(slice(start, start + stop), first, length)
        inside = [place for place in range(start, start + stop) if first <= place < first + length]
        assert list(range(found.start, found.stop)) == inside and found.start <= found.stop
        assert first <= found.start <= first + length


def test_pieces_are_gathered_where_they_belong():
    rgb = random((13, 17))
    assert np.array_equal(finish.gathered(in_pieces(rgb), (13, 17)), rgb)


@pytest.mark.parametrize(
    ("band", "bands"),
    [(1, [(0, 5), (5, 10), (10, 13)]), (1199, [(0, 10), (10, 13)]), (999, [(0, 5), (5, 10), (10, 13)]),
     (1500, [(0, 13)]), (1300, [(0, 10), (10, 13)])],
)  # fmt: skip
def test_bands_start_on_whole_blocks_and_hold_no_more_than_they_may(band, bands, monkeypatch):
    monkeypatch.setattr(finish, "BAND", band)
    done = []
    finish._each_band(Window(3, 4, 13, 100), done.append)
    assert sorted((each.start, each.stop) for each in done) == bands


@pytest.mark.parametrize(
    ("band", "width", "rows"),
    [(30, 10, [1, 3, 3]), (29, 10, [1, 2, 2, 2]), (9, 10, [1] * 7), (3, 1, [1, 3, 3]), (70, 10, [7])],
)
def test_a_piece_is_worked_on_in_bands_of_whole_rows_and_one_row_at_least(band, width, rows, monkeypatch):
    monkeypatch.setattr(finish, "BAND", band)
    done, real = [], finish._light
    monkeypatch.setattr(finish, "_light", lambda values, tone: done.append(values.shape) or real(values, tone))
    rgb, size = random((7, width)), (7, width)
    list(finish.follow(in_pieces(rgb, 1, 1), size=size, matrix=MATRIX, window=Window(0, 0, *size), orientation=1))
    assert sorted(done) == [(3, each, width) for each in rows]


def test_headroom_and_exposure_are_gains_of_light_and_white():
    tone = finish._tone(None, MATRIX, Look(exposure=1), 4.0)
    assert tone.matrix == pytest.approx(8 * MATRIX) and tone.white == 8 and not tone.offset.any()
    assert tone.offset.shape == (3, 1)


def test_stretch_takes_black_off_before_it_gains():
    """A hundred greys of light from 0.1 to 0.6: of the percentiles, the ends."""
    light = np.linspace(0.1, 0.6, 101)
    rgb = np.rint(65535 * to_srgb(light / 2)).astype(np.uint16).reshape(1, 1, 101).repeat(3, 0)
    low, high = np.quantile(light, [0.01, 0.99])
    gain = 2 / (high - low)
    tone = finish._tone(rgb, IDENTITY, Look(stretch=True, exposure=1), 2.0)
    assert tone.matrix == pytest.approx(2 * gain * IDENTITY, rel=1e-3)
    assert tone.offset == pytest.approx(-low * gain, rel=1e-3) and tone.white == pytest.approx(
        (2 - low) * gain, rel=1e-3
    )


@pytest.mark.parametrize(("apart", "stretched"), [(0.0009, False), (0.0011, True)])
def test_less_than_a_thousandth_of_white_is_nothing_to_stretch(apart, stretched):
    light = np.where(np.arange(100) % 2, 0.2 + apart, 0.2)
    rgb = np.rint(65535 * to_srgb(light)).astype(np.uint16).reshape(1, 10, 10).repeat(3, 0)
    tone = finish._tone(rgb, IDENTITY, Look(stretch=True), 1.0)
    assert (tone.matrix[0, 0] > 1) is np.bool_(stretched)


@pytest.mark.parametrize(("samples", "step"), [(1 << 19, 1), (600, 1), (150, 2), (149, 2), (66, 3), (1, 24)])
def test_percentiles_are_read_from_a_grid_of_so_many_pixels(samples, step, monkeypatch):
    monkeypatch.setattr(finish, "SAMPLES", samples)
    rgb = random((20, 30))
    low, high = np.percentile(to_linear(rgb[:, ::step, ::step] / 65535), [1, 99])
    tone = finish._tone(rgb, IDENTITY, Look(stretch=True), 1.0)
    assert tone.matrix[0, 0] == pytest.approx(1 / (high - low) if high - low > 1e-3 else 1, rel=1e-3)


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("how", ["roll", "clip", None])
@pytest.mark.parametrize("headroom", [1.0, 4.0])
def test_only_light_beyond_white_is_bent_where_that_is_wanted_and_not_in_floats(bits, how, headroom):
    rgb = random((8, 9), low=60000)
    wishes = {"matrix": IDENTITY, "window": Window(0, 0, 8, 9), "orientation": 1, "bits": bits, "headroom": headroom}
    plain, shown = (finish.render(rgb, look=Look(highlights=each), **wishes) for each in ("clip", how))
    assert np.array_equal(plain, shown) is not (how == "roll" and headroom > 1 and bits != 32)


@pytest.mark.parametrize("size", [(20, 30), (10, 800), (800, 1), (1, 1200), (1160, 5)])
def test_the_sample_of_a_picture_starts_half_a_step_in_where_there_is_room(size):
    rgb = random(size)
    plain = finish._tone(None, MATRIX, Look(), 1.0)
    step = -(-max(size) // 384)
    middle = min(step // 2, min(size) - 1)
    wanted = tone.base(finish._light(rgb, plain)[:, middle::step, middle::step], step)
    found = finish._base(rgb, plain)
    assert found.step == step and found.slope.shape == wanted.slope.shape
    assert np.array_equal(found.slope, wanted.slope) and np.array_equal(found.offset, wanted.offset)


def dehazed_by_blocks(encoded: np.ndarray) -> np.ndarray:
    """Zamir's step on (3, h, w), h and w whole blocks of five: 3 x 3 of them are a patch, 12 a radius of 60 pixels."""
    inverted = 1 - encoded.astype(np.float64)
    height, width = (side // 5 for side in encoded.shape[1:])
    cells = inverted.reshape(3, height, 5, width, 5)
    least, mean = cells.min((2, 4)), cells.mean((2, 4))

    def patch(plane):
        around = np.pad(plane, 1, "edge")
        return np.lib.stride_tricks.sliding_window_view(around, (3, 3)).min((2, 3))

    dark = patch(least.min(0))
    brightest = dark >= np.sort(dark.ravel())[-max(1, int(0.001 * dark.size))]
    air = np.array([plane[brightest].mean() for plane in mean])[:, None, None]
    transmission = 1 - 0.95 * patch((least / np.maximum(air, 1e-3)).min(0))
    weights = np.array([0.2126, 0.7152, 0.0722])
    guide = 1 - np.einsum("c,cyx->yx", weights, mean)
    slope, offset = blocks.guided(guide.astype(np.float32), transmission.astype(np.float32), reach=12, smooth=1e-3)
    rows = np.arange(encoded.shape[1])
    slope, offset = (blocks.between(each, rows, encoded.shape[2], 5) for each in (slope, offset))
    shown = np.maximum(slope * np.einsum("c,cyx->yx", weights, encoded) + offset, 0.1)
    return np.clip(1 - ((inverted - air) / shown + air), 0, 1)


@pytest.mark.parametrize("size", [(60, 75), (230, 250)])
@pytest.mark.parametrize("top", [20000, 65536])
def test_dehazing_is_that_of_blocks_in_between(size, top):
    """Noise, from dim to dark: the patch, the air, the share and the least transmission all show."""
    rng = np.random.default_rng(0)
    fall = np.linspace(1, 0.02, size[1]) ** 2
    rgb = (rng.uniform(0.4, 1, (3, *size)) * fall * np.array([0.8, 0.9, 1.0])[:, None, None] * (top - 1)).astype(
        np.uint16
    )
    picture = develop(rgb, look=HAZE, bits=16) / 65535
    wanted = dehazed_by_blocks(rgb / np.float32(65535)).transpose(1, 2, 0)
    assert np.abs(picture - wanted).max() < 1e-3
