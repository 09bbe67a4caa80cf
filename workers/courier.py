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


class Server(Protocol):
    """The parameter server, as a courier sees it."""

    def exchange(self, changes: Changes) -> News: ...
    def whole_block(self, slot: int) -> WholeBlock: ...


class Courier:
    """One node's, whatever the number of workers there: a thread that exchanges until the task ends.

    Args:
        path: where the node's block is, or is to be made.
    """

    def __init__(self, config: RunConfig, grid: Grid, path: Path, server: Server) -> None:
        self.path = path
        remove_leftovers(path.parent)
        self._interval, self._server = config.exchange_seconds, server
        narrow = config.exchange_precision == "bfloat16"
        self._replica = Replica(path, grid, config.learning, rmsprop_step(config), narrow)
        store = self._replica.store
        self._others = store.updates - store.counted_here()[1]
        self._told = Exchanges()
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
        whole = self._server.whole_block(slot)
        self._replica.load(whole, slot)
        self._others = whole.news.updates
        self.go_on()
        return self.path

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
        began = time.monotonic()
        changes = self._replica.changes()
        news = self._server.exchange(changes)
        self._replica.take(news)
        seconds = time.monotonic() - began
        staleness, self._others = news.updates - self._others, news.updates
        self._told += Exchanges(1, seconds, staleness, changes.size, news.size)
        return changes

    def _keep_in_step(self) -> None:
        try:
            # An exchange that takes longer than the interval is the interval: none waits in a queue.
            due = time.monotonic()
            while not self._ending.wait(due - time.monotonic()):
                due = time.monotonic() + self._interval
                self.exchange()
            while len(self.exchange().rows):
                pass
        except StaleTaskError as error:
            self._replica.store.stopped = True
            self._error = error
        except ConnectionAbortedError:
            pass  # Dismissed.
