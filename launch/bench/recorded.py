"""Gradients of the real engine, recorded once: what simulated workers push.

A worker plays and learns as in a run; what it pushes is kept in a file that all processes map.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.arms import Arm
from pathnet_rl.block import reserve
from pathnet_rl.config import MOST_AGENT_STEPS, RunConfig
from pathnet_rl.engine import rmsprop_step
from pathnet_rl.genotype import ActiveModules
from pathnet_rl.grid import Grid
from pathnet_rl.pathway_weights import PathwayWeights
from pathnet_rl.seeds import Owner, generator
from pathnet_rl.store import GridStore
from workers.coordinator import TournamentCoordinator
from workers.pathway_worker import PathwayWorker

WARM_UP = 3
"""First rollouts of a pathway that are not kept: a head of zeros hands no gradient down."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Recorded:
    """Gradients of several random pathways.

    Attributes:
        file: their numbers, float32: of a pathway's modules, layer by layer, then of its head.
        paths: of each pathway. gradients: of each pathway, how many there are.
        agent_steps: of a push. cpu_seconds: that a worker took for one, emulators included.
    """

    file: Path
    paths: tuple[ActiveModules, ...]
    gradients: int
    agent_steps: int
    cpu_seconds: float

    def read(self, grid: Grid) -> list[list[PathwayWeights]]:
        """Of each pathway its gradients, as views of the file."""
        numbers: Floats = np.memmap(self.file, np.float32, mode="c")
        found, start = [], 0
        for path in self.paths:
            shapes = grid.shapes(path, 0)
            ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
            of_path = []
            for _ in range(self.gradients):
                flat = numbers[start : start + ends[-1]]
                parts = [
                    torch.from_numpy(part.reshape(shape))
                    for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)
                ]
                trainable = tuple(len(modules) for modules in path)
                of_path.append(PathwayWeights(tuple(parts[:-1]), parts[-1], trainable))
                start += int(ends[-1])
            found.append(of_path)
        return found


class _Recorder(GridStore):
    """A store that remembers what is pushed."""

    def listen(self) -> list[tuple[ActiveModules, list[Floats]]]:
        """Remember from here on, in the list that is returned."""
        self.heard: list[tuple[ActiveModules, list[Floats]]] = []
        return self.heard

    def push(
        self,
        task: int,
        path: ActiveModules,
        gradients: PathwayWeights,
        agent_steps: int,
        worker: int,
        rate_factor: float = 1.0,
    ) -> None:
        super().push(task, path, gradients, agent_steps, worker, rate_factor)
        parts = (*gradients.layers, gradients.head)
        self.heard.append((path, [part.numpy().ravel().copy() for part in parts]))


def record(config: RunConfig, grid: Grid, folder: Path, pathways: int, gradients: int) -> Recorded:
    """Let one worker learn the first task with so many random pathways; keep so many pushes of each."""
    torch.set_num_threads(1)
    # No pathway is overwritten in so short a time, whatever its episodes bring.
    evolution = config.evolution.model_copy(
        update={"population": pathways, "episodes": MOST_AGENT_STEPS}
    )
    config = config.model_copy(update={"evolution": evolution, "workers": 1})
    block = folder / "recording.block"
    arm = Arm.PATHNET
    store = _Recorder(block, grid, config.learning, reserve(block, grid), rmsprop_step(config))
    store.initialise(grid.all_modules(), generator(config.seed, arm, Owner.INITIALISATION, 0))
    store.begin_task(0, MOST_AGENT_STEPS)
    coordinator = TournamentCoordinator(config, arm)
    worker = PathwayWorker(config, arm, 0, range(pathways), store, coordinator, lambda _: None)
    try:
        store.listen()
        worker.begin_task()
        for _ in range(WARM_UP * pathways):
            worker.step()
        heard = store.listen()
        began = time.process_time()
        for _ in range(gradients * pathways):
            worker.step()
        seconds = (time.process_time() - began) / len(heard)
        worker.end_task()
    finally:
        store.remove()
    return _write(folder / "gradients.f32", heard, pathways, config, seconds)


def _write(
    file: Path,
    heard: Sequence[tuple[ActiveModules, list[Floats]]],
    pathways: int,
    config: RunConfig,
    seconds: float,
) -> Recorded:
    with file.open("wb") as out:
        # The worker took its pathways in turn.
        for pathway in range(pathways):
            for _, parts in heard[pathway::pathways]:
                for part in parts:
                    part.tofile(out)
    learning = config.learning
    return Recorded(
        file,
        tuple(path for path, _ in heard[:pathways]),
        len(heard) // pathways,
        learning.rollout_steps * learning.environments,
        seconds,
    )
