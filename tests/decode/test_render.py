"""LibRaw's own picture of a raw file, which pairs are compared with."""

import io
import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rawpy
from conftest import WriteDng, colours, noise, unrendered

from darkroom.decode import decoder, libraw, raw
from darkroom.develop.curves import srgb_to_linear
from darkroom.frame import Window

BAYER_PHASES = list(itertools.product(range(2), range(2)))
RED_HEAVY = ((1.7, -0.5, -0.2), (-0.2, 1.5, -0.3), (0.1, -0.6, 1.5))


@pytest.mark.parametrize("phase", BAYER_PHASES)
@pytest.mark.parametrize("curve", ["bt709", "srgb"])
def test_a_rendering_is_what_sid_took_for_its_references(write_dng: WriteDng, phase, curve):
    sensor = noise((67, 91), high=12000)
    path = write_dng(
        "a.dng", sensor, phase=phase, orientation=6, visible=Window(3, 4, 61, 83), camera_to_srgb=RED_HEAVY
    )
    frame, rendered = raw.render(path, kind="srgb", curve=curve)
    gamma = {} if curve == "bt709" else {"gamma": (2.4, 12.92)}
    with rawpy.imread(str(path)) as libraw:
        theirs = libraw.postprocess(use_camera_wb=True, no_auto_bright=True, output_bps=16, user_flip=0, **gamma)
    np.testing.assert_array_equal(rendered, theirs)
    assert rendered.shape == (frame.visible.height, frame.visible.width, 3)
    assert (frame.mosaic == raw.read(path).mosaic).all()


@pytest.mark.parametrize("gains", [(2.0, 1.0, 1.5), (0.8, 1.0, 1.6)])
@pytest.mark.parametrize("top", [9000, 13500])
def test_camera_rgb_is_light_by_gain_the_least_gain_being_one(write_dng: WriteDng, gains, top):
    sensor = np.array([2500, 6500, 3000], np.uint16)[colours((80, 120))] + noise((80, 120), low=0, high=4)
    sensor[5, 7:23] = top  # at 13500, above 3/4 of white, it saturates there
    path = write_dng("a.dng", sensor, camera_to_srgb=RED_HEAVY, white_balance=gains)
    frame, rendered = raw.render(path, kind="camera", curve="srgb")
    assert frame.white == (13500 if top == 13500 else 16383)
    light = (np.array([2501.5, 6501.5, 3001.5]) - 512) / (frame.white - 512) * gains / min(gains)
    np.testing.assert_allclose(srgb_to_linear(rendered[20:60, 20:100].mean((0, 1)) / 65535), light, rtol=0.003)


def test_a_lone_hot_site_makes_no_rendering_brighter(write_dng: WriteDng):
    sensor = np.array([2500, 6500, 3000], np.uint16)[colours((80, 120))] + noise((80, 120), low=0, high=4)
    hot = sensor.copy()
    hot[70, 7] = 13500
    pictures = [
        raw.render(write_dng(name, mosaic), kind="srgb", curve="srgb")[1]
        for name, mosaic in (("a.dng", sensor), ("b.dng", hot))
    ]
    np.testing.assert_array_equal(pictures[0][:60], pictures[1][:60])


@pytest.mark.parametrize("calibrated", [True, False])
def test_without_gains_of_the_camera_a_rendering_takes_the_frames_or_none(write_dng: WriteDng, calibrated):
    sensor = np.array([2500, 6500, 3000], np.uint16)[colours((80, 120))] + noise((80, 120), low=0, high=4)
    matrix = RED_HEAVY if calibrated else None
    path = write_dng("a.dng", sensor, white_balance=None, camera_to_srgb=matrix, daylight=(1.9, 1, 1.5))
    frame, rendered = raw.render(path, kind="camera", curve="srgb")
    gains = np.ones(3) if frame.white_balance is None else frame.white_balance
    assert (gains.max() > 1) == calibrated
    light = (np.array([2501.5, 6501.5, 3001.5]) - 512) / (frame.white - 512) * gains
    np.testing.assert_allclose(srgb_to_linear(rendered[20:60, 20:100].mean((0, 1)) / 65535), light, rtol=0.003)


def test_xtrans_is_rendered_from_512_sites_on(write_dng: WriteDng):
    sensor = np.array([2500, 6500, 3000], np.uint16)[colours((516, 520), "xtrans", (1, 2))]
    sensor += noise(sensor.shape, low=0, high=4)
    path = write_dng("a.dng", sensor, cfa="xtrans", phase=(1, 2))
    _, rendered = raw.render(path, kind="camera", curve="srgb")
    light = (np.array([2501.5, 6501.5, 3001.5]) - 512) / (16383 - 512) * (2, 1, 1.5)
    np.testing.assert_allclose(srgb_to_linear(rendered[20:-20, 20:-20].mean((0, 1)) / 65535), light, rtol=0.003)
    small = write_dng("b.dng", noise((60, 96)), cfa="xtrans")
    assert unrendered(small) == "96 x 60 sites, LibRaw wants 512 a side of X-Trans; give a full-size raw"


def test_what_is_not_read_is_not_rendered(write_dng: WriteDng, tmp_path: Path):
    assert unrendered(tmp_path / "none.dng") == "no such file; check the name"
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(2000))
    assert unrendered(tmp_path / "a.jpg") == "a JPEG, no raw photo; give the camera's raw file"
    sensor = noise((400, 600))
    path = write_dng("cut.dng", sensor)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 3 // 4)
    assert unrendered(path) == "cut short or damaged; copy it again from the card"
    sensor[300:] = 0
    assert unrendered(write_dng("zeros.dng", sensor)).startswith("decoded to zeros from row 300 of 400;")


def test_a_truncated_file_is_not_rendered(shared_raw: Path):
    unrendered(shared_raw / "broken" / "truncated_arw.arw")


def test_a_picture_of_another_size_than_the_mosaic_is_refused(write_dng: WriteDng, monkeypatch):
    path = write_dng("a.dng", noise((40, 60)))
    size = decoder._size
    sizes = iter([lambda header: size(header), lambda header: (80, 30)])  # as for photosites half as wide as high
    monkeypatch.setattr(decoder, "_size", lambda header: next(sizes)(header))
    assert unrendered(path).startswith("LibRaw renders 30 x 80 pixels of 60 x 40 sites;")


def test_of_a_long_reason_200_characters_are_sent():
    def postprocess(**how: object) -> None:
        raise ValueError("x" * 300)

    answers, wanted = io.BytesIO(), {"gains": None, "colours": "sRGB", "gamma": [1, 1], "span": 1}
    libraw._send_rendering(answers, SimpleNamespace(postprocess=postprocess), wanted)
    assert json.loads(answers.getvalue()) == {"refused": "ValueError", "detail": "x" * 200}
