"""The jobs of a supervised experiment as tasks on a ray cluster, a CPU each.

Each node reads the data from the same sources: a path must be there on all of them.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Generator, Sequence
from typing import Any

import ray
import torch
from ray.exceptions import RayError, RayTaskError

from pathnet_rl.errors import UserError
from pathnet_rl.supervised.experiment import Experiment
from pathnet_rl.supervised.jobs import Done, Job, do
from workers.ray_cluster import answer, join


def do_on_cluster(experiment: Experiment, jobs: Sequence[Job]) -> Generator[Done]:
    """Each job as it is done; what is not done when this is closed or interrupted is cancelled.

    Raises:
        UserError: there is no cluster at RAY_ADDRESS, a job's data are not on its node, or ray gave it up.
    """
    joined = not ray.is_initialized()
    if joined:
        join(os.environ["RAY_ADDRESS"])
    task: Any = ray.remote(_do_on_node).options(num_cpus=1)
    waiting, running = deque(jobs), list[ray.ObjectRef[Done]]()
    try:
        while waiting or running:
            # No more than run: to cancel a task that waits may end this process (a check of ray's own).
            while waiting and len(running) < (experiment.processes or _cpus()):
                running.append(task.remote(experiment, waiting.popleft()))
            finished, running = ray.wait(running, num_returns=1)
            yield answer(finished[0])
    except RayTaskError:
        raise  # What went wrong in a job, and nobody foresaw.
    except RayError as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"ray gave up a job ({reason}); finished seeds are kept, and the same command goes on"
        ) from error
    finally:
        if joined:
            ray.shutdown()  # What runs for nobody is ended.
        else:
            for reference in running:
                # Not by force: ray misses some of those cancellations, and may end this process by another.
                ray.cancel(reference)


def _cpus() -> int:
    """Those of the cluster, which may grow meanwhile; one at least, for which ray would wait."""
    return max(1, int(ray.cluster_resources().get("CPU", 0)))


def _do_on_node(experiment: Experiment, job: Job) -> Done:
    torch.set_num_threads(1)
    try:
        return do(experiment, job)
    except UserError as error:
        raise UserError(f"on {socket.gethostname()}: {error}") from error
