"""Photos in tar shards and lists: found once, opened when drawn, each process its own."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.errors import SettingsError
from darkroom.sensor import noise
from darkroom.train import data, pool, shards
from darkroom.train.cache import Cache
from darkroom.train.recipe import Recipe, Stage

STAGE = Stage(steps=1, batch=1, crop=64)
PLAN = Recipe(name="tiny", about="a test", network="half", camera="sonya7s2", stages=(STAGE,))


@pytest.fixture
def cache(tmp_path) -> Cache:
    return Cache(tmp_path / "cache")


def picture(seed: int, suffix: str = "png") -> bytes:
    """A photo's bytes: of each seed another, 160 x 144."""
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 255, (12, 15, 3), np.uint8))
    data = io.BytesIO()
    coarse.resize((160, 144), Image.Resampling.BICUBIC).save(data, suffix)
    return data.getvalue()


def pack(file: Path, members: dict[str, bytes], *, form: int = tarfile.PAX_FORMAT) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w", format=form) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file


@pytest.fixture
def packed(tmp_path) -> Path:
    """Twelve photos in three shards, each with its label, as WebDataset has them."""
    for shard in range(3):
        numbers = range(4 * shard, 4 * shard + 4)
        members = {f"{n:04}.{end}": picture(n) if end == "png" else b"{}" for n in numbers for end in ("json", "png")}
        pack(tmp_path / "packed" / f"{shard:03}.tar", members)
    return tmp_path / "packed"


def material(cache: Cache, photos: Path, validation: Path | None = None) -> data.Material:
    sources = data.Sources(photos=photos, validation=validation)
    return data.gather(PLAN, sources, [noise.camera("sonya7s2")], cache, sensor="bayer", tell=lambda line: None)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_photo_in_a_shard_is_what_it_was_as_a_file(tmp_path, cache, form):
    long = "f/" * 60 + "ü" * 60 + ".png" if form != tarfile.USTAR_FORMAT else "b.png"
    shard = pack(tmp_path / "a.tar", {"a.jpeg": picture(1, "jpeg"), long: picture(2), "._a.png": b"x"}, form=form)
    (tmp_path / "a.jpeg").write_bytes(picture(1, "jpeg"))
    (tmp_path / "b.png").write_bytes(picture(2))
    found = shards.find(shard, cache)
    assert len(found) == 2
    for member, name in zip(found, ("a.jpeg", "b.png"), strict=True):
        for look in ("plain", "contrast"):
            inside, alone = (shards.opened(place, cache, look) for place in (member, tmp_path / name))
            assert (inside.picture == alone.picture).all() and (inside.reference == alone.reference).all()
            assert inside.picture.shape == (72, 80, 3)


def test_a_folder_a_list_and_the_shards_by_name_are_the_same_photos(packed, cache, tmp_path):
    listed = tmp_path / "shards.txt"
    listed.write_text("".join(f"packed/{shard:03}.tar\n" for shard in range(3)))
    folder, list_ = (tuple(shards.find(place, cache)) for place in (packed, listed))
    assert folder == list_ and len(folder) == 12
    assert folder[:4] == tuple(shards.find(packed / "000.tar", cache))


def test_what_a_table_beside_the_shards_says_of_reduction_is_heeded(packed, cache):
    (packed / "sources.csv").write_text("file,reduced_by\n0001.png,2.0\n")
    found = shards.find(packed, cache)
    assert [shards.opened(found[n], cache, "plain").picture.shape[0] for n in (0, 1)] == [72, 144]


@pytest.mark.parametrize(
    "table", ["name,url\n0001.png,http\n", "file,reduced_by\n0001.png,twice\n", "file,reduced_by\na\n"]
)
def test_a_table_of_another_shape_is_told(packed, cache, table):
    (packed / "sources.csv").write_text(table)
    found = shards.find(packed, cache)
    with pytest.raises(
        SettingsError, match="sources.csv: has no names under file, numbers under reduced_by .*; mend it"
    ):
        shards.opened(found[0], cache, "plain")


def test_shards_are_looked_through_once_and_again_when_they_change(packed, cache, monkeypatch):
    looked: list[str] = []
    look = shards._pictures
    monkeypatch.setattr(shards, "_pictures", lambda shard: looked.append(shard.name) or look(shard))
    first = tuple(shards.find(packed, cache))
    assert tuple(shards.find(packed, cache)) == first and looked == ["000.tar", "001.tar", "002.tar"]
    pack(packed / "001.tar", {"new.png": picture(99)})
    assert len(shards.find(packed, cache)) == 9 and len(looked) == 6


def test_training_draws_from_shards_what_it_draws_from_files(packed, cache, tmp_path):
    for number in range(12):
        (tmp_path / f"{number:04}.png").write_bytes(picture(number))
    drawn = [data.draws(PLAN, STAGE, material(cache, place), 0) for place in (packed, tmp_path)]
    for number in range(6):
        first, second = (each.example(number) for each in drawn)
        assert (first.bright == second.bright).all() and (first.reference == second.reference).all()
    held = material(cache, packed)
    assert (len(held.photos), len(held.validation)) == (11, 1)
    assert set(held.photos).isdisjoint(held.validation)
    assert len(data.validation(PLAN, held, 2)) == 2, "one dark, and one in full light"
    assert len(material(cache, packed, packed / "000.tar").validation) == 4


@pytest.fixture
def told(monkeypatch) -> list[shards.Member | Path]:
    """What is opened."""
    asked: list[shards.Member | Path] = []
    opened = shards.opened
    monkeypatch.setattr(shards, "opened", lambda place, *rest: asked.append(place) or opened(place, *rest))
    return asked


def seen_by(rank: int, world: int, told: list, drawn: data.Draws, batch: int, folder: Path) -> tuple[set, list]:
    """Photos that a process opens in some steps, and the numbers of its examples."""
    told.clear()
    places = slice(rank * batch // world, (rank + 1) * batch // world)
    kept = pool.Pool(drawn.example, folder, batch=batch, seed=0, size=pool.SIZE, places=places)
    numbers = [kept.picked(step) for step, _ in zip(range(12), kept.batches(0), strict=False)]
    kept.close()
    return set(told), numbers


def test_processes_share_a_batch_but_no_photo(packed, cache, told, tmp_path):
    drawn = data.draws(PLAN, STAGE, material(cache, packed, packed / "000.tar"), 0, lanes=6)
    whole, batches = seen_by(0, 1, told, drawn, 6, tmp_path)
    parts = [seen_by(rank, 3, told, drawn, 6, tmp_path) for rank in range(3)]
    assert [sum(step, []) for step in zip(*(numbers for _, numbers in parts), strict=True)] == batches
    assert set.union(*(photos for photos, _ in parts)) == whole and sum(len(photos) for photos, _ in parts) == len(
        whole
    )
    assert [{member.shard.name for member in photos} for photos, _ in parts] == [{f"00{n}.tar"} for n in range(3)]


def test_fewer_photos_than_places_in_a_batch_serve_them_all(packed, cache):
    drawn = data.draws(PLAN, STAGE, material(cache, packed / "000.tar", packed), 0, lanes=8)
    assert len(drawn._photos(3)) == 4


def test_no_photo_is_opened_before_it_is_drawn_and_few_stay_open(cache, told, tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    gathered = material(cache, tmp_path, tmp_path)
    drawn = data.draws(PLAN, STAGE, gathered, 0)
    assert not told
    photos = drawn._photos(0)
    for place in (0, 1, 0, 1, 2):
        assert photos[place].picture.shape[2] == 3
    assert [path.name for path in told] == ["0.png", "1.png", "2.png"]
    assert data._mapped.cache_parameters()["maxsize"] == data.OPEN


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda shard: shard.write_bytes(b"no tar" * 200), r"is no whole tar file \(.*\); copy it again, uncompressed"),
        (lambda shard: shard.write_bytes(shard.read_bytes()[:-12000]), "is no whole tar file .*unexpected end of data"),
        (lambda shard: pack(shard, {"a.json": b"{}"}), "holds no photo; put JPEG, PNG, TIFF, WebP or AVIF"),
    ],
)
def test_a_shard_that_is_none_is_refused(packed, cache, spoil: Callable[[Path], object], complaint):
    spoil(packed / "001.tar")
    with pytest.raises(SettingsError, match=f"001.tar: {complaint}"):
        shards.find(packed, cache)


def test_what_goes_wrong_when_a_photo_is_drawn_names_it(packed, cache):
    pack(packed / "000.tar", {"f/bad.png": b"no picture"})
    found = shards.find(packed, cache)
    with pytest.raises(SettingsError, match=r"000.tar: bad.png: cannot be read as a photo"):
        shards.opened(found[0], cache, "plain")
    (packed / "000.tar").unlink()
    with pytest.raises(SettingsError, match=r"000.tar: cannot be read any more \(.*\); copy it again"):
        shards.opened(found[0], cache, "plain")
    with pytest.raises(SettingsError, match=r"none.tar: cannot be read \(no such file"):
        shards.find(packed / "none.tar", cache)


def test_shards_and_photos_are_not_mixed(packed, cache):
    (packed / "a.png").write_bytes(picture(0))
    with pytest.raises(SettingsError, match=r"packed: holds photos and \.tar shards; give one kind of them"):
        shards.find(packed, cache)
