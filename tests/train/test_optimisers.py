"""Optimisers: Muon's steps are what they are said to be, and both survive a checkpoint."""

import pytest
import torch
from torch import nn

from darkroom.train import checkpoint, optimisers


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16), (1, 9)])
def test_an_orthogonal_matrix_keeps_directions_and_evens_out_strengths(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = optimisers.orthogonal(torch.stack([torch.zeros(shape), matrix]))[1]
    left, strengths, right = torch.linalg.svd(matrix, full_matrices=False)
    assert found.shape == shape and found.isfinite().all()
    even = (left.T @ found @ right.T).diagonal()
    assert strengths[0] / strengths[-1] >= 1 and 0.5 < even.min() and even.max() < 1.3


def test_adamw_alone_is_the_papers():
    """Adam as their frameworks have it."""
    (group,) = optimisers.build("adamw", nn.Linear(1, 1).parameters(), 1e-4, 0.0).param_groups
    assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.9, 0.999), 1e-8, 0.0)


def test_no_gradient_gives_no_direction():
    assert torch.equal(optimisers.orthogonal(torch.zeros(1, 4, 12)), torch.zeros(1, 4, 12))


def test_steps_have_adams_size_whatever_the_gradients_size():
    for scale in (1e-6, 1e3):
        layer = nn.Conv2d(32, 32, 3)
        before = layer.weight.detach().clone()
        layer.weight.grad = scale * torch.randn_like(layer.weight)
        layer.bias.grad = scale * torch.randn_like(layer.bias)
        optimisers.build("muon", layer.parameters(), 0.01, 0.0).step()
        moved = (layer.weight.detach() - before) / 0.01
        assert moved.square().mean().sqrt() == pytest.approx(optimisers.RMS, rel=0.2)
        assert torch.sign(moved).eq(-torch.sign(layer.weight.grad)).float().mean() > 0.7


def test_weight_decay_shrinks_and_frozen_parameters_stay():
    layer = nn.Conv2d(4, 4, 3)
    layer.bias.requires_grad_(False)
    layer.weight.grad = torch.zeros_like(layer.weight)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    optimisers.build("muon", layer.parameters(), 0.1, 0.5).step()
    assert torch.allclose(layer.weight, weight * 0.95) and torch.equal(layer.bias, bias)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_resumed_optimiser_goes_on_alike(name, tmp_path):
    def layer_and_optimiser():
        torch.manual_seed(0)
        layer = nn.Conv2d(4, 6, 3)
        return layer, optimisers.build(name, layer.parameters(), 0.01, 1e-4)

    def learn(layer, optimiser, seed):
        x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
        optimiser.zero_grad()
        (layer(x) - 1).square().mean().backward()
        optimiser.step()

    layer, optimiser = layer_and_optimiser()
    for seed in range(4):
        if seed == 2:
            checkpoint.save(tmp_path, layer, {}, optimiser, checkpoint.State(step=2))
        learn(layer, optimiser, seed)
    again, resumed = layer_and_optimiser()
    assert checkpoint.resume(tmp_path, again, {}).step == 2
    checkpoint.resume_optimiser(tmp_path, resumed)
    for seed in (2, 3):
        learn(again, resumed, seed)
    assert torch.equal(again.weight, layer.weight) and torch.equal(again.bias, layer.bias)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_each_optimiser_learns(name):
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 3, 3, padding=1)
    optimiser = optimisers.build(name, layer.parameters(), 0.02, 0.0)
    x = torch.randn(4, 3, 8, 8)
    losses = []
    for _ in range(60):
        loss = (layer(x) - x).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 5
