"""The parameter server: it owns the store and alone freezes, re-initialises, saves and restores.

Workers map the store where it is; of other nodes the couriers call it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pathnet_rl.arms import SWITCHES, Arm
from pathnet_rl.block_files import remove_leftovers
from pathnet_rl.config import RunConfig
from pathnet_rl.engine import rmsprop_step
from pathnet_rl.exchange import Changes, News, WholeBlock, exchange, whole_block
from pathnet_rl.genotype import ActiveModules, difference
from pathnet_rl.grid import Grid
from pathnet_rl.lineages import Copies
from pathnet_rl.saved import Numbers
from pathnet_rl.seeds import Owner, generator
from pathnet_rl.store import GridStore


class ParameterServer:
    """Owns the block of one arm at `path`.

    A server that is restarted by ray maps the block that it finds there and goes on with it; the
    driver deletes what an earlier run left before it starts one.
    """

    def __init__(self, config: RunConfig, arm: Arm, grid: Grid, path: Path) -> None:
        self._config, self._arm = config, arm
        remove_leftovers(path.parent)
        at_path = GridStore.open if path.exists() else GridStore.create
        self._store = at_path(path, grid, config.learning, rmsprop_step(config))

    # For couriers -----------------------------------------------------------------------------

    @property
    def modules(self) -> int:
        """M."""
        return self._store.grid.modules

    def exchange(self, changes: Changes) -> News:
        """As `exchange.exchange`: apply what a node did, say what others did."""
        return exchange(self._store, changes)

    def whole_block(self, slot: int) -> WholeBlock:
        """As `exchange.whole_block`: what a node begins with that is counted in this slot."""
        return whole_block(self._store, slot)

    # For the coordinator ----------------------------------------------------------------------

    def duplicate(self, copies: Copies) -> None:
        """As `GridStore.duplicate`, optimizer state with it. An exchange comes before it or after it."""
        self._store.duplicate(copies, with_squares=True)

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

    def state(self) -> tuple[Numbers, dict[str, Any]]:
        """As `GridStore.state`."""
        return self._store.state()

    def load_state(self, tensors: Numbers, header: dict[str, Any]) -> None:
        """As `GridStore.load_state`."""
        self._store.load_state(tensors, header)
