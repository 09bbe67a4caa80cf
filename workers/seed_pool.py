"""The jobs of a supervised experiment in processes of this machine."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

import torch

from pathnet_rl.cpus import usable_cpus
from pathnet_rl.errors import UserError
from pathnet_rl.supervised.experiment import Experiment
from pathnet_rl.supervised.jobs import Done, Job, do


def do_here(experiment: Experiment, jobs: Sequence[Job]) -> Generator[Done]:
    """Each job as it is done; what is not done when this is closed or interrupted is left.

    Raises:
        UserError: a job's data do not hold what it needs, or a process died.
    """
    processes = experiment.processes or usable_cpus()
    pool = ProcessPoolExecutor(
        min(processes, len(jobs)), multiprocessing.get_context("spawn"), _begin_process
    )
    try:
        futures = [pool.submit(do, experiment, job) for job in jobs]
        # At a call the pool looks which processes it has, and only then starts another: without one more
        # nobody would notice the death of the last.
        pool.submit(int)
        for future in as_completed(futures):
            yield future.result()
    except BaseException as error:
        # Else what waits would be done first. The pool itself misses one that it started while another died.
        for child in multiprocessing.active_children():
            child.terminate()
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                "a process that learned seeds died, perhaps for want of memory; finished seeds are kept, and"
                " the same command goes on, with fewer --processes if need be"
            ) from error
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begin_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent says when to stop.
    torch.set_num_threads(1)
