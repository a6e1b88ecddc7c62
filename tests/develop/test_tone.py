"""Highlights, local tone and local contrast: brightness moves, colours and black stay."""

import numpy as np
import pytest

from darkroom.develop import blocks, finish, tone
from darkroom.develop.curves import linear_to_srgb
from darkroom.develop.finish import Look
from darkroom.frame import Window

NEUTRAL = np.eye(3, dtype=np.float32)


def render(light, look, *, bits=32, headroom=1.0):
    """Finish linear light (H, W, 3), up to `headroom`."""
    rgb = np.rint(65535 * linear_to_srgb(np.clip(light / headroom, 0, 1))).astype(np.uint16).transpose(2, 0, 1)
    window = Window(0, 0, *rgb.shape[1:])
    return finish.render(
        rgb, matrix=NEUTRAL, window=window, orientation=1, look=look, bits=bits, headroom=headroom
    ).astype(np.float64)


def night(shape=(240, 360)):
    """A dark street, 0.01 to 0.03, beside a lit wall of 0.5 to 0.9; both with texture, both coloured."""
    rng = np.random.default_rng(0)
    texture = np.kron(rng.uniform(0.7, 1.3, (shape[0] // 6, shape[1] // 6)), np.ones((6, 6)))
    grey = np.where(np.arange(shape[1]) < shape[1] // 2, 0.015, 0.6)[None] * texture
    return grey[..., None] * np.array([1.2, 1.0, 0.7])


def test_the_shoulder_leaves_what_is_below_its_knee_and_ends_at_white():
    light = np.linspace(0, 8, 4001, dtype=np.float32)
    bent = np.stack([light] * 3)[:, None].copy()
    tone.roll(bent, 8.0)
    bent = bent[0, 0]
    below = light <= tone.KNEE
    assert bent[below] == pytest.approx(light[below], abs=1e-6)
    assert bent[-1] == pytest.approx(1) and (np.diff(bent) > 0).all()
    slopes = np.diff(bent) / np.diff(light)
    assert np.abs(np.diff(slopes)).max() < 0.02, "no corner at the knee"


def test_a_lamp_keeps_its_colour_under_the_shoulder():
    lamp = np.full((8, 8, 3), [6.0, 3.0, 0.6])
    cut, bent = (render(lamp, Look(highlights=how), headroom=8, bits=16)[0, 0] / 65535 for how in ("clip", "roll"))
    assert cut[:2].tolist() == [1, 1]
    light = np.where(bent <= 0.04045, bent / 12.92, ((bent + 0.055) / 1.055) ** 2.4)
    assert light[1] / light[0] == pytest.approx(0.5, rel=0.01) and light[2] / light[0] == pytest.approx(0.1, rel=0.01)
    assert 0.9 < light[0] < 1


def test_without_light_beyond_white_the_shoulder_changes_nothing():
    light = np.random.default_rng(0).uniform(0, 1, (30, 40, 3))
    assert np.array_equal(render(light, Look(highlights="roll"), bits=8), render(light, Look(), bits=8))


def test_tone_lifts_shadows_and_lowers_lights():
    street, wall = np.s_[40:-40, 40:140], np.s_[40:-40, 220:320]
    plain = render(night(), Look())
    lifts = []
    for strength in (0.5, 1.0):
        toned = render(night(), Look(tone=strength))
        lifts.append(toned[street].mean() / plain[street].mean())
        assert toned[wall].mean() < 0.95 * plain[wall].mean()
        assert toned[wall].std() / toned[wall].mean() == pytest.approx(plain[wall].std() / plain[wall].mean(), rel=0.15)
    assert 1.3 < lifts[0] < lifts[1] < 2 ** (tone.MOST + 0.01)


def test_contrast_strengthens_detail_and_leaves_the_level():
    wall = np.s_[40:-40, 220:320]
    plain, some, much = (render(night(), Look(contrast=strength))[wall] for strength in (0, 0.5, 1.0))
    assert 1.2 * plain.std() < some.std() < much.std()
    assert much.mean() == pytest.approx(plain.mean(), rel=0.1)


@pytest.mark.parametrize("look", [Look(contrast=1.0), Look(tone=1.0), Look(contrast=1.0, tone=1.0)])
def test_black_stays_black_and_a_dark_sky_stays_grey(look):
    """A sky at a few thousandths of white with blotches of colour, as at a ratio of 300."""
    rng = np.random.default_rng(1)
    blotches = np.kron(rng.normal(0, 0.0005, (30, 45, 3)), np.ones((8, 8, 1)))
    sky = np.maximum(0.002 + blotches, 0)
    sky[100:140, 100:140] = 0
    sky[:60] = 0.3
    plain, shown = (render(sky, each, bits=16)[70:] / 65535 for each in (Look(), look))
    assert (shown[40:60, 110:130] == 0).all()
    assert shown.mean() < 1.35 * plain.mean()
    assert np.ptp(shown, axis=2).mean() < 1.35 * np.ptp(plain, axis=2).mean()


@pytest.mark.parametrize("look", [Look(contrast=1.0), Look(tone=1.0)])
def test_tones_keep_hue_and_saturation(look):
    plain, shown = render(night(), Look()), render(night(), look)
    hues = [picture / picture.sum(axis=2, keepdims=True) for picture in (plain, shown)]
    assert np.abs(hues[1] - hues[0]).max() < 1e-3


def test_brighter_stays_brighter_on_a_ramp():
    ramp = np.repeat(2.0 ** np.linspace(-10, 0, 720)[None, :, None], 240, 0).repeat(3, 2)
    shown = render(ramp, Look(tone=1.0))[120, :, 0]
    assert (np.diff(shown) > 0).mean() > 0.99


def test_between_the_centres_of_blocks_values_run_straight():
    values = np.array([[10.0, 20.0], [30.0, 40.0]], np.float32)
    wide = blocks.between(values, np.arange(8), 8, 4)
    assert wide[2].tolist() == [10, 10, 10, 12.5, 15, 17.5, 20, 20]
    assert wide[:, 2].tolist() == [10, 10, 10, 15, 20, 25, 30, 30]


@pytest.mark.parametrize(("level", "seen"), [(-10.0, 0.0), (-9.0, 0.0), (-7.0, 0.5), (-5.0, 1.0), (-4.0, 1.0)])
def test_contrast_sets_in_between_noise_and_light(level, seen):
    """Texture of +- 0.1 EV about a level: the detail that is added, as a share of itself."""
    texture = 0.1 * (1 - 2 * (np.indices((96, 96)).sum(0) % 2))
    light = np.stack([2 ** (level + texture)] * 3).astype(np.float32)
    plain, step = light.copy(), tone.step(96, 96)
    tone.shape(light, tone.base(plain, step), slice(0, 96), tone=0.0, contrast=1.0)
    gained = np.log2(light[0] / plain[0])[30:-30, 30:-30]
    assert (gained / texture[30:-30, 30:-30]).mean() == pytest.approx(seen, abs=0.03)


def bent(light: float) -> float:
    """What the shoulder makes of a grey, by its definition: from a half at slope 1 to 1 at eight times white."""
    steep, above = 7.5 / 0.5, (light - 0.5) / 7.5
    return 0.5 + 0.5 * steep * above / (1 + (steep - 1) * above)


@pytest.mark.parametrize("light", [0.5, 0.6, 1.0, 2.5, 7.9, 8.0])
def test_the_shoulder_bends_the_brightest_colour_and_the_others_follow(light):
    lamp = np.array([0.3, 1.0, 0.1], np.float32).reshape(3, 1, 1) * np.float32(light)
    tone.roll(lamp, 8.0)
    assert lamp.ravel() == pytest.approx(bent(light) * np.array([0.3, 1, 0.1]), rel=1e-5)


def test_the_shoulder_cuts_negatives_and_leaves_black():
    light = np.array([[-1.0, 0.2, 0.4], [0, 0, 0]], np.float32).T.reshape(3, 2, 1)
    tone.roll(light, 8.0)
    assert light.ravel() == pytest.approx(np.array([0, 0, 0.2, 0, 0.4, 0]))


@pytest.mark.parametrize(
    ("height", "width", "step"),
    [(1, 1, 1), (384, 384, 1), (385, 10, 2), (10, 768, 2), (769, 769, 3), (4000, 6000, 16)],
)
def test_a_sample_has_384_places_along_a_side_at_most(height, width, step):
    assert tone.step(height, width) == step


def flat(level: float, slope: float = 0.0) -> tone.Base:
    """A base that is the same everywhere, or follows brightness."""
    plane = np.ones((3, 4), np.float32)
    return tone.Base(plane * np.float32(slope), plane * np.float32(level), 5)


def shaped(ev: float, base: tone.Base, **wishes: float) -> float:
    """EV that a grey gains."""
    light = np.full((3, 15, 20), 2.0**ev, np.float32)
    tone.shape(light, base, slice(0, 15), **{"tone": 0.0, "contrast": 0.0, **wishes})
    assert np.ptp(light) < 1e-5 * light.max()
    return float(np.log2(light[0, 0, 0])) - ev


@pytest.mark.parametrize(("level", "most"), [(-2.47, 0.0), (-4.97, 1.4), (0.03, -1.4)])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_tone_moves_most_two_and_a_half_stops_from_middle_grey(level, most, strength):
    assert shaped(-3, flat(level), tone=strength) == pytest.approx(strength * most, abs=1e-4)
    for beside in (level - 0.3, level + 0.3):
        if most:
            assert abs(shaped(-3, flat(beside), tone=strength)) < strength * 1.4


def test_tone_fades_with_distance_as_a_bell_does():
    away = 2.0
    moved = shaped(-3, flat(-2.47 - 2.5 * away), tone=1.0)
    assert moved == pytest.approx(1.4 * np.exp(0.5) * away * np.exp(-0.5 * away**2), rel=1e-4)


def test_the_base_follows_brightness_by_its_slope():
    assert shaped(-6, flat(1.03, slope=1.0), tone=1.0) == pytest.approx(1.4, abs=1e-4)


@pytest.mark.parametrize(("level", "seen"), [(-9.5, 0.0), (-8.0, 5 / 32), (-7.0, 0.5), (-6.0, 27 / 32), (-4.5, 1.0)])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_contrast_adds_detail_by_the_level_it_stands_on(level, seen, strength):
    assert shaped(level + 0.4, flat(level), contrast=strength) == pytest.approx(strength * 0.4 * seen, abs=1e-4)


def test_tone_and_contrast_are_added():
    both = shaped(-6.5, flat(-6), tone=0.4, contrast=0.7)
    alone = shaped(-6.5, flat(-6), tone=0.4), shaped(-6.5, flat(-6), contrast=0.7)
    assert both == pytest.approx(sum(alone), abs=1e-4) and min(map(abs, alone)) > 0.1


def test_brightness_is_that_of_rec_709_and_ends_twelve_stops_below_white():
    light = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0], [-5, 0, 0]], np.float32)
    found = tone._brightness(light.T.reshape(3, 6, 1)).ravel()
    assert found == pytest.approx([*np.log2([0.2126, 0.7152, 0.0722, 1.0]), -12, -12], abs=1e-5)


def test_a_base_follows_edges_of_stops_and_not_what_is_less():
    """Where brightness varies by v EV squared, v / (v + 1) of it stays in the base."""
    for stops, share in ((0.2, 0.01 / 1.01), (8.0, 16 / 17)):
        ev = -5 + stops * (np.indices((80, 90)).sum(0) % 2 - 0.5)
        fitted = tone.base(np.stack([2.0**ev] * 3).astype(np.float32), 7)
        assert fitted.step == 7
        assert fitted.slope == pytest.approx(share, rel=0.05)
        assert fitted.offset == pytest.approx(-5 * (1 - share), rel=0.05)


def test_a_base_is_fitted_over_sixteen_places_either_way():
    """What a single light changes: within the window of a window."""
    light = np.full((3, 80, 90), 0.01, np.float32)
    light[:, 40, 45] = 1
    changed = np.argwhere(tone.base(light, 1).slope > 1e-6)
    assert changed.min(0).tolist() == [8, 13] and changed.max(0).tolist() == [72, 77]
