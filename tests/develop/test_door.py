"""The one door for ONNX files: what is refused before an engine sees it, and what an engine's answer must be."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
from made import contract_for, write_network
from onnx import TensorProto, helper

from darkroom.develop import door, engines, model, tiles
from darkroom.develop.curves import FULL
from darkroom.errors import ModelError


@pytest.fixture
def network(tmp_path: Path):
    """`network(change)`: the path of a network whose protobuf was changed; no engine may open it."""

    def write(change=lambda proto: None) -> Path:
        proto = onnx.load(write_network(tmp_path / "n.onnx"))
        change(proto)
        (tmp_path / "n.onnx").write_bytes(proto.SerializeToString())
        return tmp_path / "n.onnx"

    return write


def refused(file: Path) -> str:
    """What `model.load` says of a file, which is one line that begins with its name and knows no engine."""
    with pytest.raises(ModelError) as refusal:
        model.load(file)
    said = str(refusal.value)
    assert said.startswith(f"{file}: ") and "\n" not in said and "; " in said
    return said.removeprefix(f"{file}: ")


@pytest.fixture
def shut(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine is reached."""
    monkeypatch.setattr(engines, "open", lambda *_, **__: pytest.fail("an engine saw the file"))


def nothing(name: str) -> onnx.GraphProto:
    return helper.make_graph([], name, [], [])


@pytest.mark.usefixtures("shut")
@pytest.mark.parametrize(
    ("node", "named"),
    [
        (helper.make_node("Loop", ["", "", "bright"], ["x"], body=nothing("b")), "Loop, a subgraph"),
        (helper.make_node("If", ["bright"], ["x"], then_branch=nothing("a"), else_branch=nothing("b")), "If, a sub"),
        (helper.make_node("Scan", ["bright"], ["x"], body=nothing("b"), num_scan_inputs=1), "Scan, a subgraph"),
        (helper.make_node("Relu", ["bright"], ["x"], body=nothing("b")), "a subgraph"),
        (helper.make_node("Relu", ["bright"], ["x"], bodies=[nothing("a"), nothing("b")]), "a subgraph"),
        (helper.make_node("RandomNormal", [], ["x"], shape=[1]), "RandomNormal"),
        (helper.make_node("Relu", ["bright"], ["x"], domain="evil"), "evil:Relu"),
    ],
)
def test_only_known_operators_come_in(network, node, named):
    assert refused(network(lambda proto: proto.graph.node.append(node))).startswith(f"holds {named}")


@pytest.mark.usefixtures("shut")
def test_functions_stay_outside(network):
    loop = helper.make_node("Relu", ["a"], ["b"])
    function = helper.make_function("ours", "twice", ["a"], ["b"], [loop], [helper.make_opsetid("", 17)])
    assert refused(network(lambda proto: proto.functions.append(function))).startswith("holds a function, ")


@pytest.mark.usefixtures("shut")
def test_data_in_another_file_are_not_fetched(network, tmp_path):
    def outside(proto: onnx.ModelProto) -> None:
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="secret.bin")
        proto.graph.initializer.append(tensor)

    (tmp_path / "secret.bin").write_bytes(bytes(16))
    assert refused(network(outside)).startswith("refers to data in another file, which is not allowed;")


@pytest.mark.parametrize(
    ("metadata", "allowed"),
    [
        ([("note", "photos of two locations, one location each"), ("location", "here")], True),
        ([("note", "a location"), ("note", "another location")], False),  # an engine may take either
    ],
)
def test_metadata_may_speak_of_a_location(network, metadata, allowed):
    def speak(proto: onnx.ModelProto) -> None:
        for key, value in metadata:
            proto.metadata_props.add(key=key, value=value)

    file = network(speak)
    if allowed:
        assert door.read(file)[0] == file.read_bytes()
    else:
        assert refused(file).startswith("refers to data in another file")


@pytest.mark.usefixtures("shut")
@pytest.mark.parametrize("beside", [b"", b"location"])
def test_data_in_another_file_are_not_hidden_by_metadata(network, beside):
    def outside(proto: onnx.ModelProto) -> None:
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="secret.bin")
        proto.graph.initializer.append(tensor)
        proto.metadata_props.add(key="note", value=beside.decode())

    assert refused(network(outside)).startswith("refers to data in another file")


@pytest.mark.usefixtures("shut")
def test_metadata_that_are_no_text_are_refused(network):
    file = network(lambda proto: proto.metadata_props.add(key="note", value="abcd"))
    file.write_bytes(file.read_bytes().replace(b"abcd", b"ab\xff\xfe"))
    assert refused(file) == "holds names or metadata that are no UTF-8; export it again"


@pytest.mark.usefixtures("shut")
@pytest.mark.parametrize(
    ("promise", "said"),
    [
        ("[" * 10_000, "its contract is not JSON;"),
        ('{"name":' * 10_000, "its contract is not JSON;"),
        (json.dumps(asdict(contract_for("bayer")) | {"scale": 4}), "scale 4 contradicts packing bayer4, whose pixels"),
        (contract_for("bayer", max_ratio=float("nan")).to_json(), "contract holds a number that is not finite;"),
    ],
)
def test_a_contract_without_sense_is_refused(tmp_path, promise, said):
    assert refused(write_network(tmp_path / "n.onnx", promise=promise)).startswith(said)


@pytest.mark.usefixtures("shut")
def test_what_is_too_large_or_no_file_is_not_read(tmp_path, monkeypatch):
    file = write_network(tmp_path / "n.onnx")
    monkeypatch.setattr(door, "LARGEST", 100)
    assert refused(file).startswith("0 MB, at most 0 are read;")
    monkeypatch.setattr(door, "LARGEST", file.stat().st_size)
    assert door.read(file)[0] == file.read_bytes(), "so much may be read"
    (tmp_path / "folder.onnx").mkdir()
    assert refused(tmp_path / "folder.onnx") == "is no file; give the path of an .onnx file"


@pytest.mark.usefixtures("shut")
def test_a_gigabyte_is_the_most_that_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "read_bytes", lambda file: b"a")
    file = tmp_path / "n.onnx"
    file.touch()
    os.truncate(file, 1 << 30)
    assert refused(file).startswith("is not an ONNX network")
    os.truncate(file, (1 << 30) + 10**6)
    assert refused(file) == "1075 MB, at most 1074 are read; give an image network"


def test_of_many_strange_operators_three_are_named(network):
    nodes = [helper.make_node(name, [], []) for name in ("Wild", "Odd", "Relu", "Zany", "Queer")]
    assert refused(network(lambda proto: proto.graph.node.extend(nodes))) == (
        "holds Odd, Queer, Wild, which darkroom does not run; export it as a plain graph of convolutions and the like"
    )


def test_what_is_read_is_the_bytes_and_what_they_say(network):
    file = network()
    data, said = door.read(file)
    assert data == file.read_bytes()
    assert said.operators == {"Slice", "Tile", "DepthToSpace", "Clip"} and list(said.metadata) == ["darkroom"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs fifos")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "n.onnx")
    assert refused(tmp_path / "n.onnx") == "is no file; give the path of an .onnx file"


@pytest.mark.parametrize("name", ["b_loop", "c_deep_json", "c_scale4", "i_fixed", "utf8_metadata"])
def test_hostile_files_are_refused(shared_raw, name):
    file = shared_raw.parent / "hostile" / f"{name}.onnx"
    assert refused(file)


def test_what_ships_comes_in():
    assert len([door.read(file) for file in model.shipped()]) >= 4


# --- answers ---


def answering(network: Path, rgb: np.ndarray) -> model.Model:
    loaded = model.load(network, device="cpu")
    engine = loaded.engine
    return model.Model(loaded.file, loaded.contract, type("Other", (), {
        "run": lambda self, bright: rgb, "device": engine.device, "precision": engine.precision})())  # fmt: skip


@pytest.mark.parametrize("shape", [(1, 16, 24), (3, 16, 12), (3, 8, 12), (2, 3, 16, 24)])
def test_an_answer_of_another_shape_is_refused(network, shape):
    other = answering(network(), np.zeros(shape, np.float32))
    with pytest.raises(ModelError, match=r"n.onnx: gave .* float32, its contract says 3 x 16 x 24 float32;"):
        other.run(np.zeros((4, 8, 12), np.float32))


def test_an_answer_of_another_type_is_refused(network):
    other = answering(network(), np.zeros((3, 16, 24), np.float64))
    with pytest.raises(ModelError, match=r"gave 3 x 16 x 24 float64"):
        other.run(np.zeros((4, 8, 12), np.float32))


def stored(value: np.ndarray) -> np.ndarray:
    return np.floor(value.clip(0, 1) * FULL + 0.5)


def answers(value: np.ndarray) -> np.ndarray:
    """(3, 16, 16), what tiling makes of a network's answer."""
    pieces = tiles.run(
        lambda bright: value.copy(),
        lambda rows, columns: np.zeros((4, 8, 8), np.float32),
        size=(8, 8),
        contract=contract_for("bayer"),
        pixel_bytes=100,
        memory=1 << 30,
        on_tile=lambda done, total: None,
    )
    return next(core for _, _, core in pieces)


def test_a_little_outside_the_range_is_clamped():
    value = np.full((3, 16, 16), 0.5, np.float32)
    value[0, :8], value[1, :8] = -0.2, 1.2
    rgb = answers(value)
    assert (rgb[0, :8] == 0).all() and (rgb[1, :8] == FULL).all() and (rgb[2] == (FULL + 1) // 2).all()


def test_one_site_far_outside_is_clamped():
    value = np.full((3, 16, 16), 0.5, np.float32)
    value[2, 3, 4] = 1e30
    assert answers(value)[2, 3, 4] == FULL


@pytest.mark.parametrize("value", [-0.5, 1.5, 255])
def test_an_answer_on_another_scale_is_refused(value):
    with pytest.raises(ModelError, match=r"test: gave .* in tile 1 of 1, its contract says 0 to 1; export it again"):
        answers(np.full((3, 16, 16), value, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_answer_that_is_not_finite_is_refused(value):
    rgb = np.full((3, 16, 16), 0.5, np.float32)
    rgb[1, 2, 3] = value
    with pytest.raises(ModelError, match=r"test: gave a value that is not finite in tile 1 of 1;"):
        answers(rgb)


@pytest.mark.parametrize("low, high", [(-0.24, 0.5), (0.5, 1.24)])
def test_a_whole_answer_a_quarter_outside_the_range_is_clamped(low, high):
    value = np.full((3, 16, 16), low, np.float32)
    value[:, ::2] = high
    assert np.array_equal(answers(value), stored(value))


@pytest.mark.parametrize("far", [-0.26, 1.26])
def test_half_of_an_answer_may_lie_far_outside_and_no_more(far):
    value = np.full((3, 16, 16), 0.5, np.float32)
    value[:, :8] = far
    assert np.array_equal(answers(value), stored(value))
    value[0, 8, 0] = far
    with pytest.raises(ModelError, match=r"test: gave .* in tile 1 of 1, its contract says 0 to 1"):
        answers(value)


def test_an_answer_between_zero_and_one_is_rounded_to_16_bits():
    value = np.linspace(0, 1, 768, dtype=np.float32).reshape(3, 16, 16)
    assert answers(value).dtype == np.uint16 and np.array_equal(answers(value), stored(value))
