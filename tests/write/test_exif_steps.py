"""The steps of writing EXIF, each by itself: what is kept, where it is found, how a value is told."""

import io
import struct

import pytest
from PIL import ExifTags
from tagged import (
    COLOR_SPACE,
    DATE_TIME,
    EXIF_IFD,
    EXPOSURE_TIME,
    F_NUMBER,
    GPS_IFD,
    ISO,
    MAKE,
    MODEL,
    PIXEL_X,
    PIXEL_Y,
    TAKEN,
    box,
    frame,
    long_box,
)

from darkroom import tiff
from darkroom.frame import Exposure
from darkroom.write import exif

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
