"""Work as tasks on a ray cluster: many calls of one function, so many side by side."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from workers.ray_waits import Patience, about_cpus

SECONDS = 1.0
"""Between two looks, if nobody ends in between."""

_logger = logging.getLogger(__name__)


def as_they_end(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], side_by_side: int | None
) -> Generator[list[tuple[int, ray.ObjectRef[Any]]]]:
    """Number and answer of the calls that have ended, at least once a second, of nobody if nobody has.

    What runs on when this is closed is cancelled.

    Args:
        side_by_side: so many run at a time; as many as the cluster has CPUs if not given.

    Raises:
        UserError: none has begun for a long time.
    """
    task: Any = ray.remote(_begin).options(num_cpus=1)
    waiting = deque(range(len(calls)))
    running: dict[ray.ObjectRefGenerator[Any], int] = {}
    begun: set[int] = set()
    patience = Patience(lambda: about_cpus(len(running)))
    try:
        while waiting or running:
            # No more than run: to cancel a task that waits may end this process (a check of ray's own).
            while waiting and len(running) < (side_by_side or _cpus()):
                number = waiting.popleft()
                running[task.remote(function, *calls[number])] = number
            for line in patience.look(begun.isdisjoint(running.values())):
                _logger.warning(line)
            ready: list[Any] = ray.wait(list(running), num_returns=1, timeout=SECONDS)[0]
            ended = []
            for told in ready:
                reference = next(told)
                if running[told] in begun or _failed(reference):
                    ended.append((running.pop(told), reference))
                else:
                    begun.add(running[told])
            yield ended
    finally:
        for told in running if ray.is_initialized() else ():
            # Not by force: ray misses some of those cancellations, and may end this process by another.
            ray.cancel(told)


def _begin(function: Callable[..., Any], *arguments: object) -> Generator[Any]:
    """What a task does: tell that it has begun, and then what the function returns."""
    yield None
    yield function(*arguments)


def _failed(reference: ray.ObjectRef[Any]) -> bool:
    """Whoever was to begin did not; `reference` says why."""
    try:
        ray.get(reference, timeout=SECONDS)
    except RayError:
        return True
    return False


def _cpus() -> int:
    """Those of the cluster, which may grow meanwhile; one at least, for which ray would wait."""
    return max(1, int(ray.cluster_resources().get("CPU", 0)))
