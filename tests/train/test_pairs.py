"""Real pairs: found in every layout, with the right ratio, checked for alignment, cut into examples that agree."""

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sets
from numpy.typing import NDArray

from darkroom.develop import cfa as mosaics
from darkroom.develop.curves import srgb_to_linear
from darkroom.errors import RawError, SettingsError
from darkroom.frame import Exposure
from darkroom.train import pairs
from darkroom.train.cache import Cache
from darkroom.train.pairs import Pair

BAYER, XTRANS = ("bayer4", "bayer3"), ("xtrans9", "xtrans36")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def names(found: list[Pair]) -> list[tuple[str, str]]:
    return [(pair.short.name, pair.reference.name) for pair in found]


def refusal(source: Path, cache: Cache, **settings) -> str:
    with pytest.raises(SettingsError) as caught:
        pairs.find(source, cache, **settings)
    message = str(caught.value)
    assert "\n" not in message and "; " in message
    return message


# --- finding ---


@pytest.mark.parametrize("beside", [True, False])
def test_sids_list_is_read_as_it_is(tmp_path: Path, cache, beside):
    source = sets.sid(tmp_path, scenes=(1, 10003), shots=1)
    if not beside:  # the repository keeps its lists in a folder of their own
        (tmp_path / "dataset").mkdir()
        source = source.rename(tmp_path / "dataset" / source.name)
    heard = []
    found = pairs.find(source, cache, on_pair=lambda *told: heard.append(told))
    assert names(found) == [
        ("00001_00_0.1s.ARW", "00001_00_10s.ARW"),
        ("00001_00_0.04s.ARW", "00001_00_10s.ARW"),
        ("10003_00_0.1s.ARW", "10003_00_10s.ARW"),
        ("10003_00_0.04s.ARW", "10003_00_10s.ARW"),
    ]
    assert [pair.scene for pair in found] == ["00001", "00001", "10003", "10003"]
    np.testing.assert_allclose([pair.ratio for pair in found], [100, 250, 100, 250], rtol=1e-5)
    assert heard == [(done, 4) for done in range(1, 5)]


def test_a_folder_of_the_canon_study_is_paired_by_scene(tmp_path: Path, cache):
    found = pairs.find(sets.canon(tmp_path), cache)
    assert names(found)[:2] == [("00001_00_0.05s.CR2", "00001_00_5s.CR2"), ("00001_00_0.1s.CR2", "00001_00_5s.CR2")]
    assert [len(group) for group in pairs.scenes(found)] == [2, 2]


def test_a_folder_of_equal_names_is_paired_by_them(tmp_path: Path, cache):
    folder = sets.folders(tmp_path)
    (folder / "short" / "._IMG_0001.dng").touch()
    (folder / "short" / "notes.txt").touch()
    found = pairs.find(folder, cache)
    assert [(pair.short.name, pair.reference.name, pair.scene) for pair in found] == [
        (f"IMG_000{i}.dng", f"IMG_000{i}.dng", f"IMG_000{i}") for i in (1, 2, 3)
    ]
    np.testing.assert_allclose([pair.ratio for pair in found], 100, rtol=1e-4)


def test_a_csv_names_pairs_ratios_and_scenes(tmp_path: Path, cache):
    sets.folders(tmp_path, scenes=(1, 2))
    rows = [
        {"short": f"short/IMG_000{i}.dng", "reference": f"long/IMG_000{i}.dng", "ratio": ratio, "scene": scene}
        for i, ratio, scene in ((1, "50", "one"), (2, "", ""))
    ]
    found = pairs.find(sets.table(tmp_path, rows), cache)
    assert [pair.scene for pair in found] == ["one", "IMG"]
    np.testing.assert_allclose([pair.ratio for pair in found], [50, 100], rtol=1e-4)
    assert pairs.find(sets.table(tmp_path, rows), cache, cap=20)[0].ratio == 20


@pytest.mark.parametrize(
    ("shorts", "expected"),
    [
        ("all", ["00_0.1s", "01_0.1s", "00_0.04s", "01_0.04s"]),
        ("first", ["00_0.1s", "00_0.04s"]),
        ("red", ["00_0.1s"]),
    ],
)
def test_shorts_are_chosen_as_the_authors_do(tmp_path: Path, cache, shorts, expected):
    found = pairs.find(sets.sid(tmp_path, scenes=(7,)), cache, shorts=shorts)
    assert [pair.short.stem for pair in found] == [f"00007_{rest}" for rest in expected]


def test_where_names_count_no_shots_the_first_name_is_the_first(tmp_path: Path, cache):
    folder = sets.folders(tmp_path, scenes=(1,))
    shutil.copy(folder / "short" / "IMG_0001.dng", folder / "short" / "IMG_again.dng")
    (folder / "long" / "IMG_0001.dng").rename(folder / "long" / "IMG.dng")
    assert len(pairs.find(folder, cache)) == 2
    assert names(pairs.find(folder, cache, shorts="first")) == [("IMG_0001.dng", "IMG.dng")]


def test_excluded_scenes_are_left_out(tmp_path: Path, cache):
    source = sets.sid(tmp_path, scenes=(10034, 10035), shots=1)
    assert {pair.scene for pair in pairs.find(source, cache, exclude=("10034", "10172"))} == {"10035"}
    assert "no pair is left" in refusal(source, cache, exclude=("10034", "10035"))


# --- ratio ---


@pytest.mark.parametrize(
    ("short", "reference", "ratio"),
    [
        (Exposure(0.1, 200, 4), Exposure(10, 200, 4), 100),
        (Exposure(0.1, 800, 4), Exposure(10, 200, 4), 25),
        (Exposure(0.1, 200, 4), Exposure(10, 200, 8), 25),
        (Exposure(0.1, 0, 4), Exposure(10, 200, 4), 100),
        (Exposure(0.1, 200, 0), Exposure(10, 200, 8), 100),
        (Exposure(0.01, 200, 4), Exposure(10, 200, 4), 300),
    ],
)
def test_the_ratio_is_of_exposure_and_iso_and_aperture_and_capped(tmp_path: Path, cache, short, reference, ratio):
    light = sets.scene(1)
    sets.write(tmp_path / "short" / "a_00_5s.dng", light, ratio=100, exposure=short)
    sets.write(tmp_path / "long" / "a_00_6s.dng", light, exposure=reference)
    (found,) = pairs.find(tmp_path, cache)
    assert found.ratio == pytest.approx(ratio, rel=1e-4)


def test_without_exif_the_names_tell_the_ratio(tmp_path: Path, cache):
    source = sets.sid(tmp_path, scenes=(1,), times=(0.1, 0.033), shots=1, tell=False)
    assert [pair.ratio for pair in pairs.find(source, cache)] == [pytest.approx(100), 300]


def test_a_ratio_that_nothing_tells_is_asked_for(tmp_path: Path, cache):
    light, unknown = sets.scene(1), Exposure(0, 0, 0)
    sets.write(tmp_path / "short" / "a.dng", light, ratio=100, exposure=unknown)
    sets.write(tmp_path / "long" / "a.dng", light, exposure=unknown)
    assert refusal(tmp_path, cache).endswith("is not known; give a CSV with ratios")


# --- what does not go together ---


def test_what_names_no_pairs_is_refused(tmp_path: Path, cache):
    assert "no list of pairs" in refusal(tmp_path / "none.txt", cache)
    (tmp_path / "empty.txt").write_text("\n\n")
    assert "holds no pair" in refusal(tmp_path / "empty.txt", cache)
    (tmp_path / "one.txt").write_text("./Sony/short/a.ARW\n")
    assert "row 1 names one file" in refusal(tmp_path / "one.txt", cache)
    (tmp_path / "lost.txt").write_text("./Sony/short/a.ARW ./Sony/long/b.ARW ISO200\n")
    assert "names ./Sony/short/a.ARW, which is not there" in refusal(tmp_path / "lost.txt", cache)
    (tmp_path / "a.csv").write_text("dark,bright\n1,2\n")
    assert "no columns short and reference" in refusal(tmp_path / "a.csv", cache)
    assert "has no folders short and long; name a folder that has both" in refusal(tmp_path, cache)
    (tmp_path / "Sony_test_list.txt").touch()
    assert "name one of its lists, such as Sony_test_list.txt" in refusal(tmp_path, cache)
    for name in pairs.pairlist.FOLDERS:
        (tmp_path / name).mkdir()
    assert "holds no raw photo" in refusal(tmp_path, cache)


def test_files_that_do_not_go_together_are_refused(tmp_path: Path, cache):
    folder = sets.folders(tmp_path, scenes=(1, 2))
    lone = folder / "short" / "other_1.dng"
    shutil.copy(folder / "short" / "IMG_0001.dng", lone)
    assert "other_1.dng: has no reference in long/" in refusal(folder, cache)
    lone.rename(folder / "short" / "IMG_1.dng")
    assert "IMG_1.dng: has 2 references" in refusal(folder, cache)
    rows = [{"short": "long/IMG_0001.dng", "reference": "short/IMG_0001.dng", "ratio": ""}]
    assert "got 100 times the light of IMG_0001.dng" in refusal(sets.table(tmp_path, rows), cache)
    assert "has ratio x" in refusal(sets.table(tmp_path, [rows[0] | {"ratio": "x"}]), cache)
    assert "has ratio -1" in refusal(sets.table(tmp_path, [rows[0] | {"ratio": "-1"}]), cache)
    small = sets.write(tmp_path / "long" / "small.dng", sets.scene(1, (60, 72)), exposure=Exposure(9, 100, 4))
    other = rows[0] | {"short": "short/IMG_0001.dng", "reference": f"long/{small.name}"}
    assert "size 120 x 96, small.dng has 72 x 60" in refusal(sets.table(tmp_path, [other]), cache)
    sets.write(small, sets.scene(1), exposure=Exposure(9, 100, 4), cfa="xtrans")
    assert "sensor bayer, small.dng has xtrans" in refusal(sets.table(tmp_path, [other]), cache)
    with pytest.raises(SettingsError, match="shorts some: unknown; choose all, first, red"):
        pairs.find(sets.table(tmp_path, [other]), cache, shorts="some")


def test_a_damaged_file_is_named(tmp_path: Path, cache):
    source = sets.sid(tmp_path, scenes=(1,), shots=1)
    broken = tmp_path / "Sony" / "long" / "00001_00_10s.ARW"
    broken.write_bytes(broken.read_bytes()[:9000])
    with pytest.raises(RawError, match="00001_00_10s.ARW: cut short or damaged"):
        pairs.find(source, cache)


# --- alignment ---


@pytest.mark.parametrize(("cfa", "shift"), [("bayer", (2, 0)), ("bayer", (-1, 3)), ("xtrans", (0, -2))])
def test_shifted_shorts_are_found_and_listed_with_their_shift(tmp_path: Path, cache, cfa, shift, monkeypatch):
    source = sets.sid(tmp_path, scenes=(1, 2), times=(0.033,), cfa=cfa, shots=1, size=(258, 324), shifts={2: shift})
    found = pairs.find(source, cache)
    kept, misaligned, unclear = pairs.aligned(found, cache)
    assert [pair.scene for pair in kept] == ["00001"] and not unclear
    assert (round(misaligned[0].down), round(misaligned[0].right)) == shift
    assert str(misaligned[0]).startswith(
        f"scene 00002: 00002_00_0.033s.{'ARW' if cfa == 'bayer' else 'RAF'} is shifted"
    )

    def forbidden(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(pairs.alignment, "shift", forbidden)
    assert pairs.aligned(found, cache) == (kept, misaligned, unclear)


def test_a_short_too_dark_to_tell_is_kept_and_named(tmp_path: Path, cache):
    light = sets.scene(1)
    sets.write(tmp_path / "short" / "a.dng", light, ratio=1e5, exposure=Exposure(0.1, 100, 4), noise=8)
    sets.write(tmp_path / "long" / "a.dng", light, exposure=Exposure(10, 100, 4))
    found = pairs.find(tmp_path, cache)
    assert pairs.aligned(found, cache) == (found, [], found)


# --- examples ---


def slope(size: tuple[int, int]) -> NDArray[np.float32]:
    """Light that rises down, right and along the diagonal, by colour: every place and turn can be told from it."""
    rows, cols = (np.linspace(0, 1, side)[:, None] for side in size)
    planes = (0.1 + 0.6 * rows + 0 * cols.T, 0.1 + 0.6 * cols.T + 0 * rows, 0.1 + 0.3 * (rows + cols.T))
    return np.stack(planes, -1).astype(np.float32)


def write_slope(folder: Path, cfa, *, gains=(2.0, 1.0, 1.5), brightest=0.0, phase=(0, 0)) -> list[Pair]:
    """One pair without noise at ratio 4, of which every crop tells where it was cut and how it was turned."""
    size = sets.SIZE if cfa == "bayer" else sets.XTRANS_SIZE
    light = slope(size)
    pair = Pair(folder / "short.dng", folder / "long.dng", 4.0, "a")
    for path, ratio in ((pair.short, 4), (pair.reference, 1)):
        recorded = mosaics.sample(light / np.float32(np.array(gains) / min(gains)), cfa) * 15871 / ratio
        if brightest and ratio == 1:
            recorded[-1, -1] = brightest * 15871  # above 3/4 of white: LibRaw takes it for where the sensor saturates
        mosaic = np.rint(512 + recorded).astype(np.uint16)
        sets.dng.write(path, mosaic[phase[0] :, phase[1] :], cfa=cfa, phase=phase, white_balance=gains, black=512)
    return [pair]


def cut(group: list[Pair], cache: Cache, seed: int, packing, **settings):
    known = {"input": "balanced", "output": "camera", "size": 36} | settings
    return pairs.example(group, cache, np.random.default_rng(seed), packing=packing, **known)


def turn(reference: NDArray) -> tuple[bool, bool, bool]:
    """How a crop of `slope` was turned: whether red rises up, green leftwards; red along the columns."""
    red, green = srgb_to_linear(reference[0]), srgb_to_linear(reference[1])
    transposed = abs(red[:, -1] - red[:, 0]).mean() > abs(red[-1] - red[0]).mean()
    falls = [(plane[-1] - plane[0]).mean() + (plane[:, -1] - plane[:, 0]).mean() < 0 for plane in (red, green)]
    return bool(falls[0]), bool(falls[1]), bool(transposed)


@pytest.mark.parametrize(("cfa", "packing"), [("bayer", "bayer4"), ("bayer", "bayer3"), ("xtrans", "xtrans9")])
@pytest.mark.parametrize("phase", [(0, 0), (1, 1)])
def test_crops_agree_with_their_reference_however_the_mosaic_is_turned(tmp_path: Path, cache, cfa, packing, phase):
    group = write_slope(tmp_path, cfa, phase=phase)
    turns, starts = set(), set()
    for seed in range(40):
        example = cut(group, cache, seed, packing)
        assert example.bright.dtype == example.reference.dtype == np.float32
        assert example.bright.flags.c_contiguous and example.reference.flags.c_contiguous
        seen = mosaics.sample(srgb_to_linear(example.reference.transpose(1, 2, 0)), cfa)
        np.testing.assert_allclose(mosaics.unpack(example.bright, packing), seen, atol=0.02)
        turns.add(turn(example.reference))
        starts.add(float(example.reference[:2].min()))
    assert turns == set(itertools.product((False, True), repeat=3)) and len(starts) > 12


@pytest.mark.parametrize(("cfa", "packing"), [("bayer", "bayer4"), ("xtrans", "xtrans9"), ("xtrans", "xtrans36")])
def test_sids_flips_turn_the_packed_planes_alike(tmp_path: Path, cache, cfa, packing):
    group, turns = write_slope(tmp_path, cfa), set()
    pixel = mosaics.PIXEL[packing]
    for seed in range(40):
        example = cut(group, cache, seed, packing, flips="sid")
        light = srgb_to_linear(example.reference)
        whole = light.reshape(3, 36 // pixel, pixel, 36 // pixel, pixel)
        means = example.bright[[0, 1, 2]] if packing != "xtrans36" else example.bright[[0, 2, 1]]
        # A packed pixel's sites stay where they were, so a plane is off by less than the pixel is wide.
        lowest, highest = whole.min((2, 4)), whole.max((2, 4))
        assert (means > lowest - 0.03).all() and (means < highest + 0.03).all()
        turns.add(turn(example.reference))
    assert turns == set(itertools.product((False, True), repeat=3))


@pytest.mark.parametrize("gains", [(2.0, 1.0, 1.5), (0.6, 1.0, 1.4)])
@pytest.mark.parametrize("brightest", [0.0, 0.8])
@pytest.mark.parametrize("packing", ["bayer4", "srgb3"])
def test_bright_has_the_brightness_of_the_rendering(tmp_path: Path, cache, gains, brightest, packing):
    group = write_slope(tmp_path, "bayer", gains=gains, brightest=brightest)
    kind = ("balanced", "camera") if packing == "bayer4" else ("srgb", "srgb")
    example = cut(group, cache, 0, packing, input=kind[0], output=kind[1], size=84)
    if packing == "srgb3":
        np.testing.assert_allclose(example.bright[:, 4:-4, 4:-4], example.reference[:, 4:-4, 4:-4], atol=0.02)
    else:
        light = srgb_to_linear(example.reference).mean((1, 2))
        greens = example.bright[[1, 3]].mean()
        np.testing.assert_allclose([example.bright[0].mean(), greens, example.bright[2].mean()], light, rtol=0.02)


def test_sensor_light_is_amplified_as_sid_does(tmp_path: Path, cache):
    (pair,) = write_slope(tmp_path, "bayer", brightest=0.8)
    pair = replace(pair, ratio=8.0)
    whole = np.maximum(cache.frame(pair.short).mosaic.astype(np.float32) - 512, 0) / (16383 - 512)
    packed = np.minimum(mosaics.pack(whole, "bayer4") * 8, 1)
    assert packed.max() == 1
    example = cut([pair], cache, 3, "bayer4", input="sensor", output="srgb", flips="sid", size=96)
    turned = [
        each.swapaxes(1, 2) if transposed else each
        for left in range(13)
        for up, mirrored, transposed in itertools.product((1, -1), (1, -1), (0, 1))
        for each in [packed[:, ::up, left : left + 48][:, :, ::mirrored]]
    ]
    assert sum(np.allclose(example.bright, each, atol=1e-6) for each in turned) == 1


@pytest.mark.parametrize("cfa", ["bayer", "xtrans"])
def test_a_crop_of_srgb_sees_the_mosaic_beyond_its_edge(tmp_path: Path, cache, cfa):
    group = write_slope(tmp_path, cfa)
    frame = cache.frame(group[0].short)
    contract = pairs._contract("srgb3", "srgb", "srgb")
    whole = mosaics.bright(
        frame, *(slice(0, side) for side in frame.mosaic.shape), gains=frame.white_balance, ratio=4, contract=contract
    )
    settings = {"input": "srgb", "output": "srgb", "size": 12}
    for seed in range(60):
        example = cut(group, cache, seed, "srgb3", flips="phase", **settings)
        if turn(example.reference) == (False, False, False):
            windows = np.lib.stride_tricks.sliding_window_view(whole, (12, 12), (1, 2))[:, ::2, ::2]
            off = abs(windows - example.bright[:, None, None]).max((0, 3, 4)).min()
            assert off < 1e-6
            return
    raise AssertionError("no crop was left as it lies")


def test_one_short_of_the_scene_is_taken_with_its_own_ratio(tmp_path: Path, cache):
    source = sets.sid(tmp_path, scenes=(1,), times=(0.2, 0.05), shots=1)
    (group,) = pairs.scenes(pairs.find(source, cache))
    light = srgb_to_linear(np.asarray(cache.rendering(group[0].reference, kind="camera", curve="srgb")) / 65535).mean()
    noisy = []
    for seed in range(12):
        example = cut(group, cache, seed, "bayer4", size=96)
        assert example.bright.mean() == pytest.approx(light, rel=0.1)
        noisy.append(float((example.bright - example.reference.reshape(3, 48, 2, 48, 2).mean((2, 4))[:1] ** 2.2).std()))
    assert max(noisy) > min(noisy)


def test_looks_and_curves_reach_the_reference(tmp_path: Path, cache):
    group = write_slope(tmp_path, "bayer")
    plain, curved, stretched = (
        cut(group, cache, 5, "bayer4", input="sensor", output="srgb", **settings).reference
        for settings in ({}, {"curve": "bt709"}, {"look": "stretched"})
    )
    assert abs(plain - curved).mean() > 0.01 and abs(plain - stretched).mean() > 0.01


def test_a_crop_larger_than_the_picture_is_refused(tmp_path: Path, cache):
    group = write_slope(tmp_path, "bayer")
    with pytest.raises(
        SettingsError, match="short.dng: 120 x 96 sites are too few for crops of 98 .*; make crops smal"
    ):
        cut(group, cache, 0, "bayer4", size=98)


def test_a_crop_that_fills_the_picture_is_turned_as_far_as_there_is_room(tmp_path: Path, cache):
    group = write_slope(tmp_path, "bayer")
    turns = {turn(cut(group, cache, seed, "bayer4", size=96).reference) for seed in range(20)}
    # A crop of all rows has no room to be mirrored up and down, nor to be shifted by a row.
    assert len(turns) > 2 and not any(upside_down for upside_down, _, _ in turns)
