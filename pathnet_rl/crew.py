"""The crew: the roles of a run, as they see one another and as the outermost loop (transfer.py) sees them.

`workers.serial` has them in one process, `workers.ray_crew` on a cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pathnet_rl.arms import Arm
from pathnet_rl.genotype import ActiveModules, Genotype
from pathnet_rl.grid import Grid
from pathnet_rl.lineages import Copies, Heir, Solved
from pathnet_rl.saved import Numbers
from pathnet_rl.telemetry import (
    Assignment,
    Exchanges,
    PopulationSnapshot,
    Report,
    Telemetry,
)

if TYPE_CHECKING:
    from pathnet_rl.pathway_weights import PathwayWeights
    from pathnet_rl.store import GridStore


class Store(Protocol):
    """The grid's numbers as a worker sees them: the `GridStore` of its node."""

    grid: Grid

    @property
    def task(self) -> int: ...
    @property
    def agent_steps(self) -> int: ...
    @property
    def over(self) -> bool: ...
    @property
    def hold(self) -> int: ...
    def await_exchange(self) -> None: ...
    @property
    def exchange_ticket(self) -> int: ...
    def exchanged(self, ticket: int) -> bool: ...
    def await_release(self, hold: int) -> None: ...
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
        rate_factor: float = 1.0,
    ) -> None: ...


class Server(Protocol):
    """The parameter server: it alone draws, freezes, re-initialises, duplicates, saves, restores."""

    def begin_first_task(self, task: int) -> None: ...
    def begin_next_task(
        self, task: int, path: ActiveModules, copies: Sequence[Copies] = ()
    ) -> None: ...
    def duplicate(self, copies: Copies) -> None: ...
    def state(self) -> tuple[Numbers, dict[str, Any]]: ...
    def load_state(self, tensors: Numbers, header: dict[str, Any]) -> None: ...


class Coordinator(Protocol):
    """The tournament coordinator. Workers ask for genotypes and compete; the rest is the driver's."""

    def begin_task(self, solved: Sequence[Solved], heirs: Sequence[Heir], budget: int) -> None: ...
    def assignments(self, pathways: Sequence[int]) -> list[Assignment]: ...
    def compete(
        self, pathway: int, genotype: Genotype, fitness: float, agent_steps: int
    ) -> Assignment: ...
    def duplicate(self, pathway: int, layers: Sequence[int]) -> None: ...
    def finalists(self, count: int) -> list[tuple[Assignment, float]]: ...
    def snapshot(self) -> PopulationSnapshot: ...
    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: dict[str, Any], solved: Sequence[Solved], budget: int) -> None: ...


class Hub(Protocol):
    """The metrics hub. What workers have seen reaches `record`; the rest is the driver's."""

    def begin_task(self, task: int, agent_steps: int) -> None: ...
    @property
    def deaths(self) -> int: ...
    def record(self, telemetry: Telemetry) -> None: ...
    def losses(self) -> list[str]: ...
    def mean_return(self) -> float | None: ...
    def report(self, report: Report) -> None: ...
    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: dict[str, Any]) -> int: ...


class Crew(Protocol):
    """The roles of one arm at work. `store` is the driver's own view of the server's block."""

    @property
    def store(self) -> GridStore: ...
    @property
    def server(self) -> Server: ...
    @property
    def coordinator(self) -> Coordinator: ...
    @property
    def hub(self) -> Hub: ...
    @property
    def restarts(self) -> int: ...

    def start(self) -> None:
        """Set the workers to work on the store's current task."""
        ...

    def wait(self, seconds: float) -> bool:
        """Let them work for about that long; True once all have stopped (task over, or told to)."""
        ...

    def at_rest(self, seconds: float) -> AbstractContextManager[list[str]]:
        """Inside it every worker is between two rollouts and has told everything: one moment of the run.

        Gives whom it waited for in vain for so many seconds; if that is anybody, it is no such moment.
        """
        ...

    def notes(self) -> list[str]:
        """What people should know of who came and went, since this was last asked."""
        ...

    def exchanges(self) -> Exchanges:
        """What other nodes exchanged with the parameter server since this was last asked."""
        ...

    def close(self) -> None:
        """Dismiss everybody and free the block."""
        ...


@dataclass(frozen=True)
class Progress:
    """Where a run stands, for people."""

    arm: Arm
    task: int
    name: str
    agent_steps: int
    budget: int
    rate: float
    mean_return: float | None
    best_fitness: float | None
    overwrites: int
    restarts: int


class Display(Protocol):
    """Shows how a run goes on."""

    def update(self, progress: Progress) -> None: ...
    def doing(self, what: str, how_far: str) -> None:
        """What is under way that learns nothing, and how far it is."""
        ...

    def note(self, line: str) -> None: ...
