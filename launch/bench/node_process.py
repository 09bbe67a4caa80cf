"""Processes of the measurement of exchanges: one is the server, the others hold a few nodes each.

Each takes commands from a pipe until it is told to end.
"""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from launch.bench.recorded import Recorded
from launch.bench.simulated import SimulatedWorkers
from pathnet_rl.arms import Arm
from pathnet_rl.block import SLOTS
from pathnet_rl.config import RunConfig
from pathnet_rl.engine import rmsprop_step
from pathnet_rl.exchange import Changes, News, WholeBlock
from pathnet_rl.grid import Grid
from pathnet_rl.store import GridStore
from workers import exchange_wire as wire
from workers.courier import Courier
from workers.exchange_server import Address, ExchangeClient, ExchangeServer
from workers.memory import keep_freed_memory
from workers.parameter_server import ParameterServer

WHERE_ARE_YOU = signal.SIGUSR1
"""A process that says nothing is asked by this signal for the lines that its threads are at."""
PAUSE_SECONDS = 0.002
"""Between two looks of simulated workers at the clock."""


@dataclass(frozen=True)
class Exchange:
    """One exchange of one node.

    Attributes:
        ended: on the machine's monotonic clock. seconds: from what was told until the answer was taken.
        cpu_seconds: of the courier's thread. staleness: pushes of others since the last one.
        numbers_up, numbers_down: of rows, a parameter and its mean square counted as one.
        bytes_up, bytes_down: of frames, all in all.
    """

    ended: float
    seconds: float
    cpu_seconds: float
    staleness: float
    numbers_up: float
    numbers_down: float
    bytes_up: float
    bytes_down: float


class _Scales:
    """A courier's server, which weighs what goes there and comes back.

    `meanwhile` is done before an answer is taken, at nobody's cost: its CPU seconds and seconds add up.
    """

    def __init__(self, client: ExchangeClient) -> None:
        self._client = client
        self._headers: dict[type, int] = {}
        self.up = self.down = 0
        self.meanwhile: Callable[[], None] = lambda: None
        self.cpu_seconds = self.seconds = 0.0

    def exchange(self, changes: Changes) -> News:
        news = self._client.exchange(changes)
        cpu, began = time.thread_time(), time.monotonic()
        self.up, self.down = self._frame(changes), self._frame(news)
        self.meanwhile()
        self.cpu_seconds += time.thread_time() - cpu
        self.seconds += time.monotonic() - began
        return news

    def whole_block(self, slot: int) -> WholeBlock:
        return self._client.whole_block(slot)

    def _frame(self, told: Changes | News) -> int:
        """Bytes; a frame's header has the same size every time but for a few digits."""
        arrays = wire.arrays_of(told)
        size = sum(array.nbytes for array in arrays.values())
        if type(told) not in self._headers:
            self._headers[type(told)] = len(wire.pack(arrays)) - size
        return size + self._headers[type(told)]


class _MeasuredCourier(Courier):
    """A courier that keeps figures of every exchange."""

    def __init__(self, config: RunConfig, grid: Grid, path: Path, scales: _Scales) -> None:
        super().__init__(config, grid, path, scales)
        self._scales = scales
        self.exchanges: list[Exchange] = []

    def exchange(self) -> Changes:
        scales = self._scales
        cpu, apart = time.thread_time() - scales.cpu_seconds, scales.seconds
        changes = super().exchange()
        cpu_seconds = time.thread_time() - scales.cpu_seconds - cpu
        told = self.tell()
        self.exchanges.append(
            Exchange(
                time.monotonic(),
                told.seconds - (scales.seconds - apart),
                cpu_seconds,
                told.staleness,
                told.bytes_sent / 8,
                told.bytes_received / 8,
                scales.up,
                scales.down,
            )
        )
        return changes


@dataclass(frozen=True)
class Nodes:
    """What a process of nodes is to be.

    Attributes:
        numbers: of its nodes. workers: on each. rate: pushes a second of a worker.
    """

    config: RunConfig
    grid: Grid
    recorded: Recorded
    address: Address
    folder: Path
    numbers: tuple[int, ...]
    workers: int
    rate: float
    together: bool


def child(target: Callable[..., None], *arguments: object) -> None:
    """Be one of these processes; whoever started it ends it, also by ending itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.register(WHERE_ARE_YOU)
    with contextlib.suppress(EOFError, ConnectionError):
        target(*arguments)


def be_nodes(nodes: Nodes, connection: Connection) -> None:
    """Exchange and push until told to end; then all exchanges are told, one a row, and all pushes.

    Commands: `count` (answered with pushes, CPU seconds and the fewest exchanges of a node so far), `end`,
    and `close` after it.
    """
    torch.set_num_threads(1)
    config, grid, step = nodes.config, nodes.grid, rmsprop_step(nodes.config)
    couriers: list[_MeasuredCourier] = []
    workers: list[SimulatedWorkers] = []
    stores: list[GridStore] = []

    def pushes() -> int:
        return sum(store.counted_here()[1] for store in stores)

    keep_freed_memory()
    with contextlib.ExitStack() as stack:
        for number in nodes.numbers:
            client = ExchangeClient(lambda: nodes.address)
            stack.callback(client.close)
            path, scales = nodes.folder / f"node-{number}.block", _Scales(client)
            courier = _MeasuredCourier(config, grid, path, scales)
            stack.callback(courier.close)
            stores.append(GridStore.open(path, grid, config.learning, step))
            rng = np.random.default_rng((config.seed, number))
            there = SimulatedWorkers(
                stores[-1], step, nodes.recorded, nodes.workers, nodes.rate, nodes.together, rng
            )
            if nodes.together:
                scales.meanwhile = there.push_due
            courier.begin_task(SLOTS - 1 - number)
            couriers.append(courier)
            workers.append(there)
        connection.send("ready")
        while True:
            if not nodes.together:
                for there in workers:
                    there.push_due()
            if connection.poll(PAUSE_SECONDS if not nodes.together else None):
                if connection.recv() == "end":
                    break
                fewest = min(len(courier.exchanges) for courier in couriers)
                connection.send((pushes(), time.process_time(), fewest))
        for there in workers:
            there.stop()
        for courier in couriers:
            courier.end_task()
        rows = [astuple(exchange) for courier in couriers for exchange in courier.exchanges]
        connection.send((np.array(rows), pushes()))
        connection.recv()


def be_server(config: RunConfig, grid: Grid, path: Path, connection: Connection) -> None:
    """Serve exchanges until told to end.

    Commands: `cpu` (answered with the process's CPU seconds), `updates` (with the pushes it knows of), `end`.
    """
    torch.set_num_threads(1)
    keep_freed_memory()
    server = ParameterServer(config, Arm.PATHNET, grid, path)
    server.begin_first_task(0)
    listening = ExchangeServer(server, "127.0.0.1")
    try:
        connection.send(listening.address)
        while (command := connection.recv()) != "end":
            updates = server.state()[1]["updates"] if command == "updates" else 0
            connection.send(time.process_time() if command == "cpu" else updates)
    finally:
        listening.close()
        path.unlink(missing_ok=True)
