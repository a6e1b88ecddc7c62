"""Detection: boxes come out where the network put them, precision is what one works out by hand."""

from math import isnan
from pathlib import Path

import numpy as np
import onnx
import pytest
from made import draw_photos, write_average, write_network
from onnx import TensorProto, helper
from PIL import Image

from darkroom.evaluate import detection, foreign
from darkroom.evaluate.detection import Found


def write_constant(path: Path, takes: list, outputs: dict[str, np.ndarray]) -> Path:
    """A network that always gives the same."""
    nodes, given = [], []
    for name, value in outputs.items():
        kind = TensorProto.INT64 if value.dtype == np.int64 else TensorProto.FLOAT
        tensor = helper.make_tensor(f"{name}_", kind, value.shape, value.ravel())
        nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        given.append(helper.make_tensor_value_info(name, kind, value.shape))
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, takes)
    graph = helper.make_graph(nodes, "constant", [images], given)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def write_yolox(path: Path) -> Path:
    """YOLOX of 32 pixels and two classes: in the second cell of the finest grid an object of 16 x 8 pixels around
    (12, 4), of the first class with 0.9; the third cell tells of the same with 0.72, and of the second class
    with 0.6."""
    cells = np.zeros((1, 21, 7), np.float32)
    cells[0, 1] = [0.5, 0.5, np.log(2), np.log(1), 0.9, 1.0, 0.0]
    cells[0, 2] = [-0.5, 0.5, np.log(2), np.log(1), 0.8, 0.9, 0.75]
    return write_constant(path, [1, 3, 32, 32], {"output": cells})


def found(*objects: tuple[float, ...]) -> Found:
    """Objects by left, top, right, bottom, label and score."""
    each = np.array(objects, np.float32).reshape(-1, 6)
    return Found(each[:, :4], each[:, 4].astype(np.int64), each[:, 5])


def test_boxes_of_yolox_come_out_where_they_are_in_the_picture(tmp_path):
    detector = detection.load(write_yolox(tmp_path / "y.onnx"))
    picture = np.zeros((96, 192, 3), np.float32)  # reduced six times
    seen = detector.find(picture)
    assert seen.boxes == pytest.approx(np.array([[24, 0, 120, 48]] * 2), abs=1e-3)
    assert sorted(zip(seen.labels.tolist(), seen.scores.round(2).tolist(), strict=True)) == [
        (0, pytest.approx(0.9)),
        (1, pytest.approx(0.6)),
    ], "of one class the stronger stays, another class is another object"
    assert len(seen.above(0.7).boxes) == 1


def test_boxes_of_faster_rcnn_are_taken_as_they_are(tmp_path):
    boxes = np.array([[1, 2, 30, 40], [5, 5, 9, 9]], np.float32)
    outputs = {"scores": np.array([0.8, 0.001], np.float32), "boxes": boxes, "labels": np.array([17, 3])}
    for takes in ([3, "h", "w"], [1, 3, "h", "w"]):
        seen = detection.load(write_constant(tmp_path / "f.onnx", takes, outputs)).find(
            np.zeros((50, 60, 3), np.float32)
        )
        assert seen.boxes.tolist() == [[1, 2, 30, 40]] and seen.labels.tolist() == [17]


def test_what_detectors_are_made_of_is_let_in(tmp_path):
    ends = [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, "n", 4])]
    picked = [helper.make_tensor_value_info("picked", TensorProto.INT64, [3, "m"])]
    scores = helper.make_tensor("scores", TensorProto.FLOAT, [1, 1, 2], [0.9, 0.8])
    nodes = [
        helper.make_node("NonMaxSuppression", ["boxes", "scores"], ["kept"]),
        helper.make_node("NonZero", ["kept"], ["picked"]),
    ]
    graph = helper.make_graph(nodes, "nms", ends, picked, [scores])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "d.onnx")
    assert foreign.load(tmp_path / "d.onnx").inputs == {"boxes": (1, "n", 4)}


def test_precision_is_what_one_works_out_by_hand():
    truth = found((0, 0, 10, 10, 1, 1), (20, 20, 30, 30, 1, 1))
    half = found((0, 0, 10, 9, 1, 0.9), (50, 50, 60, 60, 1, 0.8))
    assert detection.precision([truth], [truth]) == pytest.approx(1)
    assert detection.precision([truth], [half]) == pytest.approx(51 / 101), "recall 0 to 0.5 in steps of 0.01"
    off = found((0, 0, 10, 4, 1, 0.9))
    assert detection.precision([truth], [off]) == 0, "IoU 0.4"
    both = found((0, 0, 10, 10, 1, 1), (20, 20, 30, 30, 2, 1))
    assert detection.precision([both], [found((0, 0, 10, 10, 1, 0.5))]) == pytest.approx(0.5), "one class of two"
    assert detection.precision([truth, both], [truth, found((0, 0, 10, 10, 2, 1))]) < 1, "picture by picture"
    assert isnan(detection.precision([found()], [truth])) and detection.precision([truth], [found()]) == 0


def test_the_command_says_what_was_found(run, tmp_path):
    photos, network = draw_photos(tmp_path / "photos"), write_average(tmp_path / "n.onnx", 3)
    detector = write_yolox(tmp_path / "y.onnx")
    words = ("--simulate", photos, "--ratios", "50,100", "--detector", detector, "--html", tmp_path / "s.html")
    code, out, err = run("evaluate", network, "--baselines", "libraw", *words)
    assert code == 0, err
    assert "y: mean average precision, %, at IoU 0.5, of 6 objects found in 6 references with more tha" in out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if "100.00" in line]
    assert [row[:4] for row in rows] == [["libraw", "100.00", "100.00", "100.00"], ["n", "100.00", "100.00", "100.00"]]
    assert not rows[0][4] and float(rows[1][4]) > 0
    html = (tmp_path / "s.html").read_text()
    assert html.count("<h2>objects of") == detection.SHOWN and "<figcaption>reference</figcaption>" in html


def test_boxes_are_drawn_into_pictures_made_small():
    picture = np.zeros((960, 480, 3), np.float32)
    small = detection.drawn(picture, found((100, 200, 300, 400, 0, 1)), (255, 0, 0))
    assert small.shape == (480, 240, 3)
    assert small[100, 60:140, 0].min() == 255 and small[150, 100].max() == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            ("--detector", "n.onnx"),
            "n.onnx: takes bright [1, 4, 'h', 'w'] and gives rgb [1, 3, 'H', 'W']; a detector is",
        ),
        (("--detector", "y.onnx", "--baselines", "bm3d"), "--detector: looks at whole pictures"),
        (("--detector", "y.onnx", "--domain", "raw"), "--domain raw: makes no pictures; leave --detector out"),
        (("--confidence", "0.5"), "--confidence: is for --detector only"),
    ],
)
def test_what_no_detector_can_do_is_one_line(run, tmp_path, monkeypatch, words, complaint):
    monkeypatch.chdir(tmp_path)
    write_network(tmp_path / "n.onnx")
    write_yolox(tmp_path / "y.onnx")
    code, out, err = run("evaluate", "n.onnx", "--simulate", draw_photos(tmp_path / "photos"), *words)
    assert code == 2 and not out and complaint in err and err.count("\n") == 1


def test_a_real_detector_finds_a_real_bird():
    shared = Path(__file__).parents[2].parent / "shared"
    photo = shared / "photos" / "val" / "000_perched-osprey.jpg"
    if not (shared / "detector" / "yolox_nano.onnx").exists() or not photo.exists():
        pytest.skip("no ../shared/detector or photos beside the checkout")
    with Image.open(photo) as opened:
        picture = np.asarray(opened.convert("RGB")).astype(np.float32) / 255
    seen = detection.load(shared / "detector" / "yolox_nano.onnx").find(picture).above(0.7)
    assert seen.labels.tolist() == [14], "COCO's bird"
    assert seen.boxes[0] == pytest.approx([586, 231, 933, 968], abs=30)
