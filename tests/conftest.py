"""What several test files need: raw files made on the spot, and the real ones beside the checkout."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from darkroom import cli, dng
from darkroom.frame import CELL, CFA

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


def noise(shape: tuple[int, int], *, low: int = 500, high: int = 16000, seed: int = 0) -> NDArray[np.uint16]:
    """A mosaic of random DN, so that every site can be told from every other."""
    return np.random.default_rng(seed).integers(low, high, shape, np.uint16)
