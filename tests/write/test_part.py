"""What a killed run left half written goes; what is being written stays."""

import os
import subprocess
import sys

import pytest

from darkroom.write import part as parts


def old(path):
    os.utime(path, (0, 0))
    return path


def test_a_part_that_is_not_moved_is_gone(tmp_path):
    with parts.part(tmp_path) as (path, file):
        file.write(b"half")
        assert path.exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="POSIX locks")
def test_only_the_parts_of_dead_runs_are_swept_away(tmp_path):
    stale = tmp_path / ".darkroom-0123456789ab.part"
    stale.write_bytes(b"half")
    old(stale)
    (tmp_path / "other.part").write_bytes(b"")
    young = tmp_path / ".darkroom-abcdefabcdef.part"
    young.write_bytes(b"half")
    writing = (
        "import sys, pathlib; from darkroom.write import part\n"
        f"with part.part(pathlib.Path({str(tmp_path)!r})) as (path, file): print(path, flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", writing]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        written = old(writer.stdout.readline().strip())
        parts.sweep(tmp_path)
        assert not stale.exists() and young.exists() and (tmp_path / "other.part").exists()
        assert os.path.exists(written)
        writer.kill()
    parts.sweep(tmp_path)
    assert not os.path.exists(written)


def test_a_run_sweeps_the_folder_it_writes_to(run, photo, here):
    stale = here / ".darkroom-0123456789ab.part"
    stale.write_bytes(b"half")
    old(stale)
    assert run("develop", "a.dng", "--model", "n.onnx", "--amp", "2")[0] == 0
    assert not stale.exists()
