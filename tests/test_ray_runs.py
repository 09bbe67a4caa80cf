"""Members as tasks on a ray cluster: the same runs, errors by name, and stopping saves all that learn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from pathnet_rl.comparison.progress import read_progress
from tests.small_comparison import instructions, small_comparison
from tests.support import ROOT
from workers.one_run import Instructions, Outcome, learn
from workers.ray_runs import learn_on_cluster


def test_a_cluster_learns_what_one_process_does(ray_cluster: None, tmp_path: Path) -> None:
    here, there = small_comparison(tmp_path / "here"), small_comparison(tmp_path / "there")
    (mine,), (theirs,) = here.members(), there.members()
    assert learn(mine, instructions(here)).error is None
    ended = [o for some in learn_on_cluster([theirs], instructions(there), None) for o in some]
    assert [(o.member.path, o.error, o.stopped) for o in ended] == [(theirs.path, None, False)]
    assert (mine.path / "returns.csv").read_bytes() == (theirs.path / "returns.csv").read_bytes()
    assert theirs.finished()


def test_told_to_stop_those_that_learn_save_and_those_that_wait_begin_nothing(
    ray_cluster: None, tmp_path: Path
) -> None:
    given = small_comparison(tmp_path, agent_steps=10**9, seeds=3)
    members = list(given.members())
    ended: list[Outcome] = []
    for some in learn_on_cluster(members, instructions(given), None):
        ended += some
        if sum(read_progress(member.path)[0] > 0 for member in members) == 2:
            instructions(given).stop.touch()
    assert [outcome.stopped for outcome in ended] == [True] * 3
    learned = [member for member in members if member.path.exists()]
    assert len(learned) == 2
    for member in learned:
        saved = sorted(member.path.glob("checkpoints/pathnet/*"))
        assert "step-000000000000" not in saved[-1].name


def test_a_task_that_fails_is_an_error_of_its_member_and_the_others_go_on(
    ray_cluster: None, tmp_path: Path
) -> None:
    given = small_comparison(tmp_path, agent_steps=300, seeds=2)
    unforeseen, fine = given.members()
    object.__setattr__(unforeseen, "config", unforeseen.config.model_copy(update={"tasks": (1, 2)}))
    ended = [
        o for some in learn_on_cluster([unforeseen, fine], instructions(given), None) for o in some
    ]
    errors = {outcome.member.seed: outcome.error for outcome in ended}
    assert errors[1] is None
    assert errors[0] is not None
    assert errors[0].startswith("AttributeError: ")
    assert "\n" not in errors[0]


def test_a_folder_that_a_node_does_not_see_is_one_line(ray_cluster: None, tmp_path: Path) -> None:
    given = small_comparison(tmp_path)
    nowhere = Instructions("now", tmp_path / "nowhere" / ".stop")
    ended = [o for some in learn_on_cluster(list(given.members()), nowhere, None) for o in some]
    (error,) = [outcome.error for outcome in ended]
    assert error is not None
    assert error.endswith(
        f"there is no {nowhere.stop.parent}; give --folder as a path that all nodes share"
    )


@pytest.mark.long
def test_ctrl_c_on_a_cluster_saves_what_its_nodes_learn(tmp_path: Path) -> None:
    arguments = [
        "cartpole", "--folder", str(tmp_path), "--name", "cluster", "--seeds", "3", "--engine", "torch",
        "--arms", "independent", "--agent-steps", "100000000", "--checkpoint-seconds", "1000",
    ]  # fmt: skip
    command = [sys.executable, "-m", "launch.compare", *arguments]
    folder = tmp_path / "cluster" / "CartPole_to_CartPole" / "default"
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        cluster.add_node(num_cpus=1)
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True, env={**os.environ, "RAY_ADDRESS": cluster.address},
        )  # fmt: skip
        until = time.monotonic() + 120
        while sum(read_progress(path)[0] > 0 for path in folder.glob("seed-*")) < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        cluster.shutdown()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert f"To go on: python -m launch.compare {' '.join(arguments)}" in output
    begun = sorted(folder.glob("seed-*"))
    assert len(begun) == 2
    for path in begun:
        saved = sorted((path / "checkpoints" / "independent").iterdir())
        assert len(saved) == 2  # The beginning, and what Ctrl-C saved.
