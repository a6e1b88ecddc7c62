"""The sheet that networks are judged by: its places are what they are called, its crops what was developed."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from made import write_average
from pages import checked
from PIL import Image

from darkroom.errors import SettingsError
from darkroom.evaluate import cropsheet, places
from darkroom.evaluate.places import SIDE, Place

ROUGH = np.random.default_rng(0).integers(0, 25, (320, 320, 1), np.uint8)


@pytest.fixture
def photos(tmp_path) -> Path:
    """Photos whose lower right quarter is leaves, lights in the dark, or bars across and upright."""
    folder = tmp_path / "photos"
    folder.mkdir()
    corner = np.s_[SIDE:, SIDE:]
    grey = np.full((320, 320, 3), 120, np.uint8)
    leaves = grey.copy()
    leaves[corner] = np.array([40, 110, 30], np.uint8) + ROUGH[corner]
    lamps = np.full((320, 320, 3), 50, np.uint8)
    lamps[200:320:60, 200:320:60] = lamps[201:320:60, 201:320:60] = 255
    lamps[240:260, 240:260] = 255
    bars = grey.copy()
    bars[SIDE::8, SIDE:] = bars[SIDE:, SIDE::8] = 230
    for name, picture in (("bars", bars), ("lamps", lamps), ("leaves", leaves)):
        Image.fromarray(picture).save(folder / f"{name}.png")
    return folder


def test_a_place_shows_what_it_is_called(photos):
    chosen = {each.kind: each for each in places.choose(photos)}
    assert chosen["foliage"].photo.name == "leaves.png" and (chosen["foliage"].top, chosen["foliage"].left) == (
        160,
        160,
    )
    assert chosen["windows"].photo.name == "bars.png" and min(chosen["windows"].top, chosen["windows"].left) > 100
    lamp = chosen["lamps"]
    assert lamp.photo.name == "lamps.png" and lamp.top <= 240 < lamp.top + SIDE
    assert places.choose(photos) == places.choose(photos)


def test_places_are_read_as_they_are_written(photos, tmp_path):
    chosen = places.choose(photos)
    (tmp_path / "p.toml").write_text(places.to_toml(chosen))
    assert places.read(tmp_path / "p.toml", photos) == chosen


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[place]]\nkind = 'fur'", "p.toml: holds no places ('photo'); give each as [[place]] with kind"),
        ("place", "p.toml: holds no places ("),
        ("x = " + "[" * 3000, "p.toml: holds no places ("),
        ("[[place]]\nkind = 'fur'\nphoto = 'a'\ntop = inf\nleft = 0", "p.toml: holds no places ("),
        (
            "[[place]]\nkind = 'fur'\nphoto = 'bars.png'\ntop = 200\nleft = 0",
            "fur begins at row 200, column 0, and bars",
        ),
        ("[[place]]\nkind = 'fur'\nphoto = 'x.png'\ntop = 0\nleft = 0", "x.png: no photo that can be read"),
    ],
)
def test_places_that_are_none_are_refused(photos, tmp_path, text, complaint):
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        places.read(tmp_path / "p.toml", photos)
    assert complaint in str(caught.value)


def test_photos_too_small_have_no_places(tmp_path):
    Image.new("RGB", (100, 400)).save(tmp_path / "a.png")
    with pytest.raises(SettingsError, match="none of its photos has 160 pixels a side"):
        places.choose(tmp_path)


def test_the_sheet_shows_every_system_beside_the_reference(run, photos, tmp_path):
    (tmp_path / "p.toml").write_text(places.to_toml([Place("bars & leaves", photos / "bars.png", 96, 80)]))
    network, sheet = write_average(tmp_path / "n.onnx", 3), tmp_path / "sheet"
    words = ("--places", tmp_path / "p.toml", "--ratios", "1,50")
    code, out, _ = run("evaluate", network, "--simulate", photos, "--sheet", sheet, *words)
    assert (code, out) == (0, f"{sheet / 'index.html'}\n")
    assert sorted(path.name for path in sheet.iterdir()) == [
        "1-bars---leaves.png", "index.html", "places.toml", "sheet.png",
    ]  # fmt: skip
    shown, side = iio.imread(sheet / "sheet.png"), SIDE + cropsheet.GAP
    photo = iio.imread(photos / "bars.png")[96 : 96 + SIDE, 80 : 80 + SIDE]
    for row in range(2):
        top, left = 2 * cropsheet.LINE + row * side, cropsheet.MARGIN + 2 * side
        assert (shown[top : top + SIDE, left : left + SIDE] == photo).all(), "the reference comes last"
        flat = shown[top : top + 50, left - 2 * side : left - 2 * side + 50].astype(float)
        assert (flat.std() > 10) == (row == 1), "x50 is noisy, x1 is not"
    page = checked((sheet / "index.html").read_text())
    captions = [text for text in page.text if "dB" in text or text == "reference"]
    assert [caption.split(":")[0] for caption in captions] == ["libraw", "n", "reference"] * 2
    assert "bars & leaves: bars.png, from row 96, column 80" in page.text
    again = tmp_path / "again"
    run("evaluate", network, "--simulate", photos, "--sheet", again, "--places", sheet / "places.toml", *words[2:])
    assert (again / "sheet.png").read_bytes() == (sheet / "sheet.png").read_bytes(), "the same noise at every run"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--sheet", "SHEET", "--pairs", "PHOTOS"), "--sheet: is for --simulate; leave it out"),
        (("--sheet", "PHOTOS", "--simulate", "PHOTOS"), "already exists and is not empty; name a new folder"),
        (("--sheet", "SHEET", "--simulate", "PHOTOS", "--baselines", "burst"), "--sheet: shows networks beside libraw"),
        (("--sheet", "SHEET", "--simulate", "PHOTOS", "--ratios", "0,5"), "--sheet: ratios must all be above 0"),
        (
            ("--sheet", "SHEET", "--simulate", "PHOTOS", "fast-bayer", "fast-xtrans"),
            "--sheet: shows one kind of sensor",
        ),
        (("--sheet", "SHEET", "--simulate", "PHOTOS", "fast-bayer", "--html", "a.html"), "nothing; leave --html out"),
        (("--places", "p.toml", "--simulate", "PHOTOS"), "--places: is for --sheet only"),
    ],
)
def test_wrong_usage_of_the_sheet_is_one_line(run, photos, tmp_path, words, complaint):
    named = {"PHOTOS": photos, "SHEET": tmp_path / "sheet"}
    code, out, err = run("evaluate", *(named.get(word, word) for word in words))
    assert code == 2 and not out and complaint in err and err.count("\n") == 1
