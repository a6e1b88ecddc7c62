"""Scores by networks that learned what people see: what the library is given, and what is said where it is missing."""

import sys
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest

from darkroom.errors import SettingsError
from darkroom.evaluate import measure, perceptual
from darkroom.evaluate.measure import Measures

torch = pytest.importorskip("torch")

REFERENCE = np.linspace(0, 1, 64 * 96 * 3, dtype=np.float32).reshape(64, 96, 3)
PICTURE = REFERENCE * np.float32(1.2) - np.float32(0.1)


class Fake(torch.nn.Module):
    """Tells one picture's mean, or two pictures' difference."""

    def forward(self, *pictures):
        assert all(each.shape == (1, 3, 64, 96) and 0 <= each.min() <= each.max() <= 1 for each in pictures)
        return pictures[0].mean() - (pictures[1].mean() if len(pictures) > 1 else 0)


@pytest.fixture(autouse=True)
def forgotten():
    yield
    perceptual._loaded.cache_clear()


def test_scores_are_those_of_the_library(monkeypatch):
    fake = SimpleNamespace(PieAPP=Fake, DISTS=lambda: Fake(), CLIPIQA=lambda: Fake())
    monkeypatch.setitem(sys.modules, "piq", fake)
    found = measure.measure(PICTURE, REFERENCE, Measures(("pieapp", "clip-iqa")))
    clipped = np.clip(PICTURE, 0, 1).mean()
    assert found.pieapp == pytest.approx(clipped - REFERENCE.mean(), abs=1e-5)
    assert found.clip_iqa == pytest.approx(clipped, abs=1e-5) and found.dists is None


def test_a_missing_library_and_missing_weights_are_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "piq", None)
    with pytest.raises(
        SettingsError, match=r"pieapp: needs piq .*; pip install 'darkroom-raw\[perceptual\]', with the tor"
    ):
        perceptual.score("pieapp", PICTURE, REFERENCE)

    class Far(Fake):
        _weights_url = "https://example.org/PieAPP.pth"

        def __init__(self):
            raise URLError("no network")

    monkeypatch.setitem(sys.modules, "piq", SimpleNamespace(PieAPP=Far, CLIPIQA=Far))
    with pytest.raises(SettingsError) as caught:
        perceptual.score("pieapp", PICTURE, REFERENCE)
    assert "checkpoints and cannot be fetched (URLError); download https://example.org/PieAPP.pth and" in str(
        caught.value
    )
    with pytest.raises(SettingsError, match="pieapp: the picture is 40x40, and it takes 64 a side"):
        perceptual.score("pieapp", PICTURE[:40, :40], REFERENCE[:40, :40])


def test_the_library_itself_finds_equal_pictures_equal(monkeypatch):
    piq = pytest.importorskip("piq", exc_type=ImportError)
    torch.manual_seed(0)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: piq.pieapp.PieAPPModel().state_dict())
    same, other = (perceptual.score("pieapp", each, REFERENCE) for each in (REFERENCE, PICTURE))
    assert same == pytest.approx(perceptual.score("pieapp", REFERENCE, REFERENCE)) and same != other
