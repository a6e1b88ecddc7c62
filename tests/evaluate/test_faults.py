"""The campaign against damaged raws: mutants are what they are called, and what comes of them is told apart."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import WriteDng, dark

from darkroom.decode import raw
from darkroom.errors import RawError
from darkroom.evaluate import faults


@pytest.fixture
def seed(write_dng: WriteDng) -> Path:
    """A raw photo large enough to be told from noise."""
    return write_dng("a.dng", dark((400, 600)))


def test_a_mutant_is_whole_up_to_its_place_and_damaged_as_it_is_called():
    whole = bytes(range(1, 241)) * 4
    made = list(faults.mutants(whole, cuts=2))
    assert [kind for kind, _, _ in made] == list(faults.KINDS) * 2 and {start for _, start, _ in made} == {240, 720}
    for kind, start, data in made:
        assert data[:start] == whole[:start] and data != whole
        assert len(data) == (start if kind == "cut short" else len(whole))
        end = min(start + 240, 960)
        if kind.startswith("hole"):
            assert data[end:] == whole[end:]
        if "zeros" in kind:
            assert not any(data[start : end if kind.startswith("hole") else None])
        if "0xFF" in kind:
            assert set(data[start:]) == {255}
    assert made == list(faults.mutants(whole, cuts=2)) != list(faults.mutants(whole, cuts=2, seed=1))


def test_scattered_damage_leaves_the_length_and_touches_what_it_says():
    whole = bytes(range(256)) * 64
    made = list(faults.scattered(whole, cuts=3))
    assert [kind for kind, _, _ in made] == list(faults.SCATTERED) * 3
    for kind, start, data in made:
        changed = [i for i, (a, b) in enumerate(zip(whole, data, strict=True)) if a != b]
        if kind != "spliced":
            assert changed[0] == start and len(changed) == (64 if kind == "bits flipped" else 4)
        else:
            assert all(start <= i < start + len(whole) // faults.HOLE for i in changed)
        if kind == "head changed":
            assert changed[-1] < faults.HEAD
    assert made == list(faults.scattered(whole, cuts=3)) != list(faults.scattered(whole, cuts=3, seed=1))


def test_damage_by_constants_and_random_bytes_is_refused(seed):
    missed = []
    tallies = faults.campaign([seed], cuts=4, on_missed=lambda *found: missed.append(found))
    assert [tally.kind for tally in tallies] == list(faults.KINDS + faults.SCATTERED)
    assert [tally.mutants for tally in tallies] == [4] * 9
    assert [tally.refused for tally in tallies][:6] == [4] * 6
    assert not [kind for _, kind, _ in missed if kind in faults.KINDS]
    assert not any(tally.fell for tally in tallies)


@pytest.mark.parametrize(("changed", "outcome"), [(0.01, "sound"), (0.03, "missed")])
def test_a_picture_is_missed_where_many_sites_differ(seed, monkeypatch, changed, outcome):
    read = raw.read

    def lenient(path: Path):
        frame = read(seed)
        if path != seed:
            frame.mosaic[: int(400 * changed)] += 1
        return frame

    monkeypatch.setattr(raw, "read", lenient)
    missed = []
    tally = faults.campaign([seed], cuts=1, on_missed=lambda *found: missed.append(found))[0]
    assert getattr(tally, outcome) == tally.mutants == 1
    assert len(missed) == (9 if outcome == "missed" else 0)


def test_a_process_that_fell_is_counted(seed, monkeypatch):
    read = raw.read

    def falling(path: Path):
        if path != seed:
            raise RawError(f"{path}: LibRaw crashed on it (signal 11); copy it again from the card")
        return read(path)

    monkeypatch.setattr(raw, "read", falling)
    tally = faults.campaign([seed], cuts=2)[0]
    assert (tally.refused, tally.fell, tally.missed) == (2, 2, 0)


def test_bench_prints_the_campaign(seed, run, tmp_path):
    (tmp_path / "raws").mkdir()
    shutil.copy(seed, tmp_path / "raws")
    code, out, err = run("bench", "raws", "--raws", tmp_path / "raws", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [row["kind"] for row in rows] == list(faults.KINDS + faults.SCATTERED)
    assert all(row["refused"] == faults.QUICK for row in rows[:6])
    assert err.count(" was developed") == sum(row["missed"] for row in rows)
    assert not Path("/proc/self/clear_refs").exists() or all(row["peak"] > 10_000_000 for row in rows)
    assert run("bench", "faults")[0] == run("bench", "raws", "--raws", tmp_path / "none")[0] == 2
    assert run("bench", "faults", "develop", "--raws", tmp_path / "raws")[0] == 2
