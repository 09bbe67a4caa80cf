"""The members of a comparison as tasks on a ray cluster, a CPU each."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Generator, Sequence

import ray
from ray.exceptions import RayError, RayTaskError

from pathnet_rl.comparison.experiment import Member
from workers.one_run import Instructions, Outcome, learn
from workers.ray_cluster import join
from workers.ray_tasks import as_they_end
from workers.ray_waits import answer, reason_of


def learn_on_cluster(
    members: Sequence[Member], instructions: Instructions, side_by_side: int | None
) -> Generator[list[Outcome]]:
    """Those who have ended, at least once a second. Told to stop, members save, also those that had to wait.

    Raises:
        UserError: there is no cluster at RAY_ADDRESS.
    """
    joined = not ray.is_initialized()
    if joined:
        join(os.environ["RAY_ADDRESS"])
    calls = [(member, instructions) for member in members]
    with contextlib.closing(as_they_end(_learn_on_node, calls, side_by_side)) as tasks:
        try:
            for ended in tasks:
                yield [_outcome(members[number], reference) for number, reference in ended]
        finally:
            if joined:
                ray.shutdown()  # What runs for nobody is ended.


def _outcome(member: Member, reference: ray.ObjectRef[Outcome]) -> Outcome:
    try:
        outcome: Outcome = answer(reference)
    except RayError as error:  # Its node is gone, or something went wrong that nobody foresaw.
        said = [line for line in str(error).splitlines() if line.strip()]
        last = said[-1].strip() if isinstance(error, RayTaskError) and said else reason_of(error)
        return Outcome(member, error=last)
    return outcome


def _learn_on_node(member: Member, instructions: Instructions) -> Outcome:
    if instructions.stop.parent.is_dir():
        return learn(member, instructions)
    return Outcome(
        member,
        error=f"on {socket.gethostname()}: there is no {instructions.stop.parent}; give --folder as a path"
        " that all nodes share",
    )
