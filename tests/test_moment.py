"""A checkpoint is one moment: what it says was played is in its rows, to the episode, whenever it is killed.

In this task every episode lasts ten agent steps, so each rollout of twenty has two an environment: a
checkpoint at n agent steps has n / 10 rows before it, or something was read at another moment than the rest.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launch import train
from pathnet_rl import checkpoint
from pathnet_rl.arms import Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.grid import build_grid
from pathnet_rl.run_folder import RunFolder
from tests.support import TapeDisplay, read_rows, run_command, run_experiment, tiny_config
from tests.test_run_twice import start, wait_until
from workers.ray_crew import RayCrew

TASK = "tests.misbehaving:tests/Behaving-v0"
EPISODE = 10
STEPS = 60_000


def check_moment(returns: bytes, state: dict[str, Any]) -> None:
    """The rows before a checkpoint are the episodes of its agent steps, and its fitness is of those."""
    header, *rows = returns[: state["hub"]["returns_bytes"]].decode().splitlines()
    assert header == "task,arm,agent_steps,episode_return,length"
    mine = [row for row in rows if row.startswith(f"{state['store']['task']},")]
    assert len(mine) * EPISODE == state["store"]["agent_steps"]
    assert state["coordinator"]["evaluations"] * 2 <= len(mine)


def options(folder: Path) -> tuple[str, ...]:
    return (
        "cartpole", "--workers", "2", "--name", "moment", "--folder", str(folder), "--tasks", TASK,
        "--agent-steps", str(STEPS), "--arms", "pathnet", "--learning.rollout-steps", "20",
        "--evolution.episodes", "2", "--report-seconds", "0.3", "--checkpoint-seconds", "0.5",
        "--checkpoints-kept", "1000",
    )  # fmt: skip


def moment_config(folder: Path, **changes: Any) -> RunConfig:
    learning = tiny_config(folder).learning.model_copy(update={"rollout_steps": 20})
    fields = {
        "tasks": (TASK,),
        "agent_steps": (30_000,),
        "report_seconds": 0.1,
        "learning": learning,
    }
    return tiny_config(folder, **{**fields, **changes})


def crew_of_two(config: RunConfig) -> Callable[[Arm], RayCrew]:
    return lambda arm: RayCrew(config, arm, build_grid(config), workers=2)


def test_no_episode_is_missing_or_twice_whenever_the_driver_is_killed(tmp_path: Path) -> None:
    moments = random.Random(0)
    arguments = options(tmp_path)
    folder = RunFolder(train.read(arguments))

    def saved() -> int:
        latest = folder.latest_state(Arm.PATHNET)
        return 0 if latest is None else int(latest["store"]["agent_steps"])

    for _ in range(2):
        process, before = start(*arguments), saved()
        wait_until(process, lambda before=before: saved() > before)  # type: ignore[misc]
        time.sleep(moments.uniform(0.0, 1.0))
        process.kill()
        process.communicate()
        latest = folder.latest_state(Arm.PATHNET)
        assert latest is not None
        check_moment(folder.returns.read_bytes(), latest)
    finished = run_command(*arguments)
    assert finished.returncode == 0, finished.stderr
    rows = read_rows(folder.returns)
    latest = folder.latest_state(Arm.PATHNET)
    assert latest is not None
    assert len(rows) * EPISODE == latest["store"]["agent_steps"] >= STEPS
    # Those that were taken between kills as well: what is cut off and written again has the same length.
    moments_saved = checkpoint.list_checkpoints(folder.checkpoints(Arm.PATHNET))
    assert len(moments_saved) > 4
    for path in moments_saved:
        check_moment(folder.returns.read_bytes(), checkpoint.load_state(path))


@pytest.mark.usefixtures("ray_cluster")
def test_a_checkpoint_waits_for_a_worker_and_is_put_off_if_it_does_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pathnet_rl.transfer.REST_SECONDS", 3.0)
    config = moment_config(tmp_path, checkpoint_seconds=0.2)
    display, make = TapeDisplay(), crew_of_two(config)
    crews: list[RayCrew] = []
    victim: list[int] = []

    def make_crew(arm: Arm) -> RayCrew:
        crews.append(make(arm))
        return crews[-1]

    def look() -> bool:
        """Stops a worker once there is a checkpoint; lets it go on when one has been put off."""
        if not victim and len(list(RunFolder(config).checkpoints(Arm.PATHNET).iterdir())) > 1:
            victim.append(crews[-1]._staff.processes[1])
            os.kill(victim[0], signal.SIGSTOP)
        elif victim and any("worker 1 on" in note for note in display.notes):
            os.kill(victim[0], signal.SIGCONT)
        return False

    run_experiment(config, make_crew, look, display)
    (put_off, *_) = [note for note in display.notes if "worker 1 on" in note]
    assert put_off.startswith("a checkpoint is put off: ")
    assert put_off.endswith("seconds")
    assert " did not come to the end of a rollout in " in put_off
    folder = RunFolder(config)
    saved = checkpoint.list_checkpoints(folder.checkpoints(Arm.PATHNET))
    steps = [checkpoint.load_state(path)["store"]["agent_steps"] for path in saved]
    assert len(set(steps)) > 3
    for path in saved:
        check_moment(folder.returns.read_bytes(), checkpoint.load_state(path))


@pytest.mark.usefixtures("ray_cluster")
def test_an_error_of_one_worker_is_saved_with_what_all_have_told(tmp_path: Path) -> None:
    """The worker that failed tells what it did; the others rest meanwhile."""
    config = moment_config(tmp_path, tasks=("tests.misbehaving:tests/CannotBeginAgain-v0",))
    display = TapeDisplay()
    with pytest.raises(UserError, match="no licence is left"):
        run_experiment(config, crew_of_two(config), display=display)
    folder = RunFolder(config)
    latest = folder.latest_state(Arm.PATHNET)
    assert latest is not None
    check_moment(folder.returns.read_bytes(), latest)
    assert latest["store"]["agent_steps"] >= 250 * EPISODE
