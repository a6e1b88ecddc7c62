"""Picture files: what was written is what other programs read, and nothing is left half written."""

import io
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from made import picture
from PIL import Image, ImageCms, JpegImagePlugin

from darkroom import colour, tiff
from darkroom.develop.curves import linear_to_srgb, srgb_to_linear
from darkroom.errors import SettingsError
from darkroom.frame import Bands
from darkroom.write import icc, image

FORMATS = [".png", ".tif", ".jpg"]
DEPTHS = [(".png", np.uint8), (".png", np.uint16), (".tif", np.uint8), (".TIFF", np.uint16), (".tif", np.float32)]
MAKE, ORIENTATION, EXIF_IFD, GPS_IFD, LENS = 271, 274, 34665, 34853, 42036


def exif_block() -> bytes:
    """A block with a camera, a lens and a place; of odd length, which TIFF has to pad."""
    told = Image.Exif()
    told.endian = "<"
    told[MAKE], told[ORIENTATION] = "Nikon", 1
    told._ifds = {EXIF_IFD: {LENS: "35 mm f/1.8 S"}, GPS_IFD: {1: "N", 2: (55.0, 40.0, 30.5)}}
    data = told.tobytes().removeprefix(b"Exif\0\0")
    return data + bytes(1 - len(data) % 2)


def write(values: np.ndarray, path: Path, *, exif: bytes = b"", overwrite: bool = False) -> bytes:
    image.write(values, path, exif=exif, overwrite=overwrite)
    return path.read_bytes()


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG, their checksums tested."""
    found, at = [], 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + data) == int.from_bytes(png[at + 8 + length : at + 12 + length])
        found.append((kind, data))
        at += 12 + length
    return found


def decode(data: bytes, suffix: str) -> np.ndarray:
    return imagecodecs.png_decode(data) if suffix == ".png" else tifffile.imread(io.BytesIO(data))


@pytest.mark.parametrize(("suffix", "dtype"), DEPTHS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (37, 53)])
def test_a_picture_reads_back_exactly(tmp_path, suffix, dtype, shape):
    values = picture(*shape, dtype)
    found = decode(write(values, tmp_path / f"photo{suffix}"), suffix)
    assert found.dtype == dtype
    assert np.array_equal(found.reshape(values.shape), values)


@pytest.mark.parametrize(("suffix", "dtype"), DEPTHS)
@pytest.mark.parametrize("band", [1, 1000, 5000])
def test_no_band_shows_in_the_file(tmp_path, monkeypatch, suffix, dtype, band):
    monkeypatch.setattr(image, "_BAND", band)
    values = picture(dtype=dtype)
    assert np.array_equal(decode(write(values, tmp_path / f"photo{suffix}"), suffix), values)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_turned_view_is_written_as_it_looks(tmp_path, suffix):
    values = picture(dtype=np.uint16).transpose(1, 0, 2)[::-1]
    assert np.array_equal(decode(write(values, tmp_path / f"photo{suffix}"), suffix), values)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_other_readers_agree_on_8_bits(tmp_path, suffix):
    write(picture(), tmp_path / f"photo{suffix}")
    with Image.open(tmp_path / f"photo{suffix}") as found:
        assert np.array_equal(np.asarray(found), picture())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_libtiff_agrees_on_every_depth(tmp_path, dtype):
    values = picture(dtype=dtype)
    assert np.array_equal(imagecodecs.tiff_decode(write(values, tmp_path / "photo.tif")), values)


def test_a_png_inflates_to_the_checksum_it_states(tmp_path, monkeypatch):
    monkeypatch.setattr(image, "_BAND", 1000)
    stream = b"".join(data for kind, data in chunks(write(picture(), tmp_path / "photo.png")) if kind == b"IDAT")
    assert len(zlib.decompress(stream)) == 37 * (1 + 3 * 53)


def test_flat_and_noisy_pictures_take_little_more_than_libpng_needs(tmp_path):
    for values in (picture(200, 300), np.zeros((200, 300, 3), np.uint8)):
        size = len(write(values, tmp_path / "photo.png", overwrite=True))
        assert size < 1.1 * len(imagecodecs.png_encode(values, 1)) + 1000


def test_a_jpeg_is_near_and_keeps_its_colour_samples(tmp_path):
    values = np.repeat(np.repeat(picture(8, 8), 16, 0), 16, 1)
    write(values, tmp_path / "photo.jpg")
    with Image.open(tmp_path / "photo.jpg") as found:
        assert JpegImagePlugin.get_sampling(found) == 0  # 4:4:4
        assert np.abs(np.asarray(found).astype(int) - values).max() < 12


def test_a_jpeg_of_a_turned_view_is_turned(tmp_path):
    values = np.repeat(np.repeat(picture(8, 5), 16, 0), 16, 1).transpose(1, 0, 2)
    write(values, tmp_path / "photo.jpeg")
    with Image.open(tmp_path / "photo.jpeg") as found:
        assert np.abs(np.asarray(found).astype(int) - values).max() < 12


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_carries_the_srgb_profile(tmp_path, suffix):
    write(picture(), tmp_path / f"photo{suffix}", exif=exif_block())
    with Image.open(tmp_path / f"photo{suffix}") as found:
        assert found.info["icc_profile"] == icc.profile("srgb", linear=False)


def test_float_pictures_carry_a_linear_profile(tmp_path):
    path = tmp_path / "photo.tif"
    image.write(np.zeros((4, 4, 3), np.float32), path, exif=b"", overwrite=False)
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].tags["InterColorProfile"].value == icc.profile("srgb", linear=True)
    linear, srgb = (
        ImageCms.ImageCmsProfile(io.BytesIO(data))
        for data in (icc.profile("srgb", linear=True), icc.profile("srgb", linear=False))
    )
    half = Image.new("RGB", (1, 1), (55, 55, 55))  # 0.2158 of light
    shown = ImageCms.profileToProfile(half, linear, srgb).getpixel((0, 0))
    assert all(abs(value - 128) <= 1 for value in shown)


def test_the_profile_is_srgb(tmp_path):
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc.profile("srgb", linear=False)))
    values = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    known = ImageCms.createProfile("sRGB")
    assert np.array_equal(ImageCms.profileToProfile(values, profile, known), values)
    assert np.array_equal(ImageCms.profileToProfile(values, known, profile), values)
    assert ImageCms.getProfileDescription(profile).strip() == "sRGB"
    assert sum(np.array(list(icc._PRIMARIES.values()))).tolist() == list(icc._D50)


def test_a_png_states_its_colour_once_and_before_the_samples(tmp_path):
    kinds = [kind for kind, _ in chunks(write(picture(), tmp_path / "photo.png", exif=exif_block()))]
    assert kinds[:4] == [b"IHDR", b"iCCP", b"eXIf", b"IDAT"]
    assert b"sRGB" not in kinds


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_carries_the_exif(tmp_path, suffix):
    write(picture(), tmp_path / f"photo{suffix}", exif=exif_block())
    with Image.open(tmp_path / f"photo{suffix}") as found:
        told = found.getexif()
        assert told[MAKE] == "Nikon"
        assert told[ORIENTATION] == 1
        assert told.get_ifd(EXIF_IFD)[LENS] == "35 mm f/1.8 S"
        assert told.get_ifd(GPS_IFD)[2] == (55.0, 40.0, 30.5)


def test_tifffile_reads_the_nested_directories(tmp_path):
    write(picture(dtype=np.uint16), tmp_path / "photo.tif", exif=exif_block())
    with tifffile.TiffFile(tmp_path / "photo.tif") as found:
        tags = found.pages[0].tags
        assert tags["ExifTag"].value["LensModel"] == "35 mm f/1.8 S"
        assert tags["GPSTag"].value["GPSLatitudeRef"] == "N"
        assert [tag.code for tag in tags] == sorted(tag.code for tag in tags)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("compression", ["none", "deflate", "zstd"])
def test_every_tiff_reads_back_exactly_with_its_exif(tmp_path, monkeypatch, compression, tiled, dtype):
    monkeypatch.setattr(image, "_BAND", 10_000)
    values, path = picture(300, 270, dtype=dtype), tmp_path / "photo.tif"
    image.write(values, path, exif=exif_block(), overwrite=False, encoding=image.Encoding(compression, tiled))
    with tifffile.TiffFile(path) as found:
        page = found.pages[0]
        assert np.array_equal(page.asarray(), values)
        assert page.compression.name == {"none": "NONE", "deflate": "ADOBE_DEFLATE", "zstd": "ZSTD"}[compression]
        assert page.is_tiled == tiled and len(page.dataoffsets) > 1
        assert page.tags["ExifTag"].value["LensModel"] == "35 mm f/1.8 S"
        assert page.tags["GPSTag"].value["GPSLatitudeRef"] == "N"
        assert len(found.pages) == 1
    assert np.array_equal(imagecodecs.tiff_decode(path.read_bytes()), values)  # by libtiff


def test_a_compressed_tiff_is_smaller(tmp_path):
    values = np.repeat(picture(300, 27, dtype=np.uint16), 10, 1)
    sizes = {}
    for compression in ("none", "deflate", "zstd"):
        path = tmp_path / f"{compression}.tif"
        image.write(values, path, exif=b"", overwrite=False, encoding=image.Encoding(compression))
        sizes[compression] = path.stat().st_size
    assert max(sizes["deflate"], sizes["zstd"]) < sizes["none"] / 3


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_picture_without_exif_has_none(tmp_path, suffix):
    write(picture(), tmp_path / f"photo{suffix}")
    with Image.open(tmp_path / f"photo{suffix}") as found:
        assert MAKE not in found.getexif()


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_same_picture_gives_the_same_file(tmp_path, suffix):
    first, second = (write(picture(), tmp_path / f"{name}{suffix}", exif=exif_block()) for name in "ab")
    assert first == second


@pytest.mark.parametrize(
    ("name", "dtype", "message"),
    [
        ("photo.bmp", np.uint8, 'photo.bmp: cannot write ".bmp"; name it .png, .tif, .jpg, .avif, .jxl or .dng'),
        ("photo", np.uint8, 'photo: cannot write ""; name it .png, .tif, .jpg, .avif, .jxl or .dng'),
        ("photo.jpg", np.uint16, "photo.jpg: .jpg holds 8 bits, not 16; ask for 8 bits, or name it otherwise"),
        (
            "photo.PNG",
            np.float32,
            "photo.PNG: .PNG holds 8 or 16 bits, not 32; ask for 8 or 16 bits, or name it otherwise",
        ),
    ],
)
def test_a_format_that_cannot_hold_the_picture_is_refused(tmp_path, name, dtype, message):
    with pytest.raises(SettingsError) as refused:
        write(picture(dtype=dtype), tmp_path / name)
    assert str(refused.value) == message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cut", [0, 1, 5, 4000])
def test_checksums_of_pieces_join_to_that_of_the_whole(cut):
    data = np.random.default_rng(cut).bytes(70_000)
    joined = image._adler_joined(zlib.adler32(data[:cut]), zlib.adler32(data[cut:]), len(data) - cut)
    assert joined == zlib.adler32(data)


def test_the_header_of_a_16_bit_png_says_16_bits(tmp_path):
    header = dict(chunks(write(picture(dtype=np.uint16), tmp_path / "photo.png")))[b"IHDR"]
    assert struct.unpack(">IIBBBBB", header) == (53, 37, 16, 2, 0, 0, 0)


@pytest.mark.parametrize("space", ["display-p3", "rec2020", "prophoto"])
def test_a_profile_takes_the_colours_of_its_space_to_srgb_as_the_matrix_does(space):
    srgb = np.array([[[200, 100, 50], [90, 160, 90], [128, 128, 128], [250, 250, 250]]], np.uint8)
    light = srgb_to_linear(srgb / 255) @ colour.from_srgb(space).T.astype(float)
    codes = np.rint(linear_to_srgb(light) * 255).astype(np.uint8)
    own, plain = (ImageCms.ImageCmsProfile(io.BytesIO(icc.profile(name, linear=False))) for name in (space, "srgb"))
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    seen = np.asarray(ImageCms.profileToProfile(Image.fromarray(codes), own, plain, renderingIntent=intent))
    assert abs(seen.astype(int) - srgb).max() <= 2


@pytest.mark.parametrize("name", ["a.avif", "a.jxl"])
def test_avif_and_jxl_keep_the_picture_and_its_exif(tmp_path, name):
    smooth = np.linspace(30, 220, 64 * 48, dtype=np.float32).reshape(48, 64, 1) * np.array([1, 0.8, 0.6], np.float32)
    picture = smooth.astype(np.uint8)
    block = tiff.block({271: tiff.field(tiff.ASCII, "Nikon")})
    image.write(picture, tmp_path / name, exif=block, overwrite=False)
    data = (tmp_path / name).read_bytes()
    decode = imagecodecs.avif_decode if name == "a.avif" else imagecodecs.jpegxl_decode
    assert abs(decode(data).astype(int) - picture).mean() < 2
    assert block in data
    if name == "a.jxl":
        deep = picture.astype(np.uint16) * 257
        image.write(deep, tmp_path / "deep.jxl", exif=b"", overwrite=False)
        back = imagecodecs.jpegxl_decode((tmp_path / "deep.jxl").read_bytes())
        assert back.dtype == np.uint16 and abs(back.astype(int) - deep).mean() < 400


@pytest.mark.parametrize("depth", [10, 12])
def test_a_deep_avif_keeps_the_picture_its_space_and_its_exif(tmp_path, depth):
    ramp = np.linspace(3000, 60000, 64 * 48).reshape(48, 64, 1) * np.array([1, 0.8, 0.6])
    picture = ramp.astype(np.uint16)
    block = tiff.block({271: tiff.field(tiff.ASCII, "Nikon")})
    encoding = image.Encoding(depth=depth)
    image.write(picture, tmp_path / "a.avif", exif=block, overwrite=False, encoding=encoding, space="rec2020")
    data = (tmp_path / "a.avif").read_bytes()
    back = imagecodecs.avif_decode(data)
    assert back.dtype == np.uint16 and abs(back.astype(int) - (picture >> (16 - depth))).mean() < 2**depth / 500
    assert b"nclx" + struct.pack(">HH", 9, 13) in data  # BT.2020, under the sRGB curve
    with Image.open(tmp_path / "a.avif") as seen:
        assert seen.getexif()[271] == "Nikon" and seen.size == (64, 48)


@pytest.mark.parametrize("encoding", [image.Encoding(), image.Encoding("zstd"), image.Encoding(tiled=True)])
@pytest.mark.parametrize(("suffix", "dtype"), [*DEPTHS, (".jpg", np.uint8)])
@pytest.mark.parametrize("heights", [[37], [1, 36], [20, 10, 7], [1] * 37])
def test_a_picture_that_comes_in_bands_gives_the_same_file(tmp_path, monkeypatch, suffix, dtype, heights, encoding):
    monkeypatch.setattr(image, "_BAND", 2000)
    values = picture(dtype=dtype)
    ends = np.cumsum(heights).tolist()
    rows = iter([values[end - height : end] for height, end in zip(heights, ends, strict=True)])
    for name, given in (("whole", values), ("bands", Bands(values.shape, values.dtype, rows))):
        image.write(given, tmp_path / f"{name}{suffix}", exif=exif_block(), overwrite=False, encoding=encoding)
    assert (tmp_path / f"bands{suffix}").read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_picture_is_encoded_while_the_rest_is_still_made(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(image, "_BAND", 50_000)
    values, written = picture(4000, 53), []

    def rows():
        for top in range(0, 4000, 1000):
            written.append(sum(file.stat().st_size for file in tmp_path.iterdir()))
            yield values[top : top + 1000]

    assert not image.waits(tmp_path / f"photo{suffix}")
    monkeypatch.setattr(image, "WORKERS", 1)
    image.write(Bands(values.shape, values.dtype, rows()), tmp_path / f"photo{suffix}", exif=b"", overwrite=False)
    assert written[0] < written[1] < written[2] < written[3]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_picture_whose_making_ends_early_leaves_nothing(tmp_path, suffix):
    def rows():
        yield picture()[:20]
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        image.write(Bands((37, 53, 3), np.dtype(np.uint8), rows()), tmp_path / f"a{suffix}", exif=b"", overwrite=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("width", range(1, 7))
def test_every_directory_of_a_tiff_begins_at_an_even_byte(tmp_path, width):
    image.write(picture(1, width), tmp_path / "a.tif", exif=exif_block(), overwrite=False)
    with (tmp_path / "a.tif").open("rb") as file:
        order, main = tiff.header(file, 0)
        told, _ = tiff.read(file, 0, main, order)
    assert [place % 2 for place in (main, tiff.first(told, EXIF_IFD), tiff.first(told, GPS_IFD))] == [0, 0, 0]
