"""Options from darkroom.toml: which file holds, who wins, and what is said of values and of mistakes."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def dry(run):
    """What a dry run says of its settings, and on stderr."""

    def call(*words: str) -> tuple[dict, str]:
        code, out, err = run("develop", "--dry-run", "--json", *words)
        assert code == 0, err
        return json.loads(out.splitlines()[0])["settings"], err

    return call


@pytest.fixture
def users(tmp_path, monkeypatch) -> Path:
    """The user's own file."""
    import platformdirs

    folder = tmp_path / "settings"
    folder.mkdir()
    monkeypatch.setattr(platformdirs, "user_config_path", lambda name: folder)
    return folder / "darkroom.toml"


def test_a_file_above_the_photos_gives_defaults_and_the_command_line_wins(dry, photo, users):
    Path("darkroom.toml").write_text("tone = 0.5\namp = 20\n")
    users.write_text("contrast = 1\n")  # the nearest file alone gives defaults
    Path("in").mkdir()
    photo.rename("in/a.dng")
    settings, _ = dry("in/a.dng", "--amp", "7")
    assert settings == {
        "amp": {"value": "7", "from": "the command line"},
        "tone": {"value": 0.5, "from": str(Path("darkroom.toml").absolute())},
    }


def test_without_a_file_beside_the_photos_the_users_holds(dry, photo, users):
    users.write_text("highlights = 'clip'\nwb = [2, 1, 1.5]\nstretch = true\nbits = 16\n")
    settings, _ = dry("a.dng")
    assert {key: entry["value"] for key, entry in settings.items()} == {
        "highlights": "clip", "wb": "2,1,1.5", "stretch": True, "bits": 16,
    }  # fmt: skip


def test_a_preset_wins_over_defaults_and_may_lie_in_either_file(dry, photo, users):
    Path("darkroom.toml").write_text("tone = 0.5\n[preset.moon]\ntone = 1\n")
    users.write_text("contrast = 1\n[preset.sun]\nexposure = -1\n[preset.moon]\ntone = 0.1\n")
    assert dry("a.dng", "--preset", "moon")[0]["tone"]["value"] == 1
    settings, _ = dry("a.dng", "--preset", "sun")
    assert settings["exposure"] == {"value": -1, "from": f"{users} [preset.sun]"}
    assert settings["tone"]["value"] == 0.5 and "contrast" not in settings


def test_a_default_reaches_the_picture(run, photo, users):
    run("develop", "a.dng", "--model", "n.onnx", "--amp", "2", "-o", "plain.png")
    Path("darkroom.toml").write_text('exposure = 1\nmodel = "n.onnx"\namp = 2\n')
    code, _, err = run("develop", "a.dng", "-o", "bright.png")
    assert code == 0 and Path("plain.png").read_bytes() != Path("bright.png").read_bytes()
    assert f"from {Path('darkroom.toml').absolute()}: amp 2, model {Path('n.onnx').absolute()}, exposure 1.0\n" in err


def test_paths_in_a_file_start_at_its_folder_and_presets_keep_them_whole(run, dry, photo, users, tmp_path, monkeypatch):
    folder = tmp_path / "night"
    (folder / "caps").mkdir(parents=True)
    photo.rename(folder / "a.dng")
    (folder / "darkroom.toml").write_text('dark = ["caps", "/far"]\nmodel = "../n.onnx"\ncamera-file = "mine.toml"\n')
    here = [str(folder / "caps"), "/far"]
    settings, _ = dry("night/a.dng")
    found = {key: settings[key]["value"] for key in ("dark", "model", "camera-file")}
    assert found == {"dark": here, "model": str(tmp_path / "n.onnx"), "camera-file": str(folder / "mine.toml")}
    (folder / "darkroom.toml").write_text('dark = "caps"\nmodel = "fine-bayer"\n')
    settings, _ = dry("night/a.dng")
    assert (settings["dark"]["value"], settings["model"]["value"]) == (here[:1], "fine-bayer")
    (folder / "darkroom.toml").unlink()
    code, _, err = run("develop", "night/a.dng", "--model", "n.onnx", "--amp", "2", "--save-preset", "mine")
    assert code == 0, err
    assert f'model = "{tmp_path / "n.onnx"}"' in users.read_text()


def test_what_does_not_suit_the_format_of_the_command_line_is_left_out(dry, run, photo, users):
    Path("darkroom.toml").write_text('format = "tiff"\ncompression = "zstd"\ntone = 0.5\nbits = 32\nstretch = false\n')
    settings, err = dry("a.dng", "-o", "moon.png")
    assert settings.keys() == {"output", "tone", "stretch"} and "left out" not in err  # for a person only
    code, out, err = run("develop", "a.dng", "--dry-run", "-o", "moon.dng")
    assert code == 0 and out == "a.dng -> moon.dng\n"
    for key in ("compression zstd", "tone 0.5", "bits 32"):
        assert f"{Path('darkroom.toml').absolute()}: {key} is left out, it does not suit dng\n" in err
    assert "stretch false" in err and "stretch False" not in err and "format" not in err
    settings, _ = dry("a.dng", "--format", "tiff")
    assert settings.keys() == {"format", "compression", "tone", "bits", "stretch"}
    Path("darkroom.toml").write_text('bits = "16"\n')  # as good as a number
    assert dry("a.dng", "--format", "tiff")[0].keys() == {"format", "bits"}


def test_a_file_that_contradicts_itself_is_not_mended_unasked(run, photo, users):
    Path("darkroom.toml").write_text('format = "dng"\ntone = 0.5\n')
    code, _, err = run("develop", "a.dng", "--dry-run")
    assert code == 2 and "darkroom.toml:2: tone: finishes a picture, and a DNG is finished by what opens it" in err


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('\namp = "bogus"\n', "darkroom.toml:2: amp bogus: is no amplification; give auto"),
        ('[preset.moon]\nmemory = "x"\n', "darkroom.toml:2: memory x: is no size"),
        ("tone = 0.5\nbrackets = [0]\n", "darkroom.toml:2: brackets 0"),
    ],
)
def test_a_value_without_sense_is_told_by_its_line(run, photo, users, text, complaint):
    Path("darkroom.toml").write_text(text)
    code, _, err = run("develop", "a.dng", "--dry-run", *(["--preset", "moon"] if "moon" in text else []))
    assert code == 2 and f"darkroom: {Path.cwd()}/{complaint}" in err
    code, _, err = run("develop", "a.dng", "--dry-run", "--amp", "no")
    assert code == 2 and "darkroom: --amp no: " in err


def test_json_says_where_each_value_came_from(run, photo, users):
    Path("darkroom.toml").write_text('model = "n.onnx"\n')
    _, out, _ = run("develop", "a.dng", "--amp", "2", "--json")
    settings = json.loads(out)["settings"]
    assert settings["amp"]["from"] == "the command line" and settings["model"]["from"].endswith("darkroom.toml")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("tone = 0.5\n\n[preset.moon]\nham = 3\n", "darkroom.toml:4: unknown key ham; did you mean amp?"),
        ("tone = 1\ncontrasts = 1\n", "darkroom.toml:2: unknown key contrasts; did you mean contrast?"),
        ("dry-run = true\n", "darkroom.toml:1: unknown key dry-run; did you mean "),
        ("[other]\ntone = 1\n", "darkroom.toml:1: unknown key other; did you mean "),
        ("tone = 2024-01-01\n", "darkroom.toml:1: tone = 2024-01-01: is no value of an option"),
        ("tone = \n", "darkroom.toml: is no TOML (Invalid value (at line 1, column 8)); mend it there"),
        ("x = " + "[" * 3000, "darkroom.toml: is no TOML (nested too deep); mend it there"),
        ("x = " + "9" * 5000, "darkroom.toml: is no TOML (Exceeds the limit"),
        ("preset = 3\n", "darkroom.toml:1: preset is no table; write [preset.NAME]"),
        ("tone = 5\n", "darkroom.toml:1: tone: 5.0 is not in the range"),
        ("\nhighlights = 'bent'\n", "darkroom.toml:2: highlights: 'bent' is not one of"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_with_its_place(run, photo, users, text, complaint):
    Path("darkroom.toml").write_text(text)
    code, out, err = run("develop", "a.dng")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert err.startswith(f"darkroom: {Path().absolute()}/{complaint}"), err


def test_an_unknown_preset_names_the_nearest(run, photo, users):
    users.write_text("[preset.moon]\ntone = 1\n[preset.street]\ntone = 0\n")
    code, _, err = run("develop", "a.dng", "--preset", "mon")
    assert (code, err) == (2, "darkroom: --preset mon: no such preset, there are moon, street; did you mean moon?\n")


def test_what_was_used_is_saved_and_used_again(run, dry, photo, users):
    users.write_text("tone = 0.25")
    words = ("--model", "n.onnx", "--amp", "2", "--wb", "2,1,1")
    code, _, err = run("develop", "a.dng", *words, "-o", "one.png", "--save-preset", "moon")
    assert code == 0 and f"preset moon saved in {users}\n" in err
    assert users.read_text().startswith("tone = 0.25\n\n[preset.moon]\n")
    settings, _ = dry("a.dng", "--preset", "moon")
    assert {key: entry["value"] for key, entry in settings.items()} == {
        "amp": "2", "model": str(Path("n.onnx").absolute()), "wb": "2,1,1", "tone": 0.25,
    }  # fmt: skip
    before = users.read_bytes()
    code, _, err = run("develop", "a.dng", *words, "-o", "two.png", "--save-preset", "moon")
    assert code == 2 and "--save-preset moon: is in " in err and not Path("two.png").exists()
    code, _, err = run("develop", "a.dng", *words, "-o", "two.png", "--save-preset", "the moon")
    assert code == 2 and "is no name; use letters" in err
    assert users.read_bytes() == before


def test_presets_lists_what_there_is(run, users):
    code, out, err = run("presets")
    assert (code, out) == (0, "") and "no presets in " in err and "--save-preset" in err
    Path("darkroom.toml").write_text("tone = 0.5\n[preset.moon]\namp = 100\nstretch = true\n")
    users.write_text("contrast = 1\n[preset.sun]\nexposure = -1\n")
    code, out, _ = run("presets")
    here = Path("darkroom.toml").absolute()
    assert code == 0 and out.splitlines() == [
        f"defaults: tone 0.5  ({here})",
        f"sun: exposure -1  ({users} [preset.sun])",
        f"moon: amp 100, stretch true  ({here} [preset.moon])",
    ]
    code, out, _ = run("presets", "--json")
    assert {json.loads(line)["preset"] for line in out.splitlines()} == {"moon", "sun"}
