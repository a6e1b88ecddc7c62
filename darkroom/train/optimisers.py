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
"""Of AdamW's running mean and variance, where Muon leaves biases and the like to it. Alone it has PyTorch's own, which
are TensorFlow's, too, and so the papers': 0.9 and 0.999."""
RMS = 0.2
"""Of a step's entries, as AdamW's usually are (Liu et al.)."""


def build(name: Name, parameters: Iterable[nn.Parameter], rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """Make an optimiser; AdamW without weight decay is Adam."""
    if name == "muon":
        return Muon(parameters, rate, weight_decay)
    return torch.optim.AdamW(parameters, rate, weight_decay=weight_decay)


class Muon(torch.optim.Optimizer):
    """Muon for weights with four dimensions, AdamW for others.

    Steps made orthogonal do not shrink with the gradient: only the falling learning rate brings them to rest.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], rate: float, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": rate, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # takes no closure, as nobody here has one
        """Move every parameter that has a gradient: those of one shape together, for a GPU's sake."""
        for group in self.param_groups:
            moved: list[Tensor] = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not moved:
                continue
            torch._foreach_mul_(moved, 1 - group["lr"] * group["weight_decay"])
            alike: dict[torch.Size, list[Tensor]] = {}
            for parameter in moved:
                alike.setdefault(parameter.shape if parameter.ndim == 4 else torch.Size(), []).append(parameter)
            for shape, parameters in alike.items():
                move = self._matrix_step if shape else self._adam_step
                gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
                move(parameters, gradients, group["lr"])

    def _matrix_step(self, weights: list[Tensor], gradients: list[Tensor], rate: float) -> None:
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["momentum"] = torch.zeros_like(weight)
        momenta = [self.state[weight]["momentum"] for weight in weights]
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        ahead = torch._foreach_lerp(gradients, momenta, MOMENTUM)
        matrices = torch.stack(ahead).flatten(2)
        steps = orthogonal(matrices).reshape(-1, *weights[0].shape).unbind()
        torch._foreach_add_(weights, steps, alpha=-rate * RMS * max(matrices.shape[1:]) ** 0.5)

    def _adam_step(self, weights: list[Tensor], gradients: list[Tensor], rate: float) -> None:
        for weight in weights:
            if not self.state[weight]:
                self.state[weight].update(
                    step=torch.zeros(()), mean=torch.zeros_like(weight), square=torch.zeros_like(weight)
                )
        states = [self.state[weight] for weight in weights]
        for state in states:
            state["step"] += 1
        means, squares = ([state[name] for state in states] for name in ("mean", "square"))
        torch._foreach_lerp_(means, gradients, 1 - BETAS[0])
        torch._foreach_lerp_(squares, torch._foreach_mul(gradients, gradients), 1 - BETAS[1])
        unbiased = [1 - beta ** states[0]["step"].item() for beta in BETAS]
        spreads = torch._foreach_div(squares, unbiased[1])
        torch._foreach_sqrt_(spreads)
        torch._foreach_add_(spreads, 1e-8)
        torch._foreach_addcdiv_(weights, means, spreads, value=-rate / unbiased[0])


def orthogonal(matrices: Tensor) -> Tensor:
    """Give the nearest matrices whose singular values are all about 1 (0.7 to 1.2): (N, rows, columns), and alike.

    Every iterate is a polynomial of the first matrix's square times that matrix, so only the small square is
    iterated: a third of the time.
    """
    first, third, fifth = QUINTIC
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.mT
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    square = x @ x.mT
    total = torch.eye(square.shape[-1], dtype=x.dtype, device=x.device)
    for i in range(ITERATIONS):
        factor = torch.baddbmm(square, square, square, beta=third, alpha=fifth)
        factor.diagonal(dim1=1, dim2=2).add_(first)
        total = factor @ total
        if i < ITERATIONS - 1:
            square = factor @ square @ factor
    x = total @ x
    return x if wide else x.mT
