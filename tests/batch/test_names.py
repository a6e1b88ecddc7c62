"""Names made of what is known of a photo."""

import os
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from darkroom.batch import jobs, names
from darkroom.batch.names import Facts
from darkroom.errors import SettingsError
from darkroom.write.dng import Circumstances

TOLD = Facts("IMG", datetime(2024, 2, 29, 23, 59, 58), "Sony A7S II")

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("out/{date:%Y-%m-%d}/{stem}", "out/2024-02-29/IMG"),
        ("{camera}_{stem}", "Sony A7S II_IMG"),
        ("{date:%Y/%m}/{stem:_>5}", "2024/02/__IMG"),
        ("{{{stem}}}-{ratio:.0f}", "{IMG}-{ratio:.0f}"),
    ],
)
def test_fields_are_filled_in_and_what_is_unknown_waits(template, name):
    names.check(template)
    assert names.filled(template, TOLD) == name


@pytest.mark.parametrize("camera", ["../../etc", "/etc", "..", "a/../..", "C:\\x", ""])
def test_no_value_leads_out_of_the_folder(camera):
    filled = names.filled("out/{camera}/{stem}", Facts("IMG", TOLD.taken, camera))
    assert Path(os.path.normpath(filled)).parts[0] == "out" and len(Path(os.path.normpath(filled)).parts) == 3


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("out/{iso}.png", "-o out/{iso}.png: unknown field iso; known are date, camera, stem, ratio, model"),
        ("{stem.upper}", "-o {stem.upper}: unknown field stem.upper; known"),
        ("{stem!r}", "-o {stem!r}: unknown field stem; known"),
        ("{stem:.0f}", "-o {stem:.0f}: unknown format code"),
        ("{stem", "-o {stem: expected '}' before end of string"),
        ("out/{stem}/../../x", "-o out/{stem}/../../x: leaves the folder out; leave .. out"),
    ],
)
def test_a_template_that_cannot_be_filled_is_refused(template, complaint):
    with pytest.raises(SettingsError) as caught:
        jobs.plan(["a.dng"], place=template)
    assert str(caught.value).startswith(complaint)


def test_the_command_names_pictures_by_date_and_ratio(run, write_dng):
    from conftest import dark

    for number in (1, 2):
        taken = Circumstances(taken=f"2024:02:{number:02} 12:00:00")
        write_dng(f"{number}.dng", dark((64, 80), seed=number), circumstances=taken)
    words = (
        "develop",
        "1.dng",
        "2.dng",
        "--model",
        "n.onnx",
        "--amp",
        "2",
        "-o",
        "out/{date:%d}/{stem}-x{ratio:.1f}.jpg",
    )
    code, out, err = run(*words, "--dry-run")
    assert (code, out) == (0, "1.dng -> out/01/1-x{ratio:.1f}.jpg\n2.dng -> out/02/2-x{ratio:.1f}.jpg\n")
    code, out, err = run(*words)
    assert (code, out) == (0, "out/01/1-x2.0.jpg\nout/02/2-x2.0.jpg\n"), err
    assert Path("out/02/2-x2.0.jpg").exists()
    code, out, err = run(*words)
    assert code == 1 and err.count("already exists") == 2
    before = Path("out/02/2-x2.0.jpg").stat().st_mtime_ns
    code, out, err = run(*words, "--on-conflict", "skip")
    assert (code, out) == (0, "") and Path("out/02/2-x2.0.jpg").stat().st_mtime_ns == before
    code, out, _ = run(*words, "--on-conflict", "unique")
    assert out == "out/01/1-x2.0_2.jpg\nout/02/2-x2.0_2.jpg\n"


def test_two_photos_of_one_name_are_refused_before_any_work(run, write_dng):
    write_dng("1.dng", np.zeros((64, 80), np.uint16))
    write_dng("2.dng", np.zeros((64, 80), np.uint16))
    code, _, err = run("develop", "1.dng", "2.dng", "-o", "{camera}.png")
    assert code == 2 and "both 1.dng and 2.dng would be written there" in err
