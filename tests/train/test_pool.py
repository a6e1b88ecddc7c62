"""The pool of examples: the same picks from the same step, each example drawn once and used several times."""

import atexit
import errno
import os
from collections import Counter

import numpy as np
import pytest
import torch

from darkroom.errors import DarkroomError
from darkroom.sensor.simulate import Example
from darkroom.train import pool
from darkroom.train.pool import Pool


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(pool, "USES", 4)


@pytest.fixture
def drawn() -> list[int]:
    return []


def example(number: int) -> Example:
    return Example(np.full((4, 3, 3), number, np.float32), np.full((3, 6, 6), number / 1024, np.float32))


@pytest.fixture
def kept(tmp_path, drawn):
    def draw(number: int) -> Example:
        drawn.append(number)
        return example(number)

    made = Pool(draw, tmp_path, batch=8, seed=5, size=32)
    yield made
    made.close()


@pytest.mark.parametrize("first", [0, 1, 40])
def test_a_batch_holds_the_examples_that_were_picked(kept, first):
    for step, (bright, reference) in zip(range(first, first + 30), kept.batches(first), strict=False):
        picked = kept.picked(step)
        assert bright.shape == (8, 4, 3, 3) and reference.shape == (8, 3, 6, 6)
        assert bright[:, 0, 0, 0].tolist() == picked and (reference[:, 0, 0, 0] * 1024).tolist() == picked


def test_every_example_is_drawn_once_and_used_about_so_often(kept, drawn):
    uses = Counter()
    for step, _ in zip(range(200), kept.batches(0), strict=False):
        picked = kept.picked(step)
        assert len(set(picked)) == 8
        uses.update(picked)
    assert len(drawn) == len(set(drawn)), "none is drawn twice"
    passed = [uses[number] for number in range(32, 32 + 8 * 200 // 4 - 64)]
    assert np.mean(passed) == pytest.approx(4, rel=0.1)


def test_the_first_batch_is_all_new_and_the_window_moves_on(kept):
    assert sorted(kept.picked(0)) == list(range(8))
    late = kept.picked(1000)
    assert min(late) >= 2000 and max(late) < 2032


def test_a_resumed_run_picks_what_the_unbroken_one_would(kept, tmp_path):
    with_other_seed = Pool(lambda number: None, tmp_path, batch=8, seed=6, size=32)
    again = Pool(lambda number: None, tmp_path, batch=8, seed=5, size=32)
    assert again.picked(77) == kept.picked(77) != with_other_seed.picked(77)
    again.close()
    with_other_seed.close()


def test_the_ring_leaves_no_file_behind(kept, tmp_path):
    next(kept.batches(0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("batch", [7, 40])
def test_a_batch_that_does_not_divide_the_ring_is_kept_whole(tmp_path, batch):
    def draw(number: int) -> Example:
        return Example(np.full((1, 1, 1), number, np.float32), np.zeros((3, 1, 1), np.float32))

    kept = Pool(draw, tmp_path, batch=batch, seed=5, size=32)
    for step, (bright, _) in zip(range(30), kept.batches(0), strict=False):
        picked = kept.picked(step)
        assert [number % batch for number in picked] == list(range(batch))
        assert bright[:, 0, 0, 0].tolist() == picked
    kept.close()


def test_examples_drawn_ahead_by_other_processes_are_the_same(tmp_path, kept):
    ahead = Pool(example, tmp_path, batch=8, seed=5, size=32, drawers=2)
    gathered = ahead.batches(0)
    for _, (bright, reference), (its_bright, its_reference) in zip(range(50), kept.batches(0), gathered, strict=False):
        assert torch.equal(bright, its_bright) and torch.equal(reference, its_reference)
    gathered.close()
    ahead.close()


class Aborts:
    """Draws in a process that aborts as Python is taken down, as one does whose thread is then in C++."""

    def __setstate__(self, state: dict[str, bool]) -> None:
        atexit.register(os.abort)

    def __getstate__(self) -> dict[str, bool]:
        return {"drawn": True}

    def __call__(self, number: int) -> Example:
        return example(number)


def test_a_process_that_drew_ends_without_taking_python_down(tmp_path, capfd):
    ahead = Pool(Aborts(), tmp_path, batch=8, seed=5, size=32, drawers=2)
    gathered = ahead.batches(0)
    next(gathered)
    gathered.close()  # an aborted process would be told of, which is an error here
    ahead.close()
    assert not capfd.readouterr().err


def lost(number: int) -> Example:
    os._exit(1)


def test_a_lost_process_is_told_of(tmp_path):
    ahead = Pool(lost, tmp_path, batch=8, seed=5, size=32, drawers=2)
    with pytest.raises(DarkroomError, match=r"draws examples was lost \(.*\); try --threads 1"):
        next(ahead.batches(0))
    ahead.close()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="room cannot be asked for here")
def test_a_disk_without_room_for_the_ring_is_told_before_it_is_mapped(kept, monkeypatch):
    def full(file: int, offset: int, length: int) -> None:
        assert (offset, length) == (0, 32 * 2 * (4 * 3 * 3 + 3 * 6 * 6))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        next(kept.batches(0))
