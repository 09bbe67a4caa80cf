"""From measured exchanges to what the model says: fitted, compared, and applied to other clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from launch.bench.exchange_model import (
    Cluster,
    Costs,
    Shape,
    bill,
    courier_seconds,
    exchanged_bytes,
    fit,
    predict,
    server_seconds,
    shards_needed,
    tree_servers_needed,
)

LINKS = (10e9, 25e9)
"""Bits a second, of server and nodes."""
SIZES = (
    (64, 4), (256, 4), (256, 16), (1024, 16), (1024, 64), (4096, 64), (4096, 256),
)  # fmt: skip
"""Workers and nodes that predictions are made for."""
INTERVALS = (0.05, 0.2, 1.0)
DELAYS = (0.2, 1.0)
"""From a push until everybody has it, that more servers are counted for."""
MORE_NODES = (16, 32, 64, 128, 256, 512)
PUSHES = 4_000_000
"""Of the task of the preset `paper` that bills are made for: 80 million agent steps, 20 in each."""


def from_measured(
    shape: Shape, settings: Sequence[dict[str, Any]], fitted: int, rate: float
) -> dict[str, Any]:
    """What is derived of the medians of measured settings, the first of which are fitted."""
    costs = costs_of([row["median"] for row in settings[:fitted]])
    return {
        "costs": asdict(costs),
        "comparison": [
            {
                "fitted": number < fitted,
                "workers": row["workers"],
                "nodes": row["nodes"],
                "interval": row["interval"],
                **compare(shape, costs, row),
            }
            for number, row in enumerate(settings)
        ],
        "predictions": [
            {
                "workers": workers,
                "nodes": nodes,
                "link": link,
                "asked": interval,
                **asdict(
                    predict(shape, Cluster(workers, nodes, rate), costs, interval, link, link)
                ),
            }
            for link in LINKS
            for interval in INTERVALS
            for workers, nodes in SIZES
        ],
        "more_servers": more_servers(shape, costs, rate),
        "bills": [
            {
                "workers": workers,
                "nodes": nodes,
                "interval": interval,
                **asdict(bill(shape, Cluster(workers, nodes, rate), costs, interval, PUSHES)),
            }
            for workers, nodes in SIZES
            for interval in (
                predict(
                    shape, Cluster(workers, nodes, rate), costs, 0.2, LINKS[0], LINKS[0]
                ).interval,
            )
        ],
    }


def costs_of(medians: Sequence[dict[str, float]]) -> Costs:
    """The model's constants."""
    sizes = [found["bytes_up"] + found["bytes_down"] for found in medians]
    server = fit(sizes, [found["server_milliseconds"] / 1e3 for found in medians])
    courier = fit(sizes, [found["courier_milliseconds"] / 1e3 for found in medians])
    # The fixed part of a frame is small beside its numbers; that of the setting with the fewest shows it.
    up, down = (
        sum(found[f"bytes_{way}"] for found in medians)
        / sum(found[f"numbers_{way}"] for found in medians)
        for way in ("up", "down")
    )
    return Costs(*server, *courier, up, down)


def compare(shape: Shape, costs: Costs, row: dict[str, Any]) -> dict[str, float]:
    """Measured and modelled, at the interval that was measured: milliseconds of CPU, bytes."""
    found = row["median"]
    cluster = Cluster(row["workers"], row["nodes"], found["pushes_per_second"] / row["workers"])
    interval = row["nodes"] / found["exchanges_per_second"]
    size = sum(exchanged_bytes(shape, cluster, costs, interval))
    measured = found["bytes_up"] + found["bytes_down"]
    server, courier = (1e3 * cost(costs, measured) for cost in (server_seconds, courier_seconds))
    return {
        "bytes": measured,
        "bytes_modelled": size,
        "bytes_error": size / measured - 1.0,
        "server_milliseconds": found["server_milliseconds"],
        "server_milliseconds_modelled": server,
        "server_error": server / found["server_milliseconds"] - 1.0,
        "courier_milliseconds": found["courier_milliseconds"],
        "courier_milliseconds_modelled": courier,
        "courier_error": courier / found["courier_milliseconds"] - 1.0,
    }


def more_servers(shape: Shape, costs: Costs, rate: float) -> list[dict[str, Any]]:
    """How many servers a delay takes, by module and in a tree; 16 workers a node."""
    numbers = shape.modules * sum(shape.module_sizes) + shape.head_size
    largest = max(*shape.module_sizes, shape.head_size) / numbers
    found = []
    for delay in DELAYS:
        for nodes in MORE_NODES:
            size = sum(exchanged_bytes(shape, Cluster(16 * nodes, nodes, rate), costs, delay))
            found.append(
                {
                    "delay": delay,
                    "nodes": nodes,
                    "servers_by_module": shards_needed(costs, size, nodes, delay, largest),
                    "servers_in_a_tree": tree_servers_needed(costs, size, nodes, delay),
                }
            )
    return found
