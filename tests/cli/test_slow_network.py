"""Ctrl-C twice while a network computes an operator that takes minutes: nobody waits for it."""

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import dark
from made import write_slow

EVERY_ENGINE = ("cpu", pytest.param("openvino", marks=pytest.mark.skipif(not find_spec("openvino"), reason="no wheel")))

PROGRAM = """
import sys
from darkroom import cli
from darkroom.develop.model import Model

lent = Model.lent

def told(*given):
    print("at work", flush=True)
    return lent(*given)

Model.lent = told
cli.main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process")
@pytest.mark.parametrize("device", EVERY_ENGINE)
def test_a_second_ctrl_c_ends_the_command_amid_an_operator(here, write_dng, device):
    write_slow(Path("slow.onnx"), kernel=128)
    write_dng("a.dng", dark((64, 80)))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "develop", "a.dng", "-o", "out/", "--model", "slow.onnx", "--device", device],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout.readline() == "at work\n"
        for _ in range(2):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.5)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, "") and "Traceback" not in err
    assert not list(Path("out").glob("*")) and not list(Path("out").glob(".*"))
