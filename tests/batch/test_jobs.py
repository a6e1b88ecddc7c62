"""What is meant and where it goes: finding, naming, mirroring, conflicts. No file is opened, so empty ones will do."""

import gc
import os
from datetime import datetime
from pathlib import Path

import pytest

from darkroom.batch import jobs
from darkroom.batch.names import Facts
from darkroom.errors import OutputError, SettingsError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*names: str, content: bytes = b"x") -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)


def outputs(*names: str, **wishes) -> dict[str, list[str]]:
    """Input -> the pictures planned for it."""
    batch = jobs.plan(names, **wishes)
    return {job.input.as_posix(): [target.path.as_posix() for target in job.targets] for job in batch.jobs}


def test_a_named_file_becomes_a_picture_where_one_stands():
    make("card/IMG.ARW")
    assert outputs("card/IMG.ARW") == {"card/IMG.ARW": ["IMG.png"]}
    assert outputs("card/IMG.ARW", suffix=".tif") == {"card/IMG.ARW": ["IMG.tif"]}


def test_a_named_file_is_tried_whatever_it_is_called():
    make("photo.bin")
    assert outputs("photo.bin", "not there.ARW") == {"photo.bin": ["photo.png"], "not there.ARW": ["not there.png"]}


def test_output_may_be_a_folder_or_a_file():
    make("IMG.ARW", "old/x")
    assert outputs("IMG.ARW", place="new") == {"IMG.ARW": ["new/IMG.png"]}
    assert outputs("IMG.ARW", place="old") == {"IMG.ARW": ["old/IMG.png"]}
    assert outputs("IMG.ARW", place="night.24/") == {"IMG.ARW": ["night.24/IMG.png"]}
    assert outputs("IMG.ARW", place="new/night.JPG", suffix=".JPG") == {"IMG.ARW": ["new/night.JPG"]}


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("one.png", "one.png: names one picture, but 2 photos were given; name a folder"),
        ("a.cr2", "a.cr2: is a file, but no picture; name a folder"),
    ],
)
def test_an_output_that_cannot_take_two_photos_is_refused(place, complaint):
    make("a.dng", "b.dng", "a.cr2")
    with pytest.raises(SettingsError, match=complaint):
        jobs.plan(["a.dng", "b.dng"], place=place)


def test_an_output_of_another_format_is_refused():
    make("a.dng")
    with pytest.raises(
        SettingsError, match='out.webp: cannot write ".webp"; name it .png, .tif, .jpg, .avif, .jxl or .dng'
    ):
        jobs.plan(["a.dng"], place="out.webp")


def test_a_folder_is_searched_and_with_r_mirrored():
    make("card/b.ARW", "card/a.nef", "card/deep/er/c.RAF", "card/IMG.JPG", "card/._a.nef", "card/.Trash/d.ARW")
    assert outputs("card") == {"card/a.nef": ["a.png"], "card/b.ARW": ["b.png"]}
    assert outputs("card", recursive=True, place="out") == {
        "card/a.nef": ["out/a.png"],
        "card/b.ARW": ["out/b.png"],
        "card/deep/er/c.RAF": ["out/deep/er/c.png"],
    }


def test_a_folder_without_raw_photos_is_said_so():
    make("card/IMG.JPG", "card/deep/c.RAF")
    with pytest.raises(SettingsError, match="^card: no raw photos in this folder; name another, or add -r"):
        jobs.plan(["card"])
    with pytest.raises(SettingsError, match="^empty: no raw photos in this folder; name another$"):
        Path("empty").mkdir()
        jobs.plan(["empty"], recursive=True)


def test_a_glob_the_shell_left_alone_finds_raw_photos():
    make("a1.ARW", "a2.ARW", "a1.png", "b.ARW", "deep/a3.ARW")
    assert list(outputs("a*", place="out")) == ["a1.ARW", "a2.ARW"]
    assert list(outputs("**/a*.ARW", place="out")) == ["a1.ARW", "a2.ARW", "deep/a3.ARW"]
    with pytest.raises(SettingsError, match=r"^\*.NEF: no raw photos match; check the pattern"):
        jobs.plan(["*.NEF"])


def test_a_file_called_like_a_glob_is_that_file():
    make("night [1].ARW", "night 1.ARW")
    assert list(outputs("night [1].ARW")) == ["night [1].ARW"]


def test_a_file_meant_twice_is_developed_once():
    make("card/a.ARW")
    assert list(outputs("card/a.ARW", "card", "./card/../card/a.ARW")) == ["card/a.ARW"]


def test_names_with_spaces_and_all_the_worlds_letters_are_kept():
    make("Nacht über Kyōto 夜.ARW")
    assert outputs("Nacht über Kyōto 夜.ARW") == {"Nacht über Kyōto 夜.ARW": ["Nacht über Kyōto 夜.png"]}


def test_photos_that_share_a_stem_keep_their_suffix():
    make("IMG.ARW", "IMG.DNG", "other.ARW")
    assert outputs("IMG.ARW", "IMG.DNG", "other.ARW") == {
        "IMG.ARW": ["IMG_ARW.png"],
        "IMG.DNG": ["IMG_DNG.png"],
        "other.ARW": ["other.png"],
    }


def test_two_photos_never_share_a_picture():
    make("a/IMG.ARW", "b/IMG.ARW")
    with pytest.raises(SettingsError, match="IMG_ARW.png: both a/IMG.ARW and b/IMG.ARW would be written there"):
        jobs.plan(["a/IMG.ARW", "b/IMG.ARW"])
    assert outputs("a/IMG.ARW", "b/IMG.ARW", conflict="unique") == {
        "a/IMG.ARW": ["IMG_ARW.png"],
        "b/IMG.ARW": ["IMG_ARW_2.png"],
    }


def test_a_raw_file_is_never_written_over():
    make("IMG.TIF", "other.ARW")
    with pytest.raises(SettingsError, match="IMG.tif: is a raw file to be developed"):
        Path("IMG.tif").symlink_to("IMG.TIF")
        jobs.plan(["IMG.TIF"], suffix=".tif", conflict="overwrite")


def test_brackets_are_named_by_their_factor():
    make("IMG.ARW")
    assert outputs("IMG.ARW", brackets=(0.5, 1, 2)) == {"IMG.ARW": ["IMG_x0.5.png", "IMG_x1.png", "IMG_x2.png"]}
    assert outputs("IMG.ARW", brackets=(2,), place="night.png") == {"IMG.ARW": ["night_x2.png"]}


def test_what_exists_is_an_error_for_named_files_and_skipped_in_folders():
    make("card/a.ARW", "card/b.ARW", "a.png")
    named = jobs.plan(["card/a.ARW", "card/b.ARW"])
    assert [job.input.name for job in named.jobs] == ["b.ARW"]
    assert named.settled[0].error == "a.png: already exists; pass --on-conflict skip, overwrite or unique"
    found = jobs.plan(["card"])
    assert [job.input.name for job in found.jobs] == ["b.ARW"]
    assert found.settled == (jobs.Settled(Path("card/a.ARW"), Path("a.png"), None),)
    assert found.pictures == 2


def test_the_user_decides_about_what_exists():
    make("a.ARW", "a.png", "a_2.png")
    assert jobs.plan(["a.ARW"], conflict="skip").jobs == ()
    assert outputs("a.ARW", conflict="unique") == {"a.ARW": ["a_3.png"]}
    (job,) = jobs.plan(["a.ARW"], conflict="overwrite").jobs
    assert job.targets[0].overwrite
    assert not jobs.plan(["a.ARW"], conflict="unique").jobs[0].targets[0].overwrite


def test_only_missing_brackets_are_made():
    make("card/a.ARW", "a_x1.png")
    assert outputs("card", brackets=(0.5, 1)) == {"card/a.ARW": ["a_x0.5.png"]}


def test_a_picture_without_a_byte_is_no_picture():
    make("a.ARW")
    make("a.png", content=b"")
    (job,) = jobs.plan(["a.ARW"]).jobs
    assert job.targets[0].overwrite


def test_what_a_killed_run_left_is_no_photo():
    make("card/a.ARW", "card/.darkroom-0123456789ab.part")
    assert list(outputs("card")) == ["card/a.ARW"]


def test_a_place_that_cannot_be_written_to_is_refused_before_any_work(monkeypatch):
    make("a.ARW", "file")
    Path("shut").mkdir()
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "shut" and allowed(path, mode))
    with pytest.raises(OutputError, match="^shut/deep: the folder .*shut may not be written to; choose"):
        jobs.plan(["a.ARW"], place="shut/deep")
    with pytest.raises(OutputError, match="^file/deep: .*file is a file, not a folder; choose another -o"):
        jobs.plan(["a.ARW"], place="file/deep")


def test_planning_makes_nothing(here):
    make("card/a.ARW")
    jobs.plan(["card"], place="out", recursive=True)
    assert sorted(path.name for path in here.iterdir()) == ["card"]


def test_the_file_system_is_asked_about_folders_not_about_each_photo(monkeypatch):
    make(*(f"card/{i}.ARW" for i in range(200)), *(f"out/{i}.png" for i in range(0, 200, 40)))
    asked = []
    for module, name in ((os.path, "realpath"), (os, "lstat"), (os, "stat")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda path, *rest, real=real, **named: asked.append(path) or real(path))
    assert len(jobs.plan(["card"], place="out").jobs) == 195
    assert len(asked) < 70


def test_in_a_large_folder_too_what_exists_is_found(here):
    make(*(f"card/{i}.ARW" for i in range(100)), *(f"out/{i}.png" for i in range(0, 100, 2)))
    make("out/51.png", content=b"")
    Path("out/53.png").symlink_to("nowhere")
    assert len(jobs.plan(["card"], place="out").jobs) == 49
    empty = next(job for job in jobs.plan(["card"], place="out").jobs if job.input.name == "51.ARW")
    assert empty.targets[0].overwrite
    unique = jobs.plan(["card"], place="out", conflict="unique").jobs
    assert {job.targets[0].path.name for job in unique} >= {"0_2.png", "1.png", "51.png", "53_2.png", "99.png"}


def test_a_link_to_a_photo_in_the_same_folder_is_that_photo():
    make("card/a.ARW")
    Path("card/b.ARW").symlink_to("a.ARW")
    assert list(outputs("card", "card/a.ARW")) == ["card/a.ARW"]


# --- names that wait for the picture ---

TOLD = Facts("IMG", datetime(2024, 2, 29, 23, 59, 58), "Sony A7S II")


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
    disk = jobs._Disk()
    keys = {disk.key(folder, "a.png") for folder in ("deep", "link", "./deep", "deep/../deep", str(here / "deep"))}
    assert keys == {os.path.join(os.path.realpath("deep"), "a.png")}
    assert disk.key("deep", "..") == os.path.realpath(here) and disk.key("deep", "") == os.path.realpath("deep")


def test_names_that_a_file_system_may_take_for_one_are_folded():
    assert jobs._folded("IMG.PNG") == jobs._folded("img.png")
    assert jobs._folded("Caf\u00e9") == jobs._folded("cafe\u0301") == jobs._folded("CAFE\u0301")
    assert jobs._folded("a") != jobs._folded("b")


@pytest.mark.parametrize("questions", [32, 33, 40])
def test_a_folder_is_listed_after_32_questions(monkeypatch, questions):
    listed = []
    monkeypatch.setattr(os, "listdir", lambda folder: listed.append(folder) or ["A.png"])
    disk = jobs._Disk()
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
