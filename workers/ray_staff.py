"""The pathway workers of a crew as actors: greeted, set to work, heard, greeted again after a death."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError, RayTaskError

from pathnet_rl.telemetry import Telemetry
from workers.ray_actors import Order
from workers.ray_waits import answer


@dataclass(frozen=True)
class Heard:
    """What came of one call to a worker, by its number.

    Attributes:
        telemetry: it tells this, and works on.
        there: it answered the greeting. anew: in another process than before: it had died.
        death: it does not answer. With none of these it has come to the end of the task.
    """

    worker: int
    telemetry: Telemetry | None = None
    there: bool = False
    anew: bool = False
    death: RayError | None = None


class Staff:
    """Workers by their numbers, and the calls to them that are under way.

    Attributes:
        processes: ids of those that have answered a greeting, by the worker's number.
    """

    def __init__(self) -> None:
        self._workers: dict[int, ActorHandle[Any]] = {}
        self._greeted: dict[ray.ObjectRef[int], int] = {}
        self._running: dict[ray.ObjectRefGenerator[Telemetry], int] = {}
        self.processes: dict[int, int] = {}
        self._at_rest: dict[int, int] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._workers

    def take_on(self, number: int, worker: ActorHandle[Any]) -> None:
        """One more, or another in place of one that was dismissed."""
        self._workers[number] = worker

    @property
    def at_work(self) -> set[int]:
        """Those that are in the task."""
        return set(self._running.values())

    def expected(self, number: int) -> bool:
        """It is at work, or an answer to a greeting is to come."""
        return number in self.at_work or number in self._greeted.values()

    @property
    def expected_back(self) -> int:
        """How many have been greeted and have not answered."""
        return len(self._greeted)

    def not_at_rest(self, hold: int) -> list[int]:
        """Those at work that have not told yet that they rest in this hold (`Block.hold`)."""
        return sorted(n for n in self.at_work if self._at_rest.get(n) != hold)

    def greet(self, number: int) -> None:
        """Ask a worker which process it is: once it answers it is there, anew or as before."""
        self._greeted[self._workers[number].process.remote()] = number

    def set_to_work(self, number: int, order: Order) -> None:
        """Let it work on these pathways until the task's end."""
        self._running[self._workers[number].run_task.remote(order)] = number

    def order(self, number: int, order: Order) -> None:
        """Let a worker that is at work have these pathways instead."""
        self._workers[number].order.remote(order)

    @property
    def pending(self) -> list[Any]:
        """Answers of workers that are waited for; each is for `hear`."""
        return [*self._greeted, *self._running]

    def hear(self, reference: Any) -> Heard:
        """Take one of `pending` that is there.

        Raises:
            UserError, RayTaskError: as the worker raised it.
        """
        greeted = reference in self._greeted
        number = self._greeted.pop(reference) if greeted else self._running.pop(reference)
        try:
            if greeted:
                process = answer(reference)
                before = self.processes.get(number, process)
                self.processes[number] = process
                return Heard(number, there=True, anew=process != before)
            telemetry = answer(next(reference))
            self._running[reference] = number
            if telemetry.at_rest:
                self._at_rest[number] = telemetry.at_rest
            return Heard(number, telemetry)
        except StopIteration:
            return Heard(number)
        except RayTaskError:
            raise
        except RayError as error:
            return Heard(number, death=error)

    def dismiss(self, numbers: Iterable[int]) -> None:
        """They are gone with their node."""
        for number in numbers:
            for calls in (self._greeted, self._running):
                for reference in [one for one, its in calls.items() if its == number]:
                    del calls[reference]
            self._workers.pop(number, None)
            self.processes.pop(number, None)

    def close(self) -> None:
        """Dismiss everybody."""
        for worker in self._workers.values():
            ray.kill(worker)
