"""What arrives in a folder: once, whole, and whatever becomes of the folder."""

import shutil
from pathlib import Path

import pytest

from darkroom.batch import watching


@pytest.fixture(autouse=True)
def hasty(monkeypatch, tmp_path):
    monkeypatch.setattr(watching, "SETTLED", 0.1)
    monkeypatch.setattr(watching, "PAUSE", 60)
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()


def watched(deeds, *, recursive=False, rounds=8):
    """What arrives while deeds are done, one a round: names, by round; and the lines told."""
    came, lines, left = [], [], iter(deeds)
    count = 0

    def stop() -> bool:
        nonlocal count
        count += 1
        if count % 5 == 0:
            next(left, lambda: None)()
        return count > 5 * rounds

    for ready in watching.arrivals([Path("in")], recursive=recursive, stop=stop, tell=lines.append):
        came.append(sorted(path.name for path in ready))
    return came, lines


def test_what_lies_there_comes_first_and_later_ones_once_each():
    Path("in/a.dng").write_bytes(b"1")
    Path("in/a.jpg").write_bytes(b"1")
    came, _ = watched([lambda: Path("in/b.dng").write_bytes(b"2")])
    assert came == [["a.dng"], ["b.dng"]]


def test_an_empty_file_waits_and_one_that_grows_comes_when_it_rests(monkeypatch):
    monkeypatch.setattr(watching, "SETTLED", 1000)
    Path("in/a.dng").write_bytes(b"1")
    assert watched([])[0] == []
    monkeypatch.setattr(watching, "SETTLED", 0.1)
    Path("in/a.dng").write_bytes(b"")
    came, _ = watched([lambda: Path("in/a.dng").write_bytes(b"12")])
    assert came == [["a.dng"]]


def test_folders_below_are_looked_at_only_where_asked():
    Path("in/deep").mkdir()
    Path("in/deep/a.dng").write_bytes(b"1")
    assert watched([], rounds=2)[0] == []
    assert watched([], recursive=True)[0] == [["a.dng"]]


def test_a_folder_that_vanishes_and_returns_costs_one_line_and_nothing_is_done_twice():
    Path("in/a.dng").write_bytes(b"1")
    keep = Path("a.dng")

    def pull():
        shutil.copy2("in/a.dng", keep)
        shutil.rmtree("in")

    def back():
        Path("in").mkdir()
        shutil.copy2(keep, "in/a.dng")
        Path("in/b.dng").write_bytes(b"2")

    came, lines = watched([lambda: None, pull, lambda: None, back], rounds=12)
    assert came == [["a.dng"], ["b.dng"]]
    assert lines == ["in: is gone; waiting for it to come back", "in: is back"]
