"""The tournament coordinator as an actor that ray starts again when it dies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import ray

from pathnet_rl.arms import Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.genotype import Genotype
from pathnet_rl.grid import Grid
from pathnet_rl.lineages import Heir, Solved
from pathnet_rl.telemetry import Assignment
from workers.coordinator import TournamentCoordinator
from workers.kept_state import KeptState
from workers.parameter_server import ParameterServer
from workers.ray_metrics import TournamentMetrics

MOST_DEATHS = 20
"""One that dies oftener in a run is not started again."""


class CoordinatorActor(TournamentCoordinator):
    """It keeps what it knows after each call that changes it: whoever takes its place knows the same.

    Ray asks that one again what was not answered. An evaluation that is told again counts once; modules may
    be copied a second time.

    It is on the driver's node, so that it can be the server of the block there where modules are duplicated.
    """

    OPTIONS: ClassVar[dict[str, int]] = {"max_restarts": MOST_DEATHS, "max_task_retries": -1}
    _kept: KeptState | None = None
    """None while it is made, and knows nothing yet."""
    _told_at: dict[int, int]
    """The task's agent steps at a pathway's last evaluation."""

    def __init__(self, config: RunConfig, arm: Arm, grid: Grid, block: Path) -> None:
        duplicates = config.evolution.duplication_rate > 0.0
        server = ParameterServer(config, arm, grid, block) if duplicates else None
        super().__init__(config, arm, server)
        self._metrics = TournamentMetrics(arm, ray.util.get_node_ip_address())
        kept = KeptState(block)
        known = kept.recall()
        if known is not None:
            solved = [_solved(task) for task in known["solved"]]
            self.load_state(known["coordinator"], solved, known["budget"])
            self._told_at = {int(pathway): steps for pathway, steps in known["told_at"].items()}
        self._kept = kept
        self._keep()

    def _keep(self) -> None:
        if self._kept is not None:
            self._kept.keep(
                {
                    "coordinator": self.state(),
                    "solved": [asdict(task) for task in self._solved],
                    "budget": self._budget,
                    "told_at": self._told_at,
                }
            )

    def begin_task(self, solved: Sequence[Solved], heirs: Sequence[Heir], budget: int) -> None:
        """As `TournamentCoordinator.begin_task`."""
        super().begin_task(solved, heirs, budget)
        self._told_at = {}
        self._keep()

    def assignments(self, pathways: Sequence[int]) -> list[Assignment]:
        """As `TournamentCoordinator.assignments`."""
        found = super().assignments(pathways)
        self._keep()
        return found

    def compete(
        self, pathway: int, genotype: Genotype, fitness: float, agent_steps: int
    ) -> Assignment:
        """As `TournamentCoordinator.compete`.

        Args:
            agent_steps: done in the task, more than at the pathway's evaluation before.
        """
        if self._told_at.get(pathway) == agent_steps:
            return self._assignment(pathway)
        self._metrics.held()
        found = super().compete(pathway, genotype, fitness, agent_steps)
        self._told_at[pathway] = agent_steps
        self._keep()
        return found

    def duplicate(self, pathway: int, layers: Sequence[int]) -> None:
        """As `TournamentCoordinator.duplicate`."""
        super().duplicate(pathway, layers)
        self._keep()

    def load_state(self, state: dict[str, Any], solved: Sequence[Solved], budget: int) -> None:
        """As `TournamentCoordinator.load_state`."""
        super().load_state(state, solved, budget)
        self._told_at = {}
        self._keep()


def _solved(kept: dict[str, Any]) -> Solved:
    path, always = (tuple(tuple(layer) for layer in kept[name]) for name in ("path", "always"))
    return Solved(path, always, tuple(kept["builds_on"]))
