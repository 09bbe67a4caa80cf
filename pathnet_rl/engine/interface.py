"""What the rest of the program knows of an engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


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
