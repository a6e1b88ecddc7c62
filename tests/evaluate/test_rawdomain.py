"""The raw domain: planes are the right sites, networks of both kinds stand in one table, brightness is aligned."""

import json
from dataclasses import replace

import numpy as np
import pytest
from made import draw_photos, write_average
from test_peers import write_scaling

from darkroom.develop import model
from darkroom.evaluate import case, metrics, rawdomain, simulated, systems


@pytest.fixture
def photos(tmp_path):
    return draw_photos(tmp_path / "photos")


@pytest.mark.parametrize("index", range(4), ids=["rggb", "grbg", "bggr", "gbrg"])
def test_planes_of_short_and_reference_are_the_same_sites_in_every_phase(photos, index):
    dark = replace(simulated.plan(photos, ratios=[1.0])[0], phase=simulated.PHASES[index])
    one = simulated.case(dark)
    short, reference = (rawdomain.planes(each, one.frame) for each in (case.light(one.frame), one.light))
    assert short.shape == reference.shape and short.shape[2] == 4
    assert metrics.psnr(short, reference) > 30, "a well exposed frame is its own reference"
    shuffled = reference[..., [1, 0, 3, 2]]
    assert metrics.psnr(short, shuffled) < 20


def test_a_network_is_seen_through_the_mosaic_again(photos, run, tmp_path):
    smooth = write_average(tmp_path / "smooth.onnx", 5)
    peer = write_scaling(tmp_path / "peer.onnx", pool=5, normalisation="light")
    words = ("--simulate", photos, "--ratios", "100", "--domain", "raw", "--peer", peer, "--baselines", "burst")
    code, out, err = run("evaluate", smooth, *words, "--json")
    scores = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [each["system"] for each in scores] == ["amplified", "burst", "peer", "smooth"] * 3
    assert "simulated, raw planes: bayer, 3 photos" in err
    psnr = {
        name: np.mean([each["psnr"] for each in scores if each["system"] == name]) for name in ("amplified", "peer")
    }
    ours = np.mean([each["psnr"] for each in scores if each["system"] == "smooth"])
    assert ours > psnr["amplified"] + 3 and psnr["peer"] > psnr["amplified"] + 3
    assert ours == pytest.approx(psnr["peer"], abs=2), "they average over the same sites"


@pytest.mark.parametrize("told", [(2.0, 1.0, 1.5), None, (1.0, 1.0, 1.0)])
def test_the_white_balance_that_is_undone_is_the_one_that_was_done(photos, tmp_path, told):
    """Also where develop would guess at one."""
    smooth = systems.Network(model.load(write_average(tmp_path / "smooth.onnx", 1)), "srgb", 300, "any")
    one = simulated.case(simulated.plan(photos, ratios=[1.0])[0])
    balance = None if told is None else np.float32(told)
    frame = replace(one.frame, white_balance=balance, daylight=np.float32([2.0, 1.0, 1.5]))
    seen = rawdomain.planes(rawdomain._sampled(frame, smooth, 1.0), frame)
    wanted = rawdomain.planes(case.light(frame), frame)
    assert seen.mean((0, 1)) == pytest.approx(wanted.mean((0, 1)), rel=0.1)


def test_alignment_takes_a_wrong_brightness_away(photos, run, tmp_path):
    dim = write_scaling(tmp_path / "dim.onnx", 0.7, pool=5, normalisation="light")
    words = ("--simulate", photos, "--ratios", "100", "--domain", "raw", "--peer", dim)
    means = {}
    for align in ((), ("--align", "gain"), ("--align", "channels")):
        code, out, err = run("evaluate", *words, *align, "--json")
        assert code == 0 and ("aligned by" in err) == bool(align)
        found = [json.loads(line) for line in out.splitlines()]
        means[align[-1:]] = np.mean([each["psnr"] for each in found if each["system"] == "dim"])
    assert means[("gain",)] > means[()] + 3 and means[("channels",)] > means[()] + 3


def test_alignment_is_what_one_works_out_by_hand():
    reference = np.random.default_rng(0).uniform(0.1, 0.9, (32, 32, 3)).astype(np.float32)
    assert metrics.aligned(reference / 3, reference, "gain") == pytest.approx(reference, rel=1e-5)
    tinted = (reference - np.float32([0.05, 0.1, 0])) * np.float32([1.1, 0.5, 0.8])
    assert metrics.aligned(tinted, reference, "channels") == pytest.approx(reference, abs=1e-5)
    saturated = reference.copy()
    saturated[:16] = 1
    assert metrics.aligned(np.minimum(saturated, 0.5), saturated, "gain")[16:] != pytest.approx(0.5)
    black = np.zeros_like(reference)
    assert (metrics.aligned(black, reference, "gain") == 0).all()
    assert metrics.aligned(black, reference, "channels").mean() == pytest.approx(reference.mean(), abs=1e-3)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("fast-bayer", "--baselines", "libraw"), "--domain raw: libraw makes pictures; leave it out, amplified is"),
        (("fast-bayer", "--metrics", "grain"), "--domain raw: has PSNR and SSIM only"),
        (("fast-bayer", "--html", "a.html"), "--domain raw: makes no pictures; leave --html out"),
        (("srgb.onnx",), "--domain raw: srgb returns a finished picture, which has no mosaic; leave it out"),
    ],
)
def test_what_has_no_raw_domain_is_one_line(run, photos, tmp_path, monkeypatch, words, complaint):
    monkeypatch.chdir(tmp_path)
    write_average(tmp_path / "srgb.onnx", 3, output="srgb")
    code, out, err = run("evaluate", *words, "--simulate", photos, "--domain", "raw")
    assert code == 2 and not out and complaint in err and err.count("\n") == 1
