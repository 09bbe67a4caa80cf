"""All groups of a report in numbers: every task of every arm, each setting as a whole, transfer matrices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.arms import Arm
from pathnet_rl.evidence.chance import Key
from pathnet_rl.evidence.measures import CONTROL, ArmMeasures, measure
from pathnet_rl.evidence.replicates import Group
from pathnet_rl.intervals import Interval, interquartile_mean, stratified_interval
from pathnet_rl.metrics import transfer_matrix
from pathnet_rl.scores import published

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Whole:
    """An arm with one setting over all tasks that it can be compared on.

    Attributes:
        transfer: of tasks that were learned after another one; else of first tasks, from scratch.
        relative_area: the interquartile mean, see `definitions.AGGREGATE`.
        tasks: so many count; `without` names those whose control does not exceed the random policy.
    """

    label: str
    arm: Arm
    transfer: bool
    relative_area: Interval
    tasks: int
    without: Sequence[str]


@dataclass(frozen=True)
class Matrix:
    """Relative areas of an arm with one setting, and their seeds; rows are sources, columns targets."""

    label: str
    arm: Arm
    sources: Sequence[str]
    targets: Sequence[str]
    values: Floats
    seeds: Floats


def random_means(
    groups: Iterable[Group], measured: Mapping[Key, Floats]
) -> dict[Key, tuple[float | None, str]]:
    """The random policy's return on each task, and where it comes from."""
    means: dict[Key, tuple[float | None, str]] = {}
    for group in groups:
        for key in zip(group.tasks, group.rules, strict=True):
            scores = published(key[0])
            if key in measured:
                means[key] = float(np.mean(measured[key])), f"{len(measured[key])} episodes"
            elif scores is not None:
                means[key] = scores.random, "published"
            else:
                means[key] = None, "unknown"
    return means


def measure_all(
    groups: Iterable[Group], random: Mapping[Key, tuple[float | None, str]]
) -> list[ArmMeasures]:
    """Every task of every arm of every group."""
    return [
        measures
        for group in groups
        for task, name in enumerate(group.tasks)
        for measures in measure(group, task, random[name, group.rules[task]][0])
    ]


def wholes(measures: Iterable[ArmMeasures]) -> list[Whole]:
    """Each arm with each setting over all its tasks; the control itself is 1 and is left out."""
    measures = list(measures)
    settings = list(dict.fromkeys(m.group.label for m in measures))
    found = []
    for (label, arm), both in _by_setting_and_arm(measures).items():
        for transfer in (False, True):
            mine = [m for m in both if (m.task > 0) is transfer and len(m.pairs)]
            usable = [m for m in mine if m.intervals["relative_area"] is not None]
            if usable:
                interval = stratified_interval([m.pairs for m in usable], _relative)
                without = [m.group.title(m.task) for m in mine if m not in usable]
                found.append(Whole(label, arm, transfer, interval, len(usable), without))
    arms = list(Arm)
    return sorted(found, key=lambda w: (w.transfer, settings.index(w.label), arms.index(w.arm)))


def _relative(strata: Sequence[Floats]) -> float:
    """The interquartile mean over all seeds of all strata, each relative to its stratum's control."""
    ratios = []
    for pairs in strata:
        control = pairs[:, 1].mean()
        ratios.append(pairs[:, 0] / control if control > 0 else np.full(len(pairs), np.inf))
    return interquartile_mean(np.concatenate(ratios))


def matrices(measures: Iterable[ArmMeasures]) -> list[Matrix]:
    """A transfer matrix for each arm and setting that has learned a task after another one."""
    found = []
    for (label, arm), mine in _by_setting_and_arm(measures).items():
        values: dict[tuple[str, str], list[float]] = {}
        seeds: dict[tuple[str, str], list[float]] = {}
        for m in sorted(mine, key=lambda m: m.task):
            interval = m.intervals["relative_area"]
            if interval is not None:
                pair = (m.group.source(m.task), m.group.target(m.task))
                values.setdefault(pair, []).append(interval.value)
                seeds[pair] = [sum(seeds.get(pair, []), interval.seeds)]
        if any(m.task > 0 for m in mine) and values:
            counts = transfer_matrix(seeds)[2]
            found.append(Matrix(label, arm, *transfer_matrix(values), counts))
    return found


def _by_setting_and_arm(
    measures: Iterable[ArmMeasures],
) -> dict[tuple[str, Arm], list[ArmMeasures]]:
    sorted_out: dict[tuple[str, Arm], list[ArmMeasures]] = {}
    for m in measures:
        if m.arm is not CONTROL:
            sorted_out.setdefault((m.group.label, m.arm), []).append(m)
    return sorted_out
