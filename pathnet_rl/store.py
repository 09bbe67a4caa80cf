"""The store: the grid's numbers in one memory-mapped file that many processes share without locks.

The file holds, in this order: a header of int64 numbers, the parameters (P float32) and the mean squared
gradients of the shared RMSProp (P float32). Pulls and pushes read and write only the rows of one
pathway and its head (Hogwild, as A3C does): a concurrent push may overwrite part of another's step,
never anything outside both paths.

Counters have one slot for each worker and only that worker writes it, so nothing is counted twice or lost.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.config import LearningConfig
from pathnet_rl.engine.compiled.rmsprop import shared_rmsprop
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import ActiveModules, difference, union
from pathnet_rl.grid import Grid
from pathnet_rl.optimizer import annealed
from pathnet_rl.pathway_weights import PathwayWeights

Floats = NDArray[np.float32]

MAGIC = 0x5061_7468_4E65_74  # "PathNet"
LAYOUT_VERSION = 1
WORKER_SLOTS = 1024
_MAGIC, _VERSION, _SIZE, _TASK, _BUDGET, _STOP, _STEPS, _UPDATES = range(8)
_COUNTERS = 8


class StaleTaskError(Exception):
    """A push that belongs to another task than the one the store is at."""


class GridStore:
    """The block and its verbs: pull, push, freeze, reinitialise, begin_task, state, load_state.

    Open one per process with `create` (the owner) or `open` (everybody else on the node).

    Raises:
        UserError: the file is of another layout, or cannot be created.
    """

    def __init__(
        self, path: Path, grid: Grid, learning: LearningConfig, buffer: NDArray[np.uint8]
    ) -> None:
        self.path, self.grid, self.learning = path, grid, learning
        frozen = grid.depth * grid.modules
        header = _header_numbers(grid)
        self._header = buffer[: header * 8].view(np.int64)
        counters = self._header[_COUNTERS : _COUNTERS + 2 * WORKER_SLOTS]
        self._counters = counters.reshape(2, WORKER_SLOTS)
        self._frozen = self._header[header - frozen :].reshape(grid.depth, grid.modules)
        numbers = buffer[header * 8 :].view(np.float32)
        self.parameters = torch.from_numpy(numbers[: grid.size])
        self.squares = torch.from_numpy(numbers[grid.size :])
        self._layers = [layer.rows(self.parameters) for layer in grid.layers]
        self._rows: list[tuple[Floats, Floats]] = [
            (layer.rows(self.parameters).numpy(), layer.rows(self.squares).numpy())
            for layer in grid.layers
        ]
        self._heads: list[tuple[Floats, Floats]] = [
            (head.numbers(self.parameters).numpy()[None], head.numbers(self.squares).numpy()[None])
            for head in grid.heads
        ]

    @classmethod
    def create(cls, path: Path, grid: Grid, learning: LearningConfig) -> GridStore:
        """A new block of zeros at task 0, in place of whatever lay at `path`."""
        size = _file_size(grid)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            # Reserve the pages now: a full /dev/shm is an error here and a SIGBUS later.
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise UserError(
                f"cannot reserve {size / 2**20:.1f} MiB for the grid at {path}: {error.strerror};"
                " free space there"
            ) from error
        finally:
            os.close(descriptor)
        store = cls(path, grid, learning, np.memmap(path, dtype=np.uint8, mode="r+"))
        store._header[[_MAGIC, _VERSION, _SIZE]] = (MAGIC, LAYOUT_VERSION, grid.size)
        return store

    @classmethod
    def open(cls, path: Path, grid: Grid, learning: LearningConfig) -> GridStore:
        """The block that the owner created at `path`."""
        buffer = np.memmap(path, dtype=np.uint8, mode="r+")
        if len(buffer) != _file_size(grid):
            raise UserError(
                f"{path} has {len(buffer)} bytes where this grid takes {_file_size(grid)}:"
                " it is of another layout"
            )
        store = cls(path, grid, learning, buffer)
        found = tuple(int(n) for n in store._header[[_MAGIC, _VERSION, _SIZE]])
        if found != (MAGIC, LAYOUT_VERSION, grid.size):
            raise UserError(f"{path} is not a grid of layout version {LAYOUT_VERSION}")
        return store

    # What the header says -------------------------------------------------------------------

    @property
    def task(self) -> int:
        """The task that is being learned, from 0."""
        return int(self._header[_TASK])

    @property
    def budget(self) -> int:
        """Agent steps of the current task."""
        return int(self._header[_BUDGET])

    @property
    def agent_steps(self) -> int:
        """Agent steps done in the current task, all workers together."""
        return int(self._header[_STEPS]) + int(self._counters[0].sum())

    @property
    def updates(self) -> int:
        """Pushes applied in the current task, all workers together."""
        return int(self._header[_UPDATES]) + int(self._counters[1].sum())

    @property
    def frozen(self) -> ActiveModules:
        """Modules that never change again."""
        return tuple(tuple(int(m) for m in np.flatnonzero(layer)) for layer in self._frozen)

    @property
    def stopped(self) -> bool:
        """Workers are asked to stop at the end of their rollout."""
        return bool(self._header[_STOP])

    @stopped.setter
    def stopped(self, value: bool) -> None:
        self._header[_STOP] = int(value)

    @property
    def over(self) -> bool:
        """The current task's agent steps are done."""
        return self.agent_steps >= self.budget

    @property
    def learning_rate(self) -> float:
        """The learning rate at this moment of the task."""
        rate = self.learning.learning_rate
        return annealed(rate, self.agent_steps, self.budget) if self.learning.anneal else rate

    # What workers do ------------------------------------------------------------------------

    def pull(self, task: int, path: ActiveModules, always: ActiveModules) -> PathwayWeights:
        """A copy of one pathway's numbers and a task's head.

        Args:
            task: whose head, the current task's or a finished one's.
            path: the pathway's modules; the frozen ones among them are not trained.
            always: modules that are active beside it (the frozen path, or none).
        """
        frozen = self.frozen
        learned = difference(path, frozen)
        fixed = difference(union(path, always), learned)
        layers = tuple(
            parameters[list(mine + others)]
            for parameters, mine, others in zip(self._layers, learned, fixed, strict=True)
        )
        head = self.grid.heads[task].numbers(self.parameters).clone()
        return PathwayWeights(layers, head, tuple(len(mine) for mine in learned))

    def read(self, task: int, path: ActiveModules) -> PathwayWeights:
        """A copy of a pathway's numbers and a task's head, to act with and not to learn.

        Modules come in the grid's order, frozen or not: sums in another order would differ in the last
        bit, and with it the likeliest action.
        """
        layers = tuple(
            parameters[list(modules)]
            for parameters, modules in zip(self._layers, path, strict=True)
        )
        head = self.grid.heads[task].numbers(self.parameters).clone()
        return PathwayWeights(layers, head, (0,) * self.grid.depth)

    def push(
        self,
        task: int,
        path: ActiveModules,
        gradients: PathwayWeights,
        agent_steps: int,
        worker: int,
    ) -> None:
        """One RMSProp step on the pathway's trainable modules and the head; counts the agent steps.

        Raises:
            StaleTaskError: the gradients belong to another task; nothing was changed.
            ValueError: the gradients are not of the path's trainable modules and head; nothing was changed.
        """
        if task != self.task:
            raise StaleTaskError(f"a push for task {task} came in task {self.task}")
        learned = difference(path, self.frozen)
        wanted = self.grid.shapes(learned, task)
        found = [tuple(gradient.shape) for gradient in (*gradients.layers, gradients.head)]
        if found != wanted:
            raise ValueError(f"gradients of shapes {found}, not {wanted}")
        rate = self.learning_rate
        decay, epsilon = self.learning.rmsprop_decay, self.learning.rmsprop_epsilon

        def step(
            blocks: tuple[Floats, Floats], rows: Iterable[int], gradient: torch.Tensor
        ) -> None:
            numbers = np.fromiter(rows, np.int64)
            shared_rmsprop(*blocks, numbers, gradient.numpy(), rate, decay, epsilon)

        for blocks, modules, gradient in zip(self._rows, learned, gradients.layers, strict=True):
            step(blocks, modules, gradient)
        step(self._heads[task], (0,), gradients.head[None])
        self._counters[0, worker] += agent_steps
        self._counters[1, worker] += 1

    # What only the owner does, while no worker runs -------------------------------------------

    def initialise(self, modules: ActiveModules, rng: np.random.Generator) -> None:
        """Draw modules anew and forget their optimizer state.

        Raises:
            ValueError: one of them is frozen.
        """
        if any(set(a) & set(b) for a, b in zip(modules, self.frozen, strict=True)):
            raise ValueError("a frozen module cannot be re-initialised")
        self.grid.initialise_modules(self.parameters, modules, rng)
        for layer, chosen in zip(self.grid.layers, modules, strict=True):
            layer.rows(self.squares)[list(chosen)] = 0.0

    def freeze(self, path: ActiveModules) -> None:
        """Never change these modules again."""
        for layer, modules in enumerate(path):
            self._frozen[layer, list(modules)] = 1

    def begin_task(self, task: int, budget: int) -> None:
        """Go on to a task: a new head, counters at 0, `budget` agent steps to go."""
        self.grid.initialise_head(self.parameters, task)
        self.grid.heads[task].numbers(self.squares).zero_()
        self._counters[:] = 0
        self._header[[_STEPS, _UPDATES]] = 0
        self._header[[_TASK, _BUDGET, _STOP]] = (task, budget, 0)

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Copies of both blocks, and the header as JSON values."""
        header = {
            "layout_version": LAYOUT_VERSION,
            "grid": self.grid.describe(),
            "task": self.task,
            "budget": self.budget,
            "agent_steps": self.agent_steps,
            "updates": self.updates,
            "frozen": [list(layer) for layer in self.frozen],
        }
        tensors = {"parameters": self.parameters.clone(), "squares": self.squares.clone()}
        return tensors, header

    def load_state(self, tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
        """Become what `state` returned.

        Raises:
            UserError: it is of another layout; nothing was changed.
        """
        wanted = {"layout_version": LAYOUT_VERSION, "grid": self.grid.describe()}
        for key, value in wanted.items():
            if header.get(key) != value:
                raise UserError(
                    f"the checkpoint is of another layout: {key} is {header.get(key)}, this program and"
                    f" configuration need {value}; use another --name or the configuration it was made with"
                )
        self.parameters.copy_(tensors["parameters"])
        self.squares.copy_(tensors["squares"])
        self._counters[:] = 0
        self._frozen[:] = 0
        self.freeze(tuple(tuple(layer) for layer in header["frozen"]))
        self._header[[_TASK, _BUDGET, _STEPS, _UPDATES, _STOP]] = (
            header["task"],
            header["budget"],
            header["agent_steps"],
            header["updates"],
            0,
        )

    def remove(self) -> None:
        """Delete the file; mappings that are still open stay valid."""
        self.path.unlink(missing_ok=True)


def _header_numbers(grid: Grid) -> int:
    return _COUNTERS + 2 * WORKER_SLOTS + grid.depth * grid.modules


def _file_size(grid: Grid) -> int:
    return _header_numbers(grid) * 8 + 2 * grid.size * 4
