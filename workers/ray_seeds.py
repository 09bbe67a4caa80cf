"""The jobs of a supervised experiment as tasks on a ray cluster, a CPU each.

Each node reads the data from the same sources: a path must be there on all of them.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Generator, Sequence

import ray
import torch
from ray.exceptions import RayError, RayTaskError

from pathnet_rl.errors import UserError
from pathnet_rl.supervised.experiment import Experiment
from pathnet_rl.supervised.jobs import Done, Job, do
from workers.ray_cluster import join
from workers.ray_tasks import as_they_end
from workers.ray_waits import answer, reason_of


def do_on_cluster(experiment: Experiment, jobs: Sequence[Job]) -> Generator[Done]:
    """Each job as it is done; what is not done when this is closed or interrupted is cancelled.

    Raises:
        UserError: there is no cluster at RAY_ADDRESS, a job's data are not on its node, or ray gave it up.
    """
    joined = not ray.is_initialized()
    if joined:
        join(os.environ["RAY_ADDRESS"])
    calls = [(experiment, job) for job in jobs]
    try:
        with contextlib.closing(as_they_end(_do_on_node, calls, experiment.processes)) as tasks:
            try:
                for ended in tasks:
                    for _, reference in ended:
                        yield answer(reference)
            finally:
                if joined:
                    ray.shutdown()  # What runs for nobody is ended.
    except RayTaskError:
        raise  # What went wrong in a job, and nobody foresaw.
    except RayError as error:
        raise UserError(
            f"ray gave up a job ({reason_of(error)}); finished seeds are kept, and the same command goes on"
        ) from error


def _do_on_node(experiment: Experiment, job: Job) -> Done:
    torch.set_num_threads(1)
    try:
        return do(experiment, job)
    except UserError as error:
        raise UserError(f"on {socket.gethostname()}: {error}") from error
