"""Two nodes of a ray cluster on one machine, to measure what a worker on another node costs."""

from __future__ import annotations

import os

from ray.cluster_utils import Cluster


def start_two_nodes(workers: int) -> None:
    """A cluster of a head without CPUs and a node for the workers; RAY_ADDRESS names it from now on."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    cluster.add_node(num_cpus=workers)
    os.environ["RAY_ADDRESS"] = cluster.address
