"""What is meant and where it goes: finding, naming, mirroring, conflicts. No file is opened, so empty ones will do."""

import os
from pathlib import Path

import pytest
from batches import make, outputs

from darkroom.batch import jobs
from darkroom.errors import OutputError, SettingsError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


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
