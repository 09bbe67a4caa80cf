"""What `launch.bench` measures: each row runs here, in processes of its own, until it is killed.

A row writes its agent steps to a slot of the file that PATHNET_BENCH_COUNTER names.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from launch.presets import PRESETS
from launch.train import build_grid
from pathnet_rl import envs
from pathnet_rl.arms import Arm
from pathnet_rl.config import MOST_AGENT_STEPS, RunConfig
from pathnet_rl.genotype import ActiveModules, Genotype, no_modules, union
from pathnet_rl.network import PathwayNetwork
from pathnet_rl.rollout import RolloutCollector
from pathnet_rl.store import GridStore

GAMES = {"pong": "ALE/Pong-v5", "riverraid": "ALE/Riverraid-v5"}
ROWS = ("environment_only", "acting", "serial", "system")
A2C = "sb3_a2c"
PRESET = "pong"


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        kind: one of ROWS, or A2C. game: one of GAMES. population: of all processes together.
        frozen: how many pathways earlier tasks have frozen; all are active beside the learning one.
        processes: how many the row has side by side; the system starts its own workers.
        slot: which of them this is.
    """

    kind: str
    game: str
    population: int = 64
    frozen: int = 0
    processes: int = 1
    slot: int = 0

    @property
    def label(self) -> str:
        """Its name in file names and messages."""
        extra = f"-{self.population}-pathways" if self.population != 64 else ""
        return self.kind + extra + (f"-{self.frozen}-frozen" if self.frozen else "")

    @property
    def pathways(self) -> int:
        """How many pathways one of its processes has."""
        return self.population // self.processes

    def config(self, process: int) -> RunConfig:
        """The pong preset on one game, without an end; `process` is the row's process id."""
        base = PRESETS[PRESET][1]
        return base.model_copy(
            update={
                "name": f"bench-{self.game}-{self.label}-{process}",
                "tasks": (GAMES[self.game],),
                "agent_steps": (MOST_AGENT_STEPS,),
                "arms": (Arm.PATHNET,),
                "seed": self.slot,
                "evolution": base.evolution.model_copy(update={"population": self.pathways}),
            }
        )

    def run(self) -> None:
        """Be this row until killed."""
        config = self.config(os.getpid())
        counter = _Counter(self.slot)
        if self.kind == "environment_only":
            run_environments(config, counter, self.pathways)
        elif self.kind == "acting":
            run_acting(config, counter, self.pathways)
        elif self.kind == A2C:
            from launch.bench_a2c import run_a2c

            run_a2c(config, counter.set)
        else:
            run_crew(config, counter, self.kind == "serial", self.frozen)


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
    population = [envs.make(config.tasks[0], count, config.protocol) for _ in range(pathways)]
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
    network = PathwayNetwork(
        grid, config.grid.width, learning.rollout_steps, learning.environments, grid.actions[0]
    )
    population = [
        (
            Genotype.random(rng, grid.depth, grid.modules, config.grid.width),
            RolloutCollector(envs.make(config.tasks[0], learning.environments, config.protocol), i),
        )
        for i in range(pathways)
    ]
    while True:
        for genotype, collector in population:
            network.load(store.pull(0, genotype.active, no_modules(grid.depth)))
            rollout = collector.collect(network, learning.rollout_steps, rng)
            counter.add(rollout.actions.size)


def run_crew(config: RunConfig, counter: _Counter, serial: bool, frozen: int) -> None:
    """The serial twin or the whole system, learning, reporting and saving nothing."""
    from pathnet_rl.run_folder import RunFolder

    folder = RunFolder(config)
    folder.open()
    grid = build_grid(config)
    if serial:
        from workers.serial import SerialCrew

        crew: Any = SerialCrew(config, Arm.PATHNET, grid)
    else:
        from workers.ray_crew import RayCrew, connect

        crew = RayCrew(config, Arm.PATHNET, grid, connect(config))
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
            crew.hub.report(
                store.agent_steps, store.updates, store.learning_rate, 0.0, 0, store.frozen,
                crew.coordinator.snapshot(),
            )  # fmt: skip
