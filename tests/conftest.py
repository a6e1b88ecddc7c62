"""What several test files need: raw files made on the spot, and the real ones beside the checkout."""

import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import darkroom
from darkroom import cli
from darkroom.decode import decoder, raw
from darkroom.develop import model
from darkroom.errors import RawError
from darkroom.frame import CELL, CFA, Frame
from darkroom.write import dng

WriteDng = Callable[..., Path]


@pytest.fixture
def write_dng(tmp_path: Path) -> WriteDng:
    """`write_dng(name, mosaic, **as_dng_write)`: write a DNG into the test's folder and return its path."""

    def write(name: str | Path, mosaic: NDArray[np.uint16], **settings) -> Path:
        path = tmp_path / name
        dng.write(path, mosaic, **settings)
        return path

    return write


@pytest.fixture
def run(monkeypatch, capfd):
    """`run("develop", "a.dng")` -> exit code, stdout, stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["darkroom", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
            sys.exit(0)
        return int(end.value.code or 0), *capfd.readouterr()

    return call


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, where programs of their own find the package, with a network."""
    from made import write_network

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(darkroom.__file__).parents[1]))
    write_network(tmp_path / "n.onnx")
    return tmp_path


@pytest.fixture
def photo(write_dng: WriteDng) -> Path:
    """A dark photo, a.dng."""
    return write_dng("a.dng", dark((64, 80)))


@pytest.fixture(scope="session")
def networks() -> dict[str, model.Model]:
    """The usual network of each sensor, on the processor."""
    return {kind: model.load(model.find(model.default(kind)), device="cpu") for kind in ("bayer", "xtrans")}


@pytest.fixture
def frame(write_dng: WriteDng) -> Frame:
    """A dark scene as a Bayer sensor records it."""
    from darkened import dark, scene

    return raw.read(write_dng("dark.dng", dark(scene(120, 160), 20), white_balance=(1, 1, 1)))


@pytest.fixture(scope="session")
def shared_raw() -> Path:
    """The folder of real raw files, good, dark and broken; skips where the checkout has none beside it."""
    folder = Path(__file__).parents[1].parent / "shared" / "raw"
    if not folder.is_dir():
        pytest.skip("no ../shared/raw beside the checkout")
    return folder


def colours(shape: tuple[int, int], cfa: CFA = "bayer", phase: tuple[int, int] = (0, 0)) -> NDArray[np.uint8]:
    """Colour (0 red, 1 green, 2 blue) of every site of a mosaic that begins at `phase` of the canonical cell."""
    cell = CELL[cfa]
    rows = (np.arange(shape[0]) + phase[0]) % len(cell)
    columns = (np.arange(shape[1]) + phase[1]) % len(cell)
    return cell[np.ix_(rows, columns)]


def noise(shape: tuple[int, int], *, low: int = 500, high: int = 8000, seed: int = 0) -> NDArray[np.uint16]:
    """A mosaic of random DN, so that every site can be told from every other."""
    return np.random.default_rng(seed).integers(low, high, shape, np.uint16)


def dark(shape: tuple[int, int], seed: int = 0) -> NDArray[np.uint16]:
    """A mosaic that a ratio of 2 does not clip."""
    return noise(shape, low=600, high=3000, seed=seed)


@pytest.fixture
def libraw_says(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`libraw_says(white=0, ...)`: what LibRaw tells of the next files, whatever they hold."""

    def says(**facts) -> None:
        told = decoder._told
        monkeypatch.setattr(decoder, "_told", lambda process: replace(told(process), **facts))

    return says


def refusal(path: Path, **settings: float) -> str:
    """What `raw.read` says instead of reading, which is one line that begins with the path."""
    with pytest.raises(RawError) as caught:
        raw.read(path, **settings)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and "; " in message
    return message.removeprefix(f"{path}: ")


def unrendered(path: Path, **settings: float) -> str:
    """What `raw.render` says instead of rendering."""
    with pytest.raises(RawError) as caught:
        raw.render(path, kind="srgb", curve="bt709", **settings)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and "; " in message
    return message.removeprefix(f"{path}: ")


def patch(path: Path, changes: dict[int, bytes | None]) -> Path:
    """Overwrite the short values of tags in a DNG's main directory; None hides the tag."""
    data = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", data, 4)[0]
    for entry in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        tag = struct.unpack_from("<H", data, entry)[0]
        if tag in changes and changes[tag] is None:
            struct.pack_into("<H", data, entry, 65000)
        elif tag in changes:
            data[entry + 8 : entry + 12] = changes[tag].ljust(4, b"\0")
    path.write_bytes(data)
    return path


MISSING = [name for name in ("torch", "safetensors", "onnx") if find_spec(name) is None]
"""What the tests of training stand on and is not there."""


class Unwanted(pytest.Module):
    """A file of tests that cannot even be imported here."""

    def collect(self) -> Iterator[pytest.Item]:
        pytest.skip(f"needs {', '.join(MISSING)}", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    return Unwanted.from_parent(parent, path=module_path) if MISSING and module_path.parent.name == "train" else None
