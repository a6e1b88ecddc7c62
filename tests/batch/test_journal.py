"""The journal of an output folder: it knows who made which picture, and survives what a folder survives."""

import json
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import noise
from made import contract_for, write_network

import darkroom
from darkroom.batch import journal
from darkroom.batch.batch import Choice, Result, Seconds
from darkroom.batch.journal import Journal
from darkroom.develop import amplifier, pipeline
from darkroom.errors import ModelError, OutputError, SettingsError

SETTINGS = pipeline.Settings(amp=amplifier.parse("2"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(name: str, network: str = "n", version: int = 1) -> Result:
    return Result(
        input=Path("card", f"{name}.ARW"),
        output=Path("out", f"{name}.png"),
        outcome="written",
        ratio=2.0,
        clipped=0.1,
        seconds=Seconds(1, 2, 3, 4),
        model=network,
        version=version,
        device="cpu",
        precision="fp32",
    )


def keep(*results: Result, settings: pipeline.Settings = SETTINGS) -> None:
    book = Journal(Path("out"), settings)
    for result in results:
        book.note(result)
    book.close()


def test_pictures_of_an_older_network_are_known_wherever_the_folder_went(here):
    keep(made("a", version=1), made("b", version=2), made("c", "other", version=1))
    Path("out").rename("moved")
    assert journal.older(Path("moved"), {"n": 2}) == {str(here / "moved" / "a.png")}
    assert journal.older(Path("moved"), {"n": 1}) == frozenset()


def test_what_was_made_again_is_not_older_any_more():
    keep(made("a", version=1))
    keep(made("a", version=2))
    assert journal.older(Path("out"), {"n": 2}) == frozenset()


def test_the_report_tells_networks_settings_and_failures(here):
    failed = Result(Path("card/x.ARW"), None, "failed", error="x.ARW: no raw")
    keep(made("a"), made("b"), failed, Result(Path("card/y.ARW"), Path("out/y.png"), "skipped"))
    keep(made("c"), settings=replace(SETTINGS, denoise=0.5))
    groups, failures = journal.report(Path("out"))
    assert [(group.network, group.version, group.pictures, group.seconds) for group in groups] in (
        [("n", 1, 2, 20), ("n", 1, 1, 10)],
        [("n", 1, 1, 10), ("n", 1, 2, 20)],  # done within the same second
    )
    assert {group.settings["denoise"] for group in groups} == {1.0, 0.5}
    assert [(failure.input, failure.error) for failure in failures] == [(str(here / "card/x.ARW"), "x.ARW: no raw")]
    keep(made("x"))
    assert journal.report(Path("out"))[1] == [], "what failed and was made since has not failed"


def test_a_name_that_is_no_text_is_kept():
    strange = replace(made("a"), output=Path("out", "a\udcff.png"))
    keep(strange)
    assert [Path(name).name for name in journal.older(Path("out"), {"n": 2})] == ["a\udcff.png"]


def test_what_is_no_journal_is_refused_and_left_as_it_is():
    Path("out").mkdir()
    with pytest.raises(SettingsError, match="darkroom.sqlite: no such journal; develop into this folder with"):
        journal.report(Path("out"))
    with sqlite3.connect(Path("out", journal.NAME)) as base:
        base.execute("create table theirs (x)")
    base.close()
    before = Path("out", journal.NAME).read_bytes()
    with pytest.raises(OutputError, match="cannot be used as a journal .a database of another program.; make room, or"):
        keep(made("a"))
    assert Path("out", journal.NAME).read_bytes() == before
    Path("out", journal.NAME).write_bytes(b"no database" * 100)
    with pytest.raises(OutputError, match="cannot be used as a journal .file is not a database"):
        journal.report(Path("out"))


def test_a_journal_of_which_a_page_is_damaged_is_refused_before_anything_is_made(run, write_dng):
    photo = write_dng("a.dng", noise((64, 80)))
    keep(*(made(f"{number:04}") for number in range(200)))
    file = Path("out", journal.NAME)
    data = bytearray(file.read_bytes())
    data[2 * 4096 : 2 * 4096 + 64] = bytes(64)
    file.write_bytes(data)
    code, out, err = run("develop", photo, "-o", "out", "--model", "n.onnx", "--journal")
    assert (code, out) == (1, "") and "cannot be used as a journal (" in err and err.count("\n") == 1
    assert [path.name for path in Path("out").iterdir()] == [journal.NAME]


@pytest.mark.parametrize("settings", ["ratio", "5", "[" * 100000, "", None, b"\xff"])
def test_settings_that_are_none_are_told_of_in_one_line(run, settings):
    Journal(Path("out"), SETTINGS).note(made("a"))
    with sqlite3.connect("out/darkroom.sqlite") as base:
        base.execute("update pictures set settings = ?", (settings,))
    base.close()
    code, out, err = run("journal", "out")
    assert code == 1 and not out and "cannot be used as a journal (" in err and err.count("\n") == 1


def test_only_what_an_older_network_made_is_developed_again(run, write_dng):
    for seed, name in enumerate("ab"):
        write_dng(f"{name}.dng", noise((64, 80), seed=seed))
    write_network(Path("n.onnx"))
    words = ("develop", "a.dng", "b.dng", "-o", "out", "--model", "n.onnx", "--amp", "2", "--journal")
    assert run(*words, "--on-conflict", "skip")[0] == 0
    code, out, _ = run(*words, "--on-conflict", "older", "--json")
    assert code == 0 and out.count('"skipped"') == 2
    with sqlite3.connect(Path("out", journal.NAME)) as base:
        base.execute("update pictures set version = version - 1 where output = 'b.png'")
    base.close()
    code, out, _ = run(*words, "--on-conflict", "older", "--json")
    assert code == 0 and out.count('"skipped"') == 1
    assert '"output": "out/b.png", "outcome": "written"' in out
    code, out, _ = run("journal", "out")
    assert code == 0 and out.startswith("2 by test ") and "denoise=1.0" in out


def rows(wanted: str) -> list[tuple]:
    base = sqlite3.connect(Path("out", journal.NAME))
    found = base.execute(wanted).fetchall()
    base.close()
    return found


def test_all_that_is_known_of_a_picture_is_written_down():
    keep(made("a"))
    (row,) = rows("select * from pictures")
    assert row[:8] == ("a.png", str(Path("..", "card", "a.ARW")), "n", 1, 2.0, 0.1, "cpu", "fp32")
    assert row[9:11] == (10, darkroom.__version__)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(row[11])) < timedelta(hours=1)
    assert "T" in row[11] and row[11].endswith("+00:00") and "." not in row[11]
    told = json.loads(row[8])
    assert told["denoise"] == 1.0 and told["amp"] == {"kind": "number", "value": 2.0}
    assert "memory" not in told and "bracket" not in told
    assert list(told) == sorted(told)


def test_pictures_of_two_brackets_or_memories_are_of_one_group():
    keep(made("a"), settings=replace(SETTINGS, bracket=2.0))
    keep(made("b"), settings=replace(SETTINGS, memory=2 * 10**9))
    (group,) = journal.report(Path("out"))[0]
    assert group.pictures == 2


def test_a_journal_may_lie_deep_in_folders_to_be_made():
    Journal(Path("out/deep/er"), SETTINGS).close()
    assert Path("out/deep/er", journal.NAME).is_file()
    Journal(Path("out/deep/er"), SETTINGS).close()


@pytest.mark.parametrize(
    "change", [{"outcome": "skipped"}, {"output": None}, {"seconds": None}, {"outcome": "skipped", "seconds": None}]
)
def test_only_what_was_written_is_a_picture_and_mends_a_failure(change):
    failed = Result(Path("card/a.ARW"), None, "failed", error="a.ARW: no raw")
    keep(failed, replace(made("a"), **change))
    groups, failures = journal.report(Path("out"))
    assert groups == [] and [failure.error for failure in failures] == ["a.ARW: no raw"]


def test_what_fails_again_has_failed_once_and_says_why_the_last_time():
    for error in ("a.ARW: one", "a.ARW: two"):
        keep(Result(Path("card/a.ARW"), None, "failed", error=error))
    assert [failure.error for failure in journal.report(Path("out"))[1]] == ["a.ARW: two"]


def test_a_failure_leaves_the_picture_that_was_made_before():
    keep(made("a"), Result(Path("card/a.ARW"), None, "failed", error="a.ARW: no raw"))
    groups, failures = journal.report(Path("out"))
    assert [group.pictures for group in groups] == [1] and len(failures) == 1


def test_the_report_is_in_the_order_of_time(here):
    keep(*(made(name, network) for name, network in (("a", "new"), ("b", "old"), ("c", "new"))))
    for name in "zyx":
        keep(Result(Path(f"card/{name}.ARW"), None, "failed", error=name))
    base = sqlite3.connect(Path("out", journal.NAME))
    for table, key, name, done in (
        ("pictures", "output", "a.png", "2024-01-01"),
        ("pictures", "output", "c.png", "2024-03-01"),
        ("pictures", "output", "b.png", "2024-02-01"),
        ("failures", "error", "z", "2024-02-01"),
        ("failures", "error", "y", "2024-02-01"),
        ("failures", "error", "x", "2024-03-01"),
    ):
        base.execute(f"update {table} set done = ? where {key} = ?", (done, name))
    base.commit()
    base.close()
    groups, failures = journal.report(Path("out"))
    assert [(each.network, each.first, each.last) for each in groups] == [
        ("old", "2024-02-01", "2024-02-01"),
        ("new", "2024-01-01", "2024-03-01"),
    ]
    assert [(each.error, each.done) for each in failures] == [
        ("y", "2024-02-01"),
        ("z", "2024-02-01"),
        ("x", "2024-03-01"),
    ]


def test_only_networks_that_are_known_make_pictures_old(here):
    keep(made("a", "n", 3), made("b", "gone", 1), made("c", "n", 1))
    assert journal.older(Path("out"), {"n": 2}) == {str(here / "out" / "c.png")}
    assert journal.older(Path("out"), {}) == frozenset()


def test_the_newest_networks_are_those_a_choice_may_mean():
    write_network(Path("own.onnx"), promise=contract_for("bayer", version=7).to_json())
    assert journal.newest(Choice("own.onnx")) == {"test": 7}
    assert sorted(journal.newest(Choice())) == ["fast-bayer", "fast-xtrans"]
    assert sorted(journal.newest(Choice(quality="fine"))) == ["fine-bayer", "fine-xtrans"]
    with pytest.raises(ModelError, match="missing.onnx: no such file"):
        journal.newest(Choice("missing.onnx"))


def test_a_journal_is_marked_as_this_programs():
    keep(made("a"))
    assert rows("pragma application_id") == [(int.from_bytes(b"dark"),)]


def test_an_empty_database_becomes_a_journal_and_a_marked_one_stays_one():
    Path("out").mkdir()
    Path("out", journal.NAME).touch()
    keep(made("a"))
    with sqlite3.connect(Path("out", journal.NAME)) as base:
        base.execute("create table more (x)")
    base.close()
    keep(made("b"))
    assert len(rows("select * from pictures")) == 2


def test_a_file_where_the_folder_should_be_is_refused_in_one_line():
    Path("out").write_bytes(b"")
    with pytest.raises(
        OutputError, match=r"^out.darkroom.sqlite: cannot be used as a journal \(.*\); make room, or"
    ) as no:
        keep(made("a"))
    assert "\n" not in str(no.value)


def test_a_photo_on_another_drive_is_named_whole(monkeypatch, here):
    def refuse(*_):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(journal.os.path, "relpath", refuse)
    assert journal._name(Path("card/a.ARW"), Path("out")) == str(here / "card" / "a.ARW")
    assert journal._path(str(here / "card" / "a.ARW"), Path("out")) == str(here / "card" / "a.ARW")
