"""Anyone's raw files: what is told of each; a picture that lies wrongly, or has wrong colours, shows as a number."""

import csv
from pathlib import Path

import numpy as np
import pytest
import sets
from conftest import dark

from darkroom.decode import decoder, raw
from darkroom.develop.curves import linear_to_srgb
from darkroom.evaluate import previews, rawfiles
from darkroom.evaluate.previews import Preview
from darkroom.frame import Exposure

UNDO = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
"""Orientation -> the one that turns back."""


def seen(seed: int = 0, size: tuple[int, int] = (192, 288)) -> np.ndarray:
    """A picture, (H, W, 3) uint8."""
    return (255 * linear_to_srgb(sets.scene(seed, size))).astype(np.uint8)


def preview(picture: np.ndarray, orientation: int = 1) -> Preview:
    small = np.ascontiguousarray(picture[::2, ::2])
    return Preview(small, *small.shape[:2], orientation)


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_orientation_in_which_a_preview_fits_is_found(turn):
    lying = preview(previews.turned(seen(), UNDO[turn]))
    found = previews.compare(seen(), lying, orientation=turn)
    assert found.best == turn and found.correlation > 0.99 and found.proportions == pytest.approx(1, abs=0.01)
    wrong = previews.compare(seen(), lying, orientation=turn % 8 + 1)
    assert wrong.best == turn and (wrong.best not in wrong.expected or turn == 1)


def test_a_preview_that_is_upright_already_is_no_fault():
    found = previews.compare(seen(), preview(seen()), orientation=6)
    assert found.best == 1 and found.best in found.expected


def test_what_a_preview_says_of_itself_goes_before_the_raws_orientation():
    found = previews.compare(seen(), preview(previews.turned(seen(), UNDO[6]), orientation=6), orientation=1)
    assert found.best == 6 and found.expected == (6,) and found.correlation > 0.99


def test_a_moved_picture_shows_as_shares_of_its_longer_side():
    whole = seen(size=(192, 320))
    found = previews.compare(whole[12:, :288], preview(whole[:180, 32:]), orientation=1)
    assert found.shift == pytest.approx((-12 / 288, 32 / 288), abs=0.01)


def test_a_cast_and_pale_colours_show_in_ev_and_as_a_factor():
    light = sets.scene(0, (192, 288)) / 2
    own = (255 * linear_to_srgb(light * np.float32([1.5, 1, 0.75]))).astype(np.uint8)
    theirs = preview((255 * linear_to_srgb(light)).astype(np.uint8))
    found = previews.compare(own, theirs, orientation=1)
    assert found.cast == pytest.approx((np.log2(1.5), np.log2(0.75)), abs=0.05)
    assert found.saturation == pytest.approx(1, abs=0.05)
    grey = light.mean(2, keepdims=True)
    pale = (255 * linear_to_srgb(grey + (light - grey) / 4)).astype(np.uint8)
    assert previews.compare(pale, theirs, orientation=1).saturation < 0.4


def test_dark_bars_beside_a_thumbnail_do_not_count():
    framed = np.zeros((288, 288, 3), np.uint8)
    framed[48:240] = seen()
    found = previews.compare(seen(), preview(framed), orientation=1)
    assert found.correlation > 0.99 and found.proportions == pytest.approx(1, abs=0.02)


def written(folder: Path, monkeypatch, picture: np.ndarray | None = None, **settings) -> rawfiles.Shown:
    """Check a photo of a scene, which has this picture as its preview."""
    path = sets.write(folder / "a.dng", sets.scene(0, (192, 288)) / 2, exposure=Exposure(1, 100, 4), **settings)
    monkeypatch.setattr(previews, "read", lambda path: None if picture is None else preview(picture))
    monkeypatch.setattr(rawfiles, "_developed", lambda path, ratio, device: (seen(), 1.5, 200.0))
    return rawfiles.check(path)


def test_what_was_read_stands_in_the_row_and_where_it_comes_from(tmp_path, monkeypatch):
    row = written(tmp_path, monkeypatch, seen(), phase=(1, 0)).row
    assert (row.phase, row.width, row.height, row.camera) == ("GBRG", 288, 192, "Darkroom Demo")
    assert (row.black, row.black_from, row.white, row.white_from) == ("512", "file's tags", 16383, "LibRaw")
    assert (row.white_balance, row.white_balance_from, row.matrix_from) == ("2 1 1.5", "camera", "file")
    assert (row.preview, row.best_orientation, row.seconds, row.megabytes) == ("144 x 96", 1, 1.5, 200)
    assert row.correlation > 0.99 and (row.trouble, row.found) == (0, "")
    assert row.read > 0 and row.ratio >= 1


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (seen()[:, ::-1], "the preview fits mirrored"),
        (seen()[::-1, ::-1], "the preview fits turned by 180 degrees"),
        (seen(5), "unlike the preview: correlation"),
        (np.roll(seen(), 24, 1), "moved by 8."),
        (seen()[:, :192], "times as wide for its height as the preview"),
    ],
)
def test_what_speaks_against_a_picture_is_told(tmp_path, monkeypatch, picture, said):
    row = written(tmp_path, monkeypatch, picture).row
    assert said in row.found and row.trouble > 0


def test_a_file_without_calibration_is_told_from_one_with(tmp_path, monkeypatch):
    row = written(tmp_path, monkeypatch, camera_to_srgb=None, white_balance=None).row
    assert (row.matrix_from, row.white_balance_from, row.preview) == ("unknown", "unknown", "none")
    assert "no colour calibration" in row.found


def test_the_worst_come_first():
    def shown(name: str, trouble: float, correlation: float = float("nan")) -> rawfiles.Shown:
        return rawfiles.Shown(rawfiles.Checked(name, trouble=trouble, correlation=correlation))

    rows = [shown("good", 0, 0.99), shown("fair", 0, 0.92), shown("none", 0), shown("bad", 2), shown("failed", 10)]
    assert [each.row.file for each in rawfiles.worst_first(rows)] == ["failed", "bad", "fair", "good", "none"]


def test_the_command_goes_on_past_a_bad_file_and_writes_table_and_page(run, here, write_dng):
    write_dng("good.dng", dark((64, 80)))
    (here / "bad.dng").write_bytes(b"no raw")
    code, out, err = run("check", "--raws", ".", "-o", "report", "--device", "cpu")
    assert code == 1 and err == "darkroom: bad.dng: cut short or damaged; copy it again from the card\n"
    assert "1 of 2 raw files developed" in out and "good.dng" in out
    with (here / "report" / "table.csv").open(newline="") as file:
        bad, good = csv.DictReader(file)
    assert bad["file"] == "bad.dng" and bad["found"].startswith("bad.dng: cut short")
    assert good["cfa"] == "bayer" and float(good["seconds"]) > 0 and float(good["megabytes"]) > 50
    html = (here / "report" / "index.html").read_text()
    assert html.index("bad.dng") < html.index("good.dng") and "data:image/jpeg" in html
    code, _, err = run("check", "--raws", ".", "-o", "report")
    assert code == 2 and "already exists and is not empty" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fast-bayer", "--raws", "."), "--raws: needs no network"),
        (("fast-bayer", "--still", ".", "-o", "report"), "-o: is for the report of --raws"),
        ((), "nothing to check; name a network, or give --raws FOLDER"),
    ],
)
def test_what_does_not_go_with_raws_is_wrong_usage(run, photo, words, said):
    code, _, err = run("check", *words)
    assert code == 2 and said in err


def test_a_file_without_a_preview_has_none_and_the_next_is_read(photo):
    assert isinstance(decoder.preview(photo), decoder.Refusal) and previews.read(photo) is None
    assert raw.read(photo).mosaic.shape == (64, 80)


def test_a_cameras_thumbnail_is_read_from_its_raw(shared_raw):
    found = previews.read(shared_raw / "good" / "nikon_d1.nef")
    assert found is not None and found.picture.shape == (120, 160, 3) and not previews.is_blank(found)


def test_a_jpeg_in_a_raw_is_read_and_a_broken_one_is_none(monkeypatch, photo):
    from darkroom.write import image

    monkeypatch.setattr(decoder, "preview", lambda path: image.jpeg(seen()))
    found = previews.read(photo)
    assert found is not None and (found.height, found.width) == (192, 288)
    assert np.abs(found.picture.astype(int) - seen()).mean() < 8
    monkeypatch.setattr(decoder, "preview", lambda path: b"\xff\xd8\xff" + bytes(40))
    assert previews.read(photo) is None
