"""Tags of files that may be garbled."""

from pathlib import Path

import numpy as np
import pytest
from conftest import WriteDng, noise

from darkroom import tiff
from darkroom.decode import tags


@pytest.mark.parametrize("seed", range(40))
def test_tags_of_garbled_files_are_left_out_not_raised(write_dng: WriteDng, seed):
    path = write_dng("a.dng", noise((40, 60)))
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    rng = np.random.default_rng(seed)
    at = rng.integers(0, 900, 30)
    data[at] = rng.integers(0, 256, at.size)
    path.write_bytes(data[: rng.integers(4, 6000)].tobytes())
    assert isinstance(tags.read(path), tags.Tags)


def test_a_canon_cr3_tells_its_camera(tmp_path: Path):
    names = tiff.block({tag: tiff.field(tiff.ASCII, name) for tag, name in ((271, "Canon"), (272, "Canon EOS R5"))})
    path = tmp_path / "a.cr3"
    path.write_bytes(b"\0\0\0\x18ftypcrx " + bytes(400) + b"CMT1" + names)
    assert tags.read(path).camera == "Canon EOS R5"
