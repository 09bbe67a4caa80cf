"""What several tests need: tiny configurations, whole runs in this process, and the real command line."""

from __future__ import annotations

import csv
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pathnet_rl import checkpoint, transfer
from pathnet_rl.arms import Arm
from pathnet_rl.config import EvolutionConfig, GridConfig, LearningConfig, ReplayConfig, RunConfig
from pathnet_rl.crew import Crew, Progress
from pathnet_rl.genotype import ActiveModules
from pathnet_rl.grid import Grid, build_grid
from pathnet_rl.modules import LinearModule
from pathnet_rl.pathway_weights import PathwayWeights
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.store import GridStore
from pathnet_rl.telemetry import TaskResult
from workers.coordinator import TournamentCoordinator
from workers.pathway_worker import PathwayWorker
from workers.serial import SerialCrew

ROOT = Path(__file__).parent.parent


def tiny_config(folder: Path, **changes: Any) -> RunConfig:
    """CartPole on a grid of 2 x 5 small modules: a task takes about a second."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "folder": str(folder),
        "tasks": ("CartPole-v1", "CartPole-v1"),
        "agent_steps": (4000,),
        "arms": (Arm.PATHNET,),
        "grid": GridConfig(
            layers=(LinearModule(units=8), LinearModule(units=8)), modules=5, width=2
        ),
        "evolution": EvolutionConfig(population=4, episodes=2, rivals=2),
        "learning": LearningConfig(
            learning_rate=5e-3, rmsprop_epsilon=0.01, rollout_steps=8, environments=2
        ),
        "replay": ReplayConfig(episodes=3, most_steps=200),
        "checkpoint_seconds": 1000.0,
        "checkpoints_kept": 100,
        "report_seconds": 1000.0,
        "serial": True,
    }
    return RunConfig(**{**fields, **changes})


class TapeDisplay:
    """A `transfer.Display` that keeps what it was told, in order."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.shown: list[Progress] = []
        self.done: list[tuple[str, str]] = []

    def update(self, progress: Progress) -> None:
        self.shown.append(progress)

    def doing(self, what: str, how_far: str) -> None:
        self.done.append((what, how_far))

    def note(self, line: str) -> None:
        self.notes.append(line)


def serial_crew(config: RunConfig, arm: Arm = Arm.PATHNET) -> SerialCrew:
    return SerialCrew(config, arm, build_grid(config))


def run_experiment(
    config: RunConfig,
    make_crew: Callable[[Arm], Crew] | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
    display: TapeDisplay | None = None,
) -> dict[Arm, list[TaskResult]]:
    """All arms and tasks of a run, with the run folder that the command line would make."""
    folder = RunFolder(config)
    folder.open()
    try:
        return transfer.run(
            config,
            folder,
            make_crew or (lambda arm: serial_crew(config, arm)),
            display or TapeDisplay(),
            stop_requested,
        )
    finally:
        folder.close()


def learn_first_task(config: RunConfig, crew: Crew) -> None:
    """The first task of an arm, to its end; RunFolder(config).open() comes before the crew is made."""
    crew.server.begin_first_task(0)
    crew.hub.begin_task(0, 0)
    crew.start()
    while not crew.wait(1.0):
        pass


def small_grid(actions: tuple[int, ...] = (3, 2)) -> Grid:
    """Three linear layers of six modules on observations of four numbers."""
    layers = (LinearModule(units=7), LinearModule(units=5), LinearModule(units=6))
    return Grid(GridConfig(layers=layers, modules=6, width=3), (4,), actions)


def new_store(path: Path, grid: Grid, learning: LearningConfig | None = None) -> GridStore:
    """A store at task 0 whose modules and heads, all of them, are drawn from a fixed seed."""
    store = GridStore.create(path, grid, learning or LearningConfig())
    store.begin_task(0, 100_000)
    drawn = np.random.default_rng(5).uniform(-0.4, 0.4, grid.size)
    store.parameters.copy_(torch.from_numpy(drawn.astype(np.float32)))
    return store


def random_gradients(
    grid: Grid, learned: ActiveModules, task: int, rng: np.random.Generator
) -> PathwayWeights:
    """Gradients of the size that a push of these modules and this head takes."""

    def numbers(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))

    return PathwayWeights(
        tuple(
            numbers(len(modules), layer.module_size)
            for modules, layer in zip(learned, grid.layers, strict=True)
        ),
        numbers(grid.heads[task].size),
        tuple(len(modules) for modules in learned),
    )


def in_block(grid: Grid, learned: ActiveModules, gradients: PathwayWeights) -> torch.Tensor:
    """Gradients of these modules and of the first head where they lie in a block, [size]; zeros elsewhere."""
    block = torch.zeros(grid.size)
    for layer, modules, rows in zip(grid.layers, learned, gradients.layers, strict=True):
        layer.rows(block)[list(modules)] = rows
    grid.heads[0].numbers(block).copy_(gradients.head)
    return block


def command(*arguments: str) -> list[str]:
    """The real command line of `launch.train`."""
    return [sys.executable, "-m", "launch.train", *arguments]


def run_command(*arguments: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run the real command line to its end."""
    return run_module("launch.train", *arguments, timeout=timeout)


def run_module(
    *words: str, environment: Mapping[str, str] | None = None, timeout: float = 120.0
) -> subprocess.CompletedProcess[str]:
    """Run any command of this project to its end, in this environment or another."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=timeout,
    )  # fmt: skip


def free_port() -> int:
    """One that nobody listens at just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def first_state(config: RunConfig) -> dict[str, Any]:
    """What a checkpoint says of a run that has learned nothing yet."""
    frozen: list[list[int]] = [[] for _ in config.grid.layers]
    counts = {
        "task": 0,
        "budget": config.steps_of(0),
        "agent_steps": 0,
        "updates": 0,
        "frozen": frozen,
    }
    return {
        "finished": False,
        "store": {**counts, "layout_version": 1, "grid": {}},
        "coordinator": TournamentCoordinator(config, Arm.PATHNET).state(),
        "hub": {"returns_bytes": 0, "last_returns": []},
        "results": [],
    }


def read_rows(returns: Path) -> list[dict[str, str]]:
    """returns.csv as it lies on disk, in file order."""
    with returns.open(newline="") as file:
        return list(csv.DictReader(file))


def chi_square(observed: Sequence[float], expected: Sequence[float]) -> float:
    """Pearson's statistic; compare with the quantile of len - 1 degrees of freedom."""
    found, wanted = np.asarray(observed, dtype=float), np.asarray(expected, dtype=float)
    return float((np.square(found - wanted) / wanted).sum())


def run_task(worker: PathwayWorker) -> None:
    """Let a worker work until its store says that the task is over, or stop."""
    worker.begin_task()
    while worker.working:
        worker.step()
    worker.end_task()


Moment = tuple[dict[str, torch.Tensor], dict[str, Any]]


def last_moment(folder: Path) -> Moment:
    """What PathNet's last checkpoint in a run folder says, but for where and by what it was learned."""
    saved = checkpoint.list_checkpoints(folder / "checkpoints" / Arm.PATHNET.value)[-1]
    tensors, state = checkpoint.load(saved)
    del state["config"]
    return tensors, state
