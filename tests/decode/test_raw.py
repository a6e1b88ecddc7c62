"""Raw files: phases, sizes, gains and matrices, of drawn files and of real ones."""

import itertools
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rawpy
from conftest import WriteDng, colours, noise, refusal
from numpy.typing import NDArray

from darkroom.decode import raw, tags
from darkroom.frame import CELL, SRGB_TO_XYZ, Exposure, Frame, Window

BAYER_PHASES = list(itertools.product(range(2), range(2)))
EVERY_PHASE = [("bayer", phase) for phase in BAYER_PHASES]
EVERY_PHASE += [("xtrans", phase) for phase in itertools.product(range(6), range(6))]
RED_HEAVY = ((1.7, -0.5, -0.2), (-0.2, 1.5, -0.3), (0.1, -0.6, 1.5))


def picture(frame: Frame) -> NDArray[np.uint16]:
    """The visible window of the mosaic."""
    at = frame.visible
    return frame.mosaic[at.top : at.top + at.height, at.left : at.left + at.width]


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
    assert frame.notes == ("no white balance of the camera in the file",) and frame.sources.white_balance == "daylight"


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
        "no white balance of the camera in the file: unknown",
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


@pytest.mark.parametrize("iso", [100, 6400, 65535])
def test_an_iso_that_libraw_overlooks_is_read_from_exif(write_dng: WriteDng, libraw_says, iso):
    path = write_dng("a.dng", noise((40, 60)), exposure=Exposure(seconds=1 / 10, iso=iso, aperture=5.6))
    libraw_says(iso=0.0)
    assert raw.read(path).exposure.iso == iso


@pytest.mark.parametrize(("libraw", "exif", "iso"), [(65535.0, 204800, 204800), (65535.0, 0, 65535), (800.0, 100, 800)])
def test_an_iso_beyond_16_bits_is_read_from_exif(write_dng: WriteDng, libraw_says, monkeypatch, libraw, exif, iso):
    libraw_says(iso=libraw)
    monkeypatch.setattr(tags, "_iso", lambda file, directories: float(exif))
    assert raw.read(write_dng("a.dng", noise((40, 60)))).exposure.iso == iso


def test_an_exposure_not_told_is_zero(write_dng: WriteDng, libraw_says):
    libraw_says(seconds=float("nan"), iso=-1.0, aperture=float("inf"))
    assert raw.read(write_dng("a.dng", noise((40, 60)), exposure=Exposure(0, 0, 0))).exposure == Exposure(0, 0, 0)


def test_what_else_had_to_be_assumed_is_noted(write_dng: WriteDng, libraw_says):
    libraw_says(pixel_aspect=0.5, chatter="a.dng: data corrupted at 1234")
    frame = raw.read(write_dng("a.dng", noise((40, 60))))
    assert frame.pixel_aspect == 0.5 and frame.notes == (
        "photosites are 0.5 times as wide as high: the picture is stretched to the scene's shape",
        "LibRaw met corrupt data: look for damage in the picture",
    )


@pytest.mark.parametrize("aspect", [1e-9, 0.3, 0.4, 2.5, 4.0, float("nan"), float("inf")])
def test_photosites_of_no_camera_are_taken_for_square(write_dng: WriteDng, libraw_says, aspect):
    libraw_says(pixel_aspect=aspect)
    frame = raw.read(write_dng("a.dng", noise((40, 60))))
    assert frame.pixel_aspect == 1 and "the picture keeps the sensor's shape" in frame.notes[0]


@pytest.mark.parametrize(("aspect", "square"), [(0.99, False), (0.996, True), (1.004, True), (1.01, False)])
def test_photosites_within_half_a_percent_of_square_are_not_spoken_of(write_dng: WriteDng, libraw_says, aspect, square):
    libraw_says(pixel_aspect=aspect)
    assert (raw.read(write_dng("a.dng", noise((40, 60)))).notes == ()) is square


@pytest.mark.parametrize(
    ("place", "number", "own"),
    [
        ((0, 0), 0.13, True),
        ((0, 0), 0.12, False),
        ((0, 0), np.nan, False),
        ((1, 1), 0.11, True),
        ((1, 1), 0.09, False),
        ((2, 2), 0.09, False),
        ((2, 2), np.inf, False),
    ],
)
def test_a_files_matrix_counts_by_the_measure_of_libraw(write_dng: WriteDng, libraw_says, place, number, own):
    matrix = np.eye(3, 4, dtype=np.float32)
    matrix[place] = number
    libraw_says(camera_to_srgb=matrix)
    assert (raw.read(write_dng("a.dng", noise((40, 60)))).sources.colours == "file") is own


@pytest.mark.parametrize(("bits", "held"), [(0.49, False), (0.55, True)])
def test_a_file_needs_half_a_bit_a_site(write_dng: WriteDng, libraw_says, bits, held):
    path = write_dng("a.dng", noise((40, 60)))
    libraw_says(height=8, width=round(path.stat().st_size / bits))
    assert ("cannot hold" in refusal(path)) is not held


# --- real files ---


def test_every_good_file_is_read_as_large_as_libraw_makes_it(shared_raw: Path):
    for path in sorted((shared_raw / "good").iterdir()):
        frame = raw.read(path)
        with rawpy.imread(str(path)) as libraw:
            height, width = libraw.raw_image_visible.shape
            assert (frame.mosaic[-height:, -width:] == libraw.raw_image_visible).all(), path
            size = (2160, 4096) if "blackmagic" in path.name else (libraw.sizes.iheight, libraw.sizes.iwidth)
            assert (frame.visible.height, frame.visible.width) == size, path
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


def cropped(path: Path, origin: tuple[int, int], size: tuple[int, int]) -> Path:
    """Have a DNG ask for a part of its picture, column and row first, by tags that take the place of two others."""
    data = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", data, 4)[0]
    for entry in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        tag = struct.unpack_from("<H", data, entry)[0]
        if tag in (50707, 50778):  # DNGBackwardVersion, CalibrationIlluminant1
            replaced, value = (50719, origin) if tag == 50707 else (50720, size)
            struct.pack_into("<HHI2H", data, entry, replaced, 3, 2, *value)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("phase", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_a_dng_is_cropped_as_it_asks(write_dng: WriteDng, phase):
    mosaic = noise((60, 80))
    area = Window(6, 4, 50, 70)
    path = write_dng("a.dng", mosaic, phase=phase, visible=area)
    frame = raw.read(cropped(path, origin=(5, 3), size=(40, 30)))
    seen = frame.visible
    assert (seen.height, seen.width) == (30, 40)
    shown = frame.mosaic[seen.top : seen.top + 30, seen.left : seen.left + 40]
    np.testing.assert_array_equal(shown, mosaic[6 + 3 : 6 + 33, 4 + 5 : 4 + 45])


def test_the_rendering_is_cropped_likewise(write_dng: WriteDng):
    mosaic = noise((60, 80))
    path = write_dng("a.dng", mosaic)
    _, whole = raw.render(path, kind="camera", curve="srgb")
    frame, picture = raw.render(cropped(path, origin=(5, 3), size=(40, 30)), kind="camera", curve="srgb")
    assert (frame.visible.top, frame.visible.left) == (3, 5)
    np.testing.assert_array_equal(picture, whole[3:33, 5:45])


@pytest.mark.parametrize(
    ("origin", "size", "left"),
    [((5, 3), (400, 300), (57, 75)), ((5, 3), (4, 4), (60, 80)), ((90, 3), (9, 9), (60, 80))],
)
def test_a_crop_beyond_the_picture_ends_with_it(write_dng: WriteDng, origin, size, left):
    frame = raw.read(cropped(write_dng("a.dng", noise((60, 80))), origin, size))
    assert (frame.visible.height, frame.visible.width) == left


def test_a_real_crop_leaves_the_black_columns_out(shared_raw: Path):
    frame = raw.read(shared_raw / "good" / "blackmagic_pocket4k.dng")
    assert (frame.visible.height, frame.visible.width) == (2160, 4096)
