"""The whole path: every stage matters, every sensor gives a picture of the camera's own size, colour is the file's."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import rawpy
from conftest import colours
from darkened import PLAIN, dark, scene
from made import EVERY, MATRIX, arranged, contract_for, frame_of, joined, write_network
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

import darkroom
from darkroom.decode import raw
from darkroom.develop import amplifier, cfa, curves, model, pipeline, tiles
from darkroom.develop.contract import KEY, PLANES, Contract
from darkroom.develop.curves import FULL
from darkroom.develop.finish import Look
from darkroom.errors import ModelError, SettingsError
from darkroom.frame import Frame, Window


@pytest.mark.parametrize("kind", ["bayer", "xtrans"])
def test_a_dark_scene_comes_out_bright_and_in_its_colours(networks, write_dng, kind):
    light = scene(180, 240)
    path = write_dng("dark.dng", dark(light, 50, kind), cfa=kind, white_balance=(1, 1, 1))
    settings = replace(PLAIN, amp=amplifier.parse("50"))
    developed = pipeline.develop(path, networks[kind], settings)
    assert developed.picture.shape == light.shape and developed.picture.dtype == np.uint8
    wanted = rgb2lab(light ** (1 / 2.2))
    assert np.median(deltaE_ciede2000(rgb2lab(developed.picture / 255), wanted)) < 5


def test_the_four_phases_give_one_picture(networks, write_dng):
    light = scene(122, 162)
    pictures = []
    for phase in ((0, 0), (0, 1), (1, 0), (1, 1)):
        path = write_dng(f"{phase[0]}{phase[1]}.dng", dark(light, 2, phase=phase), phase=phase, white_balance=(1, 1, 1))
        settings = replace(PLAIN, amp=amplifier.parse("2"))
        pictures.append(pipeline.develop(path, networks["bayer"], settings).picture)
    for picture in pictures[1:]:
        assert picture.shape == light.shape
        assert np.abs(picture[4:-4, 4:-4].astype(int) - pictures[0][4:-4, 4:-4]).mean() < 2


@pytest.mark.parametrize(
    "change",
    [
        {"amp": amplifier.parse("5")},
        {"bracket": 0.5},
        {"white_balance": (2.0, 1.0, 1.0)},
        {"white_balance": "auto"},
        {"denoise": 0.3},
        {"look": Look(exposure=1.0)},
        {"look": Look(stretch=True)},
        {"look": Look(contrast=1.0)},
        {"look": Look(tone=1.0)},
    ],
)
def test_every_setting_changes_the_picture(networks, frame, change):
    plain = pipeline.expose(frame, networks["bayer"], PLAIN)
    assert (pipeline.expose(frame, networks["bayer"], replace(PLAIN, **change)).picture != plain.picture).any()


def test_every_fact_of_the_frame_matters(networks, frame):
    plain = pipeline.expose(frame, networks["bayer"], PLAIN).picture
    for change in (
        {"black": frame.black + 40},
        {"white": 12000.0},
        {"white_balance": np.array([1.5, 1, 2], np.float32)},
        {"camera_to_srgb": np.array([[1.5, -0.5, 0], [0, 1, 0], [0, -0.3, 1.3]], np.float32)},
        {"visible": Window(2, 2, 80, 100)},
        {"orientation": 6},
    ):
        other = pipeline.expose(replace(frame, **change), networks["bayer"], PLAIN).picture
        assert other.shape != plain.shape or (other != plain).any(), change


@pytest.mark.parametrize("kind", ["bayer", "xtrans"])
def test_tiles_of_the_shipped_networks_show_nowhere(networks, write_dng, kind):
    path = write_dng("dark.dng", dark(scene(600, 800), 50, kind), cfa=kind, white_balance=(1, 1, 1))
    frame, network = raw.read(path), networks[kind]
    size = cfa.packed_size(frame, network.contract)
    bright = partial(cfa.bright, frame, gains=np.ones(3), ratio=50, contract=network.contract)
    counts = []
    scale = network.contract.scale
    whole, tiled = (
        joined(
            tiles.run(
                network.run,
                bright,
                size=size,
                contract=network.contract,
                pixel_bytes=network.contract.pixel_bytes,
                memory=memory,
                on_tile=lambda done, _: counts.append(done),
            ),
            (size[0] * scale, size[1] * scale),
        )
        for memory in (10**9, 180 * 180 * network.contract.pixel_bytes)
    )
    assert counts.count(1) == 2 and len(counts) > 4
    assert np.abs(tiled - whole).max() <= 0.1 / 255 * FULL + 1


@pytest.mark.parametrize("device", ["cpu", "auto"])
@pytest.mark.parametrize("exponent", [0.5, -100.0], ids=["not a number", "infinity"])
def test_a_value_that_is_not_finite_is_an_error_on_every_engine(frame, tmp_path, device, exponent):
    network = onnx.load(write_network(tmp_path / "n.onnx"))
    network.graph.node[-1].output[0] = "shown"
    network.graph.initializer.append(numpy_helper.from_array(np.array(exponent, np.float32), "exponent"))
    network.graph.initializer.append(numpy_helper.from_array(np.array(-0.5, np.float32), "down"))
    network.graph.node.append(helper.make_node("Add" if exponent > 0 else "Mul", ["shown", "down"], ["shifted"]))
    network.graph.node.append(helper.make_node("Pow", ["shifted", "exponent"], ["rgb"]))
    onnx.save(network, tmp_path / "n.onnx")
    with pytest.raises(ModelError, match="test: gave a value that is not finite in tile 1 of 1"):
        pipeline.expose(frame, model.load(tmp_path / "n.onnx", device=device), PLAIN)


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_a_picture_is_the_same_under_any_memory_on_each_engine(write_dng, device):
    frame = raw.read(write_dng("dark.dng", dark(scene(600, 800), 50), white_balance=(1, 1, 1)))
    network, counts = model.load(model.find("fast-bayer"), device=device), []
    pictures = [
        pipeline.expose(frame, network, replace(PLAIN, memory=memory), lambda _, tiles: counts.append(tiles)).picture
        for memory in (10**9, pipeline.RESIDENT + 25_000_000)
    ]
    assert counts[0] == 1 and counts[-1] >= 4
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 1


def test_no_denoising_is_the_plain_demosaic(networks, frame):
    blended = pipeline.expose(frame, networks["bayer"], replace(PLAIN, denoise=0.0, bits=16)).picture
    contract = networks["bayer"].contract
    height, width = cfa.packed_size(frame, contract)
    bright = cfa.bright(frame, slice(0, height), slice(0, width), gains=np.ones(3), ratio=20, contract=contract)
    plain = cfa.demosaic(bright, "bayer4").clip(0, 1)[:, :120, :160]
    shown = np.where(plain <= 0.0031308, 12.92 * plain, 1.055 * np.maximum(plain, 1e-9) ** (1 / 2.4) - 0.055)
    assert np.abs(blended / 65535 - shown.transpose(1, 2, 0)).max() < 2e-4


def test_a_sensor_network_gets_sensor_light_and_keeps_its_colours(write_dng, tmp_path):
    promise = contract_for("bayer", input="sensor", output="srgb").to_json()
    network = model.load(write_network(tmp_path / "n.onnx", promise=promise), device="cpu")
    path = write_dng("dark.dng", dark(scene(64, 64), 20), white_balance=(2, 1, 1.5))
    developed = pipeline.develop(path, network, replace(PLAIN, bits=16))
    mosaic = raw.read(path).mosaic
    light = (mosaic[::2, ::2].astype(np.float32) - 512) / (16383 - 512) * 20
    assert np.abs(developed.picture[::2, ::2, 0] / 65535 - light.clip(0, 1)).max() < 1e-3
    assert (developed.picture[..., 0] == developed.picture[..., 1]).all()


def write_convolution(path: Path, promise: Contract, weights: np.ndarray | None = None) -> model.Model:
    """A network of one 3 x 3 convolution, random if not given, for any packing: it sees one packed pixel around."""
    channels, scale = PLANES[promise.packing], promise.scale
    if weights is None:
        weights = np.random.default_rng(0).normal(0, 0.5 / channels**0.5, (3 * scale**2, channels, 3, 3))
    nodes = [
        helper.make_node("Conv", ["bright", "weights"], ["planes"], pads=[1, 1, 1, 1]),
        helper.make_node("DepthToSpace", ["planes"], ["large"], blocksize=scale, mode="CRD"),
        helper.make_node("Clip", ["large", "low", "high"], ["rgb"]),
    ]
    constants = [
        numpy_helper.from_array(weights.astype(np.float32), "weights"),
        helper.make_tensor("low", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("high", TensorProto.FLOAT, [], [1.0]),
    ]
    bright = helper.make_tensor_value_info("bright", TensorProto.FLOAT, [1, channels, "h", "w"])
    rgb = helper.make_tensor_value_info("rgb", TensorProto.FLOAT, [1, 3, "H", "W"])
    graph = helper.make_graph(nodes, "convolution", [bright], [rgb], constants)
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    network.metadata_props.add(key=KEY, value=promise.to_json())
    onnx.save(network, path)
    return model.load(path, device="cpu")


@pytest.fixture(scope="module")
def coloured() -> dict[str, Frame]:
    """A dark frame of each CFA, of no even size, with a colour matrix and gains."""
    return {kind: _coloured(kind) for kind in ("bayer", "xtrans")}


def _coloured(kind: str) -> Frame:
    return replace(frame_of(dark(scene(133, 175), 20, kind), kind), camera_to_srgb=MATRIX)


@pytest.mark.parametrize("denoise", [1.0, 0.4])
@pytest.mark.parametrize(("kind", "layout"), EVERY)
def test_tiles_show_nowhere_in_any_layout(coloured, tmp_path, kind, layout, denoise):
    frame = coloured[kind]
    promise = arranged(kind, layout, multiple=2, halo=2)
    height, width = cfa.packed_size(frame, promise)
    settings = replace(PLAIN, bits=16, denoise=denoise)
    pictures, counts = [], []
    for memory in (10**6, 5 * pipeline.MEMORY):
        network = write_convolution(
            tmp_path / "n.onnx",
            replace(promise, pixel_bytes=memory // (height * width)),
        )
        pictures.append(pipeline.expose(frame, network, settings, lambda _, tiles: counts.append(tiles)).picture)
    assert counts[0] == 1 and counts[-1] >= 5
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 1
    assert np.ptp(pictures[0]) > 10000


@pytest.mark.parametrize(("kind", "layout"), EVERY)
def test_too_small_a_halo_seams_in_any_layout(coloured, tmp_path, kind, layout):
    promise = arranged(kind, layout, multiple=2, halo=0)
    height, width = cfa.packed_size(coloured[kind], promise)
    pictures = [
        pipeline.expose(
            coloured[kind],
            write_convolution(
                tmp_path / "n.onnx",
                replace(promise, pixel_bytes=memory // (height * width)),
            ),
            replace(PLAIN, bits=16),
        ).picture
        for memory in (10**6, 5 * pipeline.MEMORY)
    ]
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() > 0.1 / 255 * FULL


@pytest.mark.parametrize(("kind", "layout"), EVERY)
@pytest.mark.parametrize(
    "kinds", [("balanced", "camera"), ("balanced", "srgb"), ("sensor", "camera"), ("sensor", "srgb")]
)
def test_without_denoising_every_kind_of_network_gives_the_plain_picture(coloured, tmp_path, kind, layout, kinds):
    frame = coloured[kind]
    promise = arranged(kind, layout, multiple=2, halo=2)
    if layout != "srgb":
        promise = replace(promise, input=kinds[0], output=kinds[1])
    picture = pipeline.expose(
        frame, write_convolution(tmp_path / "n.onnx", promise), replace(PLAIN, denoise=0.0, bits=16)
    ).picture / np.float32(65535)
    light = (frame.mosaic - np.float32(512)) / (16383 - 512) * 20 * frame.white_balance[colours((133, 175), kind)]
    light = np.pad(light, ((0, 5), (0, 5)))  # to whole cells of either kind
    plain = cfa.developed(np.minimum(light, 1), kind, MATRIX).transpose(1, 2, 0)
    bright = plain[6:120, 6:160] > 0.2  # in the dark, noise that is cut at 0 before the matrix makes a difference
    assert bright.mean() > 0.5
    assert np.abs(picture[6:120, 6:160] - plain[6:120, 6:160])[bright].max() < 2e-3


def test_a_picture_network_serves_every_sensor_and_its_colours_are_final(coloured, tmp_path):
    promise = arranged("bayer", "srgb", multiple=2, halo=2)
    same = np.zeros((3, 3, 3, 3))
    same[range(3), range(3), 1, 1] = 1
    network = write_convolution(tmp_path / "n.onnx", promise, same)
    for frame in coloured.values():
        picture = pipeline.expose(frame, network, replace(PLAIN, bits=16)).picture / 65535
        seen = cfa.bright(frame, slice(0, 133), slice(0, 175), gains=frame.white_balance, ratio=20, contract=promise)
        assert np.abs(picture - seen.transpose(1, 2, 0)).max() < 1e-4


def lamp(frame: Frame) -> Frame:
    """The same scene with an orange lamp, at a ratio of 20 six times as bright as white."""
    mosaic = frame.mosaic.copy()
    for row, column, light in ((0, 0, 6.0), (0, 1, 2.4), (1, 0, 2.4), (1, 1, 0.6)):
        mosaic[40 + row : 60 : 2, 40 + column : 60 : 2] = 512 + light / 20 * (16383 - 512)
    return replace(frame, mosaic=mosaic, white_balance=np.ones(3, np.float32))


def test_highlights_are_cut_for_a_stated_ratio_and_bent_for_auto(networks, frame, monkeypatch):
    monkeypatch.setattr(amplifier, "ratio", lambda *_: 20.0)
    auto, network = replace(PLAIN, amp=amplifier.parse("auto"), bits=16, denoise=0.0), networks["bayer"]
    lit = lamp(frame)
    cut = pipeline.expose(lit, network, replace(PLAIN, bits=16, denoise=0.0))
    bent = pipeline.expose(lit, network, auto)
    assert (cut.picture[44:56, 44:56, :2] == 65535).all() and cut.clipped > 0.01
    red, green, blue = bent.picture[44:56, 44:56].mean(axis=(0, 1)) / 65535
    assert 0.9 < red <= 1 and 0.5 < green < 0.8 and 0.1 < blue < 0.45
    assert bent.clipped < cut.clipped and bent.ratio == cut.ratio
    clip = pipeline.expose(lit, network, replace(auto, look=Look(highlights="clip")))
    assert np.array_equal(clip.picture, cut.picture)
    calm = replace(frame, mosaic=np.minimum(frame.mosaic, 600))
    assert np.array_equal(
        pipeline.expose(calm, network, auto).picture,
        pipeline.expose(calm, network, replace(auto, look=Look(highlights="clip"))).picture,
    ), "what clips nothing is left as it is"


def test_headroom_never_shows_the_colour_of_saturated_sites(networks, frame):
    saturated = replace(frame, mosaic=frame.mosaic.copy(), white_balance=np.array([2, 1, 1.5], np.float32))
    saturated.mosaic[40:60, 40:60] = 16383
    for amp in ("1", "3", "20"):
        settings = replace(PLAIN, amp=amplifier.parse(amp), look=Look(highlights="roll"), bits=16, denoise=0.0)
        lamp = pipeline.expose(saturated, networks["bayer"], settings).picture[44:56, 44:56]
        assert np.ptp(lamp.mean(axis=(0, 1))) < 700


def test_32_bits_are_linear_light_beyond_white(networks, frame):
    lit = lamp(frame)
    settings = replace(PLAIN, bits=32, denoise=0.0)
    picture = pipeline.expose(lit, networks["bayer"], settings).picture
    assert picture.dtype == np.float32
    assert picture[44:56, 44:56].mean(axis=(0, 1)) == pytest.approx([6, 2.4, 0.6], rel=0.1)
    usual = pipeline.expose(lit, networks["bayer"], replace(settings, bits=16)).picture / 65535
    dim = (picture.max(axis=2) < 0.9) & (picture.min(axis=2) > 0.01)
    dim[36:64, 36:64] = False  # at the lamp's rim the plain demosaic mixes light that 16 bits have cut
    assert np.abs(curves.linear_to_srgb(picture) - usual)[dim].max() < 0.01


def test_a_network_for_another_sensor_is_refused(networks, frame):
    with pytest.raises(SettingsError, match="fast-xtrans: is for xtrans sensors, .* has bayer; leave --model out"):
        pipeline.expose(frame, networks["xtrans"], PLAIN)


def test_notes_tell_what_was_assumed_and_what_is_risky(networks, frame):
    bare = replace(frame, white_balance=None, daylight=None)
    assert any("no camera white balance" in n for n in pipeline.expose(bare, networks["bayer"], PLAIN).notes)
    strong = pipeline.expose(frame, networks["bayer"], replace(PLAIN, amp=amplifier.parse("900")))
    assert any("beyond the 300" in note for note in strong.notes)
    assert any("are clipped at ratio 900" in note for note in strong.notes) and strong.clipped > 0.05
    assert pipeline.expose(frame, networks["bayer"], PLAIN).notes == frame.notes


def test_too_little_memory_says_how_much_more(networks, frame):
    with pytest.raises(SettingsError, match="raise --memory"):
        pipeline.expose(frame, networks["bayer"], replace(PLAIN, memory=50_000_000))


def test_python_gives_what_the_command_does(networks, write_dng):
    path = write_dng("dark.dng", dark(scene(64, 96), 20), white_balance=(1, 1, 1))
    assert (
        darkroom.develop(path, amp=20, bits=8, device="cpu") == pipeline.develop(path, networks["bayer"], PLAIN).picture
    ).all()


GOOD = ["blackmagic_pocket4k.dng", "canon_kiss_x4_colorchart.dng", "nikon_d1.nef", "kodak_dc50.kdc"]
UNCALIBRATED = "kodak_dc50.kdc"
"""LibRaw develops it by a matrix of its own that it does not tell."""
GOOD += [f"phase_{phase}.dng" for phase in ("rggb", "grbg", "gbrg", "bggr")]


@pytest.mark.parametrize("name", GOOD)
def test_a_real_file_has_the_size_and_colour_libraw_gives_it(networks, shared_raw, name):
    with rawpy.imread(str(shared_raw / "good" / name)) as file:
        theirs = file.postprocess(
            use_camera_wb=True, no_auto_bright=True, gamma=(2.4, 12.92), output_bps=8, adjust_maximum_thr=0
        )
    frame = raw.read(shared_raw / "good" / name)
    ours = pipeline.expose(frame, networks[frame.cfa], replace(PLAIN, amp=amplifier.parse("1"))).picture
    if (ours.shape[0], ours.shape[1]) != theirs.shape[:2]:  # LibRaw shows more than a DNG asks for
        assert name == "blackmagic_pocket4k.dng"
        theirs = theirs[8 : 8 + 2160, 16 : 16 + 4096]
    assert ours.shape == theirs.shape
    small = [
        rgb2lab(np.asarray(Image.fromarray(p).resize((p.shape[1] // 8, p.shape[0] // 8), Image.Resampling.BOX)) / 255)
        for p in (ours, theirs)
    ]
    assert (
        name == UNCALIBRATED or deltaE_ciede2000(*small).mean() <= 2
    )  # the most: 1.9, a chart photographed in the dark


def test_hot_sites_are_filled_in_and_counted_unless_told_off(networks, write_dng):
    mosaic = dark(scene(120, 160), 20)
    mosaic[60, 81] += 2000
    frame = raw.read(write_dng("hot.dng", mosaic, white_balance=(1, 1, 1)))
    mended, left = (
        pipeline.expose(frame, networks["bayer"], replace(PLAIN, hot_sites=hot_sites)) for hot_sites in ("auto", "off")
    )
    assert "1 hot or dead site filled in" in mended.notes and not any("hot" in note for note in left.notes)
    assert np.abs(mended.picture.astype(int) - left.picture)[58:63, 79:84].max() > 20


@pytest.mark.parametrize(("share", "warned"), [(0.06, True), (0.04, False)])
def test_clipping_is_told_from_one_site_in_twenty(networks, frame, monkeypatch, share, warned):
    monkeypatch.setattr(amplifier, "clipped", lambda *_: share)
    notes = pipeline.expose(frame, networks["bayer"], PLAIN).notes
    assert any("of the sites are clipped" in note for note in notes) == warned
