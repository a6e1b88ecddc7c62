"""What is released: `python -m build` works, and its wheel holds what darkroom needs and no more."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NETWORKS = {f"darkroom/models/{quality}-{cfa}.onnx" for quality in ("fast", "fine") for cfa in ("bayer", "xtrans")}
DATA = {".py", ".toml", ".npz", ".typed"}
"""Suffixes of what a room may hold."""


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the sdist, and the wheel made from it; by the tools that are here, so without a network."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    return folder


def test_the_wheel_holds_code_data_and_networks_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
        assert file.read("darkroom/models/SHA256SUMS") == (ROOT / "models" / "SHA256SUMS").read_bytes()
    rooms = {path for path in (ROOT / "darkroom").rglob("*") if path.suffix in DATA and "__pycache__" not in path.parts}
    cards = {"darkroom/models/README.md", "darkroom/models/SHA256SUMS"}
    assert names == {path.relative_to(ROOT).as_posix() for path in rooms} | NETWORKS | cards
    assert names >= {"darkroom/py.typed", "darkroom/sensor/cameras.toml", "darkroom/evaluate/niqe.npz"}
    assert {Path(name).name for name in names} >= {"fast.toml", "fine.toml"}


def test_the_sdist_holds_what_a_checkout_does(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        tops = {name.split("/")[1] for name in file.getnames() if "/" in name}
    kept = {".github", "darkroom", "models", "tests", "pyproject.toml", "README.md", "LICENSE"}
    assert kept <= tops <= kept | {"PKG-INFO", ".gitignore"}
