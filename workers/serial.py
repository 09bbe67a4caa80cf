"""The serial twin: the same roles in one process and one thread, bit-reproducible from one seed.

It is the debugger, the teacher and the test of the distributed system: a ray run with one worker gives
the same weights, bit by bit.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import torch

from pathnet_rl.arms import Arm
from pathnet_rl.block_files import new_block_path, remove_blocks_of
from pathnet_rl.config import RunConfig
from pathnet_rl.engine import rmsprop_step
from pathnet_rl.grid import Grid
from pathnet_rl.store import GridStore
from pathnet_rl.telemetry import Exchanges
from workers.coordinator import TournamentCoordinator
from workers.metrics_hub import MetricsHub
from workers.parameter_server import ParameterServer
from workers.pathway_worker import PathwayWorker


class SerialCrew:
    """A `crew.Crew` whose only worker owns the whole population."""

    restarts = 0

    def __init__(self, config: RunConfig, arm: Arm, grid: Grid) -> None:
        torch.set_num_threads(1)
        self.hub = MetricsHub(config, arm)
        remove_blocks_of(config, arm)
        path = new_block_path(config, arm)
        self.server = ParameterServer(config, arm, grid, path)
        self.store = GridStore.open(path, grid, config.learning, rmsprop_step(config))
        self.coordinator = TournamentCoordinator(config, arm, self.server)
        self._worker = PathwayWorker(
            config,
            arm,
            0,
            range(config.evolution.population),
            self.store,
            self.coordinator,
            self.hub.record,
        )

    def start(self) -> None:
        self._worker.begin_task()

    def wait(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while self._worker.working:
            if time.monotonic() >= until:
                return False
            self._worker.step()
        self._worker.end_task()
        return True

    @contextlib.contextmanager
    def at_rest(self, seconds: float) -> Iterator[list[str]]:
        self._worker.tell()
        yield []

    def notes(self) -> list[str]:
        return []

    def exchanges(self) -> Exchanges:
        return Exchanges()

    def close(self) -> None:
        self._worker.close()
        self.store.remove()
        self.hub.close()
