"""EXIF: what the raw file tells goes on into the picture, and what it does not is left out."""

import io
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import noise
from PIL import ExifTags, Image

from darkroom import tiff
from darkroom.frame import Exposure, Frame, Window
from darkroom.write import exif

EXIF_IFD, GPS_IFD = 34665, 34853
MAKE, MODEL, ORIENTATION, SOFTWARE, DATE_TIME, ARTIST, COPYRIGHT = 271, 272, 274, 305, 306, 315, 33432
EXPOSURE_TIME, F_NUMBER, ISO, TAKEN, FLASH, FOCAL_LENGTH = 33434, 33437, 34855, 36867, 37385, 37386
MAKER_NOTE, COMMENT, SUBSEC, OFFSET, LENS = 37500, 37510, 37521, 36881, 42036
COLOR_SPACE, PIXEL_X, PIXEL_Y = 40961, 40962, 40963

IMAGE = {
    MAKE: "Nikon",
    MODEL: "Z 6",
    ORIENTATION: 6,
    SOFTWARE: "Ver.1.05",
    DATE_TIME: "2024:02:29 23:59:58",
    ARTIST: "A. Night",
    COPYRIGHT: "A. Night, 2024",
}
PHOTO = {
    EXPOSURE_TIME: 1 / 40,
    F_NUMBER: 1.8,
    ISO: 12800,
    TAKEN: "2024:02:29 23:59:58",
    SUBSEC: "42",
    OFFSET: "+01:00",
    37383: 5,  # MeteringMode
    FLASH: 0,
    FOCAL_LENGTH: 35.0,
    LENS: "35 mm f/1.8 S",
    MAKER_NOTE: b"offsets inside" * 9,
    COLOR_SPACE: 65535,
    PIXEL_X: 160,
    PIXEL_Y: 120,
}
PLACE = {1: "N", 2: (55.0, 40.0, 30.5), 3: "E", 4: (12.0, 34.0, 0.0)}


def told(image=IMAGE, photo=PHOTO, place=PLACE, *, order: str = "<") -> bytes:
    """A TIFF with these tags, as Pillow writes it."""
    written = Image.Exif()
    written.endian = order
    for tag, value in image.items():
        written[tag] = value
    written._ifds = {pointer: dict(tags) for pointer, tags in ((EXIF_IFD, photo), (GPS_IFD, place)) if tags}
    return written.tobytes().removeprefix(b"Exif\0\0")


def box(kind: bytes, *inside: bytes) -> bytes:
    data = b"".join(inside)
    return struct.pack(">I", 8 + len(data)) + kind + data


def long_box(kind: bytes, *inside: bytes) -> bytes:
    data = b"".join(inside)
    return struct.pack(">I4sQ", 1, kind, 16 + len(data)) + data


def fuji() -> bytes:
    tiff = b"Exif\0\0" + told()
    app0 = b"\xff\xe0\0\x10JFIF\0" + bytes(9)
    jpeg = b"\xff\xd8" + app0 + struct.pack(">BBH", 0xFF, 0xE1, 2 + len(tiff)) + tiff + b"\xff\xda"
    return b"FUJIFILMCCD-RAW ".ljust(84, b"0") + struct.pack(">I", 200) + bytes(112) + jpeg


def canon() -> bytes:
    gps = told(PLACE, {}, {})
    photo = told(PHOTO, {}, {})
    uuid = box(
        b"uuid",
        bytes.fromhex("85c0b687820f11e08111f4ce462b6a48"),
        box(b"CNCV", b"CanonCR3_001/00.09.00/00.00.00"),
        box(b"CMT1", told(IMAGE, {}, {})),
        box(b"CMT2", photo),
        box(b"CMT3", b"II*\0maker note"),
        box(b"CMT4", gps),
    )
    other = box(b"uuid", bytes(16), box(b"CMT1", told({MAKE: "wrong"}, {}, {})))
    return box(b"ftyp", b"crx ") + long_box(b"moov", other, uuid) + box(b"mdat", bytes(1000))


RAWS = {
    "little-endian TIFF": told(),
    "big-endian TIFF": told(order=">"),
    "Olympus": b"IIRO" + told()[4:],
    "Panasonic": b"IIU\0" + told()[4:],
    "Fuji": fuji(),
    "Canon CR3": canon(),
}


def frame(exposure: Exposure = Exposure(1 / 30, 3200, 2.8), camera: str = "Frame Camera") -> Frame:
    return Frame(
        mosaic=np.zeros((2, 2), np.uint16),
        cfa="bayer",
        black=np.zeros((2, 2), np.float32),
        white=1023,
        white_balance=None,
        daylight=None,
        camera_to_srgb=np.eye(3, dtype=np.float32),
        exposure=exposure,
        visible=Window(0, 0, 2, 2),
        orientation=6,
        camera=camera,
        bits=10,
    )


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


KEPT = """
    ExposureTime FNumber ExposureProgram ISOSpeedRatings SensitivityType StandardOutputSensitivity
    RecommendedExposureIndex ISOSpeed ISOSpeedLatitudeyyy ISOSpeedLatitudezzz ExifVersion DateTimeOriginal
    DateTimeDigitized OffsetTime OffsetTimeOriginal OffsetTimeDigitized ShutterSpeedValue ApertureValue BrightnessValue
    ExposureBiasValue MaxApertureValue SubjectDistance MeteringMode LightSource Flash FocalLength UserComment SubsecTime
    SubsecTimeOriginal SubsecTimeDigitized AmbientTemperature Humidity Pressure WaterDepth Acceleration
    CameraElevationAngle FlashEnergy ExposureIndex SensingMethod FileSource SceneType ExposureMode WhiteBalance
    DigitalZoomRatio FocalLengthIn35mmFilm SceneCaptureType GainControl SubjectDistanceRange ImageUniqueID
    CameraOwnerName BodySerialNumber LensSpecification LensMake LensModel LensSerialNumber
"""
KEPT_OF_THE_IMAGE = """
    ImageDescription Make Model XResolution YResolution ResolutionUnit DateTime Artist Copyright Rating RatingPercent
"""


@pytest.mark.parametrize(
    ("table", "names"), [(exif._EXIF_TAGS, KEPT), (exif._IMAGE_TAGS, KEPT_OF_THE_IMAGE)], ids=["EXIF", "image"]
)
def test_the_tags_kept_are_those_of_these_names(table, names):
    ep = 37387, 37397  # numbers of TIFF/EP, which Exif has again at 41483 and 41493
    assert {tag: ExifTags.TAGS.get(tag, tag) for tag in table} == {
        tag: name for tag, name in ExifTags.TAGS.items() if name in names.split() and tag not in ep
    }


def boxes(data: bytes, at: int = 0, end: int | None = None) -> list[tuple[bytes, int, int]]:
    return list(exif._boxes(io.BytesIO(data), at, len(data) if end is None else end))


def test_boxes_are_walked_with_short_and_long_headers_and_end_with_what_holds_them():
    data = box(b"one ", b"abc") + long_box(b"two ", b"de") + box(b"six ")
    assert boxes(data) == [(b"one ", 8, 11), (b"two ", 27, 29), (b"six ", 37, 37)]
    assert boxes(data, 0, 10) == [(b"one ", 8, 10)], "no further than the box around it"
    assert boxes(data, 11) == boxes(data)[1:] and boxes(data, 11, 11) == []
    assert boxes(struct.pack(">I4s", 7, b"tiny") + data) == [], "shorter than its own header"
    assert boxes(struct.pack(">I4sQ", 1, b"tiny", 15) + data) == []


def test_64_boxes_are_looked_at_on_a_level():
    assert [len(boxes(box(b"free") * count)) for count in (63, 64, 65)] == [63, 64, 64]


@pytest.mark.parametrize(("before", "found"), [(0, True), (63, True), (64, False)])
def test_exif_is_among_the_first_64_segments_of_a_jpeg(before, found):
    data = b"\xff\xd8" + b"\xff\xe0\0\4ab" * before
    end = len(data) + 10
    assert exif._jpeg_exif(io.BytesIO(data + b"\xff\xe1\0\x20Exif\0\0"), 0) == (end if found else None)


@pytest.mark.parametrize(("kind", "found"), [(0xD8, True), (0xD9, True), (0xDA, False), (0xDB, True), (0xE1, True)])
def test_exif_comes_before_the_samples_of_a_jpeg(kind, found):
    data = b"\xff\xd8\xff" + bytes([kind]) + b"\0\x0aother xx" + b"\xff\xe1\0\x20Exif\0\0"
    assert exif._jpeg_exif(io.BytesIO(data), 0) == (len(data) if found else None)


@pytest.mark.parametrize(
    ("main", "shot", "day"),
    [
        ({DATE_TIME: 1, TAKEN: 2}, {TAKEN: 3, TAKEN + 1: 4}, 3),
        ({DATE_TIME: 1, TAKEN: 2}, {TAKEN + 1: 4}, 2),
        ({DATE_TIME: 1, TAKEN + 1: 4}, {TAKEN + 1: 4}, 1),
        ({TAKEN + 1: 4, DATE_TIME + 1: 4}, {DATE_TIME: 4}, None),
    ],
)
def test_a_photo_was_taken_when_exif_says_or_its_main_directory_or_when_it_was_changed(tmp_path, main, shot, day):
    def dates(days):
        return {tag: tiff.field(tiff.ASCII, f"2024:02:{day:02} 23:59:58") for tag, day in days.items()}

    (tmp_path / "a.tif").write_bytes(tiff.block(dates(main) | {EXIF_IFD: dates(shot)}))
    found = exif.taken(tmp_path / "a.tif")
    assert (found and found.day) == day


@pytest.mark.parametrize(
    ("exposure", "tags"),
    [
        (Exposure(1e-9, 0.99, 0.1), set()),
        (Exposure(1e5, float("inf"), 1e3), set()),
        (Exposure(2e-9, 1, 0.11), {EXPOSURE_TIME, ISO, F_NUMBER}),
        (Exposure(99_999, 65536, 999), {EXPOSURE_TIME, ISO, F_NUMBER}),
    ],
)
def test_of_an_exposure_only_what_can_be_is_told(exposure, tags):
    assert exif._exposure(frame(exposure)).keys() == tags


@pytest.mark.parametrize("tag", [MAKE, EXPOSURE_TIME])
@pytest.mark.parametrize(("length", "kept"), [(9, True), (10, True), (11, False)])
def test_a_value_is_kept_up_to_the_longest_and_if_wanted(tag, length, kept):
    value = tiff.Field(tiff.UNDEFINED, b"x" * length)
    assert (tag in exif._kept({tag: value}, {MAKE, EXPOSURE_TIME}, 10)) is kept
    assert not exif._kept({tag: value}, {MODEL}, 10)


def test_a_text_is_cut_to_what_a_value_may_hold_with_its_end():
    assert exif._text("x" * 5000).value == b"x" * (exif._LONGEST_VALUE - 1) + b"\0"


@pytest.mark.parametrize(("srgb", "told"), [(True, 1), (False, 65535)])
def test_what_every_file_tells_of_itself(tmp_path, srgb, told):
    found = exif.directories(tmp_path / "gone", frame(), 2, width=7, height=5, software="s", srgb=srgb)
    assert [tiff.first(found, tag) for tag in (274, 531, 296)] == [1, 1, 2]
    assert found[282].value == found[283].value == struct.pack("<II", 72, 1)
    shot = found[EXIF_IFD]
    assert [tiff.first(shot, tag) for tag in (COLOR_SPACE, PIXEL_X, PIXEL_Y)] == [told, 7, 5]
    assert (shot[36864].value, shot[40960].value, shot[37121].value) == (b"0232", b"0100", b"\1\2\3\0")
    assert GPS_IFD not in found
