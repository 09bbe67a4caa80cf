"""What the benchmark measures: each row runs here, in processes of its own, until it is killed.

A row writes its agent steps to a slot of the file that PATHNET_BENCH_COUNTER names.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from launch.bench.recorded_maze import TASK
from launch.presets import PRESETS
from pathnet_rl import engine, envs
from pathnet_rl.arms import Arm
from pathnet_rl.config import MOST_AGENT_STEPS, RunConfig
from pathnet_rl.genotype import ActiveModules, Genotype, no_modules, union
from pathnet_rl.grid import build_grid
from pathnet_rl.rollout import RolloutCollector, collect
from pathnet_rl.store import GridStore
from pathnet_rl.telemetry import Report

GAMES = {"pong": "ALE/Pong-v5", "riverraid": "ALE/Riverraid-v5", "maze": TASK}
SILENT_ROWS = ("environment_only", "acting")
ROWS = (*SILENT_ROWS, "serial", "system")
A2C = "sb3_a2c"
CREWS = ("serial", "system", "nodes")
"""Rows that learn and report as a run does."""
PRESET = "pong"


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        kind: one of ROWS, or A2C, or `nodes`: the system with each worker on a node of its own.
        game: one of GAMES.
        population: of all processes together.
        processes: how many the row has side by side; the system starts its own workers.
        slot: which of them this is.
        varied: what differs from the preset, one of N, L, E, t_max, workers, and `frozen`: how many
            pathways earlier tasks have frozen; all are active beside the learning one.
        value: of what is varied.
        checkout: the folder of another version whose row this is; this version's, if empty.
        engine: as in `RunConfig`.
    """

    kind: str
    game: str
    population: int = 64
    processes: int = 1
    slot: int = 0
    varied: str = ""
    value: int = 0
    checkout: str = ""
    engine: str = "auto"

    @property
    def label(self) -> str:
        """Its name in file names and messages."""
        return self._label_there + ("-before" if self.checkout else "")

    @property
    def _label_there(self) -> str:
        """Its label in its own process, which knows of no other checkout."""
        return f"{self.kind}-{self.population}" + (
            f"-{self.varied}-{self.value}" if self.varied else ""
        )

    @property
    def pathways(self) -> int:
        """How many pathways one of its processes has."""
        return self.population // self.processes

    def config(self, process: int) -> RunConfig:
        """The pong preset on one game; `process` is the row's process id."""
        base = PRESETS[PRESET][1]
        config = base.model_copy(
            update={
                "name": f"bench-{self.game}-{self._label_there}-{process}",
                "folder": str(Path(self.checkout) / "runs"),
                "tasks": (GAMES[self.game],),
                "arms": (Arm.PATHNET,),
                "seed": self.slot,
                "engine": self.engine,
                "evolution": base.evolution.model_copy(update={"population": self.pathways}),
            }
        )
        return vary(config, self.varied, self.value)

    def run(self) -> None:
        """Be this row until killed."""
        config = self.config(os.getpid())
        counter = _Counter(self.slot)
        if self.kind == "environment_only":
            run_environments(config, counter, self.pathways)
        elif self.kind == "acting":
            run_acting(config, counter, self.pathways)
        elif self.kind == A2C:
            from launch.bench.a2c import run_a2c

            run_a2c(config, counter.set)
        else:
            run_crew(config, counter, self.kind, self.value if self.varied == "frozen" else 0)


def vary(config: RunConfig, name: str, value: int) -> RunConfig:
    """The configuration with one setting changed; L is a matter of how often the third layer is there."""
    match name:
        case "N":
            changes: dict[str, Any] = {
                "grid": config.grid.model_copy(update={"width": value}),
            }
        case "L":
            *first, third, last = config.grid.layers
            layers = (*first, *[third] * (value - len(first) - 1), last)
            changes = {"grid": config.grid.model_copy(update={"layers": layers})}
        case "E":
            changes = {"learning": config.learning.model_copy(update={"environments": value})}
        case "t_max":
            changes = {"learning": config.learning.model_copy(update={"rollout_steps": value})}
        case "workers":
            changes = {"workers": value}
        case _:
            changes = {}
    return config.model_copy(update=changes)


class _Counter:
    """Writes agent steps to the file that the parent reads."""

    def __init__(self, slot: int) -> None:
        self._file = np.memmap(os.environ["PATHNET_BENCH_COUNTER"], dtype=np.int64, mode="r+")
        self._slot = slot

    def add(self, steps: int) -> None:
        self._file[self._slot] += steps

    def set(self, steps: int) -> None:
        self._file[self._slot] = steps


def run_environments(config: RunConfig, counter: _Counter, pathways: int) -> None:
    """Random actions in the environments of so many pathways, one rollout's length at a time."""
    rng = np.random.default_rng(config.seed)
    count = config.learning.environments
    population = [envs.make(config.tasks[0], count, config) for _ in range(pathways)]
    for environments in population:
        environments.reset(config.seed)
    while True:
        for environments in population:
            actions = rng.integers(0, environments.actions, (config.learning.rollout_steps, count))
            for step in actions:
                environments.step(step)
            counter.add(actions.size)


def run_acting(config: RunConfig, counter: _Counter, pathways: int) -> None:
    """Pathways that act and do not learn."""
    import torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(config.seed)
    grid = build_grid(config)
    path = Path(f"/dev/shm/{config.name}.block")
    store = GridStore.create(path, grid, config.learning)
    path.unlink()
    store.initialise(grid.all_modules(), rng)
    store.begin_task(0, MOST_AGENT_STEPS)
    learning = config.learning
    size = engine.EngineSize(
        1, config.grid.width, learning.rollout_steps, learning.environments, grid.actions[0]
    )
    acting = engine.make(config, grid, size)
    population = [
        (
            Genotype.random(rng, grid.depth, grid.modules, config.grid.width),
            RolloutCollector(envs.make(config.tasks[0], learning.environments, config), i),
        )
        for i in range(pathways)
    ]
    while True:
        for genotype, collector in population:
            acting.load([store.pull(0, genotype.active, no_modules(grid.depth))])
            (rollout,) = collect([collector], acting, learning.rollout_steps, [rng])
            counter.add(rollout.actions.size)


def run_crew(config: RunConfig, counter: _Counter, kind: str, frozen: int) -> None:
    """The serial twin or the system, until the agent steps are done; reports, and saves nothing."""
    from pathnet_rl.run_folder import RunFolder

    folder = RunFolder(config)
    folder.open()
    grid = build_grid(config)
    if kind == "serial":
        from workers.serial import SerialCrew

        crew: Any = SerialCrew(config, Arm.PATHNET, grid)
    else:
        from workers.ray_cluster import connect
        from workers.ray_crew import RayCrew

        if kind == "nodes":
            from launch.bench.ray_nodes import start_nodes

            os.environ["RAY_ADDRESS"] = start_nodes(config.workers or 1).address
        connect(config)
        crew = RayCrew(config, Arm.PATHNET, grid, config.workers)
    crew.server.begin_first_task(0)
    rng = np.random.default_rng(config.seed)
    earlier: ActiveModules = no_modules(grid.depth)
    for _ in range(frozen):
        genotype = Genotype.random(rng, grid.depth, grid.modules, config.grid.width)
        earlier = union(earlier, genotype.active)
    crew.store.freeze(earlier)
    crew.hub.begin_task(0, 0)
    crew.start()
    report = time.monotonic()
    while not crew.wait(0.2):
        store = crew.store
        counter.set(store.agent_steps)
        if time.monotonic() - report >= config.report_seconds:
            report = time.monotonic()
            snapshot = crew.coordinator.snapshot()
            crew.hub.report(
                Report(
                    store.agent_steps, store.updates, store.learning_rate, 0.0, 0, store.frozen,
                    snapshot,
                )
            )  # fmt: skip
