"""What is decided before the network runs, and what is made of its picture: ratio, balance, memory, notes."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from darkened import PLAIN, dark
from made import MATRIX, arranged, contract_for, frame_of

from darkroom.decode import raw
from darkroom.develop import amplifier, balance, grain, pipeline, tiles
from darkroom.develop.curves import FULL, linear_to_srgb, srgb_to_linear
from darkroom.develop.developed import Course
from darkroom.develop.finish import Look
from darkroom.develop.size import Size
from darkroom.errors import SettingsError
from darkroom.frame import Frame, Sources, Window

SMALL = (64, 96)


@pytest.fixture
def even() -> Frame:
    return frame_of(np.full(SMALL, 800, np.uint16), "bayer")


def planned(frame: Frame, contract=contract_for("bayer"), **changes):
    return pipeline._planned(frame, contract, replace(PLAIN, **changes))


def test_a_bracket_is_a_factor_on_the_ratio(even):
    assert (
        planned(even).ratio == 20 and planned(even, bracket=0.5).ratio == 10 and planned(even, bracket=4.0).ratio == 80
    )


def test_an_automatic_ratio_ends_where_the_network_was_trained(even):
    dark_ = replace(even, mosaic=np.full(SMALL, 512, np.uint16))
    assert planned(dark_, contract_for("bayer", max_ratio=60), amp=amplifier.parse("auto"), bracket=2.0).ratio == 120


@pytest.mark.parametrize(
    ("changes", "highlights"),
    [
        ({}, "clip"),
        ({"amp": amplifier.parse("auto")}, "roll"),
        ({"amp": amplifier.parse("paper")}, "clip"),
        ({"amp": amplifier.parse("auto"), "colour_space": "camera", "bits": 16}, "clip"),
        ({"look": Look(highlights="roll")}, "roll"),
        ({"amp": amplifier.parse("auto"), "look": Look(highlights="clip")}, "clip"),
    ],
)
def test_highlights_are_bent_for_auto_unless_told(even, changes, highlights):
    assert planned(even, **changes).look.highlights == highlights


@pytest.mark.parametrize(
    ("changes", "bits", "held", "gathered"),
    [
        ({}, 8, False, False),
        ({"bits": 16}, 16, False, False),
        ({"sharpen": 0.2}, 16, False, True),
        ({"sharpen": 0.2, "bits": 32}, 32, False, True),
        ({"size": Size(long_edge=48)}, 8, False, True),
        ({"size": Size(long_edge=96)}, 8, False, False),
        ({"look": Look(stretch=True)}, 8, True, True),
        ({"look": Look(tone=0.5)}, 8, True, True),
        ({"colour_space": "camera", "bits": 16}, 16, True, True),
    ],
)
def test_a_picture_is_held_whole_only_where_it_must_be(even, changes, bits, held, gathered):
    plan = planned(even, **changes)
    assert (plan.bits, plan.held, plan.gathered) == (bits, held, gathered)


@pytest.mark.parametrize(
    ("orientation", "aspect", "changes", "turned", "shape"),
    [
        (1, 1.0, {}, (64, 96, 3), (64, 96, 3)),
        (6, 1.0, {}, (96, 64, 3), (96, 64, 3)),
        (6, 1.0, {"size": Size(long_edge=48)}, (96, 64, 3), (48, 32, 3)),
        (1, 2.0, {}, (64, 96, 3), (64, 192, 3)),
        (6, 2.0, {}, (96, 64, 3), (192, 64, 3)),
        (6, 2.0, {"colour_space": "camera", "bits": 16}, (64, 96, 3), (64, 96, 3)),
    ],
)
def test_the_picture_is_turned_and_in_the_scenes_proportions_but_for_camera_rgb(
    even, orientation, aspect, changes, turned, shape
):
    plan = planned(replace(even, orientation=orientation, pixel_aspect=aspect), **changes)
    assert (plan.turned, plan.shape) == (turned, shape)
    assert plan.orientation == (1 if "colour_space" in changes else orientation)


def test_camera_rgb_is_given_the_cameras_gains_whatever_balance_is_chosen(even):
    for changes, gains in (({}, [3, 1, 4]), ({"colour_space": "camera", "bits": 16}, [2, 1, 1.5])):
        plan = planned(even, white_balance=(3.0, 1.0, 4.0), **changes)
        assert plan.balance.tolist() == [3, 1, 4] and plan.gains.tolist() == gains


@pytest.mark.parametrize(
    ("look", "bits", "output", "kept"),
    [
        (Look(highlights="clip"), 8, "camera", False),
        (Look(highlights="clip"), 16, "camera", False),
        (Look(highlights="clip"), 32, "camera", True),
        (Look(highlights="roll"), 8, "camera", True),
        (Look(highlights="clip", tone=0.1), 8, "camera", True),
        (Look(highlights="roll", tone=0.1), 32, "srgb", False),
    ],
)
def test_light_beyond_white_is_kept_where_it_is_of_use(look, bits, output, kept):
    assert pipeline._kept(look, bits, contract_for("bayer", output=output)) is kept


@pytest.mark.parametrize(
    ("most", "ratio", "times"),
    [
        (20, 20, 1),
        (19.9, 20, 2),
        (10, 20, 2),
        (5, 20, 4),
        (2.5, 20, 8),
        (0.1, 20, 8),
        (0.1, 3, 2),
        (0.1, 0.5, 1),
        (1, 4, 4),
    ],
)
def test_the_least_headroom_is_taken_that_cuts_a_thousandth_of_the_sites(even, monkeypatch, most, ratio, times):
    shares = {True: 0.001, False: 0.0011}
    monkeypatch.setattr(amplifier, "clipped", lambda frame, gains, given: shares[given <= most])
    assert amplifier.headroom(even, np.ones(3), ratio) == times


def test_what_is_clipped_is_counted_where_headroom_ends(even):
    lit = replace(even, mosaic=np.full(SMALL, 512 + 1587, np.uint16), white_balance=np.ones(3, np.float32))
    cut, kept = planned(lit), planned(lit, look=Look(highlights="roll"))
    assert (cut.headroom, cut.clipped) == (1, 1) and (kept.headroom, kept.clipped) == (2, 0)


@pytest.mark.parametrize(("light", "times"), [(1.99, 1), (2.01, 2), (3.99, 2), (4.01, 4)])
def test_light_far_beyond_white_is_given_headroom_even_where_highlights_are_cut(even, light, times):
    """And still counts as clipped."""
    site = round(512 + light / 20 * (even.white - 512))
    lit = replace(even, mosaic=np.full(SMALL, site, np.uint16), white_balance=np.ones(3, np.float32))
    assert (planned(lit).headroom, planned(lit).clipped) == (times, 1)
    assert planned(lit, colour_space="camera", bits=16).headroom == 1
    assert planned(lit, contract=contract_for("bayer", output="srgb")).headroom == 1


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.0, "daylight"),
        (0.0049, "daylight"),
        (0.0051, "1% from daylight to tungsten"),
        (0.62, "62% from daylight to tungsten"),
        (0.999, "100% from daylight to tungsten"),
        (1.0, "tungsten"),
    ],
)
def test_a_guessed_white_balance_is_told_by_its_light(even, monkeypatch, share, said):
    guess = np.float32([3, 1, 2])
    monkeypatch.setattr(balance, "guessed", lambda frame: (guess, share))
    assumed = replace(even, daylight=np.float32([2, 1, 1]), sources=Sources(white_balance="daylight"))
    assert balance.gains(assumed, "camera") == (guess, (f"white balance guessed from the picture: {said}",))


def test_gains_are_the_cameras_daylights_the_pictures_or_the_users(even):
    daylight = np.float32([2.5, 1, 1.25])
    known = replace(even, daylight=daylight)
    assert balance.gains(known, "camera") == (even.white_balance, ())
    assert balance.gains(known, "daylight") == (daylight, ())
    grey, notes = balance.gains(known, "auto")
    assert grey.tolist() == [1, 1, 1] and notes == ()
    grey, notes = balance.gains(even, "daylight")
    assert grey.tolist() == [1, 1, 1] and notes == (
        "the file has no daylight white balance; grey-world gains are used",
    )
    gains, notes = balance.gains(known, (4.0, 2.0, 3.0))
    assert gains.tolist() == [2, 1, 1.5] and notes == ()
    assumed = replace(even, sources=Sources(white_balance="daylight"))
    assert balance.gains(assumed, "camera") == (even.white_balance, ()), "where daylight is not known"


# --- memory, mixing, noise, notes ---


@pytest.mark.parametrize(
    ("changes", "whole", "taken"),
    [
        ({}, True, 3 * 6144),
        ({}, False, 0),
        ({"bits": 16}, True, 6 * 6144),
        ({"bits": 32}, True, 12 * 6144),
        ({"look": Look(stretch=True)}, True, 3 * 6144 + 6 * 7000),
        ({"look": Look(stretch=True)}, False, 6 * 7000),
        ({"colour_space": "camera", "bits": 16}, True, 6 * 7000),
    ],
)
def test_a_tile_gets_what_the_mosaic_and_what_is_held_leave(even, changes, whole, taken):
    settings = replace(PLAIN, memory=500_000_000, **changes)
    assert pipeline._tile_memory(even, settings, 7000, whole) == 500_000_000 - 215_000_000 - 2 * 6144 - taken


@pytest.mark.parametrize(("aspect", "pictures"), [(2.0, 3), (0.5, 3), (1.5, 2.5), (1.0, 1)])
def test_a_stretched_picture_lies_beside_the_one_it_is_made_of(even, aspect, pictures):
    frame = replace(even, pixel_aspect=aspect, visible=Window(0, 0, 60, 90))
    settings = replace(PLAIN, memory=500_000_000)
    left = 500_000_000 - 215_000_000 - 2 * 6144
    assert pipeline._tile_memory(frame, settings, 0, True) == left - pictures * 3 * 5400
    assert pipeline._tile_memory(frame, settings, 0, False) == left


@pytest.mark.parametrize(("memory", "tile"), [(400, 400 - 215 - 80), (350, 64), (279, 64), (278, 63), (200, -15)])
def test_a_tile_gets_64_mb_where_only_the_picture_is_in_its_way(even, memory, tile):
    """A picture of 80 MB, and a mosaic that is next to nothing."""
    frame = replace(even, mosaic=even.mosaic[:0], visible=Window(0, 0, 5000, 5333))
    settings = replace(PLAIN, memory=memory * 1_000_000)
    assert pipeline._tile_memory(frame, settings, 0, True) / 1e6 == pytest.approx(tile, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "strip"),
    [
        ({}, 2 * 3 * 4),
        ({"bits": 16}, 2 * 6 * 4),
        ({"bits": 32}, 2 * 12 * 4),
        ({"sharpen": 0.1}, 2 * 6 * 4),
        ({"look": Look(tone=0.3)}, 0),
    ],
)
def test_two_strips_of_the_picture_are_paid_from_the_tiles_memory(networks, even, monkeypatch, changes, strip):
    asked = []
    monkeypatch.setattr(tiles, "run", lambda *_, **wishes: asked.append(wishes) or iter(()))
    for whole in (True, False):
        begun = pipeline.begin(even, networks["bayer"], replace(PLAIN, **changes), whole=whole)
        assert begun.bands.shape == (64, 96, 3)
    assert [wishes["strip_bytes"] for wishes in asked] == [strip, strip]
    gathered = pipeline._planned(even, networks["bayer"].contract, replace(PLAIN, **changes)).gathered
    size = asked[0]["size"]
    for wishes, whole in zip(asked, (True, gathered), strict=True):
        assert wishes["memory"] == pipeline._tile_memory(even, replace(PLAIN, **changes), 4 * size[0] * size[1], whole)


@pytest.mark.parametrize(("denoise", "value", "ran"), [(0.0, 0.2, 0), (0.25, 0.35, 1), (1.0, 0.8, 1)])
def test_denoising_mixes_the_networks_picture_with_the_plain_one(denoise, value, ran):
    calls = []
    network = SimpleNamespace(lent=lambda bright: calls.append(bright) or np.float32([0.8]))
    mixed = pipeline._blended(network, denoise, lambda bright: np.float32([0.2]), np.zeros(1, np.float32))
    assert mixed == pytest.approx([value]) and len(calls) == ran and mixed.dtype == np.float32


def test_noise_is_told_in_the_pictures_light(even):
    """At a ratio of 20, white is 793.55 DN above black."""
    frame = replace(even, black=np.float32([[510, 512], [512, 514]]))
    noise = SimpleNamespace(at=lambda dn: np.sqrt(dn).astype(np.float32))
    found = pipeline._noise(noise, frame, 20, np.float32([0, 0.5, 1]))
    assert found == pytest.approx(np.sqrt([0, 0.5 * 793.55, 793.55]) / 793.55)


def test_white_is_one_in_the_channel_that_saturates_first():
    assert pipeline._neutral(np.float32([2, 1, 4])) == pytest.approx([0.5, 1, 0.25])
    assert pipeline._neutral(np.float32([0.5, 1, 4])) == pytest.approx([1, 0.5, 0.125])


@pytest.mark.parametrize(
    ("count", "notes"), [(0, ()), (1, ("1 hot or dead site filled in",)), (2, ("2 hot or dead sites filled in",))]
)
def test_mended_sites_are_noted_after_what_the_file_says(even, monkeypatch, count, notes):
    frame = replace(even, notes=("first",))
    monkeypatch.setattr(pipeline.hotsites, "mended", lambda frame, noise: (frame, count))
    assert pipeline.mended(frame).notes == ("first", *notes)


@pytest.mark.parametrize(
    ("changes", "plan", "said"),
    [
        ({}, {"ratio": 300.0}, ""),
        ({}, {"ratio": 301.0}, "ratio 301 is beyond the 300 that test was trained for"),
        ({}, {"clipped": 0.05}, ""),
        ({}, {"clipped": 0.06}, "6% of the sites are clipped at ratio 20; a lower --amp keeps them"),
        (
            {"colour_space": "rec2020"},
            {},
            "8 bits of rec2020 may show steps in smooth tones; more bits (--bits) do not",
        ),
        ({"colour_space": "rec2020", "bits": 16}, {}, ""),
        (
            {"amp": amplifier.parse("auto"), "bracket": 0.5},
            {"ratio": 150.0},
            "--amp auto is at its ceiling of x300: har",
        ),
        ({"amp": amplifier.parse("auto"), "bracket": 2.0}, {"ratio": 300.0}, ""),
    ],
)
def test_each_risk_is_noted_past_its_limit(even, changes, plan, said):
    settings, contract = replace(PLAIN, **changes), contract_for("bayer")
    decided = replace(planned(even), notes=("of the balance",), ratio=20.0, clipped=0.0)
    notes = pipeline._notes(replace(even, notes=("of the file",)), contract, settings, replace(decided, **plan))
    assert notes[:2] == ("of the balance", "of the file")
    assert [note[: len(said)] for note in notes[2:]] == ([said] if said else [])


# --- camera RGB ---


def test_camera_rgb_is_had_from_networks_that_give_it_only(even):
    camera = replace(PLAIN, colour_space="camera", bits=16)
    pipeline._check(even, contract_for("bayer"), camera)
    pipeline._check(even, contract_for("bayer", output="srgb"), PLAIN)
    pipeline._check(even, arranged("xtrans", "srgb"), PLAIN)
    with pytest.raises(
        SettingsError, match="^test: gives finished colours, a DNG holds the camera's; leave --model out$"
    ):
        pipeline._check(even, contract_for("bayer", output="srgb"), camera)


@pytest.mark.parametrize(("aspect", "shape"), [(1.0, (20, 30, 3)), (2.0, (20, 60, 3))])
def test_a_negative_tells_the_chosen_balance_and_shows_the_window_as_it_lies(even, aspect, shape):
    frame = replace(even, visible=Window(4, 6, 20, 30), orientation=6, pixel_aspect=aspect, camera_to_srgb=MATRIX)
    rgb = np.zeros((3, *SMALL), np.uint16)
    rgb[:, 4:24, 6:36] = FULL // 2
    chosen = np.float32([2, 1, 4])
    plan = replace(planned(frame), balance=chosen, gains=chosen)
    told = pipeline._negative(rgb, frame, plan, 0.25)
    assert told.neutral == pytest.approx([0.5, 1, 0.25]) and told.daylight is chosen
    assert (told.camera, told.orientation, told.denoised, told.pixel_aspect) == ("test", 6, 0.25, aspect)
    assert told.camera_to_srgb is MATRIX
    assert told.preview.shape == shape and told.preview.dtype == np.uint8
    assert np.abs(told.preview.astype(int) - 127).max() <= 1
    daylight = np.float32([3, 1, 1])
    assert pipeline._negative(rgb, replace(frame, daylight=daylight), plan, 1.0).daylight is daylight


def test_the_preview_of_a_negative_has_the_chosen_balance_and_its_headroom(even):
    rgb = np.full((3, *SMALL), FULL // 2, np.uint16)
    plan = replace(planned(even), balance=np.float32([2, 1, 1]), gains=np.float32([1, 1, 2]), headroom=2.0)
    preview = pipeline._negative(rgb, even, plan, 1.0).preview
    light = 2 * srgb_to_linear(np.array([0.5]))[0]
    assert preview[9, 9] == pytest.approx(255 * linear_to_srgb(np.array([2 * light, light, light / 2])), abs=1)


def test_camera_rgb_is_not_cut_where_the_cameras_balance_would_be(networks, write_dng):
    """A grey patch by daylight, photographed under lamps: its blue, white-balanced, is far beyond white."""
    seen = np.float32([0.4, 0.8, 0.533])
    frame = raw.read(write_dng("dark.dng", dark(np.broadcast_to(seen, (96, 128, 3)), 20), white_balance=(1.2, 1, 2.6)))
    settings = replace(PLAIN, colour_space="camera", bits=16, denoise=0.0, white_balance=(2.0, 1.0, 1.5))
    inner = pipeline.expose(frame, networks["bayer"], settings).picture[8:-8, 8:-8].mean(axis=(0, 1)) / 65535
    assert inner == pytest.approx(seen, rel=0.02)


def test_a_darker_exposure_keeps_what_is_beyond_white(even):
    lit = replace(even, mosaic=np.full(SMALL, 512 + 1190, np.uint16), white_balance=np.ones(3, np.float32))
    assert planned(lit).headroom == 1 < planned(lit, look=Look(exposure=-1)).headroom


def test_camera_rgb_is_light_as_the_sensor_had_it(networks, write_dng):
    """Grey light that the sensor sees as (1/2, 1, 2/3), amplified until green is 0.3."""
    light = np.broadcast_to(np.float32([0.15, 0.3, 0.2]), (96, 128, 3))
    frame = raw.read(write_dng("dark.dng", dark(light, 20), white_balance=(2, 1, 1.5)))
    settings = replace(PLAIN, colour_space="camera", bits=16, denoise=0.0, white_balance=(1.0, 1.0, 1.0))
    developed = pipeline.expose(frame, networks["bayer"], settings)
    assert developed.picture.dtype == np.uint16 and developed.space == "srgb"
    inner = developed.picture[8:-8, 8:-8].mean(axis=(0, 1)) / 65535
    assert inner == pytest.approx([0.15, 0.3, 0.2], rel=0.02)
    assert developed.negative.neutral == pytest.approx([1, 1, 1])


def test_the_time_of_the_network_and_of_the_finish_is_told(networks, even, monkeypatch):
    ticks = iter((10.0, 13.0, 18.0))
    monkeypatch.setattr(pipeline, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    monkeypatch.setattr(pipeline, "Course", lambda: Course(started=next(ticks)))
    heard = []
    developed = pipeline.expose(even, networks["bayer"], replace(PLAIN, denoise=0.0), lambda *told: heard.append(told))
    assert (developed.seconds.network, developed.seconds.finish) == (3, 5) and heard == [(1, 1)]


@pytest.mark.parametrize(("exposure", "amplified"), [(0.0, 20), (1.0, 40), (-1.0, 10)])
def test_sharpening_is_told_the_noise_as_the_picture_shows_it(networks, frame, monkeypatch, exposure, amplified):
    heard = []
    monkeypatch.setattr(
        pipeline.sharpen,
        "sharpened",
        lambda picture, strength, noise, bits: heard.append((strength, noise, bits)) or picture,
    )
    pipeline.expose(frame, networks["bayer"], replace(PLAIN, sharpen=0.5, denoise=0.0, look=Look(exposure=exposure)))
    ((strength, noise, bits),) = heard
    wanted = pipeline._noise(grain.measure(pipeline.mended(frame)), frame, amplified, np.float32([0, 0.1, 1]))
    assert (strength, bits) == (0.5, 8) and noise(np.float32([0, 0.1, 1])) == pytest.approx(wanted)
