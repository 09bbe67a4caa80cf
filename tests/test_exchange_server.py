"""Exchanges over the network: what is told arrives, connections break, strangers are not answered."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pathnet_rl.arms import Arm
from pathnet_rl.block import SLOTS
from pathnet_rl.exchange import exchange
from pathnet_rl.genotype import ActiveModules
from pathnet_rl.store import GridStore, StaleTaskError
from tests.support import random_gradients, small_grid, tiny_config
from tests.test_exchange import Nodes, push
from workers import exchange_server, exchange_wire
from workers.courier import Courier
from workers.exchange_server import ExchangeClient, ExchangeServer
from workers.parameter_server import ParameterServer

GRID = small_grid(actions=(3, 3))
PATH: ActiveModules = ((0, 2), (1, 4), (3, 5))


class Network:
    """A server that listens here and can be started again on its block, and a courier of another node."""

    def __init__(self, folder: Path) -> None:
        self.config = tiny_config(folder, agent_steps=(10**6,), exchange_seconds=0.01)
        self.folder = folder
        self.start_server()
        self.server.begin_first_task(0)
        self.client = ExchangeClient(lambda: self.network.address)
        self.courier = Courier(self.config, GRID, folder / "node.block", self.client)
        self.courier.begin_task(SLOTS - 1)
        self.store = GridStore.open(folder / "node.block", GRID, self.config.learning)

    def start_server(self) -> None:
        self.server = ParameterServer(self.config, Arm.PATHNET, GRID, self.folder / "server.block")
        self.network = ExchangeServer(self.server, "127.0.0.1")

    def push(self, seed: int) -> None:
        gradients = random_gradients(GRID, PATH, 0, np.random.default_rng(seed))
        self.store.push(0, PATH, gradients, 16, 0)

    def learned_alike(self) -> bool:
        found = self.server.state()[0]
        return torch.equal(found["parameters"], self.store.parameters) and torch.equal(
            found["squares"], self.store.squares
        )


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    monkeypatch.setattr(exchange_server, "PATIENCE_SECONDS", 0.01)
    made = Network(tmp_path)
    yield made
    made.client.close()
    made.courier.close()
    made.network.close()


def test_what_is_told_is_the_same_on_the_other_side(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, 1)
    for number in range(10):
        push(nodes.nodes[0].store, number, number)
        push(nodes.server, number, number)
    changes = nodes.nodes[0].changes()
    changes = replace(changes, exact_squares=(np.array([3]), np.array([0.5], np.float32)))
    came = exchange_wire.changes_of(
        exchange_wire.unpack(exchange_wire.pack(exchange_wire.arrays_of(changes)))
    )
    news = exchange(nodes.server, changes)
    news_came = exchange_wire.news_of(
        exchange_wire.unpack(exchange_wire.pack(exchange_wire.arrays_of(news)))
    )
    for sent, found in ((changes, came), (news, news_came)):
        for name, wanted in vars(sent).items():
            pairs = wanted if isinstance(wanted, tuple) else (wanted,)
            others = getattr(found, name)
            others = others if isinstance(others, tuple) else (others,)
            for one, other in zip(pairs, others, strict=True):
                assert type(one) is type(other)
                assert np.array_equal(one, other)
    assert len(news.rows) > 0


def test_a_courier_keeps_a_node_in_step_until_the_task_ends(network: Network) -> None:
    for seed in range(50):
        network.push(seed)
    told = network.courier.end_task()
    assert told.exchanges >= 2
    assert network.learned_alike()
    assert network.server.state()[1]["updates"] == 50


def test_broken_connections_and_servers_started_again_lose_nothing_and_double_nothing(
    network: Network,
) -> None:
    rng = np.random.default_rng(0)
    for seed in range(60):
        network.push(seed)
        connection = network.client._connection
        if rng.random() < 0.3 and connection is not None:
            with contextlib.suppress(OSError):  # The server hung up first.
                connection.shutdown(socket.SHUT_RDWR)
        if seed % 20 == 10:
            network.network.close()
            network.start_server()
    network.courier.end_task()
    assert network.learned_alike()
    assert network.server.state()[1]["updates"] == 60


def test_a_node_that_missed_the_end_of_a_task_stops_its_workers_and_says_so(
    network: Network,
) -> None:
    network.server.begin_next_task(1, PATH)
    thread = network.courier._thread
    assert thread is not None
    thread.join(timeout=10.0)
    assert network.store.stopped
    with pytest.raises(StaleTaskError, match="an exchange of task 0 came in task 1"):
        network.courier.tell()
    network.courier.begin_task(SLOTS - 2)
    assert (network.store.task, network.store.stopped) == (1, False)
    assert network.store.frozen == PATH
    network.courier.end_task()
    assert network.learned_alike()


@pytest.mark.parametrize("greeting", [b"", b"x" * 32, b"x" * 33, b"GET / HTTP/1.1\r\n\r\n"])
def test_a_stranger_gets_no_answer(network: Network, greeting: bytes) -> None:
    address = network.network.address
    with socket.create_connection((address.host, address.port), timeout=10.0) as connection:
        if greeting.startswith(b"GET"):
            connection.sendall(greeting)
        else:
            exchange_wire.send(connection, greeting)
        frame = exchange_wire.pack({"join": np.array([5], np.int64)})
        try:
            exchange_wire.send(connection, frame)
            assert connection.recv(1) == b""
        except ConnectionError:
            pass  # Hung up before the frame was sent.
    assert network.server.state()[1]["updates"] == 0


def test_a_frame_that_is_damaged_ends_its_connection_and_nothing_else(network: Network) -> None:
    address = network.network.address
    for frame in (b"nonsense", exchange_wire.pack({"task": np.zeros(1, np.int64)})):
        with socket.create_connection((address.host, address.port), timeout=10.0) as connection:
            exchange_wire.send(connection, address.key)
            exchange_wire.send(connection, frame)
            assert connection.recv(1) == b""
    network.push(0)
    network.courier.end_task()
    assert network.learned_alike()


def test_two_nodes_exchange_at_once(network: Network) -> None:
    """Two connections; each node's pushes arrive once."""
    config = network.config
    client = ExchangeClient(lambda: network.network.address)
    other = Courier(config, GRID, network.folder / "other.block", client)
    other.begin_task(SLOTS - 2)
    store = GridStore.open(network.folder / "other.block", GRID, config.learning)
    gradients = random_gradients(GRID, PATH, 0, np.random.default_rng(1))

    def push_there() -> None:
        for _ in range(40):
            store.push(0, PATH, gradients, 16, 1)

    thread = threading.Thread(target=push_there)
    thread.start()
    for seed in range(40):
        network.push(seed)
    thread.join()
    network.courier.end_task()
    other.end_task()
    client.close()
    other.close()
    assert network.server.state()[1]["updates"] == 80
    found = network.server.state()[0]["parameters"]
    assert torch.equal(found, store.parameters), "the last to end knows everything"


def test_the_key_is_another_one_each_time(network: Network) -> None:
    again = ExchangeServer(network.server, "127.0.0.1")
    again.close()
    assert again.address.key != network.network.address.key


def test_a_node_whose_task_ended_before_it_had_workers_begins_the_next(network: Network) -> None:
    """Its courier is still at work on the earlier one."""
    network.server.begin_next_task(1, PATH)
    network.courier.begin_task(SLOTS - 2)
    assert network.store.task == 1
    assert network.courier.tell().exchanges >= 0
    network.courier.end_task()
    assert network.learned_alike()
