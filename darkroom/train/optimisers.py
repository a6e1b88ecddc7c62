"""Optimisers: AdamW from PyTorch, and Muon, which makes convolutions' steps orthogonal.

gradients  ->  steps whose directions all count alike, so that a few thousand batches teach what AdamW needs several
times as many for (figures in models/README.md)

After K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024). A convolution's momentum is
taken as a matrix (out, in x height x width) and replaced by the nearest one with orthogonal rows or columns, found by
five steps of a Newton-Schulz iteration; scaled as J. Liu et al., "Muon is scalable for LLM training" (2025), so that
a learning rate means about what it means to AdamW.
"""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

Name = Literal["adamw", "muon"]

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Jordan et al.'s coefficients of x, x^3, x^5: singular values end between 0.7 and 1.2, soon."""
ITERATIONS = 5
MOMENTUM = 0.95
"""Nesterov's, of the matrices."""
BETAS = (0.9, 0.99)
"""Of AdamW's running mean and variance, for biases and the like."""
RMS = 0.2
"""Of a step's entries, as AdamW's usually are (Liu et al.)."""


def build(name: Name, parameters: Iterable[nn.Parameter], rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """Make an optimiser; AdamW without weight decay is Adam."""
    if name == "muon":
        return Muon(parameters, rate, weight_decay)
    return torch.optim.AdamW(parameters, rate, betas=BETAS, weight_decay=weight_decay)


class Muon(torch.optim.Optimizer):
    """Muon for weights with four dimensions, AdamW for others.

    Steps made orthogonal do not shrink with the gradient: only the falling learning rate brings them to rest.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], rate: float, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": rate, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # takes no closure, as nobody here has one
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    move = self._matrix_step if parameter.ndim == 4 else self._adam_step
                    move(parameter, group["lr"])

    def _matrix_step(self, weight: nn.Parameter, rate: float) -> None:
        state = self.state[weight]
        assert weight.grad is not None
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        state["momentum"].lerp_(weight.grad, 1 - MOMENTUM)
        matrix = weight.grad.lerp(state["momentum"], MOMENTUM).flatten(1)
        weight.add_(orthogonal(matrix).reshape(weight.shape), alpha=-rate * RMS * max(matrix.shape) ** 0.5)

    def _adam_step(self, weight: nn.Parameter, rate: float) -> None:
        state = self.state[weight]
        assert weight.grad is not None
        if not state:
            state.update(step=torch.zeros(()), mean=torch.zeros_like(weight), square=torch.zeros_like(weight))
        state["step"] += 1
        state["mean"].lerp_(weight.grad, 1 - BETAS[0])
        state["square"].lerp_(weight.grad**2, 1 - BETAS[1])
        unbiased = [1 - beta ** state["step"].item() for beta in BETAS]
        spread = (state["square"] / unbiased[1]).sqrt_().add_(1e-8)
        weight.addcdiv_(state["mean"], spread, value=-rate / unbiased[0])


def orthogonal(matrix: Tensor) -> Tensor:
    """Give the nearest matrix whose singular values are all about 1 (0.7 to 1.2), of the same shape.

    Every iterate is a polynomial of the first matrix's square times that matrix, so only the small square is
    iterated: a third of the time.
    """
    first, third, fifth = QUINTIC
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / (x.norm() + 1e-7)
    square = x @ x.T
    one = torch.eye(len(square), dtype=x.dtype, device=x.device)
    total = one
    for i in range(ITERATIONS):
        factor = first * one + third * square + fifth * (square @ square)
        total = factor @ total
        if i < ITERATIONS - 1:
            square = factor @ square @ factor
    x = total @ x
    return x if wide else x.T
