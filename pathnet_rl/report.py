"""The report of a run: from returns.csv and the arms' results to summary.json, a table, a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.arms import Arm
from pathnet_rl.checkpoint import cannot_write, write_json
from pathnet_rl.config import RunConfig
from pathnet_rl.envs.registry import short_name
from pathnet_rl.errors import UserError
from pathnet_rl.first_episodes import unwatched
from pathnet_rl.metrics import area_under_curve, learning_curve, mean_of_last, relative_area
from pathnet_rl.random_policy import RandomPolicy
from pathnet_rl.reading import read_table, whole_number
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.telemetry import TaskResult
from pathnet_rl.watching import Watch

READ_COLUMNS = ("task", "arm", "agent_steps", "episode_return")


@dataclass(frozen=True)
class ReturnsTable:
    """The episodes of one task of one arm, in order of agent steps."""

    agent_steps: NDArray[np.int64]
    returns: NDArray[np.float64]


def read_returns(path: Path) -> dict[tuple[int, str], ReturnsTable]:
    """returns.csv by (task, arm).

    Raises:
        UserError: the file is missing or damaged.
    """
    rows: dict[tuple[int, str], list[tuple[int, float]]] = {}
    try:
        for task, arm, steps, value in read_table(path, READ_COLUMNS):
            pair = (whole_number(steps), float(value))
            rows.setdefault((whole_number(task), arm), []).append(pair)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} is missing or damaged ({error}); put it back, or choose another --name"
        ) from error
    tables = {}
    for key, pairs in rows.items():
        pairs.sort(key=lambda pair: pair[0])
        tables[key] = ReturnsTable(
            np.array([steps for steps, _ in pairs]), np.array([value for _, value in pairs])
        )
    return tables


@dataclass(frozen=True)
class TaskSummary:
    """One task of one arm.

    Attributes:
        area: area under the learning curve, as mean return over the task; None without an episode.
        random: the random policy's mean return; None where there is no control to compare with.
        speedup: that area relative to the independent control's, both above the random policy's return;
            None where there is no control, or it is no better than the random policy.
    """

    arm: Arm
    result: TaskResult
    episodes: int
    mean_return_last_100: float | None
    area: float | None
    curve: NDArray[np.float64] | None
    random: float | None = None
    speedup: float | None = None


def summarise(
    config: RunConfig,
    folder: RunFolder,
    results: dict[Arm, list[TaskResult]],
    random: RandomPolicy | None = None,
    random_episodes: int | None = None,
    watch: Watch | None = None,
) -> list[TaskSummary]:
    """One summary for each finished task of each arm.

    Args:
        random: whose episodes count, if not those in the run's folder; where a task has a control and fewer
            than `random_episodes` of them (as configured, if not given) are known, they are played now.
        watch: is told of these.
    """
    random_episodes = random_episodes or config.replay.random_episodes
    random = random or RandomPolicy(folder.random_policy)
    tables = read_returns(folder.returns)
    if not all(np.isfinite(table.returns).all() for table in tables.values()):
        raise UserError(f"{folder.returns} is damaged: a return is no number")
    summaries: list[TaskSummary] = []
    areas: dict[int, float | None] = {}
    for arm in sorted(results, key=lambda arm: arm is not Arm.INDEPENDENT):
        for result in results[arm]:
            task, name = result.finished.task, result.finished.name
            table = tables.get((task, arm.value))
            curve = area = mean = None
            if table is not None:
                curve = learning_curve(table.agent_steps, table.returns, config.steps_of(task))
                area, mean = area_under_curve(curve), mean_of_last(table.returns)
            if arm is Arm.INDEPENDENT:
                areas[task] = area
            control = areas.get(task)
            chance = ratio = None
            if area is not None and control is not None:
                watching = unwatched if watch is None else watch.of(f"a random policy plays {name}")
                chance = random.mean(name, config.rules(name), random_episodes, watching)
                ratio = relative_area(area, control, chance)
            episodes = 0 if table is None else len(table.returns)
            summaries.append(TaskSummary(arm, result, episodes, mean, area, curve, chance, ratio))
    return sorted(summaries, key=lambda s: (s.result.finished.task, config.arms.index(s.arm)))


def write_report(
    config: RunConfig, folder: RunFolder, summaries: Sequence[TaskSummary]
) -> list[Path]:
    """Write summary.json and one picture of learning curves a task; the files written."""
    from pathnet_rl.pictures import draw_curves  # Slow to import, so late.

    files = [folder.summary]
    for task, name in enumerate(config.tasks):
        curves = {
            s.arm.value: s.curve
            for s in summaries
            if s.result.finished.task == task and s.curve is not None
        }
        if curves:
            figure = draw_curves(curves, config.steps_of(task), f"{name} (seed {config.seed})")
            files.append(folder.path / f"learning_curves_{task + 1}_{short_name(name)}.png")
            try:
                figure.savefig(files[-1])
            except OSError as error:
                raise cannot_write(files[-1], error) from error
    write_json(folder.summary, {"tasks": [_as_json(summary) for summary in summaries]})
    return files


def _as_json(summary: TaskSummary) -> dict[str, Any]:
    result = summary.result
    return {
        "arm": summary.arm.value,
        "task": result.finished.task,
        "name": result.finished.name,
        "agent_steps": result.finished.agent_steps,
        "episodes": summary.episodes,
        "mean_return_last_100": summary.mean_return_last_100,
        "area_under_curve": summary.area,
        "random_policy": summary.random,
        "speedup_over_independent": summary.speedup,
        "best_pathway": result.finished.path,
        "best_fitness": result.finished.fitness,
        "best_hyperparameter_factors": asdict(result.finished.factors),
        "frozen_modules_before": result.finished.always,
        "greedy_return_after_task": result.after_task.mean,
        "greedy_return_after_all_tasks": None
        if result.after_all is None
        else result.after_all.mean,
        "greedy_episodes": len(result.after_task.returns),
        "greedy_episodes_cut": result.after_task.cut,
        "greedy_returns_after_later_tasks": [played.returns for played in result.after_later],
        "forgetting": result.forgetting,
    }
