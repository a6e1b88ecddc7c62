"""What becomes of scores: means over what can be compared, grids, files, and a page."""

import csv
import json
import re
from base64 import b64decode
from dataclasses import replace
from math import inf, nan
from types import SimpleNamespace

import imageio.v3 as iio
import numpy as np
import pytest

from darkroom.errors import OutputError, SettingsError
from darkroom.evaluate import report, sheet
from darkroom.evaluate.case import Case
from darkroom.evaluate.cost import Cost
from darkroom.evaluate.measure import Measured
from darkroom.evaluate.score import Score
from darkroom.evaluate.systems import Made


def made_up(
    system: str,
    ratio: float,
    psnr: float,
    photo: str = "a.png",
    *,
    data: str = "simulated",
    cost: Cost | None = None,
    **measures: float,
) -> Score:
    measured = Measured(psnr, psnr / 40, **measures)
    return Score(system, photo, "bayer", ratio, "sonya7s2", 1.0, "1024x1536", "", measured, data, cost)


def test_means_are_taken_over_the_photos_at_each_ratio():
    shots = [(photo, psnr, ratio) for photo, psnr in (("a.png", 20), ("b.png", 30)) for ratio in (300, 100)]
    (table,) = report.tables([made_up("n", ratio, psnr + (ratio == 100), photo) for photo, psnr, ratio in shots])
    assert table.columns == ("x100", "x300") and table.photos == 2
    assert table.rows == (report.Row("n", (Measured(26, 0.65), Measured(25, 0.625)), None),)


def test_means_over_different_raws_are_refused():
    with pytest.raises(
        SettingsError, match="m: scored on 1 dark raws of 1024x1536 that are not the 2 of n; use the same photos"
    ):
        report.tables([made_up("n", 100, 20), made_up("n", 250, 20), made_up("m", 100, 20)])
    with pytest.raises(SettingsError, match="n: scored twice on one dark raw; leave one run out"):
        report.tables([made_up("n", 100, 20), made_up("n", 100, 21)])


def test_what_is_of_different_data_stands_apart():
    found = [made_up("n", 100, 20), made_up("n", 100, 30, data="sid-93")]
    first, second = report.tables(found)
    assert (first.data, second.data) == ("simulated", "sid-93")
    assert report.grids(first)[0].title == "bayer, 1 photos, centre 1024x1536: PSNR dB / SSIM"
    assert report.grids(second)[0].title == "sid-93: bayer, 1 pairs, centre 1024x1536: PSNR dB / SSIM"


def test_real_pairs_have_a_column_over_all():
    found = [
        replace(made_up("n", ratio, psnr, f"{ratio}.ARW", data="sid-93"), gain=0.0)
        for ratio, psnr in ((100.02, 30), (99.98, 20), (300, 22))
    ]
    (table,) = report.tables(found)
    assert table.columns == ("x100", "x300", "all")
    assert [mean.psnr for mean in table.rows[0].means] == [25, 22, 24]
    many = [replace(found[0], ratio=ratio, photo=str(ratio)) for ratio in (10, 20, 30, 40, 50, 60, 70)]
    assert report.tables(many)[0].columns == ("all",)
    assert report.tables(found[:2])[0].columns == ("x100",)


def test_cameras_stand_across_when_asked_for():
    found = [
        replace(made_up("n", ratio, psnr), camera=camera)
        for ratio, psnr, camera in ((100, 20, "a"), (300, 10, "a"), (100, 30, "b"), (300, 32, "b"))
    ]
    (table,) = report.tables(found, "camera")
    assert table.columns == ("a", "b") and [mean.psnr for mean in table.rows[0].means] == [15, 31]
    assert report.grids(table)[0].title.endswith("mean of x100, x300: PSNR dB / SSIM")


def test_more_than_two_measures_have_columns_of_their_own():
    found = [made_up("n", 100, 20, ms_ssim=0.5, niqe=nan), made_up("n", 100, 30, "b.png", ms_ssim=0.7, niqe=4)]
    (table,) = report.tables([*found, made_up("m", 100, 20), made_up("m", 100, 30, "b.png")])
    (grid,) = report.grids(table)
    assert grid.title == "bayer, 2 photos, centre 1024x1536, x100"
    assert grid.header == ("", "PSNR dB", "SSIM", "MS-SSIM", "NIQE")
    assert grid.rows == (("n", "25.00", "0.625", "0.600", "4.00"), ("m", "25.00", "0.625", "", ""))


def test_what_a_network_costs_stands_beside_its_scores():
    priced = made_up("n", 100, 20, cost=Cost(1234.5, 540.2, 59.8))
    (table,) = report.tables([priced, made_up("libraw", 100, 10)])
    assert table.rows[0].cost == Cost(1234.5, 540.2, 59.8) and table.rows[1].cost is None
    (grid,) = report.grids(table)
    assert grid.header == ("", "x100", "ms", "peak MB", "GMAC")
    assert grid.rows == (("n", "20.00 / 0.500", "1234", "540", "59.8"), ("libraw", "10.00 / 0.250", "", "", ""))


def test_notes_tell_what_the_numbers_are():
    simulated, published = made_up("bm3d+wb", 100, 20), made_up("n", 100, 20, data="sid-88")
    assert [note.split()[0] for note in report.notes([simulated, published])] == ["scikit-image's", "8-bit", "bm3d:"]
    assert len(report.notes([published])) == 1


def test_scores_survive_their_files(tmp_path):
    found = [
        made_up("n", 100, 20.123456789012345),
        made_up("n", 250, inf, data="red", niqe=3.5, cost=Cost(9.0, None, 60.0)),
    ]
    (tmp_path / "s.json").write_text("".join(report.to_line(each) + "\n" for each in found))
    assert "niqe" not in json.loads(report.to_line(found[0]))
    assert report.read(tmp_path / "s.json") == found
    assert list(json.loads(report.to_line(found[1]))) == [
        *("system", "photo", "cfa", "ratio", "camera", "gain", "window", "psnr", "ssim", "chosen", "data"),
        *("niqe", "ms", "gmac"),
    ]
    report.write_csv(found, tmp_path / "s.csv")
    with (tmp_path / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["psnr"]) for row in rows] == [20.123456789012345, inf] and rows[0]["system"] == "n"
    assert [row["niqe"] for row in rows] == ["", "3.5"]
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


# --- the page ---


def shot(name: str, ratio: float, level: float, cfa: str = "bayer") -> tuple[Case, dict[str, Made]]:
    """A case of whose frame crops only ask the CFA, and two systems' pictures of it."""
    reference = np.full((400, 360, 3), 0.5, np.float32)
    case = Case(name, SimpleNamespace(cfa=cfa), reference, "srgb", ratio, "sonya7s2", 1.0, None)
    return case, {"libraw": Made(reference * 0.1), "n": Made(reference * level)}


def test_the_page_shows_the_worst_the_median_and_the_best(tmp_path):
    scores, crops = [], sheet.Crops(tmp_path)
    for i, psnr in enumerate((25, 10, 33, 20)):
        for ratio in (100.0, 300.0):
            crops.keep(*shot(f"{i}.png", ratio, 0.9))
            scores += [
                made_up("libraw", ratio, 40 - psnr, f"{i}.png"), made_up("n", ratio, psnr - ratio / 100, f"{i}.png")
            ]  # fmt: skip
    tables = report.tables(scores)
    sheet.write(tmp_path / "s.html", tables, scores, crops, ["how it came about"])
    text = (tmp_path / "s.html").read_text()
    assert re.findall(r"<h2>(\w+) by (\w+)</h2>", text) == [("worst", "n"), ("median", "n"), ("best", "n")]
    told = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    assert told[:3] == ["1.png, x300, sonya7s2", "libraw: 30.00 dB", "n: 7.00 dB"]
    assert told[6:] == ["2.png, x100, sonya7s2", "libraw: 7.00 dB", "n: 32.00 dB"]
    pictures = re.findall(r"data:image/jpeg;base64,([^\"]*)", text)
    assert [iio.imread(b64decode(data)).shape for data in pictures] == [(320, 320, 3)] * 9
    assert iio.imread(b64decode(pictures[2])).mean() == pytest.approx(0.9 * 127.5, abs=1)
    assert "how it came about" in text and "<svg" in text, "a curve over two ratios"
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", text), "nothing from elsewhere"


def test_crops_of_two_sensors_are_not_confused(tmp_path):
    crops = sheet.Crops(tmp_path)
    for cfa, level in (("bayer", 0.2), ("xtrans", 0.8)):
        crops.keep(*shot("a.png", 100.0, level, cfa))
    scores = [made_up("n", 100.0, 20), replace(made_up("n", 100.0, 25), cfa="xtrans")]
    sheet.write(tmp_path / "s.html", report.tables(scores), scores, crops, [])
    pictures = re.findall(r"base64,([^\"]*)", (tmp_path / "s.html").read_text())
    assert [round(float(iio.imread(b64decode(data)).mean()), -1) for data in pictures] == [130, 30] * 3 + [130, 100] * 3


def test_scores_of_earlier_runs_have_no_crops(tmp_path):
    scores = [made_up("n", 100, 20)]
    sheet.write(tmp_path / "s.html", report.tables(scores), scores, sheet.Crops(tmp_path), [])
    text = (tmp_path / "s.html").read_text()
    assert "20.00 / 0.500" in text and "<img" not in text and "<svg" not in text


def test_a_system_that_was_not_asked_for_is_not_shown(tmp_path):
    crops, scores = sheet.Crops(tmp_path), [made_up("n", 100, 20)]
    crops.keep(*shot("a.png", 100, 0.9))
    sheet.write(tmp_path / "s.html", report.tables(scores), scores, crops, [])
    assert (tmp_path / "s.html").read_text().count("<figcaption>") == 3 * 2


def test_a_page_opens_with_the_figures(tmp_path):
    scores = [made_up("n", 100, 20)]
    sheet.write(tmp_path / "s.html", report.tables(scores), scores, sheet.Crops(tmp_path), ["how it came about"])
    text = (tmp_path / "s.html").read_text()
    assert text.index("20.00 / 0.500") < text.index("how it came about")
