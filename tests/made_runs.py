"""Run folders whose returns and paths are written by hand, so that every number of a report is known."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pathnet_rl.arms import Arm
from pathnet_rl.genotype import ActiveModules
from pathnet_rl.hyperparameters import AS_CONFIGURED, Factors
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.telemetry import FinishedTask, GreedyReturns, TaskResult
from tests.support import tiny_config

PATHS: Sequence[ActiveModules] = (((0, 1), (2,)), ((1, 3), (4,)), ((0, 3), (2, 4)))
"""Of the best pathways of the first, second and third task, on the tiny grid of 2 x 5 modules."""


def make_run(
    folder: Path,
    name: str,
    levels: Mapping[Arm, Sequence[float]],
    finished: bool = True,
    coordinator: Mapping[str, Any] | None = None,
    factors: Factors = AS_CONFIGURED,
    **changes: Any,
) -> Path:
    """A run of CartPole, twice: an arm returns `levels[arm][task]` in each of 50 episodes of a task.

    The greedy return is twice as high after a task, and the same after all tasks less 1 for each task of an
    arm that does not freeze.
    """
    config = tiny_config(folder, name=name, arms=tuple(levels), **changes)
    run = RunFolder(config)
    run.open()
    run.close()
    rows = []
    for arm, level in levels.items():
        for task in config.tasks_of(arm):
            length = config.steps_of(task) // 50
            rows += [
                [task, arm.value, length * (1 + episode), level[task], length]
                for episode in range(50)
            ]
    with run.returns.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [["task", "arm", "agent_steps", "episode_return", "length"], *rows]
        )
    for arm, level in levels.items():
        results = []
        for task in config.tasks_of(arm):
            beside: ActiveModules = ((), ())
            if task and arm is Arm.PATHNET:
                beside = PATHS[task - 1]
            done = FinishedTask(
                task,
                config.tasks[task],
                config.steps_of(task),
                PATHS[task],
                beside,
                1.0,
                (),
                factors,
            )
            lost = 0.0 if arm is Arm.PATHNET else 1.0
            results.append(
                TaskResult(
                    done,
                    GreedyReturns((2 * level[task],), 0),
                    GreedyReturns((2 * level[task] - lost,), 0),
                )
            )
        state = {
            "finished": finished,
            "store": {"task": len(config.tasks) - 1, "agent_steps": 1234},
            "coordinator": {
                "population": [[[0, 1], [2, 2]], [[1, 3], [4, 4]]],
                **(coordinator or {}),
            },
            "hub": {"returns_bytes": run.returns.stat().st_size},
            "results": [result.state() for result in results],
        }
        run.save(arm, "task-01-2-finished", {"numbers": torch.zeros(1)}, state)
    return run.path
