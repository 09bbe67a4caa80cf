"""What a pathway worker needs of the other roles, wherever they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pathnet_rl.genotype import ActiveModules, Genotype
from pathnet_rl.grid import Grid
from pathnet_rl.pathway_weights import PathwayWeights
from pathnet_rl.telemetry import Telemetry


class Store(Protocol):
    """The grid's numbers: `GridStore` on the server's node, `RemoteStore` elsewhere."""

    grid: Grid

    @property
    def task(self) -> int: ...
    @property
    def agent_steps(self) -> int: ...
    @property
    def over(self) -> bool: ...
    @property
    def stopped(self) -> bool: ...
    @property
    def frozen(self) -> ActiveModules: ...

    def pull(self, task: int, path: ActiveModules, always: ActiveModules) -> PathwayWeights: ...

    def push(
        self,
        task: int,
        path: ActiveModules,
        gradients: PathwayWeights,
        agent_steps: int,
        worker: int,
    ) -> None: ...


class Coordinator(Protocol):
    """The tournament coordinator; both calls wait for its answer."""

    def genotypes(self, pathways: Sequence[int]) -> list[Genotype]: ...

    def report(self, pathway: int, fitness: float) -> Genotype: ...


class Hub(Protocol):
    """The metrics hub; nobody waits for it."""

    def record(self, telemetry: Telemetry) -> None: ...
