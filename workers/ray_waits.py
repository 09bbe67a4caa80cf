"""Waiting for ray: it is said what for after some seconds, and it has an end."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayTaskError

from pathnet_rl.errors import UserError

SAY_SECONDS = 10.0
"""After so long it is said what is waited for."""
AGAIN_SECONDS = 60.0
"""And again."""
MOST_SECONDS = 600.0
"""Then the command ends."""
RECONNECT = "RAY_gcs_rpc_server_reconnect_timeout_s"
HEAD_SECONDS = float(os.environ.get(RECONNECT, "60")) / 2
"""The cluster's head may be silent so long. After twice that ray ends this process, whatever it is at."""

MOST_CHARACTERS = 300
"""Of a reason."""

Answer = TypeVar("Answer")
_logger = logging.getLogger(__name__)


class Silent(UserError):
    """Somebody gave no answer in time."""


class Patience:
    """For one thing that is waited for now and then.

    Args:
        what: says what is waited for, as the cluster is then: 'waiting for 3 CPUs: ...'.
    """

    def __init__(self, what: Callable[[], str]) -> None:
        self._what = what
        self.look(waiting=False)

    def look(self, waiting: bool = True) -> list[str]:
        """What is to be said now: a line, or none. Not `waiting` for it, the time begins anew.

        Raises:
            UserError: it has been too long.
        """
        now = time.monotonic()
        if not waiting:
            self._since, self._next = now, now + SAY_SECONDS
        if now > self._since + MOST_SECONDS:
            raise UserError(
                f"{self._what()}; nothing came of it in {MOST_SECONDS / 60:.0f} minutes, and the same"
                " command goes on"
            )
        if now < self._next:
            return []
        self._next = now + AGAIN_SECONDS
        return [self._what()]


def about_cpus(count: int) -> str:
    """What so many workers wait for that have not begun."""
    total = ray.cluster_resources().get("CPU", 0.0)
    free = ray.available_resources().get("CPU", 0.0)
    if free >= count:
        return f"waiting for {count} worker{'s' if count > 1 else ''} to start"
    return (
        f"waiting for {count} CPU{'s' if count > 1 else ''}: the cluster has {total:g}, of which"
        f" {free:g} are free (another run may have them; `ray status` on the cluster says who)"
    )


def answer(
    reference: ray.ObjectRef[Any] | list[ray.ObjectRef[Any]],
    what: str = "a role",
    seconds: float = MOST_SECONDS,
) -> Any:
    """What a remote call returned.

    Args:
        what: who is to answer, for people. seconds: how long that may take.

    Raises:
        UserError: as the call raised it, without ray's traceback around it.
        Silent: there was no answer.
    """
    patience = Patience(lambda: f"waiting for an answer of {what}")
    until = time.monotonic() + seconds
    while True:
        try:
            return ray.get(reference, timeout=min(SAY_SECONDS, seconds))
        except RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise error.cause from None
            raise
        except GetTimeoutError as error:
            if time.monotonic() >= until:
                raise Silent(
                    f"{what} gave no answer in {seconds:.0f} seconds; the same command goes on from the"
                    " last checkpoint"
                ) from error
            for line in patience.look():
                _logger.warning(line)


def within(seconds: float, call: Callable[[], Answer], silent: str) -> Answer:
    """What a call of ray's returns that has no limit of its own.

    Raises:
        Silent: it has not returned; with this message.
    """
    answers: list[Answer] = []
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            answers.append(call())
        except BaseException as error:  # noqa: BLE001 It is raised where it was asked for.
            errors.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise Silent(silent)
    return answers[0]


def ask_head(call: Callable[[], Answer]) -> Answer:
    """What a call returns that the cluster's head answers.

    Raises:
        Silent: the head is.
    """
    return within(
        HEAD_SECONDS,
        call,
        f"the head of the ray cluster gave no answer in {HEAD_SECONDS:.0f} seconds: it is dead or cut off;"
        " the same command goes on",
    )


def reason_of(error: BaseException) -> str:
    """What ray says of somebody's death, in one line, without its advice."""
    text = " ".join(str(error).split()) or type(error).__name__
    detail = text.rpartition("Worker exit detail: ")[2] if "Worker exit detail: " in text else text
    detail = detail.partition(" There are some potential root causes.")[0]
    return detail if len(detail) <= MOST_CHARACTERS else f"{detail[:MOST_CHARACTERS]} ..."
