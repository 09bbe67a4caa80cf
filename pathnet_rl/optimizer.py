"""Shared RMSProp (Mnih et al. 2016, section 4 and supplement), on any float32 slices.

`torch.optim.RMSprop` puts epsilon outside the square root; with A3C's epsilon of 0.1 that is another
optimizer, so this one is written out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.engine.compiler import compiled

Floats = NDArray[np.float32]


def shared_rmsprop(
    parameters: Floats,
    squares: Floats,
    rows: NDArray[np.int64],
    gradients: Floats,
    rate: float,
    decay: float,
    epsilon: float,
) -> None:
    """One step in place: g <- decay g + (1 - decay) d^2; theta <- theta - rate d / sqrt(g + epsilon).

    Args:
        parameters: theta, [M, size]. squares: g, the running mean of squared gradients, same shape.
        rows: which of the M rows to step, n of them. gradients: d, [n, size].
    """
    constants = np.float32(rate), np.float32(decay), np.float32(epsilon)
    _step_rows(parameters, squares, rows, gradients, *constants)


@compiled
def _step_rows(
    parameters: Any,
    squares: Any,
    rows: Any,
    gradients: Any,
    rate: np.float32,
    decay: np.float32,
    epsilon: np.float32,
) -> None:
    """`shared_rmsprop`, in one pass over memory."""
    rest = np.float32(1.0) - decay
    for n in range(len(rows)):
        theta, mean, gradient = parameters[rows[n]], squares[rows[n]], gradients[n]
        for i in range(len(gradient)):
            square = decay * mean[i] + rest * gradient[i] * gradient[i]
            mean[i] = square
            theta[i] -= rate * gradient[i] / np.sqrt(square + epsilon)


def annealed(rate: float, done: int, total: int) -> float:
    """The learning rate after `done` of `total` agent steps: linear from `rate` to 0."""
    return rate * max(0.0, 1.0 - done / total)
