"""Exchanges between one server and many nodes, each with its courier, measured on this machine."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from launch.bench import node_process
from launch.bench.node_process import Exchange, Nodes
from launch.bench.recorded import Recorded
from pathnet_rl.block_files import SHARED_MEMORY
from pathnet_rl.config import RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.grid import Grid

MOST_PROCESSES = 16
"""Of nodes; where there are more nodes, a process has several, a courier's thread each."""
MOST_PUSHES = 2000
"""A second, all nodes together, that are made one by one: they take 0.2 milliseconds of CPU each."""
LEAST_EXCHANGES = 4
"""Of a node while it is measured."""
WARM_UP_EXCHANGES = 3
"""Of every node, before anything is measured."""
ANSWER_SECONDS = 300.0
"""After so long a process counts as lost."""


@dataclass(frozen=True)
class Setting:
    """What is measured.

    Attributes:
        workers: all nodes together. rate: pushes a second of a worker. interval: seconds between exchanges.
        together: one step stands for pushes of all workers of a node; if not given, where it must.
    """

    workers: int
    nodes: int
    rate: float
    interval: float
    together: bool | None = None

    @property
    def pushes_together(self) -> bool:
        """How pushes are made."""
        if self.together is not None:
            return self.together
        return self.workers * self.rate > MOST_PUSHES and self.rate * self.interval >= 1.0

    @property
    def name(self) -> str:
        """In the table and the file."""
        pushes = "" if self.together is None else f", {'together' if self.together else 'singly'}"
        return f"{self.workers} workers, {self.nodes} nodes, {self.interval:g} s, {self.rate:g}/s{pushes}"


def context() -> ForkServerContext:
    """Processes are forked off one that has imported everything and computed nothing."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload([node_process.__name__, "launch.display", "tyro"])
    return found


class _Child:
    """A process and the pipe to it."""

    def __init__(self, target: Any, *arguments: Any) -> None:
        here, there = context().Pipe()
        self._connection: Connection = here
        self._process: BaseProcess = context().Process(
            target=node_process.child, args=(target, *arguments, there), daemon=True
        )
        self._process.start()
        there.close()

    def hear(self) -> Any:
        """What it says next.

        Raises:
            UserError: it has ended, or says nothing.
        """
        try:
            if self._connection.poll(ANSWER_SECONDS):
                return self._connection.recv()
            what = f"said nothing for {ANSWER_SECONDS:g} seconds; above is what it was at"
            if self._process.pid is not None:
                os.kill(self._process.pid, node_process.WHERE_ARE_YOU)
                time.sleep(1.0)
        except EOFError:
            what = "has ended; its error is above"
        raise UserError(f"a process of the measurement {what}")

    def say(self, command: str) -> None:
        """A command."""
        self._connection.send(command)

    def ask(self, command: str) -> Any:
        """A command and its answer."""
        self.say(command)
        return self.hear()

    def end(self) -> None:
        """Let it end, or end it."""
        self._connection.close()
        self._process.join(10.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


@contextmanager
def _children() -> Iterator[list[_Child]]:
    children: list[_Child] = []
    try:
        yield children
    finally:
        for child in reversed(children):
            child.end()


def measure(
    setting: Setting, config: RunConfig, grid: Grid, recorded: Recorded, seconds: float
) -> dict[str, float]:
    """Figures of so many seconds, after a while of warming up.

    Raises:
        UserError: a process was lost, or exchanges lost pushes.
    """
    config = config.model_copy(update={"exchange_seconds": setting.interval})
    seconds = max(seconds, LEAST_EXCHANGES * setting.interval)
    parent = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    with (
        tempfile.TemporaryDirectory(prefix="pathnet-rl-nodes-", dir=parent) as scratch,
        _children() as children,
    ):
        folder = Path(scratch)
        server = _Child(node_process.be_server, config, grid, folder / "server.block")
        children.append(server)
        address = server.hear()
        together = setting.pushes_together
        workers = setting.workers // setting.nodes
        shares = np.array_split(np.arange(setting.nodes), min(MOST_PROCESSES, setting.nodes))
        for share in shares:
            nodes = Nodes(
                config, grid, recorded, address, folder,
                tuple(share.tolist()), workers, setting.rate, together,
            )  # fmt: skip
            children.append(_Child(node_process.be_nodes, nodes))
        processes = children[1:]
        for process in processes:
            process.hear()
        while (first := _Marks(server, processes)).exchanges < WARM_UP_EXCHANGES:
            time.sleep(setting.interval / 2)
        time.sleep(seconds)
        last = _Marks(server, processes)
        for process in processes:
            process.say("end")
        told = [process.hear() for process in processes]
        made, known = sum(count for _, count in told), server.ask("updates")
        server.say("end")
        for process in processes:
            process.say("close")
    if made != known:
        raise UserError(f"nodes made {made} pushes and the server knows of {known}: this is a bug")
    exchanges = np.concatenate([rows for rows, _ in told])
    exchanges = exchanges[(exchanges[:, 0] > first.time) & (exchanges[:, 0] <= last.time)]
    measured = last.time - first.time
    everybody = last.machine_cpu - first.machine_cpu
    own = last.server_cpu - first.server_cpu + last.nodes_cpu - first.nodes_cpu
    return {
        **figures(exchanges, setting, measured, last.server_cpu - first.server_cpu),
        "pushes_per_second_asked": setting.workers * setting.rate,
        "pushes_per_second": (last.pushes - first.pushes) / measured,
        "pushes_together": float(together),
        "processes_of_nodes": float(len(shares)),
        "cpus_busy": own / measured,
        "cpus_busy_with_other_things": max(0.0, everybody - own) / measured,
    }


class _Marks:
    """The time; so far: CPU seconds of server, nodes, everybody; pushes; a node's fewest exchanges."""

    def __init__(self, server: _Child, processes: list[_Child]) -> None:
        self.server_cpu: float = server.ask("cpu")
        for process in processes:
            process.say("count")
        counted = [process.hear() for process in processes]
        self.pushes = sum(pushes for pushes, _, _ in counted)
        self.nodes_cpu = sum(seconds for _, seconds, _ in counted)
        self.exchanges = min(exchanges for _, _, exchanges in counted)
        times = psutil.cpu_times()
        self.machine_cpu = times.user + times.nice + times.system
        self.time = time.monotonic()


def figures(
    exchanges: NDArray[np.float64], setting: Setting, seconds: float, server_cpu_seconds: float
) -> dict[str, float]:
    """What exchanges (one a row, columns as in `Exchange`) of so many seconds came to.

    Raises:
        UserError: there were none.
    """
    if not len(exchanges):
        raise UserError(f"no exchange ended in {seconds:.1f} s ({setting.name}); raise --seconds")
    names = [field.name for field in fields(Exchange)]
    columns = dict(zip(names, exchanges.T, strict=True))
    count = len(exchanges)
    return {
        "exchanges": float(count),
        "exchanges_per_second_asked": setting.nodes / setting.interval,
        "exchanges_per_second": count / seconds,
        "numbers_up": float(columns["numbers_up"].mean()),
        "numbers_down": float(columns["numbers_down"].mean()),
        "bytes_up": float(columns["bytes_up"].mean()),
        "bytes_down": float(columns["bytes_down"].mean()),
        "bytes_per_second_up": float(columns["bytes_up"].sum()) / seconds / setting.nodes,
        "bytes_per_second_down": float(columns["bytes_down"].sum()) / seconds / setting.nodes,
        "server_cpu_percent": 100 * server_cpu_seconds / seconds,
        "server_milliseconds": 1e3 * server_cpu_seconds / count,
        "courier_milliseconds": 1e3 * float(columns["cpu_seconds"].mean()),
        "exchange_milliseconds": 1e3 * float(np.median(columns["seconds"])),
        "exchange_milliseconds_95": 1e3 * float(np.percentile(columns["seconds"], 95)),
        "staleness": float(columns["staleness"].mean()),
    }
