"""Handing a picture's bands from one thread to another: all of them in order, or both sides learn of the end."""

import threading

import numpy as np
import pytest

from darkroom.batch.handover import Abandoned, Handover


def band(value: int) -> np.ndarray:
    return np.full((1, 2, 3), value, np.uint8)


def test_bands_arrive_in_order_and_each_when_it_is_asked_for():
    made, handover, taken = [], Handover(), []

    def bands():
        for value in range(5):
            made.append(value)
            yield band(value)

    with handover:
        maker = threading.Thread(target=handover.fill, args=(bands(),))
        maker.start()
        for each in handover.bands():
            taken.append(int(each[0, 0, 0]))
            assert len(made) <= len(taken) + 1, "one is held by its maker"
        maker.join(30)
    assert taken == list(range(5))


def test_who_writes_learns_that_the_making_ended_early():
    handover = Handover()
    with pytest.raises(ZeroDivisionError), handover:
        handover.fill(1 / 0 for _ in range(1))
    with pytest.raises(Abandoned):
        list(handover.bands())


def test_who_makes_stops_when_nobody_wants_more():
    handover, made = Handover(), []
    handover.leave()
    with handover:
        handover.fill(band(made.append(value) or value) for value in range(5))
    assert made == [0]


def test_who_makes_stays_until_the_last_is_taken():
    handover, left = Handover(), threading.Event()

    def make():
        with handover:
            handover.fill(iter([band(7), band(8)]))
        left.set()

    maker = threading.Thread(target=make)
    maker.start()
    bands = handover.bands()
    assert int(next(bands).max()) == 7 and not left.wait(0.05), "nobody has asked for the second"
    assert [int(each.max()) for each in bands] == [8]
    maker.join(30)
    assert left.is_set()
