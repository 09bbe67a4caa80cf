"""A supervised experiment in numbers: means, medians and speedups, with intervals over seeds.

A seed that did not reach the threshold counts with the limit of generations and is called censored: its
mean is then a lower bound, and is marked so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.intervals import Interval, mean_interval, ratio_interval
from pathnet_rl.supervised.records import SeedResult

FINAL_GENERATIONS = 10
"""The final accuracy is the mean over so many of the last generations."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ArmSummary:
    """One arm on one sequence.

    Attributes:
        speedup: mean of the control over the arm's mean, by control; of generations, or with
            `by_accuracy` the arm's mean final accuracy over the control's.
    """

    sequence: str
    arm: str
    seeds: int
    censored: int
    generations: Interval
    median_generations: float
    accuracy: Interval
    speedup: dict[str, Interval]
    by_accuracy: bool


def final_accuracy(result: SeedResult) -> float:
    """Mean training accuracy of the better windows of the last generations."""
    return float(np.mean(result.accuracy[-FINAL_GENERATIONS:]))


def summarise(
    results: Sequence[SeedResult], controls: Sequence[str], by_accuracy: bool
) -> list[ArmSummary]:
    """One summary for each sequence and arm, in the order in which they come."""
    groups: dict[tuple[str, str], list[SeedResult]] = {}
    for result in results:
        groups.setdefault((result.sequence, result.arm), []).append(result)
    summaries = []
    for (sequence, arm), mine in groups.items():
        speedup = {}
        for control in controls:
            theirs = {r.seed: r for r in groups.get((sequence, control), [])}
            both = [(r, theirs[r.seed]) for r in mine if r.seed in theirs]
            if arm == control or not both:
                continue
            sides = zip(*both, strict=True)
            ours, others = (np.array([measured(r, by_accuracy) for r in side]) for side in sides)
            speedup[control] = (
                ratio_interval(ours, others) if by_accuracy else ratio_interval(others, ours)
            )
        generations = np.array([float(r.generations) for r in mine])
        summaries.append(
            ArmSummary(
                sequence=sequence,
                arm=arm,
                seeds=len(mine),
                censored=sum(r.censored for r in mine),
                generations=mean_interval(generations),
                median_generations=float(np.median(generations)),
                accuracy=mean_interval(np.array([final_accuracy(r) for r in mine])),
                speedup=speedup,
                by_accuracy=by_accuracy,
            )
        )
    return summaries


def measured(result: SeedResult, by_accuracy: bool) -> float:
    """What arms are compared by: the final accuracy, or the generations to the threshold."""
    return final_accuracy(result) if by_accuracy else float(result.generations)


def padded_curves(results: Sequence[SeedResult], generations: int) -> Floats:
    """[seeds, generations]: a seed that is done stays at its last accuracy."""
    curves = np.empty((len(results), generations))
    for row, result in enumerate(results):
        curve = np.array(result.accuracy[:generations])
        curves[row, : len(curve)] = curve
        curves[row, len(curve) :] = curve[-1]
    return curves
