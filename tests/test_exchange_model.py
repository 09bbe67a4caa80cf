"""The model of exchanges, on cases that can be computed by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from launch.bench.exchange_model import (
    LINK_SHARE,
    Cluster,
    Costs,
    Shape,
    active_pathways,
    bill,
    changed_numbers,
    exchanged_bytes,
    fit,
    predict,
    shards_needed,
    tree_servers_needed,
)

SHAPE = Shape(module_sizes=(100, 50), head_size=30, modules=2, width=1)
"""One of two modules a layer: a pathway changes half of 300 numbers, two change three quarters."""
FREE = Costs(0.0, 0.0, 0.0, 0.0)
ANY_LINK = 1e15


def test_pathways_of_an_interval() -> None:
    assert active_pathways(16, 10.0, 0.05) == 8.0
    assert active_pathways(16, 10.0, 3.0) == 16.0


def test_changed_numbers_by_hand() -> None:
    assert changed_numbers(SHAPE, 0) == 0.0
    assert changed_numbers(SHAPE, 1) == 150.0 + 30.0
    assert changed_numbers(SHAPE, 2) == 225.0 + 30.0
    assert changed_numbers(SHAPE, 1000) == 330.0


def test_changed_numbers_are_the_mean_over_all_genotypes() -> None:
    shape = Shape(module_sizes=(1,), head_size=0, modules=3, width=2)
    genes = itertools.product(range(3), repeat=4)  # Of two pathways.
    mean = np.mean([len(set(of_both)) for of_both in genes])
    assert changed_numbers(shape, 2) == pytest.approx(mean)


def test_bytes_are_of_own_rows_up_and_of_the_others_rows_down() -> None:
    costs = Costs(0.0, 0.0, 0.0, 0.0, 9.0, 8.0, 7.0)
    found = exchanged_bytes(SHAPE, Cluster(3, 3, 100.0), costs, 1.0)
    assert found == (7.0 + 9.0 * 180.0, 7.0 + 8.0 * 255.0)
    assert exchanged_bytes(SHAPE, Cluster(1, 1, 100.0), costs, 1.0)[1] == 7.0


def test_an_interval_that_can_be_had_is_had() -> None:
    costs = Costs(constant=0.01, per_byte=0.0, courier_constant=0.02, courier_per_byte=0.0)
    found = predict(SHAPE, Cluster(8, 4, 100.0), costs, 0.1, ANY_LINK, ANY_LINK)
    assert (found.interval, found.limit) == (0.1, "interval")
    assert found.server_cpu == pytest.approx(4 * 0.01 / 0.1)
    assert found.courier_cpu == pytest.approx(0.02 / 0.1)
    assert found.staleness == pytest.approx(6 * 100 * 0.1)


@pytest.mark.parametrize(
    ("costs", "server_link", "node_link", "limit", "interval"),
    [
        (Costs(0.05, 0.0, 0.0, 0.0), ANY_LINK, ANY_LINK, "server's CPU", 4 * 0.05),
        (Costs(0.0, 0.0, 0.15, 0.0), ANY_LINK, ANY_LINK, "courier's CPU", 0.15),
        (FREE, 1e5, ANY_LINK, "server's link", 4 * 330 * 64 / LINK_SHARE / 1e5),
        (FREE, ANY_LINK, 1e5, "node's link", 330 * 64 / LINK_SHARE / 1e5),
    ],
)
def test_what_limits(
    costs: Costs, server_link: float, node_link: float, limit: str, interval: float
) -> None:
    cluster = Cluster(400, 4, 100.0)
    found = predict(SHAPE, cluster, costs, 0.1, server_link, node_link)
    assert found.limit == limit
    assert found.interval == pytest.approx(interval, rel=1e-6)


def test_a_shorter_interval_changes_fewer_rows() -> None:
    cluster = Cluster(4, 4, 1.0)
    costs = Costs(0.0, 1e-4, 0.0, 0.0)
    found = predict(SHAPE, cluster, costs, 0.001, ANY_LINK, ANY_LINK)
    up, down = exchanged_bytes(SHAPE, cluster, costs, found.interval)
    assert found.interval == pytest.approx(4 * 1e-4 * (up + down))
    assert up < 8 * 330


def test_the_fit_finds_what_the_points_were_made_of() -> None:
    sizes = [1e4, 1e6, 4e6]
    constant, per_byte = fit(sizes, [0.001 + 2e-9 * size for size in sizes])
    assert constant == pytest.approx(0.001)
    assert per_byte == pytest.approx(2e-9)
    # Noise does not make an exchange without numbers cheaper than nothing.
    assert fit([1.0, 2.0], [0.1, 0.3])[0] >= 0.0


def test_more_servers_by_hand() -> None:
    costs = Costs(constant=0.001, per_byte=1e-9, courier_constant=0.001, courier_per_byte=1e-9)
    # An exchange of 3 MB: 4 ms. Of 210 ms, 100 nodes take 100 that no shard takes, and shards share 300.
    assert shards_needed(costs, 3e6, 100, 0.21, 0.1) == 3
    assert shards_needed(costs, 3e6, 40, 0.21, 0.1) == 1
    assert shards_needed(costs, 3e6, 211, 0.21, 0.0) is None
    assert shards_needed(costs, 3e6, 100, 0.21, 0.5) is None  # Half of it is one row.
    # 105 ms a level: 25 nodes and the own exchange below, 26 servers above.
    assert tree_servers_needed(costs, 3e6, 50, 0.21) == 1
    assert tree_servers_needed(costs, 3e6, 100, 0.21) == 1 + 4
    assert tree_servers_needed(costs, 3e6, 650, 0.21) == 1 + 26
    assert tree_servers_needed(costs, 3e6, 651, 0.21) is None


def test_a_bill_by_hand() -> None:
    costs = Costs(constant=0.036, per_byte=0.0, courier_constant=0.072, courier_per_byte=0.0)
    cluster = Cluster(10, 2, 100.0)
    # 1,000 pushes a second for an hour, 2 x 3,600 exchanges.
    found = bill(SHAPE, cluster, costs, 1.0, 3_600_000)
    assert found.worker_hours == pytest.approx(10.0)
    assert found.server_hours == pytest.approx(0.072)
    assert found.courier_hours == pytest.approx(0.144)
    assert found.bytes == pytest.approx(7200 * sum(exchanged_bytes(SHAPE, cluster, costs, 1.0)))
