"""Several nodes of a ray cluster on one machine, to measure what it costs to work on all of them."""

from __future__ import annotations

import os

from ray.cluster_utils import Cluster


def start_nodes(nodes: int) -> None:
    """A cluster of so many nodes of one CPU each; RAY_ADDRESS names it from now on."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    for _ in range(nodes - 1):
        cluster.add_node(num_cpus=1)
    os.environ["RAY_ADDRESS"] = cluster.address
