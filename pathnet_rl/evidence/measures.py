"""The measures of one task of one arm: for each seed, and over seeds with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.arms import Arm
from pathnet_rl.evidence.replicates import Group
from pathnet_rl.evidence.runs import Record
from pathnet_rl.intervals import Interval, mean_interval, ratio_interval
from pathnet_rl.metrics import (
    agent_steps_to,
    area_under_curve,
    final_level,
    halfway,
    jump_start,
    learning_curve,
    normalised_score,
    relative_area,
    speedup,
    zero_shot,
)
from pathnet_rl.scores import published

CONTROL = Arm.INDEPENDENT
THRESHOLD_EPISODES = 20
"""Episodes whose mean has to exceed the threshold."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SeedMeasures:
    """One seed.

    Attributes:
        values: by the names of `definitions.py`; None where there is nothing to say.
        censored: it never reached the threshold.
    """

    record: Record
    curve: Floats
    values: dict[str, float | None]
    censored: bool


@dataclass(frozen=True)
class ArmMeasures:
    """One task of one arm over its seeds, in order of seeds.

    Attributes:
        random: the random policy's mean return, if it is known. threshold: see `definitions.py`.
        intervals: by the names of `definitions.py`; None where there is nothing to say.
        pairs: [seeds that the control has as well, 2]: area above random, the control's.
    """

    group: Group
    task: int
    arm: Arm
    random: float | None
    threshold: float | None
    seeds: Sequence[SeedMeasures]
    intervals: dict[str, Interval | None]
    pairs: Floats

    @property
    def censored(self) -> int:
        """Seeds that never reached the threshold."""
        return sum(seed.censored for seed in self.seeds)


def measure(group: Group, task: int, random: float | None) -> list[ArmMeasures]:
    """Every arm of a group on one of its tasks, in the order of `group.arms`; none that did not learn it."""
    curves = {arm: _curves(group, arm, task) for arm in group.arms}
    control = curves.get(CONTROL, {})
    level = float(np.mean([final_level(curve) for curve in control.values()])) if control else None
    threshold = halfway(random, level) if random is not None and level is not None else None
    found = []
    for arm in group.arms:
        if not curves[arm]:
            continue
        seeds = [
            _measure_seed(
                group.records[arm][seed], task, curve, control.get(seed), random, threshold
            )
            for seed, curve in sorted(curves[arm].items())
        ]
        both = [seed for seed in sorted(curves[arm]) if seed in control]
        areas = np.array(
            [[area_under_curve(side[seed]) for side in (curves[arm], control)] for seed in both]
        ).reshape(-1, 2)
        above = areas - (random or 0.0)
        intervals = _over_seeds(seeds)
        if random is not None and both and above[:, 1].mean() > 0:
            intervals["relative_area"] = ratio_interval(above[:, 0], above[:, 1])
        if both and (areas.mean(0) > 0).all():
            intervals["speedup"] = ratio_interval(areas[:, 0], areas[:, 1])
        pairs = above if random is not None else above[:0]
        found.append(ArmMeasures(group, task, arm, random, threshold, seeds, intervals, pairs))
    return found


def _curves(group: Group, arm: Arm, task: int) -> dict[int, Floats]:
    """The learning curves of the seeds of an arm that learned a task."""
    curves = {}
    for seed, record in group.records[arm].items():
        if any(result.finished.task == task for result in record.results):
            table = record.tables[task]
            curves[seed] = learning_curve(table.agent_steps, table.returns, group.budgets[task])
    return curves


def _measure_seed(
    record: Record,
    task: int,
    curve: Floats,
    control: Floats | None,
    random: float | None,
    threshold: float | None,
) -> SeedMeasures:
    table = record.tables[task]
    result = next(result for result in record.results if result.finished.task == task)
    area, final = area_under_curve(curve), final_level(curve)
    other = None if control is None else area_under_curve(control)
    steps = None
    if threshold is not None:
        steps = agent_steps_to(table.agent_steps, table.returns, threshold, THRESHOLD_EPISODES)
    censored = threshold is not None and steps is None
    scores = published(result.finished.name)
    normalised = None if scores is None else normalised_score(final, scores.random, scores.human)
    values: dict[str, float | None] = {
        "area": area,
        "relative_area": None if other is None or random is None else relative_area(area, other, random),
        "speedup": None if other is None else speedup(area, other),
        "jump_start": None if control is None else jump_start(curve, control),
        "zero_shot": zero_shot(table.returns),
        "steps_to_threshold": record.config.steps_of(task) if censored else steps,
        "final_level": final,
        "normalised_score": normalised,
        "greedy_return": result.after_task.mean,
        "forgetting": None if task == len(record.config.tasks) - 1 else result.forgetting,
    }  # fmt: skip
    return SeedMeasures(record, curve, values, censored)


def _over_seeds(seeds: Sequence[SeedMeasures]) -> dict[str, Interval | None]:
    """The means of what seeds have; ratios of means are not means of ratios and are left to the caller."""
    intervals: dict[str, Interval | None] = {}
    for name in seeds[0].values:
        values = [value for seed in seeds if (value := seed.values[name]) is not None]
        ratio = name in ("relative_area", "speedup")
        intervals[name] = mean_interval(np.array(values, float)) if values and not ratio else None
    return intervals
