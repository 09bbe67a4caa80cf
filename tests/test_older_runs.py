"""Run folders that an older version made are opened, drawn, played again and gone on with."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Literal

import pytest

from launch import picture, replay
from launch.display import terminal
from pathnet_rl.arms import Arm
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.telemetry import TaskResult
from tests.support import ROOT, read_rows, run_command

OLDER = ROOT / "tests" / "data" / "older_runs"
OPTIONS = (
    "--serial", "--grid.modules", "4", "--grid.width", "2", "--evolution.population", "4",
    "--evolution.episodes", "2", "--evolution.rivals", "2", "--learning.environments", "2",
    "--learning.rollout-steps", "8", "--report-seconds", "0.5", "--replay.episodes", "3",
    "--replay.most-steps", "200", "--checkpoints-kept", "1",
)  # fmt: skip


@pytest.fixture
def older(tmp_path: Path) -> Path:
    shutil.copytree(OLDER, tmp_path / "older")
    return tmp_path / "older"


def test_a_finished_one_says_so_and_reports_what_it_said_then(older: Path) -> None:
    done = run_command(
        *("cartpole", "--name", "finished", "--folder", str(older)),
        *("--arms", "pathnet", "independent", "--agent-steps", "3000"),
        *OPTIONS,
    )
    assert done.returncode == 0, done.stderr
    assert "is finished: nothing is left to do" in done.stdout
    assert "speedup over independent" in done.stdout
    summary = json.loads((older / "finished" / "summary.json").read_text())
    assert [task["forgetting"] for task in summary["tasks"] if task["arm"] == "pathnet"] == [0, 0]


@pytest.mark.parametrize("engine", ["compiled", "torch"])
def test_one_that_was_killed_is_gone_on_with_by_either_engine(engine: str, older: Path) -> None:
    before = read_rows(older / "unfinished" / "returns.csv")
    done = run_command(
        *("cartpole", "--name", "unfinished", "--folder", str(older)),
        *("--arms", "pathnet", "--agent-steps", "16000", "--engine", engine),
        *OPTIONS,
    )
    assert done.returncode == 0, done.stderr
    assert "pathnet: going on from 5,680 agent steps of task 2, CartPole-v1" in done.stdout
    after = read_rows(older / "unfinished" / "returns.csv")
    first_task = [row for row in before if row["task"] == "0"]
    assert after[: len(first_task)] == first_task
    assert all(int(row["agent_steps"]) > 5680 for row in after[len(first_task) :])
    assert int(after[-1]["agent_steps"]) >= 16_000 - 500  # An episode has at most 500 steps.
    config = json.loads((older / "unfinished" / "config.json").read_text())
    assert "evaluation" in config  # What the older version wrote stays as it was.


@pytest.mark.parametrize("engine", ["compiled", "torch"])
@pytest.mark.parametrize("task", [1, 2])
def test_what_it_learned_is_played_again(
    task: int, engine: Literal["compiled", "torch"], older: Path
) -> None:
    _, state = RunFolder.existing(older / "finished").saved(Arm.PATHNET)
    result = TaskResult.from_state(state["results"][task - 1])
    out = io.StringIO()
    options = replay.Options(older / "finished", task=task, episodes=3, engine=engine)
    replay.replay(options, terminal(out))
    assert f"{result.finished.name}: mean" in out.getvalue()


def test_its_grid_is_drawn(older: Path) -> None:
    file = picture.draw(picture.Options(older / "finished"))
    assert file.read_bytes().startswith(b"\x89PNG")
