"""`import darkroom`: what it gives, whatever else was imported."""

import doctest
import inspect
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from conftest import dark

import darkroom
from darkroom.batch.batch import Choice
from darkroom.cli.develop import develop as command
from darkroom.decode import raw
from darkroom.develop import pipeline
from darkroom.develop.amplifier import Amp
from darkroom.develop.finish import Look
from darkroom.develop.pipeline import Settings
from darkroom.develop.size import Size
from darkroom.errors import SettingsError

ROOT = Path(__file__).parents[1]
FACE = set(inspect.signature(darkroom.develop).parameters) - {"photo"}

CALLED_OTHERWISE = {"bracket": "brackets", "wb": "white_balance", "name": "model"}
"""What a field or an option is called in the face."""
OF_FILES = {
    "files",
    "output",
    "format",
    "compression",
    "sheet",
    "watch",
    "tiled",
    "on_conflict",
    "journal",
    "cluster",
    "recursive",
    "as_json",
    "dry_run",
    "context",
    "preset",
    "save_preset",
}
"""Options of the command that say nothing of the picture, which the face hands back."""

OF_THE_SENSOR = {"dark", "camera_file", "burst"}
"""What is done to a frame before it is developed: `darkroom.sensor.darkframes`, `darkroom.develop.burst`."""

WISHES = {
    "amp": (20, Amp("number", 20.0)),
    "white_balance": ((2, 1, 1.5), (2, 1, 1.5)),
    "denoise": (0.5, 0.5),
    "hot_sites": ("off", "off"),
    "sharpen": (0.5, 0.5),
    "bits": (8, 8),
    "memory": (900_000_000, 900_000_000),
    "colour_space": ("rec2020", "rec2020"),
    "long_edge": (40, 40),
    "megapixels": (0.5, 0.5),
    "exposure": (1.5, 1.5),
    "stretch": (True, True),
    "tone": (0.5, 0.5),
    "contrast": (0.25, 0.25),
    "highlights": ("clip", "clip"),
}
"""What is asked for, by parameter -> what the settings then hold."""


def held(settings, name):
    """What the settings hold under a name, wherever in them."""
    return next(getattr(place, name) for place in (settings, settings.look, settings.size) if hasattr(place, name))


def test_develop_stays_a_function_beside_the_room_of_its_name():
    code = (
        "import darkroom; first = darkroom.develop; assert callable(first);"
        "from darkroom.develop import pipeline; import darkroom.develop.model;"
        "assert darkroom.develop is first and callable(pipeline.develop)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_develop_is_a_function_even_where_the_room_was_imported_first():
    code = "from darkroom.develop import pipeline; import darkroom; assert callable(darkroom.develop), darkroom.develop"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_importing_it_loads_no_library():
    code = "import sys; import darkroom; assert not {'numpy', 'onnxruntime', 'typer', 'rawpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_its_examples_hold(write_dng, tmp_path, monkeypatch):
    write_dng("night.dng", dark((96, 128)))
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(darkroom)
    assert result.attempted >= 5 and not result.failed


def test_every_setting_can_be_given_from_python():
    named = [field.name for kind in (Settings, Look, Size, Choice) for field in fields(kind)]
    named = [name for name in named if name not in ("look", "size")]
    assert {CALLED_OTHERWISE.get(name, name) for name in named} == FACE


def test_python_and_the_command_take_the_same_settings():
    options = set(inspect.signature(command).parameters) - OF_FILES - OF_THE_SENSOR
    assert {CALLED_OTHERWISE.get(name, name) for name in options} == FACE


def test_the_defaults_are_the_commands():
    told = inspect.signature(darkroom.develop).parameters
    plain = Settings()
    given = {name: held(plain, name) for name in set(WISHES) - {"amp"}}
    assert {name: told[name].default for name in given} | {"bits": 8} == given
    assert (told["quality"].default, told["device"].default) == (Choice.quality, Choice.device)


def test_every_setting_given_reaches_the_pipeline(photo, monkeypatch):
    heard = []

    def spy(frame, network, settings):
        heard.append(settings)
        return expose(frame, network, settings)

    expose = pipeline.expose
    monkeypatch.setattr(pipeline, "expose", spy)
    darkroom.develop(photo, **{name: asked for name, (asked, _) in WISHES.items()})
    (settings,) = heard
    found = {name: held(settings, name) for name in WISHES}
    assert found == {name: kept for name, (_, kept) in WISHES.items()}
    every = {field.name for kind in (Settings, Look, Size) for field in fields(kind)}
    assert every == {*WISHES, "bracket", "look", "size"}


def test_camera_rgb_comes_back_linear_and_unbalanced(photo):
    """The sites of all colours are alike, and a gain of 2 for red is undone."""
    picture = darkroom.develop(photo, amp=4, denoise=0, colour_space="camera")
    assert picture.dtype == np.uint16 and picture.shape == (64, 80, 3)
    red, green, blue = picture.mean(axis=(0, 1))
    assert red == pytest.approx(green, rel=0.05) and blue == pytest.approx(green, rel=0.05)


def test_brackets_come_back_as_a_list_in_their_order_from_one_decode(photo, monkeypatch):
    frame = darkroom.open(photo)
    reads = []
    monkeypatch.setattr(raw, "read", lambda path: reads.append(path) or frame)
    pictures = darkroom.develop(photo, amp=20, brackets=(2, 0.5))
    assert len(reads) == 1 and len(pictures) == 2
    for picture, factor in zip(pictures, (2, 0.5), strict=True):
        assert np.array_equal(picture, darkroom.develop(frame, amp=20 * factor))


def test_a_frame_and_a_model_give_what_their_names_do(photo):
    frame, network = darkroom.open(photo), darkroom.load("fine-bayer")
    wanted = darkroom.develop(photo, quality="fine", amp=4)
    assert np.array_equal(darkroom.develop(frame, model=network, amp=4), wanted)
    assert np.array_equal(darkroom.develop(str(photo), model="fine-bayer", amp=4), wanted)
    assert not np.array_equal(darkroom.develop(frame, amp=4), wanted)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"bits": 12}, "bits 12: "),
        ({"denoise": 1.5}, "denoise 1.5: "),
        ({"brackets": (1, 0)}, "bracket 0: "),
        ({"colour_space": "cmyk"}, "colour space cmyk: "),
        ({"colour_space": "camera", "tone": 0.5}, "colour space camera: takes no exposure"),
        ({"colour_space": "camera", "bits": 8}, "colour space camera: takes no 8 bits"),
        ({"white_balance": "sunny"}, "white balance sunny: "),
        ({"white_balance": (2, 1)}, "three gains"),
        ({"white_balance": (2, 1, 0)}, "above 0"),
        ({"white_balance": (2, 1, np.inf)}, "above 0"),
        ({"white_balance": (2, 1, 1.5, 1)}, "three gains"),
        ({"amp": "bright"}, "bright: is no amplification"),
    ],
)
def test_a_setting_without_sense_is_refused_before_the_photo_is_read(wish, message):
    with pytest.raises(SettingsError, match=message):
        darkroom.develop("no such file.dng", **wish)
