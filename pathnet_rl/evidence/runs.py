"""From run folders to records: one finished arm of one run each, and a reason for whatever is left out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pathnet_rl.arms import Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.config_file import is_left_by_system
from pathnet_rl.errors import UserError
from pathnet_rl.fitness import check_evaluated
from pathnet_rl.provenance import read_starts
from pathnet_rl.reading import NotReadable, read_json
from pathnet_rl.report import ReturnsTable, read_returns
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.telemetry import TaskResult


@dataclass(frozen=True)
class Record:
    """One finished arm of one run.

    Attributes:
        folder: the run's, as people find it. results: one for each task that the arm learned. tables: its
            episodes, by task.
        state: what the last checkpoint says, beside the numbers. starts: of the run, see `provenance.py`.
    """

    folder: str
    config: RunConfig
    arm: Arm
    results: Sequence[TaskResult]
    tables: dict[int, ReturnsTable]
    state: dict[str, Any]
    starts: Sequence[dict[str, Any]]

    @property
    def seed(self) -> int:
        """The run's."""
        return self.config.seed


@dataclass(frozen=True)
class NotIncluded:
    """A run, or an arm of one, that a report does not have, and why."""

    what: str
    reason: str

    def __str__(self) -> str:
        return f"not included: {self.what}: {self.reason}"


def read_runs(
    paths: Sequence[Path], shown: Callable[[str], str] = str
) -> tuple[list[Record], list[NotIncluded]]:
    """Every finished arm of these run folders, and everything that cannot be used.

    A folder that holds run folders stands for all of them. `shown` is a text with paths as people find them.
    """
    records: list[Record] = []
    left_out: list[NotIncluded] = []
    for path in dict.fromkeys(run for given in paths for run in _runs_in(given.resolve())):
        try:
            found, unusable = _read_run(path)
        except UserError as error:
            found, unusable = [], [NotIncluded(str(path), str(error))]
        records += [replace(record, folder=shown(record.folder)) for record in found]
        left_out += [NotIncluded(shown(one.what), shown(one.reason)) for one in unusable]
    return records, left_out


def _runs_in(path: Path) -> list[Path]:
    """The runs in a folder: itself, if it is one, else those below that lie in no other; itself if none."""
    if _is_run(path):
        return [path]
    found = {c.parent for depth in range(1, 4) for c in path.glob("*/" * depth + "config.json")}
    runs = {folder for folder in found if _is_run(folder)}
    above = {parent for folder in found for parent in folder.parents}
    # Neither what lies in a run, nor the folder of a comparison, which holds runs.
    inside = {f for f in found if not runs & set(f.parents) and (f in runs or f not in above)}
    return sorted(inside | _closed(path, runs)) or [path]


def _closed(path: Path, runs: set[Path]) -> set[Path]:
    """Folders that may not be looked into, and may be runs of others; not those that runs have."""
    below = {folder for depth in range(1, 4) for folder in path.glob("*/" * depth)}
    return {
        folder
        for folder in below
        if not (os.access(folder, os.R_OK | os.X_OK) or runs & set(folder.parents))
        and not is_left_by_system(folder.name)
    }


def _is_run(path: Path) -> bool:
    """A configuration of games lies there, of whichever version."""
    try:
        found = read_json(path / "config.json")
    except NotReadable:
        return True  # Reading it as a run says why it cannot be.
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and {"tasks", "arms", "agent_steps"} <= found.keys()


def _read_run(path: Path) -> tuple[list[Record], list[NotIncluded]]:
    folder = RunFolder.existing(path)
    starts = read_starts(path / "provenance.json")
    left_out: list[NotIncluded] = []
    finished: dict[Arm, tuple[dict[str, Any], list[TaskResult]]] = {}
    for arm in folder.config.arms:
        try:
            finished[arm] = _read_finished(folder, arm)
        except UserError as error:
            left_out.append(NotIncluded(f"{path}, arm {arm.value}", str(error)))
    # After what speaks of them: the run may be at work.
    tables = read_returns(folder.returns) if finished else {}
    records: list[Record] = []
    for arm, (state, results) in finished.items():
        mine = {task: table for (task, name), table in tables.items() if name == arm.value}
        try:
            _check_tables(results, mine)
        except UserError as error:
            left_out.append(NotIncluded(f"{path}, arm {arm.value}", str(error)))
        else:
            records.append(
                Record(str(folder.path), folder.config, arm, results, mine, state, starts)
            )
    return records, left_out


def _read_finished(folder: RunFolder, arm: Arm) -> tuple[dict[str, Any], list[TaskResult]]:
    """What a finished arm's last checkpoint says beside its numbers, and its results.

    Raises:
        UserError: it is not finished, or cannot be used.
    """
    state = folder.latest_state(arm)
    if state is None:
        raise UserError("it has not begun (there is no checkpoint)")
    config = folder.config
    try:
        results = [TaskResult.from_state(result) for result in state["results"]]
        if not state["finished"]:
            check_evaluated(config, state)
            task, steps = int(state["store"]["task"]), int(state["store"]["agent_steps"])
            raise UserError(
                f"it is not finished (last saved at {steps:,} of {config.steps_of(task):,} agent steps of"
                f" task {task + 1} of {len(config.tasks)}); the same command goes on with it"
            )
        # If it is gone, that is said where it is read.
        wanted = int(state["hub"]["returns_bytes"])
        if folder.returns.exists() and folder.returns.stat().st_size < wanted:
            raise UserError("returns.csv is shorter than its checkpoint says: rows are missing")
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"state.json is damaged ({error!r})") from error
    return state, results


def _check_tables(results: Sequence[TaskResult], tables: dict[int, ReturnsTable]) -> None:
    """Find out whether an arm's episodes, by task, are those of its results.

    Raises:
        UserError: they are not.
    """
    for result in results:
        table = tables.get(result.finished.task)
        if table is None:
            raise UserError(f"no episode of task {result.finished.task + 1} has ended")
        if not np.isfinite(table.returns).all():
            raise UserError("returns.csv is damaged: a return is no number")
