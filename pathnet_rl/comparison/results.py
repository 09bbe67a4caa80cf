"""What came of a comparison: a row for each task of each run and arm, the table, and the files.

comparison.csv, comparison.json  pair, arm, setting, seed, task (from 0), returns, area, forgetting
random_policy.csv                episodes of a random policy in each game
returns.csv.gz                   every episode of all runs, and those of a random policy as the arm `random`
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

import numpy as np

from pathnet_rl.arms import Arm
from pathnet_rl.checkpoint import write_json, write_whole
from pathnet_rl.comparison.experiment import Comparison, Member, pair_label, tasks_in
from pathnet_rl.errors import UserError
from pathnet_rl.intervals import Interval, ratio_interval
from pathnet_rl.random_policy import RandomPolicy
from pathnet_rl.report import read_returns, summarise
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.transfer import finished_results

RANDOM = "random"
RETURNS_COLUMNS = ("pair", "arm", "seed", "setting", "task", "agent_steps", "episode_return")


@dataclass(frozen=True)
class Row:
    """One task of one arm of one run.

    Attributes:
        area: area under the learning curve, as mean return over the task. random: the random policy's
            mean return; None for a task that has no control.
        relative_area: that area above the random policy's return, relative to the independent control's of
            the same seed and setting.
    """

    pair: str
    arm: str
    setting: str
    seed: int
    task: int
    name: str
    agent_steps: int
    episodes: int
    area: float | None
    random: float | None
    relative_area: float | None
    mean_return_last_100: float | None
    greedy_return: float
    forgetting: float | None


@dataclass(frozen=True)
class Line:
    """The last task of a pair, one arm in one setting: means over seeds.

    Attributes:
        relative_area: the ratio of the means of areas above the random policy's return, over the seeds that
            arm and control have; None where the control is no better than the random policy.
    """

    pair: str
    arm: str
    setting: str
    seeds: int
    area: float | None
    relative_area: Interval | None
    mean_return_last_100: float | None


def rows_of(member: Member, random: RandomPolicy, random_episodes: int | None) -> list[Row]:
    """The rows of a finished member.

    Args:
        random: plays where fewer than `random_episodes` of its episodes in a game are known.

    Raises:
        UserError: something in its folder is damaged, or not finished after all.
    """
    folder = RunFolder(member.config)
    results = {}
    for arm in member.config.arms:
        done = finished_results(folder, arm)
        if done is None:
            raise UserError(f"{folder.path} is not finished: {arm.value} is not")
        results[arm] = done
    return [
        Row(
            pair=member.pair,
            arm=summary.arm.value,
            setting=member.setting,
            seed=member.seed,
            task=summary.result.finished.task,
            name=summary.result.finished.name,
            agent_steps=summary.result.finished.agent_steps,
            episodes=summary.episodes,
            area=summary.area,
            random=summary.random,
            relative_area=summary.speedup,
            mean_return_last_100=summary.mean_return_last_100,
            greedy_return=summary.result.after_task.mean,
            forgetting=summary.result.forgetting,
        )
        for summary in summarise(member.config, folder, results, random, random_episodes)
    ]


def lines_of(rows: Sequence[Row]) -> list[Line]:
    """For the last task of each pair, a line for each arm in each setting."""
    last = {pair: max(r.task for r in rows if r.pair == pair) for pair in {r.pair for r in rows}}
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row.task == last[row.pair]:
            groups.setdefault((row.pair, row.setting, row.arm), []).append(row)
    return [
        Line(
            pair,
            arm,
            setting,
            len(group),
            _mean(row.area for row in group),
            _relative_area(group, groups.get((pair, setting, Arm.INDEPENDENT.value), [])),
            _mean(row.mean_return_last_100 for row in group),
        )
        for (pair, setting, arm), group in groups.items()
    ]


def _relative_area(arm: Sequence[Row], control: Sequence[Row]) -> Interval | None:
    """The ratio of the means of the areas above the random policy's return, over the seeds of both."""
    theirs = {row.seed: row.area for row in control if row.area is not None}
    pairs = [
        (row.area - row.random, theirs[row.seed] - row.random)
        for row in arm
        if row.seed in theirs and row.area is not None and row.random is not None
    ]
    above = np.array(pairs).reshape(-1, 2)
    if not len(above) or above[:, 1].mean() <= 0:
        return None
    return ratio_interval(above[:, 0], above[:, 1])


def write_results(
    comparison: Comparison, members: Sequence[Member], rows: Sequence[Row], random: RandomPolicy
) -> list[Path]:
    """Write the files of a comparison from its finished members; what was written.

    Raises:
        UserError: a file cannot be written, or one that it is made from is damaged.
    """
    folder = comparison.path
    table, returns = folder / "comparison.csv", folder / "returns.csv.gz"
    write_whole(table, _csv([field.name for field in fields(Row)], map(astuple, rows)))
    settings = {setting.label: dict(setting.values) for setting in comparison.settings}
    said = {
        "pairs": list(comparison.sequences),
        "arms": [arm.value for arm in comparison.base.arms],
        "settings": settings,
        "table": [asdict(line) for line in lines_of(rows)],
        "runs": [asdict(row) for row in rows],
    }
    write_json(folder / "comparison.json", said)
    episodes = [*_returns(members), *_random_returns(comparison, random)]
    write_whole(returns, gzip.compress(_csv(RETURNS_COLUMNS, episodes), mtime=0))
    return [folder / "comparison.json", table, returns]


def _returns(members: Sequence[Member]) -> Iterator[Sequence[object]]:
    for member in members:
        arms = {arm.value for arm in member.config.arms}
        for (task, arm), table in read_returns(RunFolder(member.config).returns).items():
            if arm in arms:
                for steps, value in zip(table.agent_steps, table.returns, strict=True):
                    yield (member.pair, arm, member.seed, member.setting, task, steps, value)


def _random_returns(comparison: Comparison, random: RandomPolicy) -> Iterator[Sequence[object]]:
    """The random policy's episodes in each task of each pair; it has no setting."""
    base = comparison.base
    wanted = comparison.random_episodes or base.replay.random_episodes
    for pair in comparison.sequences:
        for number, task in enumerate(tasks_in(pair)):
            for episode in random.episodes(task, base.rules(task), wanted):
                yield (pair_label(pair), RANDOM, 0, "", number, *astuple(episode))


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are there, or None without one."""
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None
