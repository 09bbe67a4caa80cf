"""Work as tasks on a ray cluster: many calls of one function, so many side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any

import ray


def as_they_end(
    function: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    side_by_side: int | None,
    seconds: float | None = None,
) -> Generator[list[tuple[int, ray.ObjectRef[Any]]]]:
    """Number and answer of the calls that have ended; what runs on when this is closed is cancelled.

    Args:
        side_by_side: so many run at a time; as many as the cluster has CPUs if not given.
        seconds: so often there is an answer, of nobody if nobody has ended.
    """
    task: Any = ray.remote(function).options(num_cpus=1)
    waiting = deque(range(len(calls)))
    running: dict[ray.ObjectRef[Any], int] = {}
    try:
        while waiting or running:
            # No more than run: to cancel a task that waits may end this process (a check of ray's own).
            while waiting and len(running) < (side_by_side or _cpus()):
                number = waiting.popleft()
                running[task.remote(*calls[number])] = number
            ended, _ = ray.wait(list(running), num_returns=1, timeout=seconds)
            yield [(running.pop(reference), reference) for reference in ended]
    finally:
        for reference in running if ray.is_initialized() else ():
            # Not by force: ray misses some of those cancellations, and may end this process by another.
            ray.cancel(reference)


def _cpus() -> int:
    """Those of the cluster, which may grow meanwhile; one at least, for which ray would wait."""
    return max(1, int(ray.cluster_resources().get("CPU", 0)))
