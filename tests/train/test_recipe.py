"""Recipes: what they say is what is done, and what they cannot mean is refused."""

from dataclasses import replace

import pytest

from darkroom.errors import SettingsError
from darkroom.sensor import noise
from darkroom.train import losses, networks, recipe
from darkroom.train.recipe import Stage

MINIMAL = 'about = "a test"\nnetwork = "half"\n[[stages]]\nsteps = 10\n'
PUBLISHED = (
    "sid-sony", "sid-fuji", "canon6d", "canon6d-m1", "canon6d-m2", "canon6d-p1", "zamir-sony", "zamir-fuji",
    "red-sony", "red-fuji", "transfer",
)  # fmt: skip


def test_every_published_row_has_a_recipe_and_so_have_the_shipped_networks():
    assert set(PUBLISHED) | {"fast", "fine", "fast-srgb"} == set(recipe.names())


@pytest.mark.parametrize("name", recipe.names())
def test_every_shipped_recipe_can_be_followed_and_written_down(name):
    plan = recipe.load(name)
    assert recipe.parse(recipe.dump(plan), "copy", name="copy") == plan
    assert plan.camera == "any" or plan.camera in noise.cameras()
    bayer = {"packed": "bayer4", "masked": "bayer3", "srgb": "srgb3"}[plan.layout]
    multiple = networks.build(plan.network, bayer, plan.arguments).multiples[bayer]
    for stage in plan.stages:
        assert stage.crop >= losses.least_crop(stage.loss) and stage.crop % multiple == 0


def test_the_papers_schedules_are_theirs():
    sid, red, transfer = (recipe.load(name) for name in ("sid-sony", "red-sony", "transfer"))
    assert sid.stages[0].length(161) == 644_000 and sid.stages[0].drops == ((0.5, 1e-5),)
    assert red.stages[0].steps == 1_000_000 and red.stages[0].loss == {"l1": 0.8, "ms_ssim": 0.2}
    assert [stage.epochs for stage in transfer.stages] == [100, 250]
    assert (transfer.stages[1].fraction, transfer.stages[1].last_blocks) == (0.1, 2)
    assert [stage.references for stage in recipe.load("zamir-sony").stages] == ["plain", "contrast"]
    assert [recipe.load(f"canon6d{v}").arguments["levels"] for v in ("-m2", "-m1", "", "-p1")] == [3, 4, 5, 6]


def test_a_user_writes_a_recipe_of_their_own(tmp_path):
    (tmp_path / "mine.toml").write_text(MINIMAL)
    plan = recipe.load(str(tmp_path / "mine.toml"))
    assert plan.name == "mine" and plan.stages == (Stage(steps=10),)


def test_a_recipe_of_any_text_is_written_as_it_is_read():
    told = replace(recipe.load("fast"), about='two\nlines of "text",\ta \\ and \x7f, night: 夜')
    assert recipe.parse(recipe.dump(told), "copy", name="copy") == told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("about =", "is no TOML"),
        ("x = " + "[" * 3000, "is no TOML"),
        ("x = " + "9" * 5000, "is no TOML"),
        ('network = "half"', "has no about; add it"),
        ('colour = "red"\n' + MINIMAL, "unknown key colour; known are name, about"),
        ('input = "raw"\n' + MINIMAL, "input = 'raw'; wanted one of headroom, balanced, sensor, srgb"),
        ("cap = true\n" + MINIMAL, "cap = True; wanted float"),
        ('stages = "many"\n' + MINIMAL.partition("[[")[0], "stages are no tables"),
        ('layout = "srgb"\n' + MINIMAL, "layout srgb and input srgb go together"),
        ('input = "sensor"\n' + MINIMAL, "output camera needs white-balanced light"),
        (MINIMAL + "epochs = 3\n", "stage 1: has 10 steps and 3 epochs; say one of them"),
        (MINIMAL + "data = { films = 1.0 }\n", "no such data as films; known are pairs, photos, darkened"),
        (
            MINIMAL + "data = { photos = 1.0, darkened = 1.0 }\n",
            "stage 1: darkened photos are sRGB; say layout, input and",
        ),
        (MINIMAL + "fraction = 1.5\n", "fraction at most 1"),
        (MINIMAL + "drops = [[0.5]]\n", "stage 1: drops = "),
        (MINIMAL + 'loss = { l1 = "much" }\n', "stage 1: loss = "),
    ],
)
def test_what_a_recipe_cannot_mean_is_refused(text, message):
    with pytest.raises(SettingsError, match=message):
        recipe.parse(text, "bad.toml", name="bad")


def test_an_unknown_recipe_names_the_known_ones():
    with pytest.raises(SettingsError, match="tasty: no such recipe; give a TOML file, or one of canon6d"):
        recipe.load("tasty")


def test_a_shortened_recipe_keeps_the_shares_of_its_stages():
    plan = replace(recipe.load("transfer"), stages=(Stage(epochs=300, batch=1), Stage(steps=100)))
    assert [stage.steps for stage in recipe.shortened(plan, 40, scenes=1).stages] == [30, 10]


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 11, 1000])
def test_a_shortened_recipe_is_exactly_as_long_as_asked(steps):
    short = recipe.shortened(recipe.load("fast"), steps, scenes=1)
    assert sum(stage.steps for stage in short.stages) == steps and all(stage.steps for stage in short.stages)
