"""One step of training: how fast, in which precision, and what is not learned from."""

from dataclasses import replace
from math import isnan

import pytest
import torch
from torch import nn

from darkroom.train import learning, recipe
from darkroom.train.recipe import Stage

STAGE = Stage(steps=100, batch=1, crop=48, learning_rate=1e-3, warm_up=10)


def test_the_rate_warms_up_and_falls_to_a_hundredth():
    assert learning.rate(STAGE, 0, 0.0) == pytest.approx(1e-4)
    assert learning.rate(STAGE, 9, 0.0) == pytest.approx(1e-3)
    assert learning.rate(STAGE, 50, 0.5) == pytest.approx(1e-3 * (0.01 + 0.99 / 2))
    assert learning.rate(STAGE, 100, 1.0) == learning.rate(STAGE, 120, 1.2) == pytest.approx(1e-5)


def test_drops_replace_the_cosine():
    stage = replace(STAGE, warm_up=0, drops=((0.5, 1e-4), (0.9, 1e-5)))
    assert [learning.rate(stage, 0, share) for share in (0.0, 0.49, 0.5, 0.89, 0.9)] == [1e-3, 1e-3, 1e-4, 1e-4, 1e-5]


@pytest.mark.parametrize(
    ("avx512", "instructions", "amx", "amd", "half"),
    [
        (True, False, False, False, False),
        (True, True, False, False, False),
        (True, True, False, True, True),
        (True, False, False, True, False),
        (True, True, True, False, True),
    ],
    ids=["the first AVX-512", "Intel's AVX512_BF16", "AMD's", "an AMD without it", "AMX"],
)
def test_half_the_precision_only_where_the_processor_is_faster_by_it(monkeypatch, avx512, instructions, amx, amd, half):
    monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(learning.processor, "is_amd", lambda: amd)
    assert learning._has_bf16(torch.device("cpu")) == half


@pytest.mark.parametrize("onednn", [True, False])
def test_without_avx512_onednn_is_asked(monkeypatch, onednn):
    monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    assert learning._has_bf16(torch.device("cpu")) == onednn


def test_a_step_tells_its_loss_and_moves_the_weights():
    network = nn.Conv2d(4, 3, 1)
    before = network.weight.detach().clone()
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    plan, bright = recipe.load("fast"), torch.rand(1, 4, 8, 8)
    picture = torch.zeros(1, 3, 8, 8)
    assert learning.step(plan, network, optimiser, nn.L1Loss(), bright, picture) > 0
    assert not torch.equal(network.weight, before)
    assert isnan(learning.step(plan, network, optimiser, nn.L1Loss(), bright * torch.nan, picture))
