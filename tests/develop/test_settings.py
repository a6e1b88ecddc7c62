"""Settings: which of them have sense, what is said of the others, and what is usual."""

from dataclasses import replace

import pytest
from darkened import PLAIN

from darkroom.develop import amplifier, pipeline
from darkroom.develop.finish import Look
from darkroom.develop.size import Size
from darkroom.errors import SettingsError


@pytest.mark.parametrize("bracket", [0.0, -1.0, float("inf"), float("nan")])
def test_a_bracket_that_is_no_factor_is_refused(bracket):
    with pytest.raises(SettingsError, match="bracket .*is no factor on the ratio"):
        replace(PLAIN, bracket=bracket)


@pytest.mark.parametrize(
    "change",
    [
        {"bits": 32},
        {"denoise": 0.0},
        {"denoise": 1.0},
        {"sharpen": 0.0},
        {"sharpen": 1.0},
        {"bracket": 1e-9},
        {"size": Size(long_edge=1)},
        {"size": Size(megapixels=1e-6)},
        {"white_balance": "daylight"},
        {"white_balance": (0.01, 1.0, 99.0)},
        {"colour_space": "camera", "bits": 16},
    ],
)
def test_settings_reach_to_their_limits(change):
    assert replace(PLAIN, **change)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bits": 12}, "bits 12: no picture has as many a sample; give 8, 16 or 32"),
        ({"colour_space": "cmyk"}, "colour space cmyk: give srgb or .* or camera"),
        ({"size": Size(long_edge=0)}, "long edge 0: is no length; give pixels, such as 2048"),
        ({"size": Size(megapixels=0)}, "megapixels 0: is no size; give one above 0"),
        ({"size": Size(megapixels=float("nan"))}, "megapixels nan: is no size; give one above 0"),
        ({"denoise": -0.01}, "denoise -0.01: is not within 0, plainly developed, to 1, the network's"),
        ({"denoise": 1.01}, "denoise 1.01: is not within 0"),
        ({"sharpen": -0.01}, "sharpen -0.01: is not within 0, not at all, to 1"),
        ({"sharpen": 1.01}, "sharpen 1.01: is not within 0"),
        ({"hot_sites": "on"}, "hot sites on: give auto or off"),
        ({"white_balance": "shade"}, "white balance shade: give camera, daylight, auto, or three gains"),
        (
            {"white_balance": (1.0, 1.0)},
            r"white balance \(1.0, 1.0\): give three gains above 0, of red, green and blue",
        ),
        ({"white_balance": (1.0, 1.0, 1.0, 1.0)}, "white balance .*: give three gains above 0"),
        ({"white_balance": (1.0, 0.0, 1.0)}, "white balance .*: give three gains above 0"),
        ({"white_balance": (1.0, 1.0, float("inf"))}, "white balance .*: give three gains above 0"),
        ({"colour_space": "camera"}, "colour space camera: takes no 8 bits; it has 16 bits, to be finished elsewhere"),
        ({"colour_space": "camera", "bits": 32}, "colour space camera: takes no 32 bits;"),
        ({"colour_space": "camera", "bits": 16, "look": Look(tone=0.5)}, "colour space camera: takes no exposure, str"),
        ({"colour_space": "camera", "bits": 16, "size": Size(long_edge=64)}, "colour space camera: takes no exposure,"),
        ({"colour_space": "camera", "bits": 16, "sharpen": 0.1}, "colour space camera: takes no exposure, stretch"),
    ],
)
def test_settings_without_sense_are_refused(change, said):
    with pytest.raises(SettingsError, match=f"^{said}"):
        replace(PLAIN, **change)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"exposure": float("nan")}, "exposure nan: is no number of stops; give EV, such as 1 or -0.5"),
        ({"exposure": float("-inf")}, "exposure -inf: is no number of stops"),
        ({"tone": float("nan")}, "tone nan: is not within 0, none, to 1"),
        ({"tone": 1.01}, "tone 1.01: is not within 0"),
        ({"contrast": -0.01}, "contrast -0.01: is not within 0, none, to 1"),
        ({"highlights": "bend"}, "highlights bend: give clip or roll"),
    ],
)
def test_a_look_without_sense_is_refused(wish, said):
    with pytest.raises(SettingsError, match=f"^{said}"):
        Look(**wish)


def test_usual_settings_are_the_cameras_whole_picture_of_8_bits():
    usual = pipeline.Settings()
    assert (usual.amp, usual.bracket, usual.denoise, usual.sharpen) == (amplifier.Amp("auto", 0.5), 1, 1, 0)
    assert (usual.white_balance, usual.colour_space, usual.bits, usual.memory) == ("camera", "srgb", 8, 10**9)
