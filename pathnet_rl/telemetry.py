"""What roles tell one another about a run: plain data, cheap to send."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.genotype import ActiveModules, Genotype


@dataclass(frozen=True)
class EpisodeRecord:
    """A finished episode and the agent steps of the task (all workers) when it finished."""

    agent_steps: int
    episode_return: float
    length: int


@dataclass
class Telemetry:
    """What one worker has seen since it last told; sums over `updates` rollouts of `samples` steps.

    `dead_units` is that of the last rollout alone. Times are CPU-seconds of the worker's process.
    """

    task: int
    updates: int = 0
    samples: int = 0
    policy_loss: float = 0.0
    value_loss: float = 0.0
    entropy: float = 0.0
    gradient_norm: float = 0.0
    dead_units: float = 0.0
    environment_seconds: float = 0.0
    acting_seconds: float = 0.0
    learning_seconds: float = 0.0
    store_seconds: float = 0.0
    episodes: list[EpisodeRecord] = field(default_factory=list)


@dataclass(frozen=True)
class PopulationSnapshot:
    """The population at one moment.

    Attributes:
        genotypes: P of them. fitness: [P], mean return over T episodes, -inf while unevaluated.
        evaluations: genotypes judged in this task. overwrites: how many lost to a rival.
        mutated_genes: genes that changed when losers were overwritten.
    """

    genotypes: tuple[Genotype, ...]
    fitness: NDArray[np.float64]
    evaluations: int
    overwrites: int
    mutated_genes: int


@dataclass(frozen=True)
class FinishedTask:
    """What is needed to replay a finished task.

    Attributes:
        task: its number, from 0.
        name: its name in the configuration.
        agent_steps: those it was trained for.
        path: the modules of its best pathway. always: those that were active beside it.
        fitness: of that pathway.
    """

    task: int
    name: str
    agent_steps: int
    path: ActiveModules
    always: ActiveModules
    fitness: float
