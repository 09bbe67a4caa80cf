"""The courier: it keeps its node's copy of the grid in step with the parameter server's."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from pathnet_rl.block import remove_leftovers
from pathnet_rl.config import RunConfig
from pathnet_rl.engine import rmsprop_step
from pathnet_rl.exchange import Changes, News, WholeBlock
from pathnet_rl.grid import Grid
from pathnet_rl.replica import Replica
from pathnet_rl.telemetry import Exchanges


class Courier:
    """One node's, whatever the number of workers there. One exchange at a time: `changes`, then `take`.

    Args:
        path: where the node's block is, or is to be made.
    """

    def __init__(self, config: RunConfig, grid: Grid, path: Path) -> None:
        self.path = path
        remove_leftovers(path.parent)
        self._replica = Replica(path, grid, config.learning, rmsprop_step(config))
        self._told = Exchanges()
        store = self._replica.store
        self._others = store.updates - store.counted_here()[1]
        self._began = 0.0

    @property
    def loaded(self) -> bool:
        """There is a task to go on with (this process may have been started again)."""
        return self._replica.loaded

    @property
    def task(self) -> int:
        """The one that is learned here."""
        return self._replica.store.task

    def begin_task(self, whole: WholeBlock, slot: int) -> None:
        """Take over everything. No worker may be at work here."""
        self._replica.load(whole, slot)
        self._others = whole.news.updates

    def changes(self) -> Changes:
        """What to tell the server."""
        self._began = time.monotonic()
        changes = self._replica.changes()
        self._told = replace(self._told, bytes_sent=self._told.bytes_sent + changes.size)
        return changes

    def take(self, news: News) -> None:
        """What the server answered."""
        self._replica.take(news)
        told = self._told
        self._told = replace(
            told,
            exchanges=told.exchanges + 1,
            seconds=told.seconds + time.monotonic() - self._began,
            staleness=told.staleness + news.updates - self._others,
            bytes_received=told.bytes_received + news.size,
        )
        self._others = news.updates

    def stop_workers(self) -> None:
        """Let the node's workers end after their rollout: the server is at another task."""
        self._replica.store.stopped = True

    def tell(self) -> Exchanges:
        """The figures since it last told."""
        told, self._told = self._told, Exchanges()
        return told

    def close(self) -> None:
        """Free the node's block."""
        self._replica.remove()
