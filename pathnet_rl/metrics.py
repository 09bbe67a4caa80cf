"""Metrics: pure functions of tables of returns, and the name and meaning of every TensorBoard tag.

A table of returns is two aligned arrays: the agent steps of the task at which an episode ended, and the
episode's raw return, in order of agent steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

LAST_EPISODES = 100
FIRST_EPISODES = 20
CURVE_POINTS = 50

Floats = NDArray[np.float64]

TAGS: dict[str, str] = {
    "episode/return": "Mean raw return of the episodes that ended since the last report.",
    "episode/return_last_100": "Mean raw return of the last 100 episodes.",
    "episode/length": "Mean length, in agent steps, of the episodes that ended since the last report.",
    "fitness/best": "Highest fitness in the population; fitness is the mean raw return over T episodes.",
    "fitness/mean": "Mean fitness of the evaluated pathways.",
    "fitness/distribution": "Histogram of the fitness of the evaluated pathways.",
    "tournament/evaluations": "Pathways judged so far in this task.",
    "tournament/overwrites": "Pathways overwritten by a fitter rival so far in this task.",
    "tournament/mutated_genes": "Genes that changed in overwritten pathways so far in this task.",
    "duplication/copies": "Modules that were copied over others of their layer so far in this task.",
    "duplication/which/text_summary": "Which module was copied over which, and how often; the last first.",
    "grid/modules": "The L x M grid: how many pathways use each module (colour), the best pathway"
    " (outlined), frozen modules (hatched), which are copies of which.",
    "grid/distinct_modules": "Modules that at least one pathway uses, of all L x M.",
    "grid/dead_units": "Share of a pathway's units that were 0 throughout a rollout, in its worst layer.",
    "learning/entropy": "Mean entropy of the policy, in nats a step, since the last report.",
    "learning/policy_loss": "Mean policy loss a step, -log pi(a) (R - V), since the last report.",
    "learning/value_loss": "Mean value loss a step, (R - V)^2 / 2, since the last report.",
    "learning/gradient_norm": "Mean global norm of a pathway's gradient before clipping.",
    "learning/rate": "Learning rate, annealed linearly to 0 over the task, before a pathway's own factor.",
    "hyperparameters/learning_rate_median": "Median factor of the learning rate in the population.",
    "hyperparameters/learning_rate_min": "Smallest factor of the learning rate in the population.",
    "hyperparameters/learning_rate_max": "Largest factor of the learning rate in the population.",
    "hyperparameters/entropy_cost_median": "Median factor of the entropy cost in the population.",
    "hyperparameters/entropy_cost_min": "Smallest factor of the entropy cost in the population.",
    "hyperparameters/entropy_cost_max": "Largest factor of the entropy cost in the population.",
    "speed/agent_steps_per_second": "Agent steps of all workers a second of wall time.",
    "speed/environment_milliseconds": "CPU time of the environments, per agent step, in the workers.",
    "speed/acting_milliseconds": "CPU time of forward passes and choosing actions, per agent step.",
    "speed/learning_milliseconds": "CPU time of losses and backward passes, per agent step.",
    "speed/store_milliseconds": "CPU time of pulls and pushes, per agent step.",
    "exchange/staleness": "Pushes of other nodes that a node did not know of, mean at an exchange with the"
    " parameter server (on a cluster).",
    "exchange/milliseconds": "Wall time from what a node tells until it has the answer, mean of an exchange.",
    "exchange/interval_milliseconds": "Wall time from one exchange of a node to the next, mean.",
    "exchange/kilobytes_sent": "Numbers that a node tells in an exchange.",
    "exchange/kilobytes_received": "Numbers that a node is told in an exchange.",
    "run/updates": "Pushes applied to the shared grid so far in this task.",
    "run/restarts": "Workers and processes of environments that died and were started again since the"
    " command was given.",
}
"""Every tag a run writes; the x axis of all of them is the task's agent steps."""


def mean_of_last(returns: Floats, count: int = LAST_EPISODES) -> float | None:
    """The mean of the last `count` returns (of all, if there are fewer), or None if there are none."""
    return float(np.mean(returns[-count:])) if len(returns) else None


def learning_curve(
    agent_steps: NDArray[np.int64], returns: Floats, budget: int, points: int = CURVE_POINTS
) -> Floats:
    """The mean return in each of `points` equal stretches of the task, shape [points].

    An episode belongs to the stretch it ended in. A stretch in which none ended has the value of the one
    before; stretches before the first episode have the value of the first that has one.

    Raises:
        ValueError: no episode ended at all.
    """
    if len(returns) == 0:
        raise ValueError("no episode ended, so there is no learning curve")
    stretch = np.minimum((np.asarray(agent_steps) - 1) * points // budget, points - 1)
    counts = np.bincount(stretch, minlength=points)
    sums = np.bincount(stretch, weights=returns, minlength=points)
    filled = np.flatnonzero(counts)
    latest = np.maximum.accumulate(np.where(counts > 0, np.arange(points), -1))
    source = np.where(latest < 0, filled[0], latest)
    return np.asarray(sums[source] / counts[source], dtype=np.float64)


def area_under_curve(curve: Floats) -> float:
    """The area under a learning curve over the task's agent steps, as mean return over the task."""
    return float(np.mean(curve))


def speedup(area: float, control: float) -> float | None:
    """Area under the curve relative to the control's, as Progressive Networks define it.

    None where the ratio says nothing: an area that is not positive (games that score below zero).
    """
    return area / control if area > 0 and control > 0 else None


def agent_steps_to(
    agent_steps: NDArray[np.int64], returns: Floats, threshold: float, count: int = LAST_EPISODES
) -> int | None:
    """Agent steps at which the mean of the last `count` episodes first exceeded `threshold`."""
    if len(returns) < count:
        return None
    sums = np.cumsum(np.concatenate([[0.0], returns]))
    means = (sums[count:] - sums[:-count]) / count
    above = np.flatnonzero(means > threshold)
    return int(agent_steps[above[0] + count - 1]) if len(above) else None


def relative_area(area: float, control: float, random: float) -> float | None:
    """Area above the random policy's return, relative to the control's: (area - random) / (control - random).

    The speedup of Progressive Networks (Rusu et al., 2016), but measured from what a policy gets that has
    learned nothing: so games count whose returns are negative, and returns that come for nothing do not.
    None where the control does not exceed the random policy.
    """
    return (area - random) / (control - random) if control > random else None


def first_level(curve: Floats) -> float:
    """The mean over the first tenth of a learning curve."""
    return float(np.mean(curve[: max(1, len(curve) // 10)]))


def final_level(curve: Floats) -> float:
    """The mean over the last tenth of a learning curve."""
    return float(np.mean(curve[-max(1, len(curve) // 10) :]))


def jump_start(curve: Floats, control: Floats) -> float:
    """The mean over the first tenth of the task less the control's (Taylor and Stone, 2009)."""
    return first_level(curve) - first_level(control)


def halfway(random: float, control: float) -> float | None:
    """The level halfway between the random policy's return and a control's final level.

    None where the control does not exceed the random policy.
    """
    return (random + control) / 2.0 if control > random else None


def zero_shot(returns: Floats, before: Floats | None = None, count: int = FIRST_EPISODES) -> float:
    """The mean return on a new task before anything is learned there.

    Args:
        returns: of the task's episodes in the order in which they ended.
        before: returns of episodes that were played before any learning, where a run has recorded them.
            Otherwise the first `count` episodes to end stand in for them (all, if there are fewer). They
            are the short ones, and some learning has taken place meanwhile.
    """
    return float(np.mean(returns[:count] if before is None else before))


def forgetting(after_task: Floats, after_all: Floats) -> float:
    """Greedy return right after a task less the greedy return of the same episodes after all later tasks."""
    return float(np.mean(after_task) - np.mean(after_all))


def transfer_matrix(
    values: Mapping[tuple[str, str], Sequence[float]],
) -> tuple[list[str], list[str], Floats]:
    """What was measured from each source (a row) to each target (a column); nan where nothing was.

    Args:
        values: by source and target, in the order in which rows and columns shall stand. Several
            measurements of one pair are averaged.
    """
    sources = list(dict.fromkeys(source for source, _ in values))
    targets = list(dict.fromkeys(target for _, target in values))
    matrix = np.full((len(sources), len(targets)), np.nan)
    for (source, target), measured in values.items():
        matrix[sources.index(source), targets.index(target)] = np.mean(measured)
    return sources, targets, matrix


def normalised_score(score: float, random: float, human: float) -> float:
    """A score on a scale on which the random policy has 0 and a human tester 1 (Mnih et al., 2015)."""
    return (score - random) / (human - random)
