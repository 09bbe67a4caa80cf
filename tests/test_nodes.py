"""Clusters of several nodes, one CPU each: the same bits on another node, and nodes that come and go."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
import torch
from ray.cluster_utils import Cluster
from ray.exceptions import ActorUnavailableError

from pathnet_rl.arms import Arm
from pathnet_rl.block_files import COURIER_SUFFIX, blocks_of, remove_block
from pathnet_rl.grid import build_grid
from pathnet_rl.row_locks import in_use
from pathnet_rl.run_folder import RunFolder
from tests.events import read_scalars
from tests.support import ROOT, command, last_moment, read_rows, run_command, tiny_config
from workers import ray_nodes
from workers.ray_nodes import Node, Nodes

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Cluster]]:
    """Makes a cluster whose head, the driver's node, has so many CPUs; RAY_ADDRESS names it."""
    made: list[Cluster] = []

    def make(cpus: int) -> Cluster:
        head = {"num_cpus": cpus, "include_dashboard": False}
        made.append(Cluster(initialize_head=True, head_node_args=head))
        monkeypatch.setenv("RAY_ADDRESS", made[0].address)
        return made[0]

    yield make
    for one in made:
        one.shutdown()
    # Of a node whose processes are killed something stays, until the next run comes by.
    for run in tmp_path.iterdir():
        for left in blocks_of(RunFolder.existing(run).config, Arm.PATHNET):
            assert not in_use(left)
            assert left.with_suffix(COURIER_SUFFIX).exists()
            remove_block(left)


@pytest.mark.parametrize("duplication_rate", ["0.0", "0.5"])
def test_one_worker_on_another_node_gives_the_serial_twins_run(
    duplication_rate: str, cluster: Callable[[int], Cluster], tmp_path: Path
) -> None:
    """Two tasks with a boundary: numbers, population, generator, results, all of it."""
    cluster(0).add_node(num_cpus=1)
    arguments = (
        "cartpole", "--folder", str(tmp_path), "--agent-steps", "6000", "--arms", "pathnet",
        "--evolution.population", "4", "--evolution.episodes", "2",
        "--evolution.duplication-rate", duplication_rate,
    )  # fmt: skip
    elsewhere = run_command(
        *arguments, "--name", "elsewhere", "--workers", "1", "--exchange-seconds", "0.001"
    )
    assert elsewhere.returncode == 0, elsewhere.stderr
    serial = run_command(*arguments, "--name", "serial", "--serial")
    assert serial.returncode == 0, serial.stderr
    found, wanted = (last_moment(tmp_path / name) for name in ("elsewhere", "serial"))
    for block in ("parameters", "squares"):
        assert torch.equal(found[0][block], wanted[0][block])
    del (
        found[1]["hub"],
        wanted[1]["hub"],
    )  # The length of a file whose rows say when they were told.
    assert found[1] == wanted[1]
    assert wanted[1]["coordinator"]["overwrites"] > 0
    duplication = wanted[1]["coordinator"]["duplication"]
    assert duplication is None if duplication_rate == "0.0" else duplication["copied"]
    events = tmp_path / "elsewhere" / "tensorboard" / "pathnet" / "1-CartPole"
    tags = read_scalars(events)
    assert tags["exchange/milliseconds"][-1] > 0.0
    assert set(tags["exchange/staleness"]) == {0.0}, "there is nobody else"


def wait_for(process: subprocess.Popen[str], pattern: str, seconds: float = 60.0) -> str:
    """The next line that says so."""
    assert process.stdout is not None
    read = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        line = process.stdout.readline()
        read.append(line)
        if re.search(pattern, line):
            return line
        if not line and process.poll() is not None:
            break
    raise AssertionError(f"nobody said {pattern!r} but {''.join(read)}")


@pytest.mark.long
def test_a_node_that_is_lost_and_one_that_comes(
    cluster: Callable[[int], Cluster], tmp_path: Path
) -> None:
    three = cluster(1)
    lost = three.add_node(num_cpus=1)
    process = subprocess.Popen(
        command(
            "cartpole", "--folder", str(tmp_path), "--name", "run", "--arms", "pathnet",
            "--agent-steps", "800000", "50000", "--report-seconds", "0.5",
        ),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        wait_for(process, r"a node has come: .* with 1 worker")
        time.sleep(2.0)
        killed = time.monotonic()
        three.remove_node(lost, allow_graceful=False)
        wait_for(process, r"node .* is gone; 1 other worker takes over its pathways")
        assert time.monotonic() - killed < 30.0
        three.add_node(num_cpus=1)
        wait_for(process, r"a node has come: .* with 1 worker")
        output, _ = process.communicate(timeout=180)
    finally:
        process.kill()
    assert process.returncode == 0, output
    results = last_moment(tmp_path / "run")[1]["results"]
    rows = read_rows(tmp_path / "run" / "returns.csv")
    for task, budget in enumerate((800_000, 50_000)):
        done = results[task]["finished"]["agent_steps"]
        assert done >= budget
        played = sum(int(row["length"]) for row in rows if int(row["task"]) == task)
        assert 0.6 * budget < played <= done + 20_000


@pytest.mark.usefixtures("ray_cluster")
def test_a_courier_that_is_not_there_is_asked_again_at_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked again at once, a node that is dying would take all slots before ray knows of it."""
    config = tiny_config(tmp_path)
    nodes = Nodes(config, build_grid(config), tmp_path / "block", lambda: "nobody")
    other = Node("0" * 56, "192.0.2.1", 1, courier=Absent(), workers={1})  # type: ignore[arg-type]
    nodes.arrive(other)
    (reference,) = nodes.pending
    monkeypatch.setattr(ray_nodes, "answer", unavailable)
    assert nodes.hear(reference) is None
    assert nodes.pending == []
    assert not other.ready
    assert not nodes.arriving(other), "the next look lets it arrive"


class Absent:
    """A courier's handle; its process is gone."""

    def __getattr__(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(remote=ray.put)


def unavailable(reference: object) -> None:
    raise ActorUnavailableError("its process is gone", None)
