"""The store as a worker on another node sees it: the same verbs, as calls to the parameter server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pathnet_rl.genotype import ActiveModules, difference, union
from pathnet_rl.grid import Grid
from pathnet_rl.pathway_weights import PathwayWeights
from workers.parameter_server import StoreStatus
from workers.parcels import pack, parcels_needed, unpack


class ServerForWorkers(Protocol):
    """The parameter server's verbs for workers on other nodes, each waiting for its answer."""

    def status(self) -> StoreStatus: ...

    def pull(
        self, task: int, path: ActiveModules, always: ActiveModules, count: int
    ) -> Sequence[bytes]: ...

    def push(
        self,
        task: int,
        path: ActiveModules,
        agent_steps: int,
        worker: int,
        rate_factor: float,
        *parcels: bytes,
    ) -> StoreStatus: ...


class RemoteStore:
    """Pulls and pushes through the server; what the header says is as old as the last push."""

    def __init__(self, server: ServerForWorkers, grid: Grid) -> None:
        self.grid = grid
        self._server = server
        self.refresh()

    def refresh(self) -> None:
        """Ask the server where the task stands (a task has begun)."""
        self._status = self._server.status()

    @property
    def task(self) -> int:
        return self._status.task

    @property
    def agent_steps(self) -> int:
        return self._status.agent_steps

    @property
    def over(self) -> bool:
        return self._status.agent_steps >= self._status.budget

    @property
    def stopped(self) -> bool:
        return self._status.stopped

    @property
    def frozen(self) -> ActiveModules:
        return self._status.frozen

    def pull(self, task: int, path: ActiveModules, always: ActiveModules) -> PathwayWeights:
        """As `GridStore.pull`."""
        learned = difference(path, self.frozen)
        wanted = self.grid.shapes(union(path, always), task)
        parcels = self._server.pull(task, path, always, parcels_needed(wanted))
        return unpack(parcels, wanted, tuple(len(mine) for mine in learned))

    def push(
        self,
        task: int,
        path: ActiveModules,
        gradients: PathwayWeights,
        agent_steps: int,
        worker: int,
        rate_factor: float = 1.0,
    ) -> None:
        """As `GridStore.push`."""
        sizes = [tuple(tensor.shape) for tensor in (*gradients.layers, gradients.head)]
        parcels = pack(gradients, parcels_needed(sizes))
        self._status = self._server.push(task, path, agent_steps, worker, rate_factor, *parcels)
