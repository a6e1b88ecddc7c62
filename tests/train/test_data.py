"""Data of three kinds, mixed: what is drawn is what the recipe asks for, and the same number draws the same again."""

from dataclasses import replace
from itertools import pairwise

import conftest
import numpy as np
import pytest
import sets
from PIL import Image

from darkroom.errors import SettingsError
from darkroom.sensor import noise
from darkroom.train import darken, data, shards
from darkroom.train.cache import Cache
from darkroom.train.recipe import Recipe, Stage

SENSOR = Recipe(
    name="tiny",
    about="a test",
    network="unet",
    input="sensor",
    output="srgb",
    curve="bt709",
    stages=(Stage(steps=1, batch=1, crop=48),),
)
STAGE = Stage(steps=1, batch=1, crop=48)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(3):
        coarse = Image.fromarray(rng.integers(0, 255, (20, 30, 3), np.uint8))
        coarse.resize((300, 200), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    (folder / "sources.csv").write_text("file,reduced_by\n0.png,1.0\n1.png,1.6\n2.png,4.0\n")
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def sid(tmp_path_factory):
    return sets.sid(tmp_path_factory.mktemp("sid"))


def gather(plan, cache, told=None, **sources) -> data.Material:
    tell = told.append if told is not None else lambda line: None
    known = [noise.camera("sonya7s2")]
    return data.gather(plan, data.Sources(**sources), known, cache, sensor="bayer", tell=tell)


def test_photos_are_reduced_until_their_pixels_are_clean(photos, cache):
    shapes = [shards.opened(photos / f"{i}.png", cache, "plain").picture.shape for i in range(3)]
    assert shapes == [(100, 150, 3), (160, 240, 3), (200, 300, 3)]


def test_a_list_of_photos_stands_for_a_folder(photos, cache, tmp_path):
    listed = tmp_path / "photos.txt"
    listed.write_text(f"# two of them\n{photos}/2.png\n\n{photos}/0.png\n")
    material = gather(SENSOR, cache, photos=listed, validation=photos)
    assert tuple(material.photos) == (photos / "2.png", photos / "0.png")
    listed.write_text("notes.md\n")
    with pytest.raises(SettingsError, match=r"photos.txt: .*notes.md is no photo by its name; list JPEG, PNG or raw"):
        gather(SENSOR, cache, photos=listed, validation=photos)


def test_raw_photos_are_learnt_from_like_others(write_dng, cache, tmp_path):
    for i in range(2):
        write_dng(f"{i}.dng", conftest.noise((400, 600), seed=i) // 4 + 512)
    material = gather(SENSOR, cache, photos=tmp_path)
    assert [path.suffix for path in (*material.photos, *material.validation)] == [".dng", ".dng"]
    drawn = data.draws(SENSOR, STAGE, material, 0)
    assert all(np.isfinite(drawn.example(i).bright).all() for i in range(4))


def test_a_twentieth_is_kept_for_validation_and_never_trained_on(photos, cache):
    told = []
    material = gather(SENSOR, cache, told, photos=photos)
    assert told == ["validation: 1 of 3 photos kept from training"]
    assert set(material.validation).isdisjoint(material.photos) and len(material.photos) == 2


def test_all_kinds_of_data_are_drawn_in_their_shares_and_repeat(photos, sid, cache):
    material = gather(SENSOR, cache, photos=photos, validation=photos, pairs=sid)
    stage = replace(STAGE, data={"pairs": 3.0, "photos": 1.0})
    drawn = data.draws(SENSOR, stage, material, 0)
    assert drawn.shares == (0.75, 0.25)
    first = [drawn.example(i) for i in range(8)]
    again = [data.draws(SENSOR, stage, material, 0).example(i) for i in range(8)]
    assert all((a.bright == b.bright).all() for a, b in zip(first, again, strict=True))
    assert any((a.bright != b.bright).any() for a, b in pairwise(first))
    other = data.draws(SENSOR, stage, material, 1).example(0)
    assert (other.bright != first[0].bright).any()
    assert {example.bright.shape for example in first} == {(4, 24, 24)}


def test_an_epoch_sees_every_scene_once(sid, cache):
    material = gather(SENSOR, cache, pairs=sid, validation=sid)
    drawn = data.draws(SENSOR, STAGE, material, 0)
    assert material.epoch == len(drawn.scenes) > 1
    references = [drawn.example(i).reference.mean() for i in range(material.epoch)]
    assert len({round(float(mean), 3) for mean in references}) == material.epoch


def test_a_fraction_takes_so_many_scenes(sid, cache):
    material = gather(SENSOR, cache, pairs=sid, validation=sid)
    assert len(data.draws(SENSOR, replace(STAGE, fraction=0.01), material, 0).scenes) == 1


def test_photos_darken_as_the_pairs_are_dark(photos, sid, cache):
    plan = replace(SENSOR, layout="srgb", input="srgb", cap=1.0, stages=(replace(STAGE, data={"darkened": 1.0}),))
    material = gather(plan, cache, photos=photos, validation=photos, pairs=sid)
    example = data.draws(plan, plan.stages[0], material, 0).example(0)
    assert example.bright.shape == example.reference.shape == (3, 48, 48)
    assert example.bright.mean() < example.reference.mean()
    assert gather(plan, cache, photos=photos).darkness == darken.PUBLISHED != material.darkness
    with pytest.raises(SettingsError, match="darkens photos; give --photos, too"):
        gather(plan, cache, pairs=sid, validation=sid)


def test_validation_examples_are_of_what_was_kept(photos, sid, cache):
    material = gather(SENSOR, cache, photos=photos, validation=photos)
    examples = data.validation(SENSOR, material, 16)
    sizes = [(100, 96), (1, 96), (250, 160), (300, 192)]
    assert [(e.ratio, e.reference.shape) for e in examples] == [(ratio, (3, side, side)) for ratio, side in sizes]
    scenes = gather(SENSOR, cache, pairs=sid, validation=sid)
    assert data.validation(replace(SENSOR, stages=(STAGE,)), scenes, 2)[0].reference.shape[0] == 3


def test_a_stage_that_wants_what_was_not_given_is_refused(photos, cache):
    material = gather(SENSOR, cache, photos=photos)
    with pytest.raises(SettingsError, match="tiny: learns from pairs; give --pairs"):
        data.draws(SENSOR, replace(STAGE, data={"pairs": 1.0}), material, 0)


def test_nothing_to_learn_from_is_refused(tmp_path, cache):
    with pytest.raises(SettingsError, match="holds no photo"):
        gather(SENSOR, cache, photos=tmp_path)
    with pytest.raises(SettingsError, match="nothing to learn from"):
        gather(SENSOR, cache)


def test_pairs_of_another_kind_of_sensor_are_refused(sid, cache):
    with pytest.raises(SettingsError, match="is bayer, the recipe's camera is xtrans"):
        data.gather(
            SENSOR,
            data.Sources(pairs=sid, validation=sid),
            [noise.camera("fujixt2")],
            cache,
            sensor="xtrans",
            tell=lambda line: None,
        )
