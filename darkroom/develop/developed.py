"""What comes out of developing: a picture in the making, and a finished one, each with what was done to get it."""

import time
from dataclasses import dataclass, field

from darkroom.colour import Space
from darkroom.frame import Bands, Picture
from darkroom.write.linear import Negative


@dataclass(frozen=True)
class Seconds:
    """Where the time went."""

    network: float
    finish: float


@dataclass(frozen=True, eq=False)
class Developed:
    """A finished picture and what was done to get it."""

    picture: Picture
    """(H, W, 3) in `space`, uint8, uint16 or float32, upright; or camera RGB as `Settings.colour_space` has it."""
    ratio: float
    clipped: float
    """Share of sites that the ratio pushed past what the picture holds: white, or where highlights end."""
    seconds: Seconds
    notes: tuple[str, ...]
    """One line each, worth telling the user."""
    space: Space = "srgb"
    """What the picture is in, but for camera RGB."""
    negative: Negative | None = None
    """Of camera RGB, what its colours mean; None of a finished picture."""


@dataclass(eq=False)
class Course:
    """How the making of a picture goes; all of it is known once the last band was given."""

    started: float = field(default_factory=time.perf_counter)
    networked: float = 0.0
    finished: float = 0.0
    negative: Negative | None = None
    """As `Developed.negative`."""

    @property
    def seconds(self) -> Seconds:
        return Seconds(self.networked - self.started, self.finished - self.networked)


@dataclass(frozen=True, eq=False)
class Begun:
    """A picture in the making: what is known of it before the network has run."""

    bands: Bands
    """As `Developed.picture`; the network runs as they are asked for."""
    ratio: float
    clipped: float
    notes: tuple[str, ...]
    space: Space
    course: Course

    def developed(self, picture: Picture) -> Developed:
        """Say the same of the picture, once it is made."""
        course = self.course
        return Developed(picture, self.ratio, self.clipped, course.seconds, self.notes, self.space, course.negative)
