"""The pace of a run: when something is due, and how many agent steps it does a second."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathnet_rl.store import GridStore


class Timer:
    """Says when something is due that is done every so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = time.monotonic() + seconds

    def due(self) -> bool:
        """True once every `seconds`."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


class Rate:
    """Agent steps a second: of the last few seconds, and since the last report."""

    def __init__(self, store: GridStore) -> None:
        self._store = store
        self._marks = [(time.monotonic(), store.agent_steps)]
        self._report = self._marks[0]

    def tick(self) -> None:
        """Look at the clock and the store."""
        self._marks = [*self._marks[-10:], (time.monotonic(), self._store.agent_steps)]

    @property
    def recent(self) -> float:
        """Over the last ten ticks."""
        return self._between(self._marks[0], self._marks[-1])

    def since_report(self) -> float:
        """Since this was last asked."""
        before, self._report = self._report, (time.monotonic(), self._store.agent_steps)
        return self._between(before, self._report)

    @staticmethod
    def _between(start: tuple[float, int], stop: tuple[float, int]) -> float:
        return (stop[1] - start[1]) / max(stop[0] - start[0], 1e-9)
