"""Opening network files: ours run, everything else is refused in one line."""

import hashlib
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from made import contract_for, write_network

from darkroom.develop import engines, model
from darkroom.develop.onnxfile import OnnxFile, Port
from darkroom.errors import ModelError

EVERY_ENGINE = ("cpu", pytest.param("openvino", marks=pytest.mark.skipif(not find_spec("openvino"), reason="no wheel")))


@pytest.mark.parametrize("device", EVERY_ENGINE)
def test_a_network_runs(tmp_path, device):
    network = model.load(write_network(tmp_path / "n.onnx"), device=device)
    bright = np.random.default_rng(0).random((4, 8, 12), np.float32)
    rgb = network.run(bright)
    assert rgb.shape == (3, 16, 24) and rgb.dtype == np.float32 and network.device == device
    assert np.abs(rgb[:, ::2, ::2] - bright[0]).max() < (1e-6 if network.precision == "fp32" else 4e-3)
    before = rgb.copy()
    network.run(bright * 0)
    assert (rgb == before).all(), "a second run leaves the first one's output alone"


@pytest.mark.parametrize("device", EVERY_ENGINE)
def test_an_engine_that_fails_is_an_error_of_one_line(tmp_path, device):
    network = model.load(write_network(tmp_path / "n.onnx"), device=device)
    with pytest.raises(
        ModelError, match=rf"n.onnx: failed on {device} .* at 3 x 8 x 12 \(.*\); use --device"
    ) as refusal:
        network.run(np.zeros((3, 8, 12), np.float32))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"promise": None}, "carries no contract; export it with `darkroom train`"),
        ({"promise": "{}"}, "missing or unknown"),
        ({"channels": 9}, "takes bright \\(1, 9, h, w\\) and .* its contract says bright \\(1, 4, h, w\\)"),
    ],
)
def test_a_network_that_breaks_its_word_is_refused(tmp_path, change, complaint):
    with pytest.raises(ModelError, match=complaint) as refusal:
        model.load(write_network(tmp_path / "n.onnx", **change))
    assert str(refusal.value).startswith(str(tmp_path / "n.onnx")) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda graph: graph.input[0].type.tensor_type.shape.dim[2].__setattr__("dim_value", 64),
        lambda graph: graph.input[0].type.tensor_type.shape.dim[0].__setattr__("dim_value", 2),
        lambda graph: graph.input[0].type.tensor_type.__setattr__("elem_type", onnx.TensorProto.DOUBLE),
        lambda graph: graph.output[0].type.tensor_type.shape.dim[1].__setattr__("dim_value", 1),
        lambda graph: graph.output[0].__setattr__("name", "blurred"),
        lambda graph: graph.output[0].type.tensor_type.shape.dim.pop(),
        lambda graph: graph.input.append(onnx.helper.make_tensor_value_info("more", 1, [1])),
    ],
)
def test_ports_that_contradict_the_contract_are_refused_before_any_engine(tmp_path, change):
    network = onnx.load(write_network(tmp_path / "n.onnx"))
    change(network.graph)
    (tmp_path / "n.onnx").write_bytes(network.SerializeToString())
    with pytest.raises(ModelError, match="its contract says bright .* export it again"):
        model.read_contract(tmp_path / "n.onnx")


def test_what_is_not_onnx_is_refused(tmp_path):
    whole = write_network(tmp_path / "n.onnx").read_bytes()
    for data in (b"not a network", whole[:-5], whole + b"\x07", whole + b"\xff" * 12):
        (tmp_path / "n.onnx").write_bytes(data)
        with pytest.raises(ModelError, match="n.onnx: is not an ONNX network"):
            model.load(tmp_path / "n.onnx")
    with pytest.raises(ModelError, match="no such file"):
        model.load(tmp_path / "missing.onnx")


def test_a_graph_in_two_parts_which_an_engine_would_join_is_refused(tmp_path):
    whole = write_network(tmp_path / "n.onnx").read_bytes()
    more = onnx.GraphProto(node=[onnx.helper.make_node("Neg", ["rgb"], ["black"])]).SerializeToString()
    (tmp_path / "n.onnx").write_bytes(whole + b"\x3a" + bytes([len(more)]) + more)
    assert len(onnx.load(tmp_path / "n.onnx").graph.node) == len(onnx.load_from_string(whole).graph.node) + 1
    with pytest.raises(ModelError, match="is not an ONNX network"):
        model.load(tmp_path / "n.onnx")


def test_data_in_other_files_is_refused(tmp_path):
    network = onnx.load(write_network(tmp_path / "n.onnx"))
    secret = onnx.numpy_helper.from_array(np.zeros(4096, np.float32), "secret")
    network.graph.initializer.append(secret)
    onnx.save(network, tmp_path / "n.onnx", save_as_external_data=True, location="weights.bin", size_threshold=100)
    with pytest.raises(ModelError, match="refers to data in another file"):
        model.load(tmp_path / "n.onnx")


def test_a_device_that_is_not_there_is_an_error(tmp_path):
    file = write_network(tmp_path / "n.onnx")
    with pytest.raises(ModelError, match="abacus: no such device; known are auto, cpu, cuda, .*openvino:NPU"):
        model.load(file, device="abacus")
    if engines.PROVIDERS["cuda"] not in onnxruntime.get_available_providers():
        with pytest.raises(ModelError, match="cuda: this ONNX Runtime has no such device, only cpu"):
            model.load(file, device="cuda")


def test_a_device_of_openvino_that_is_not_there_is_an_error(tmp_path):
    core = engines._core(pytest.importorskip("openvino"))
    if any(name.startswith("NPU") for name in core.available_devices):
        pytest.skip("there is an NPU")
    with pytest.raises(ModelError, match="openvino:NPU: OpenVINO has no such device here, only .*CPU"):
        model.load(write_network(tmp_path / "n.onnx"), device="openvino:NPU")


def test_without_openvino_auto_is_onnx_runtime_and_asking_for_it_says_how_to_get_it(tmp_path, monkeypatch):
    file = write_network(tmp_path / "n.onnx")
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    network = model.load(file)
    assert (network.device, network.precision, network.notes) == ("cpu", "fp32", ())
    with pytest.raises(ModelError, match="OpenVINO cannot be loaded .* run pip install openvino, or use --device cpu"):
        model.load(file, device="openvino")


def test_what_openvino_refuses_runs_in_onnx_runtime_and_says_so():
    pytest.importorskip("openvino")
    bright = onnx.helper.make_tensor_value_info("bright", onnx.TensorProto.FLOAT, [1, 4, "h", "w"])
    rgb = onnx.helper.make_tensor_value_info("rgb", onnx.TensorProto.FLOAT, [1, 4])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Det", ["bright"], ["rgb"])], "odd", [bright], [rgb])
    network = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    with pytest.raises(ModelError, match="n.onnx: not a network OpenVINO can open .*Det-17.*; use --device cpu"):
        engines.open(network.SerializeToString(), "n.onnx", "openvino")
    engine, (note,) = engines.open(network.SerializeToString(), "n.onnx", "auto")
    assert engine.device == "cpu" and engine.run(np.ones((4, 8, 8), np.float32)).shape == (4,)
    assert note.startswith("ONNX Runtime runs it, for OpenVINO cannot (") and "\n" not in note


def test_auto_is_no_further_from_the_reference_than_the_eye_sees():
    file = model.find("fast-bayer")
    bright = np.random.default_rng(0).random((4, 96, 128), np.float32) * 0.5
    reference, network = model.load(file, device="cpu"), model.load(file)
    off = network.run(bright) - reference.run(bright)
    assert reference.precision == "fp32"
    assert -10 * np.log10(np.mean(off.astype(float) ** 2) + 1e-20) > 55


@pytest.mark.parametrize(("limit", "precision"), [("AVX512_CORE", "fp32"), ("AVX2", "fp32"), ("SSE41", "fp32")])
def test_bfloat16_is_left_alone_where_the_processor_would_emulate_it(tmp_path, limit, precision):
    pytest.importorskip("openvino")
    file = write_network(tmp_path / "n.onnx")
    load = f"model.load(Path({str(file)!r}), device='openvino')"
    program = f"from pathlib import Path; from darkroom.develop import model; print({load}.precision)"
    told = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"ONEDNN_MAX_CPU_ISA": limit}, capture_output=True, text=True
    )
    assert told.stdout.strip() == precision, told.stderr


def test_a_signal_is_heard_after_networks_came_and_went(tmp_path):
    """Of two cores the later would put the earlier one's stack for signals back, which is gone by then."""
    pytest.importorskip("openvino")
    file = write_network(tmp_path / "n.onnx")
    program = (
        "import os, signal; from pathlib import Path; from darkroom.develop import model;"
        f"file = Path({str(file)!r}); networks = [model.load(file, device='openvino') for _ in range(2)];"
        "del networks[0]; del networks[0]; signal.signal(signal.SIGINT, lambda *told: print('heard'));"
        "os.kill(os.getpid(), signal.SIGINT)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (told.returncode, told.stdout) == (0, "heard\n"), told.stderr


def test_no_engine_is_loaded_before_a_network_is_opened():
    program = (
        "import sys; from darkroom.develop import model, pipeline; model.read_contract(model.find('fast-bayer'));"
        "print({'onnxruntime', 'openvino'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(ModelError, match="nonsense: no such network; shipped are fast-bayer, fast-xtrans"):
        model.find("nonsense")


@pytest.mark.parametrize("cfa", ["bayer", "xtrans"])
def test_the_shipped_networks_are_whole_and_keep_their_contract(cfa):
    file = model.find(model.default(cfa))
    network = model.load(file, device="cpu")
    promise = network.contract
    assert model.verify(file) and promise.cfa == cfa and promise.name == file.stem
    size = 4 * promise.multiple
    flat = np.full((int(promise.packing[-1]), size, size), 0.2, np.float32)
    inner = network.run(flat)[:, 8:-8, 8:-8]
    assert np.abs(inner - 0.485).max() < 0.05  # 0.2 under the sRGB curve is 0.485: flat light stays flat and neutral


def test_a_changed_network_fails_its_checksum(tmp_path):
    copy = tmp_path / "fast-bayer.onnx"
    copy.write_bytes(model.find("fast-bayer").read_bytes() + b"\0")
    assert not model.verify(copy)


def ports(bright=(1, 4, "h", "w"), rgb=(1, 3, "H", "W"), *, kinds=(1, 1), names=("bright", "rgb"), more=False):
    """What a file with these ports says of itself."""
    inputs = {names[0]: Port(kinds[0], bright)} | ({"more": Port(1, (1,))} if more else {})
    return OnnxFile({}, inputs, {names[1]: Port(kinds[1], rgb), "beside": Port(7, (2,))}, frozenset())


@pytest.mark.parametrize(
    "said",
    [
        ports(),
        ports(("n", 4, "h", "w"), ("m", "c", "H", "W")),
        ports(("", 4, "", ""), ("", "", "", "")),
        ports(rgb=("n", 3, "h", "w")),
    ],
)
def test_names_may_stand_for_what_the_contract_fixes(said):
    model._check_ports(said, contract_for("bayer"), Path("n.onnx"))


@pytest.mark.parametrize(
    "said",
    [
        ports((0, 4, "h", "w")),
        ports((2, 4, "h", "w")),
        ports((1, 3, "h", "w")),
        ports((1, "c", "h", "w")),
        ports((1, 4, 64, "w")),
        ports((1, 4, "h", 64)),
        ports((4, "h", "w")),
        ports((1, 4, "h", "w", 1)),
        ports(rgb=(0, 3, "H", "W")),
        ports(rgb=(2, 3, "H", "W")),
        ports(rgb=(1, 4, "H", "W")),
        ports(rgb=(1, 3, 64, "W")),
        ports(rgb=(1, 3, "H", 64)),
        ports(rgb=(3, "H", "W")),
        ports(kinds=(10, 1)),
        ports(kinds=(1, 10)),
        ports(kinds=(10, 10)),
        ports(names=("dark", "rgb")),
        ports(names=("bright", "image")),
        ports(more=True),
    ],
)
def test_every_side_type_and_name_that_contradicts_is_refused(said):
    with pytest.raises(ModelError, match=r"^n.onnx: takes .* and gives .* says bright \(1, 4, h, w\) -> rgb \(1, 3, H"):
        model._check_ports(said, contract_for("bayer"), Path("n.onnx"))


def test_what_is_refused_is_shown_as_the_file_has_it():
    with pytest.raises(ModelError, match=r"takes nothing and gives rgb \(1, 3\) of type 10, its contract says"):
        model._check_ports(OnnxFile({}, {}, {"rgb": Port(10, (1, 3))}, frozenset()), contract_for("bayer"), Path("n"))


@pytest.mark.parametrize("wishes", [{}, {"device": "cpu", "threads": 3, "alone": False}])
def test_an_engine_is_opened_as_it_was_asked_for(tmp_path, monkeypatch, wishes):
    asked = []
    engine = SimpleNamespace(device="there", precision="fine", room=engines.Room(0.5, 1))

    def opened(data, file, device, **how):
        asked.append((data, file, device, how))
        return engine, ("one", "two")

    monkeypatch.setattr(engines, "open", opened)
    file = write_network(tmp_path / "n.onnx")
    network = model.load(file, **wishes)
    how = {"threads": 0, "alone": True} | {name: value for name, value in wishes.items() if name != "device"}
    assert asked == [(file.read_bytes(), str(file), wishes.get("device", "auto"), how)]
    assert network.notes == ("test: one", "test: two") and list(network.metadata) == ["darkroom"]
    assert (network.device, network.precision, network.pixel_bytes) == ("there", "fine", 50 + 48 + 56)


def test_networks_are_named_by_quality_and_sensor():
    assert model.default("xtrans") == "fast-xtrans" and model.default("bayer", "fine") == "fine-bayer"
    assert model.find("fine-bayer").name == "fine-bayer.onnx" and model.find("x/any.onnx") == Path("x/any.onnx")
    names = [file.stem for file in model.shipped()]
    assert names == sorted(names) and {"fast-bayer", "fast-xtrans", "fine-bayer", "fine-xtrans"} <= set(names)


def test_only_what_was_released_is_verified(tmp_path, monkeypatch):
    monkeypatch.setattr(model, "_folder", lambda: tmp_path)
    file = tmp_path / "n  x.onnx"
    file.write_bytes(b"network")
    assert not model.verify(file), "there is no list"
    (tmp_path / "SHA256SUMS").write_text(
        f"{'0' * 64}  other.onnx\n{hashlib.sha256(b'network').hexdigest()}  n  x.onnx\n"
    )
    assert model.verify(file)
    file.rename(tmp_path / "other.onnx")
    assert not model.verify(tmp_path / "other.onnx")
    (tmp_path / "strange.onnx").write_bytes(b"network")
    assert not model.verify(tmp_path / "strange.onnx")


@pytest.mark.parametrize("inside", [True, False])
def test_networks_lie_in_the_package_or_beside_it(tmp_path, monkeypatch, inside):
    monkeypatch.setattr(model, "__file__", str(tmp_path / "darkroom" / "develop" / "model.py"))
    if inside:
        (tmp_path / "darkroom" / "models").mkdir(parents=True)
    assert model._folder() == (tmp_path / "darkroom" / "models" if inside else tmp_path / "models")
