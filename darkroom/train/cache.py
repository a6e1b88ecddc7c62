"""What training reads again and again, decoded once: memory-mapped files keyed by content.

    raw file -> Frame whose mosaic (H, W) is a memory map; LibRaw's picture of it, (H, W, 3) uint16
    photo -> (H, W, 3) uint8, reduced                           numbers about files -> the same numbers

A file is known by the hash of its bytes, so that it may be moved and renamed; to save the hashing, its path, size and
time of change are remembered with the hash. Every entry is written beside its place and moved there in one step:
several processes may share a folder, and at worst make the same entry twice. Nothing is kept in memory: maps are opened
for each use, and the system drops their pages when it wants to.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from darkroom import documents
from darkroom.batch import jobs
from darkroom.decode import raw
from darkroom.decode.raw import Curve, Kind
from darkroom.develop import curves, finish
from darkroom.errors import DarkroomError, SettingsError
from darkroom.frame import Exposure, Frame, Sources, Window
from darkroom.train import pictures
from darkroom.write import part as parts

Appearance = Literal["plain", "stretched", "contrast"]
Number = TypeVar("Number", bound=np.generic)

_FORMAT = 1
"""Raised whenever the same file would give another entry."""
_LOOKS = {"stretched": finish.Look(stretch=True), "contrast": finish.Look()}
_UPRIGHT = 1
"""EXIF orientation: crops are taken as the sensor lies."""


@dataclass(frozen=True)
class Cache:
    """A folder of decoded files."""

    folder: Path

    def sweep(self) -> None:
        """Take away what killed runs left half written."""
        for folder in (self._entries, self._entries / "index"):
            parts.sweep(folder)

    def frame(self, path: Path) -> Frame:
        """Open a decoded raw file, as `raw.read` gives it, its mosaic memory-mapped.

        Raises RawError as `raw.read`, DarkroomError where the folder cannot be written.
        """
        content = self._content(path)
        frame = self._framed(content)
        if frame is None:
            decoded = raw.read(path)
            self._keep(f"{content}-mosaic.npy", decoded.mosaic)
            self._write(f"{content}.json", _facts(decoded))
            frame = self._framed(content) or decoded
        return frame

    def _framed(self, content: str) -> Frame | None:
        """Put a frame together of its entries; None where one is missing or of another kind."""
        facts, mosaic = self._read(f"{content}.json"), self._map(f"{content}-mosaic.npy", np.uint16, 2)
        if facts is None or mosaic is None:
            return None
        try:
            return _frame(facts, mosaic)
        except (AttributeError, LookupError, TypeError, ValueError):
            return None

    def rendering(self, path: Path, *, kind: Kind, curve: Curve, look: Appearance = "plain") -> NDArray[np.uint16]:
        """Open LibRaw's picture of a raw file, memory-mapped: (H, W, 3), of the frame's visible window, not turned.

        Kinds and curves are those of `raw.render`. look "stretched": its 1st and 99th percentile of light made black
        and white (SID, Table 3 row 8); "contrast": the inverted picture dehazed (Zamir et al.); both as `finish` does
        it for `darkroom develop`, over the whole picture. Raises as `frame`.
        """
        content = self._content(path)
        name = f"{content}-{kind}-{curve}-{look}.npy"
        picture = self._map(name, np.uint16, 3)
        if picture is None and look == "plain":
            frame, rendered = raw.render(path, kind=kind, curve=curve)
            self._write(f"{content}.json", _facts(frame))
            picture = self._kept(name, rendered)
        elif picture is None:
            plain = self.rendering(path, kind=kind, curve=curve)
            picture = self._kept(name, _looked(plain, curve, look))
        return picture

    def reference(self, path: Path, short: Path) -> Frame:
        """Open the frame of a short's reference: as `frame`, or what a picture is worth. Raises SettingsError, too."""
        if not pictures.is_picture(path):
            return self.frame(path)
        taken, name = self.frame(short), f"{self._content(path)}-{self._content(short)}-mosaic.npy"
        mosaic: NDArray[np.uint16] | None = self._map(name, np.uint16, 2)
        if mosaic is None:
            mosaic = self._kept(name, pictures.mosaic(pictures.read(path, taken), taken))
        return pictures.frame(mosaic, taken)

    def shown(
        self, path: Path, short: Path, *, kind: Kind, curve: Curve, look: Appearance = "plain"
    ) -> NDArray[np.uint16]:
        """Open the picture of a short's reference: as `rendering`, or a picture brought to the same."""
        if not pictures.is_picture(path):
            return self.rendering(path, kind=kind, curve=curve, look=look)
        name = f"{self._content(path)}-{self._content(short)}-{kind}-{curve}-{look}.npy"
        picture: NDArray[np.uint16] | None = self._map(name, np.uint16, 3)
        if picture is None:
            taken = self.frame(short)
            plain = pictures.rendered(pictures.read(path, taken), taken, camera=kind == "camera", curve=curve)
            picture = self._kept(name, plain if look == "plain" else _looked(plain, curve, look))
        return picture

    def photo(self, path: Path, reduced_by: float = 1.0, *, look: Appearance = "plain") -> NDArray[np.uint8]:
        """Open a JPEG, PNG or raw photo, memory-mapped: (H, W, 3), `reduced_by` times smaller; looks as in `rendering`.

        Raises SettingsError for what is no photo, RawError as `raw.read`.
        """
        content = self._content(path)
        name = f"{content}-photo-{reduced_by:.6g}-{look}.npy"
        picture = self._map(name, np.uint8, 3)
        if picture is None and look == "plain":
            picture = self._kept(name, read_photo(path, reduced_by))
        elif picture is None:
            plain = self.photo(path, reduced_by)
            picture = self._kept(name, looked(plain, look))
        return picture

    def places(self, files: Sequence[Path], look: Callable[[], NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the (n, k) numbers that `look` found when these files were last of this size and time of change.

        Unlike `numbers` it reads no file: they may be terabytes. Raises SettingsError for one that cannot be found.
        """
        stamps = hashlib.blake2b(digest_size=16)
        for file in files:
            status = _status(file)
            stamps.update(repr((os.fspath(file.absolute()), status.st_size, status.st_mtime_ns)).encode())
        name = f"{stamps.hexdigest()}-places.npy"
        known: NDArray[np.int64] | None = self._map(name, np.int64, 2)
        return self._kept(name, look()) if known is None else known

    def numbers(self, name: str, paths: Sequence[Path], measure: Callable[[], Sequence[float]]) -> tuple[float, ...]:
        """Return what `measure` found of these files, in this order, when it was last asked under this name."""
        contents = "".join(self._content(path) for path in paths)
        file = f"{hashlib.blake2b(contents.encode(), digest_size=16).hexdigest()}-{name}.json"
        known = self._read(file)
        if not isinstance(known, list) or not all(isinstance(number, float) for number in known):
            known = [float(number) for number in measure()]
            self._write(file, known)
        return tuple(known)

    def _content(self, path: Path) -> str:
        """Hash a file, or remember its hash by its path, size and time of change."""
        status, place = _status(path), os.fsencode(path.absolute())
        try:
            file = f"index/{hashlib.blake2b(place, digest_size=16).hexdigest()}.json"
            stamp = [status.st_size, status.st_mtime_ns]
            known = self._read(file)
            if isinstance(known, dict) and known.get("stamp") == stamp and isinstance(known.get("content"), str):
                return known["content"]
            with path.open("rb") as data:
                content = hashlib.file_digest(data, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        except OSError as error:
            raise _unread(path, error) from error
        self._write(file, {"stamp": stamp, "content": content})
        return content

    @property
    def _entries(self) -> Path:
        return self.folder / str(_FORMAT)

    def _read(self, name: str) -> Any:
        """Read an entry of JSON; None where there is none, or a broken one."""
        try:
            return documents.from_json((self._entries / name).read_bytes())
        except (OSError, ValueError):
            return None

    def _map(self, name: str, dtype: type[np.generic], axes: int) -> Any:
        """Map an array; None where there is none, a broken one, or one of another kind."""
        try:
            array = np.load(self._entries / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return array if isinstance(array, np.ndarray) and (array.dtype, array.ndim) == (dtype, axes) else None

    def _write(self, name: str, entry: object) -> None:
        self._place(name, lambda file: file.write(json.dumps(entry).encode()))

    def _keep(self, name: str, array: NDArray[np.generic]) -> None:
        self._place(name, lambda file: np.save(file, array, allow_pickle=False))

    def _kept(self, name: str, array: NDArray[Number]) -> NDArray[Number]:
        """Write an array, and map it in place of the one in memory."""
        self._keep(name, array)
        return np.load(self._entries / name, mmap_mode="r", allow_pickle=False)

    def _place(self, name: str, write: Callable[[BinaryIO], object]) -> None:
        """Write a file beside its place, then move it there."""
        target = self._entries / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)  # another process may just have made it
            with parts.part(target.parent) as (part, file):
                write(file)
                file.close()
                part.replace(target)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DarkroomError(
                f"{self.folder}: cannot be written ({reason}); make room there, or choose another folder for the cache"
            ) from error


def read_photo(path: Path, reduced_by: float) -> NDArray[np.uint8]:
    """Read a photo, made `reduced_by` times smaller by Lanczos; 1 or less leaves it as it is.

    A raw file is rendered by LibRaw first. Raises SettingsError for what is no photo, RawError as `raw.read`.
    """
    if jobs.is_raw(path.name):
        _, rendered = raw.render(path, kind="srgb", curve="srgb")
        photo = Image.fromarray((rendered / 257 + 0.5).astype(np.uint8))
        return _reduced(photo, reduced_by)
    return read_picture(path, str(path), reduced_by)


def read_picture(file: Path | BinaryIO, name: str, reduced_by: float) -> NDArray[np.uint8]:
    """Read a photo that is no raw file, from the disk or from memory, as `read_photo`; name: for its refusal."""
    try:
        with Image.open(file) as opened:
            photo = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise SettingsError(f"{name}: cannot be read as a photo ({error}); give JPEG or PNG files") from error
    return _reduced(photo, reduced_by)


def _reduced(photo: Image.Image, by: float) -> NDArray[np.uint8]:
    if by > 1:
        size = (max(1, round(photo.width / by)), max(1, round(photo.height / by)))
        photo = photo.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(photo)


def looked(plain: NDArray[np.uint8], look: Appearance) -> NDArray[np.uint8]:
    """Give a photo a look: (H, W, 3) sRGB -> (H, W, 3)."""
    return (_looked(plain * np.uint16(257), "srgb", look) / 257 + 0.5).astype(np.uint8)


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise _unread(path, error) from error


def _unread(path: Path, error: OSError) -> SettingsError:
    reason = (error.strerror or str(error)).lower()
    return SettingsError(f"{path}: cannot be read ({reason}); check the name and its permissions")


def _looked(plain: NDArray[np.uint16], curve: Curve, look: Appearance) -> NDArray[np.uint16]:
    """Give a picture a look in light, whatever its curve: (H, W, 3) -> (H, W, 3), both under the same curve."""
    there, back = _exchanges(curve)
    height, width = plain.shape[:2]
    rgb = there[np.ascontiguousarray(plain.transpose(2, 0, 1))]
    window = Window(0, 0, height, width)
    looked = finish.render(
        rgb,
        matrix=np.eye(3, dtype=np.float32),
        window=window,
        orientation=_UPRIGHT,
        look=_LOOKS[look],
        bits=16,
        dehaze=look == "contrast",
    )
    return back[looked]


def _exchanges(curve: Curve) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Tables from 16-bit values under the curve to those under sRGB's, which `finish` knows, and back."""
    codes = np.arange(65536)
    if curve == "srgb":
        return codes.astype(np.uint16), codes.astype(np.uint16)
    there = np.rint(65535 * curves.linear_to_srgb(curves.bt709_to_linear(codes / 65535))).astype(np.uint16)
    back = np.rint(65535 * curves.linear_to_bt709(curves.srgb_to_linear(codes / 65535))).astype(np.uint16)
    return there, back


def _facts(frame: Frame) -> dict[str, object]:
    """Every field of a frame but its samples, as JSON can hold it."""
    return {name: _listed(getattr(frame, name)) for name in _KEPT}


def _listed(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return asdict(value) if isinstance(value, Exposure | Window | Sources) else value


def _frame(facts: dict[str, Any], mosaic: NDArray[np.uint16]) -> Frame:
    """Put a frame together again; raises KeyError where a field is missing, as from an older version."""
    kept: dict[str, Any] = {name: facts[name] for name in _KEPT}
    made = {name: again(kept[name]) for name, again in _FROM_JSON.items() if kept[name] is not None}
    return Frame(mosaic=mosaic, **kept | made)


def _numbers(listed: list[Any]) -> NDArray[np.float32]:
    return np.array(listed, np.float32)


_KEPT = tuple(field.name for field in fields(Frame) if field.name != "mosaic")
_FROM_JSON: dict[str, Callable[[Any], Any]] = {
    "black": _numbers,
    "white_balance": _numbers,
    "daylight": _numbers,
    "camera_to_srgb": _numbers,
    "exposure": lambda told: Exposure(**told),
    "visible": lambda told: Window(**told),
    "defects": lambda listed: np.array(listed, np.intp).reshape(-1, 2),
    "notes": tuple,
    "sources": lambda told: Sources(**told),
}
"""Field -> how it is made of what JSON keeps of it, where that is something else."""
