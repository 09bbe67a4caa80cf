"""Pictures: the grid with its pathways, and learning curves with their controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from pathnet_rl.arms import Arm
from pathnet_rl.duplication import Copied
from pathnet_rl.genotype import ActiveModules, Genotype

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f")
"""Told apart by colour-blind readers too (Okabe and Ito)."""


@dataclass(frozen=True)
class Look:
    """How an arm is drawn, the same in all pictures."""

    colour: str
    style: str
    dot: str

    @classmethod
    def of(cls, arm: str) -> Look:
        """There are more arms than colours: those after the last colour have dashed lines, and crosses."""
        lap, place = divmod(list(Arm).index(Arm(arm)), len(COLOURS))
        return cls(COLOURS[place], *(("-", "."), ("--", "x"))[lap])


def usage(genotypes: Sequence[Genotype], depth: int, modules: int) -> NDArray[np.float64]:
    """The share of pathways that use each module, shape [L, M]."""
    counts = np.zeros((depth, modules))
    for genotype in genotypes:
        for layer, active in enumerate(genotype.active):
            counts[layer, list(active)] += 1
    return counts / max(1, len(genotypes))


def draw_grid(
    genotypes: Sequence[Genotype],
    depth: int,
    modules: int,
    frozen: ActiveModules,
    best: Genotype | None,
    title: str,
    copied: Sequence[Copied] = (),
) -> Figure:
    """The L x M grid: usage by colour, the best pathway outlined, frozen modules hatched.

    Args:
        copied: which module was copied over which, the last one last. Modules that were overwritten say of
            which they are copies, and how often they were overwritten if more than once.
    """
    figure = Figure(
        figsize=(0.55 * modules + 1.6, 0.55 * depth + 1.3), dpi=80, layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(
        usage(genotypes, depth, modules), origin="lower", cmap="Blues", vmin=0.0, vmax=1.0
    )
    for layer in range(depth):
        for module in range(modules):
            if module in frozen[layer]:
                axes.add_patch(
                    Rectangle((module - 0.46, layer - 0.46), 0.92, 0.92, fill=False, hatch="////",
                              edgecolor="0.35", linewidth=0.0)
                )  # fmt: skip
            if best is not None and module in best.active[layer]:
                axes.add_patch(
                    Rectangle((module - 0.44, layer - 0.44), 0.88, 0.88, fill=False,
                              edgecolor="tab:red", linewidth=2.0)
                )  # fmt: skip
    legend = (
        "\n(\N{LEFTWARDS ARROW}3: copy of module 3; \N{MULTIPLICATION SIGN}2: overwritten twice)"
    )
    overwritten = {(one.layer, one.target): one.source for one in copied}
    for (layer, target), source in overwritten.items():
        times = sum(one.times for one in copied if (one.layer, one.target) == (layer, target))
        words = f"\N{LEFTWARDS ARROW}{source}" + (
            f"\n\N{MULTIPLICATION SIGN}{times}" if times > 1 else ""
        )
        text = axes.text(target, layer, words, ha="center", va="center", fontsize=8, color="black")
        text.set_path_effects([withStroke(linewidth=2.0, foreground="white")])
    axes.set_xticks(range(modules))
    axes.set_yticks(range(depth))
    axes.set_xlabel("module" + legend * bool(copied))
    axes.set_ylabel("layer")
    axes.set_title(title, fontsize=9)
    figure.colorbar(image, ax=axes, label="share of pathways", shrink=0.9)
    return figure


def pixels(figure: Figure) -> NDArray[np.uint8]:
    """A figure as an RGB image, shape [height, width, 3]."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba(), dtype=np.uint8)[..., :3].copy()


def draw_curves(curves: Mapping[str, NDArray[np.float64]], budget: int, title: str) -> Figure:
    """Learning curves of arms, by name, on one task; each an array over equal stretches of the task."""
    figure = Figure(figsize=(6.4, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, curve in curves.items():
        steps = (np.arange(len(curve)) + 0.5) * budget / len(curve)
        look = Look.of(name)
        axes.plot(steps, curve, label=name, color=look.colour, linestyle=look.style)
    axes.set_xlabel("agent steps of the task")
    axes.set_ylabel("mean return")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
