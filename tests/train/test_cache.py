"""The cache: the same as decoding, decoded once, shared by processes, remade where it is broken."""

import json
import subprocess
import sys
from dataclasses import MISSING, fields, replace
from pathlib import Path

import numpy as np
import pytest
from conftest import WriteDng, noise
from PIL import Image

from darkroom.decode import raw
from darkroom.develop import curves, finish
from darkroom.errors import DarkroomError, SettingsError
from darkroom.frame import Exposure, Frame, Sources
from darkroom.train import cache as caches
from darkroom.train.cache import Cache

RED_HEAVY = ((1.7, -0.5, -0.2), (-0.2, 1.5, -0.3), (0.1, -0.6, 1.5))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray((noise((40, 60, 3)) % 200 + 30).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def decodes_nothing(monkeypatch: pytest.MonkeyPatch):
    """`decodes_nothing()`: from here on whatever decodes a file fails."""

    def forbid(*_, **__):
        raise AssertionError("decoded again")

    def forbid_all() -> None:
        monkeypatch.setattr(raw, "read", forbid)
        monkeypatch.setattr(raw, "render", forbid)
        monkeypatch.setattr(caches, "read_photo", forbid)
        monkeypatch.setattr(finish, "render", forbid)

    return forbid_all


def assert_equal(one: Frame, other: Frame) -> None:
    for field in fields(Frame):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        np.testing.assert_array_equal(mine, theirs, err_msg=field.name)
        assert isinstance(theirs, type(mine) if field.name != "mosaic" else np.ndarray), field.name
        assert getattr(mine, "dtype", None) == getattr(theirs, "dtype", None), field.name


@pytest.mark.parametrize("known", [True, False])
def test_a_frame_is_what_reading_gives_and_its_mosaic_a_map(write_dng: WriteDng, cache, decodes_nothing, known):
    told = {"camera_to_srgb": RED_HEAVY} if known else {"camera_to_srgb": None, "white_balance": None}
    path = write_dng("a.dng", noise((41, 62)), phase=(1, 1), orientation=6, exposure=Exposure(0.1, 800, 2.8), **told)
    frame = raw.read(path)
    assert_equal(cache.frame(path), frame)
    decodes_nothing()
    again = Cache(cache.folder).frame(path)
    assert_equal(again, frame)
    assert isinstance(again.mosaic, np.memmap) and not again.mosaic.flags.writeable


def test_no_field_of_a_frame_is_lost(write_dng: WriteDng, cache, monkeypatch):
    path = write_dng("a.dng", noise((40, 60)))
    plain = raw.read(path)
    told = replace(
        plain,
        defects=np.array([[3, 5], [8, 1]]),
        pixel_aspect=2.0,
        notes=("a note",),
        sources=Sources("one", "two", "three", "four"),
        orientation=6,
    )
    for field in fields(Frame):
        if field.default is not MISSING or field.default_factory is not MISSING:  # so that it can be forgotten
            assert not np.array_equal(getattr(told, field.name), getattr(plain, field.name)), field.name
    monkeypatch.setattr(raw, "read", lambda path: told)
    assert_equal(told, cache.frame(path))
    assert_equal(told, Cache(cache.folder).frame(path))


def test_a_frame_kept_without_a_field_is_decoded_again(write_dng: WriteDng, cache):
    path = write_dng("a.dng", noise((40, 60)))
    cache.frame(path)
    (facts,) = cache.folder.glob("1/*.json")
    kept = json.loads(facts.read_bytes())
    facts.write_text(json.dumps({name: kept[name] for name in kept if name != "pixel_aspect"}))
    assert_equal(raw.read(path), cache.frame(path))
    assert json.loads(facts.read_bytes()) == kept


@pytest.mark.parametrize("kind", ["camera", "srgb"])
@pytest.mark.parametrize("curve", ["srgb", "bt709"])
def test_a_rendering_is_what_libraw_gives(write_dng: WriteDng, cache, decodes_nothing, kind, curve):
    path = write_dng("a.dng", noise((41, 62)), camera_to_srgb=RED_HEAVY)
    _, rendered = raw.render(path, kind=kind, curve=curve)
    np.testing.assert_array_equal(cache.rendering(path, kind=kind, curve=curve), rendered)
    decodes_nothing()
    again = cache.rendering(path, kind=kind, curve=curve)
    np.testing.assert_array_equal(again, rendered)
    assert isinstance(again, np.memmap)


def light(picture, curve: str):
    undo = curves.srgb_to_linear if curve == "srgb" else curves.bt709_to_linear
    return undo(np.asarray(picture) / 65535)


@pytest.mark.parametrize("look", ["stretched", "contrast"])
def test_a_look_is_that_of_develop_whatever_the_curve(write_dng: WriteDng, cache, decodes_nothing, look):
    path = write_dng("a.dng", noise((60, 80), low=2000, high=5000), white_balance=(1.2, 1, 1.1))
    plain = cache.rendering(path, kind="srgb", curve="srgb")
    window = raw.read(path).visible
    looks = {"stretched": finish.Look(stretch=True), "contrast": finish.Look()}
    there = np.ascontiguousarray(plain.transpose(2, 0, 1))
    expected = finish.render(
        there,
        matrix=np.eye(3),
        window=window,
        orientation=1,
        look=looks[look],
        bits=16,
        dehaze=look == "contrast",
    )
    np.testing.assert_array_equal(cache.rendering(path, kind="srgb", curve="srgb", look=look), expected)
    other = cache.rendering(path, kind="srgb", curve="bt709", look=look)
    np.testing.assert_allclose(light(other, "bt709"), light(expected, "srgb"), atol=2e-3)
    assert abs(light(expected, "srgb") - light(plain, "srgb")).mean() > 0.02
    decodes_nothing()
    np.testing.assert_array_equal(cache.rendering(path, kind="srgb", curve="srgb", look=look), expected)


def test_bt709_is_as_libraw_has_it(write_dng: WriteDng):
    codes = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(curves.linear_to_bt709(curves.bt709_to_linear(codes)), codes, atol=1e-9)
    path = write_dng("a.dng", noise((60, 80), low=520, high=9000))
    (_, one), (_, other) = (raw.render(path, kind="camera", curve=curve) for curve in ("srgb", "bt709"))
    np.testing.assert_allclose(light(one, "srgb"), light(other, "bt709"), atol=1e-4)


def test_a_photo_is_reduced_once(cache, photo, decodes_nothing):
    whole, half = cache.photo(photo), cache.photo(photo, 2.0)
    np.testing.assert_array_equal(whole, np.asarray(Image.open(photo)))
    assert half.shape == (20, 30, 3) and half.dtype == np.uint8
    np.testing.assert_array_equal(half, Image.open(photo).resize((30, 20), Image.Resampling.LANCZOS))
    stretched = cache.photo(photo, 2.0, look="stretched")
    assert stretched.shape == half.shape and np.ptp(stretched) > np.ptp(half)
    decodes_nothing()
    np.testing.assert_array_equal(cache.photo(photo, 2.0), half)
    np.testing.assert_array_equal(cache.photo(photo, 2.0, look="stretched"), stretched)
    assert isinstance(cache.photo(photo), np.memmap)


def test_a_raw_photo_is_rendered_as_libraw_does(write_dng: WriteDng, cache):
    path = write_dng("a.dng", noise((40, 60)) // 4 + 512)
    _, rendered = raw.render(path, kind="srgb", curve="srgb")
    whole = cache.photo(path)
    assert whole.dtype == np.uint8 and np.abs(whole * 257.0 - rendered).max() <= 129 and np.ptp(whole) > 50
    assert cache.photo(path, 2.0).shape == (20, 30, 3)


def test_a_file_is_known_by_its_content(write_dng: WriteDng, cache, tmp_path, decodes_nothing):
    path = write_dng("a.dng", noise((40, 60)))
    mosaic = np.array(cache.frame(path).mosaic)
    write_dng("a.dng", noise((40, 60), seed=1))
    assert (cache.frame(path).mosaic != mosaic).any(), "the file's new content"
    decodes_nothing()
    moved = path.rename(tmp_path / "moved.dng")
    assert (cache.frame(moved).mosaic != mosaic).any()


def test_numbers_are_measured_once_for_the_same_files(write_dng: WriteDng, cache):
    one, other = write_dng("a.dng", noise((40, 60))), write_dng("b.dng", noise((40, 60), seed=1))
    asked = []

    def measure() -> list[float]:
        asked.append(1)
        return [len(asked), float("inf")]

    assert cache.numbers("n", (one, other), measure) == (1.0, float("inf"))
    assert cache.numbers("n", (one, other), measure) == (1.0, float("inf"))
    assert cache.numbers("n", (other, one), measure)[0] == 2
    assert cache.numbers("m", (one, other), measure)[0] == 3


def test_broken_entries_are_made_anew(write_dng: WriteDng, cache):
    path = write_dng("a.dng", noise((40, 60)))
    frame = raw.read(path)
    cache.frame(path)
    for entry in [entry for entry in cache.folder.rglob("*") if entry.is_file()]:
        for broken in (b"", b"{", entry.read_bytes()[:-100]):
            entry.write_bytes(broken)
            assert_equal(cache.frame(path), frame)
    assert not list(cache.folder.rglob("*.part"))


def test_processes_share_a_folder(write_dng: WriteDng, cache):
    path = write_dng("a.dng", noise((400, 600)))
    code = (
        "import sys; from pathlib import Path; from darkroom.train.cache import Cache;"
        "print(int(Cache(Path(sys.argv[1])).frame(Path(sys.argv[2])).mosaic.sum()))"
    )
    command = [sys.executable, "-c", code, str(cache.folder), str(path)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = {process.communicate()[0].strip() for process in started}
    assert told == {str(int(noise((400, 600)).sum(dtype=np.int64)))}
    assert not list(cache.folder.rglob("*.part"))


def test_another_process_may_make_the_folder_first(write_dng: WriteDng, cache, monkeypatch):
    path = write_dng("a.dng", noise((40, 60)))
    make = Path.mkdir

    def second(folder: Path, *told, **named) -> None:
        make(folder, parents=True, exist_ok=True)
        make(folder, *told, **named)

    monkeypatch.setattr(Path, "mkdir", second)
    assert_equal(raw.read(path), cache.frame(path))


def test_what_cannot_be_read_or_written_is_said(tmp_path: Path, write_dng: WriteDng, cache):
    with pytest.raises(SettingsError, match="none.dng: cannot be read .no such file.*; check the name"):
        cache.frame(tmp_path / "none.dng")
    (tmp_path / "a.png").write_text("no photo")
    with pytest.raises(SettingsError, match="a.png: cannot be read as a photo .*; give JPEG or PNG files"):
        cache.photo(tmp_path / "a.png")
    (tmp_path / "file").touch()
    with pytest.raises(DarkroomError, match="file: cannot be written .*; make room there, or choose another folder"):
        Cache(tmp_path / "file").frame(write_dng("a.dng", noise((40, 60))))
