"""A supervised experiment in pictures: generations by seed, learning curves, and overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pathnet_rl.pictures import Look
from pathnet_rl.supervised.records import SeedResult
from pathnet_rl.supervised.summary import measured, padded_curves


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


def _draw_histogram(
    axes: Axes, by_arm: dict[str, list[SeedResult]], by_accuracy: bool, name: str
) -> None:
    values = {
        arm: [measured(r, by_accuracy) for r in results if by_accuracy or not r.censored]
        for arm, results in by_arm.items()
    }
    reached = [value for mine in values.values() for value in mine]
    edges = np.histogram_bin_edges(reached or [0.0, 1.0], bins=30)
    for arm, results in by_arm.items():
        censored = 0 if by_accuracy else sum(r.censored for r in results)
        label = f"{arm} ({censored} of {len(results)} censored)" if censored else arm
        look = Look.of(arm)
        axes.hist(
            values[arm], bins=list(edges), histtype="step", linewidth=1.6, label=label,
            color=look.colour, linestyle=look.style,
        )  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(name)
    axes.set_ylabel("seeds")


def _draw_curves(axes: Axes, by_arm: dict[str, list[SeedResult]], longest: int) -> None:
    steps = np.arange(1, longest + 1)
    marker = "." if longest == 1 else ""
    for arm, results in by_arm.items():
        curves = padded_curves(results, longest)
        look = Look.of(arm)
        axes.plot(
            steps, curves.mean(0), linewidth=1.2, marker=marker, label=arm,
            color=look.colour, linestyle=look.style,
        )  # fmt: skip
        low, high = np.quantile(curves, (0.1, 0.9), axis=0)
        axes.fill_between(steps, low, high, color=look.colour, alpha=0.15, linewidth=0)
    axes.set_xlabel("generations")
    axes.set_ylabel("training accuracy, mean of the seeds")


def _draw_overlap(
    axes: Axes, by_arm: dict[str, list[SeedResult]], by_accuracy: bool, name: str
) -> None:
    for arm, results in by_arm.items():
        if any(r.overlap for r in results):
            cut = [r for r in results if r.censored and not by_accuracy]
            done = [r for r in results if r.censored <= by_accuracy]
            values = [measured(r, by_accuracy) for r in done]
            look = Look.of(arm)
            axes.plot(
                [r.overlap for r in done], values, look.dot, color=look.colour, alpha=0.5, label=arm
            )
            if cut:  # At the limit, and upward: they would have taken longer.
                axes.plot(
                    [r.overlap for r in cut],
                    [measured(r, by_accuracy) for r in cut],
                    "^",
                    color=look.colour,
                    fillstyle="none",
                    label=f"{arm}, censored",
                )
    if not axes.lines:
        axes.text(0.5, 0.5, "none in any seed", ha="center", transform=axes.transAxes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("frozen modules in the best pathway")
    axes.set_ylabel(name)
