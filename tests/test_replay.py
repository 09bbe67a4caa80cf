"""Playing a finished task again from its run folder."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from launch.display import terminal
from launch.replay import Options, replay
from pathnet_rl.arms import Arm
from pathnet_rl.errors import UserError
from pathnet_rl.seeds import Owner, environment_seed, seed_sequence
from pathnet_rl.telemetry import TaskResult
from tests.support import run_experiment, tiny_config


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[TaskResult]]:
    config = tiny_config(tmp_path_factory.mktemp("replay"), agent_steps=(2000,))
    return Path(config.folder) / config.name, run_experiment(config)[Arm.PATHNET]


@pytest.mark.parametrize("task", [1, 2])
def test_the_run_is_played_again_as_it_was(
    task: int, finished: tuple[Path, list[TaskResult]]
) -> None:
    folder, results = finished
    seed = environment_seed(seed_sequence(0, Arm.PATHNET, Owner.REPLAY, task - 1))
    out = io.StringIO()
    options = Options(folder, task=task, episodes=3, most_steps=200, seed=seed)
    replay(options, terminal(out))
    said = re.findall(r"episode \d: return ([\d.]+)", out.getvalue())
    assert tuple(map(float, said)) == results[task - 1].after_task.returns


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": 3}, "task 3 is not finished in that arm; finished: 1, 2"),
        ({"arm": Arm.FINE_TUNE}, "no checkpoint of the arm fine-tune"),
        ({"run": Path("nowhere")}, "nowhere is no run folder"),
    ],
)
def test_what_is_not_there_is_answered_in_one_line(
    change: dict[str, object], message: str, finished: tuple[Path, list[TaskResult]]
) -> None:
    with pytest.raises(UserError, match=message) as refused:
        replay(Options(**{"run": finished[0], **change}), terminal(io.StringIO()))  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)
