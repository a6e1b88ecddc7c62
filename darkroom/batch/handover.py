"""Bands of a picture on their way from the thread that makes them to the one that writes them."""

import threading
from collections.abc import Iterator

from darkroom.frame import Band


class Abandoned(Exception):
    """The picture will not be finished."""


class Handover:
    """Takes bands from one thread and gives each to another when that asks for it; either may leave before the end.

    So there are two at most, one in the making and one in use. The first fills it inside a `with`: what ends that early
    tells the second.
    """

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._asked = False
        self._given: list[Band] = []
        self._complete = False
        self._left = False

    def __enter__(self) -> "Handover":
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def fill(self, bands: Iterator[Band]) -> None:
        """Hand over all bands, or those that are wanted."""
        for band in bands:
            with self._turn:
                self._turn.wait_for(lambda: self._left or self._asked)
                if self._left:
                    return
                self._given.append(band)
                self._asked = False
                self._turn.notify_all()
            del band  # the other's now
        with self._turn:
            self._complete = True
            self._turn.notify_all()

    def bands(self) -> Iterator[Band]:
        """Give the bands as they come. Raises Abandoned where they end before the picture does."""
        while True:
            with self._turn:
                self._asked = True
                self._turn.notify_all()
                self._turn.wait_for(lambda: self._given or self._complete or self._left)
                if not self._given:
                    if self._complete:
                        return
                    raise Abandoned
                band = self._given.pop()
            yield band
            del band

    def leave(self, _: object = None) -> None:
        """Give no more bands, or want none; may be called when a future is done."""
        with self._turn:
            self._left = True
            self._turn.notify_all()
