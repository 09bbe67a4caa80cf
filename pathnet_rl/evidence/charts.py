"""Learning curves with bands over seeds, and transfer matrices, as figures."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pathnet_rl.evidence.measures import CONTROL, ArmMeasures
from pathnet_rl.evidence.summary import Matrix
from pathnet_rl.pictures import Look


def draw_learning_curves(measures: Sequence[ArmMeasures]) -> Figure:
    """One task of one group: an arm a line (mean over seeds), bands from the lowest to the highest seed."""
    figure = Figure(figsize=(4.6, 3.3), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw_curves(axes, measures)
    axes.set_xlabel("agent steps of the task")
    axes.set_ylabel("mean return")
    axes.legend(fontsize=8, frameon=False)
    return figure


def draw_curve_matrix(cells: Mapping[tuple[str, str], Sequence[ArmMeasures]]) -> Figure:
    """Learning curves of each target (a column) after each source (a row), areas relative to the control's.

    So the paper shows its nine pairs in the Labyrinth.

    Args:
        cells: for (source, target), one measure for each arm.
    """
    sources, targets = (list(dict.fromkeys(pair[i] for pair in cells)) for i in (0, 1))
    size = (0.6 + 2.8 * len(targets), 0.8 + 2.2 * len(sources))
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(sources), len(targets), squeeze=False, sharex="col", sharey="col")
    for (row, source), (column, target) in itertools.product(
        enumerate(sources), enumerate(targets)
    ):
        axes = panels[row, column]
        measures = cells.get((source, target))
        if measures is None:
            axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes)
        else:
            _draw_curves(axes, measures)
            axes.set_title(_relative_areas(measures), fontsize=8)
        if row == 0:
            axes.annotate(
                target, (0.5, 1.18), xycoords="axes fraction", ha="center", fontweight="bold"
            )
        if column == 0:
            axes.set_ylabel(f"after {source}")
    handles = {
        name: handle
        for axes in panels.flat
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=4, fontsize=8
    )
    return figure


def _relative_areas(measures: Sequence[ArmMeasures]) -> str:
    values = ((m.arm.value, m.intervals["relative_area"]) for m in measures if m.arm is not CONTROL)
    return ", ".join(f"{arm} {area.value:.2f}" for arm, area in values if area is not None)


def _draw_curves(axes: Axes, measures: Sequence[ArmMeasures]) -> None:
    first = measures[0]
    budget = first.group.budgets[first.task]
    for m in measures:
        curves = np.array([seed.curve for seed in m.seeds])
        steps = (np.arange(curves.shape[1]) + 0.5) * budget / curves.shape[1]
        look = Look.of(m.arm)
        axes.plot(
            steps, curves.mean(0), color=look.colour, linestyle=look.style, linewidth=1.6,
            label=f"{m.arm.value} (n = {len(curves)})",
        )  # fmt: skip
        if len(curves) > 1:
            axes.fill_between(
                steps, curves.min(0), curves.max(0), color=look.colour, alpha=0.15, linewidth=0
            )
    if first.random is not None:
        axes.axhline(first.random, color="0.4", linewidth=1.0, linestyle=":", label="random policy")
    axes.set_xlim(0, budget)
    axes.xaxis.set_major_formatter(_short)
    axes.grid(alpha=0.3)


def _short(value: float, _: float) -> str:
    """Agent steps as 20k or 1.5M, at any position of the axis."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


def draw_matrix(matrix: Matrix) -> Figure:
    """A transfer matrix: blue is better than the control, red is worse; empty where nothing was measured."""
    rows, columns = matrix.values.shape
    longest = max(len(source) for source in matrix.sources)
    size = (1.4 + 0.07 * longest + 0.9 * columns, 1.2 + 0.45 * rows)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(matrix.values, cmap="RdBu", vmin=-0.8, vmax=2.8, aspect="auto")
    for row in range(rows):
        for column in range(columns):
            value = matrix.values[row, column]
            if np.isfinite(value):
                words = f"{value:.2f}\nn = {matrix.seeds[row, column]:.0f}"
                axes.text(column, row, words, ha="center", va="center", fontsize=8)
    axes.set_xticks(range(columns), list(matrix.targets), fontsize=8)
    axes.set_yticks(range(rows), list(matrix.sources), fontsize=8)
    axes.set_xlabel("target")
    axes.set_ylabel("source")
    return figure
