"""The same on ray, as most people run it: the driver dies, its actors with it, and nothing is lost."""

from __future__ import annotations

import time
from pathlib import Path

from pathnet_rl.arms import Arm
from pathnet_rl.run_folder import RunFolder
from tests.events import read_steps
from tests.support import read_rows, run_command
from tests.test_run_twice import going_on, start, wait_until

STEPS = 60_000


def test_a_killed_driver_is_followed_by_one_that_goes_on(tmp_path: Path) -> None:
    arguments = (
        "cartpole", "--workers", "2", "--name", "twice", "--folder", str(tmp_path),
        "--tasks", "CartPole-v1", "--agent-steps", str(STEPS), "--arms", "pathnet",
        "--report-seconds", "0.5", "--checkpoint-seconds", "1",
    )  # fmt: skip
    path = tmp_path / "twice"
    process = start(*arguments)
    wait_until(process, lambda: any(path.glob("checkpoints/pathnet/*/state.json")))
    folder = RunFolder.existing(path)
    time.sleep(0.5)
    process.kill()
    process.communicate()
    latest = folder.latest(Arm.PATHNET)
    assert latest is not None
    saved = latest[1]["store"]["agent_steps"]

    finished = run_command(*arguments)
    assert finished.returncode == 0, finished.stderr
    assert going_on(finished.stdout) == [(f"{saved:,}", "1")]
    rows = read_rows(folder.returns)
    steps = [int(row["agent_steps"]) for row in rows]
    # Workers tell their episodes in turn, each up to a second late, so the order is not strict.
    assert sum(int(row["length"]) for row in rows) <= max(steps), "episodes are there twice"
    assert max(steps) > STEPS * 0.9
    for tag, points in read_steps(folder.events(Arm.PATHNET, 0)).items():
        assert points == sorted(set(points)), tag
        assert points[-1] >= STEPS
