"""Seeds as tasks on a ray cluster: the same results, the same errors, and nothing that goes on alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from launch.presets import SUPERVISED_PRESETS
from pathnet_rl.arms import Arm
from pathnet_rl.errors import UserError
from pathnet_rl.supervised.jobs import Job, do
from tests.small_experiment import ENDLESS, JOBS, QUICK, SEQUENCE, small_experiment, write_digits
from tests.support import ROOT
from workers.ray_seeds import do_on_cluster
from workers.ray_tasks import as_they_end


def test_a_cluster_gives_the_same_results_as_this_process(
    ray_cluster: None, tmp_path: Path
) -> None:
    given = small_experiment(write_digits(tmp_path))
    expected = {job: do(given, job).results for job in JOBS}
    assert {done.job: done.results for done in do_on_cluster(given, JOBS)} == expected


def test_an_error_of_a_task_is_one_line_that_names_the_node(
    ray_cluster: None, tmp_path: Path
) -> None:
    given = small_experiment(tmp_path / "nowhere.npz")
    with pytest.raises(UserError, match=r"^on \S+: there is no .*nowhere\.npz") as refused:
        next(do_on_cluster(given, JOBS))
    assert "\n" not in str(refused.value)


def wait_until_all_cpus_are_free(free: bool = True) -> None:
    """Ray's account of what is taken comes a little late."""
    until = time.monotonic() + 120
    while (ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"]) is not free:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_job_that_is_left_does_not_go_on_alone(ray_cluster: None, tmp_path: Path) -> None:
    given = small_experiment(write_digits(tmp_path))
    wait_until_all_cpus_are_free()
    with contextlib.closing(do_on_cluster(given, [QUICK, ENDLESS])) as crew:
        assert next(crew).job == QUICK
        wait_until_all_cpus_are_free(False)
    wait_until_all_cpus_are_free()


def takes_no_notice_of_the_first() -> None:
    """As libraries do that are just being loaded."""
    with contextlib.suppress(KeyboardInterrupt):
        time.sleep(1000.0)
    while True:
        time.sleep(0.1)


def test_a_task_that_takes_no_notice_is_cancelled_again(ray_cluster: None) -> None:
    wait_until_all_cpus_are_free()
    with contextlib.closing(as_they_end(takes_no_notice_of_the_first, [()], None)) as tasks:
        next(tasks)
        wait_until_all_cpus_are_free(False)
        time.sleep(2.0)
    wait_until_all_cpus_are_free()


@pytest.mark.long
def test_an_interruption_on_a_cluster_keeps_finished_seeds(tmp_path: Path) -> None:
    digits = write_digits(tmp_path)
    evolution = SUPERVISED_PRESETS["mnist"][1].evolution.model_copy(update={"population": 4})
    given = small_experiment(digits, generations=30).model_copy(update={"evolution": evolution})
    command = [
        sys.executable, "-m", "launch.supervised", "mnist", "--data", str(digits),
        "--folder", str(tmp_path), "--seeds", "4000", "--together", "1", "--arms", "pathnet",
        "--sequences", SEQUENCE, "--grid.units", "4", "--evolution.population", "4",
        "--learning.minibatches", "5", "--learning.generations", "30", "--learning.threshold", "None",
    ]  # fmt: skip
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        cluster.add_node(num_cpus=1)
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True, env={**os.environ, "RAY_ADDRESS": cluster.address},
        )  # fmt: skip
        file = tmp_path / "mnist" / "results" / "0-1_to_1-2" / "pathnet.jsonl"
        until = time.monotonic() + 120
        while not file.exists() and time.monotonic() < until:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        cluster.shutdown()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "Stopped; finished seeds are kept" in output
    kept = [json.loads(line) for line in file.read_text().splitlines()]
    assert 0 < len(kept) < 4000
    (here,) = do(given, Job(SEQUENCE, Arm.PATHNET, (kept[0]["seed"],))).results
    assert kept[0] == {**asdict(here), "run": kept[0]["run"]}
