"""The whole path: every stage matters, every sensor gives a picture of the camera's own size, colour is the file's."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import rawpy
from conftest import colours
from made import EVERY, FULL, MATRIX, arranged, contract_for, frame_of, joined, write_network
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

import darkroom
from darkroom.decode import raw
from darkroom.develop import amplifier, cfa, curves, grain, model, pipeline, tiles
from darkroom.develop.contract import KEY, PLANES, Contract
from darkroom.develop.developed import Course
from darkroom.develop.finish import Look
from darkroom.develop.size import Size
from darkroom.errors import ModelError, SettingsError
from darkroom.frame import Frame, Sources, Window

PLAIN = pipeline.Settings(amp=amplifier.parse("20"))


def scene(height: int, width: int) -> np.ndarray:
    """(H, W, 3) light: smooth colours, brightest at the top left."""
    coarse = np.random.default_rng(0).integers(20, 235, (6, 8, 3), np.uint8) // 3 + np.uint8(85)  # natural colours
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return (np.asarray(smooth, np.float32) / 255) ** 2.2


def dark(light: np.ndarray, ratio: float, kind: str = "bayer", phase=(0, 0)) -> np.ndarray:
    mosaic = np.take_along_axis(light, colours(light.shape[:2], kind, phase)[..., None].astype(int), 2)[..., 0]
    noise = np.random.default_rng(1).normal(0, 1, mosaic.shape)
    return np.rint(mosaic / ratio * (16383 - 512) + 512 + noise).clip(0, 16383).astype(np.uint16)


@pytest.fixture(scope="module")
def networks() -> dict[str, model.Model]:
    return {kind: model.load(model.find(model.default(kind)), device="cpu") for kind in ("bayer", "xtrans")}


@pytest.fixture
def frame(write_dng) -> Frame:
    return raw.read(write_dng("dark.dng", dark(scene(120, 160), 20), white_balance=(1, 1, 1)))


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
        theirs = file.postprocess(use_camera_wb=True, no_auto_bright=True, gamma=(2.4, 12.92), output_bps=8)
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


@pytest.mark.parametrize("bracket", [0.0, -1.0, float("inf"), float("nan")])
def test_a_bracket_that_is_no_factor_is_refused(bracket):
    with pytest.raises(SettingsError, match="bracket .*is no factor on the ratio"):
        replace(PLAIN, bracket=bracket)


# --- what settings have sense ---


@pytest.mark.parametrize(
    "change",
    [
        {"bits": 32},
        {"denoise": 0.0},
        {"denoise": 1.0},
        {"sharpen": 0.0},
        {"sharpen": 1.0},
        {"bracket": 1e-9},
        {"size": Size(long_edge=1)},
        {"size": Size(megapixels=1e-6)},
        {"white_balance": "daylight"},
        {"white_balance": (0.01, 1.0, 99.0)},
        {"colour_space": "camera", "bits": 16},
    ],
)
def test_settings_reach_to_their_limits(change):
    assert replace(PLAIN, **change)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bits": 12}, "bits 12: no picture has as many a sample; give 8, 16 or 32"),
        ({"colour_space": "cmyk"}, "colour space cmyk: give srgb or .* or camera"),
        ({"size": Size(long_edge=0)}, "long edge 0: is no length; give pixels, such as 2048"),
        ({"size": Size(megapixels=0)}, "megapixels 0: is no size; give one above 0"),
        ({"size": Size(megapixels=float("nan"))}, "megapixels nan: is no size; give one above 0"),
        ({"denoise": -0.01}, "denoise -0.01: is not within 0, plainly developed, to 1, the network's"),
        ({"denoise": 1.01}, "denoise 1.01: is not within 0"),
        ({"sharpen": -0.01}, "sharpen -0.01: is not within 0, not at all, to 1"),
        ({"sharpen": 1.01}, "sharpen 1.01: is not within 0"),
        ({"white_balance": "shade"}, "white balance shade: give camera, daylight, auto, or three gains"),
        (
            {"white_balance": (1.0, 1.0)},
            r"white balance \(1.0, 1.0\): give three gains above 0, of red, green and blue",
        ),
        ({"white_balance": (1.0, 1.0, 1.0, 1.0)}, "white balance .*: give three gains above 0"),
        ({"white_balance": (1.0, 0.0, 1.0)}, "white balance .*: give three gains above 0"),
        ({"white_balance": (1.0, 1.0, float("inf"))}, "white balance .*: give three gains above 0"),
        ({"colour_space": "camera"}, "colour space camera: takes no 8 bits; it has 16 bits, to be finished elsewhere"),
        ({"colour_space": "camera", "bits": 32}, "colour space camera: takes no 32 bits;"),
        ({"colour_space": "camera", "bits": 16, "look": Look(tone=0.5)}, "colour space camera: takes no exposure, str"),
        ({"colour_space": "camera", "bits": 16, "size": Size(long_edge=64)}, "colour space camera: takes no exposure,"),
        ({"colour_space": "camera", "bits": 16, "sharpen": 0.1}, "colour space camera: takes no exposure, stretch"),
    ],
)
def test_settings_without_sense_are_refused(change, said):
    with pytest.raises(SettingsError, match=f"^{said}"):
        replace(PLAIN, **change)


def test_usual_settings_are_the_cameras_whole_picture_of_8_bits():
    usual = pipeline.Settings()
    assert (usual.amp, usual.bracket, usual.denoise, usual.sharpen) == (amplifier.Amp("auto", 0.5), 1, 1, 0)
    assert (usual.white_balance, usual.colour_space, usual.bits, usual.memory) == ("camera", "srgb", 8, 10**9)


# --- what is decided before the network runs ---


SMALL = (64, 96)


@pytest.fixture
def even() -> Frame:
    return frame_of(np.full(SMALL, 800, np.uint16), "bayer")


def planned(frame: Frame, contract=contract_for("bayer"), **changes):
    return pipeline._planned(frame, contract, replace(PLAIN, **changes))


def test_a_bracket_is_a_factor_on_the_ratio(even):
    assert (
        planned(even).ratio == 20 and planned(even, bracket=0.5).ratio == 10 and planned(even, bracket=4.0).ratio == 80
    )


def test_an_automatic_ratio_ends_where_the_network_was_trained(even):
    dark_ = replace(even, mosaic=np.full(SMALL, 512, np.uint16))
    assert planned(dark_, contract_for("bayer", max_ratio=60), amp=amplifier.parse("auto"), bracket=2.0).ratio == 120


@pytest.mark.parametrize(
    ("changes", "highlights"),
    [
        ({}, "clip"),
        ({"amp": amplifier.parse("auto")}, "roll"),
        ({"amp": amplifier.parse("paper")}, "clip"),
        ({"amp": amplifier.parse("auto"), "colour_space": "camera", "bits": 16}, "clip"),
        ({"look": Look(highlights="roll")}, "roll"),
        ({"amp": amplifier.parse("auto"), "look": Look(highlights="clip")}, "clip"),
    ],
)
def test_highlights_are_bent_for_auto_unless_told(even, changes, highlights):
    assert planned(even, **changes).look.highlights == highlights


@pytest.mark.parametrize(
    ("changes", "bits", "held", "gathered"),
    [
        ({}, 8, False, False),
        ({"bits": 16}, 16, False, False),
        ({"sharpen": 0.2}, 16, False, True),
        ({"sharpen": 0.2, "bits": 32}, 32, False, True),
        ({"size": Size(long_edge=48)}, 8, False, True),
        ({"size": Size(long_edge=96)}, 8, False, False),
        ({"look": Look(stretch=True)}, 8, True, True),
        ({"look": Look(tone=0.5)}, 8, True, True),
        ({"colour_space": "camera", "bits": 16}, 16, True, True),
    ],
)
def test_a_picture_is_held_whole_only_where_it_must_be(even, changes, bits, held, gathered):
    plan = planned(even, **changes)
    assert (plan.bits, plan.held, plan.gathered) == (bits, held, gathered)


@pytest.mark.parametrize(
    ("orientation", "aspect", "changes", "turned", "shape"),
    [
        (1, 1.0, {}, (64, 96, 3), (64, 96, 3)),
        (6, 1.0, {}, (96, 64, 3), (96, 64, 3)),
        (6, 1.0, {"size": Size(long_edge=48)}, (96, 64, 3), (48, 32, 3)),
        (1, 2.0, {}, (64, 96, 3), (64, 192, 3)),
        (6, 2.0, {}, (96, 64, 3), (192, 64, 3)),
        (6, 2.0, {"colour_space": "camera", "bits": 16}, (64, 96, 3), (64, 96, 3)),
    ],
)
def test_the_picture_is_turned_and_in_the_scenes_proportions_but_for_camera_rgb(
    even, orientation, aspect, changes, turned, shape
):
    plan = planned(replace(even, orientation=orientation, pixel_aspect=aspect), **changes)
    assert (plan.turned, plan.shape) == (turned, shape)
    assert plan.orientation == (1 if "colour_space" in changes else orientation)


def test_camera_rgb_is_given_the_cameras_gains_whatever_balance_is_chosen(even):
    for changes, gains in (({}, [3, 1, 4]), ({"colour_space": "camera", "bits": 16}, [2, 1, 1.5])):
        plan = planned(even, white_balance=(3.0, 1.0, 4.0), **changes)
        assert plan.balance.tolist() == [3, 1, 4] and plan.gains.tolist() == gains


@pytest.mark.parametrize(
    ("look", "bits", "output", "kept"),
    [
        (Look(highlights="clip"), 8, "camera", False),
        (Look(highlights="clip"), 16, "camera", False),
        (Look(highlights="clip"), 32, "camera", True),
        (Look(highlights="roll"), 8, "camera", True),
        (Look(highlights="clip", tone=0.1), 8, "camera", True),
        (Look(highlights="roll", tone=0.1), 32, "srgb", False),
    ],
)
def test_light_beyond_white_is_kept_where_it_is_of_use(look, bits, output, kept):
    assert pipeline._kept(look, bits, contract_for("bayer", output=output)) is kept


@pytest.mark.parametrize(
    ("most", "ratio", "headroom"),
    [
        (20, 20, 1),
        (19.9, 20, 2),
        (10, 20, 2),
        (5, 20, 4),
        (2.5, 20, 8),
        (0.1, 20, 8),
        (0.1, 3, 2),
        (0.1, 0.5, 1),
        (1, 4, 4),
    ],
)
def test_the_least_headroom_is_taken_that_cuts_a_thousandth_of_the_sites(even, monkeypatch, most, ratio, headroom):
    shares = {True: 0.001, False: 0.0011}
    monkeypatch.setattr(amplifier, "clipped", lambda frame, gains, given: shares[given <= most])
    assert pipeline._headroom(even, np.ones(3), ratio) == headroom


def test_what_is_clipped_is_counted_where_headroom_ends(even):
    lit = replace(even, mosaic=np.full(SMALL, 512 + 1587, np.uint16), white_balance=np.ones(3, np.float32))
    cut, kept = planned(lit), planned(lit, look=Look(highlights="roll"))
    assert (cut.headroom, cut.clipped) == (1, 1) and (kept.headroom, kept.clipped) == (2, 0)


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.0, "daylight"),
        (0.0049, "daylight"),
        (0.0051, "1% from daylight to tungsten"),
        (0.62, "62% from daylight to tungsten"),
        (0.999, "100% from daylight to tungsten"),
        (1.0, "tungsten"),
    ],
)
def test_a_guessed_white_balance_is_told_by_its_light(even, monkeypatch, share, said):
    guess = np.float32([3, 1, 2])
    monkeypatch.setattr(cfa, "guessed_balance", lambda frame: (guess, share))
    assumed = replace(even, daylight=np.float32([2, 1, 1]), sources=Sources(white_balance="daylight"))
    assert pipeline._gains(assumed, "camera") == (guess, (f"white balance guessed from the picture: {said}",))


def test_gains_are_the_cameras_daylights_the_pictures_or_the_users(even):
    daylight = np.float32([2.5, 1, 1.25])
    known = replace(even, daylight=daylight)
    assert pipeline._gains(known, "camera") == (even.white_balance, ())
    assert pipeline._gains(known, "daylight") == (daylight, ())
    grey, notes = pipeline._gains(known, "auto")
    assert grey.tolist() == [1, 1, 1] and notes == ()
    grey, notes = pipeline._gains(even, "daylight")
    assert grey.tolist() == [1, 1, 1] and notes == (
        "the file has no daylight white balance; grey-world gains are used",
    )
    gains, notes = pipeline._gains(known, (4.0, 2.0, 3.0))
    assert gains.tolist() == [2, 1, 1.5] and notes == ()
    assumed = replace(even, sources=Sources(white_balance="daylight"))
    assert pipeline._gains(assumed, "camera") == (even.white_balance, ()), "where daylight is not known"


# --- memory, mixing, noise, notes ---


@pytest.mark.parametrize(
    ("changes", "whole", "taken"),
    [
        ({}, True, 3 * 6144),
        ({}, False, 0),
        ({"bits": 16}, True, 6 * 6144),
        ({"bits": 32}, True, 12 * 6144),
        ({"look": Look(stretch=True)}, True, 3 * 6144 + 6 * 7000),
        ({"look": Look(stretch=True)}, False, 6 * 7000),
        ({"colour_space": "camera", "bits": 16}, True, 6 * 7000),
    ],
)
def test_a_tile_gets_what_the_mosaic_and_what_is_held_leave(even, changes, whole, taken):
    settings = replace(PLAIN, memory=500_000_000, **changes)
    assert pipeline._tile_memory(even, settings, 7000, whole) == 500_000_000 - 215_000_000 - 2 * 6144 - taken


@pytest.mark.parametrize(("aspect", "pictures"), [(2.0, 3), (0.5, 3), (1.5, 2.5), (1.0, 1)])
def test_a_stretched_picture_lies_beside_the_one_it_is_made_of(even, aspect, pictures):
    frame = replace(even, pixel_aspect=aspect, visible=Window(0, 0, 60, 90))
    settings = replace(PLAIN, memory=500_000_000)
    left = 500_000_000 - 215_000_000 - 2 * 6144
    assert pipeline._tile_memory(frame, settings, 0, True) == left - pictures * 3 * 5400
    assert pipeline._tile_memory(frame, settings, 0, False) == left


@pytest.mark.parametrize(("memory", "tile"), [(400, 400 - 215 - 80), (350, 64), (279, 64), (278, 63), (200, -15)])
def test_a_tile_gets_64_mb_where_only_the_picture_is_in_its_way(even, memory, tile):
    """A picture of 80 MB, and a mosaic that is next to nothing."""
    frame = replace(even, mosaic=even.mosaic[:0], visible=Window(0, 0, 5000, 5333))
    settings = replace(PLAIN, memory=memory * 1_000_000)
    assert pipeline._tile_memory(frame, settings, 0, True) / 1e6 == pytest.approx(tile, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "strip"),
    [
        ({}, 3 * 3 * 4),
        ({"bits": 16}, 3 * 6 * 4),
        ({"bits": 32}, 3 * 12 * 4),
        ({"sharpen": 0.1}, 3 * 6 * 4),
        ({"look": Look(tone=0.3)}, 0),
    ],
)
def test_three_strips_of_the_picture_are_paid_from_the_tiles_memory(networks, even, monkeypatch, changes, strip):
    asked = []
    monkeypatch.setattr(tiles, "run", lambda *_, **wishes: asked.append(wishes) or iter(()))
    for whole in (True, False):
        begun = pipeline.begin(even, networks["bayer"], replace(PLAIN, **changes), whole=whole)
        assert begun.bands.shape == (64, 96, 3)
    assert [wishes["strip_bytes"] for wishes in asked] == [strip, strip]
    gathered = pipeline._planned(even, networks["bayer"].contract, replace(PLAIN, **changes)).gathered
    size = asked[0]["size"]
    for wishes, whole in zip(asked, (True, gathered), strict=True):
        assert wishes["memory"] == pipeline._tile_memory(even, replace(PLAIN, **changes), 4 * size[0] * size[1], whole)


@pytest.mark.parametrize(("denoise", "value", "ran"), [(0.0, 0.2, 0), (0.25, 0.35, 1), (1.0, 0.8, 1)])
def test_denoising_mixes_the_networks_picture_with_the_plain_one(denoise, value, ran):
    calls = []
    network = SimpleNamespace(run=lambda bright: calls.append(bright) or np.float32([0.8]))
    mixed = pipeline._blended(network, denoise, lambda bright: np.float32([0.2]), np.zeros(1, np.float32))
    assert mixed == pytest.approx([value]) and len(calls) == ran and mixed.dtype == np.float32


def test_noise_is_told_in_the_pictures_light(even):
    """At a ratio of 20, white is 793.55 DN above black."""
    frame = replace(even, black=np.float32([[510, 512], [512, 514]]))
    noise = SimpleNamespace(at=lambda dn: np.sqrt(dn).astype(np.float32))
    found = pipeline._noise(noise, frame, 20, np.float32([0, 0.5, 1]))
    assert found == pytest.approx(np.sqrt([0, 0.5 * 793.55, 793.55]) / 793.55)


def test_white_is_one_in_the_channel_that_saturates_first():
    assert pipeline._neutral(np.float32([2, 1, 4])) == pytest.approx([0.5, 1, 0.25])
    assert pipeline._neutral(np.float32([0.5, 1, 4])) == pytest.approx([1, 0.5, 0.125])


@pytest.mark.parametrize(
    ("count", "notes"), [(0, ()), (1, ("1 hot or dead site filled in",)), (2, ("2 hot or dead sites filled in",))]
)
def test_mended_sites_are_noted_after_what_the_file_says(even, monkeypatch, count, notes):
    frame = replace(even, notes=("first",))
    monkeypatch.setattr(pipeline.hotsites, "mended", lambda frame, noise: (frame, count))
    assert pipeline.mended(frame).notes == ("first", *notes)


@pytest.mark.parametrize(
    ("changes", "plan", "said"),
    [
        ({}, {"ratio": 300.0}, ""),
        ({}, {"ratio": 301.0}, "ratio 301 is beyond the 300 that test was trained for"),
        ({}, {"clipped": 0.05}, ""),
        ({}, {"clipped": 0.06}, "6% of the sites are clipped at ratio 20; a lower --amp keeps them"),
        ({"colour_space": "rec2020"}, {}, "8 bits of rec2020 may show steps in smooth tones; --bits 16 does not"),
        ({"colour_space": "rec2020", "bits": 16}, {}, ""),
        (
            {"amp": amplifier.parse("auto"), "bracket": 0.5},
            {"ratio": 150.0},
            "--amp auto is at its ceiling of x300: har",
        ),
        ({"amp": amplifier.parse("auto"), "bracket": 2.0}, {"ratio": 300.0}, ""),
    ],
)
def test_each_risk_is_noted_past_its_limit(even, changes, plan, said):
    settings, contract = replace(PLAIN, **changes), contract_for("bayer")
    decided = replace(planned(even), notes=("of the balance",), ratio=20.0, clipped=0.0)
    notes = pipeline._notes(replace(even, notes=("of the file",)), contract, settings, replace(decided, **plan))
    assert notes[:2] == ("of the balance", "of the file")
    assert [note[: len(said)] for note in notes[2:]] == ([said] if said else [])


# --- camera RGB ---


def test_camera_rgb_is_had_from_networks_that_give_it_only(even):
    camera = replace(PLAIN, colour_space="camera", bits=16)
    pipeline._check(even, contract_for("bayer"), camera)
    pipeline._check(even, contract_for("bayer", output="srgb"), PLAIN)
    pipeline._check(even, arranged("xtrans", "srgb"), PLAIN)
    with pytest.raises(
        SettingsError, match="^test: gives finished colours, a DNG holds the camera's; leave --model out$"
    ):
        pipeline._check(even, contract_for("bayer", output="srgb"), camera)


@pytest.mark.parametrize(("aspect", "shape"), [(1.0, (20, 30, 3)), (2.0, (20, 60, 3))])
def test_a_negative_tells_the_chosen_balance_and_shows_the_window_as_it_lies(even, aspect, shape):
    frame = replace(even, visible=Window(4, 6, 20, 30), orientation=6, pixel_aspect=aspect, camera_to_srgb=MATRIX)
    rgb = np.zeros((3, *SMALL), np.uint16)
    rgb[:, 4:24, 6:36] = FULL // 2
    chosen = np.float32([2, 1, 4])
    told = pipeline._negative(rgb, frame, chosen, 0.25)
    assert told.neutral == pytest.approx([0.5, 1, 0.25]) and told.daylight is chosen
    assert (told.camera, told.orientation, told.denoised, told.pixel_aspect) == ("test", 6, 0.25, aspect)
    assert told.camera_to_srgb is MATRIX
    assert told.preview.shape == shape and told.preview.dtype == np.uint8
    assert np.abs(told.preview.astype(int) - 127).max() <= 1
    daylight = np.float32([3, 1, 1])
    assert pipeline._negative(rgb, replace(frame, daylight=daylight), chosen, 1.0).daylight is daylight


def test_camera_rgb_is_light_as_the_sensor_had_it(networks, write_dng):
    """Grey light that the sensor sees as (1/2, 1, 2/3), amplified until green is 0.3."""
    light = np.broadcast_to(np.float32([0.15, 0.3, 0.2]), (96, 128, 3))
    frame = raw.read(write_dng("dark.dng", dark(light, 20), white_balance=(2, 1, 1.5)))
    settings = replace(PLAIN, colour_space="camera", bits=16, denoise=0.0, white_balance=(1.0, 1.0, 1.0))
    developed = pipeline.expose(frame, networks["bayer"], settings)
    assert developed.picture.dtype == np.uint16 and developed.space == "srgb"
    inner = developed.picture[8:-8, 8:-8].mean(axis=(0, 1)) / 65535
    assert inner == pytest.approx([0.15, 0.3, 0.2], rel=0.02)
    assert developed.negative.neutral == pytest.approx([1, 1, 1])


def test_the_time_of_the_network_and_of_the_finish_is_told(networks, even, monkeypatch):
    ticks = iter((10.0, 13.0, 18.0))
    monkeypatch.setattr(pipeline, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    monkeypatch.setattr(pipeline, "Course", lambda: Course(started=next(ticks)))
    heard = []
    developed = pipeline.expose(even, networks["bayer"], replace(PLAIN, denoise=0.0), lambda *told: heard.append(told))
    assert (developed.seconds.network, developed.seconds.finish) == (3, 5) and heard == [(1, 1)]


@pytest.mark.parametrize(("exposure", "amplified"), [(0.0, 20), (1.0, 40), (-1.0, 10)])
def test_sharpening_is_told_the_noise_as_the_picture_shows_it(networks, frame, monkeypatch, exposure, amplified):
    heard = []
    monkeypatch.setattr(
        pipeline.sharpen,
        "sharpened",
        lambda picture, strength, noise, bits: heard.append((strength, noise, bits)) or picture,
    )
    pipeline.expose(frame, networks["bayer"], replace(PLAIN, sharpen=0.5, denoise=0.0, look=Look(exposure=exposure)))
    ((strength, noise, bits),) = heard
    wanted = pipeline._noise(grain.measure(pipeline.mended(frame)), frame, amplified, np.float32([0, 0.1, 1]))
    assert (strength, bits) == (0.5, 8) and noise(np.float32([0, 0.1, 1])) == pytest.approx(wanted)
