"""The crew on ray: several workers, one that is killed, and what may not be asked of it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import ray

from launch.train import build_grid
from pathnet_rl.arms import Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.run_folder import RunFolder
from tests.support import read_rows, run_experiment, tiny_config
from workers.ray_crew import RayCrew, WorkerActor

pytestmark = pytest.mark.usefixtures("ray_cluster")


def crew_of_two(config: RunConfig, arm: Arm = Arm.PATHNET) -> RayCrew:
    return RayCrew(config, arm, build_grid(config), workers=2)


def pids(crew: RayCrew) -> list[int]:
    """Process ids of the workers, while they wait for work."""

    def pid(worker: WorkerActor) -> int:
        return os.getpid()

    return ray.get([worker.__ray_call__.remote(pid) for worker in crew._workers])


def test_two_workers_share_the_population_and_finish_every_task(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, agent_steps=(6000,), report_seconds=0.5)
    results = run_experiment(config, lambda arm: crew_of_two(config, arm))[Arm.PATHNET]
    assert [result.finished.task for result in results] == [0, 1]
    for result in results:
        # Each worker ends its rollout of 16 agent steps, and then sees that the task is over.
        assert 6000 <= result.finished.agent_steps <= 6000 + 16
        assert result.forgetting == 0.0
    latest = RunFolder(config).latest(Arm.PATHNET)
    assert latest is not None
    assert latest[1]["coordinator"]["evaluations"] > 4
    rows = read_rows(RunFolder(config).returns)
    for task in ("0", "1"):
        lengths = [int(row["length"]) for row in rows if row["task"] == task]
        assert 0.7 * 6000 < sum(lengths) <= 6016


def test_a_killed_worker_is_started_again_and_the_task_finished(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, tasks=("CartPole-v1",), agent_steps=(60_000,))
    RunFolder(config).open()
    crew = crew_of_two(config)
    try:
        crew.server.begin_first_task(0)
        crew.hub.begin_task(0, 0)
        victim = pids(crew)[1]
        crew.start()
        while crew.store.agent_steps < 2000:
            assert not crew.wait(0.05)
        os.kill(victim, signal.SIGKILL)
        before = [int(count) for count in crew.store._counters[1, :2]]
        deadline = time.monotonic() + 60
        while crew.restarts == 0:
            assert not crew.wait(0.05), "the task ended before the death was noticed"
            assert time.monotonic() < deadline
        while not crew.wait(0.5):
            assert time.monotonic() < deadline
        assert crew.restarts == 1
        assert crew.store.over
        after = [int(count) for count in crew.store._counters[1, :2]]
        assert after[0] > before[0]
        assert after[1] > before[1], "the worker that was started again did nothing"
        assert crew.coordinator.chosen()[1] > 0
    finally:
        crew.close()


def test_a_worker_killed_between_tasks_is_there_for_the_next(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, agent_steps=(2000,))
    RunFolder(config).open()
    crew = crew_of_two(config)
    try:
        crew.server.begin_first_task(0)
        crew.hub.begin_task(0, 0)
        crew.start()
        while not crew.wait(0.5):
            pass
        os.kill(pids(crew)[0], signal.SIGKILL)
        crew.server.begin_next_task(1, crew.coordinator.chosen()[0].active)
        crew.coordinator.begin_task()
        crew.hub.begin_task(1, 0)
        crew.start()
        deadline = time.monotonic() + 60
        while not crew.wait(0.5):
            assert time.monotonic() < deadline
        assert crew.store.over
    finally:
        crew.close()


def test_an_error_of_a_role_is_the_same_one_line_as_in_this_process(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    RunFolder(config).open()
    crew = crew_of_two(config)
    try:
        tensors, header = crew.server.state()
        with pytest.raises(UserError, match="another layout") as refused:
            crew.server.load_state(tensors, {**header, "layout_version": 99})
        assert "\n" not in str(refused.value)
        with pytest.raises(UserError, match="more agent_steps") as refused:
            crew.coordinator.chosen()
        assert "\n" not in str(refused.value)
    finally:
        crew.close()


def test_nothing_is_left_in_shared_memory(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    RunFolder(config).open()
    crew = crew_of_two(config)
    assert crew.store.path.exists()
    crew.close()
    assert not crew.store.path.exists()
