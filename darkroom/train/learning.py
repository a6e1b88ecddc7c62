"""One step of training: what is learned from one batch, and how fast.

bright (N, C, h, w), reference (N, 3, H, W)  ->  weights a little better, and the loss
"""

import math

import torch
from torch import Tensor, nn

from darkroom import processor
from darkroom.train.recipe import Recipe, Stage


def step(
    plan: Recipe,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss_of: nn.Module,
    bright: Tensor,
    reference: Tensor,
) -> float:
    """Learn from one batch; return its loss, which is asked for last, for a GPU still works on it."""
    with torch.autocast(bright.device.type, torch.bfloat16, enabled=_has_bf16(bright.device)):
        output = network(bright.to(memory_format=torch.channels_last))
    loss = loss_of(output.float(), reference)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    if plan.clip:
        nn.utils.clip_grad_norm_(optimiser.param_groups[0]["params"], plan.clip)
    optimiser.step()
    return loss.item()


def rate(stage: Stage, step: int, share: float) -> float:
    """Linear warm-up by the stage's steps; by its share a cosine down to 1 % of the peak, or the stage's drops."""
    warm = min(1.0, (step + 1) / stage.warm_up) if stage.warm_up else 1.0
    if stage.drops:
        return warm * next((rate for at, rate in reversed(stage.drops) if share >= at), stage.learning_rate)
    return warm * stage.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))


def _has_bf16(device: torch.device) -> bool:
    """Does half the precision save time here?

    oneDNN counts every AVX-512 as able, but emulates it on the first of them, three times slower than float32, and
    Intel's own instructions for it are slower, too, but for AMX.
    """
    if device.type == "cuda":
        return True
    if not torch.cpu._is_avx512_supported():
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return torch.cpu._is_amx_tile_supported() or (torch.cpu._is_avx512_bf16_supported() and processor.is_amd())
