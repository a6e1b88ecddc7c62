"""Raw files that are refused: what they are instead, and what damage did to them."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import WriteDng, noise, patch, refusal
from numpy.typing import NDArray

from darkroom.decode import decoder, intact, raw, tags
from darkroom.errors import DarkroomError

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
    assert refusal(linear) == (
        "a linear DNG is demosaicked already; give the raw file it was made from, or make a DNG of that anew "
        "without linear (demosaicked) or small size"
    )
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
    elif kind == "one tile, after a few rows of noise":  # a DNG of JPEG tiles with a hole in its middle
        sensor[440:, 675:] = 0
        sensor[[441, 443, 446, 449], 675:] = noise((4, 225))
    elif kind == "0xFF in 14 bits":
        sensor[439, 300:] = sensor[440:] = 16383
    elif kind == "0xFF in 16 bits":
        sensor[440:] = 65535
    elif kind == "0xFF in a hole":
        sensor[440:500] = 16383
    elif kind == "random bytes":
        sensor[440:] = noise((200, 900), low=0, high=16384)
    elif kind == "random bytes in a hole":
        sensor[440:500] = noise((60, 900), low=0, high=65535)
    return sensor


@pytest.mark.parametrize(
    "kind",
    [
        "last row repeated",
        "last block repeated",
        "two values",
        "one tile",
        "0xFF in 14 bits",
        "0xFF in 16 bits",
        "0xFF in a hole",
        "random bytes",
        "random bytes in a hole",
    ],
)
def test_what_decoders_leave_at_the_end_of_the_data_is_no_photo(kind):
    assert intact.lost_from(decayed("nothing"), 16383) is None
    row = intact.lost_from(decayed(kind), 16383)
    assert row is not None and abs(row - 440) <= 3


def test_a_tile_that_begins_with_noise_is_found_after_it():
    assert intact.lost_from(decayed("one tile, after a few rows of noise"), 16383) == 450


def test_a_dark_photo_does_not_excuse_a_flat_stretch_at_half_scale():
    sensor = noise((640, 900), low=60, high=120)
    sensor[440:] = 8192
    assert intact.lost_from(sensor, 16383) == 440


def test_a_bright_photo_does_not_excuse_white_that_begins_between_two_rows():
    sensor = overexposed(16383)
    assert intact.lost_from(sensor, 16383) is None
    sensor[500:] = 16383
    assert intact.lost_from(sensor, 16383) == 500


def overexposed(clip: int) -> NDArray[np.uint16]:
    """A photo whose upper third is a sky that clips, and what lies below a landscape."""
    rng = np.random.default_rng(3)
    sky = np.clip(1.5 - np.arange(640) / 200, 0.05, None)[:, None] + 0.1 * rng.random(900)
    return np.minimum(512 + clip * sky * rng.normal(1, 0.02, (640, 900)), clip).astype(np.uint16)


@pytest.mark.parametrize("clip", [0.76, 0.82, 0.88, 1])
def test_a_photo_may_clip_below_the_white_its_file_states(write_dng: WriteDng, clip):
    sensor = overexposed(int(clip * 16383))
    assert (sensor[:60] == int(clip * 16383)).all()
    sensor[30, 40] = 16383  # a hot site
    assert raw.read(write_dng("a.dng", sensor)).visible.height == 640


@pytest.mark.parametrize(
    "scene",
    [
        "black clipped at zero",
        "hardly a site above zero",
        "overexposed from edge to edge",
        "overexposed in the middle",
        "all white",
        "all noise over the whole range",
        "a flickering sea",
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
    elif scene == "overexposed from edge to edge":
        sensor = overexposed(16383)
    elif scene == "overexposed in the middle":  # a window in a dark room
        sensor[100:600, 60:840] = 16383
    elif scene == "all white":
        sensor[:] = 16383
    elif scene == "all noise over the whole range":  # nothing that it is foreign to
        sensor = noise((640, 900), low=0, high=16383)
    elif scene == "a flickering sea":
        sensor[300:] = np.where(rng.random((340, 900)) < 0.1, 15000, sensor[300:])
    elif scene == "8 bits":
        sensor = np.clip(rng.normal(40, 0.7, (640, 900)), 0, 255).astype(np.uint16)
    elif scene == "a dead border of 5 rows":
        sensor[-5:] = 0
    elif scene == "a dark corner":
        sensor[400:, 600:] = rng.random((240, 300)) < 0.02
    assert intact.lost_from(sensor, 16383) is None


def test_a_frame_that_is_flat_nearly_everywhere_excuses_a_flat_stretch():
    sensor = np.full((640, 640), 64, np.uint16)
    sensor[::7] += np.random.default_rng(0).random(sensor[::7].shape) < 1 / 120
    assert intact.lost_from(sensor, 16383) is None


def test_sky_clips_at_the_lowest_level_that_hardly_a_site_exceeds():
    """Flat windows at two levels: below the true one too many sites are brighter."""
    rng = np.random.default_rng(0)
    windows = rng.integers(600, 9000, (100, 8, intact._WINDOW)).astype(np.uint16)
    windows[:10], windows[10:40] = 10500, 13000
    flat = np.zeros(windows.shape[:2], bool)
    flat[:40] = True
    assert intact._clip(windows, flat, 16383) == max(intact._CLIPS * 16383, intact._CLIPS * 13000)
    windows[40, 0, :26] = 16383  # 26 of 102,400 sites: hot ones
    assert intact._clip(windows, flat, 16383) < np.inf
    windows[40:42] = 16383
    assert intact._clip(windows, flat, 16383) == np.inf
    windows[:40] = 9000  # below what any sensor clips at
    windows[40:42] = 8000
    assert intact._clip(windows, flat, 16383) == np.inf


@pytest.mark.parametrize(("white", "found"), [(16383, 440), (32766, 440), (32768, None), (65535, None)])
def test_0xff_is_evidence_where_white_needs_fewer_bits(white, found):
    """A bright photo that goes over into full 16 bits by and by: only the level itself tells."""
    rng = np.random.default_rng(2)
    rise = np.clip(np.linspace(0.1, 1.4, 440), None, 1)[:, None]
    sensor = (65535 * rise * rng.uniform(0.97, 1, (440, 900))).astype(np.uint16)
    sensor = np.concatenate((sensor, np.full((200, 900), 65535, np.uint16)))
    row = intact._filled_from(sensor, np.arange(0, 640, 2), (sensor[::2, None] == 65535).all(2), white)
    assert row == found
