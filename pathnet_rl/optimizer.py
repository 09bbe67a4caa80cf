"""Shared RMSProp (Mnih et al. 2016, section 4 and supplement), on any float32 slices.

`torch.optim.RMSprop` puts epsilon outside the square root; with A3C's epsilon of 0.1 that is another
optimizer, so this one is written out. This is the specification; engine/compiled/rmsprop.py does the same in
one pass over memory.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class RMSPropStep(Protocol):
    """`shared_rmsprop`, or what does the same faster."""

    def __call__(
        self,
        parameters: Floats,
        squares: Floats,
        rows: NDArray[np.int64],
        gradients: Floats,
        rate: float,
        decay: float,
        epsilon: float,
    ) -> None: ...


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
    kept = np.float32(decay)
    means = kept * squares[rows] + (np.float32(1.0) - kept) * gradients * gradients
    squares[rows] = means
    parameters[rows] -= np.float32(rate) * gradients / np.sqrt(means + np.float32(epsilon))


def annealed(rate: float, done: int, total: int) -> float:
    """The learning rate after `done` of `total` agent steps: linear from `rate` to 0."""
    return rate * max(0.0, 1.0 - done / total)
