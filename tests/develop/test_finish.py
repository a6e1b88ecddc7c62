"""Finishing: colours, looks, sizes and turns, whole or as the pieces come."""

import numpy as np
import pytest
from finished import HAZE, IDENTITY, MATRIX, develop, in_pieces, random, to_linear, to_srgb

from darkroom.develop import curves, finish, tiles, upright
from darkroom.develop.finish import Look
from darkroom.errors import ModelError
from darkroom.frame import Window

TOP = {8: 255, 16: 65535, 32: 1}
SETTINGS = {
    "plain": Look(),
    "exposure": Look(exposure=1),
    "stretch": Look(stretch=True),
    "dehaze": HAZE,
    "tone": Look(tone=0.7),
    "contrast": Look(contrast=0.7),
    "roll": Look(exposure=2.5, highlights="roll"),
    "all": Look(exposure=-0.5, stretch=True, tone=0.5, contrast=0.5, highlights="roll"),
}


def evening(shape=(120, 150)):
    """A dim, low-contrast picture: a soft slope with a few brighter spots, slightly blue."""
    y, x = np.mgrid[: shape[0], : shape[1]] / max(shape)
    grey = 0.06 + 0.15 * x + 0.05 * np.sin(40 * y) ** 2 + 0.2 * ((x - 0.6) ** 2 + (y - 0.3) ** 2 < 0.01)
    return (np.stack([grey * 0.9, grey, grey * 1.1]) * 65535).astype(np.uint16)


def straight(rgb, matrix, gain=1.0):
    """The definition, in float64: sRGB(matrix x light)."""
    linear = np.einsum("ij,jyx->yxi", matrix, to_linear(rgb / 65535)) * gain
    return to_srgb(np.clip(linear, 0, 1))


def whole_dehaze(picture):
    """Zamir's step at every pixel of a (H, W, 3) picture, by the plain definition."""
    inverted = 1 - picture
    height, width = inverted.shape[:2]

    def windows(plane, reach, reduce):
        return np.array(
            [
                [
                    reduce(plane[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1])
                    for x in range(width)
                ]
                for y in range(height)
            ]
        )

    dark = windows(inverted.min(axis=2), 7, np.min).ravel()
    air = inverted.reshape(-1, 3)[np.argsort(dark, kind="stable")[-max(1, int(dark.size * 1e-3)) :]].mean(axis=0)
    rough = 1 - 0.95 * windows((inverted / air).min(axis=2), 7, np.min)
    grey = inverted @ [0.2126, 0.7152, 0.0722]
    mean_grey, mean_rough = windows(grey, 60, np.mean), windows(rough, 60, np.mean)
    slope = windows(grey * rough, 60, np.mean) - mean_grey * mean_rough
    slope /= windows(grey * grey, 60, np.mean) - mean_grey**2 + 1e-3
    shown = windows(slope, 60, np.mean) * grey + windows(mean_rough - slope * mean_grey, 60, np.mean)
    return np.clip(1 - ((inverted - air) / np.maximum(shown, 0.1)[..., None] + air), 0, 1)


def test_the_transfer_curve_meets_its_published_values_and_its_inverse():
    x = np.linspace(0, 1, 1001)
    assert curves.linear_to_srgb(np.array([0.0031308, 0.18, 1.0])) == pytest.approx([0.04045, 0.46135, 1], abs=1e-5)
    assert curves.srgb_to_linear(curves.linear_to_srgb(x)) == pytest.approx(x, abs=1e-6)
    assert curves.linear_to_srgb(np.array([-0.01])) == pytest.approx([-0.1292])
    assert curves.linear_to_srgb(x.astype(np.float32)).dtype == np.float32
    assert curves.srgb_to_linear(x.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_an_identity_matrix_gives_every_value_back(bits):
    every = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256).repeat(3, 0)
    picture = develop(every, bits=bits)
    expected = every.transpose(1, 2, 0) / 65535 * TOP[bits]
    if bits == 32:
        assert np.abs(picture - to_linear(expected)).max() < 1e-6
    else:
        assert np.array_equal(picture, np.floor(expected + 0.5))


@pytest.mark.parametrize("bits, dtype", [(8, np.uint8), (16, np.uint16), (32, np.float32)])
@pytest.mark.parametrize("exposure", [0, -2, 1.5])
def test_plain_develop_is_colorimetric(bits, dtype, exposure):
    rgb = random()
    picture = develop(rgb, MATRIX, look=Look(exposure=exposure), bits=bits)
    assert picture.dtype == dtype and picture.flags.c_contiguous
    if bits == 32:
        expected = np.einsum("ij,jyx->yxi", MATRIX, to_linear(rgb / 65535)) * 2.0**exposure
        assert expected.min() < 0 and np.abs(picture - expected).max() < 1e-5
    else:
        assert np.abs(picture - straight(rgb, MATRIX, 2.0**exposure) * TOP[bits]).max() < 1


def test_neutral_stays_neutral():
    grey = np.arange(0, 65536, 16, dtype=np.uint16).reshape(1, 64, 64).repeat(3, 0)
    picture = develop(grey, MATRIX, bits=16).astype(int)
    assert np.ptp(picture, axis=2).max() <= 1


def test_colours_outside_srgb_are_cut_to_its_edge():
    rgb = np.array([65535, 0, 0], np.uint16).reshape(3, 1, 1)
    assert develop(rgb, MATRIX).ravel().tolist() == [255, 0, round(255 * float(to_srgb(np.array(0.05))))]


def test_only_the_window_is_developed():
    rgb = random()
    window = Window(3, 5, 40, 50)
    cut = np.ascontiguousarray(rgb[:, 3:43, 5:55])
    for look in SETTINGS.values():
        assert np.array_equal(develop(rgb, MATRIX, window, look=look), develop(cut, MATRIX, look=look))


@pytest.mark.parametrize(
    "orientation, turn",
    [
        (1, lambda p: p),
        (2, np.fliplr),
        (3, lambda p: np.rot90(p, 2)),
        (4, np.flipud),
        (5, lambda p: p.transpose(1, 0, 2)),
        (6, lambda p: np.rot90(p, -1)),
        (7, lambda p: np.rot90(p, 2).transpose(1, 0, 2)),
        (8, lambda p: np.rot90(p, 1)),
    ],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_every_orientation_is_applied(orientation, turn, bits):
    rgb = random()
    picture = develop(rgb, MATRIX, orientation=orientation, bits=bits)
    assert np.array_equal(picture, turn(develop(rgb, MATRIX, bits=bits)))
    assert picture.flags.c_contiguous


@pytest.mark.parametrize("look", SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.parametrize("bits", [8, 32])
def test_bands_equal_the_whole(look, bits, monkeypatch):
    rgb = evening((123, 97))
    whole = develop(rgb, MATRIX, orientation=6, look=look, bits=bits)
    monkeypatch.setattr(finish, "BAND", 1)
    assert np.array_equal(develop(rgb, MATRIX, orientation=6, look=look, bits=bits), whole)


FOLLOWED = {name: look for name, look in SETTINGS.items() if look is not HAZE}


@pytest.mark.parametrize("look", FOLLOWED.values(), ids=FOLLOWED.keys())
@pytest.mark.parametrize("headroom", [1.0, 4.0])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_following_the_pieces_gives_the_picture_of_the_whole(look, headroom, orientation, bits, monkeypatch):
    monkeypatch.setattr(finish, "BAND", 500)
    rgb, window = evening((123, 97)), Window(5, 7, 110, 85)
    wishes = {"matrix": MATRIX, "window": window, "orientation": orientation, "look": look, "bits": bits}
    wishes["headroom"] = headroom
    pieces = in_pieces(rgb, onward=upright.onward(orientation))
    followed = np.concatenate(list(finish.follow(pieces, size=rgb.shape[1:], **wishes)))
    assert followed.dtype == finish.render(rgb, **wishes).dtype
    assert np.array_equal(followed, finish.render(rgb, **wishes))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_of_every_orientation_comes_in_bands_from_its_top(orientation):
    rgb, window = evening((123, 97)), Window(5, 7, 110, 85)
    wishes = {"matrix": MATRIX, "window": window, "orientation": orientation}
    taken: list[int] = []

    def pieces():
        for piece in in_pieces(rgb, 4, 5, upright.onward(orientation)):
            taken.append(len(piece))
            yield piece

    whole = finish.render(rgb, **wishes)
    bands = finish.follow(pieces(), size=rgb.shape[1:], **wishes)
    first = next(bands)
    strip = 4 if orientation >= 5 else 5
    assert len(taken) == strip + 1, "a band is there when the next strip begins"
    assert len(first) <= 97 // 4 + 1 and np.array_equal(first, whole[: len(first)])
    rest = list(bands)
    assert len(rest) == (4 if orientation >= 5 else 3)
    assert np.array_equal(np.concatenate([first, *rest]), whole)
    assert whole.shape == upright.shape(window, orientation)


def test_pieces_outside_the_window_leave_no_mark():
    rgb, window = random(), Window(30, 40, 5, 6)
    wishes = {"matrix": MATRIX, "window": window, "orientation": 1}
    (band,) = finish.follow(in_pieces(rgb), size=rgb.shape[1:], **wishes)
    assert np.array_equal(band, finish.render(rgb, **wishes))


def test_values_beyond_the_range_are_cut_and_do_not_wrap():
    rgb = tiles._rounded(np.array([-0.2, 1.2, 0.5], np.float32).reshape(3, 1, 1), "n", "here")
    piece = (slice(0, 1), slice(0, 1), rgb)
    for look in (Look(), Look(exposure=-1, contrast=False)):
        (picture,) = finish.follow(
            [piece], size=(1, 1), matrix=IDENTITY, window=Window(0, 0, 1, 1), orientation=1, look=look, bits=8
        )
        assert picture[0, 0, 0] == 0 and picture[0, 0, 1] == (255 if look.exposure == 0 else 188)


def test_what_goes_wrong_between_pieces_is_not_swallowed():
    def broken():
        yield from list(in_pieces(random()))[:2]
        raise ModelError("lost")

    with pytest.raises(ModelError, match="lost"):
        list(finish.follow(broken(), size=(61, 83), matrix=MATRIX, window=Window(0, 0, 61, 83), orientation=1))


def test_every_setting_changes_the_picture():
    rgb = evening()
    pictures = [develop(rgb, MATRIX, look=look).tobytes() for look in SETTINGS.values()]
    pictures += [develop(rgb, look=Look()).tobytes()]
    pictures += [develop(rgb, MATRIX, look=Look(stretch=True), dehaze=True).tobytes()]
    pictures += [develop(rgb, MATRIX, look=Look(exposure=1, stretch=True)).tobytes()]
    assert len(set(pictures)) == len(pictures)


def test_exposure_doubles_linear_light():
    rgb = random(high=20000)
    once, twice = (develop(rgb, look=Look(exposure=ev), bits=32) for ev in (0, 1))
    assert np.abs(twice - 2 * once).max() < 1e-4


def test_stretch_maps_its_percentiles_of_light_to_black_and_white():
    rgb = evening()
    light = develop(rgb, bits=32)
    low, high = np.percentile(light, finish.STRETCHED)
    stretched = develop(rgb, look=Look(stretch=True), bits=32).clip(0, 1)
    assert np.abs(stretched - np.clip((light - low) / (high - low), 0, 1)).max() < 1e-3
    assert np.mean(stretched == 0) == pytest.approx(0.01, abs=0.005)
    assert np.mean(stretched == 1) == pytest.approx(0.01, abs=0.005)


def test_stretch_reads_a_large_picture_from_a_grid(monkeypatch):
    rgb = evening((400, 600))
    whole = develop(rgb, look=Look(stretch=True)).astype(int)
    monkeypatch.setattr(finish, "SAMPLES", 400 * 600 // 16)
    assert np.abs(develop(rgb, look=Look(stretch=True)) - whole).max() <= 3


def test_stretch_never_darkens_a_picture_that_reaches_white():
    rgb = random(low=30000)
    rgb[:, ::2] = 65535
    assert (develop(rgb, look=Look(stretch=True))[::2] == 255).all()


@pytest.mark.parametrize("value", [0, 9000, 65535])
@pytest.mark.parametrize("look", [Look(stretch=True), HAZE])
def test_a_flat_picture_stays_whole(value, look):
    flat = np.full((3, 20, 30), value, np.uint16)
    picture = develop(flat, look=look, bits=16)
    assert np.ptp(picture.astype(int)) <= 1
    if look != HAZE or value != 9000:
        assert abs(int(picture.max()) - value) <= 1


def test_dehazing_widens_the_histogram_of_a_dim_picture():
    rgb = evening()
    plain, dehazed = (develop(rgb, look=look, bits=16) / 65535 for look in (Look(), HAZE))
    assert dehazed.std() > 1.5 * plain.std()
    assert dehazed.mean() > plain.mean()
    assert dehazed.min() >= 0 and dehazed.max() <= 1


def test_dehazing_agrees_with_the_same_at_every_pixel():
    rgb = evening((70, 90))
    plain, picture = (develop(rgb, look=look, bits=16) / 65535 for look in (Look(), HAZE))
    expected = whole_dehaze(plain)
    assert np.abs(picture - expected).mean() < 0.015
    assert np.abs(plain - expected).mean() > 0.08


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (4, 3), (5, 5), (16, 11)])
def test_pictures_smaller_than_a_block_are_developed(shape):
    for look in SETTINGS.values():
        assert develop(random(shape), look=look).shape == (*shape, 3)


def test_what_bt709_encodes_it_decodes():
    light = np.linspace(0, 1, 501)
    assert np.abs(curves.bt709_to_linear(curves.linear_to_bt709(light)) - light).max() < 1e-9
