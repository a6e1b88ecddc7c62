"""EXIF: what the raw file tells goes on into the picture, and what it does not is left out."""

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import noise
from PIL import Image
from tagged import (
    ARTIST,
    COLOR_SPACE,
    COMMENT,
    COPYRIGHT,
    DATE_TIME,
    EXIF_IFD,
    EXPOSURE_TIME,
    F_NUMBER,
    FLASH,
    FOCAL_LENGTH,
    GPS_IFD,
    IMAGE,
    ISO,
    LENS,
    MAKE,
    MAKER_NOTE,
    MODEL,
    OFFSET,
    ORIENTATION,
    PHOTO,
    PIXEL_X,
    PIXEL_Y,
    PLACE,
    RAWS,
    SOFTWARE,
    TAKEN,
    box,
    frame,
    told,
)

from darkroom import tiff
from darkroom.frame import Exposure, Frame
from darkroom.write import exif


def block(folder: Path, raw: bytes, of: Frame | None = None, ratio: float = 123.4) -> bytes:
    path = folder / "photo.raw"
    path.write_bytes(raw)
    return exif.block(path, of or frame(), ratio, width=4000, height=3000, software="darkroom 0.1.0")


def read(data: bytes) -> tuple[dict, dict, dict]:
    found = Image.Exif()
    found.load(b"Exif\0\0" + data)
    return dict(found), found.get_ifd(EXIF_IFD), found.get_ifd(GPS_IFD)


@pytest.mark.parametrize("raw", RAWS.values(), ids=RAWS)
def test_what_the_camera_told_survives_from_every_kind_of_raw_file(tmp_path, raw):
    image, photo, place = read(block(tmp_path, raw))
    for tag in (MAKE, MODEL, DATE_TIME, ARTIST, COPYRIGHT):
        assert image[tag] == IMAGE[tag]
    for tag in PHOTO.keys() - {MAKER_NOTE, COLOR_SPACE, PIXEL_X, PIXEL_Y}:
        assert photo[tag] == pytest.approx(PHOTO[tag]), tag
    for tag, value in PLACE.items():
        assert place[tag] == value


@pytest.mark.parametrize("raw", RAWS.values(), ids=RAWS)
def test_what_no_longer_holds_is_replaced_or_left_out(tmp_path, raw):
    image, photo, _ = read(block(tmp_path, raw))
    assert image[ORIENTATION] == 1
    assert image[SOFTWARE] == "darkroom 0.1.0"
    assert photo[COLOR_SPACE] == 1
    assert (photo[PIXEL_X], photo[PIXEL_Y]) == (4000, 3000)
    assert photo[COMMENT] == b"ASCII\0\0\0darkroom x123.4"
    assert MAKER_NOTE not in photo


def test_tags_of_the_raw_samples_and_the_thumbnail_stay_behind(tmp_path):
    samples = {256: 160, 259: 1, 273: 8, 279: 100, 330: 8, 513: 8, 514: 100, 33421: (2, 2), 50721: 1.0}
    image, _, _ = read(block(tmp_path, told(IMAGE | samples)))
    assert not samples.keys() & image.keys()


def test_a_comment_of_the_photographer_stays_before_the_ratio(tmp_path):
    photo = PHOTO | {COMMENT: b"ASCII\0\0\0the old bridge   \0"}
    assert read(block(tmp_path, told(photo=photo)))[1][COMMENT] == b"ASCII\0\0\0the old bridge; darkroom x123.4"


def test_a_blank_comment_leaves_the_ratio_alone(tmp_path):
    for blank in (b"ASCII\0\0\0" + b" " * 36, bytes(44), b"UNICODE\0\0x"):
        photo = PHOTO | {COMMENT: blank}
        assert read(block(tmp_path, told(photo=photo), ratio=300))[1][COMMENT] == b"ASCII\0\0\0darkroom x300"


@pytest.mark.parametrize("raw", [b"", b"II*\0", b"II*\0" + b"\xff" * 4, b"not a photo" * 9, b"FUJIFILM", box(b"ftyp")])
def test_a_file_without_exif_gets_the_facts_of_the_frame(tmp_path, raw):
    image, photo, place = read(block(tmp_path, raw))
    assert image[MODEL] == "Frame Camera"
    assert photo[EXPOSURE_TIME] == pytest.approx(1 / 30)
    assert (photo[F_NUMBER], photo[ISO]) == (2.8, 3200)
    assert not place


def test_a_file_that_is_gone_gets_the_facts_of_the_frame(tmp_path):
    found = exif.block(tmp_path / "gone.dng", frame(), 2, width=4, height=3, software="darkroom 0.1.0")
    assert read(found)[0][MODEL] == "Frame Camera"


def test_blank_values_give_way_to_the_frame(tmp_path):
    photo = {EXPOSURE_TIME: 0.0, F_NUMBER: 0.0, ISO: 0, TAKEN: " " * 19, FLASH: 0}
    image, photo, _ = read(block(tmp_path, told({MAKE: "   ", MODEL: ""}, photo)))
    assert image[MODEL] == "Frame Camera"
    assert MAKE not in image
    assert photo[EXPOSURE_TIME] == pytest.approx(1 / 30)
    assert (photo[F_NUMBER], photo[ISO]) == (2.8, 3200)
    assert TAKEN not in photo
    assert photo[FLASH] == 0  # not blank: it did not fire


def test_an_exposure_told_in_the_first_directory_is_found(tmp_path):
    image, photo, _ = read(block(tmp_path, told(IMAGE | {EXPOSURE_TIME: 1 / 230, ISO: 84}, {}, {})))
    assert photo[EXPOSURE_TIME] == pytest.approx(1 / 230)
    assert photo[ISO] == 84
    assert EXPOSURE_TIME not in image


@pytest.mark.parametrize(
    ("seconds", "fraction"),
    [(1 / 30, (1, 30)), (1 / 8000, (1, 8000)), (1 / 32000, (1, 32000)), (30, (30, 1)), (0.8, (4, 5))],
)
def test_an_exposure_in_single_precision_becomes_the_cameras_fraction(tmp_path, seconds, fraction):
    of = frame(Exposure(float(np.float32(seconds)), 100, 0))
    value = read(block(tmp_path, b"", of))[1][EXPOSURE_TIME]
    assert (value.numerator, value.denominator) == fraction


def test_an_exposure_nobody_knows_is_left_out(tmp_path):
    for unknown in (0.0, -1.0, float("nan"), float("inf")):
        photo = read(block(tmp_path, b"", frame(Exposure(unknown, unknown, unknown), camera="")))[1]
        assert not {EXPOSURE_TIME, F_NUMBER, ISO} & photo.keys()


def test_an_iso_past_what_exif_holds_becomes_the_largest(tmp_path):
    assert read(block(tmp_path, b"", frame(Exposure(1, 409600, 2))))[1][ISO] == 65535


def test_a_camera_name_beyond_ascii_is_spelt_without(tmp_path):
    assert read(block(tmp_path, b"", frame(camera="Käm")))[0][MODEL] == "K?m"


def test_a_place_of_a_camera_without_receiver_is_left_out(tmp_path):
    assert GPS_IFD not in read(block(tmp_path, told(place={0: b"\2\3\0\0"})))[0]


def test_a_place_without_version_gets_one(tmp_path):
    assert read(block(tmp_path, told()))[2][0] == b"\2\3\0\0"


def test_the_largest_block_fits_a_jpeg_segment(tmp_path):
    image = dict.fromkeys(exif._IMAGE_TAGS, "x" * (exif._LONGEST_TEXT - 1))
    photo = dict.fromkeys(exif._EXIF_TAGS, b"x" * exif._LONGEST_VALUE)
    place = dict.fromkeys(range(32), b"x" * exif._LONGEST_VALUE)
    image, photo, place = ({tag: entry(value) for tag, value in part.items()} for part in (image, photo, place))
    size = len(tiff.block(image | {EXIF_IFD: photo, GPS_IFD: place}))
    assert 40_000 < size < 65_533 - len(b"Exif\0\0") - 1000


def entry(value: str | bytes) -> tiff.Field:
    return tiff.Field(tiff.UNDEFINED, value.encode() if isinstance(value, str) else value)


def test_text_padded_by_the_camera_is_trimmed_and_ended(tmp_path):
    open_ended = told({MAKE: "NIKON  ", MODEL: "D1000"}, {}, {}).replace(b"D1000\0", b"D1000 ")
    data = block(tmp_path, open_ended)
    assert b"NIKON\0" in data
    assert b"D1000\0" in data


def test_a_value_too_long_is_left_out(tmp_path):
    image, photo, _ = read(block(tmp_path, told(IMAGE | {ARTIST: "x" * 3000}, PHOTO | {LENS: "x" * 300})))
    assert ARTIST not in image
    assert LENS not in photo
    assert image[MAKE] == "Nikon"


def test_directories_that_point_at_themselves_come_to_an_end(tmp_path):
    entries = struct.pack("<HHII", EXIF_IFD, 4, 1, 8) + struct.pack("<HHII", GPS_IFD, 4, 1, 8)
    circle = b"II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 8)
    assert read(block(tmp_path, circle))[0][ORIENTATION] == 1
    endless = box(b"ftyp", b"crx ") + box(b"free") * 500
    assert read(block(tmp_path, endless))[0][ORIENTATION] == 1
    segments = b"FUJIFILM".ljust(84, b"0") + struct.pack(">I", 88) + b"\xff\xd8" + b"\xff\xe0\0\0" * 500
    assert read(block(tmp_path, segments))[0][ORIENTATION] == 1


@pytest.mark.filterwarnings("ignore")  # Pillow warns of the nonsense carried over; ours is only that a block is made
@pytest.mark.parametrize("raw", RAWS.values(), ids=RAWS)
def test_broken_bytes_still_make_a_block(tmp_path, raw):
    chance = np.random.default_rng(0)
    for _ in range(100):
        broken = bytearray(raw)
        for at in chance.integers(0, len(raw), 12):
            broken[at] = chance.integers(0, 256)
        image, photo, _ = read(block(tmp_path, bytes(broken[: chance.integers(1, len(raw) + 1)])))
        assert image[ORIENTATION] == 1
        assert photo[PIXEL_X] == 4000


@pytest.mark.parametrize(
    ("name", "model", "tag", "value"),
    [
        ("good/nikon_d1.nef", "NIKON D1", F_NUMBER, 7.6),
        ("good/kodak_dc50.kdc", "Kodak Digital Science DC50 Zoom Camera", EXPOSURE_TIME, 1 / 230),
        ("broken/truncated_cr2.cr2", "Canon PowerShot S90", FOCAL_LENGTH, 8.6),
        ("broken/silent_zeros_panasonic.rw2", "DMC-LX3", TAKEN, "2008:08:06 15:21:56"),
        ("broken/silent_zeros_iphone12_proraw.dng", "iPhone 12 Pro", OFFSET, "-05:00"),
    ],
)
def test_real_files_keep_their_exif(shared_raw, name, model, tag, value):
    image, photo, _ = read(exif.block(shared_raw / name, frame(), 1, width=4, height=3, software="darkroom 0.1.0"))
    assert image[MODEL] == model
    assert photo[tag] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-2))


@pytest.mark.skipif(not shutil.which("exiftool"), reason="no exiftool installed")
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_exiftool_finds_nothing_missing(write_dng, run, here, suffix):
    write_dng("a.dng", noise((64, 80), low=600, high=3000))
    assert run("develop", "a.dng", "--model", "n.onnx", "--amp", "2", "-o", f"a.{suffix}")[0] == 0
    command = ["exiftool", "-validate", "-warning", "-a", f"a.{suffix}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.rstrip().endswith("OK"), said


@pytest.mark.parametrize(
    ("seconds", "told"), [(1 / 160, (1, 160)), (1 / 8000, (1, 8000)), (2.54, (127, 50)), (10.3, (103, 10))]
)
def test_exposure_times_are_told_as_cameras_do(seconds, told):
    value = exif._rational(float(np.float32(seconds))).value
    assert struct.unpack("<II", value) == told
