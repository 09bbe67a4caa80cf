"""Three machines, a token, a job: one machine is lost, one comes, and the job is submitted again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bucket import wait_for
from tests.machines import Machine, Machines, machines
from tests.support import ROOT, last_moment, read_rows
from tests.test_submit import submitted

PATIENCE = 280.0
RUN = (
    "launch.submit", "launch.train", "cartpole", "--name", "job", "--arms", "pathnet",
    "--agent-steps", "1000000000", "--report-seconds", "1", "--checkpoint-seconds", "5",
)  # fmt: skip


@pytest.fixture
def three() -> Iterator[Machines]:
    with machines("a-token-of-these-tests-0123456789abcdef") as made:
        for _ in range(3):
            made.start(cpus=1)
        wait_for(lambda: call(made, "launch.jobs", "list").returncode == 0, PATIENCE)
        yield made


def call(
    there: Machines, *command: str, on: Machine | None = None, folder: str = ""
) -> subprocess.CompletedProcess[str]:
    """A command line of this project, here or on one of the machines."""
    return subprocess.run(
        [*(on.prefix if on else ()), sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **there.known, "PATHNET_RL_FOLDER": folder},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def follow(there: Machines, job: str) -> subprocess.Popen[str]:
    """What a job prints, as it does."""
    return subprocess.Popen(
        [sys.executable, "-m", "launch.jobs", "follow", job],
        cwd=ROOT, env={**os.environ, **there.known}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_job_on_three_machines_outlives_one_of_them(three: Machines, tmp_path: Path) -> None:
    job = submitted(call(three, *RUN, folder=str(tmp_path)))
    follower = follow(three, job)
    said: list[str] = []

    def hear(pattern: str) -> None:
        assert follower.stdout is not None
        for line in follower.stdout:
            said.append(line)
            if re.search(pattern, line):
                return
        raise AssertionError(f"nobody said {pattern!r} but {''.join(said)}")

    _, second, third = three.started
    for _ in range(2):
        hear(r"a node has come: \S+, with 1 worker")
    second.kill()
    lost = time.monotonic()
    hear(rf"node {second.address} is gone; 2 other workers take over its pathways")
    assert time.monotonic() - lost < 30.0
    fourth = three.start(cpus=1)
    hear(rf"a node has come: {fourth.address}, with 1 worker")
    stopped = call(three, "launch.jobs", "stop", job)
    assert f"{job}: STOPPED" in stopped.stdout, stopped
    hear(r"Stopped and saved.")
    follower.wait()
    saved = last_moment(tmp_path / "job")[1]["store"]["agent_steps"]
    played = sum(int(row["length"]) for row in read_rows(tmp_path / "job" / "returns.csv"))
    # Lost are what the node had not told, and on all nodes episodes under way.
    assert 0.6 * saved < played < saved + 20_000

    again = submitted(call(three, *RUN, on=third, folder=str(tmp_path)))
    follower = follow(three, again)
    hear(rf"going on from {saved:,} agent steps")
    assert f"{again}: STOPPED" in call(three, "launch.jobs", "stop", again, on=third).stdout
    hear(r"Stopped and saved.")
    follower.wait()
