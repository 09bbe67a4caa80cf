"""The numbers of one seed's grid, and the training of a pathway through it.

Axes: T minibatches of B images; C classes.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.engine import make_descent
from pathnet_rl.genotype import ActiveModules
from pathnet_rl.lineages import Copies
from pathnet_rl.module_layer import uniform
from pathnet_rl.supervised.config import SerialConfig
from pathnet_rl.supervised.tasks import Task


class SeedGrid:
    """The numbers of one seed's grid and head.

    Args:
        inputs: numbers in an image. classes: C. widest: modules that can be active in a layer.

    Attributes:
        rows: [modules, module_size] of each layer. head: [C, units + 1].
    """

    def __init__(self, config: SerialConfig, inputs: int, classes: int, widest: int) -> None:
        grid = config.grid
        self._config, self._layers = config, grid.geometry(inputs).layers
        self.rows = [torch.zeros(layer.modules, layer.module_size) for layer in self._layers]
        self.head = torch.zeros(classes, grid.units + 1)
        self._descent = make_descent(
            config.engine, inputs, grid.units, grid.depth, classes, config.learning.batch, widest
        )

    def begin_task(
        self, kept: ActiveModules, rng: np.random.Generator, copies: Iterable[Copies] = ()
    ) -> None:
        """Draw everything but the kept modules anew, and a new head.

        Args:
            copies: of frozen modules over others, for heirs.
        """
        for layer, rows, modules in zip(self._layers, self.rows, kept, strict=True):
            for module in sorted(set(range(layer.modules)) - set(modules)):
                rows[module] = layer.draw(rng)
        drawn = uniform(self.head.numel(), self._config.grid.units, rng)
        self.head.copy_(drawn.view_as(self.head))
        for copied in copies:
            for rows, pairs in zip(self.rows, copied, strict=True):
                for source, target in pairs:
                    rows[target] = rows[source]

    def train(
        self, learned: ActiveModules, used: ActiveModules, task: Task, images: NDArray[np.int64]
    ) -> float:
        """Train one pathway for T minibatches by gradient descent.

        Args:
            learned, used: modules that are trained, and those that are active beside.
            images: [T, B], numbers of the task's images.

        Returns:
            The accuracy on the minibatches, each predicted before it was learned from.
        """
        right = self._descent.train(
            [rows.numpy() for rows in self.rows],
            self.head.numpy(),
            [np.array(modules, np.int64) for modules in learned],
            [np.array(modules, np.int64) for modules in used],
            task.images.numpy(),
            task.labels.numpy(),
            images,
            self._config.learning.learning_rate,
            self._config.grid.aggregation == "mean",
        )
        return right / images.size
