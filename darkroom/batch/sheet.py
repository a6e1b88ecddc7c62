"""A contact sheet kept while a batch runs: pictures beside the page, an entry each, and the page anew with each result.

The entries lie as JSON beside their pictures, so that a later run on the same folder goes on with them.
"""

import json
import os
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from darkroom import documents
from darkroom.batch.batch import Result
from darkroom.develop import pipeline
from darkroom.develop.curves import linear_to_srgb
from darkroom.develop.developed import Developed
from darkroom.develop.model import Model
from darkroom.develop.pipeline import Settings
from darkroom.develop.size import Size, reduced
from darkroom.errors import SettingsError
from darkroom.frame import Frame, Picture
from darkroom.write import image, sheet
from darkroom.write.sheet import Entry

PAGE, FOLDER = "index.html", "sheet"
SHOWN = frozenset({".png", ".jpg", ".jpeg", ".avif"})
"""What browsers show; of the rest a JPEG is made."""
THUMBNAIL = 480
"""Pixels of a thumbnail's longer side."""
PAUSE = 1.0
"""Seconds between two versions of the page, for a long batch writes many."""


@dataclass
class Sheet:
    """The contact sheet of a folder."""

    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    """By name."""
    written: float = 0.0

    def __post_init__(self) -> None:
        """Read what an earlier run left; raises SettingsError where the page's name is taken by something else."""
        page = self.folder / PAGE
        if page.exists() and sheet.MARK not in page.read_text("utf-8", "replace")[:2000]:
            raise SettingsError(f"{page}: is no contact sheet; move it, or leave --sheet out")
        for file in sorted((self.folder / FOLDER).glob("*.json")):
            entry = _read(file)
            if entry:
                self.entries[entry.name] = entry

    def keep(self, path: Path, frame: Frame, developed: Developed, before: Picture) -> None:
        """Lay a picture's thumbnail, what it was before, and its entry beside the page."""
        name = Path(os.path.relpath(path, self.folder)).as_posix()
        plain, folder = name.replace("/", "__"), self.folder / FOLDER
        image.make_folder(folder)
        after = _eight(developed.picture)
        files = {"before": _eight(before), "thumbnail": reduced(after, Size(long_edge=THUMBNAIL))}
        if path.suffix.lower() not in SHOWN:
            files["picture"] = after
        for kind, picture in files.items():
            image.write(picture, folder / f"{plain}-{kind}.jpg", exif=b"", overwrite=True, space=developed.space)
        entry = Entry(
            name=name,
            picture=f"{FOLDER}/{plain}-picture.jpg" if "picture" in files else name,
            before=f"{FOLDER}/{plain}-before.jpg",
            thumbnail=f"{FOLDER}/{plain}-thumbnail.jpg",
            camera=frame.camera,
            exposure=_words(frame),
            iso=frame.exposure.iso,
            ratio=developed.ratio,
            clipped=developed.clipped,
            notes=developed.notes,
        )
        (folder / f"{plain}.json").write_text(json.dumps(asdict(entry)), "utf-8")
        self.entries[name] = entry

    def heard(self, result: Result) -> None:
        """Take up what became of a photo, and write the page, unless it has just been written."""
        if result.outcome == "failed":
            self.entries[str(result.input)] = Entry(str(result.input), error=result.error)
        elif result.output is not None:
            name = Path(os.path.relpath(result.output, self.folder)).as_posix()
            self.entries.setdefault(name, Entry(name, picture=name))
        if time.monotonic() - self.written > PAUSE:
            self.write()

    def write(self) -> Path:
        """Write the page."""
        image.make_folder(self.folder)
        title = f"{self.folder.absolute().name}, developed by darkroom"
        sheet.write(self.folder / PAGE, list(self.entries.values()), title)
        self.written = time.monotonic()
        return self.folder / PAGE


def before(frame: Frame, model: Model, settings: Settings) -> Picture:
    """Develop a frame without the network, which is what one would see of it otherwise."""
    return pipeline.expose(frame, model, replace(settings, denoise=0.0, sharpen=0.0, bits=8)).picture


def _eight(picture: Picture) -> Picture:
    """Bring a picture to the 8 bits of a JPEG."""
    if picture.dtype == np.uint8:
        return picture
    if picture.dtype == np.uint16:
        return np.right_shift(picture.astype(np.uint16, copy=False), 8).astype(np.uint8)
    assert picture.dtype == np.float32
    return (linear_to_srgb(np.clip(picture, 0, 1).astype(np.float32)) * 255 + 0.5).astype(np.uint8)


def _words(frame: Frame) -> str:
    seconds, aperture = frame.exposure.seconds, frame.exposure.aperture
    told = [f"{seconds:g} s" if seconds >= 0.3 else f"1/{1 / seconds:.0f} s"] if seconds else []
    return ", ".join(told + ([f"f/{aperture:g}"] if aperture else []))


def _read(file: Path) -> Entry | None:
    try:
        told = documents.from_json(file.read_text("utf-8"))
        return Entry(**told | {"notes": tuple(told["notes"])})
    except (OSError, ValueError, TypeError, KeyError):  # of another version
        return None
