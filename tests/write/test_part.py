"""A file appears whole or not at all, whatever happens; what a killed run left goes, what is being written stays."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from made import picture

from darkroom.errors import OutputError
from darkroom.write import image
from darkroom.write import part as parts


def old(path):
    os.utime(path, (0, 0))
    return path


def test_a_part_that_is_not_moved_is_gone(tmp_path):
    with parts.part(tmp_path) as (path, file):
        file.write(b"half")
        assert path.exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be deleted")
def test_whoever_leaves_in_a_hurry_takes_away_what_was_begun_and_nothing_else(tmp_path):
    with parts.part(tmp_path) as (place, file):
        file.write(b"whole")
        place.rename(tmp_path / "whole.png")
    (tmp_path / ".darkroom-0123456789ab.part").write_bytes(b"another's")
    with parts.part(tmp_path) as (_, file):
        file.write(b"half")
        parts.abandon()
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == [".darkroom-0123456789ab.part", "whole.png"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX locks")
def test_only_the_parts_of_dead_runs_are_swept_away(tmp_path):
    stale = tmp_path / ".darkroom-0123456789ab.part"
    stale.write_bytes(b"half")
    old(stale)
    (tmp_path / "other.part").write_bytes(b"")
    young = tmp_path / ".darkroom-abcdefabcdef.part"
    young.write_bytes(b"half")
    writing = (
        "import sys, pathlib; from darkroom.write import part\n"
        f"with part.part(pathlib.Path({str(tmp_path)!r})) as (path, file): print(path, flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", writing]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        written = old(writer.stdout.readline().strip())
        parts.sweep(tmp_path)
        assert not stale.exists() and young.exists() and (tmp_path / "other.part").exists()
        assert os.path.exists(written)
        writer.kill()
    parts.sweep(tmp_path)
    assert not os.path.exists(written)


def test_a_run_sweeps_the_folder_it_writes_to(run, photo, here):
    stale = here / ".darkroom-0123456789ab.part"
    stale.write_bytes(b"half")
    old(stale)
    assert run("develop", "a.dng", "--model", "n.onnx", "--amp", "2")[0] == 0
    assert not stale.exists()


# --- pictures in their places ---

FORMATS = [".png", ".tif", ".jpg"]


def write(values: np.ndarray, path: Path, *, overwrite: bool = False) -> bytes:
    image.write(values, path, exif=b"", overwrite=overwrite)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_already_there_is_left_alone(tmp_path, suffix):
    path = tmp_path / f"photo{suffix}"
    path.write_text("mine")
    with pytest.raises(OutputError) as refused:
        write(picture(), path)
    assert str(refused.value) == f"photo{suffix}: already exists; pass --on-conflict overwrite, or unique"
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_already_there_is_replaced_when_told(tmp_path):
    (tmp_path / "photo.png").write_text("mine")
    assert np.array_equal(imagecodecs.png_decode(write(picture(), tmp_path / "photo.png", overwrite=True)), picture())


def test_a_link_that_leads_nowhere_counts_as_there(tmp_path):
    (tmp_path / "photo.png").symlink_to("gone")
    with pytest.raises(OutputError, match="already exists"):
        write(picture(), tmp_path / "photo.png")


def test_only_the_picture_is_left_in_the_folder(tmp_path):
    for overwrite in (False, True):
        write(picture(), tmp_path / "photo.png", overwrite=overwrite)
        assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_file_that_appears_meanwhile_is_left_alone(tmp_path, monkeypatch, hard_links):
    path = tmp_path / "photo.png"
    monkeypatch.setattr(os, "fsync", lambda _: path.write_text("theirs"))
    if not hard_links:
        monkeypatch.setattr(os, "link", failing(errno.EPERM))
    with pytest.raises(OutputError, match="already exists"):
        image.write(picture(), path, exif=b"", overwrite=False)
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_of_writers_at_the_same_time_one_wins_and_its_file_is_whole(tmp_path):
    path, refused = tmp_path / "photo.png", []

    def develop(level: int):
        try:
            image.write(np.full((200, 300, 3), level, np.uint8), path, exif=b"", overwrite=False)
        except OutputError:
            refused.append(level)

    writers = [threading.Thread(target=develop, args=(level,)) for level in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(refused) == 5
    (winner,) = set(range(6)) - set(refused)
    assert (imagecodecs.png_decode(path.read_bytes()) == winner).all()
    assert list(tmp_path.iterdir()) == [path]


def failing(code: int):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    return fail


def test_a_disk_without_hard_links_takes_the_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    assert np.array_equal(imagecodecs.png_decode(write(picture(), tmp_path / "photo.png")), picture())
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_a_name_taken_but_not_filled_is_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    monkeypatch.setattr(os, "replace", failing(errno.EIO))
    with pytest.raises(OutputError, match="cannot be written"):
        write(picture(), tmp_path / "photo.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "no space left on the disk; free some and run again"),
        (errno.EACCES, "the folder {folder} may not be written to; choose another"),
        (errno.EROFS, "the folder {folder} may not be written to; choose another"),
        (errno.EIO, "cannot be written (input/output error); check the disk"),
    ],
)
def test_a_disk_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, suffix, code, message):
    path = tmp_path / f"photo{suffix}"
    path.write_text("mine")
    monkeypatch.setattr(os, "fsync", failing(code))
    with pytest.raises(OutputError) as refused:
        image.write(picture(), path, exif=b"", overwrite=True)
    assert str(refused.value) == f"photo{suffix}: " + message.format(folder=tmp_path)
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_disk_that_fills_up_within_a_picture_is_named(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(Path, "open", lambda *_: open("/dev/full", "wb"))  # noqa: SIM115
    with pytest.raises(OutputError, match=f"^photo{suffix}: no space left on the disk; free some and run again$"):
        write(picture(600, 600), tmp_path / f"photo{suffix}")
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError) as refused:
        write(picture(), tmp_path / "gone" / "photo.png")
    assert str(refused.value) == f"photo.png: there is no folder {tmp_path / 'gone'}; make it first"


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as refused:
        write(picture(), tmp_path / "file" / "photo.png")
    assert str(refused.value) == f"photo.png: {tmp_path / 'file'} is not a folder; choose another"


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_name_too_long_is_refused(tmp_path, overwrite):
    with pytest.raises(OutputError, match=r"x\.png: the name is too long for this disk; shorten it$"):
        write(picture(), tmp_path / ("x" * 300 + ".png"), overwrite=overwrite)
    assert not list(tmp_path.iterdir())


def test_the_longest_name_the_disk_takes_is_written(tmp_path):
    write(picture(), tmp_path / ("x" * 251 + ".png"))


def test_a_folder_in_the_place_of_the_picture_is_named(tmp_path):
    (tmp_path / "photo.png").mkdir()
    with pytest.raises(OutputError, match=r"^photo.png: is a folder; choose another name$"):
        write(picture(), tmp_path / "photo.png", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_an_encoder_that_stops_leaves_nothing(tmp_path, monkeypatch, stop):
    def fail(*_):
        raise stop

    monkeypatch.setattr(image, "_deflated", fail)
    with pytest.raises(stop):
        write(picture(), tmp_path / "photo.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_the_file_may_be_read_by_whom_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        write(picture(), tmp_path / "photo.png")
    finally:
        os.umask(before)
    assert (tmp_path / "photo.png").stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc")
def test_a_folder_that_takes_no_files_is_not_said_to_be_missing():
    with pytest.raises(OutputError, match="the folder /proc takes no files; choose another"):
        image.write(np.zeros((4, 4, 3), np.uint8), Path("/proc/photo.png"), exif=b"", overwrite=False)


@pytest.mark.parametrize(("age", "left"), [(59, 1), (61, 0)])
def test_a_part_is_swept_once_it_is_a_minute_old(tmp_path, monkeypatch, age, left):
    stale = tmp_path / ".darkroom-0123456789ab.part"
    stale.write_bytes(b"half")
    os.utime(stale, (1_000_000, 1_000_000))
    monkeypatch.setattr(parts.time, "time", lambda: 1_000_000.0 + age)
    parts.sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == left


@pytest.mark.skipif(os.name == "nt", reason="POSIX locks")
def test_a_file_is_locked_by_the_first_who_opens_it_until_it_is_closed(tmp_path):
    path = tmp_path / "a"
    path.touch()
    with path.open("rb") as first, path.open("rb") as second:
        assert parts._locked(first) and not parts._locked(second)
        first.close()
        assert parts._locked(second)


def test_a_part_has_a_short_name_of_its_own_and_is_known_while_it_is_written(tmp_path):
    with parts.part(tmp_path) as (one, file), parts.part(tmp_path) as (other, _):
        assert one != other and {one, other} <= parts._begun
        assert one.name.startswith(".darkroom-") and one.name.endswith(".part") and len(one.name) == 27
        file.write(b"abc")
        file.seek(0)
        assert file.read() == b"abc"
    assert not {one, other} & parts._begun


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (errno.EPERM, "the folder {folder} may not be written to; choose another"),
        (errno.ENOENT, "the folder {folder} takes no files; choose another"),
        (errno.EISDIR, "is a folder; choose another name"),
    ],
)
def test_what_keeps_a_file_from_being_written_is_said(tmp_path, code, told):
    assert parts._reason(OSError(code, os.strerror(code)), tmp_path) == told.format(folder=tmp_path)
    assert parts._reason(OSError("Odd"), tmp_path) == "cannot be written (odd); check the disk"
