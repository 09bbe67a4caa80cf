"""Several nodes of a ray cluster on one machine, to measure what it costs to work on all of them."""

from __future__ import annotations

from ray.cluster_utils import Cluster


def start_nodes(nodes: int, cpus: int = 1) -> Cluster:
    """A cluster of so many nodes of so many CPUs each; `address` is for RAY_ADDRESS, `shutdown` ends it."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": cpus, "include_dashboard": False}
    )
    for _ in range(nodes - 1):
        cluster.add_node(num_cpus=cpus)
    return cluster
