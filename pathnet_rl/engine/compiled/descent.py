"""Gradient descent on one pathway of linear modules, minibatch after minibatch, in one compiled loop.

The supervised networks are tiny: their numbers stay in the processor's cache while a pathway is
trained, and any call from outside would cost more than the arithmetic. The products are those of the games'
layers (tiles.py).

Axes: T minibatches of B images; L layers of n active modules with k units; C classes.
Vocabulary: layer_arrays.py.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.engine.compiled.descent_steps import (
    DescentRoom,
    Minibatches,
    Pathway,
    draw,
    hand_down,
    judge,
    learn,
    learn_head,
    place_of,
    respond,
)
from pathnet_rl.engine.compiled.elementwise import unrectify
from pathnet_rl.engine.compiled.registers import LANE, VECTOR
from pathnet_rl.engine.compiled.room import padded, zeros
from pathnet_rl.engine.compiled.tiles import Rows, tile_positions
from pathnet_rl.engine.compiler import compiled

Floats = NDArray[np.float32]


@functools.cache
def descent_kernel(positions: int, units: int) -> Any:
    """T steps of gradient descent on tiles of `positions` images, modules of k = `units`."""

    def descend(
        minibatches: Minibatches, pathway: Pathway, rate: np.float32, room: DescentRoom
    ) -> int:
        """Change the pathway; how many images were told right, each before it was learned from.

        Args:
            rate: the learning rate over B.
        """
        images, labels, order = minibatches
        depth, (batch, pitch) = len(pathway.biases), room.deltas.shape
        inputs, size, correct = images.shape[1], batch * units, 0
        features = room.outputs[(depth - 1) * size : depth * size].reshape(batch, units)
        responses = Rows(room.responses.ctypes.data, pitch)
        deltas = Rows(room.deltas.ctypes.data, pitch)
        upstream, totals = room.upstream.ctypes.data, room.totals.ctypes.data
        for minibatch in range(len(order)):
            draw(images, order[minibatch], room.drawn)
            for number in range(depth):
                layer = place_of(number, pathway, room, inputs, units)
                respond(layer, responses, batch, positions, units)
            features *= pathway.last_scale
            correct += judge(
                features, pathway.head, labels, order[minibatch], pathway.last_scale, rate,
                room.errors, room.upstream,
            )  # fmt: skip
            learn_head(pathway.head, room.errors, features)
            for number in range(depth - 1, -1, -1):
                layer = place_of(number, pathway, room, inputs, units)
                room.totals[:] = 0.0
                active = layer.active // units
                unrectify(upstream, layer.positive, deltas, totals, batch, active, units)
                if number > 0:
                    weights = pathway.deeper[number - 1]
                    hand_down(
                        layer, weights, deltas, room.by_unit, room.below, room.upstream, positions
                    )
                learn(layer, room.deltas, pathway.biases[number], room.totals)
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
        pitch = padded(widest * units, VECTOR)
        rows = [padded(count, LANE) for count in (inputs, units)]
        self._first: Floats = zeros(rows[0], pitch)
        self._deeper: Floats = zeros(layers - 1, rows[1], pitch)
        self._biases: Floats = zeros(layers, pitch)
        self._room = DescentRoom(
            drawn=zeros(batch, rows[0]),
            responses=zeros(batch, pitch),
            positive=zeros(layers, batch, pitch, dtype=torch.uint8),
            outputs=zeros(layers * batch * units + LANE),
            errors=zeros(batch, classes),
            upstream=zeros(batch, units),
            deltas=zeros(batch, pitch),
            totals=zeros(pitch),
            by_unit=zeros(pitch + 1, rows[1]),
            below=zeros(batch, rows[1]),
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
        """As `interface.Descent.train`."""
        active = [np.concatenate(both) for both in zip(learned, used, strict=True)]
        for rows, columns in self._places(grid, active):
            columns[:] = rows
        counts, trained = (np.array([len(mine) for mine in each]) for each in (active, learned))
        scale = np.float32(1.0 / len(active[-1]) if mean else 1.0)
        pathway = Pathway(self._first, self._deeper, self._biases, head, counts, trained, scale)
        minibatches = Minibatches(images, labels, order)
        rate = np.float32(learning_rate / order.shape[1])
        correct: int = self._descend(minibatches, pathway, rate, self._room)
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
