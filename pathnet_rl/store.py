"""The store: what is done with the numbers in a block (block.py), which many processes share.

Pulls and pushes read and write only the rows of one pathway and its head. Nobody waits for anybody's rollout
(Hogwild, as A3C does), and a pull may see half of a push, but never half of a module that is copied over
another; and a push holds a layer for the microseconds of its step, so that no step is lost and other nodes
can be told what happened on this one (exchange.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.block import (
    HEADER_VERSION,
    LAYOUT_VERSION,
    SERVER_SLOT,
    Block,
    existing,
    reserve,
)
from pathnet_rl.config import LearningConfig
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import ActiveModules, difference, union
from pathnet_rl.grid import Grid
from pathnet_rl.lineages import Copies
from pathnet_rl.optimizer import RMSPropStep, annealed, shared_rmsprop
from pathnet_rl.pathway_weights import PathwayWeights
from pathnet_rl.saved import Numbers

Floats = NDArray[np.float32]


class StaleTaskError(Exception):
    """A push that belongs to another task than the one the store is at."""


class GridStore(Block):
    """A block and its verbs: pull, push, freeze, initialise, begin_task, state, load_state.

    Open one per process with `create` (the owner) or `open` (everybody else on the node).

    Args:
        step: the optimizer's; an engine has a faster one (`engine.rmsprop_step`).

    Raises:
        UserError: the file is of another layout, or cannot be created.
    """

    def __init__(
        self,
        path: Path,
        grid: Grid,
        learning: LearningConfig,
        buffer: NDArray[np.uint8],
        step: RMSPropStep,
    ) -> None:
        super().__init__(path, grid, buffer)
        self.learning, self._step = learning, step
        self._numbers = self.parameters.numpy(), self.squares.numpy()
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
    def create(
        cls,
        path: Path,
        grid: Grid,
        learning: LearningConfig,
        step: RMSPropStep = shared_rmsprop,
    ) -> GridStore:
        """A new block of zeros at task 0, in place of whatever lay at `path`."""
        store = cls(path, grid, learning, reserve(path, grid), step)
        store.sign()
        return store

    @classmethod
    def open(
        cls,
        path: Path,
        grid: Grid,
        learning: LearningConfig,
        step: RMSPropStep = shared_rmsprop,
    ) -> GridStore:
        """The block that the owner created at `path`."""
        store = cls(path, grid, learning, existing(path, grid), step)
        if not store.signed:
            raise UserError(
                f"{path} is not the block of that name, of header version {HEADER_VERSION}"
            )
        return store

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
        with self.locks.reading():
            layers = tuple(
                parameters[list(mine + others)]
                for parameters, mine, others in zip(self._layers, learned, fixed, strict=True)
            )
        head = self.grid.heads[task].numbers(self.parameters).clone()
        return PathwayWeights(layers, head, tuple(len(mine) for mine in learned))

    @property
    def is_finite(self) -> bool:
        """All numbers of the block are numbers."""
        return bool(torch.isfinite(self.parameters).all())

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
        rate_factor: float = 1.0,
    ) -> None:
        """One RMSProp step on the pathway's trainable modules and the head; counts the agent steps.

        Args:
            rate_factor: of the annealed learning rate.

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
        rate = self.learning_rate * rate_factor
        decay, epsilon = self.learning.rmsprop_decay, self.learning.rmsprop_epsilon

        def step(
            blocks: tuple[Floats, Floats], rows: Iterable[int], gradient: torch.Tensor, first: int
        ) -> None:
            numbers = np.fromiter(rows, np.int64)
            with self.locks.held(first, len(blocks[0])):
                self._step(*blocks, numbers, gradient.numpy(), rate, decay, epsilon)
                self._pushes[first + numbers, worker] += 1

        layers = zip(self._rows, learned, gradients.layers, strict=True)
        for layer, (blocks, modules, gradient) in enumerate(layers):
            step(blocks, modules, gradient, self.grid.row_of(layer))
        first_head = self.grid.first_head_row
        step(self._heads[task], (0,), gradients.head[None], first_head + task)
        self.count(worker, agent_steps)

    def row(self, number: int) -> tuple[Floats, Floats]:
        """Parameters and mean squared gradients of a row of `Grid.rows`, as views."""
        place = self.grid.rows[number]
        return self._numbers[0][place], self._numbers[1][place]

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

    def begin_task(self, task: int, budget: int) -> None:
        """Go on to a task: a new head, counters at 0, `budget` agent steps to go."""
        self.grid.initialise_head(self.parameters, task)
        self.grid.heads[task].numbers(self.squares).zero_()
        self.set_task(task, budget)

    # What only the owner does, whoever is at work ----------------------------------------------

    def duplicate(self, copies: Copies, with_squares: bool) -> None:
        """Copy modules over others of their layer, each between two pushes (the paper's module duplication).

        The copy counts as a change of its row, so that other nodes are told. What was computed with the
        module that was there and is pushed later is a gradient that comes late, as A3C's do.

        Args:
            with_squares: the optimizer's state too, which else is forgotten.

        Raises:
            ValueError: one that would be overwritten is frozen.
        """
        targets = tuple(tuple(target for _, target in pairs) for pairs in copies)
        if any(set(a) & set(b) for a, b in zip(targets, self.frozen, strict=True)):
            raise ValueError("a frozen module cannot be overwritten")
        for layer, ((parameters, squares), pairs) in enumerate(
            zip(self._rows, copies, strict=True)
        ):
            first = self.grid.row_of(layer)
            for source, target in pairs:
                with self.locks.replacing(first, self.grid.modules):
                    parameters[target] = parameters[source]
                    squares[target] = squares[source] if with_squares else 0.0
                    self._pushes[first + target, SERVER_SLOT] += 1

    def state(self) -> tuple[Numbers, dict[str, Any]]:
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
        with self.locks.reading():
            tensors = {"parameters": self.parameters.clone(), "squares": self.squares.clone()}
        return tensors, header

    def load_state(self, tensors: Numbers, header: dict[str, Any]) -> None:
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
        for name, own in (("parameters", self.parameters), ("squares", self.squares)):
            saved = tensors.get(name)
            if saved is None or (saved.shape, saved.dtype) != (own.shape, own.dtype):
                found = "none" if saved is None else f"{tuple(saved.shape)} of {saved.dtype}"
                raise UserError(
                    f"the checkpoint's numbers are another grid's: {name} are {found}, not {len(own):,} of"
                    f" {own.dtype}; put back those that were saved with it"
                )
            if not torch.isfinite(saved).all() or (name == "squares" and (saved < 0.0).any()):
                raise UserError(f"the checkpoint's {name} are no numbers; go on from one before it")
        self.parameters.copy_(tensors["parameters"])
        self.squares.copy_(tensors["squares"])
        self.set_frozen(tuple(tuple(layer) for layer in header["frozen"]))
        self.set_task(header["task"], header["budget"], header["agent_steps"], header["updates"])
