"""Shared RMSProp in one pass over memory; what it computes is specified in pathnet_rl/optimizer.py."""

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
    """`optimizer.shared_rmsprop`, to the bit."""
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
    rest = np.float32(1.0) - decay
    for n in range(len(rows)):
        theta, mean, gradient = parameters[rows[n]], squares[rows[n]], gradients[n]
        for i in range(len(gradient)):
            square = decay * mean[i] + rest * gradient[i] * gradient[i]
            mean[i] = square
            theta[i] -= rate * gradient[i] / np.sqrt(square + epsilon)
