"""Phase correlation of two exposures: two sites are seen through the noise of x300 and past the sensor's own marks."""

import numpy as np
import pytest
import sets
from numpy.typing import NDArray

from darkroom.frame import CELL, CFA, Exposure, Frame, Window
from darkroom.train import alignment

SIZE = (240, 324)
SHIFTS = [(0, 0), (2, 0), (0, -2), (-3, 5)]


def expose(light: NDArray[np.float32], ratio: float, rng: np.random.Generator, *, cfa: CFA = "bayer") -> Frame:
    """Record (H, W) light with 2 DN of noise a site and a row, and the hot sites that this sensor always has."""
    hot = np.zeros(light.shape)
    hot[tuple(np.random.default_rng(0).integers(0, side, 40) for side in light.shape)] = 3000
    noise = 2 * rng.standard_normal(light.shape) + 2 * rng.standard_normal((len(light), 1))
    mosaic = np.clip(np.rint(512 + light / ratio * 15871 + noise + hot), 0, 16383).astype(np.uint16)
    return Frame(
        mosaic=mosaic,
        cfa=cfa,
        black=np.full(CELL[cfa].shape, 512, np.float32),
        white=16383.0,
        white_balance=None,
        daylight=None,
        camera_to_srgb=np.eye(3, dtype=np.float32),
        exposure=Exposure(0, 0, 0),
        visible=Window(0, 0, *mosaic.shape),
        orientation=1,
        camera="",
        bits=14,
    )


@pytest.mark.parametrize("cfa", ["bayer", "xtrans"])
@pytest.mark.parametrize("shift", SHIFTS)
def test_offsets_of_rows_and_hot_sites_of_the_sensor_hide_no_shift(cfa, shift):
    rng = np.random.default_rng(0)
    light = sets.scene(3, SIZE)[..., 1] * np.float32(0.2)
    reference = expose(light, 1, rng, cfa=cfa)
    found = alignment.shift(expose(np.roll(light, shift, (0, 1)), 300, rng, cfa=cfa), reference, 300)
    assert found.doubt < 1.5
    assert (found.down, found.right) == (pytest.approx(shift[0], abs=0.5), pytest.approx(shift[1], abs=0.5))
    assert found.length == pytest.approx(np.hypot(*shift), abs=0.7)


def test_large_frames_are_compared_by_larger_blocks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(alignment, "_BLOCKS", 8000)
    rng = np.random.default_rng(0)
    light = sets.scene(3, SIZE)[..., 1]
    reference = expose(light, 1, rng)
    assert alignment._sites(reference) == 4
    found = alignment.shift(expose(np.roll(light, (2, -3), (0, 1)), 100, rng), reference, 100)
    assert (found.down, found.right) == (pytest.approx(2, abs=0.5), pytest.approx(-3, abs=0.5))


def test_the_margins_of_a_mosaic_are_not_compared():
    rng = np.random.default_rng(0)
    light = sets.scene(3, SIZE)[..., 1]
    frames = []
    for seed, ratio in ((1, 30), (2, 1)):
        frame = expose(light, ratio, rng)
        frame.mosaic[:1, :] = np.random.default_rng(seed).integers(0, 16383, SIZE[1])
        frame.mosaic[:, :1] = np.random.default_rng(seed).integers(0, 16383, (SIZE[0], 1))
        object.__setattr__(frame, "visible", Window(1, 1, SIZE[0] - 1, SIZE[1] - 1))
        frames.append(frame)
    assert alignment.shift(*frames, 30).length < 0.2


def test_two_scenes_that_have_nothing_in_common_tell_no_shift():
    rng = np.random.default_rng(0)
    dark = expose(np.zeros(SIZE, np.float32), 300, rng)
    assert alignment.shift(dark, expose(sets.scene(3, SIZE)[..., 1], 1, rng), 300).doubt == np.inf
    flat = expose(np.full(SIZE, 0.5, np.float32), 1, rng)
    assert alignment.shift(dark, flat, 300).length < 1.5, "hot sites alone"
