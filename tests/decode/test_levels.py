"""The levels of raw files: the black of each site, and white where a sensor saturates."""

import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import WriteDng, noise, refusal
from numpy.typing import NDArray

from darkroom import tiff
from darkroom.decode import decoder, levels, raw, tags
from darkroom.frame import CELL, XTRANS, Window

BAYER_PHASES = list(itertools.product(range(2), range(2)))
EVERY_PHASE = [("bayer", phase) for phase in BAYER_PHASES]
EVERY_PHASE += [("xtrans", phase) for phase in itertools.product(range(6), range(6))]


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
    black = levels.black(facts, told, (0, 0), XTRANS)
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


@pytest.mark.parametrize(("sites", "white"), [(16, 950), (15, 1023)])
def test_a_frame_saturates_where_many_sites_are_as_bright_as_its_brightest(write_dng: WriteDng, sites, white):
    """Not where a few hot ones are."""
    mosaic = noise((40, 60), low=60, high=700)
    mosaic[8, 1] = 950
    mosaic[7, 1:sites] = 942  # 950 less a hundredth of what lies above black
    mosaic[9, :15] = 941
    assert raw.read(write_dng("a.dng", mosaic, black=60, white=1023)).white == white


@pytest.mark.parametrize("most", [1023, 850])
def test_a_bright_wall_is_not_taken_for_saturation_unless_it_is_cut(write_dng: WriteDng, most):
    wall = np.random.default_rng(3).normal(846, 9, (120, 160))  # light of 0.82, and its noise
    mosaic = np.rint(wall).clip(0, most).astype(np.uint16)
    assert raw.read(write_dng("a.dng", mosaic, black=60, white=1023)).white == most


def test_a_floor_above_a_black_of_zero_is_noted(write_dng: WriteDng):
    frame = raw.read(write_dng("a.dng", noise((40, 60), low=70, high=90), black=0, white=1023))
    assert frame.notes == ("black level 0 in the file, yet no site reads below 70 DN: expect a grey veil",)


def test_white_below_black_is_refused(write_dng: WriteDng):
    path = write_dng("a.dng", noise((40, 60)), black=512, white=100)
    assert refusal(path).startswith("white level 100 is not above black level 512")


def test_black_that_differs_by_column_is_counted(write_dng: WriteDng):
    path = write_dng("a.dng", noise((40, 60)), black=512)
    data = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", data, 4)[0]
    for entry in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        if struct.unpack_from("<H", data, entry)[0] == 50778:  # CalibrationIlluminant1 gives way to BlackLevelDeltaH
            struct.pack_into("<HHIHH", data, entry, 50715, 3, 1, 1, 0)
    path.write_bytes(data)
    assert (raw.read(path).black == 513).all()
