"""Names that wait for the picture, what an older network made, and what lies where."""

import gc
import os
from datetime import datetime
from pathlib import Path

import pytest
from batches import make, outputs

from darkroom.batch import jobs
from darkroom.batch.disk import Disk, folded
from darkroom.batch.names import Facts
from darkroom.errors import SettingsError

TOLD = Facts("IMG", datetime(2024, 2, 29, 23, 59, 58), "Sony A7S II")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("rule", "there", "name", "overwrite", "skipped"),
    [
        ("error", None, "IMG-x20.png", False, False),
        ("error", b"x", "IMG-x20.png", False, False),
        ("error", b"", "IMG-x20.png", True, False),
        ("skip", None, "IMG-x20.png", False, False),
        ("skip", b"x", "IMG-x20.png", False, True),
        ("skip", b"", "IMG-x20.png", True, False),
        ("overwrite", None, "IMG-x20.png", True, False),
        ("overwrite", b"x", "IMG-x20.png", True, False),
        ("unique", None, "IMG-x20.png", False, False),
        ("unique", b"x", "IMG-x20_2.png", False, False),
        ("unique", b"", "IMG-x20.png", True, False),
    ],
)
def test_a_late_name_meets_what_lies_there_as_its_rule_says(rule, there, name, overwrite, skipped):
    if there is not None:
        make("IMG-x20.png", content=there)
    target = jobs.Target(Path("{stem}-x{ratio:.0f}.png"), 0.5, overwrite=False, late=TOLD, rule=rule)
    assert target.shown == Path("IMG-x{ratio:.0f}.png")
    assert target.named(20.2, "fast") == (jobs.Target(Path(name), 0.5, overwrite), skipped)


def test_a_name_that_is_known_stays():
    make("a.png")
    target = jobs.Target(Path("a.png"), 1.0, overwrite=False, rule="skip")
    assert target.shown == Path("a.png") and target.named(20, "fast") == (target, False)


def test_a_template_gives_early_names_at_once_and_late_ones_as_they_stand():
    make("a.ARW", "b.ARW")
    assert outputs("a.ARW", "b.ARW", place="out/{stem}/p.png") == {"a.ARW": ["out/a/p.png"], "b.ARW": ["out/b/p.png"]}
    planned = jobs.plan(["a.ARW"], place="out/{stem}-{model}.png", brackets=(1, 2))
    (job,) = planned.jobs
    assert [(target.path.as_posix(), target.bracket, target.rule) for target in job.targets] == [
        ("out/{stem}-{model}_x1.png", 1, "error"),
        ("out/{stem}-{model}_x2.png", 2, "error"),
    ]
    assert [target.shown.as_posix() for target in job.targets] == ["out/a-{model}_x1.png", "out/a-{model}_x2.png"]
    assert not any(target.overwrite for target in job.targets) and planned.folder == Path("out")
    found = jobs.plan(["."], place="out/{stem}-{model}.png").jobs
    assert [target.rule for job in found for target in job.targets] == ["skip", "skip"]


def test_a_folder_called_like_a_template_is_a_folder():
    make("a.ARW", "{stem}/x")
    assert outputs("a.ARW", place="{stem}") == {"a.ARW": ["{stem}/a.png"]}
    assert jobs.folder("{stem}") == Path("{stem}") and jobs.folder("out/{stem}/x") == Path("out")
    assert jobs.folder(None) == Path() and jobs.folder("out/x") == Path("out/x")


# --- what an older network made ---


def test_older_replaces_what_an_older_network_made_and_skips_the_rest(here):
    make("card/a.ARW", "card/b.ARW", "card/c.ARW", "out/a.png", "out/b.png")
    asked = []

    def older(folder):
        asked.append(folder)
        return frozenset({str(here / "out" / "a.png")})

    planned = jobs.plan(["card"], place="out", conflict="older", older=older)
    assert [(job.input.name, job.targets[0].overwrite) for job in planned.jobs] == [("a.ARW", True), ("c.ARW", False)]
    assert [done.input.name for done in planned.settled] == ["b.ARW"] and asked == [Path("out")]
    jobs.plan(["card"], place="out", conflict="skip", older=older)
    assert len(asked) == 1, "nobody else asks"


def test_older_needs_names_that_are_known_before_the_picture():
    make("a.ARW")
    with pytest.raises(SettingsError, match="^-o {model}.png: is known only once a picture is made; for older, leave"):
        jobs.plan(["a.ARW"], place="{model}.png", conflict="older")
    assert jobs.plan(["a.ARW"], place="{model}.png", conflict="skip").pictures == 1
    assert jobs.plan(["a.ARW"], place="{stem}.png", conflict="older").pictures == 1


# --- what lies where ---


def test_a_link_to_a_picture_without_a_byte_is_no_picture_and_one_to_nowhere_is_in_the_way():
    make("a.ARW", "b.ARW", "c.ARW", "d.ARW", "full")
    make("empty", content=b"")
    Path("folder").mkdir()
    for name, to in (("a", "empty"), ("b", "full"), ("c", "nowhere"), ("d", "folder")):
        Path(f"{name}.png").symlink_to(to)
    planned = jobs.plan(["a.ARW", "b.ARW", "c.ARW", "d.ARW"])
    assert [(job.input.name, job.targets[0].overwrite) for job in planned.jobs] == [("a.ARW", True)]
    assert [done.input.name for done in planned.settled] == ["b.ARW", "c.ARW", "d.ARW"]


def test_a_folder_in_the_place_of_a_picture_is_in_the_way():
    make("a.ARW", "a.png/x")
    assert (
        jobs.plan(["a.ARW"]).settled[0].error == "a.png: already exists; pass --on-conflict skip, overwrite or unique"
    )


def test_a_file_has_one_key_however_it_is_spelled(here):
    (here / "deep").mkdir()
    Path("link").symlink_to("deep")
    disk = Disk()
    keys = {disk.key(folder, "a.png") for folder in ("deep", "link", "./deep", "deep/../deep", str(here / "deep"))}
    assert keys == {os.path.join(os.path.realpath("deep"), "a.png")}
    assert disk.key("deep", "..") == os.path.realpath(here) and disk.key("deep", "") == os.path.realpath("deep")


def test_names_that_a_file_system_may_take_for_one_are_folded():
    assert folded("IMG.PNG") == folded("img.png")
    assert folded("Caf\u00e9") == folded("cafe\u0301") == folded("CAFE\u0301")
    assert folded("a") != folded("b")


@pytest.mark.parametrize("questions", [32, 33, 40])
def test_a_folder_is_listed_after_32_questions(monkeypatch, questions):
    listed = []
    monkeypatch.setattr(os, "listdir", lambda folder: listed.append(folder) or ["A.png"])
    disk = Disk()
    assert all(disk._may_be("out", "b.png") for _ in range(min(questions, 32)))
    told = [disk._may_be("out", name) for name in ("b.png", "a.png") * (questions - 32)]
    assert told == [False, True] * (questions - 32) and listed == ["out"] * (questions > 32)


@pytest.mark.parametrize(
    ("name", "raw"),
    [("a.ARW", True), ("a.x3f", True), ("a.b.dng", True), (".a.ARW", False), ("a.png", False), ("ARW", False)],
)
def test_a_raw_photo_is_known_by_its_name(name, raw):
    assert jobs.is_raw(name) is raw


def test_links_to_folders_are_not_followed_and_links_to_photos_are():
    make("card/a.ARW", "else/b.ARW", "card/.hidden/c.ARW", "card/deep/d.ARW")
    Path("card/else").symlink_to(Path("else").resolve())
    Path("card/link.ARW").symlink_to(Path("else/b.ARW").resolve())
    assert [source.path.as_posix() for source in jobs.found(["card"], True)] == [
        "card/a.ARW",
        "card/link.ARW",
        "card/deep/d.ARW",
    ]
    assert [source.path.name for source in jobs.found(["card"], False)] == ["a.ARW", "link.ARW"]
    assert [source.path.as_posix() for source in jobs.found(["card/link.ARW", "else"], False)] == ["card/link.ARW"]


def test_sources_tell_their_folder_and_whether_they_were_named():
    make("card/deep/a.ARW", "b.ARW")
    assert jobs.found(["card", "b.ARW"], True) == [
        jobs.Source(Path("card/deep/a.ARW"), Path("deep"), named=False),
        jobs.Source(Path("b.ARW"), Path(), named=True),
    ]


def test_a_glob_may_match_folders():
    make("card1/a.ARW", "card2/b.ARW", "card2/deep/c.ARW")
    assert list(outputs("card*", place="out")) == ["card1/a.ARW", "card2/b.ARW"]
    assert list(outputs("card?", place="out", recursive=True)) == ["card1/a.ARW", "card2/b.ARW", "card2/deep/c.ARW"]
    assert list(outputs("card[2]", place="out")) == ["card2/b.ARW"]


def test_a_folder_that_is_not_there_is_one_that_is_to_be_made():
    make("card/a.ARW", "b.ARW", "c.ARW")
    assert outputs("card", place="night.24") == {"card/a.ARW": ["night.24/a.png"]}
    assert outputs("b.ARW", "c.ARW", place="night.24") == {"b.ARW": ["night.24/b.png"], "c.ARW": ["night.24/c.png"]}
    with pytest.raises(SettingsError, match='^night.24: cannot write ".24"; name it'):
        jobs.plan(["b.ARW"], place="night.24")


def test_pictures_are_counted_with_those_that_need_no_work():
    make("card/a.ARW", "card/b.ARW", "a_x1.png", "b_x1.png", "b_x2.png")
    planned = jobs.plan(["card"], brackets=(1, 2))
    assert (planned.pictures, len(planned.jobs), len(planned.settled)) == (4, 1, 3)


@pytest.mark.parametrize("collecting", [True, False])
def test_planning_looks_for_no_circles_and_leaves_the_collector_as_it_was(monkeypatch, collecting):
    make("a.ARW")
    seen = []
    found = jobs._found
    monkeypatch.setattr(jobs, "_found", lambda *all: seen.append(gc.isenabled()) or found(*all))
    before = gc.isenabled()
    try:
        (gc.enable if collecting else gc.disable)()
        jobs.plan(["a.ARW"])
        with pytest.raises(SettingsError):
            jobs.plan(["*.NEF"])
        assert seen == [False, False] and gc.isenabled() is collecting
    finally:
        (gc.enable if before else gc.disable)()


@pytest.mark.parametrize("kind", [jobs.Source, jobs.Target, jobs.Job, jobs.Settled])
def test_what_an_archive_has_a_million_of_has_no_dictionary(kind):
    assert "__dict__" not in dir(kind)
