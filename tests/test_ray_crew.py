"""The crew on ray: several workers, one that is killed, and errors that come from other processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pathnet_rl.arms import Arm
from pathnet_rl.errors import UserError
from pathnet_rl.grid import build_grid
from pathnet_rl.lineages import Solved
from pathnet_rl.run_folder import RunFolder
from tests.support import read_rows, run_experiment, tiny_config
from workers.ray_cluster import connect
from workers.ray_crew import RayCrew

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_two_workers_share_the_population_and_finish_every_task(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, agent_steps=(6000,), report_seconds=0.5)

    def crew_of_two(arm: Arm) -> RayCrew:
        return RayCrew(config, arm, build_grid(config), workers=2)

    results = run_experiment(config, crew_of_two)[Arm.PATHNET]
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


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "there is no ray cluster at RAY_ADDRESS=127.0.0.1:1"),
        ("ray://127.0.0.1:1", "not the host:port of a ray head"),
        ("garbage", "not the host:port of a ray head"),
    ],
)
def test_an_address_without_a_cluster_is_answered_at_once(
    address: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=message):
        connect(tiny_config(tmp_path))


@pytest.fixture(scope="module")
def crew(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCrew]:
    """One worker, at the beginning of the first of two tasks."""
    config = tiny_config(tmp_path_factory.mktemp("ray"), agent_steps=(20_000, 2000))
    RunFolder(config).open()
    made = RayCrew(config, Arm.PATHNET, build_grid(config), workers=1)
    made.server.begin_first_task(0)
    made.hub.begin_task(0, 0)
    yield made
    made.close()
    assert not made.store.path.exists(), "something was left in shared memory"


def finish(crew: RayCrew) -> None:
    deadline = time.monotonic() + 90
    while not crew.wait(0.5):
        assert time.monotonic() < deadline


def test_an_error_of_a_role_is_the_same_one_line_as_in_this_process(crew: RayCrew) -> None:
    tensors, header = crew.server.state()
    with pytest.raises(UserError, match=r"^the checkpoint is of another layout") as refused:
        crew.server.load_state(tensors, {**header, "layout_version": 99})
    assert "\n" not in str(refused.value)
    with pytest.raises(UserError, match=r"^the task is over: no pathway") as refused:
        crew.coordinator.finalists(1)
    assert "\n" not in str(refused.value)


def test_a_killed_worker_is_started_again_once_and_the_task_finished(crew: RayCrew) -> None:
    crew.start()
    while crew.store.agent_steps < 2000:
        assert not crew.wait(0.05)
    (victim,) = crew._staff.processes.values()
    os.kill(victim, signal.SIGKILL)
    died_at = crew.store.agent_steps
    finish(crew)
    assert crew.store.over
    assert crew.store.agent_steps > died_at
    ((_, fitness),) = crew.coordinator.finalists(1)
    assert fitness > 0
    assert crew._staff.processes[0] != victim
    assert crew.restarts == 1
    (note,) = [note for note in crew.notes() if not note.startswith("waiting for ")]
    assert note.startswith("worker 0 on ")
    assert note.endswith(" died and was started again")


def test_a_worker_killed_between_tasks_is_there_for_the_next(crew: RayCrew) -> None:
    os.kill(crew._staff.processes[0], signal.SIGKILL)
    ((best, _),) = crew.coordinator.finalists(1)
    path = best.genotype.active
    crew.server.begin_next_task(1, path)
    crew.coordinator.begin_task([Solved(path, best.always, ())], (), crew.store.budget)
    crew.hub.begin_task(1, 0)
    assert not crew.store.over
    crew.start()
    finish(crew)
    assert crew.store.agent_steps >= crew.store.budget
    assert crew.store.task == 1
