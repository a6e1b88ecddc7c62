"""White balance where the camera chose none: guessed between daylight and tungsten, and said."""

from dataclasses import replace

import numpy as np
import pytest
from made import write_network

from darkroom.decode import raw
from darkroom.develop import amplifier, balance, model, pipeline
from darkroom.frame import Frame, Sources

PLAIN = pipeline.Settings(amp=amplifier.parse("20"))


def lit(write_dng, gains: tuple[float, float, float]) -> Frame:
    """A grey scene in a light that wants these gains, by a camera whose daylight gains are 2 and 1.5."""
    mosaic = np.random.default_rng(0).integers(2000, 2400, (120, 160)).astype(float)
    for at, gain in ((0, gains[0]), (1, gains[2])):
        mosaic[at::2, at::2] = (mosaic[at::2, at::2] - 512) / gain + 512
    return raw.read(write_dng("a.dng", mosaic.astype(np.uint16), white_balance=None, daylight=(2, 1, 1.5)))


@pytest.mark.parametrize(
    ("light", "said", "gains"),
    [
        ((2, 1, 1.5), "", (2, 1, 1.5)),
        ((4, 1, 1.0), ": daylight", (2, 1, 1.5)),  # bluer than daylight
        ((1.34, 1, 2.8), "% from daylight to tungsten", (1.34, 1, 2.8)),
        ((0.895, 1, 5.3), "tungsten", (0.895, 1, 5.3)),
        ((0.5, 1, 9.0), ": tungsten", (0.895, 1, 5.3)),  # redder than any lamp
    ],
)
def test_where_the_camera_chose_no_white_balance_it_is_guessed(write_dng, light, said, gains):
    guess, notes = balance.gains(lit(write_dng, light), "camera")
    np.testing.assert_allclose(guess, gains, rtol=0.06)
    assert notes[0].startswith("white balance guessed from the picture: ") and notes[0].endswith(said)


@pytest.mark.parametrize(("light", "doubted"), [((1.9, 1, 1.6), True), ((1.05, 1, 1.0), False)])
def test_gains_of_one_are_doubted_where_the_picture_contradicts(write_dng, light, doubted):
    frame = replace(lit(write_dng, light), sources=Sources(), white_balance=np.ones(3, np.float32))
    guess, notes = balance.gains(frame, "camera")
    assert bool(notes) == doubted and (guess != 1).any() == doubted


def test_the_guess_is_for_those_who_leave_it_to_the_camera(write_dng, tmp_path):
    frame = lit(write_dng, (1.34, 1, 2.8))
    np.testing.assert_allclose(balance.gains(frame, "daylight")[0], (2, 1, 1.5), rtol=1e-3)
    np.testing.assert_allclose(balance.gains(replace(frame, sources=Sources()), "camera")[0], (2, 1, 1.5), rtol=1e-3)
    network = model.load(write_network(tmp_path / "n.onnx"), device="cpu")
    assert any("guessed" in note for note in pipeline.expose(frame, network, PLAIN).notes)
