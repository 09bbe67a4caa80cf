"""The parameter server: it owns the store and alone freezes, re-initialises, saves and restores.

Workers that cannot map the store call it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pathnet_rl.arms import SWITCHES, Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.engine import rmsprop_step
from pathnet_rl.genotype import ActiveModules, difference
from pathnet_rl.grid import Grid
from pathnet_rl.lineages import Copies
from pathnet_rl.seeds import Owner, generator
from pathnet_rl.store import GridStore
from workers.parcels import pack, unpack


@dataclass(frozen=True)
class StoreStatus:
    """The part of the store's header that a worker on another node needs."""

    task: int
    budget: int
    agent_steps: int
    stopped: bool
    frozen: ActiveModules


class ParameterServer:
    """Owns the block of one arm at `path`.

    A server that is restarted by ray maps the block that it finds there and goes on with it; the
    driver deletes what an earlier run left before it starts one.
    """

    def __init__(self, config: RunConfig, arm: Arm, grid: Grid, path: Path) -> None:
        self._config, self._arm = config, arm
        at_path = GridStore.open if path.exists() else GridStore.create
        self._store = at_path(path, grid, config.learning, rmsprop_step(config))

    # For workers on other nodes ---------------------------------------------------------------

    def status(self) -> StoreStatus:
        """Where the current task stands."""
        store = self._store
        return StoreStatus(store.task, store.budget, store.agent_steps, store.stopped, store.frozen)

    def pull(
        self, task: int, path: ActiveModules, always: ActiveModules, count: int
    ) -> tuple[bytes, ...]:
        """As `GridStore.pull`, in so many parcels."""
        return pack(self._store.pull(task, path, always), count)

    def push(
        self,
        task: int,
        path: ActiveModules,
        agent_steps: int,
        worker: int,
        rate_factor: float,
        *parcels: bytes,
    ) -> StoreStatus:
        """As `GridStore.push`, with gradients in parcels; returns where the task stands then."""
        store = self._store
        learned = difference(path, store.frozen)
        wanted = store.grid.shapes(learned, task)
        gradients = unpack(parcels, wanted, tuple(len(mine) for mine in learned))
        store.push(task, path, gradients, agent_steps, worker, rate_factor)
        return self.status()

    # For the driver, while no worker runs -----------------------------------------------------

    def begin_first_task(self, task: int) -> None:
        """Draw the whole grid and the first head."""
        rng = generator(self._config.seed, self._arm, Owner.INITIALISATION, task)
        self._store.initialise(self._store.grid.all_modules(), rng)
        self._store.begin_task(task, self._config.steps_of(task))

    def begin_next_task(
        self, task: int, path: ActiveModules, copies: Sequence[Copies] = ()
    ) -> None:
        """Freeze the finished task's path and re-initialise the rest, as the arm's switches say.

        Args:
            copies: of frozen modules over fresh ones, for heirs.
        """
        switches = SWITCHES[self._arm]
        if switches.freeze:
            self._store.freeze(path)
        if switches.reinitialise:
            rng = generator(self._config.seed, self._arm, Owner.INITIALISATION, task)
            everything = self._store.grid.all_modules()
            self._store.initialise(difference(everything, self._store.frozen), rng)
        for pairs in copies:
            self._store.duplicate(pairs, self._config.evolution.heirs_keep_squares)
        self._store.begin_task(task, self._config.steps_of(task))

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """As `GridStore.state`."""
        return self._store.state()

    def load_state(self, tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
        """As `GridStore.load_state`."""
        self._store.load_state(tensors, header)
