"""The ratio: given, or found in the raw itself, and what is told of it."""

import re
from dataclasses import replace

import numpy as np
import pytest
from made import frame_of

from darkroom.develop import amplifier, meter
from darkroom.develop.amplifier import Amp
from darkroom.errors import RawError, SettingsError
from darkroom.frame import CELL, Exposure, Frame, Window

BLACK, WHITE = 512, 16383
PLAIN = np.ones(3, np.float32)


def make(mosaic, *, cfa="bayer", black=BLACK, visible=None, seconds=0.1, iso=800.0):
    blacks = np.broadcast_to(np.asarray(black, np.float32), CELL[cfa].shape)
    return Frame(
        mosaic=np.clip(np.rint(mosaic), 0, 65535).astype(np.uint16),
        cfa=cfa,
        black=blacks,
        white=float(WHITE),
        white_balance=None,
        daylight=None,
        camera_to_srgb=np.eye(3, dtype=np.float32),
        exposure=Exposure(seconds, iso, 2.8),
        visible=visible or Window(0, 0, *mosaic.shape),
        orientation=1,
        camera="Canon EOS 6D",
        bits=14,
    )


def scene(mean, *, shape=(240, 360), seed=0):
    """DN of a scene of uneven light whose mean is `mean`."""
    light = np.random.default_rng(seed).exponential(mean, shape)
    return BLACK + light * (WHITE - BLACK)


@pytest.mark.parametrize(
    "text, amp",
    [
        ("auto", Amp("auto", 0.5)),
        ("auto:0.7", Amp("auto", 0.7)),
        ("paper", Amp("paper", 0.5)),
        ("paper:0.3", Amp("paper", 0.3)),
        ("100", Amp("number", 100)),
        (" 2.5 ", Amp("number", 2.5)),
        ("ISO:409600", Amp("iso", 409600)),
        ("exposure:10", Amp("exposure", 10)),
        ("exposure:10s", Amp("exposure", 10)),
        ("exposure:1/10s", Amp("exposure", 0.1)),
        ("exposure:1/4", Amp("exposure", 0.25)),
    ],
)
def test_every_spelling_of_amp_is_understood(text, amp):
    assert amplifier.parse(text) == amp


@pytest.mark.parametrize(
    "text", ["", "bright", "auto:", "auto:x", "iso", "iso:", "exposure:1/0", "exposure:s", "exposure:1/2/3", "1/10"]
)
def test_a_misspelt_amp_is_refused_with_examples(text):
    with pytest.raises(SettingsError, match=r"is no amplification; give auto, auto:0.7, paper, 100, iso:409600"):
        amplifier.parse(text)


@pytest.mark.parametrize(
    "text", ["auto:5", "auto:0", "paper:-1", "0", "-3", "20000", "nan", "inf", "iso:0", "iso:nan", "exposure:-1s"]
)
def test_an_impossible_amp_is_refused_with_its_limits(text):
    with pytest.raises(SettingsError, match=r"is not within .+ to .+; give auto, "):
        amplifier.parse(text)


def test_a_stated_ratio_is_taken_as_it_is():
    assert amplifier.ratio(make(scene(0.001)), Amp("number", 777)) == 777


def test_iso_and_exposure_are_measured_against_the_file():
    frame = make(scene(0.001), seconds=0.04, iso=800)
    assert amplifier.ratio(frame, Amp("iso", 409600)) == 512
    assert amplifier.ratio(frame, Amp("exposure", 10)) == pytest.approx(250)


@pytest.mark.parametrize("kind, missing", [("iso", "ISO"), ("exposure", "exposure time")])
def test_a_file_without_exposure_data_is_refused_by_what_it_lacks(kind, missing):
    frame = make(scene(0.001), seconds=0, iso=0)
    with pytest.raises(RawError, match=f"^Canon EOS 6D gives no {missing}, which --amp {kind}:10 needs; give "):
        amplifier.ratio(frame, Amp(kind, 10))


def test_a_target_far_from_the_file_is_refused_with_the_ratio_it_means():
    with pytest.raises(RawError, match=r"ISO 800, so --amp iso:1 is a ratio of 0.00125; choose one that makes 0.1 to"):
        amplifier.ratio(make(scene(0.001), iso=800), Amp("iso", 1))


def test_auto_is_in_proportion_to_m():
    usual = amplifier.ratio(make(scene(0.004)), Amp("auto", 0.5), 1e9)
    for m in (0.3, 0.9):
        assert amplifier.ratio(make(scene(0.004)), Amp("auto", m), 1e9) == pytest.approx(usual * m / 0.5)


def test_paper_follows_equations_5_to_7():
    mosaic = scene(0.02)
    light = np.maximum((np.rint(mosaic) - BLACK) / (WHITE - BLACK), 0).clip(max=1)
    edges = np.array([0] + [2 ** (k * 8 / 128) / 2**8 for k in range(1, 129)])
    k = np.searchsorted(edges, light, side="left").clip(1, 128)
    weights = 2 ** ((128 - k + 1) * 8 / 128) / 2**8
    expected = 0.5 * weights.sum() / (light * weights).sum()
    assert amplifier.ratio(make(np.minimum(mosaic, WHITE)), Amp("paper", 0.5)) == pytest.approx(expected, rel=1e-6)


def test_paper_cuts_light_at_black_and_auto_does_not():
    clean = np.kron(scene(0.0006, shape=(15, 15)), np.ones((32, 32)))
    noisy = clean + np.random.default_rng(0).normal(0, 25, clean.shape)
    auto, paper = Amp("auto", 0.5), Amp("paper", 0.5)
    assert amplifier.ratio(make(noisy), auto, 1e9) == pytest.approx(amplifier.ratio(make(clean), auto, 1e9), rel=0.2)
    assert amplifier.ratio(make(noisy), paper, 1e9) < 0.7 * amplifier.ratio(make(clean), paper, 1e9)


def test_half_the_light_needs_twice_the_ratio():
    once, half = (amplifier.ratio(make(scene(mean)), Amp("auto", 0.5), 1e9) for mean in (0.0006, 0.0003))
    assert half / once == pytest.approx(2, rel=0.02)


def test_lamps_hardly_lower_the_ratio():
    mosaic = scene(0.001)
    lit = mosaic.copy()
    lit[:48, :36] = WHITE  # 2 % of the frame
    for kind in ("auto", "paper"):
        dark, lamps = (amplifier.ratio(make(dn), Amp(kind, 0.5), 1e9) for dn in (mosaic, lit))
        assert 0.7 < lamps / dark < 1.1
    assert (scene(0.001).mean() - BLACK) / (lit.mean() - BLACK) < 0.1  # what eq. 4, the plain mean, would do to it


def test_automatic_ratios_stay_within_one_and_the_ceiling():
    black, bright = make(np.full((12, 12), BLACK)), make(np.full((12, 12), WHITE))
    below = make(np.full((12, 12), BLACK - 3))
    for amp in (Amp("auto", 0.5), Amp("paper", 0.5)):
        assert amplifier.ratio(black, amp) == amplifier.ratio(below, amp) == 300
        assert amplifier.ratio(black, amp, 40) == 40
    assert amplifier.ratio(bright, Amp("auto", 0.01)) == 1


@pytest.mark.parametrize("cfa", ["bayer", "xtrans"])
def test_each_site_has_its_own_black_level(cfa):
    size = len(CELL[cfa])
    black = BLACK + np.arange(size * size).reshape(size, size) * 3.0
    mosaic = np.tile(black + 30, (4, 4))
    expected = 0.5 / np.mean(30 / (WHITE - black))
    for visible in (None, Window(1, 1, 2 * size, 3 * size), Window(size + 1, 0, size, size)):
        frame = make(mosaic, cfa=cfa, black=black, visible=visible)
        assert amplifier.ratio(frame, Amp("paper", 0.5), 1e9) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("cfa", ["bayer", "xtrans"])
@pytest.mark.parametrize("top, left", [(0, 0), (1, 0), (0, 1), (5, 3)])
def test_only_the_visible_window_counts(cfa, top, left):
    mosaic = np.full((30, 36), WHITE)
    mosaic[top : top + 20, left : left + 25] = BLACK + 25
    frame = make(mosaic, cfa=cfa, visible=Window(top, left, 20, 25))
    assert amplifier.ratio(frame, Amp("paper", 0.5), 1e9) == pytest.approx(0.5 * (WHITE - BLACK) / 25)
    same = make(np.full((30, 36), BLACK + 25), cfa=cfa)
    assert amplifier.ratio(frame, Amp("auto", 0.5), 1e9) == pytest.approx(amplifier.ratio(same, Amp("auto", 0.5), 1e9))
    assert amplifier.clipped(frame, PLAIN, 1.5) == 0


def test_a_large_frame_is_judged_by_some_of_its_rows(monkeypatch):
    frame = make(scene(0.001, shape=(600, 600)))
    for kind, module, name in (("paper", amplifier, "SAMPLES"), ("auto", meter, "SITES")):
        whole = amplifier.ratio(frame, Amp(kind, 0.5), 1e9)
        monkeypatch.setattr(module, name, 600 * 600 // 4)
        assert amplifier.ratio(frame, Amp(kind, 0.5), 1e9) == pytest.approx(whole, rel=0.25)
        assert amplifier.ratio(frame, Amp(kind, 0.5), 1e9) != whole


@pytest.mark.parametrize("cfa", ["bayer", "xtrans"])
def test_clipped_counts_every_site_above_one_by_its_own_colour(cfa):
    cell, rng = CELL[cfa], np.random.default_rng(1)
    black = BLACK + rng.integers(0, 9, cell.shape)
    mosaic = rng.integers(400, 3000, (36, 48))
    gains, ratio = np.array([2.0, 1.0, 1.5], np.float32), 9.0
    window = Window(1, 2, 31, 40)
    colour, level = np.tile(cell, (48, 48))[:36, :48], np.tile(black, (48, 48))[:36, :48]
    bright = (mosaic - level) / (WHITE - level) * gains[colour] * ratio
    seen = bright[window.top : window.top + window.height, window.left : window.left + window.width]
    frame = make(mosaic, cfa=cfa, black=black, visible=window)
    assert amplifier.clipped(frame, gains, ratio) == np.mean(seen > 1)


def test_nothing_is_clipped_by_a_ratio_too_small_to_reach_one():
    assert amplifier.clipped(make(np.full((8, 8), 65535)), PLAIN, 0.1) == 0
    assert amplifier.clipped(make(np.full((8, 8), WHITE)), PLAIN, 1.0) == 0
    assert amplifier.clipped(make(np.full((8, 8), WHITE)), PLAIN, 1.001) == 1


@pytest.mark.parametrize("cfa", ["bayer", "xtrans"])
def test_a_frame_without_light_is_noted_whatever_the_ratio(cfa):
    rng = np.random.default_rng(0)
    frame = frame_of(rng.normal(512, 4, (240, 240)).round().astype(np.uint16), cfa)
    for amp in (Amp("auto", 0.5), Amp("number", 100)):
        (note,) = amplifier.notes(frame, amp, 100)
        assert note == "no light above the sensor's noise, as under a lens cap: expect noise, not a picture"
    lit = frame_of(rng.normal(515, 4, (240, 240)).round().astype(np.uint16), cfa)
    assert amplifier.notes(lit, Amp("number", 300), 300) == ()


def test_an_automatic_ratio_at_its_ceiling_is_noted():
    frame = frame_of(np.random.default_rng(0).normal(515, 4, (240, 240)).round().astype(np.uint16), "bayer")
    assert amplifier.notes(frame, Amp("auto", 0.5), 299, 300) == ()
    (note,) = amplifier.notes(frame, Amp("paper", 0.5), 300, 300)
    assert note == "--amp paper is at its ceiling of x300: hardly any light; give a number to go beyond"


@pytest.mark.parametrize(
    ("spelt", "least", "most", "below", "above"),
    [
        ("auto:{}", "0.01", "1", "0.0099", "1.01"),
        ("paper:{}", "0.01", "1", "0.0099", "1.01"),
        ("{}", "0.1", "10000", "0.099", "10001"),
        ("iso:{}", "1", "1000000000", "0.99", "1000000001"),
        ("exposure:{}", "0.000001", "1000000", "0.00000099", "1000001"),
    ],
)
def test_limits_of_amp_belong_to_what_is_taken(spelt, least, most, below, above):
    assert amplifier.parse(spelt.format(least)).value == float(least)
    assert amplifier.parse(spelt.format(most)).value == float(most)
    for beyond in (below, above):
        with pytest.raises(SettingsError, match=f"is not within {float(least):g} to {re.escape(f'{float(most):g}')}; "):
            amplifier.parse(spelt.format(beyond))


def test_a_target_may_lie_as_far_from_the_file_as_a_ratio_may():
    frame = make(scene(0.001), seconds=2, iso=100)
    assert amplifier.ratio(frame, Amp("iso", 10)) == 0.1 and amplifier.ratio(frame, Amp("iso", 1e6)) == 10_000
    for iso in (9.9, 1.01e6):
        with pytest.raises(RawError, match="Canon EOS 6D gives ISO 100, so --amp iso:"):
            amplifier.ratio(frame, Amp("iso", iso))
    with pytest.raises(RawError, match="gives exposure time 2, so --amp exposure:30000 is a ratio of 15000; choose"):
        amplifier.ratio(frame, Amp("exposure", 30_000))


def test_a_file_that_names_no_camera_is_told_of_as_the_camera():
    with pytest.raises(RawError, match="^the camera gives no ISO, which --amp iso:100 needs"):
        amplifier.ratio(replace(make(scene(0.001), iso=float("nan")), camera=""), Amp("iso", 100))


def test_an_automatic_ratio_is_its_ceiling_at_most_and_one_at_least(monkeypatch):
    for metered, wanted in ((0.5, 1.0), (1.5, 1.5), (299.0, 299.0), (301.0, 300.0)):
        monkeypatch.setattr(meter, "ratio", lambda frame, metered=metered: metered)
        assert amplifier.ratio(make(np.full((12, 12), 600)), Amp("auto", 0.5)) == wanted


@pytest.mark.parametrize(("m", "wanted"), [(0.5, 8.0), (0.25, 4.0), (0.01, 1.0)])
def test_paper_divides_m_by_the_mean_light(m, wanted):
    frame = replace(make(np.full((12, 12), BLACK + 1000)), white=BLACK + 16_000.0)
    assert amplifier.ratio(frame, Amp("paper", m)) == pytest.approx(wanted)


def test_light_weighs_one_up_to_a_256th_and_half_when_twice_as_bright():
    light = np.array([0, 2.0**-9, 2.0**-8, 2.0**-7, 2.0**-6, 0.5, 1.0, 2.0])
    step = 2 ** (8 / 128)
    assert amplifier._weights(light) == pytest.approx(np.r_[1, 1, 1, step * 2.0 ** -np.r_[1.0, 2, 7, 8, 8]])


def wavering(mean, swing=100, black=BLACK, shape=(24, 24)):
    """A frame of so many DN above black in the mean, with a standard deviation of `swing`."""
    blacks = np.tile(np.broadcast_to(black, (2, 2)), (shape[0] // 2, shape[1] // 2))
    cells = np.kron(np.indices((shape[0] // 2, shape[1] // 2)).sum(0) % 2, np.ones((2, 2)))
    return make(blacks + mean + np.where(cells, swing, -swing), black=black)


@pytest.mark.parametrize("black", [BLACK, [[300, 700], [500, 900]], [[512, 512], [512, 900]]])
def test_mean_light_below_a_tenth_of_its_spread_is_none(black):
    for mean, told in ((9, 1), (11, 0), (-20, 1), (200, 0)):
        assert len(amplifier.notes(wavering(mean, black=black), Amp("number", 2), 2)) == told


def test_light_in_one_colour_alone_counts_a_quarter():
    for light, told in ((20, 1), (80, 0)):
        frame = wavering(0, black=[[500, 600], [700, 800]])
        frame.mosaic[::2, ::2] += np.uint16(light)
        assert len(amplifier.notes(frame, Amp("number", 2), 2)) == told


@pytest.mark.parametrize("kind", ["auto", "paper"])
def test_the_ceiling_itself_is_noted_by_the_kind_that_met_it(kind):
    lit = wavering(300)
    assert amplifier.notes(lit, Amp(kind, 0.5), 39.9, 40) == ()
    (note,) = amplifier.notes(lit, Amp(kind, 0.5), 40, 40)
    assert note.startswith(f"--amp {kind} is at its ceiling of x40: hardly any light")
    assert amplifier.notes(lit, Amp(kind, 0.5), 299) == () and amplifier.notes(lit, Amp(kind, 0.5), 300) != ()


@pytest.mark.parametrize("cfa", ["bayer", "xtrans"])
@pytest.mark.parametrize("samples", [0, 48 * 36, 48 * 36 // 2 + 1, 48 * 36 // 2, 48 * 36 // 4])
def test_sites_are_counted_in_whole_rows_of_cells_evenly_spread(cfa, samples):
    cell = CELL[cfa]
    mosaic = np.arange(60 * 50).reshape(60, 50)
    window = Window(3, 4, 48, 36)
    step = max(1, 48 * 36 // samples) if samples else 1
    expected = np.zeros(1 << 16, int)
    for row, column in np.ndindex(window.height, window.width):
        top, left = row + window.top, column + window.left
        if cell[top % len(cell), left % len(cell)] == 1 and row // len(cell) % step == 0:
            expected[mosaic[top, left]] += 1
    found = amplifier._histogram(make(mosaic, cfa=cfa, visible=window), cell == 1, samples)
    assert np.array_equal(found, expected)


def test_darkness_is_judged_by_fewer_sites_than_the_mean(monkeypatch):
    frame = wavering(0, shape=(64, 64))
    asked = []
    counted = amplifier._histogram
    monkeypatch.setattr(amplifier, "_histogram", lambda *all: asked.append(all[2:]) or counted(*all))
    amplifier.notes(frame, Amp("number", 2), 2)
    amplifier.ratio(frame, Amp("paper", 0.5))
    assert asked == [(amplifier.SAMPLES // 16,), ()]
