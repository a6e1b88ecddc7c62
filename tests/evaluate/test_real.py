"""Real pairs: what counts by which convention, and that short and reference are compared as they lie."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sets
from made import write_average

from darkroom.develop import amplifier, model, pipeline
from darkroom.errors import SettingsError
from darkroom.evaluate import baselines, case, metrics, real, score, systems
from darkroom.frame import Exposure
from darkroom.train.cache import Cache

SCENES = {
    "00001": ((0.1, 1),),
    "10003": ((0.1, 8), (0.04, 2)),
    "10034": ((0.1, 1),),
    "10199": ((0.04, 1),),
}
"""Scene -> (seconds, shots) of its shorts; references have 10 s. The first is not of the test set, the third is
misaligned by SID's own word."""
SIZE = (64, 80)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """A set laid out as SID's, in DNG. In 10034 the camera chose another white balance, 10199 was taken upright."""
    folder = tmp_path_factory.mktemp("sid")
    rows = []
    for scene, series in SCENES.items():
        light = 0.9 * sets.scene(int(scene), SIZE)
        for seconds, shots in (*series, (10, 1)):
            for shot in range(shots):
                kind, name = "long" if seconds == 10 else "short", f"{scene}_{shot:02}_{seconds:g}s.dng"
                sets.write(
                    folder / kind / name,
                    light,
                    ratio=10 / seconds,
                    exposure=Exposure(seconds, 200, 8),
                    seed=shot,
                    white_balance=(1.5, 1, 2.2) if (kind, scene) == ("short", "10034") else sets.GAINS,
                    orientation=6 if scene == "10199" else 1,
                )
                if kind == "short":
                    rows.append(f"./short/{name} ./long/{scene}_00_10s.dng ISO200 F8")
    (folder / "Sony_test_list.txt").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def network(tmp_path) -> systems.Network:
    return systems.network(model.load(write_average(tmp_path / "n.onnx", 5)))


def cases(dataset: Path, name: str, cache: Cache, *, burst: bool = False) -> list[case.Case]:
    convention = real.CONVENTIONS[name]
    return list(real.cases(real.plan(dataset, convention, cache, burst=burst), convention, cache))


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("sid-598", {"10003": 10, "10034": 1, "10199": 1}),
        ("sid-562", {"10003": 10, "10199": 1}),
        ("sid-93", {"10003": 2, "10034": 1, "10199": 1}),
        ("sid-88", {"10003": 2, "10199": 1}),
        ("red", {"10003": 1, "10034": 1}),
        ("folder", {"00001": 1, "10003": 10, "10034": 1, "10199": 1}),
    ],
)
def test_what_counts_is_what_the_convention_says(dataset, cache, name, counted):
    source = dataset if name == "folder" else dataset / "Sony_test_list.txt"
    shots = real.plan(source, real.CONVENTIONS[name], cache)
    scenes = [shot.pair.scene for shot in shots]
    assert {scene: scenes.count(scene) for scene in scenes} == counted
    assert {round(shot.pair.ratio) for shot in shots} <= {100, 250}


def test_the_cap_is_sids_and_a_folder_has_none(cache, tmp_path):
    for kind, seconds in (("short", 0.01), ("long", 10)):
        name = f"10003_00_{seconds}s.dng"
        sets.write(tmp_path / kind / name, sets.scene(0, SIZE), ratio=10 / seconds, exposure=Exposure(seconds, 200, 8))
    ratios = [real.plan(tmp_path, real.CONVENTIONS[name], cache)[0].pair.ratio for name in ("sid-93", "folder")]
    assert ratios == pytest.approx([300, 1000])


def test_a_set_without_test_scenes_is_refused(dataset, cache, tmp_path):
    (tmp_path / "list.txt").write_text(f"{dataset}/short/00001_00_0.1s.dng {dataset}/long/00001_00_10s.dng\n")
    with pytest.raises(SettingsError, match=r"list.txt: none of its 1 pairs is a test scene of SID's; give --conv"):
        real.plan(tmp_path / "list.txt", real.CONVENTIONS["sid-598"], cache)


def test_only_scenes_with_eight_shorts_of_one_exposure_have_a_burst(dataset, cache):
    found = cases(dataset, "sid-93", cache, burst=True)
    assert [each.photo for each in found] == ["10003_00_0.1s.dng"]
    (one,) = found
    assert len(one.burst) == 8 and (one.burst[0].mosaic == one.frame.mosaic).all()
    last = real.plan(dataset, real.CONVENTIONS["folder"], cache, burst=True)[-1]
    assert [path.name for path in last.burst[:3]] == [f"10003_0{shot}_0.1s.dng" for shot in (7, 0, 1)]
    with pytest.raises(SettingsError, match="no scene has 8 shorts of one exposure; leave the baseline burst out"):
        real.plan(dataset, replace(real.CONVENTIONS["folder"], exclude=("10003",)), cache, burst=True)


@pytest.mark.parametrize("name", ["sid-93", "folder"])
def test_the_reference_as_a_frame_develops_to_itself(dataset, cache, name):
    """Orientation, colours, levels and the transfer curve of both sides agree."""
    for shot in real.plan(dataset, real.CONVENTIONS[name], cache):
        (one,) = real.cases([shot], real.CONVENTIONS[name], cache)
        long = replace(cache.frame(shot.pair.reference), orientation=1)
        assert one.reference.shape == (64, 80, 3) and one.curve == {"sid-93": "bt709"}.get(name, "srgb")
        assert metrics.psnr(baselines.libraw(long, 1.0, one.curve), one.reference) > 45


@pytest.mark.parametrize("name", ["sid-93", "folder"])
def test_networks_come_under_the_curve_of_the_references(dataset, cache, network, name):
    one = cases(dataset, name, cache)[0]
    made = systems.develop(one, systems.Plan({"n": network}))["n"].picture
    settings = pipeline.Settings(amp=amplifier.parse(f"{one.ratio}"), bits=16)
    plain = pipeline.expose(one.frame, network.model, settings).picture / np.float32(65535)
    assert made == pytest.approx(case.encoded(plain, "srgb", one.curve), abs=1e-6)
    assert (abs(made - plain).max() > 0.02) == (name == "sid-93")


def test_the_references_white_balance_is_known(dataset, cache):
    one = next(each for each in cases(dataset, "sid-93", cache) if each.photo.startswith("10034"))
    assert one.white_balance == pytest.approx(sets.GAINS) and one.frame.white_balance == pytest.approx((1.5, 1, 2.2))
    found = {
        system: each.measured.psnr
        for oracles in ((), ("white-balance",))
        for each in score.scores([one], systems.Plan({}, ("libraw",), oracles), score.Setting())
        for system in (each.system,)
    }
    assert found["libraw+wb"] > found["libraw"] + 0.5


def test_the_command_scores_pairs(run, dataset, cache, tmp_path):  # noqa: F811
    network = write_average(tmp_path / "n.onnx", 5)
    words = ("--pairs", dataset / "Sony_test_list.txt", "--cache", cache.folder, "--baselines", "libraw")
    code, out, err = run("evaluate", network, *words, "--convention", "sid-93", "--json", "-o", tmp_path / "pictures")
    scores = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and len(scores) == 8 and {each["data"] for each in scores} == {"sid-93"}
    assert "sid-93: bayer, 4 pairs, whole: PSNR dB / SSIM" in err and "8-bit pictures; scikit-image" in err
    (header,) = [line.split() for line in err.splitlines() if "x100" in line]
    assert [word for word in header if word.isalnum()] == ["x100", "x250", "all"]
    assert len(list((tmp_path / "pictures").iterdir())) == 12
    code, out, _ = run("evaluate", network, *words)
    assert code == 0 and "folder Sony_test_list.txt: bayer, 13 pairs, whole" in out and "use_sample_covariance T" in out


def test_real_pairs_are_scored_in_the_raw_domain(run, tmp_path):
    folder = sets.folders(tmp_path / "set", ratio=50)
    network = write_average(tmp_path / "n.onnx", 3)
    words = ("--pairs", folder, "--cache", tmp_path / "cache", "--domain", "raw", "--json")
    code, out, err = run("evaluate", network, *words)
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0, err
    assert [each["system"] for each in found] == ["amplified", "n"] * 3 and "raw planes" in found[0]["data"]
    shot = real.plan(folder, real.CONVENTIONS["folder"], Cache(tmp_path / "cache"))[0]
    short, reference = (
        case.light(Cache(tmp_path / "cache").frame(path)) for path in (shot.pair.short, shot.pair.reference)
    )
    by_hand = np.clip(short * np.float32(shot.pair.ratio), 0, 1) - np.clip(reference, 0, 1)
    assert found[0]["psnr"] == pytest.approx(-10 * np.log10(np.mean(by_hand.astype(float) ** 2)), abs=0.01)
    assert found[1]["psnr"] > 15
