"""Simulated workers: they push recorded gradients to their node's block, at a given rate, without emulators.

Where pushes cannot be made one by one as fast as asked, one step stands for many: the same number of pushes
of every worker of the node, made once in each exchange, between what the node tells and the answer. An
exchange cannot tell. It copies rows whose counters moved, and these are the union of the node's pathways
either way, as long as each worker pushes between two exchanges and while one lasts; counters and decays are
those of that many pushes, and numbers move as far as by so many.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from launch.bench.recorded import Recorded
from pathnet_rl.optimizer import RMSPropStep
from pathnet_rl.pathway_weights import PathwayWeights
from pathnet_rl.store import GridStore

Floats = NDArray[np.float32]
MOST_DEBT_SECONDS = 0.5
"""Single pushes that are later than this are not made up for."""
_ONLY_ROW = np.zeros(1, np.int64)


class SimulatedWorkers:
    """All workers of one node. Every push has a random sign, so that numbers stay of their size.

    Args:
        rate: pushes a second of one worker.
        together: a step stands for pushes of all workers.
    """

    def __init__(
        self,
        store: GridStore,
        step: RMSPropStep,
        recorded: Recorded,
        workers: int,
        rate: float,
        together: bool,
        rng: np.random.Generator,
    ) -> None:
        self._store, self._step, self._workers = store, step, workers
        self._agent_steps, self._rng = recorded.agent_steps, rng
        self._pushes_per_second = workers * rate
        pathways = len(recorded.paths)
        chosen = rng.choice(pathways, workers, replace=workers > pathways)
        self._paths = [recorded.paths[n] for n in chosen]
        gradients = recorded.read(store.grid)
        self._gradients = [gradients[n] for n in chosen]
        self._together = together
        if together:
            self._counts = self._pushes_of_rows()
            self._means = [self._mean(number) for number in range(recorded.gradients)]
        self._began: float | None = None
        self._done = 0
        self._stopped = False

    def stop(self) -> None:
        """Push no more."""
        self._stopped = True

    def push_due(self) -> None:
        """Push what is due by now; the clock begins with the first time."""
        if self._stopped:
            return
        if self._began is None:
            self._began = time.monotonic()
        due = int((time.monotonic() - self._began) * self._pushes_per_second) - self._done
        if self._together:
            passes = due // self._workers
            if passes:
                self._push_together(passes)
                self._done += passes * self._workers
            return
        forgiven = max(0, due - int(MOST_DEBT_SECONDS * self._pushes_per_second) - self._workers)
        self._done += forgiven
        for _ in range(due - forgiven):
            self._push_one()
            self._done += 1

    def _push_one(self) -> None:
        worker = self._done % self._workers
        gradients = self._gradients[worker]
        gradient = gradients[self._done // self._workers % len(gradients)]
        sign = 1.0 if self._rng.random() < 0.5 else -1.0
        self._store.push(0, self._paths[worker], gradient, self._agent_steps, worker, sign)

    def _push_together(self, passes: int) -> None:
        """One step that stands for so many pushes of every worker."""
        store, learning = self._store, self._store.learning
        (number,) = self._rng.integers(0, len(self._means), 1)
        signs = 2 * int(self._rng.binomial(passes, 0.5)) - passes
        for row, gradient in self._means[number].items():
            count = self._counts[row]
            pushes = passes * count
            with store.locks.held(row):
                parameters, squares = store.row(row)
                self._step(
                    parameters[None],
                    squares[None],
                    _ONLY_ROW,
                    gradient[None],
                    store.learning_rate * signs * count,
                    learning.rmsprop_decay**pushes,
                    learning.rmsprop_epsilon,
                )
                store.set_pushes_by(0, row, store.pushes_by(0, row) + pushes)
        agent_steps, updates = store.counted(0)
        pushes = passes * self._workers
        store.set_counted(0, agent_steps + pushes * self._agent_steps, updates + pushes)

    def _pushes_of_rows(self) -> dict[int, int]:
        """How many of the workers push each row."""
        counts: dict[int, int] = {}
        for worker in range(self._workers):
            for row in self._rows_of(worker):
                counts[row] = counts.get(row, 0) + 1
        return dict(sorted(counts.items()))

    def _rows_of(self, worker: int) -> list[int]:
        grid = self._store.grid
        rows = [
            grid.row_of(layer, module)
            for layer, modules in enumerate(self._paths[worker])
            for module in modules
        ]
        return [*rows, grid.first_head_row]

    def _mean(self, number: int) -> dict[int, Floats]:
        """Of each row the mean gradient of the workers that push it."""
        sums: dict[int, Floats] = {}
        for worker in range(self._workers):
            parts = _rows(self._gradients[worker][number])
            for row, part in zip(self._rows_of(worker), parts, strict=True):
                sums[row] = sums[row] + part if row in sums else part.copy()
        return {row: sums[row] / np.float32(count) for row, count in self._counts.items()}


def _rows(gradient: PathwayWeights) -> Sequence[Floats]:
    """One array a row."""
    return [*(row for layer in gradient.layers for row in layer.numpy()), gradient.head.numpy()]
