"""The whole path: every stage matters, every sensor gives a picture of the camera's own size, colour is the file's."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import rawpy
from conftest import colours
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab
from test_model import write_network

import darkroom
from darkroom import amplifier, cfa, model, pipeline, raw, tiles
from darkroom.errors import SettingsError
from darkroom.finish import Look
from darkroom.frame import Frame, Window

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
        {"look": Look(contrast=True)},
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
    whole, tiled = (
        tiles.run(
            network.run,
            bright,
            size=size,
            contract=network.contract,
            memory=memory,
            on_tile=lambda done, _: counts.append(done),
        )
        for memory in (10**9, 15_000_000)
    )
    assert counts.count(1) == 2 and len(counts) > 4
    assert np.abs(tiled.astype(int) - whole).max() <= 0.1 / 255 * tiles.FULL + 1


def test_no_denoising_is_the_plain_demosaic(networks, frame):
    blended = pipeline.expose(frame, networks["bayer"], replace(PLAIN, denoise=0.0, bits=16)).picture
    contract = networks["bayer"].contract
    height, width = cfa.packed_size(frame, contract)
    bright = cfa.bright(frame, slice(0, height), slice(0, width), gains=np.ones(3), ratio=20, contract=contract)
    plain = cfa.demosaic(bright, "bayer4").clip(0, 1)[:, :120, :160]
    shown = np.where(plain <= 0.0031308, 12.92 * plain, 1.055 * np.maximum(plain, 1e-9) ** (1 / 2.4) - 0.055)
    assert np.abs(blended / 65535 - shown.transpose(1, 2, 0)).max() < 2e-4


def test_a_sensor_network_gets_sensor_light_and_keeps_its_colours(write_dng, tmp_path):
    from test_cfa import contract_for

    promise = contract_for("bayer", input="sensor", output="srgb").to_json()
    network = model.load(write_network(tmp_path / "n.onnx", promise=promise), device="cpu")
    path = write_dng("dark.dng", dark(scene(64, 64), 20), white_balance=(2, 1, 1.5))
    developed = pipeline.develop(path, network, replace(PLAIN, bits=16))
    mosaic = raw.read(path).mosaic
    light = (mosaic[::2, ::2].astype(np.float32) - 512) / (16383 - 512) * 20
    assert np.abs(developed.picture[::2, ::2, 0] / 65535 - light.clip(0, 1)).max() < 1e-3
    assert (developed.picture[..., 0] == developed.picture[..., 1]).all()


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
    assert (darkroom.develop(path, amp=20, bits=8) == pipeline.develop(path, networks["bayer"], PLAIN).picture).all()


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
    assert ours.shape == theirs.shape
    small = [
        rgb2lab(np.asarray(Image.fromarray(p).resize((p.shape[1] // 8, p.shape[0] // 8), Image.Resampling.BOX)) / 255)
        for p in (ours, theirs)
    ]
    assert name == UNCALIBRATED or deltaE_ciede2000(*small).mean() <= 1.5
