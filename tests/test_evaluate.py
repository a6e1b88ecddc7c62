"""The bench: its dark raws are what they should be, the same in every run, and better pictures get better scores."""

import csv
import json
import sys
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image
from test_contract import contract_for

from darkroom import cli, contract, model, raw
from darkroom.errors import OutputError, SettingsError
from darkroom.evaluate import baselines, metrics, ratios, report, score, simulated
from darkroom.frame import CELL, Exposure, Frame, Window


def write_network(path: Path, pool: int) -> Path:
    """A Bayer network that averages over `pool` x `pool` packed pixels, shows each as 2 x 2, and knows roughly the sRGB
    curve."""
    weights = np.zeros((12, 4, 1, 1), np.float32)
    weights[0:4, 0] = weights[8:12, 2] = 1
    weights[4:8, 1] = weights[4:8, 3] = 0.5
    pads = [pool // 2] * 4
    nodes = [
        helper.make_node("AveragePool", ["bright"], ["calm"], kernel_shape=[pool, pool], pads=pads),
        helper.make_node("Conv", ["calm", "weights"], ["planes"]),
        helper.make_node("Clip", ["planes", "low", "high"], ["clipped"]),
        helper.make_node("Pow", ["clipped", "gamma"], ["encoded"]),
        helper.make_node("DepthToSpace", ["encoded"], ["rgb"], blocksize=2, mode="CRD"),
    ]
    constants = [
        helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.ravel()),
        helper.make_tensor("low", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("high", TensorProto.FLOAT, [], [1.0]),
        helper.make_tensor("gamma", TensorProto.FLOAT, [], [1 / 2.2]),
    ]
    bright = helper.make_tensor_value_info("bright", TensorProto.FLOAT, [1, 4, "h", "w"])
    rgb = helper.make_tensor_value_info("rgb", TensorProto.FLOAT, [1, 3, "H", "W"])
    graph = helper.make_graph(nodes, "average", [bright], [rgb], constants)
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    network.metadata_props.add(key=contract.KEY, value=contract_for("bayer").to_json())
    onnx.save(network, path)
    return path


@pytest.fixture
def photos(tmp_path) -> Path:
    """Three smooth, colourful photos, one with odd sides."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, size in enumerate([(120, 96), (121, 97), (96, 120)]):
        coarse = np.random.default_rng(index).integers(90, 230, (5, 6, 3), np.uint8)
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def run(monkeypatch, capfd):
    """`run("evaluate", ...)` -> exit code, stdout, stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["darkroom", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
            sys.exit(0)
        return int(end.value.code or 0), *capfd.readouterr()

    return call


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


# --- dark raws ---


def test_every_ratio_meets_every_camera_and_every_phase(photos):
    for index in range(3, 12):
        Image.new("RGB", (16, 16)).save(photos / f"{index}.png")
    cases = simulated.cases(photos)
    assert len(cases) == 36
    for ratio in simulated.RATIOS:
        those = [case for case in cases if case.ratio == ratio]
        assert [case.photo.name for case in those] == sorted(path.name for path in photos.iterdir())
        assert {(case.camera, case.phase) for case in those} == {
            (c, p) for c in simulated.CAMERAS for p in simulated.PHASES
        }


def test_what_is_drawn_stays_within_its_limits(photos):
    cases = simulated.cases(photos, ratios=[float(ratio) for ratio in range(1, 101)], cameras=["nikond850", "sonya7s2"])
    assert all(1.6 <= case.white_balance[0] <= 2.4 and 1.4 <= case.white_balance[2] <= 2.1 for case in cases)
    gains = {name: [case.gain for case in cases if case.camera == name] for name in ("nikond850", "sonya7s2")}
    assert 0.415 <= min(gains["nikond850"]) and 0.3 <= min(gains["sonya7s2"]) < 0.415, "the camera's own limit, or 0.3"
    assert max(max(each) for each in gains.values()) <= 6


def test_a_case_is_the_same_in_every_run(photos):
    once, again = (simulated.cases(photos)[4] for _ in range(2))
    assert once == again
    photo = simulated.read_photo(once.photo)
    assert (simulated.record(once, photo) == simulated.record(again, photo)).all()
    alone = simulated.cases(photos, ratios=[once.ratio])[1]
    assert (alone.white_balance, alone.seed) == (once.white_balance, once.seed), "whatever others it is run with"
    other = simulated.cases(photos)[5]
    assert (simulated.record(other, photo) != simulated.record(once, photo)).any()


@pytest.mark.parametrize(("cfa", "count"), [("bayer", 4), ("xtrans", 1)])
def test_the_dark_raw_reads_back_as_what_was_recorded(photos, tmp_path, cfa, count):
    plan = simulated.cases(photos, cfa=cfa)
    for case in plan[:count]:
        case = replace(case, photo=plan[3].photo)  # with odd sides
        photo = simulated.read_photo(case.photo)
        simulated.write(case, photo, tmp_path / "dark.dng")
        frame, window = raw.read(tmp_path / "dark.dng"), Window(*case.phase, 97, 121)
        assert (frame.cfa, frame.visible, frame.orientation) == (cfa, window, 1)
        visible = frame.mosaic[window.top : window.top + 97, window.left : window.left + 121]
        assert (visible == simulated.record(case, photo)).all()
        black = {"canon5d4": 2048}.get(case.camera, 512)
        assert (frame.black == black).all() and frame.white == 16383
        assert frame.white_balance == pytest.approx(case.white_balance, rel=1e-5)
        assert frame.camera_to_srgb == pytest.approx(np.eye(3), abs=1e-5)


def test_the_mean_of_a_dark_raw_is_the_photos_light(photos, tmp_path):
    grey = np.full((64, 64, 3), 188, np.uint8)  # half of the light
    for case in simulated.cases(photos, ratios=[100.0])[:3]:
        black, light = {"canon5d4": 2048}.get(case.camera, 512), 0.503
        mosaic = simulated.record(case, grey).astype(float)
        for colour in range(3):
            sites = np.tile(np.roll(CELL["bayer"], (-case.phase[0], -case.phase[1]), (0, 1)) == colour, (32, 32))
            wanted = light / case.white_balance[colour] * (16383 - black) / 100
            assert mosaic[sites].mean() - black == pytest.approx(wanted, abs=0.07 * wanted)


def test_negatives_are_kept_by_the_black_level(photos):
    case = simulated.cases(photos)[0]
    mosaic = simulated.record(case, np.zeros((64, 64, 3), np.uint8))
    assert 400 < mosaic.min() < 512 < mosaic.max()
    assert abs(mosaic.mean() - 512) < 2


def test_the_centre_of_a_photo_is_used(photos):
    whole = simulated.read_photo(photos / "0.png")
    assert whole.shape == (96, 120, 3)
    assert (simulated.read_photo(photos / "0.png", (40, 200)) == whole[28:68]).all()


# --- baselines ---


def clear_frame(cfa: str, phase: tuple[int, int], height: int, width: int) -> tuple[Frame, np.ndarray]:
    """A frame without noise, with its photo, whose visible window begins at `phase`."""
    coarse = np.random.default_rng(0).integers(60, 250, (4, 5, 3), np.uint8)
    photo = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.float32) / 255
    light = simulated.srgb_to_linear(photo) / np.array([2, 1, 1.5])
    whole = np.pad(light, ((phase[0], 0), (phase[1], 0), (0, 0)), "edge")
    mosaic = simulated.cfas.sample(whole, cfa) * (16383 - 512) + 512
    frame = Frame(
        mosaic=np.rint(mosaic).astype(np.uint16),
        cfa=cfa,
        black=np.full(CELL[cfa].shape, 512, np.float32),
        white=16383.0,
        white_balance=np.array([2, 1, 1.5], np.float32),
        daylight=None,
        camera_to_srgb=np.eye(3, dtype=np.float32),
        exposure=Exposure(0, 0, 0),
        visible=Window(*phase, height, width),
        orientation=1,
        camera="test",
        bits=14,
    )
    return frame, photo


@pytest.mark.parametrize(
    ("cfa", "phase", "height", "width"),
    [("bayer", (0, 0), 72, 90), ("bayer", (1, 0), 73, 91), ("bayer", (1, 1), 72, 90), ("xtrans", (2, 5), 513, 520)],
)
def test_libraw_gives_a_clear_photo_back(cfa, phase, height, width):
    frame, photo = clear_frame(cfa, phase, height, width)
    picture = baselines.libraw(frame, 1.0)
    assert picture.shape == photo.shape and picture.dtype == np.float32
    assert metrics.psnr(picture[8:-8, 8:-8], photo[8:-8, 8:-8]) > 38
    assert abs((picture - photo)[8:-8, 8:-8].mean()) < 2e-3, "white stays white, however dark the photo"


def test_xtrans_too_small_for_libraw_is_refused():
    frame, _ = clear_frame("xtrans", (0, 0), 511, 600)
    with pytest.raises(
        SettingsError, match="libraw: cannot interpolate X-Trans of 511x600; use photos and a crop of at least 512"
    ):
        baselines.libraw(frame, 1.0)


def test_noise_below_black_reaches_libraw(tmp_path):
    frame, _ = clear_frame("bayer", (0, 0), 32, 32)
    dark = replace(frame, mosaic=np.random.default_rng(0).integers(312, 512, (32, 32), np.uint16))
    baselines.write_bright(dark, 50.0, tmp_path / "bright.dng")
    light = (raw.read(tmp_path / "bright.dng").mosaic - float(baselines.BLACK)) / (baselines.WHITE - baselines.BLACK)
    assert light == pytest.approx((dark.mosaic - 512.0) * 50 / (16383 - 512), abs=1e-4)


def test_bm3d_keeps_the_best_of_its_sigmas(monkeypatch):
    tried = []

    def blend(noisy, sigma):
        tried.append(sigma)
        return np.full_like(noisy, 0.5) + (sigma - best)  # the nearer to the best, the nearer to the photo

    monkeypatch.setitem(sys.modules, "bm3d", type("bm3d", (), {"bm3d_rgb": staticmethod(blend)}))
    photo = np.full((16, 16, 3), 0.5, np.float32)
    for best in baselines.SIGMAS:
        for error in (0.001, 0.1, 0.5):
            tried.clear()
            picture, sigma = baselines.bm3d(photo + np.float32(error), photo)
            assert sigma == best and picture == pytest.approx(photo)
            assert len(tried) == len(set(tried)), "nothing is tried twice"


def test_without_bm3d_the_message_says_where_it_is_and_its_licence(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    picture = np.zeros((16, 16, 3), np.float32)
    with pytest.raises(
        SettingsError, match=r"bm3d: not installed; `pip install 'darkroom\[bm3d\]'`, for non-commercial use"
    ):
        baselines.bm3d(picture, picture)


# --- scores ---


def test_a_better_network_scores_higher(photos, tmp_path):
    networks = {f"over {pool}": model.load(write_network(tmp_path / f"{pool}.onnx", pool)) for pool in (1, 5)}
    found = list(score.scores(simulated.cases(photos, ratios=[100.0]), networks, ["libraw"], centre=48))
    (whole, small) = report.tables(found)
    assert (whole.window, small.window, whole.photos) == ("1024x1536", "48x48", 3)
    for table in (whole, small):
        means = {system: by_ratio[0] for system, by_ratio in table.rows}
        assert list(means) == ["libraw", "over 1", "over 5"]
        assert means["over 5"].psnr > means["over 1"].psnr + 3 and means["over 5"].ssim > means["over 1"].ssim


def test_scores_are_the_same_in_every_run(photos, tmp_path):
    networks = {"n": model.load(write_network(tmp_path / "n.onnx", 3))}
    plan = simulated.cases(photos)[2:4]
    assert list(score.scores(plan, networks, [])) == list(score.scores(plan, networks, []))


def test_xtrans_is_scored_too(tmp_path):
    Image.new("RGB", (512, 512), (90, 160, 120)).save(tmp_path / "a.png")
    (found,) = score.scores(simulated.cases(tmp_path, ratios=[10.0], cfa="xtrans"), {}, ["libraw"])
    assert found.cfa == "xtrans" and found.psnr > 20


def made_up(system: str, ratio: float, psnr: float, photo: str = "a.png") -> score.Score:
    return score.Score(system, photo, "bayer", ratio, "sonya7s2", 1.0, "1024x1536", psnr, psnr / 40, "")


def test_means_are_taken_over_the_photos_at_each_ratio():
    found = [made_up("n", ratio, psnr, photo) for photo, psnr in (("a.png", 20), ("b.png", 30)) for ratio in (300, 100)]
    (table,) = report.tables([replace(each, psnr=each.psnr + (each.ratio == 100)) for each in found])
    assert table.ratios == (100, 300) and table.photos == 2
    assert table.rows == (("n", (report.Mean(26, 0.625), report.Mean(25, 0.625))),)


def test_means_over_different_raws_are_refused():
    with pytest.raises(
        SettingsError, match="m: scored on 1 dark raws of 1024x1536 that are not the 2 of n; use the same photos"
    ):
        report.tables([made_up("n", 100, 20), made_up("n", 250, 20), made_up("m", 100, 20)])
    with pytest.raises(SettingsError, match="n: scored twice on one dark raw; leave one run out"):
        report.tables([made_up("n", 100, 20), made_up("n", 100, 21)])


def test_scores_survive_their_files(tmp_path):
    found = [made_up("n", 100, 20.123456789012345), made_up("n", 250, inf)]
    (tmp_path / "s.json").write_text("".join(report.to_line(each) + "\n" for each in found))
    assert report.read(tmp_path / "s.json") == found
    report.write_csv(found, tmp_path / "s.csv")
    with (tmp_path / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["psnr"]) for row in rows] == [20.123456789012345, inf] and rows[0]["system"] == "n"
    with pytest.raises(
        OutputError, match=r"s.csv: cannot be written \(no such file or directory\); choose another file"
    ):
        report.write_csv(found, tmp_path / "missing" / "s.csv")


@pytest.mark.parametrize("text", ["[]", "{}", "{", '{"system": "n"}'])
def test_a_file_that_holds_no_scores_is_refused(tmp_path, text):
    (tmp_path / "s.json").write_text(report.to_line(made_up("n", 100, 20)) + "\n" + text)
    with pytest.raises(SettingsError, match="s.json: line 2 is no score; give what `darkroom evaluate --json` printed"):
        report.read(tmp_path / "s.json")
    with pytest.raises(SettingsError, match=r"cannot be read \(FileNotFoundError\)"):
        report.read(tmp_path / "missing.json")


# --- the automatic ratio ---


def test_errors_of_the_ratio_are_in_stops():
    found = [ratios.Estimate("a", "c", 100, 100 * 2.0**error) for error in (-2, 1, 3)]
    assert ratios.summary(found) == ratios.Summary(median=2, nine_tenths=pytest.approx(2.8), bias=1)


# --- the command ---


def test_the_command_prints_a_table_and_keeps_what_it_is_told_to(run, photos, tmp_path):
    network = write_network(tmp_path / "n.onnx", 5)
    words = ("evaluate", network, "--simulate", photos, "--ratios", "100", "--baselines", "libraw", "--crop", "64x64")
    code, out, err = run(*words, "--json", "--csv", tmp_path / "s.csv", "-o", tmp_path / "pictures")
    scores = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [each["system"] for each in scores] == ["libraw", "n"] * 3
    assert "bayer, 3 photos, centre 64x64" in err and "x100" in err
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 7
    kept = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert kept[:3] == ["0-bayer-photo.png", "0-bayer-x100-libraw.png", "0-bayer-x100-n.png"] and len(kept) == 9
    with Image.open(tmp_path / "pictures" / kept[0]) as photo:
        assert (np.asarray(photo) == simulated.read_photo(photos / "0.png", (64, 64))).all()

    (tmp_path / "s.json").write_text(out)
    code, merged, _ = run("evaluate", "--merge", tmp_path / "s.json")
    assert code == 0 and [line for line in merged.splitlines() if "libraw" in line][0] in err


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
        (("--simulate", "PHOTOS", "--baselines", "magic"), "magic: no such baseline; known are libraw, bm3d"),
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
    ],
)
def test_wrong_usage_is_one_line(run, photos, tmp_path, words, complaint):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"no picture")
    places = {"PHOTOS": photos, "EMPTY": tmp_path / "empty", "BROKEN": tmp_path / "broken"}
    code, out, err = run("evaluate", *(places.get(word, word) for word in words))
    assert code == 2 and not out and err.startswith("darkroom: ") and complaint in err and err.count("\n") == 1
