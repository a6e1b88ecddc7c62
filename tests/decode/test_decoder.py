"""What the decoder's process says, checked before it is believed."""

import io
import json
import struct
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rawpy

from darkroom.decode import child, decoder, libraw
from darkroom.errors import RawError

FACTS = {
    "height": 40,
    "width": 60,
    "top": 6,
    "left": 4,
    "colours": [[0] * 16] * 16,
    "names": "RGBG",
    "black": [1, 2, 3, 4],
    "white": 16383,
    "camera_gains": [2, 1, 1.5, 1],
    "daylight_gains": [1.9, 1, 1.4, 1],
    "camera_to_srgb": [[1, 2, 3, 4]] * 3,
    "xyz_to_camera": [[1, 2, 3]] * 4,
    "seconds": 0.1,
    "iso": 6400,
    "aperture": 2.8,
    "flip": 6,
    "pixel_aspect": 1,
    "chatter": "",
}


def saying(said: bytes) -> SimpleNamespace:
    """A process that has said this."""
    return SimpleNamespace(stdout=io.BufferedReader(io.BytesIO(said)))


def told(**changes) -> decoder.Facts | decoder.Refusal:
    return decoder._told(saying(json.dumps(FACTS | changes).encode() + b"\n"))


def test_facts_are_taken_one_by_one():
    found = told(chatter="  two \n words", names="RGBGxyz")
    assert (found.height, found.width, found.top, found.left) == (40, 60, 6, 4)
    assert (found.names, found.white, found.flip, found.chatter) == ("RGBG", 16383, 6, "two words")
    assert (found.seconds, found.iso, found.aperture, found.pixel_aspect) == (0.1, 6400, 2.8, 1)
    assert found.colours.shape == (16, 16) and found.colours.dtype == np.uint8
    np.testing.assert_array_equal(found.black, [1, 2, 3, 4])
    np.testing.assert_allclose(found.camera_gains, [2, 1, 1.5, 1])
    np.testing.assert_allclose(found.daylight_gains, [1.9, 1, 1.4, 1], rtol=1e-6)
    assert found.camera_to_srgb.shape == (3, 4) and found.xyz_to_camera.shape == (4, 3)
    assert len(told(chatter="x" * 999).chatter) == 400


@pytest.mark.parametrize("key", list(FACTS))
def test_facts_that_lack_one_are_without_sense(key):
    header = {name: value for name, value in FACTS.items() if name != key}
    with pytest.raises(EOFError, match="without sense"):
        decoder._told(saying(json.dumps(header).encode() + b"\n"))


@pytest.mark.parametrize("change", [{"black": [1] * 3}, {"colours": [[0] * 15] * 16}, {"xyz_to_camera": [[1] * 4] * 3}])
def test_facts_of_another_shape_are_without_sense(change):
    with pytest.raises(EOFError, match="without sense"):
        told(**change)


def test_a_refusal_is_cut_to_one_short_line():
    found = told(refused="K" * 99, detail=" a \n b " + "x" * 999)
    assert found.kind == "K" * 40 and found.detail == ("a b " + "x" * 999)[:200]
    assert decoder._refusal({"refused": "Stack"}) == decoder.Refusal("Stack", "")


def test_a_picture_beyond_its_mosaic_is_told_by_the_width_and_height_of_both():
    sizes = SimpleNamespace(height=40, width=60)
    file = SimpleNamespace(raw_type=rawpy.RawType.Flat, raw_image_visible=np.zeros((30, 50), np.uint16), sizes=sizes)
    said = "a picture of 60 x 40 sites, of which its mosaic holds 50 x 30"
    assert libraw._unpacked(file) == ({"refused": "Window", "detail": said}, None)


@pytest.mark.parametrize("said", [b"[1]\n", b"7\n", b"no json\n", b"[" * 60000 + b"\n", b"1" * (1 << 16)])
def test_a_line_that_is_no_header_is_nonsense(said):
    with pytest.raises(EOFError) as caught:
        decoder._header(saying(said))
    assert caught.value.args


@pytest.mark.parametrize("said", [b"", b'{"height": 4', b"1" * ((1 << 16) - 1)])
def test_a_line_that_breaks_off_is_no_nonsense_but_an_end(said):
    with pytest.raises(EOFError) as caught:
        decoder._header(saying(said))
    assert not caught.value.args


def test_a_header_may_be_as_long_as_65536_bytes():
    said = b'{"a": "' + b"x" * ((1 << 16) - 10) + b'"}\n'
    assert len(said) == 1 << 16
    assert decoder._header(saying(said)) == json.loads(said)


def test_a_mosaic_has_up_to_2_to_the_30_sites():
    assert decoder._size({"height": 1 << 15, "width": 1 << 15}) == (1 << 15, 1 << 15)
    with pytest.raises(EOFError, match=f"a mosaic of {1 << 15} x {(1 << 15) + 1}"):
        decoder._size({"height": (1 << 15) + 1, "width": 1 << 15})


@pytest.mark.parametrize("view", [False, True])
@pytest.mark.parametrize("pipe", [1, 100, 121, 250, 1 << 20])
def test_samples_arrive_band_by_band_whole(monkeypatch: pytest.MonkeyPatch, view, pipe):
    monkeypatch.setattr(child, "PIPE", pipe)
    sent = np.arange(11 * 25, dtype=np.uint16).reshape(11, 25)
    whole = np.zeros((12, 26), np.uint16)
    into = whole[1:, 1:] if view else np.zeros((11, 25), np.uint16)
    decoder._receive(saying(sent.tobytes() + b"more"), into)
    np.testing.assert_array_equal(into, sent)
    assert not whole[0].any() and not whole[:, 0].any()
    with pytest.raises(EOFError):
        decoder._receive(saying(sent.tobytes()[:-1]), into)


@pytest.mark.parametrize("code", [7, 0, -11])
def test_a_process_that_is_gone_is_said_to_have_crashed(code):
    gone = SimpleNamespace(wait=lambda timeout: code, returncode=code)
    said = "signal 11" if code < 0 else f"exit code {code}"
    assert decoder._fault(gone, 3, threading.Event(), nonsense=False) == f"LibRaw crashed on it ({said})"
    assert decoder._fault(gone, 3, threading.Event(), nonsense=True) == "LibRaw answered without sense"
    expired = threading.Event()
    expired.set()
    found = decoder._fault(gone, 3, expired, nonsense=False)
    assert found == "LibRaw was still decoding it after 3 s and was stopped"


@pytest.mark.parametrize("band", [1, 50, 51, 120, 1 << 20])
def test_rows_with_gaps_between_them_are_sent_without(monkeypatch: pytest.MonkeyPatch, band):
    monkeypatch.setattr(libraw, "_BAND", band)
    whole = np.arange(12 * 26, dtype=np.uint16).reshape(12, 26)
    for samples in (whole, whole[1:, 1:], whole[:, ::2]):
        answers = io.BytesIO()
        libraw._send_rows(answers, samples)
        assert answers.getvalue() == struct.pack(f"={samples.size}H", *samples.ravel().tolist())


def test_what_libraw_printed_is_told_once():
    chatter = io.BytesIO(b"data corrupted\xff" + b"x" * 999)
    assert libraw._read_away(chatter) == "data corrupted\N{REPLACEMENT CHARACTER}" + "x" * 385
    assert libraw._read_away(chatter) == "" and chatter.getvalue() == b""


def test_a_path_that_is_no_unicode_is_told():
    assert libraw._is_unicode("naïve.dng") and not libraw._is_unicode("na\udcefve.dng")


def previewed(monkeypatch: pytest.MonkeyPatch, header: dict[str, object], body: bytes):
    """What `preview` makes of an answer, and the request that it sent."""
    process = saying(json.dumps(header).encode() + b"\n" + body)
    process.stdin, process.kill, process.returncode = io.BytesIO(), lambda: None, 0
    process.wait = lambda timeout: 0
    monkeypatch.setattr(child, "running", lambda: process)
    return decoder.preview(Path("a.dng"), patience=7.5), json.loads(process.stdin.getvalue())


def test_a_preview_is_a_jpeg_or_pixels_or_a_refusal(monkeypatch: pytest.MonkeyPatch):
    found, request = previewed(monkeypatch, {"bytes": 9, "height": 0, "width": 0}, b"123456789more")
    assert found == b"123456789"
    assert request == {"path": str(Path("a.dng").absolute()), "seconds": 17, "preview": True}
    found, _ = previewed(monkeypatch, {"bytes": 18, "height": 2, "width": 3}, bytes(range(18)))
    np.testing.assert_array_equal(found, np.arange(18).reshape(2, 3, 3))
    found, _ = previewed(monkeypatch, {"refused": "None", "detail": "no thumbnail"}, b"")
    assert found == decoder.Refusal("None", "no thumbnail")


@pytest.mark.parametrize(
    ("size", "body", "said"),
    [
        ((0, 0, 0), b"", "without sense"),
        ((-1, 0, 0), b"", "without sense"),
        (((1 << 28) + 1, 0, 0), b"", "without sense"),
        ((17, 2, 3), bytes(17), "without sense"),
        ((18, 0, 3), bytes(18), "without sense"),
        ((18, 2, 0), bytes(18), "without sense"),
        (("long", 0, 0), b"", "without sense"),
        ((1 << 28, 0, 0), b"short", "crashed"),
        ((18, 2, 3), bytes(17), "crashed"),
    ],
)
def test_a_preview_of_another_length_than_told_is_no_answer(monkeypatch: pytest.MonkeyPatch, size, body, said):
    header = dict(zip(("bytes", "height", "width"), size, strict=True))
    with pytest.raises(RawError, match=rf"^a\.dng: LibRaw .*{said}.*; copy it again from the card$"):
        previewed(monkeypatch, header, body)
