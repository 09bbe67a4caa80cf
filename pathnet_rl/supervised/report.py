"""The report of a supervised experiment: a table with intervals, generations.csv, pictures.

A seed that did not reach the threshold counts with the limit of generations and is called censored: its
mean is then a lower bound, and is marked so.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

RESAMPLES = 9999
LEVEL = 0.95

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SeedResult:
    """How one seed of one arm learned the last task of a sequence.

    Attributes:
        sequence: such as 5-6>6-7. generations: to the threshold, or the limit if censored.
        first_generations: those of the tasks before, 0 if the arm does not learn them.
        overlap: modules of its best pathway that were frozen before.
        accuracy: [generations], training accuracy of each generation's better window.
    """

    sequence: str
    arm: str
    seed: int
    generations: int
    censored: bool
    first_generations: int
    first_censored: bool
    overlap: int
    accuracy: list[float]


@dataclass(frozen=True)
class Interval:
    """A statistic and its 95% bootstrap interval over seeds."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        digits = 1 if abs(self.value) >= 10 else 3
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


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


FINAL_GENERATIONS = 10
"""The final accuracy is the mean over so many of the last generations."""


def final_accuracy(result: SeedResult) -> float:
    """Mean training accuracy of the better windows of the last generations."""
    return float(np.mean(result.accuracy[-FINAL_GENERATIONS:]))


def mean_interval(values: Floats) -> Interval:
    """The mean and its percentile bootstrap interval."""
    if len(values) < 2:
        return Interval(float(values.mean()), float("nan"), float("nan"))
    from scipy.stats import bootstrap

    found = bootstrap(
        (values,), np.mean, confidence_level=LEVEL, n_resamples=RESAMPLES, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return Interval(float(values.mean()), float(found.low), float(found.high))


def ratio_interval(numerator: Floats, denominator: Floats) -> Interval:
    """The ratio of two means over the same seeds, and its percentile bootstrap interval (paired)."""
    value = float(numerator.mean() / denominator.mean())
    if len(numerator) < 2:
        return Interval(value, float("nan"), float("nan"))
    from scipy.stats import bootstrap

    found = bootstrap(
        (numerator, denominator), lambda a, b, axis: a.mean(axis) / b.mean(axis), paired=True,
        vectorized=True, confidence_level=LEVEL, n_resamples=RESAMPLES, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return Interval(value, float(found.low), float(found.high))


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
            ours, others = (np.array([_measured(r, by_accuracy) for r in side]) for side in sides)
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


def write_csv(path: Path, results: Sequence[SeedResult]) -> None:
    """One row a seed: everything but the learning curve, and the final accuracy."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        names = [name for name in SeedResult.__dataclass_fields__ if name != "accuracy"]
        rows.writerow([*("pair" if name == "sequence" else name for name in names), "accuracy"])
        for result in results:
            fields = asdict(result)
            values = [int(v) if isinstance(v := fields[name], bool) else v for name in names]
            rows.writerow([*values, f"{final_accuracy(result):.5f}"])


def padded_curves(results: Sequence[SeedResult], generations: int) -> Floats:
    """[seeds, generations]: a seed that is done stays at its last accuracy."""
    curves = np.empty((len(results), generations))
    for row, result in enumerate(results):
        curve = np.array(result.accuracy[:generations])
        curves[row, : len(curve)] = curve
        curves[row, len(curve) :] = curve[-1]
    return curves


def draw(results: Sequence[SeedResult], limit: int, threshold: float | None) -> Figure:
    """Rows are sequences; columns: what is measured by seed, learning curves, and it against overlap.

    Measured are the generations to the threshold, or without one the final accuracy.
    """
    sequences = list(dict.fromkeys(result.sequence for result in results))
    figure = Figure(figsize=(15, 3.6 * len(sequences)), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(sequences), 3, squeeze=False)
    name = "final accuracy" if threshold is None else f"generations to accuracy {threshold}"
    for row, sequence in zip(axes, sequences, strict=True):
        mine = [result for result in results if result.sequence == sequence]
        by_arm = {
            arm: [result for result in mine if result.arm == arm]
            for arm in dict.fromkeys(result.arm for result in mine)
        }
        for axis in row:
            axis.set_title(sequence, fontsize=9)
        _draw_histogram(row[0], by_arm, threshold is None, name)
        _draw_curves(row[1], by_arm, max(len(result.accuracy) for result in mine))
        _draw_overlap(row[2], by_arm, threshold is None, name)
        for axis in row:
            if axis.get_legend_handles_labels()[0]:
                axis.legend(fontsize=7)
    figure.suptitle(f"limit {limit} generations a task; bands hold the middle 80% of the seeds")
    return figure


def _measured(result: SeedResult, by_accuracy: bool) -> float:
    return final_accuracy(result) if by_accuracy else float(result.generations)


def _draw_histogram(
    axes: Axes, by_arm: dict[str, list[SeedResult]], by_accuracy: bool, name: str
) -> None:
    values = {
        arm: [_measured(r, by_accuracy) for r in results if by_accuracy or not r.censored]
        for arm, results in by_arm.items()
    }
    reached = [value for mine in values.values() for value in mine]
    edges = np.histogram_bin_edges(reached or [0.0, 1.0], bins=30)
    for arm, results in by_arm.items():
        censored = 0 if by_accuracy else sum(r.censored for r in results)
        label = f"{arm} ({censored} of {len(results)} censored)" if censored else arm
        axes.hist(values[arm], bins=list(edges), histtype="step", linewidth=1.6, label=label)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(name)
    axes.set_ylabel("seeds")


def _draw_curves(axes: Axes, by_arm: dict[str, list[SeedResult]], longest: int) -> None:
    steps = np.arange(1, longest + 1)
    marker = "." if longest == 1 else ""
    for arm, results in by_arm.items():
        curves = padded_curves(results, longest)
        (line,) = axes.plot(steps, curves.mean(0), linewidth=1.2, marker=marker, label=arm)
        low, high = np.quantile(curves, (0.1, 0.9), axis=0)
        axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set_xlabel("generations")
    axes.set_ylabel("training accuracy, mean of the seeds")


def _draw_overlap(
    axes: Axes, by_arm: dict[str, list[SeedResult]], by_accuracy: bool, name: str
) -> None:
    for arm, results in by_arm.items():
        if any(r.overlap for r in results):
            values = [_measured(r, by_accuracy) for r in results]
            axes.plot([r.overlap for r in results], values, ".", alpha=0.5, label=arm)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("frozen modules in the best pathway")
    axes.set_ylabel(name)
