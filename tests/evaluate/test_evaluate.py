"""The bench: its dark raws are what they should be, the same in every run, and better pictures get better scores."""

import csv
import json
import sys
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest
from made import draw_photos, write_average
from PIL import Image

from darkroom.develop import amplifier, model
from darkroom.errors import ModelError
from darkroom.evaluate import case, cost, measure, metrics, ratios, report, score, simulated, speed, systems


@pytest.fixture
def photos(tmp_path) -> Path:
    return draw_photos(tmp_path / "photos")


# --- metrics ---


def test_psnr_is_what_one_works_out_by_hand():
    photo = np.zeros((4, 4, 3))
    assert metrics.psnr(photo + 0.1, photo) == pytest.approx(20)
    photo[0, 0, 0] = 0.48**0.5  # one sample of 48: the mean over all samples of all channels is 0.01
    assert metrics.psnr(np.zeros((4, 4, 3)), photo) == pytest.approx(20)
    assert metrics.psnr(photo, photo) == inf


def test_ssim_is_what_one_works_out_by_hand():
    flat = np.full((16, 16, 3), 0.5, np.float32)
    assert metrics.ssim(flat, flat) == pytest.approx(1)
    # Without variance only Wang's luminance term is left, (2 a b + 0.01^2) / (a^2 + b^2 + 0.01^2).
    assert metrics.ssim(flat / 2, flat) == pytest.approx((2 * 0.125 + 1e-4) / (0.0625 + 0.25 + 1e-4), rel=1e-5)


# --- scores ---


def networks_of(tmp_path: Path, **pools: int) -> dict[str, systems.Network]:
    return {
        name: systems.network(model.load(write_average(tmp_path / f"{name}.onnx", pool)))
        for name, pool in pools.items()
    }


def cases(photos: Path, *, burst: bool = False, **options) -> list[case.Case]:
    return [simulated.case(dark, burst=burst) for dark in simulated.plan(photos, **options)]


def test_a_better_network_scores_higher(photos, tmp_path):
    plan = systems.Plan(networks_of(tmp_path, rough=1, smooth=5), ("libraw",))
    found = list(score.scores(cases(photos, ratios=[100.0]), plan, score.Setting(centre=48)))
    (whole, small) = report.tables(found)
    assert (whole.window, small.window, whole.photos) == ("whole", "48x48", 3)
    for table in (whole, small):
        means = {row.system: row.means[0] for row in table.rows}
        assert list(means) == ["libraw", "rough", "smooth"]
        assert means["smooth"].psnr > means["rough"].psnr + 3 and means["smooth"].ssim > means["rough"].ssim


def test_scores_are_the_same_in_every_run(photos, tmp_path):
    plan = systems.Plan(networks_of(tmp_path, n=3))
    once, again = (list(score.scores(cases(photos)[2:4], plan, score.Setting())) for _ in range(2))
    assert once == again


def test_xtrans_is_scored_too(tmp_path):
    Image.new("RGB", (512, 512), (90, 160, 120)).save(tmp_path / "a.png")
    plan = systems.Plan({}, ("libraw",))
    (found,) = score.scores(cases(tmp_path, ratios=[10.0], cfa="xtrans"), plan, score.Setting())
    assert found.cfa == "xtrans" and found.measured.psnr > 20


def test_bm3d_works_on_the_centre_of_what_libraw_made(photos, monkeypatch):
    monkeypatch.setitem(
        sys.modules, "bm3d", type("bm3d", (), {"bm3d_rgb": staticmethod(lambda noisy, sigma: noisy * 0 + 0.5)})
    )
    plan = systems.Plan({}, ("bm3d",), sigma=0.2)
    (found,) = score.scores(cases(photos, ratios=[100.0])[:1], plan, score.Setting(centre=40))
    assert (found.system, found.window, found.chosen) == ("bm3d", "40x40", "sigma 0.2"), "LibRaw was not asked for"
    (found,) = score.scores(cases(photos, ratios=[100.0])[:1], plan, score.Setting())
    assert found.window == "384x384"


def test_a_burst_scores_higher_and_oracles_help(photos):
    (one,) = cases(photos, ratios=[100.0], burst=True)[:1]
    tinted = replace(one, frame=replace(one.frame, white_balance=np.array([1, 1, 1], np.float32)))
    tinted = replace(tinted, burst=(tinted.frame, *one.burst[1:]))

    def scored(each: case.Case, *oracles: str) -> dict[str, float]:
        plan = systems.Plan({}, ("libraw", "burst"), oracles)
        return {found.system: found.measured.psnr for found in score.scores([each], plan, score.Setting())}

    plain, told = scored(tinted), scored(tinted, "white-balance")
    assert plain["burst"] > plain["libraw"]
    assert told == pytest.approx({f"{name}+wb": psnr for name, psnr in scored(one).items()}), "gains of the reference"
    assert scored(tinted, "mean")["libraw+mean"] > plain["libraw"] + 1
    assert list(scored(tinted, "mean", "white-balance")) == ["libraw+wb+mean", "burst+wb+mean"]


# --- networks and their recipes ---


def developed(one: case.Case, network: systems.Network, **options) -> systems.Made:
    return systems.develop(one, systems.Plan({"n": network}, **options))["n"]


def test_a_recipe_tells_curve_cap_and_camera(photos, tmp_path):
    (one,) = cases(photos, ratios=[100.0])[:1]
    plain = systems.network(model.load(write_average(tmp_path / "a.onnx", 3, output="srgb")))
    assert (plain.curve, plain.cap, plain.camera) == (None, inf, "any")
    recipe = 'curve = "bt709"\ncap = 30\ncamera = "canon6d"'
    told = systems.network(model.load(write_average(tmp_path / "b.onnx", 3, recipe, output="srgb")))
    assert (told.curve, told.cap, told.camera) == ("bt709", 30, "canon6d")
    as_is = developed(one, replace(told, cap=inf, curve=None)).picture
    assert (as_is == developed(one, plain).picture).all()
    assert (developed(one, replace(told, cap=inf)).picture == case.encoded(as_is, "bt709", "srgb")).all()
    assert developed(one, told).picture.mean() < 0.7 * as_is.mean(), "30 of 100"
    camera = systems.network(model.load(write_average(tmp_path / "c.onnx", 3, recipe)))
    assert camera.curve == "srgb", "camera RGB is finished by this tool"


@pytest.mark.parametrize("recipe", ["curve =", 'curve = "log"', 'cap = "much"', "camera = 6"])
def test_a_recipe_that_is_none_is_refused(tmp_path, recipe):
    with pytest.raises(ModelError, match=r"n.onnx: its recipe .*; export it again"):
        systems.network(model.load(write_average(tmp_path / "n.onnx", 1, recipe)))


def test_curves_go_there_and_back():
    picture = np.linspace(0, 1, 300, dtype=np.float32).reshape(10, 10, 3)
    there = case.encoded(picture, "srgb", "bt709")
    assert 0.02 < abs(there - picture).max() < 0.1
    assert case.encoded(there, "bt709", "srgb") == pytest.approx(picture, abs=2e-3)
    assert case.encoded(picture, "srgb", "srgb") is picture


def test_the_ratio_is_found_when_asked_to(photos, tmp_path):
    (one,) = cases(photos, ratios=[100.0])[:1]
    (network,) = networks_of(tmp_path, n=3).values()
    assert developed(one, network).chosen == ""
    found = developed(one, network, amp=amplifier.parse("50"))
    assert found.chosen == "ratio 50"
    assert found.picture.mean() < developed(one, network).picture.mean()
    auto = systems.develop(one, systems.Plan({"n": network}, ("libraw",), amp=amplifier.parse("auto")))
    assert auto["n"].chosen == auto["libraw"].chosen != ""


# --- measures ---


def test_extras_are_measured_when_asked_for():
    rng = np.random.default_rng(0)
    reference = rng.uniform(0, 1, (192, 224, 3)).astype(np.float32)
    picture = np.clip(reference**0.8 + rng.normal(0, 0.05, reference.shape), 0, 1).astype(np.float32)
    plain = measure.measure(picture, reference, measure.Measures())
    assert plain == measure.Measured(metrics.psnr(picture, reference), metrics.ssim(picture, reference))
    full = measure.measure(picture, reference, measure.Measures(("ms-ssim", "niqe", "gt-gc")))
    assert full.ms_ssim == metrics.ms_ssim(picture, reference) and full.niqe == metrics.niqe(picture)
    assert full.gt_gc_psnr > full.psnr + 1 and full.gt_gc_ssim >= full.ssim and full.lpips is None


def test_published_numbers_are_of_8_bits():
    reference = np.random.default_rng(0).uniform(0, 1, (16, 16, 3)).astype(np.float32)
    near = np.clip(reference + np.float32(0.3 / 255), 0, 1)
    found = measure.measure(near, reference, measure.Measures(eight_bit=True))
    assert found.psnr == metrics.psnr8(near, reference) != metrics.psnr(near, reference)
    assert found.ssim == metrics.ssim8(near, reference)
    assert "8-bit" in measure.settings(True) and "use_sample_covariance True" in measure.settings(False)


def test_lpips_is_measured_by_the_weights_named(monkeypatch):
    monkeypatch.setattr(metrics, "lpips", lambda picture, reference, weights: 0.25 if weights.name == "w.pth" else None)
    picture = np.zeros((16, 16, 3), np.float32)
    assert measure.measure(picture, picture, measure.Measures(("lpips",), lpips_weights=Path("w.pth"))).lpips == 0.25


def test_grain_is_measured_between_two_draws_of_the_noise(photos, tmp_path):
    (one,) = (simulated.case(dark, again=True) for dark in simulated.plan(photos, ratios=[100.0])[:1])
    assert (one.again.mosaic != one.frame.mosaic).any()
    plan = systems.Plan(networks_of(tmp_path, rough=1, smooth=5), ("libraw", "burst"))
    again = systems.develop_again(one, plan)
    assert list(again) == ["libraw", "rough", "smooth"], "of a burst there is no other draw"
    setting = score.Setting(centre=64, measures=measure.Measures(("grain",)))
    plan = replace(plan, baselines=())
    found = {(each.window, each.system): each.measured for each in score.scores([one], plan, setting)}
    assert len(found) == 4 and all(each.grain is not None for each in found.values())
    single = list(score.scores([replace(one, again=None)], plan, setting))
    assert all(each.measured.grain is not None and each.measured.grain_noise is None for each in single)
    picture = systems.develop(one, plan)["rough"].picture
    assert found["whole", "rough"].grain_noise == pytest.approx(
        metrics.grain_of_noise(picture, again["rough"].picture, one.reference), nan_ok=True
    )


# --- the automatic ratio ---


def test_errors_of_the_ratio_are_in_stops():
    found = [ratios.Estimate("a", "c", 100, 100 * 2.0**error) for error in (-2, 1, 3)]
    assert ratios.summary(found) == ratios.Summary(median=2, nine_tenths=pytest.approx(2.8), bias=1)


# --- the command ---


def test_the_command_prints_a_table_and_keeps_what_it_is_told_to(run, photos, tmp_path):
    network = write_average(tmp_path / "n.onnx", 5)
    words = ("evaluate", network, "--simulate", photos, "--ratios", "100", "--baselines", "libraw", "--crop", "64x64")
    code, out, err = run(*words, "--json", "--csv", tmp_path / "s.csv", "-o", tmp_path / "pictures")
    scores = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [each["system"] for each in scores] == ["libraw", "n"] * 3
    assert "bayer, 3 photos, centre 64x64" in err and "x100" in err
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 7
    kept = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    names = ["0-bayer-reference.png", "0-bayer-x100-libraw.png", "0-bayer-x100-n.png"]
    assert kept[:3] == names and len(kept) == 9
    with Image.open(tmp_path / "pictures" / kept[0]) as photo:
        assert (np.asarray(photo) == simulated.read_photo(photos / "0.png", (64, 64))).all()

    (tmp_path / "s.json").write_text(out)
    code, merged, _ = run("evaluate", "--merge", tmp_path / "s.json")
    assert code == 0 and [line for line in merged.splitlines() if "libraw" in line][0] in err


def test_cameras_stand_across_in_their_own_colours(run, photos, tmp_path):
    own = write_average(tmp_path / "own.onnx", 5, 'camera = "canon6d"', output="srgb")
    words = ("--simulate", photos, "--cross", "--cameras", "canon6d,sonya7s2", "--ratios", "20,40", "--html")
    code, out, err = run("evaluate", own, *words, tmp_path / "s.html", "--json", "-o", tmp_path / "pictures")
    assert code == 0 and "simulated in camera colours: bayer, 3 photos, centre 1024x1536, mean of x20, x40: PSNR" in err
    (header,) = [line for line in err.splitlines() if "canon6d" in line and "sonya7s2" in line]
    assert "x20" not in header and "own (of canon6d, output srgb)" in err
    assert [json.loads(line)["camera"] for line in out.splitlines()] == ["canon6d"] * 6 + ["sonya7s2"] * 6
    assert len(list((tmp_path / "pictures" / "sonya7s2").iterdir())) == 9
    assert "own (of canon6d, output srgb)" in (tmp_path / "s.html").read_text()
    (tmp_path / "s.json").write_text(out)
    code, merged, _ = run("evaluate", "--merge", tmp_path / "s.json", "--cross")
    assert code == 0 and "mean of x20, x40" in merged


def test_every_column_that_is_asked_for_is_there(run, tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "FRAME", {"bayer": (64, 96)})
    noise = np.random.default_rng(0).integers(60, 200, (192, 200, 3), np.uint8)
    (tmp_path / "photos").mkdir()
    Image.fromarray(noise).save(tmp_path / "photos" / "a.png")
    network = write_average(tmp_path / "n.onnx", 3)
    words = ("--metrics", "ms-ssim,niqe,gt-gc", "--cost", "--ratios", "20", "--csv", tmp_path / "s.csv")
    code, out, _ = run("evaluate", network, "--simulate", tmp_path / "photos", "--amp", "auto", *words)
    assert code == 0
    for title in ("PSNR dB", "SSIM", "MS-SSIM", "NIQE", "GT-GC dB", "GT-GC SSIM", "ms", "peak MB", "GMAC"):
        assert f" {title} " in out
    with (tmp_path / "s.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["chosen"].startswith("ratio ") and float(row["gmac"]) == (4 + 12 * 4) * 32 * 48 / 1e9
    assert not speed.WATCHABLE or 50 < float(row["megabytes"]) < 2000


def test_every_metric_is_explained_in_a_line(run, photos):
    code, out, _ = run("evaluate", "--metrics", "help")
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == list(measure.EXTRAS)
    assert measure.EXPLAINED["niqe"].endswith("compare within this table only")
    words = ("--baselines", "libraw", "--ratios", "100", "--metrics", "near-black,grain")
    code, out, _ = run("evaluate", "--simulate", photos, *words)
    told = [name for name, line in measure.EXPLAINED.items() if line in out.splitlines()]
    assert code == 0 and told == ["near-black", "grain"]


def test_the_licence_of_bm3d_stands_below_its_scores(run, photos, monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", type("bm3d", (), {"bm3d_rgb": staticmethod(lambda noisy, sigma: noisy)}))
    words = ("--baselines", "bm3d", "--bm3d-sigma", "0.2", "--oracle", "mean", "--ratios", "100", "--centre", "32")
    code, out, _ = run("evaluate", "--simulate", photos, *words)
    assert code == 0 and "bm3d+mean" in out and "libraw" not in out
    assert "free for non-commercial use only" in out.splitlines()[-1]


def test_the_command_measures_the_automatic_ratio(run, photos):
    code, out, _ = run(
        "evaluate", "--amplifier", photos, "--ratios", "50", "--cameras", "sonya7s2,canon5d4", "--amp", "50"
    )
    assert code == 0 and "on 6 dark raws (bayer)" in out
    assert [line.split() for line in out.splitlines()[2:]] == [
        [name, "0.00", "0.00", "+0.00"] for name in ("all", "x50", "sonya7s2", "canon5d4")
    ]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "nothing to score on; give --simulate PHOTOS"),
        (("--simulate", "PHOTOS"), "nothing to score; name a network, or --baselines libraw"),
        (("--simulate", "EMPTY", "--baselines", "libraw"), "holds no photo; name a folder of clean JPEG or PNG photos"),
        (
            ("--simulate", "BROKEN", "--baselines", "libraw"),
            "a.png: no photo that can be read (UnidentifiedImageError)",
        ),
        (("--simulate", "PHOTOS", "--baselines", "magic"), "magic: no such baseline; known are libraw, bm3d, burst"),
        (("--simulate", "PHOTOS", "--baselines", "libraw", "--cameras", "leica"), "leica: no such camera; known are"),
        (("--simulate", "PHOTOS", "--baselines", "libraw", "--ratios", "0"), "ratios 0: must all be above 0"),
        (("--simulate", "PHOTOS", "--baselines", "libraw", "--ratios", "many"), "--ratios many: are no numbers"),
        (("--simulate", "PHOTOS", "--baselines", "libraw", "--crop", "9"), "--crop 9: is no size; give height x width"),
        (
            ("--simulate", "PHOTOS", "--baselines", "libraw", "-o", "PHOTOS"),
            "already exists and is not empty; name a new folder",
        ),
        (("--simulate", "PHOTOS", "missing"), "missing: no such network"),
        (("--simulate", "PHOTOS", "--amplifier", "PHOTOS"), "--amplifier: stands alone"),
        (("--simulate", "PHOTOS", "--pairs", "PHOTOS"), "--simulate and --pairs: score on one; merge the other's"),
        (("--pairs", "PHOTOS", "--crop", "64x64"), "--crop: is for --simulate only; leave it out"),
        (("--simulate", "PHOTOS", "--convention", "red"), "--convention: is for --pairs only; leave it out"),
        (("--pairs", "PHOTOS", "--cross"), "--cross: is for --simulate; leave it out"),
        (("--pairs", "PHOTOS", "--baselines", "libraw"), "has no folders short and long"),
        (
            ("--pairs", "PHOTOS", "--baselines", "libraw", "--convention", "sid"),
            "--convention sid: no such convention; known are sid-598, sid-562, sid-93, sid-88, red, folder",
        ),
        (
            ("--simulate", "PHOTOS", "--baselines", "libraw", "--cross", "--colour", "identity"),
            "--cross: compares cameras by their colours, too; leave --colour identity out",
        ),
        (("--simulate", "PHOTOS", "--baselines", "libraw", "--oracle", "god"), "god: no such oracle; known are white-"),
        (("--simulate", "PHOTOS", "fast-bayer", "--oracle", "mean"), "--oracle: helps baselines only; name some"),
        (("--simulate", "PHOTOS", "fast-bayer", "--metrics", "fid"), "fid: no such metric; beside PSNR and SSIM there"),
        (("--simulate", "PHOTOS", "fast-bayer", "--metrics", "lpips"), "lpips: comes without its network's weights"),
        (("--simulate", "PHOTOS", "fast-bayer", "--metrics", "ms-ssim"), "ms-ssim: the picture is 96x120"),
    ],
)
def test_wrong_usage_is_one_line(run, photos, tmp_path, words, complaint):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"no picture")
    places = {"PHOTOS": photos, "EMPTY": tmp_path / "empty", "BROKEN": tmp_path / "broken"}
    code, out, err = run("evaluate", *(places.get(word, word) for word in words))
    assert code == 2 and not out and err.startswith("darkroom: ") and complaint in err and err.count("\n") == 1
