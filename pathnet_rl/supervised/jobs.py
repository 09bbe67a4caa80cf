"""The work of an experiment in parts: some seeds of one arm on one sequence, wherever they are learned."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pathnet_rl.arms import Arm
from pathnet_rl.supervised.experiment import Experiment, make_task
from pathnet_rl.supervised.experiment_folder import ExperimentFolder
from pathnet_rl.supervised.records import SeedResult


@dataclass(frozen=True)
class Job:
    """Some seeds of one arm on one sequence."""

    sequence: str
    arm: Arm
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Done:
    """A job's results, and the CPU-seconds it took."""

    job: Job
    results: list[SeedResult]
    seconds: float


def missing_jobs(
    experiment: Experiment, sequences: Sequence[str], folder: ExperimentFolder
) -> Iterator[Job]:
    """What is not done yet."""
    wanted = range(experiment.first_seed, experiment.first_seed + experiment.seeds)
    for sequence in sequences:
        for arm in experiment.arms:
            done = {result.seed for result in folder.read(sequence, arm.value)}
            missing = [seed for seed in wanted if seed not in done]
            for start in range(0, len(missing), experiment.together):
                yield Job(sequence, arm, tuple(missing[start : start + experiment.together]))


def do(experiment: Experiment, job: Job) -> Done:
    """Learn a job's seeds, one after the other.

    Raises:
        UserError: its data are not here, or do not hold what it needs.
    """
    from pathnet_rl.supervised.serial_pathnet import run_seed  # Slow to import, so late.

    tasks = [make_task(experiment, name) for name in job.sequence.split(">")]
    began = time.process_time()
    records = [run_seed(job.arm, tasks, seed, experiment) for seed in job.seeds]
    seconds = time.process_time() - began
    results = [
        SeedResult.of(job.sequence, job.arm.value, seed, mine)
        for seed, mine in zip(job.seeds, records, strict=True)
    ]
    return Done(job, results, seconds)
