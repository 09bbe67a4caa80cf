"""The jobs of a supervised experiment in processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Sequence
from multiprocessing.connection import Connection, wait

import torch

from pathnet_rl.cpus import usable_cpus
from pathnet_rl.errors import UserError
from pathnet_rl.supervised.experiment import Experiment
from pathnet_rl.supervised.jobs import Done, Job, do
from workers.signals import leave_to_parent

MOST_IN_A_ROW = 3
"""Processes that die this often with no job done in between will die again."""


class _Learner:
    """A process that does one job after the other.

    It shares neither a queue nor a lock with the others: whoever ends it, at whatever moment, stops nobody.
    """

    def __init__(self, experiment: Experiment, job: Job) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, its_own = context.Pipe()
        # A signal may come before anybody knows of it: a daemon is ended with this process.
        self._process = context.Process(target=_work, args=(experiment, its_own), daemon=True)
        self._process.start()
        its_own.close()
        self.begin(job)

    def begin(self, job: Job) -> None:
        """Have it do this one; `connection` is ready when it is done."""
        self.job = job
        with contextlib.suppress(ConnectionError):  # It died, as `result` will say.
            self.connection.send(job)

    def result(self) -> Done:
        """Of the job that it has begun.

        Raises:
            EOFError, ConnectionError: it died.
            Exception: what went wrong in the job.
        """
        result: Done | Exception = self.connection.recv()
        if isinstance(result, Exception):
            raise result
        return result

    def end(self) -> None:
        """At once, whatever it is at."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def do_here(
    experiment: Experiment, jobs: Sequence[Job], say: Callable[[str], None]
) -> Generator[Done]:
    """Each job as it is done; what is not done when this is closed or interrupted is left.

    If a process dies that is said, and its job is begun anew.

    Raises:
        UserError: a job's data do not hold what it needs, or processes die again and again.
    """
    side_by_side = experiment.processes or usable_cpus()
    waiting, learners, deaths = deque(jobs), list[_Learner](), 0
    try:
        while waiting or learners:
            while waiting and len(learners) < side_by_side:
                learners.append(_Learner(experiment, waiting.popleft()))
            ready = wait([learner.connection for learner in learners])
            for learner in [one for one in learners if one.connection in ready]:
                done = None
                try:
                    done = learner.result()
                except (EOFError, ConnectionError):
                    deaths += 1
                    _say_or_give_up(deaths, say)
                    waiting.appendleft(learner.job)
                if done and waiting:
                    learner.begin(waiting.popleft())
                else:
                    learners.remove(learner)
                    learner.end()
                if done:
                    deaths = 0
                    yield done
    finally:
        for learner in learners:
            learner.end()


def _say_or_give_up(deaths: int, say: Callable[[str], None]) -> None:
    if deaths > MOST_IN_A_ROW:
        raise UserError(
            f"processes that learned seeds died {deaths} times with no seeds done in between, perhaps for"
            " want of memory; finished seeds are kept, and the same command goes on, with fewer --processes"
            " if need be"
        )
    say(
        "a process that learned seeds died, perhaps for want of memory; the seeds that it had begun are begun"
        " anew"
    )


def _work(experiment: Experiment, connection: Connection) -> None:
    """What a process does."""
    leave_to_parent()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, ConnectionError):  # Nobody wants more of it.
        while True:
            connection.send(_result(experiment, connection.recv()))


def _result(experiment: Experiment, job: Job) -> Done | Exception:
    try:
        return do(experiment, job)
    except Exception as error:  # noqa: BLE001 - it is raised by the parent.
        if not isinstance(error, UserError):
            error.add_note(traceback.format_exc())
        return error


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
