"""Which engine opens a network, how it is set up, and what is told where it cannot be: with engines made of paper."""

import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from made import contract_for

from darkroom.develop import engines
from darkroom.errors import ModelError


@pytest.mark.parametrize(
    ("engine", "wanted"), [("onnxruntime", 1050 + 56), ("bf16", 340 + 3 * 48 + 56), ("fp32", 1050)]
)
def test_room_is_a_share_of_the_tensors_and_pictures_beside_them(engine, wanted):
    assert engines.ROOM[engine].pixel_bytes(contract_for("bayer", pixel_bytes=1000)) == wanted


def test_room_for_pictures_grows_with_their_scale():
    assert engines.Room(0.5, 3).pixel_bytes(contract_for("xtrans", pixel_bytes=102)) == 51 + 3 * 12 * 9 + 6 * 9 + 8 * 9


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("one\ntwo", "one"),
        ("\n  \n  spaced  \n", "spaced"),
        ("Exception from src/a.cpp:7:\nCheck 'ok' failed\nit is odd", "it is odd"),
        ("Exception from src/a.cpp:7:\ntelling\n-- the reason\n-- another", "the reason"),
        ("Check 'ok' failed", "Check 'ok' failed"),
        ("", "RuntimeError"),
    ],
)
def test_the_line_that_says_most_is_told(message, line):
    assert engines._first_line(RuntimeError(message)) == line


def test_how_to_get_onnx_runtime_for_a_device():
    for device in ("cuda", "directml"):
        assert engines._build(device) == f'run pip install "darkroom-raw[{device}]"'
    assert engines._build("coreml") == "install its build for coreml"


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("driver", [True, False])
def test_cuda_is_there_where_its_build_and_a_driver_are(tmp_path, monkeypatch, built, driver):
    (tmp_path / "capi").mkdir()
    if built:
        (tmp_path / "capi" / "libonnxruntime_providers_cuda.so").touch()
    places = SimpleNamespace(submodule_search_locations=[str(tmp_path / "none"), str(tmp_path)])
    monkeypatch.setattr(engines, "find_spec", lambda name: places)
    have = ["CPUExecutionProvider"] + ["CUDAExecutionProvider"] * driver
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: have)
    assert engines._has_cuda() == (built and driver)


def test_without_onnx_runtime_there_is_no_cuda(monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    assert not engines._has_cuda()


# --- which engine ---


@pytest.fixture
def opened(monkeypatch):
    """What was asked of either engine, in order; `opened.failing` holds what OpenVINO raises."""
    asked = SimpleNamespace(calls=[], failing=None)

    def vino(data, device, threads):
        asked.calls.append(("vino", data, device, threads))
        if asked.failing:
            raise asked.failing
        return "vino"

    def runtime(data, device, threads, alone):
        asked.calls.append(("runtime", data, device, threads, alone))
        return "runtime"

    monkeypatch.setattr(engines, "_openvino", vino)
    monkeypatch.setattr(engines, "_onnxruntime", runtime)
    monkeypatch.setattr(engines, "_has_cuda", lambda: False)
    monkeypatch.setattr(engines, "find_spec", lambda name: name == "openvino")
    return asked


def test_auto_takes_cuda_before_openvino_before_the_cpu(opened, monkeypatch):
    assert engines.open(b"n", "n.onnx", "auto", threads=3) == ("vino", ())
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    assert engines.open(b"n", "n.onnx", "auto", threads=3, alone=False) == ("runtime", ())
    monkeypatch.setattr(engines, "_has_cuda", lambda: True)
    assert engines.open(b"n", "n.onnx", "auto") == ("runtime", ())
    assert opened.calls == [
        ("vino", b"n", "openvino", 3),
        ("runtime", b"n", "cpu", 3, False),
        ("runtime", b"n", "cuda", 0, True),
    ]


@pytest.mark.parametrize("device", ["cpu", "cuda", "openvino", "openvino:GPU"])
def test_a_device_that_was_named_is_taken_whatever_else_there_is(opened, monkeypatch, device):
    monkeypatch.setattr(engines, "_has_cuda", lambda: True)
    engines.open(b"n", "n.onnx", device)
    ((engine, _, taken, *_),) = opened.calls
    assert (engine, taken) == ("vino" if device.startswith("openvino") else "runtime", device)


def test_what_openvino_cannot_do_auto_has_done_by_onnx_runtime(opened):
    opened.failing = engines._Refusal("odd")
    assert engines.open(b"n", "n.onnx", "auto") == ("runtime", ("ONNX Runtime runs it, for OpenVINO cannot (odd)",))
    opened.failing = ModelError("openvino: none")
    assert engines.open(b"n", "n.onnx", "auto") == ("runtime", ("ONNX Runtime runs it: openvino: none",))
    assert [call[2] for call in opened.calls] == ["openvino", "cpu"] * 2
    with pytest.raises(ModelError, match="^openvino: none$"):
        engines.open(b"n", "n.onnx", "openvino")
    opened.failing = engines._Refusal("odd")
    with pytest.raises(ModelError, match=r"^n.onnx: not a network OpenVINO can open \(odd\); use --device cpu$"):
        engines.open(b"n", "n.onnx", "openvino:GPU")


# --- ONNX Runtime ---


@pytest.fixture
def session(monkeypatch):
    """`session(got)`: have the next session of ONNX Runtime say what it got; holds what it was made with."""
    made = SimpleNamespace()

    def make(data, options, providers):
        made.data, made.options, made.providers = data, options, providers
        return SimpleNamespace(get_providers=lambda: made.got)

    def says(*got: str, there: tuple[str, ...] = tuple(engines.PROVIDERS.values())) -> SimpleNamespace:
        made.got = list(got)
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(there))
        monkeypatch.setattr(onnxruntime, "InferenceSession", make)
        return made

    return says


@pytest.mark.parametrize(("alone", "spins"), [(True, "1"), (False, "0")])
def test_onnx_runtime_spins_only_where_nothing_else_computes(session, alone, spins):
    made = session("CPUExecutionProvider")
    engine = engines._onnxruntime(b"n", "cpu", 3, alone)
    assert made.options.get_session_config_entry("session.intra_op.allow_spinning") == spins
    assert made.options.intra_op_num_threads == 3 and not made.options.enable_mem_pattern
    assert made.options.log_severity_level == 4 and made.providers == ["CPUExecutionProvider"] and made.data == b"n"
    assert (engine.device, engine.precision, engine.room) == ("cpu", "fp32", engines.ROOM["onnxruntime"])


def test_other_devices_leave_the_cpu_what_they_cannot_do(session):
    made = session("CUDAExecutionProvider", "CPUExecutionProvider")
    assert engines._onnxruntime(b"n", "cuda", 0, True).device == "cuda"
    assert made.providers == ["CUDAExecutionProvider", "CPUExecutionProvider"]


def test_a_device_that_onnx_runtime_did_not_get_is_an_error(session):
    session("CPUExecutionProvider")
    with pytest.raises(
        ModelError, match="^cuda: ONNX Runtime gave CPUExecutionProvider; see that the driver works, or"
    ):
        engines._onnxruntime(b"n", "cuda", 0, True)


def test_a_device_that_onnx_runtime_lacks_is_told_with_those_it_has(session):
    session(there=("CoreMLExecutionProvider", "CPUExecutionProvider", "Azure"))
    with pytest.raises(
        ModelError, match="^rocm: this ONNX Runtime has no such device, only cpu, coreml; install its b"
    ):
        engines._onnxruntime(b"n", "rocm", 0, True)


def test_what_onnx_runtime_refuses_names_the_file():
    with pytest.raises(
        ModelError, match="^n.onnx: not a network ONNX Runtime can open .*; export it again$"
    ) as refusal:
        engines.open(b"no network", "n.onnx", "cpu")
    assert "\n" not in str(refusal.value)


def test_memory_is_given_back_after_each_run():
    given = engines._shrinking().get_run_config_entry("memory.enable_memory_arena_shrinkage")
    assert given == "cpu:0" and engines._shrinking() is engines._shrinking()


# --- OpenVINO ---


@dataclass(eq=False)
class Paper:
    """A core of OpenVINO that compiles everything."""

    available_devices: tuple[str, ...] = ("CPU", "GPU.0", "GPU.1")
    precision: str = "f32"
    capabilities: tuple[str, ...] = ("FP32", "BF16")
    kernels: tuple[str, ...] = ()
    settings: list = field(default_factory=list)

    def read_model(self, data):
        return data

    def compile_model(self, network, device, settings):
        self.settings.append((device, settings))
        layers = [SimpleNamespace(get_rt_info=lambda name=name: self._told(name)) for name in self.kernels]
        return SimpleNamespace(
            get_property=lambda name: SimpleNamespace(to_string=lambda: self.precision),
            create_infer_request=lambda: "request",
            get_runtime_model=lambda: SimpleNamespace(get_ops=lambda: layers),
        )

    def get_property(self, device, name):
        return self.capabilities

    def _told(self, name):
        return {"primitiveType": SimpleNamespace(astype=lambda kind: name)}


@pytest.fixture
def core(monkeypatch):
    """`core(...)`: a Paper in OpenVINO's place."""

    def stands(*, bf16: bool = False, **facts) -> Paper:
        paper = Paper(**facts)
        monkeypatch.setattr(engines, "_import_openvino", lambda: None)
        monkeypatch.setattr(engines, "_core", lambda library: paper)
        monkeypatch.setattr(engines, "_has_bf16", lambda core: bf16)
        return paper

    return stands


@pytest.mark.parametrize(("bf16", "hint"), [(True, "bf16"), (False, "f32")])
def test_openvino_on_the_cpu_computes_in_bfloat16_only_where_it_pays(core, bf16, hint):
    paper = core(bf16=bf16, precision=hint)
    engine = engines._openvino(b"n", "openvino", 0)
    assert paper.settings == [("CPU", {"INFERENCE_PRECISION_HINT": hint, "ENABLE_CPU_PINNING": False})]
    assert (engine.device, engine.request) == ("openvino", "request")
    assert engine.precision == ("bf16" if bf16 else "fp32") and engine.room == engines.ROOM[engine.precision]


def test_threads_are_told_where_they_were_given(core):
    paper = core()
    engines._openvino(b"n", "openvino", 3)
    assert paper.settings[0][1]["INFERENCE_NUM_THREADS"] == 3


@pytest.mark.parametrize(("precision", "told"), [("f16", "fp16"), ("bf16", "bf16"), ("strange", "strange")])
def test_other_devices_of_openvino_choose_their_precision(core, precision, told):
    paper = core(bf16=True, precision=precision)
    engine = engines._openvino(b"n", "openvino:GPU", 0)
    assert paper.settings == [("GPU", {})]
    assert engine.precision == told and engine.room == engines.ROOM["bf16" if told == "bf16" else "fp32"]


def test_a_device_that_openvino_lacks_is_told_with_those_it_has(core):
    core()
    with pytest.raises(
        ModelError, match="^openvino:NPU: OpenVINO has no such device here, only CPU, GPU, GPU; install"
    ):
        engines._openvino(b"n", "openvino:NPU", 0)


@pytest.mark.parametrize(
    ("kernels", "amd", "told"),
    [
        (("brgconv_avx512_core_amx_bf16",), False, True),
        (("reorder_f32", "brgconv_avx512_bf16"), True, True),
        (("reorder_f32", "brgconv_avx512_bf16"), False, False),
        (("brgconv_avx512_f32",), True, False),
        (("jit_avx512_core_bf16",), True, False),
        (("jit_avx512_core_amx_bf16",), True, False),
        ((), True, False),
    ],
)
def test_bfloat16_pays_where_brgconv_runs_it_by_amx_or_on_an_amd(monkeypatch, kernels, amd, told):
    pytest.importorskip("openvino")
    monkeypatch.setattr(engines.processor, "is_amd", lambda: amd)
    paper = Paper(kernels=kernels)
    assert engines._has_bf16(paper) is told
    assert paper.settings == [("CPU", {"INFERENCE_PRECISION_HINT": "bf16"})]


def test_bfloat16_that_is_not_even_listed_is_not_tried():
    paper = Paper(kernels=("brgconv_avx512_bf16",), capabilities=("FP32",))
    assert engines._has_bf16(paper) is False and paper.settings == []


@pytest.mark.parametrize("error", [RuntimeError, KeyError])
def test_bfloat16_that_does_not_compile_is_none(monkeypatch, error):
    pytest.importorskip("openvino")

    def refuse(*_):
        raise error("no AVX-512")

    paper = Paper()
    monkeypatch.setattr(paper, "compile_model", refuse)
    assert engines._has_bf16(paper) is False


@pytest.mark.parametrize("there", [True, False])
def test_openvinos_converter_is_kept_out_only_while_it_is_imported(monkeypatch, there):
    name, own, seen = "openvino.tools.ovc", ModuleType("ovc"), []
    monkeypatch.delitem(sys.modules, name, raising=False)
    if there:
        monkeypatch.setitem(sys.modules, name, own)
    monkeypatch.setattr(engines, "import_module", lambda wanted: seen.append((wanted, sys.modules.get(name, "none"))))
    engines._import_openvino()
    assert seen == [("openvino", own if there else None)]
    assert sys.modules.get(name) is (own if there else None) and (name in sys.modules) == there


def test_a_run_of_openvino_gives_the_one_picture_and_tells_errors_in_a_line():
    def infer(given, share_inputs, share_outputs):
        assert share_inputs is True and share_outputs is True
        if given["bright"].max() > 1:
            raise RuntimeError("Exception from x\nCheck 'y'\ntoo bright")
        return {"rgb": given["bright"][:, :3] + 1}

    engine = engines.OpenVino("openvino", "fp32", SimpleNamespace(infer=infer), engines.ROOM["fp32"])
    assert engine.run(np.zeros((4, 2, 2), np.float32)).tolist() == np.ones((3, 2, 2)).tolist()
    with pytest.raises(RuntimeError, match="^too bright$"):
        engine.run(np.full((4, 2, 2), 2, np.float32))
