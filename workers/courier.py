"""The courier: it keeps its node's copy of the grid in step with the parameter server's."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Protocol

from pathnet_rl.block import remove_leftovers
from pathnet_rl.config import RunConfig
from pathnet_rl.engine import rmsprop_step
from pathnet_rl.exchange import Changes, News, WholeBlock
from pathnet_rl.grid import Grid
from pathnet_rl.replica import Replica
from pathnet_rl.store import StaleTaskError
from pathnet_rl.telemetry import Exchanges

SHARE = 0.01
"""Of a node's CPUs, what exchanges may take of it: with few workers they are less often."""


class Server(Protocol):
    """The parameter server, as a courier sees it."""

    def exchange(self, changes: Changes) -> News: ...
    def whole_block(self, slot: int) -> WholeBlock: ...


class Courier:
    """One node's, whatever the number of workers there: a thread that exchanges until the task ends.

    Args:
        path: where the node's block is, or is to be made.
        cpus: of the node; exchanges take at most `SHARE` of them. No such limit if not given.
    """

    def __init__(
        self, config: RunConfig, grid: Grid, path: Path, server: Server, cpus: int | None = None
    ) -> None:
        self.path = path
        remove_leftovers(path.parent)
        self._interval, self._server = config.exchange_seconds, server
        self._rest = 1.0 / (SHARE * cpus) if cpus else 0.0
        narrow = config.exchange_precision == "bfloat16"
        self._replica = Replica(path, grid, config.learning, rmsprop_step(config), narrow)
        store = self._replica.store
        self._others = store.updates - store.counted_here()[1]
        self._told = Exchanges()
        self._began = self._due = time.monotonic()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def begin_task(self, slot: int) -> Path:
        """Take over everything and keep in step with it. No worker may be at work here.

        Args:
            slot: counts what this node does, in the server's block.
        """
        if self._thread is not None:  # It began a task that ended before workers came.
            self._ending.set()
            self._thread.join()
        self._thread = self._error = None
        self.join(slot)
        self.go_on()
        return self.path

    def join(self, slot: int) -> None:
        """Take over everything, and nothing more: whoever calls `exchange` does so in this thread."""
        whole = self._server.whole_block(slot)
        self._replica.load(whole, slot)
        self._others = whole.news.updates

    def go_on(self) -> None:
        """Keep in step, if there is a task (this process may have been started again)."""
        if self._thread is None and self._replica.loaded:
            self._ending.clear()
            self._thread = threading.Thread(target=self._keep_in_step, daemon=True)
            self._thread.start()

    def tell(self) -> Exchanges:
        """How exchanges went since it last told.

        Raises:
            StaleTaskError: the server is at another task; this node's workers have been told to stop.
        """
        if self._error is not None:
            raise self._error
        told, self._told = self._told, Exchanges()
        return told

    def end_task(self) -> Exchanges:
        """Let the server have everything, and stop; no worker is at work here any more."""
        self.go_on()
        if self._thread is not None:
            self._ending.set()
            self._thread.join()
            self._thread = None
        return self.tell()

    def close(self) -> None:
        """Free the node's block; what it waits for must not come any more."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        self._replica.remove()

    def exchange(self) -> Changes:
        """One exchange; what was told."""
        began, worked = time.monotonic(), time.thread_time()
        changes = self._replica.changes()
        news = self._server.exchange(changes)
        self._replica.take(news)
        seconds = time.monotonic() - began
        staleness, self._others = news.updates - self._others, news.updates
        between, self._began = began - self._began, began
        self._told += Exchanges(1, seconds, between, staleness, changes.size, news.size)
        self._due = began + max(self._interval, self._rest * (time.thread_time() - worked))
        return changes

    def _keep_in_step(self) -> None:
        try:
            # An exchange that takes longer than the interval is the interval: none waits in a queue.
            self._began = self._due = time.monotonic()
            while not self._ending.wait(self._due - time.monotonic()):
                self.exchange()
            while len(self.exchange().rows):
                pass
        except ConnectionAbortedError:
            pass  # Dismissed.
        except BaseException as error:
            # Workers may be waiting for an exchange, and none comes any more.
            self._replica.store.stopped = True
            self._error = error
            if not isinstance(error, StaleTaskError):
                raise
