"""What a run shows of itself: a log that survives interruptions, samples, TensorBoard, a report."""

import csv
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
from pages import checked
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from darkroom.train import board, watch


def log_of(run) -> list[list[str]]:
    return list(csv.reader((run / "log.csv").read_text().splitlines()))


def flat(level: float, height=20, width=30) -> np.ndarray:
    return np.full((3, height, width), level, np.float32)


@pytest.fixture
def seen(tmp_path):
    made = watch.Watch(tmp_path)
    yield made
    made.close()


def test_the_log_has_a_row_a_step(seen, tmp_path):
    seen.scalars(10, {"loss": 0.5, "psnr": 20.123456789})
    seen.scalars(20, {"loss": 0.25, "psnr": 21.0})
    assert log_of(tmp_path) == [["step", "loss", "psnr"], ["10", "0.5", "20.123457"], ["20", "0.25", "21"]]


def test_numbers_of_one_step_share_its_row_and_new_ones_get_a_column(seen, tmp_path):
    seen.scalars(10, {"loss": 0.5})
    seen.scalars(10, {"psnr": 20.0})
    seen.scalars(20, {"loss": 0.25})
    seen.scalars(30, {"rate": 1e-4})
    assert log_of(tmp_path) == [
        ["step", "loss", "psnr", "rate"], ["10", "0.5", "20", ""], ["20", "0.25", "", ""], ["30", "", "", "0.0001"],
    ]  # fmt: skip


def test_a_resumed_run_takes_back_what_it_does_again(seen, tmp_path):
    for step in (10, 20, 30, 40):
        seen.scalars(step, {"loss": step / 100})
    resumed = watch.Watch(tmp_path)
    resumed.scalars(30, {"loss": 9.0})
    assert log_of(tmp_path)[1:] == [["10", "0.1"], ["20", "0.2"], ["30", "9"]]
    resumed.scalars(40, {"loss": 8.0})
    assert log_of(tmp_path)[1:] == [["10", "0.1"], ["20", "0.2"], ["30", "9"], ["40", "8"]]
    resumed.close()
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("loss")] == [10, 20, 30, 40]


def test_a_line_cut_short_by_a_kill_is_dropped(seen, tmp_path):
    seen.scalars(10, {"loss": 0.5})
    with open(tmp_path / "log.csv", "a") as log:
        log.write("20,0.2")
    resumed = watch.Watch(tmp_path)
    resumed.scalars(30, {"loss": 0.125})
    resumed.close()
    assert log_of(tmp_path)[1:] == [["10", "0.5"], ["30", "0.125"]]


def test_samples_stand_side_by_side(seen, tmp_path):
    last = np.concatenate([flat(0.2).transpose(1, 2, 0)] * 2, 1)
    seen.samples(500, [(flat(0), flat(0.5), flat(1)), (last, last, last + 5)])
    sheet = imageio.imread(tmp_path / "samples" / "step-000500.png")
    assert sheet.shape == (20 + watch.GAP + 20, 3 * 60 + 2 * watch.GAP, 3)
    assert [sheet[10, x, 0] for x in (15, 30 + watch.GAP + 15, 60 + 2 * watch.GAP + 15)] == [0, 128, 255]
    assert [sheet[-1, x, 0] for x in (0, 64, 128)] == [51, 51, 255]


def test_the_report_shows_the_first_and_the_last_samples(seen, tmp_path):
    """Of a million steps, too, whose name sorts before that of 200000."""
    for step in (500, 200_000, 300_000, 400_000, 500_000, 1_000_000):
        seen.samples(step, [(flat(0), flat(0.5), flat(1))])
    shown = "".join(seen._thumbnails())
    told = [shown.index(f"step {step:,}") for step in (500, 1_000_000)]
    assert told == sorted(told)


def test_of_large_pictures_the_centre_is_shown(seen, tmp_path):
    large = flat(0, watch.LARGEST + 100, watch.LARGEST + 40)
    large[:, 50:-50, 20:-20] = 1
    seen.samples(1, [(large, large, large)])
    sheet = imageio.imread(tmp_path / "samples" / "step-000001.png")
    assert sheet.shape[0] == watch.LARGEST and sheet.min() == 255


def test_tensorboard_reads_numbers_and_pictures(seen, tmp_path):
    seen.scalars(10, {"loss/train": 0.5, "psnr": 20.0})
    seen.samples(10, [(flat(0), flat(0.5), flat(1))])
    seen.close()
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {tag: board.Scalars(tag)[0].value for tag in board.Tags()["scalars"]} == {"loss/train": 0.5, "psnr": 20.0}
    stored = imageio.imread(board.Images("samples")[0].encoded_image_string)
    assert np.array_equal(stored, imageio.imread(tmp_path / "samples" / "step-000010.png"))


def test_a_disk_that_is_full_is_told_at_once(tmp_path, monkeypatch):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr(Path, "open", lambda *_, **__: full)
        with pytest.raises(OSError, match="No space left"):
            board.Board(tmp_path, 0)


def test_a_run_that_goes_on_tells_tensorboard_from_where(tmp_path):
    first = board.Board(tmp_path, 10)
    first.scalars(10, {"loss": 1.0})
    first.scalars(20, {"loss": 2.0})
    first.close()
    again = board.Board(tmp_path, 20)
    again.scalars(20, {"loss": 3.0})
    again.close()
    told = EventAccumulator(str(tmp_path)).Reload().Scalars("loss")
    assert [(event.step, event.value) for event in told] == [(10, 1.0), (20, 3.0)]


def test_the_report_is_one_file_with_curves_and_crops(seen, tmp_path):
    for step in range(10, 80, 10):
        seen.scalars(step, {"loss/train": 1 / step, "loss/validation": 2 / step, "psnr": 20.0 + step})
        seen.samples(step, [(flat(0), flat(0.5), flat(1))])
    path = seen.report("night <1>", {"recipe": "steps = 70\nseed = 1"})
    assert path == tmp_path / "report.html"
    checker = checked(path.read_text())
    assert all(address.startswith("data:image/jpeg;base64,") for address in checker.asked)
    captions = [text for text in checker.text if text.startswith("step ") and ":" not in text]
    assert {"step 10", "step 40", "step 70"} <= set(captions) and len(checker.asked) == watch.SHOWN
    assert path.read_text().count("<svg") == 2, "numbers with a common first part share a chart"
    for said in ("night <1>", "recipe", "steps = 70\nseed = 1", "loss/validation", "psnr: 90", "30", "90"):
        assert said in checker.text


def test_a_report_can_be_made_by_a_later_run_and_of_little(seen, tmp_path):
    assert "empty" in seen.report("empty", {}).read_text()
    seen.scalars(1, {"loss": float("nan")})
    seen.samples(1, [(flat(0), flat(0.5), flat(1))])
    html = watch.Watch(tmp_path).report("later", {}).read_text()
    assert html.count("<img") == 1 and "loss: nothing to draw yet." in html


def test_a_report_opens_with_validation_and_marks_the_stages(seen, tmp_path):
    for step in range(10, 80, 10):
        seen.scalars(step, {"hours": step / 100, "loss": 1 / step, "psnr": 20.0 + step, "stage": 1 + (step > 30)})
    html = seen.report("night", {"recipe": "long ago"}).read_text()
    places = [html.index(f"<h2>{name}</h2>") for name in ("psnr", "loss", "hours", "How it was trained")]
    assert places == sorted(places) and html.index("<table>") < places[0] < html.index("long ago")
    assert "<h2>stage</h2>" not in html
    assert html.count(">stage 2</text>") == 3 and "stage 1" not in html, "in every chart, where the second begins"


def test_a_report_is_small_enough_to_send(seen, tmp_path):
    noise = np.random.default_rng(0).random((4, 3, 320, 320)).astype(np.float32)
    for step in (10, 20, 30):
        seen.samples(step, [(each, each, each) for each in noise])
    full = sum(file.stat().st_size for file in (tmp_path / "samples").iterdir())
    assert seen.report("night", {}).stat().st_size < full / 2, "of noise, which nothing compresses"
