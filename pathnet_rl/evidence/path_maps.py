"""Which modules a task's best pathway has, and which of them earlier tasks had frozen before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pathnet_rl.arms import SWITCHES
from pathnet_rl.envs.registry import short_name
from pathnet_rl.evidence.runs import Record
from pathnet_rl.genotype import ActiveModules, Genotype, no_modules, union

NEW, NAMED, BESIDE = "#7fb8dd", "#e08214", "#fdc980"


@dataclass(frozen=True)
class PathMap:
    """The grid at the end of one task.

    Attributes:
        path: modules that the best pathway names. beside: frozen ones that are active beside it.
        frozen: those of earlier tasks' best pathways.
    """

    name: str
    path: ActiveModules
    beside: ActiveModules
    frozen: ActiveModules

    @property
    def reused(self) -> int:
        """Frozen modules that are active."""
        active = union(self.path, self.beside)
        return sum(len(set(a) & set(f)) for a, f in zip(active, self.frozen, strict=True))

    @property
    def frozen_before(self) -> int:
        """Modules that earlier tasks had frozen."""
        return sum(len(layer) for layer in self.frozen)


def path_maps(record: Record) -> list[PathMap]:
    """One for each task that an arm learned."""
    frozen = no_modules(len(record.config.grid.layers))
    maps = []
    for result in record.results:
        finished = result.finished
        maps.append(PathMap(short_name(finished.name), finished.path, finished.always, frozen))
        if SWITCHES[record.arm].freeze:
            frozen = union(frozen, finished.path)
    return maps


def draw_path_maps(maps: Sequence[PathMap], modules: int) -> Figure:
    """The tasks of one record beside one another, at most two in a row."""
    columns = min(2, len(maps))
    rows = -(-len(maps) // columns)
    depth = len(maps[0].path)
    figure = Figure(
        figsize=(max(2.8, columns * (0.25 * modules + 0.5)), rows * (0.25 * depth + 0.7) + 0.4),
        dpi=150, layout="constrained",
    )  # fmt: skip
    FigureCanvasAgg(figure)
    every = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, (task, each) in zip(every, enumerate(maps), strict=False):
        _draw(axes, each, modules)
        title = f"{task + 1}: {each.name}"
        if each.frozen_before:
            title += f"\nreuses {each.reused} of {each.frozen_before} frozen"
        axes.set_title(title, fontsize=8)
    for axes in every[len(maps) :]:
        axes.set_visible(False)
    looks = ((NEW, "new"), (NAMED, "reused, named"), (BESIDE, "reused, beside"))
    handles = [Rectangle((0, 0), 1, 1, facecolor=look, label=label) for look, label in looks]
    handles.append(
        Rectangle((0, 0), 1, 1, facecolor="white", edgecolor="0.5", hatch="////", label="frozen before")
    )  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=7, frameon=False)
    return figure


def _draw(axes: Axes, each: PathMap, modules: int) -> None:
    for layer in range(len(each.path)):
        for module in range(modules):
            frozen = module in each.frozen[layer]
            face = "white"
            if module in each.path[layer]:
                face = NAMED if frozen else NEW
            elif module in each.beside[layer]:
                face = BESIDE
            axes.add_patch(
                Rectangle((module - 0.45, layer - 0.45), 0.9, 0.9, facecolor=face, edgecolor="0.5",
                          linewidth=0.6, hatch="////" if frozen else None)
            )  # fmt: skip
    axes.set_xlim(-0.6, modules - 0.4)
    axes.set_ylim(-0.6, len(each.path) - 0.4)
    axes.set_aspect("equal")
    axes.set_xticks(range(0, modules, max(1, modules // 5)))
    axes.set_yticks(range(len(each.path)))
    axes.tick_params(labelsize=6, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def lineage_notes(record: Record) -> list[str]:
    """What the last checkpoint says of lineages and activity genes; nothing where it has neither."""
    coordinator: dict[str, Any] = record.state["coordinator"]
    population = [Genotype.from_array(genes) for genes in coordinator.get("population", [])]
    winner = record.results[-1].finished.path
    same = [index for index, genotype in enumerate(population) if genotype.active == winner]
    notes = []
    for result in record.state["results"]:
        genes = result["finished"].get("builds_on")
        if genes:
            does = [str(number) for number, on in enumerate(genes, 1) if on]
            words = f"task {' and '.join(does)}" if does else "no earlier task"
            task = int(result["finished"]["task"]) + 1
            notes.append(f"the best pathway of task {task} builds on {words}")
    lineages = coordinator.get("lineages")
    if lineages:
        shares = Counter(str(name) for name in lineages).most_common()
        words = ", ".join(f"{name} {count} of {len(lineages)}" for name, count in shares)
        notes.append(f"lineages in the last population: {words}")
        if same:
            notes.append(f"lineage of its best pathway: {lineages[same[0]]}")
    builds_on = coordinator.get("builds_on")
    if builds_on and len(builds_on[0]):
        earlier = record.results[: len(builds_on[0])]
        for result, share in zip(earlier, np.mean(builds_on, axis=0), strict=False):
            name = f"task {result.finished.task + 1} ({short_name(result.finished.name)})"
            notes.append(f"{share:.0%} of the last population build on {name}")
    return notes
