"""What came of a comparison: a row for each task of each run and arm, the table, and the files.

comparison.csv, comparison.json  pair, arm, setting, seed, task (from 0), returns, area, forgetting
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

from pathnet_rl.checkpoint import write_json, write_whole
from pathnet_rl.comparison.experiment import Comparison, Member, pair_label, tasks_in
from pathnet_rl.errors import UserError
from pathnet_rl.random_policy import RandomEpisode, random_episodes
from pathnet_rl.report import read_returns, summarise
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.transfer import finished_results

RANDOM = "random"
RETURNS_COLUMNS = ("pair", "arm", "seed", "setting", "task", "agent_steps", "episode_return")


@dataclass(frozen=True)
class Row:
    """One task of one arm of one run.

    Attributes:
        area: area under the learning curve, as mean return over the task.
        relative_area: that area relative to the independent control's, of the same seed and setting.
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
    relative_area: float | None
    mean_return_last_100: float | None
    greedy_return: float
    forgetting: float | None


@dataclass(frozen=True)
class Line:
    """The last task of a pair, one arm in one setting: means over seeds."""

    pair: str
    arm: str
    setting: str
    seeds: int
    area: float | None
    relative_area: float | None
    mean_return_last_100: float | None


def rows_of(member: Member) -> list[Row]:
    """The rows of a finished member.

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
            relative_area=summary.speedup,
            mean_return_last_100=summary.mean_return_last_100,
            greedy_return=summary.result.after_task.mean,
            forgetting=summary.result.forgetting,
        )
        for summary in summarise(member.config, folder, results)
    ]


def lines_of(rows: Sequence[Row]) -> list[Line]:
    """The table: for the last task of each pair, a line for each arm in each setting."""
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
            _mean(row.relative_area for row in group),
            _mean(row.mean_return_last_100 for row in group),
        )
        for (pair, setting, arm), group in groups.items()
    ]


def write_results(
    comparison: Comparison, members: Sequence[Member], rows: Sequence[Row]
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
    episodes = [*_returns(members), *_random_returns(comparison)]
    write_whole(returns, gzip.compress(_csv(RETURNS_COLUMNS, episodes), mtime=0))
    return [folder / "comparison.json", table, returns]


def _returns(members: Sequence[Member]) -> Iterator[Sequence[object]]:
    for member in members:
        arms = {arm.value for arm in member.config.arms}
        for (task, arm), table in read_returns(RunFolder(member.config).returns).items():
            if arm in arms:
                for steps, value in zip(table.agent_steps, table.returns, strict=True):
                    yield (member.pair, arm, member.seed, member.setting, task, steps, value)


def _random_returns(comparison: Comparison) -> Iterator[Sequence[object]]:
    """The random policy's episodes in each task of each pair; it has no setting."""
    played: dict[str, list[RandomEpisode]] = {}
    for pair in comparison.sequences:
        for number, task in enumerate(tasks_in(pair)):
            if task not in played:
                played[task] = _random_episodes(comparison, task)
            for episode in played[task]:
                yield (pair_label(pair), RANDOM, 0, "", number, *astuple(episode))


def _random_episodes(comparison: Comparison, task: str) -> list[RandomEpisode]:
    """The random policy's episodes in a game, played once and then kept in random_policy.csv."""
    path = comparison.path / "random_policy.csv"
    kept = _read_random(path)
    if len(kept.get(task, ())) != comparison.random_episodes:
        kept[task] = random_episodes(task, comparison.base.protocol, comparison.random_episodes)
        rows = [(name, *astuple(episode)) for name in kept for episode in kept[name]]
        write_whole(path, _csv(("name", "agent_steps", "episode_return"), rows))
    return kept[task]


def _read_random(path: Path) -> dict[str, list[RandomEpisode]]:
    found: dict[str, list[RandomEpisode]] = {}
    try:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                episode = RandomEpisode(int(row["agent_steps"]), float(row["episode_return"]))
                found.setdefault(row["name"], []).append(episode)
    except (OSError, ValueError, TypeError, KeyError):
        return {}  # Played again, it is the same.
    return found


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
