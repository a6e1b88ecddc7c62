"""Opening network files: ours run, everything else is refused in one line."""

import numpy as np
import onnx
import pytest
from made import write_network

from darkroom.develop import model
from darkroom.errors import ModelError


def test_a_network_runs(tmp_path):
    network = model.load(write_network(tmp_path / "n.onnx"), device="cpu")
    bright = np.random.default_rng(0).random((4, 8, 12), np.float32)
    rgb = network.run(bright)
    assert rgb.shape == (3, 16, 24) and network.device == "cpu"
    assert (rgb[:, ::2, ::2] == bright[0]).all()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"promise": None}, "carries no contract; export it with `darkroom train`"),
        ({"promise": "{}"}, "missing or unknown"),
        ({"channels": 9}, "its contract says bright \\(1, 4, h, w\\)"),
    ],
)
def test_a_network_that_breaks_its_word_is_refused(tmp_path, change, complaint):
    with pytest.raises(ModelError, match=complaint) as refusal:
        model.load(write_network(tmp_path / "n.onnx", **change))
    assert str(refusal.value).startswith(str(tmp_path / "n.onnx")) and "\n" not in str(refusal.value)


def test_what_is_not_onnx_is_refused(tmp_path):
    (tmp_path / "n.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelError, match="not a network ONNX Runtime can open"):
        model.load(tmp_path / "n.onnx")
    with pytest.raises(ModelError, match="no such file"):
        model.load(tmp_path / "missing.onnx")


def test_data_in_other_files_is_refused(tmp_path):
    network = onnx.load(write_network(tmp_path / "n.onnx"))
    secret = onnx.numpy_helper.from_array(np.zeros(4096, np.float32), "secret")
    network.graph.initializer.append(secret)
    onnx.save(network, tmp_path / "n.onnx", save_as_external_data=True, location="weights.bin", size_threshold=100)
    with pytest.raises(ModelError, match="refers to data in another file"):
        model.load(tmp_path / "n.onnx")


def test_a_device_that_is_not_there_is_an_error(tmp_path):
    file = write_network(tmp_path / "n.onnx")
    with pytest.raises(ModelError, match="abacus: no such device"):
        model.load(file, device="abacus")
    if model.PROVIDERS["cuda"] not in model.onnxruntime.get_available_providers():
        with pytest.raises(ModelError, match="cuda: this ONNX Runtime has no such device, only cpu"):
            model.load(file, device="cuda")


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
