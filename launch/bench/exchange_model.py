"""A model of exchanges: what one server sustains, and which of its CPU, a link or the interval limits.

Pathways are random, as in a new population: N genes a layer, each of M modules with the same probability. An
evolved population shares modules, changes fewer rows and exchanges less. Times are in seconds, sizes in
bytes; "numbers" count a parameter and its mean square as one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq, nnls

LINK_SHARE = 0.94
"""Of an Ethernet's bits that are content: frames of 1,500 bytes, with headers of TCP, IP and Ethernet."""
Limit = Literal["interval", "server's CPU", "server's link", "node's link", "courier's CPU"]
INTERVAL: Limit = "interval"


@dataclass(frozen=True)
class Shape:
    """Of a grid: numbers in a module of each layer and in the head, M, and N."""

    module_sizes: tuple[int, ...]
    head_size: int
    modules: int
    width: int


@dataclass(frozen=True)
class Cluster:
    """Workers (all together), nodes, and pushes a second of a worker. Every worker has one pathway."""

    workers: int
    nodes: int
    rate: float

    @property
    def workers_per_node(self) -> float:
        return self.workers / self.nodes


@dataclass(frozen=True)
class Costs:
    """Measured: of one exchange.

    Attributes:
        constant, per_byte: CPU seconds of the server, for bytes up and down together.
        courier_constant, courier_per_byte: of the courier.
        bytes_per_number_up, bytes_per_number_down: more than 8 where rounded numbers are sent as they are.
        header: bytes of a frame without numbers.
    """

    constant: float
    per_byte: float
    courier_constant: float
    courier_per_byte: float
    bytes_per_number_up: float = 8.0
    bytes_per_number_down: float = 8.0
    header: float = 0.0


def active_pathways(workers: float, rate: float, interval: float) -> float:
    """How many pathways are pushed in an interval: workers push in turn, each its own."""
    return workers * min(1.0, rate * interval)


def changed_numbers(shape: Shape, pathways: float) -> float:
    """The expected numbers in rows that so many random pathways push.

    A module is left alone by one pathway with the probability (1 - 1/M)^N, by several with its power.
    """
    untouched: float = (1.0 - 1.0 / shape.modules) ** (shape.width * pathways)
    of_modules = shape.modules * (1.0 - untouched) * sum(shape.module_sizes)
    return of_modules + min(1.0, pathways) * shape.head_size


def exchanged_bytes(
    shape: Shape, cluster: Cluster, costs: Costs, interval: float
) -> tuple[float, float]:
    """Bytes up and down of an exchange: rows that the node changed, and those that others did."""
    own = active_pathways(cluster.workers_per_node, cluster.rate, interval)
    others = active_pathways(cluster.workers - cluster.workers_per_node, cluster.rate, interval)
    up = costs.header + costs.bytes_per_number_up * changed_numbers(shape, own)
    down = costs.header + costs.bytes_per_number_down * changed_numbers(shape, others)
    return up, down


def server_seconds(costs: Costs, size: float) -> float:
    """The server's CPU for an exchange of so many bytes, up and down together."""
    return costs.constant + costs.per_byte * size


def courier_seconds(costs: Costs, size: float) -> float:
    """The courier's CPU for it."""
    return costs.courier_constant + costs.courier_per_byte * size


@dataclass(frozen=True)
class Prediction:
    """What one server does for a cluster.

    Attributes:
        interval: between two exchanges of a node, the one asked or the shortest that can be had.
        limit: why it is not shorter.
        server_cpu: share of one core. server_bits, node_bits: a second, in the direction that has more.
        courier_cpu: share of one core, of a node. staleness: pushes of others between two exchanges.
    """

    interval: float
    limit: Limit
    server_cpu: float
    server_bits: float
    node_bits: float
    courier_cpu: float
    staleness: float


def predict(
    shape: Shape, cluster: Cluster, costs: Costs, asked: float, server_link: float, node_link: float
) -> Prediction:
    """The interval that one server sustains if so long a one is asked, and what follows from it.

    Args:
        server_link, node_link: bits a second, each direction.
    """

    def needed(interval: float) -> dict[Limit, float]:
        up, down = exchanged_bytes(shape, cluster, costs, interval)
        bits = 8.0 * max(up, down) / LINK_SHARE
        return {
            "server's CPU": cluster.nodes * server_seconds(costs, up + down),
            "server's link": cluster.nodes * bits / server_link,
            "node's link": bits / node_link,
            "courier's CPU": courier_seconds(costs, up + down),
        }

    def spare(interval: float) -> float:
        return interval - max(needed(interval).values())

    interval, limit = asked, INTERVAL
    if spare(asked) < 0.0:
        longer = 2.0 * asked
        while spare(longer) < 0.0:
            longer *= 2.0
        interval = brentq(spare, asked, longer)
        times = needed(interval)
        limit = max(times, key=lambda name: times[name])
    up, down = exchanged_bytes(shape, cluster, costs, interval)
    bits = 8.0 * max(up, down) / LINK_SHARE / interval
    others = cluster.workers - cluster.workers_per_node
    return Prediction(
        interval,
        limit,
        cluster.nodes * server_seconds(costs, up + down) / interval,
        cluster.nodes * bits,
        bits,
        courier_seconds(costs, up + down) / interval,
        others * cluster.rate * interval,
    )


def fit(sizes: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """The c0 and c1 >= 0 for which c0 + c1 size is nearest to the measured seconds, by relative error."""
    weights = 1.0 / np.asarray(seconds)
    rows = np.stack([np.ones(len(sizes)), np.asarray(sizes)], axis=1) * weights[:, None]
    # Of like size, for the solver's tolerance.
    scale = np.abs(rows).max(axis=0)
    found, _ = nnls(rows / scale, np.ones(len(sizes)))
    constant, per_byte = (found / scale).tolist()
    return constant, per_byte


def shards_needed(
    costs: Costs, size: float, nodes: int, delay: float, largest_row: float
) -> int | None:
    """Servers that hold a share of the rows each, for all nodes to exchange with all of them once a delay.

    Each takes its share of the bytes of every node's exchange, and all of what does not depend on them.

    Args:
        largest_row: its share of all numbers; a row is not divided.

    Returns:
        None if no number of shards is enough.
    """
    left = delay - nodes * costs.constant
    if left <= 0.0 or nodes * costs.per_byte * size * largest_row > left:
        return None
    return max(1, math.ceil(nodes * costs.per_byte * size / left))


def tree_servers_needed(costs: Costs, size: float, nodes: int, delay: float) -> int | None:
    """Servers of a tree of two levels: some exchange with a share of the nodes each, and with the root.

    A number passes both levels, so each has half the delay. A server of the lower level is a courier too.

    Returns:
        1 if one server alone is enough, None if two levels are not.
    """
    if nodes * server_seconds(costs, size) <= delay:
        return 1
    half = delay / 2
    lower = math.floor((half - courier_seconds(costs, size)) / server_seconds(costs, size))
    upper = math.floor(half / server_seconds(costs, size))
    if lower < 1 or math.ceil(nodes / lower) > upper:
        return None
    return 1 + math.ceil(nodes / lower)


@dataclass(frozen=True)
class Bill:
    """What a run uses: CPU hours by what they go to, bytes between nodes."""

    worker_hours: float
    courier_hours: float
    server_hours: float
    bytes: float


def bill(shape: Shape, cluster: Cluster, costs: Costs, interval: float, pushes: float) -> Bill:
    """Of so many pushes in all, by workers that have a core each."""
    seconds = pushes / (cluster.workers * cluster.rate)
    size = sum(exchanged_bytes(shape, cluster, costs, interval))
    exchanges = cluster.nodes * seconds / interval
    return Bill(
        cluster.workers * seconds / 3600,
        exchanges * courier_seconds(costs, size) / 3600,
        exchanges * server_seconds(costs, size) / 3600,
        exchanges * size,
    )
