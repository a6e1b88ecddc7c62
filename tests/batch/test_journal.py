"""The journal of an output folder: it knows who made which picture, and survives what a folder survives."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import noise
from made import write_network

from darkroom.batch import journal
from darkroom.batch.batch import Result, Seconds
from darkroom.batch.journal import Journal
from darkroom.develop import amplifier, pipeline
from darkroom.errors import OutputError, SettingsError

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
