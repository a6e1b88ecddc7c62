"""Bursts are drawn: by hand each frame strays and a patch moves, from a tripod all see one thing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.errors import SettingsError
from darkroom.evaluate import bursts, simulated


def dark(folder: Path, size: tuple[int, int]) -> simulated.Dark:
    coarse = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(folder / "a.png")
    return simulated.plan(folder, ratios=(100.0,), cameras=("sonya7s2",))[0]


def test_by_hand_frames_stray_and_the_patch_moves(tmp_path):
    first, second, third = bursts._shots(dark(tmp_path, (1300, 900)), 3, True)
    row, column, side = bursts.PATCH
    for index, shot in enumerate((first, second, third)):
        left = column + bursts.STEP * index
        assert (shot[row : row + side, left : left + side] == first[row : row + side, column : column + side]).all()
    assert first.shape == (*bursts.CROP, 3) and np.abs(first.astype(int) - second).mean() > 1


def test_from_a_tripod_all_frames_see_the_same(tmp_path):
    first, second = bursts._shots(dark(tmp_path, (1300, 900)), 2, False)
    assert (first == second).all()


def test_a_photo_that_is_too_small_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="smaller than 768x1152"):
        next(bursts._shots(dark(tmp_path, (600, 500)), 2, True))


def test_a_burst_needs_photos_and_a_number(run):
    code, _, said = run("evaluate", "fast-bayer", "--hand-held", "--simulate", "photos")
    assert code == 2 and "--burst N" in said
