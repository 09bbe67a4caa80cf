"""Work as tasks on a ray cluster: many calls of one function, so many side by side."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from workers.ray_waits import Patience, about_cpus

CANCELLATION_SECONDS = 5.0
"""A task that was cancelled may take so long to end."""
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
        if ray.is_initialized():
            _cancel(list(running))


def _cancel(running: list[ray.ObjectRefGenerator[Any]]) -> None:
    """End what runs, and see that it ends: a task that is only being loaded may take no notice."""
    at_work = {told.completed(): told for told in running}
    # By force only then: ray misses some of those cancellations, and may end this process by another.
    for force in (False, True, True):
        for told in at_work.values():
            ray.cancel(told, force=force)
        if at_work:
            ends, count = list(at_work), len(at_work)
            _, still = ray.wait(ends, num_returns=count, timeout=CANCELLATION_SECONDS)
            at_work = {end: at_work[end] for end in still}


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
