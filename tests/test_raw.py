"""Raw files: phases, levels, gains, matrices, refusals, and a decoder that may crash."""

import itertools
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rawpy
from conftest import WriteDng, colours, noise
from numpy.typing import NDArray

from darkroom import child, decoder, intact, raw, tags, tiff
from darkroom.curves import srgb_to_linear
from darkroom.errors import DarkroomError, RawError
from darkroom.frame import CELL, SRGB_TO_XYZ, XTRANS, Exposure, Frame, Window

BAYER_PHASES = list(itertools.product(range(2), range(2)))
EVERY_PHASE = [("bayer", phase) for phase in BAYER_PHASES]
EVERY_PHASE += [("xtrans", phase) for phase in itertools.product(range(6), range(6))]
RED_HEAVY = ((1.7, -0.5, -0.2), (-0.2, 1.5, -0.3), (0.1, -0.6, 1.5))
ROOT = Path(__file__).parents[1]


def picture(frame: Frame) -> NDArray[np.uint16]:
    """The visible window of the mosaic."""
    at = frame.visible
    return frame.mosaic[at.top : at.top + at.height, at.left : at.left + at.width]


def refusal(path: Path, **settings: float) -> str:
    """What `raw.read` says instead of reading, which is one line that begins with the path."""
    with pytest.raises(RawError) as caught:
        raw.read(path, **settings)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and "; " in message
    return message.removeprefix(f"{path}: ")


def patch(path: Path, changes: dict[int, bytes | None]) -> Path:
    """Overwrite the short values of tags in a DNG's main directory; None hides the tag."""
    data = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", data, 4)[0]
    for entry in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        tag = struct.unpack_from("<H", data, entry)[0]
        if tag in changes and changes[tag] is None:
            struct.pack_into("<H", data, entry, 65000)
        elif tag in changes:
            data[entry + 8 : entry + 12] = changes[tag].ljust(4, b"\0")
    path.write_bytes(data)
    return path


@pytest.fixture
def libraw_says(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`libraw_says(white=0, ...)`: what LibRaw tells of the next files, whatever they hold."""

    def says(**facts) -> None:
        told = decoder._told
        monkeypatch.setattr(decoder, "_told", lambda process: replace(told(process), **facts))

    return says


# --- phase ---


@pytest.mark.parametrize(("cfa", "phase"), EVERY_PHASE)
def test_every_phase_becomes_the_canonical_one(write_dng: WriteDng, cfa, phase):
    sensor = noise((31, 45))
    frame = raw.read(write_dng("a.dng", sensor, cfa=cfa, phase=phase))

    assert frame.cfa == cfa
    assert (picture(frame) == sensor).all()
    at, side = frame.visible, len(CELL[cfa])
    assert at.top < side and at.left < side
    assert frame.mosaic.shape == (at.top + at.height, at.left + at.width)
    # A site's colour in the mosaic is the colour it has in the file.
    assert (picture(replace(frame, mosaic=colours(frame.mosaic.shape, cfa))) == colours(sensor.shape, cfa, phase)).all()


@pytest.mark.parametrize(("cfa", "phase"), [("bayer", (1, 1)), ("xtrans", (2, 1)), ("xtrans", (1, 5))])
def test_mirrored_sites_carry_their_own_colour(write_dng: WriteDng, cfa, phase):
    sensor = np.array([1000, 2000, 3000], np.uint16)[colours((40, 60), cfa, phase)]
    sensor += noise(sensor.shape, low=0, high=100)
    frame = raw.read(write_dng("a.dng", sensor, cfa=cfa, phase=phase))
    assert frame.visible.top and frame.visible.left
    assert (frame.mosaic // 1000 - 1 == colours(frame.mosaic.shape, cfa)).all()


def test_xtrans_is_mirrored_no_further_than_its_nearest_cell(write_dng: WriteDng):
    frame = raw.read(write_dng("a.dng", noise((40, 60)), cfa="xtrans", phase=(3, 3)))
    assert (frame.visible.top, frame.visible.left) == (0, 0)


# --- size ---


@pytest.mark.parametrize("visible", [None, Window(2, 4, 61, 83), Window(3, 5, 61, 83), Window(3, 4, 60, 82)])
@pytest.mark.parametrize("phase", BAYER_PHASES)
def test_picture_is_as_large_as_that_of_libraw(write_dng: WriteDng, visible, phase):
    path = write_dng("a.dng", noise((67, 91)), visible=visible, phase=phase)
    frame = raw.read(path)
    with rawpy.imread(str(path)) as libraw:
        assert (picture(frame) == libraw.raw_image_visible).all()
        assert (frame.visible.height, frame.visible.width) == libraw.postprocess(user_flip=0).shape[:2]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_counts_as_exif_does(write_dng: WriteDng, orientation):
    path = write_dng("a.dng", noise((40, 60)), orientation=orientation)
    assert raw.read(path).orientation == orientation


# --- levels ---


@pytest.mark.parametrize(("cfa", "phase"), EVERY_PHASE[:5] + EVERY_PHASE[13::9])
def test_each_site_has_its_own_black_to_the_fraction(write_dng: WriteDng, cfa, phase):
    side = len(CELL[cfa])
    black = 500.25 + np.arange(side * side).reshape(side, side)
    sensor = noise((40, 60))
    frame = raw.read(write_dng("a.dng", sensor, cfa=cfa, phase=phase, black=black))
    # X-Trans repeats after (3, 3), so its black may come out shifted by as much; what counts is each site's own.
    rows, columns = np.arange(40), np.arange(60)
    found = frame.black[np.ix_((rows + frame.visible.top) % side, (columns + frame.visible.left) % side)]
    written = black[np.ix_((rows + phase[0]) % side, (columns + phase[1]) % side)]
    np.testing.assert_allclose(found, written, atol=1e-4)


@pytest.mark.parametrize("visible", [Window(2, 4, 60, 80), Window(3, 4, 61, 80), Window(3, 5, 61, 83)])
def test_black_stays_with_its_site_where_libraw_moves_an_odd_margin(write_dng: WriteDng, visible):
    black = np.array([[510, 520], [530, 540]])
    sensor = np.zeros((70, 90), np.uint16)
    sensor[visible.top :, visible.left :] = np.tile(black, (40, 50))[: 70 - visible.top, : 90 - visible.left]
    sensor += noise(sensor.shape, low=0, high=9)
    frame = raw.read(write_dng("a.dng", sensor, black=black, visible=visible))
    height, width = frame.mosaic.shape
    light = frame.mosaic - np.tile(frame.black, (height // 2 + 1, width // 2 + 1))[:height, :width]
    assert light.min() == 0 and light.max() == 8


def test_black_pattern_longer_than_the_cell_is_averaged(write_dng: WriteDng):
    path = write_dng("a.dng", noise((40, 60)), cfa="xtrans", black=600)
    told = tags.Tags(black=np.array([[600.0, 601, 600, 603]]), black_starts=(0, 0))
    facts = decoder.decode(path, lambda facts: np.empty((facts.height, facts.width), np.uint16))[0]
    black = raw._black(facts, told, (0, 0), XTRANS)
    np.testing.assert_allclose(black[0], [600, 602, 600, 602, 600, 602])


def test_libraw_has_the_last_word_on_black(write_dng: WriteDng, libraw_says):
    libraw_says(black=np.array([70, 71, 72, 73], np.float32))
    frame = raw.read(write_dng("a.dng", noise((40, 60)), black=512, phase=(0, 1)))
    np.testing.assert_array_equal(frame.black, [[70, 71], [73, 72]])  # LibRaw's colour 3 is the green beside blue


def test_a_raf_tells_the_black_of_each_xtrans_site(tmp_path: Path):
    black = 1000 + np.arange(36)
    path = tmp_path / "a.raf"
    write_raf(path, noise((600, 640)), black)
    frame = raw.read(path)
    assert frame.cfa == "xtrans" and frame.camera == "Fujifilm X-T1"
    np.testing.assert_array_equal(frame.black.ravel(), black)
    np.testing.assert_allclose(frame.white_balance, [2, 1, 1.5], atol=1e-3)


def write_raf(path: Path, mosaic: NDArray[np.uint16], black: NDArray[np.int_]) -> None:
    """Write what LibRaw takes for an uncompressed Fuji X-Trans file."""

    def entry(tag: int, data: bytes) -> bytes:
        return struct.pack(">HH", tag, len(data)) + data

    size = struct.pack(">HH", *mosaic.shape)
    cell = bytes(XTRANS.ravel()[::-1].tolist())
    gains = struct.pack(">4H", 300, 600, 300, 450)
    facts = struct.pack(">I", 4) + entry(0x100, size) + entry(0x121, size) + entry(0x131, cell) + entry(0x2FF0, gains)
    place = 512  # of the samples in their TIFF
    height, width = mosaic.shape
    own = {0xF001: width, 0xF002: height, 0xF003: 16, 0xF007: place, 0xF008: mosaic.nbytes, 0xF00A: black}
    own = {tag: tiff.field(tiff.LONG, value) for tag, value in own.items()}
    names = {271: tiff.field(tiff.ASCII, "FUJIFILM"), 272: tiff.field(tiff.ASCII, "X-T1")}
    samples = tiff.block(names | {0xF000: own}).ljust(place, b"\0") + mosaic.astype(">u2").tobytes()
    jpeg = b"\xff\xd8\xff\xd9"
    places = struct.pack(">6I", 160, len(jpeg), 164, len(facts), 164 + len(facts), len(samples))
    start = b"FUJIFILMCCD-RAW 0201FF393101" + b"X-T1".ljust(32, b"\0") + b"0100" + bytes(20) + places
    path.write_bytes(start.ljust(160, b"\0") + jpeg + facts + samples)


def test_white_and_bits_follow_the_file(write_dng: WriteDng):
    frame = raw.read(write_dng("a.dng", noise((40, 60), low=60, high=700), black=60, white=1023))
    assert (frame.white, frame.bits) == (1023, 10)


def test_a_bright_frame_saturates_at_its_brightest_site(write_dng: WriteDng):
    mosaic = noise((40, 60), low=60, high=700)
    mosaic[7, 9] = 950
    assert raw.read(write_dng("a.dng", mosaic, black=60, white=1023)).white == 950


def test_a_floor_above_a_black_of_zero_is_noted(write_dng: WriteDng):
    frame = raw.read(write_dng("a.dng", noise((40, 60), low=70, high=90), black=0, white=1023))
    assert frame.notes == ("black level 0 in the file, yet no site reads below 70 DN: expect a grey veil",)


def test_white_below_black_is_refused(write_dng: WriteDng):
    path = write_dng("a.dng", noise((40, 60)), black=512, white=100)
    assert refusal(path).startswith("white level 100 is not above black level 512")


# --- colour ---


def test_colour_agrees_with_libraw(write_dng: WriteDng):
    gains = (2.1, 1.0, 1.6)
    sensor = np.array([1500, 2500, 1800], np.uint16)[colours((80, 120))]
    sensor += noise(sensor.shape, low=0, high=4)
    path = write_dng("a.dng", sensor, camera_to_srgb=RED_HEAVY, daylight=(1.9, 1.0, 1.5), white_balance=gains)
    frame = raw.read(path)
    np.testing.assert_allclose(frame.white_balance, gains, rtol=1e-4)
    np.testing.assert_allclose(frame.daylight, (1.9, 1.0, 1.5), rtol=1e-4)
    np.testing.assert_allclose(frame.camera_to_srgb, RED_HEAVY, atol=1e-4)
    np.testing.assert_allclose(frame.camera_to_srgb.sum(1), 1, atol=1e-5)

    light = (np.array([1501.5, 2501.5, 1801.5]) - frame.black[0, 0]) / (frame.white - frame.black[0, 0])
    ours = frame.camera_to_srgb @ (light * frame.white_balance)
    with rawpy.imread(str(path)) as libraw:
        theirs = libraw.postprocess(
            gamma=(1, 1), no_auto_bright=True, use_camera_wb=True, output_bps=16, adjust_maximum_thr=0
        )
    np.testing.assert_allclose(ours, theirs[20:60, 20:100].mean((0, 1)) / 65535, rtol=0.003)


def test_a_camera_that_only_libraw_knows_gets_its_table(write_dng: WriteDng, libraw_says):
    xyz_to_camera = np.zeros((4, 3), np.float32)
    xyz_to_camera[:3] = np.diag([0.5, 1, 0.7]) @ np.linalg.inv(RED_HEAVY) @ np.linalg.inv(SRGB_TO_XYZ)
    libraw_says(camera_to_srgb=np.zeros((3, 4), np.float32), xyz_to_camera=xyz_to_camera)
    frame = raw.read(write_dng("a.dng", noise((40, 60))))
    np.testing.assert_allclose(frame.camera_to_srgb, RED_HEAVY, atol=1e-4)
    assert not frame.notes


def test_missing_gains_fall_back_to_daylight(write_dng: WriteDng):
    frame = raw.read(write_dng("a.dng", noise((40, 60)), white_balance=None, daylight=(1.9, 1, 1.5)))
    np.testing.assert_allclose(frame.white_balance, (1.9, 1, 1.5), rtol=1e-4)
    assert frame.notes == ("no white balance in the file: daylight assumed",)


@pytest.mark.parametrize("gains", [(-1, 0.97, 1, 0), (2, 0, 1, 0), (2, 1, float("nan"), 1), (2000, 1, 1, 1)])
def test_absurd_gains_fall_back_to_daylight(write_dng: WriteDng, libraw_says, gains):
    libraw_says(camera_gains=np.array(gains, np.float32))
    frame = raw.read(write_dng("a.dng", noise((40, 60)), daylight=(1.9, 1, 1.5)))
    np.testing.assert_allclose(frame.white_balance, (1.9, 1, 1.5), rtol=1e-4)


def test_a_file_without_colour_keeps_that_of_the_sensor(write_dng: WriteDng):
    frame = raw.read(write_dng("a.dng", noise((40, 60)), white_balance=None, camera_to_srgb=None))
    assert frame.white_balance is None and frame.daylight is None
    np.testing.assert_array_equal(frame.camera_to_srgb, np.eye(3))
    assert frame.notes == (
        "no colour calibration in the file: colours are the sensor's own",
        "no white balance in the file: unknown",
    )


def test_gains_without_a_matrix_are_kept(write_dng: WriteDng):
    frame = raw.read(write_dng("a.dng", noise((40, 60)), camera_to_srgb=None))
    np.testing.assert_allclose(frame.white_balance, (2, 1, 1.5))
    assert frame.daylight is None


# --- circumstances ---


def test_exposure_and_camera_come_from_the_file(write_dng: WriteDng):
    exposure = Exposure(seconds=1 / 10, iso=6400, aperture=5.6)
    frame = raw.read(write_dng("a.dng", noise((40, 60)), exposure=exposure, make="Ricoh Imaging", model="GR 9"))
    found = [frame.exposure.seconds, frame.exposure.iso, frame.exposure.aperture]
    np.testing.assert_allclose(found, [0.1, 6400, 5.6], rtol=1e-6)
    assert frame.camera == "Ricoh Imaging GR 9"


def test_an_exposure_not_told_is_zero(write_dng: WriteDng, libraw_says):
    libraw_says(seconds=float("nan"), iso=-1.0, aperture=float("inf"))
    assert raw.read(write_dng("a.dng", noise((40, 60)))).exposure == Exposure(0, 0, 0)


def test_what_else_had_to_be_assumed_is_noted(write_dng: WriteDng, libraw_says):
    libraw_says(pixel_aspect=0.5, chatter="a.dng: data corrupted at 1234")
    assert raw.read(write_dng("a.dng", noise((40, 60)))).notes == (
        "photosites are 0.5 times as wide as high: the picture keeps the sensor's shape",
        "LibRaw met corrupt data: look for damage in the picture",
    )


# --- LibRaw's own picture ---


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
    sensor[5, 7] = top  # at 13500, above 3/4 of white, it saturates there
    path = write_dng("a.dng", sensor, camera_to_srgb=RED_HEAVY, white_balance=gains)
    frame, rendered = raw.render(path, kind="camera", curve="srgb")
    assert frame.white == (13500 if top == 13500 else 16383)
    light = (np.array([2501.5, 6501.5, 3001.5]) - 512) / (frame.white - 512) * gains / min(gains)
    np.testing.assert_allclose(srgb_to_linear(rendered[20:60, 20:100].mean((0, 1)) / 65535), light, rtol=0.003)


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
    frame, rendered = raw.render(path, kind="camera", curve="srgb")
    light = (np.array([2501.5, 6501.5, 3001.5]) - 512) / (16383 - 512) * (2, 1, 1.5)
    np.testing.assert_allclose(srgb_to_linear(rendered[20:-20, 20:-20].mean((0, 1)) / 65535), light, rtol=0.003)
    small = write_dng("b.dng", noise((60, 96)), cfa="xtrans")
    assert unrendered(small) == "96 x 60 sites, LibRaw wants 512 a side of X-Trans; give a full-size raw"


def unrendered(path: Path, **settings: float) -> str:
    """What `raw.render` says instead of rendering."""
    with pytest.raises(RawError) as caught:
        raw.render(path, kind="srgb", curve="bt709", **settings)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and "; " in message
    return message.removeprefix(f"{path}: ")


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


# --- refusals ---


def test_what_is_no_file_is_refused(tmp_path: Path):
    assert refusal(tmp_path / "none.dng") == "no such file; check the name"
    assert refusal(tmp_path) == "a folder; name the raw files in it"
    assert refusal(Path(str(tmp_path / "a") + "b" * 300)).startswith("cannot be read (")
    (tmp_path / "empty.dng").touch()
    assert refusal(tmp_path / "empty.dng") == "an empty file; copy it again from the card"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs fifos")
def test_what_is_no_regular_file_is_refused(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.dng")
    assert refusal(tmp_path / "pipe.dng").startswith("no regular file")


def test_a_file_that_cannot_be_opened_is_refused(write_dng: WriteDng, monkeypatch: pytest.MonkeyPatch):
    path = write_dng("a.dng", noise((40, 60)))

    def closed(path: Path) -> tags.Tags:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tags, "read", closed)
    assert refusal(path) == "cannot be read (Permission denied); check its permissions and the drive"


def test_what_is_no_raw_is_refused_by_name(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(2000))
    assert refusal(tmp_path / "a.jpg") == "a JPEG, no raw photo; give the camera's raw file"
    (tmp_path / "a.txt").write_text("no photo at all\n" * 99)
    assert refusal(tmp_path / "a.txt") == "no raw photo; give the camera's raw file"


def test_what_libraw_does_not_know_is_refused_by_its_camera(write_dng: WriteDng):
    path = patch(write_dng("a.dng", noise((40, 60)), model="Nine"), {259: struct.pack("<H", 34713)})
    assert refusal(path).startswith("a file of Darkroom Nine that LibRaw cannot decode, or damaged;")
    path = patch(write_dng("a.gpr", noise((40, 60))), {259: struct.pack("<H", 9)})
    assert refusal(path).startswith("a GoPro GPR (VC-5 compression), which LibRaw cannot decode;")


def test_what_has_no_mosaic_is_refused_by_name(tmp_path: Path):
    tifffile = pytest.importorskip("tifffile")
    pixels = noise((40, 60, 3))

    def write(name: str, interpretation: int, make: str, model: str, extra: list[tuple]) -> Path:
        named = [(271, 2, 0, make, True), (272, 2, 0, model, True)]
        tifffile.imwrite(tmp_path / name, pixels, photometric=interpretation, extratags=named + extra, metadata=None)
        return tmp_path / name

    version = [(50706, 1, 4, (1, 4, 0, 0), True)]
    linear = write("a.dng", 34892, "Darkroom", "Linear", version)
    assert refusal(linear).startswith("a linear DNG is demosaicked already;")
    scan = write("a.nef", 2, "Nikon", "Nikon COOLSCAN V", [])
    assert refusal(scan).startswith("a scan (Nikon COOLSCAN V) has no mosaic;")


@pytest.mark.parametrize(
    ("head", "camera", "said"),
    [
        (b"FOVb", "", "a Foveon raw has no mosaic"),
        (b"II*\0", "Canon EOS 7D", "a small raw (sRAW, mRAW) has no mosaic"),
        (b"II*\0", "Other", "its pixels hold all colours already, there is no mosaic"),
    ],
)
def test_other_full_colour_raws_are_refused_by_name(write_dng: WriteDng, monkeypatch, head, camera, said):
    monkeypatch.setattr(tags, "read", lambda path: tags.Tags(head=head, camera=camera))
    monkeypatch.setattr(decoder, "decode", lambda *_, **__: decoder.Refusal("Stack", ""))
    assert refusal(write_dng("a.raw", noise((40, 60)))) == f"{said}; give the camera's own full-size raw"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("LibRawTooBigError", "damaged: its header asks for more memory than any photo needs"),
        ("LibRawUnspecifiedError", "LibRaw cannot decode it (LibRawUnspecifiedError: detail)"),
    ],
)
def test_what_libraw_raises_is_said_in_words(write_dng: WriteDng, monkeypatch, kind, said):
    monkeypatch.setattr(decoder, "decode", lambda *_, **__: decoder.Refusal(kind, "detail"))
    assert refusal(write_dng("a.raw", noise((40, 60)))) == f"{said}; copy it again from the card"


def test_a_missing_rawpy_is_no_fault_of_the_file(write_dng: WriteDng, monkeypatch):
    missing = decoder.Refusal("ModuleNotFoundError", "No module named 'rawpy'")
    monkeypatch.setattr(decoder, "decode", lambda *_, **__: missing)
    with pytest.raises(DarkroomError, match="rawpy: cannot be loaded .* install darkroom again"):
        raw.read(write_dng("a.raw", noise((40, 60))))


def test_other_filters_are_refused_by_name(write_dng: WriteDng, libraw_says):
    mono = {262: struct.pack("<H", 34892), 33421: None, 33422: None, 50710: None, 50711: None}
    leica = patch(write_dng("a.dng", noise((40, 60))), mono)
    assert refusal(leica).startswith("a monochrome raw has no colours to develop;")
    cyan = patch(write_dng("b.dng", noise((40, 60))), {33422: bytes([3, 4, 4, 5]), 50710: bytes([3, 4, 5])})
    assert refusal(cyan).startswith("its filters are not red, green and blue;")
    one_red = patch(write_dng("c.dng", noise((40, 60))), {33422: bytes([0, 1, 1, 1])})
    assert refusal(one_red).startswith("neither a Bayer nor an X-Trans mosaic;")
    libraw_says(names="GMCY")
    assert refusal(write_dng("d.dng", noise((40, 60)))).startswith("its filters are GMCY, not red, green and blue;")


def test_a_mosaic_of_a_few_sites_is_refused(write_dng: WriteDng, libraw_says):
    libraw_says(height=11)
    assert refusal(write_dng("a.dng", noise((40, 60)))).startswith("a mosaic of 60 x 11 sites, under 12 a side;")


# --- damage ---


def test_a_file_cut_short_is_refused(write_dng: WriteDng):
    path = write_dng("a.dng", noise((400, 600)))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 3 // 4)
    assert refusal(path) == "cut short or damaged; copy it again from the card"


def test_too_few_bytes_for_the_sites_are_refused(write_dng: WriteDng, libraw_says):
    libraw_says(height=40000, width=60000)
    assert refusal(write_dng("a.dng", noise((40, 60)))).endswith(
        "bytes cannot hold 2400.0 million sites; copy it again from the card"
    )


@pytest.mark.parametrize(("height", "first"), [(400, 300), (400, 0), (401, 390)])
def test_rows_of_zeros_are_refused_from_the_first(write_dng: WriteDng, height, first):
    sensor = noise((height, 600))
    sensor[first:] = 0
    assert refusal(write_dng("a.dng", sensor)).startswith(f"decoded to zeros from row {first} of {height};")


def decayed(kind: str) -> NDArray[np.uint16]:
    """A mosaic of 640 x 900 whose last 200 rows are what decoders leave when the data end."""
    sensor = noise((640, 900))
    if kind == "last row repeated":  # Sony ARW
        sensor[440:] = sensor[439]
    elif kind == "last block repeated":  # Panasonic RW2, 14336 sites in 3724 columns
        flat = sensor.reshape(-1)
        for start in range(440 * 900, flat.size, 3452):
            flat[start : start + 3452] = flat[440 * 900 - 3452 : 440 * 900][: flat.size - start]
    elif kind == "two values":  # a lossless JPEG of two components
        sensor[440:, 0::2], sensor[440:, 1::2] = 2048, 2050
    elif kind == "one tile":  # a DNG whose last tile is missing
        sensor[440:, 675:] = 0
    return sensor


@pytest.mark.parametrize("kind", ["last row repeated", "last block repeated", "two values", "one tile"])
def test_what_decoders_leave_at_the_end_of_the_data_is_no_photo(kind):
    assert intact.lost_from(decayed("nothing"), 16383) is None
    row = intact.lost_from(decayed(kind), 16383)
    assert row is not None and abs(row - 440) <= 3


@pytest.mark.parametrize(
    "scene",
    [
        "black clipped at zero",
        "hardly a site above zero",
        "overexposed",
        "8 bits",
        "a dead border of 5 rows",
        "a dark corner",
    ],
)
def test_photos_that_look_suspicious_are_sound(scene):
    rng = np.random.default_rng(1)
    sensor = noise((640, 900))
    if scene == "black clipped at zero":
        sensor = np.maximum(rng.normal(0, 2, (640, 900)), 0).astype(np.uint16)
    elif scene == "hardly a site above zero":
        sensor = (rng.random((640, 900)) < 0.01).astype(np.uint16)
    elif scene == "overexposed":
        sensor[100:600] = 16383
    elif scene == "8 bits":
        sensor = np.clip(rng.normal(40, 0.7, (640, 900)), 0, 255).astype(np.uint16)
    elif scene == "a dead border of 5 rows":
        sensor[-5:] = 0
    elif scene == "a dark corner":
        sensor[400:, 600:] = rng.random((240, 300)) < 0.02
    assert intact.lost_from(sensor, 16383) is None


# --- isolation ---

HAUNTED = """
import importlib.util, os, sys, time
spec = importlib.util.spec_from_file_location("libraw", {program!r})
libraw = importlib.util.module_from_spec(spec)
spec.loader.exec_module(libraw)
answer = libraw._answer

def haunted(path, requests, answers, chatter):
    if "crash" in path:
        os.abort()
    if "hang" in path:
        while True:
            pass
    if "babble" in path:
        answers.write(b'{{"height": "tall"}}\\n')
        answers.flush()
        time.sleep(60)
    if "forge" in path:
        libraw._facts = lambda raw: facts(raw) | {{"height": 65535, "width": 65535}}
    if "unrendered" in path:
        import rawpy
        def refuse(self, **settings):
            raise MemoryError("no room")
        rawpy.RawPy = type("RawPy", (rawpy.RawPy,), {{"postprocess": refuse}})
        rawpy.imread = lambda name: opened(rawpy.RawPy(), name)
    if "dies" in path:
        libraw._send_rendering = lambda answers, raw, wanted: os._exit(7)
    if "short" in path:
        libraw._send_rows = lambda answers, mosaic: os._exit(7)
    answer(path, requests, answers, chatter)

def opened(raw, name):
    raw.open_file(name)
    raw.unpack()
    return raw

facts = libraw._facts
libraw._answer = haunted
libraw.serve()
"""


@pytest.fixture
def haunted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A decoder's process that comes to grief over files with crash, hang, babble, forge or short in their name."""
    program = tmp_path / "haunted.py"
    program.write_text(HAUNTED.format(program=str(child.PROGRAM)))
    monkeypatch.setattr(child, "PROGRAM", program)
    child.end()
    yield
    child.end()


@pytest.mark.usefixtures("haunted")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("crash.dng", "LibRaw crashed on it ("),
        ("hang.dng", "LibRaw was still decoding it after 1 s and was stopped;"),
        ("babble.dng", "LibRaw answered without sense;"),
        ("forge.dng", "LibRaw answered without sense;"),
        ("short.dng", "LibRaw crashed on it (exit code 7);"),
    ],
)
def test_a_file_that_kills_libraw_costs_no_other(write_dng: WriteDng, name, said):
    sensor = noise((40, 60))
    good = write_dng("good.dng", sensor)
    assert (raw.read(good).mosaic == sensor).all()
    assert refusal(write_dng(name, sensor), patience=1).startswith(said)
    assert (raw.read(good).mosaic == sensor).all()


@pytest.mark.usefixtures("haunted")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unrendered.dng", "LibRaw decodes, but cannot render it (MemoryError: no room);"),
        ("dies.dng", "LibRaw crashed on it (exit code 7);"),
    ],
)
def test_a_file_that_cannot_be_rendered_costs_no_other(write_dng: WriteDng, name, said):
    good = write_dng("good.dng", noise((40, 60)))
    before = raw.render(good, kind="srgb", curve="bt709")[1]
    assert unrendered(write_dng(name, noise((40, 60))), patience=1).startswith(said)
    child.end()
    np.testing.assert_array_equal(raw.render(good, kind="srgb", curve="bt709")[1], before)


def test_a_process_that_died_meanwhile_is_replaced(write_dng: WriteDng):
    path = write_dng("a.dng", noise((40, 60)))
    raw.read(path)
    first = child.process
    first.kill()
    first.wait()
    raw.read(path)
    assert child.process.pid != first.pid


def test_refused_files_keep_the_process(write_dng: WriteDng, tmp_path: Path):
    (tmp_path / "a.txt").write_text("no photo at all\n" * 99)
    small = write_dng("small.dng", noise((40, 60)), white=100)
    child.running()
    process = child.process
    refusal(tmp_path / "a.txt")
    refusal(small)
    refusal(patch(write_dng("c.dng", noise((40, 60))), {33422: bytes([0, 1, 1, 1])}))
    raw.read(write_dng("good.dng", noise((40, 60))))
    assert child.process is process


def test_an_interrupt_between_facts_and_samples_leaves_no_half_answer(write_dng: WriteDng):
    path = write_dng("a.dng", noise((40, 60)))

    def interrupted(facts: decoder.Facts) -> NDArray[np.uint16]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decoder.decode(path, interrupted)
    assert (raw.read(path).mosaic == noise((40, 60))).all()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_is_left_to_the_parent(write_dng: WriteDng):
    path = write_dng("a.dng", noise((40, 60)))
    raw.read(path)
    process = child.process
    os.kill(process.pid, signal.SIGINT)
    raw.read(path)
    assert child.process is process


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_the_process_dies_with_its_parent(tmp_path: Path):
    code = (
        "import os, signal; from darkroom import child; child.running();"
        "print(child.process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    parent = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False, text=True)
    child = Path("/proc") / parent.stdout.strip()
    deadline = time.monotonic() + 10
    while child.exists() and "\nState:\tZ" not in (child / "status").read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not child.exists() or "\nState:\tZ" in (child / "status").read_text()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_the_process_keeps_no_memory_of_a_photo(write_dng: WriteDng):
    def resident() -> int:
        status = Path(f"/proc/{child.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    raw.read(write_dng("small.dng", noise((40, 60))))
    before = resident()
    large = write_dng("large.dng", noise((3000, 2000)))
    for _ in range(3):
        raw.read(large)
    raw.read(write_dng("small.dng", noise((40, 60))))
    assert resident() - before < 4000  # kB; the photo has 12,000


def test_threads_get_their_own_files(write_dng: WriteDng):
    sensors = [noise((60, 80), seed=seed) for seed in range(8)]
    paths = [write_dng(f"{seed}.dng", sensor) for seed, sensor in enumerate(sensors)]
    right = [False] * 8

    def check(i: int) -> None:
        right[i] = all((raw.read(paths[i]).mosaic == sensors[i]).all() for _ in range(3))

    threads = [threading.Thread(target=check, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(right)


def test_paths_of_any_name_are_read(write_dng: WriteDng, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in ("naïve  ‘photo’.dng", "new\nline.dng", "-c.dng"):
        assert raw.read(write_dng(name, noise((40, 60)))).visible.width == 60
    monkeypatch.chdir(tmp_path)
    assert raw.read(Path("-c.dng")).visible.width == 60


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' names are Unicode")
def test_names_that_are_no_unicode_are_read(write_dng: WriteDng):
    assert raw.read(write_dng(os.fsdecode(b"na\xefve.dng"), noise((40, 60)))).visible.width == 60


def test_the_decoder_imports_nothing_of_ours():
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1], run_name='libraw'); import numpy;"
        "print([name for name in sys.modules if name.startswith(('darkroom', 'rawpy', 'onnx', 'PIL', 'scipy'))])"
    )
    command = [sys.executable, "-c", code, str(child.PROGRAM)]
    run = subprocess.run(command, capture_output=True, check=True, text=True)
    assert run.stdout.strip() == "[]"


# --- tags ---


@pytest.mark.parametrize("seed", range(40))
def test_tags_of_garbled_files_are_left_out_not_raised(write_dng: WriteDng, seed):
    path = write_dng("a.dng", noise((40, 60)))
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    rng = np.random.default_rng(seed)
    at = rng.integers(0, 900, 30)
    data[at] = rng.integers(0, 256, at.size)
    path.write_bytes(data[: rng.integers(4, 6000)].tobytes())
    assert isinstance(tags.read(path), tags.Tags)


def test_a_canon_cr3_tells_its_camera(tmp_path: Path):
    names = tiff.block({tag: tiff.field(tiff.ASCII, name) for tag, name in ((271, "Canon"), (272, "Canon EOS R5"))})
    path = tmp_path / "a.cr3"
    path.write_bytes(b"\0\0\0\x18ftypcrx " + bytes(400) + b"CMT1" + names)
    assert tags.read(path).camera == "Canon EOS R5"


# --- real files ---


def test_every_good_file_is_read_as_large_as_libraw_makes_it(shared_raw: Path):
    for path in sorted((shared_raw / "good").iterdir()):
        frame = raw.read(path)
        with rawpy.imread(str(path)) as libraw:
            assert (picture(frame) == libraw.raw_image_visible).all(), path
            size = libraw.sizes
            assert (frame.visible.height, frame.visible.width) == (size.iheight, size.iwidth), path
        assert frame.camera, path


def test_one_scene_in_four_phases_gives_one_mosaic(shared_raw: Path):
    for phase in ("rggb", "grbg", "gbrg", "bggr"):
        frame = raw.read(shared_raw / "good" / f"phase_{phase}.dng")
        assert frame.cfa == "bayer"
        assert (frame.visible.top, frame.visible.left) == divmod("rggb grbg gbrg bggr".split().index(phase), 2)


def test_dark_frames_are_sound(shared_raw: Path):
    for path in sorted((shared_raw / "dark").iterdir()):
        frame = raw.read(path)
        assert not frame.notes and abs(float(np.median(frame.mosaic)) - 60) < 30, path


def test_every_broken_file_is_refused_in_silence(shared_raw: Path, capfd: pytest.CaptureFixture[str]):
    for path in sorted((shared_raw / "broken").iterdir()):
        refusal(path)
    assert capfd.readouterr() == ("", "")
