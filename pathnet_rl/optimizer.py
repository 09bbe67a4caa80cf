"""Shared RMSProp (Mnih et al. 2016, section 4 and supplement), on any float32 slices.

`torch.optim.RMSprop` puts epsilon outside the square root; with A3C's epsilon of 0.1 that is another
optimizer, so this one is written out.
"""

from __future__ import annotations

import torch


def shared_rmsprop(
    parameters: torch.Tensor,
    squares: torch.Tensor,
    gradients: torch.Tensor,
    rate: float,
    decay: float,
    epsilon: float,
) -> None:
    """One step in place: g <- decay g + (1 - decay) d^2; theta <- theta - rate d / sqrt(g + epsilon).

    Args:
        parameters: theta, float32, any shape.
        squares: g, the running mean of squared gradients, same shape.
        gradients: d, same shape; not changed.
    """
    squares.mul_(decay).addcmul_(gradients, gradients, value=1.0 - decay)
    parameters.addcdiv_(gradients, (squares + epsilon).sqrt_(), value=-rate)


def annealed(rate: float, done: int, total: int) -> float:
    """The learning rate after `done` of `total` agent steps: linear from `rate` to 0."""
    return rate * max(0.0, 1.0 - done / total)
