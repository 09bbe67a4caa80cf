"""The jobs of a supervised experiment in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor
from concurrent.futures import wait as wait_for_futures
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

import torch

from pathnet_rl.cpus import usable_cpus
from pathnet_rl.errors import UserError
from pathnet_rl.supervised.experiment import Experiment
from pathnet_rl.supervised.jobs import Done, Job, do

MOST_IN_A_ROW = 3
"""Processes that die this often with no job done in between will die again."""

LOOK_SECONDS = 1.0
"""Between two looks at whether all processes are there."""


def do_here(
    experiment: Experiment, jobs: Sequence[Job], say: Callable[[str], None]
) -> Generator[Done]:
    """Each job as it is done; what is not done when this is closed or interrupted is left.

    If a process dies that is said, and what was under way then is begun anew.

    Raises:
        UserError: a job's data do not hold what it needs, or processes die again and again.
    """
    left = list(jobs)
    deaths = 0
    while left:
        try:
            for done in _do(experiment, left):
                left.remove(done.job)
                deaths = 0
                yield done
        except BrokenProcessPool as error:
            deaths += 1
            if deaths > MOST_IN_A_ROW:
                raise UserError(
                    f"processes that learned seeds died {deaths} times with no seeds done in between, perhaps"
                    " for want of memory; finished seeds are kept, and the same command goes on, with fewer"
                    " --processes if need be"
                ) from error
            say(
                "a process that learned seeds died, perhaps for want of memory; the seeds that were under way"
                " are begun anew"
            )


def _do(experiment: Experiment, jobs: Sequence[Job]) -> Generator[Done]:
    """The same, until a process dies."""
    processes = experiment.processes or usable_cpus()
    pool = ProcessPoolExecutor(
        min(processes, len(jobs)), multiprocessing.get_context("spawn"), _begin_process
    )
    try:
        left = {pool.submit(do, experiment, job) for job in jobs}
        while left:
            done, left = wait_for_futures(left, LOOK_SECONDS, FIRST_COMPLETED)
            for future in done:
                yield future.result()
            # The pool itself misses the death of one that it started while it looked after the others, and
            # nobody else has a list of all.
            mine = pool._processes or {}
            if not done and any(process.exitcode is not None for process in list(mine.values())):
                raise BrokenProcessPool
    except BaseException:
        # Else what waits would be done first. The pool itself misses one that it started while another died.
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begin_process() -> None:
    # The parent says when to stop, and who has none any more ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
