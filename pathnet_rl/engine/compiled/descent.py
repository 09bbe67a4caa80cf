"""Gradient descent on one pathway of linear modules, minibatch after minibatch, in one compiled loop.

The supervised networks are tiny: their numbers stay in the processor's cache while a pathway is
trained, and any call from outside would cost more than the arithmetic. The products are those of the games'
layers (tiles.py).

Axes: T minibatches of B images; L layers of n active modules with k units; C classes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.engine.compiled.elementwise import rectify, unrectify
from pathnet_rl.engine.compiled.tiles import GRADIENT_POSITIONS, multiply, tile_positions
from pathnet_rl.engine.compiled.layers import padded, zeros
from pathnet_rl.engine.compiled.registers import LANE, VECTOR
from pathnet_rl.engine.compiled.tiles import GRADIENT_POSITIONS, multiply
from pathnet_rl.engine.compiler import compiled

Floats = NDArray[np.float32]


@functools.cache
def descent_kernel(positions: int, units: int) -> Any:
    """T steps of gradient descent on tiles of `positions` images, modules of k = `units`."""

    def descend(
        images: Any,
        order: Any,
        labels: Any,
        first: Any,
        deeper: Any,
        biases: Any,
        head: Any,
        active: Any,
        learned: Any,
        last_scale: Any,
        rate: Any,
        drawn: Any,
        responses: Any,
        kept: Any,
        sums: Any,
        raw: Any,
        totals: Any,
        by_unit: Any,
        below: Any,
        gradients: Any,
        errors: Any,
    ) -> int:
        """Change weights, biases and head; how many images were told right before they were learned from.

        Args:
            images: [images, inputs]. order: [T, B]. labels: [images].
            first: [padded inputs, step], weights of the first layer; deeper: [L - 1, padded k, step];
                biases: [L, step]. A module has k columns, trained ones first. head: [C, k + 1], biases last.
            active, learned: [L], modules that are used and, the first of them, trained.
            last_scale: of the last layer's sums. rate: the learning rate over B.
            drawn: [B, padded inputs], zeros; responses: [B, step]; kept: [L, B, step] bytes;
                sums: [L B k + LANE]; raw: [B, step]; totals: [step]; by_unit: [step + 1, padded k], of
                which the last row is zeros; below: [B, padded k]; gradients: [B, k]; errors: [B, C]. Room
                for this function's own use.
        """
        minibatches, batch = order.shape
        inputs, classes = images.shape[1], len(head)
        depth, step = biases.shape
        tiles = -(-batch // positions)
        size = batch * units
        zero_row = by_unit[step].ctypes.data
        padded_units = by_unit.shape[1]
        # Of each layer: how many inputs, the step to the next image's, and where they and the weights lie.
        counts, strides, sources, weights = np.empty((4, depth), np.int64)
        counts[0], strides[0] = inputs, drawn.shape[1]
        sources[0], weights[0] = drawn.ctypes.data, first.ctypes.data
        for layer in range(1, depth):
            counts[layer], strides[layer] = units, units
            sources[layer] = sums[(layer - 1) * size :].ctypes.data
            weights[layer] = deeper[layer - 1].ctypes.data
        correct = 0
        for minibatch in range(minibatches):
            for b in range(batch):
                image = images[order[minibatch, b]]
                for i in range(inputs):
                    drawn[b, i] = image[i]

            for layer in range(depth):
                stride = strides[layer]
                lanes = -(-active[layer] * units // LANE) * LANE
                for tile in range(tiles):
                    b = min(tile * positions, batch - positions)
                    multiply(
                        responses.ctypes.data, step, biases[layer].ctypes.data, 0,
                        sources[layer] + 4 * b * stride, stride, 0, 1,
                        weights[layer], 0, step,
                        1, counts[layer], lanes, positions, False,
                    )  # fmt: skip
                    rectify(
                        responses.ctypes.data, step, kept[layer, b].ctypes.data,
                        sums[layer * size + b * units :].ctypes.data,
                        positions, active[layer], units,
                    )  # fmt: skip

            features = sums[(depth - 1) * size : depth * size].reshape(batch, units)
            features *= last_scale
            for b in range(batch):
                error = errors[b]
                most = np.float32(-np.inf)
                guess = 0
                for c in range(classes):
                    logit = head[c, units]
                    for i in range(units):
                        logit += head[c, i] * features[b, i]
                    error[c] = logit
                    if logit > most:
                        most, guess = logit, c
                label = labels[order[minibatch, b]]
                correct += guess == label
                total = np.float32(0.0)
                for c in range(classes):
                    error[c] = np.exp(error[c] - most)
                    total += error[c]
                for c in range(classes):
                    error[c] /= total
                error[label] -= np.float32(1.0)
                for i in range(units):
                    gradients[b, i] = 0.0
                # From here on everything is times -rate: what is added to the numbers.
                for c in range(classes):
                    error[c] *= -rate
                    for i in range(units):
                        gradients[b, i] += error[c] * last_scale * head[c, i]
            for b in range(batch):
                for c in range(classes):
                    for i in range(units):
                        head[c, i] += errors[b, c] * features[b, i]
                    head[c, units] += errors[b, c]

            for layer in range(depth - 1, -1, -1):
                columns = active[layer] * units
                totals[:] = 0.0
                unrectify(
                    gradients.ctypes.data, kept[layer].ctypes.data, raw.ctypes.data, step,
                    totals.ctypes.data, batch, active[layer], units,
                )  # fmt: skip
                if layer > 0:
                    for i in range(units):
                        for column in range(columns):
                            by_unit[column, i] = deeper[layer - 1, i, column]
                    for tile in range(tiles):
                        b = min(tile * positions, batch - positions)
                        multiply(
                            below[b].ctypes.data, padded_units, zero_row, 0,
                            raw[b].ctypes.data, step, 0, 1,
                            by_unit.ctypes.data, 0, padded_units,
                            1, columns, padded_units, positions, False,
                        )  # fmt: skip
                    for b in range(batch):
                        for i in range(units):
                            gradients[b, i] = below[b, i]
                trained = learned[layer] * units
                lanes = -(-trained // LANE) * LANE
                for b in range(batch):
                    for column in range(trained, lanes):
                        raw[b, column] = 0.0  # Of a module that is used and not trained.
                for i in range(0, counts[layer] if trained else 0, GRADIENT_POSITIONS):
                    target = weights[layer] + 4 * i * step
                    # Rows of padding take up whatever lies beside the inputs; nothing reads them.
                    multiply(
                        target, step, target, step,
                        sources[layer] + 4 * i, 1, 0, strides[layer],
                        raw.ctypes.data, 0, step,
                        1, batch, lanes, GRADIENT_POSITIONS, False,
                    )  # fmt: skip
                for column in range(trained):
                    biases[layer, column] += totals[column]
        return correct

    return compiled(descend, positions, units)


class PathwayDescent:
    """Room to train one pathway at a time.

    Args:
        inputs: numbers in an image. units: k. layers: L. classes: C. batch: B.
        widest: modules that can be active in a layer.
    """

    def __init__(
        self, inputs: int, units: int, layers: int, classes: int, batch: int, widest: int
    ) -> None:
        self._units = units
        step = padded(widest * units, VECTOR)
        rows = [padded(count, LANE) for count in (inputs, units)]
        self._first: Floats = zeros(rows[0], step)
        self._deeper: Floats = zeros(layers - 1, rows[1], step)
        self._biases: Floats = zeros(layers, step)
        self._room = (
            zeros(batch, rows[0]),
            zeros(batch, step),
            zeros(layers, batch, step, dtype=torch.uint8),
            zeros(layers * batch * units + LANE),
            zeros(batch, step),
            zeros(step),
            zeros(step + 1, rows[1]),
            zeros(batch, rows[1]),
            zeros(batch, units),
            zeros(batch, classes),
        )
        self._descend = descent_kernel(tile_positions(batch), units)

    def train(
        self,
        grid: Sequence[Floats],
        head: Floats,
        learned: Sequence[NDArray[np.int64]],
        used: Sequence[NDArray[np.int64]],
        images: Floats,
        labels: NDArray[np.int64],
        order: NDArray[np.int64],
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
        active_rows = [np.concatenate(both) for both in zip(learned, used, strict=True)]
        for rows, columns in self._places(grid, active_rows):
            columns[:] = rows
        counts = np.array([len(mine) for mine in learned])
        active = np.array([len(mine) for mine in active_rows])
        correct: int = self._descend(
            *(images, order, labels, self._first, self._deeper, self._biases, head),
            *(active, counts, np.float32(1.0 / active[-1] if mean else 1.0)),
            np.float32(learning_rate / order.shape[1]),
            *self._room,
        )
        for rows, columns in self._places(grid, learned):
            rows[:] = columns
        return correct

    def _places(
        self, grid: Sequence[Floats], numbers: Sequence[NDArray[np.int64]]
    ) -> Iterator[tuple[Floats, Floats]]:
        """Views of modules' weights and biases, in the grid and in the columns where they are trained."""
        units = self._units
        places = zip(grid, [self._first, *self._deeper], self._biases, numbers, strict=True)
        for rows, weights, bias, mine in places:
            for position, number in enumerate(mine):
                columns = slice(position * units, (position + 1) * units)
                matrix = rows[number, :-units].reshape(units, -1).T
                yield matrix, weights[: len(matrix), columns]
                yield rows[number, -units:], bias[columns]
