"""What an engine is to the rest of the program: `Engine` for the games, `Descent` for the images.

Axes: G pathways side by side, T steps, E environments, B = T x E samples, A actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.pathway_weights import PathwayWeights

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class EngineSize:
    """What an engine has room for.

    Attributes:
        pathways: G. modules: the largest number of modules active in a layer. steps: T. environments: E.
        actions: A of the task.
    """

    pathways: int
    modules: int
    steps: int
    environments: int
    actions: int


class Engine(Protocol):
    """Acts with G pathways at a time and differentiates the rollouts they acted in.

    Loop: `load` the pathways' weights; `forward` steps 0..T-1 (and T, a spare one, for values of
    observations that are no part of the rollout); `backward` with the gradients of the T x E outputs;
    `load` the next pathways.
    """

    size: EngineSize

    def load(self, weights: Sequence[PathwayWeights]) -> None:
        """Prepare G pathways' numbers; they stay what they are until the next `load`."""
        ...

    def forward(
        self, observations: Sequence[NDArray[np.generic]], step: int
    ) -> tuple[Floats, Floats]:
        """Logits [G, E, A] and values [G, E] of one step's observations, G times [E, ...].

        The step is kept for `backward`. The returned arrays may change when the same step is computed again.
        """
        ...

    def outputs(self, pathway: int) -> tuple[Floats, Floats]:
        """Logits [B, A] and values [B] of one of the G pathways in the T steps acted since `load`."""
        ...

    def backward(self, upstream: Sequence[tuple[Floats, Floats]]) -> list[PathwayWeights]:
        """Gradients of the trainable modules and heads, given those of the G outputs, [B, A] and [B]."""
        ...

    def dead_units(self) -> float:
        """The share of units that were 0 in all T steps of the last `backward`.

        In the layer with most of them; the mean over pathways. A convolution's units are its kernels.
        """
        ...


class Descent(Protocol):
    """Gradient descent on one pathway of linear modules at a time, minibatch after minibatch.

    Axes: T minibatches of B images; L layers of n active modules with k units; C classes.
    """

    def train(
        self,
        grid: Sequence[Floats],
        head: Floats,
        learned: Sequence[Integers],
        used: Sequence[Integers],
        images: Floats,
        labels: Integers,
        order: Integers,
        learning_rate: float,
        mean: bool,
    ) -> int:
        """Train a pathway of a grid for T minibatches, on the mean cross-entropy of each.

        Args:
            grid: [rows, k inputs + k] a layer, changed where learned. head: [C, k + 1], changed.
            learned, used: rows of the modules that are trained, and of those that are active beside.
            images: [images, inputs]. labels: [images]. order: [T, B], which images.
            mean: the last layer's modules are averaged, not added up.

        Returns:
            How many images were told right, each before it was learned from.
        """
        ...
