"""A cluster of two nodes with one CPU each: the second worker has no block to map and calls the server."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from tests.support import read_rows, run_command


def test_a_worker_on_another_node_learns_through_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        cluster.add_node(num_cpus=1)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        finished = run_command(
            "cartpole", "--folder", str(tmp_path), "--name", "two", "--workers", "2",
            "--agent-steps", "4000", "--arms", "pathnet",
        )  # fmt: skip
    finally:
        cluster.shutdown()
    assert finished.returncode == 0, finished.stderr
    rows = read_rows(tmp_path / "two" / "returns.csv")
    for task in ("0", "1"):
        played = sum(int(row["length"]) for row in rows if row["task"] == task)
        assert 0.7 * 4000 < played <= 4000 + 2 * 80
