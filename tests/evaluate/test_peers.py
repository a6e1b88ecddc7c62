"""Networks from mosaic to mosaic: what they are given comes back where it came from, and goes through LibRaw."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from made import draw_photos, frame_of, write_network
from onnx import TensorProto, helper

from darkroom.errors import SettingsError
from darkroom.evaluate import metrics, peers, simulated, systems
from darkroom.evaluate.peers import Noise


def write_scaling(path: Path, factor: float = 1.0, *, pool: int = 1, normalisation: str = "", planes: int = 4) -> Path:
    """A raw-to-raw network that averages over `pool` x `pool` packed pixels and multiplies."""
    nodes = [
        helper.make_node("AveragePool", ["x"], ["calm"], kernel_shape=[pool, pool], pads=[pool // 2] * 4),
        helper.make_node("Mul", ["calm", "factor"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, planes, "h", "w"]) for name in ("x", "y")]
    graph = helper.make_graph(
        nodes, "scaling", ends[:1], ends[1:], [helper.make_tensor("factor", TensorProto.FLOAT, [], [factor])]
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if normalisation:
        network.metadata_props.add(key=peers.KEY, value=normalisation)
    onnx.save(network, path)
    return path


def frame_in_tones(height: int = 70, width: int = 90):
    return frame_of(np.random.default_rng(0).integers(400, 3000, (height, width)).astype(np.uint16), "bayer")


@pytest.mark.parametrize("normalisation", ["light", "k-sigma"])
@pytest.mark.parametrize("size", [(70, 90), (71, 91)])
def test_a_network_that_changes_nothing_returns_the_mosaic(tmp_path, normalisation, size):
    peer = peers.load(write_scaling(tmp_path / "p.onnx"), normalisation)
    frame = frame_in_tones(*size)
    found = peers.denoise(peer, frame, 100.0, Noise(0.8, 3.0), clip=False).mosaic
    assert found == pytest.approx(frame.mosaic.astype(float), abs=0.05)
    clipped = peers.denoise(peer, frame, 100.0, Noise(0.8, 3.0), clip=True).mosaic
    assert clipped == pytest.approx(np.maximum(frame.mosaic, 512).astype(float), abs=0.05)


def test_planes_come_in_raster_order_and_amplified(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        peers.Foreign, "run", lambda self, inputs: [seen.append(inputs["x"]) or inputs["x"]], raising=True
    )
    mosaic = np.tile(np.array([[512 + 10, 512 + 20], [512 + 30, 512 + 40]], np.uint16), (16, 16))
    peer = peers.load(write_scaling(tmp_path / "p.onnx"), "light")
    peers.denoise(peer, frame_of(mosaic, "bayer"), 50.0, Noise(0, 0), clip=False)
    assert seen[0].shape == (1, 4, 32, 32), "filled up to a multiple of 32"
    assert seen[0][0, :, 0, 0] == pytest.approx(50 * np.array([10, 20, 30, 40]) / (16383 - 512))


def test_k_sigma_makes_sensors_alike_in_noise(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(peers.Foreign, "run", lambda self, inputs: [seen.append(inputs["x"]) or inputs["x"]])
    rng, peer, spreads = np.random.default_rng(0), peers.load(write_scaling(tmp_path / "p.onnx"), "k-sigma"), []
    for gain, read in ((0.5, 2.0), (4.0, 9.0)):
        level = 800.0
        dn = 512 + rng.poisson(level / gain, (256, 256)) * gain + read * rng.standard_normal((256, 256))
        peers.denoise(peer, frame_of(np.rint(dn).astype(np.uint16), "bayer"), 1.0, Noise(gain, read), clip=False)
        x = seen[-1] / peers.GAIN * peers.FULL
        spreads.append(x.var() / (peers.ANCHOR_K * x.mean() + peers.ANCHOR_S))
    assert spreads == pytest.approx([1, 1], rel=0.03), "variance K x + S of the anchor's ISO"


def test_a_peer_is_a_system_like_others(tmp_path):
    dark = simulated.plan(draw_photos(tmp_path / "photos"), ratios=[100.0])[0]
    case = simulated.case(dark, again=True)
    loaded = {
        name: peers.load(write_scaling(tmp_path / f"{name}.onnx", pool=pool, normalisation="k-sigma"), None)
        for name, pool in (("none", 1), ("smooth", 5))
    }
    plan = systems.Plan({}, ("libraw",), peers=loaded)
    made = systems.develop(case, plan)
    assert list(made) == ["libraw", "none", "smooth"] and systems.shown(plan) == set(made)
    assert made["none"].picture == pytest.approx(made["libraw"].picture, abs=2e-3) or made["none"].chosen == "clipped"
    psnr = {name: metrics.psnr(each.picture, case.reference) for name, each in made.items()}
    assert psnr["smooth"] > psnr["libraw"] + 3 and psnr["none"] >= psnr["libraw"] - 0.01
    assert set(systems.develop_again(case, plan)) == set(made)
    unknown = replace(case, gain=0.0)
    with pytest.raises(SettingsError, match="k-sigma needs the sensor's noise; give --noise K,SD"):
        systems.develop(unknown, plan)
    assert systems.develop(unknown, replace(plan, noise=Noise(0.8, 3.0)))


def test_the_simulated_read_noise_is_what_a_dark_frame_shows(tmp_path):
    for camera in ("sonya7s2", "nikond850", "canon5d4"):
        (dark,) = simulated.plan(draw_photos(tmp_path / camera), ratios=[300.0], cameras=[camera])[:1]
        black = np.zeros((1200, 900, 3), np.uint8)
        case = simulated.recorded(dark, black)
        assert case.read == pytest.approx(case.frame.mosaic.std(), rel=0.06)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--peer", "p.onnx"), "p.onnx: names no normalisation; give --normalisation light or k-sigma"),
        (("--peer", "p.onnx", "--normalisation", "log"), "p.onnx: normalisation log is unknown; give --normalisation"),
        (("--peer", "rgb.onnx"), "rgb.onnx: takes bright [1, 4, 'h', 'w'] and gives rgb [1, 3, 'H', 'W']; a network"),
        (("--peer", "a.png"), "a.png: is not an ONNX network"),
        (("--peer", "missing.onnx"), "missing.onnx: no such file or directory; give the path of an .onnx file"),
        (("--normalisation", "light", "fast-bayer"), "--normalisation: is for --peer only"),
        (("--peer", "p.onnx", "--normalisation", "light", "--noise", "3"), "--noise 3: is no gain and read noise"),
        (
            ("--peer", "p.onnx", "--normalisation", "light", "--cfa", "xtrans"),
            "denoises Bayer mosaics only, this is xtr",
        ),
    ],
)
def test_what_cannot_be_a_peer_is_one_line(run, tmp_path, monkeypatch, words, complaint):
    monkeypatch.chdir(tmp_path)
    draw_photos(tmp_path / "photos")
    write_scaling(tmp_path / "p.onnx")
    write_network(tmp_path / "rgb.onnx")
    (tmp_path / "a.png").write_bytes(b"no network")
    code, out, err = run("evaluate", "--simulate", "photos", "--ratios", "100", *words)
    assert code == 2 and not out and complaint in err and err.count("\n") == 1


def test_the_published_peer_beats_plain_amplification(run, tmp_path, monkeypatch):
    pmrid = Path(__file__).parents[2].parent / "shared" / "peers" / "pmrid.onnx"
    if not pmrid.exists():
        pytest.skip("no ../shared/peers beside the checkout")
    dark = simulated.plan(draw_photos(tmp_path / "photos"), ratios=[100.0])[0]
    case = simulated.case(dark)
    made = systems.develop(case, systems.Plan({}, ("libraw",), peers={"p": peers.load(pmrid, "k-sigma")}))
    psnr = {name: metrics.psnr(each.picture, case.reference) for name, each in made.items()}
    assert psnr["p"] > psnr["libraw"] + 3
