"""The second table: what it costs to have more of something, on one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from launch.bench.contender import Contender, compare
from launch.bench.options import Options
from launch.bench.rows import Row
from launch.bench.tables import print_rows
from pathnet_rl.cpus import usable_cpus

NODES = 3
FEW_PATHWAYS = 8
"""Where the population does not matter: emulators take long to make."""

SETTINGS = {
    "N": (1, 2, 4, 8),
    "L": (3, 4, 5, 6),
    "E": (1, 2, 4, 8),
    "t_max": (5, 10, 20, 40),
}
"""Values of what is varied, one at a time; the preset has N = 4, L = 4, E = 4, t_max = 20."""


def families(game: str, population: int) -> dict[str, list[Row]]:
    """Rows that differ in one thing each; ratios are taken to the first of each family."""
    cpus = usable_cpus()
    few = min(population, max(FEW_PATHWAYS, cpus))
    found = {
        "population": [Row("system", game, size) for size in (population, 4 * population)],
        "frozen": [Row("serial", game, few, varied="frozen", value=n) for n in (0, 1, 3, 5)],
        "workers": [Row("system", game, few, varied="workers", value=n) for n in sorted({1, cpus})],
        "nodes": [
            Row(kind, game, few, varied="workers", value=NODES) for kind in ("system", "nodes")
        ],
    }
    for setting, values in SETTINGS.items():
        found[setting] = [Row("serial", game, few, varied=setting, value=n) for n in values]
    return found


def measure_scaling(game: str, options: Options, scratch: Path, console: Console) -> dict[str, Any]:
    """Every family in turn, by name, and the memory of a further pathway."""
    found: dict[str, Any] = {}
    for name, rows in families(game, options.population).items():
        if name not in options.families:
            continue
        measured = compare(rows, options.rounds, options.seconds, scratch, console)
        found[name] = {_label(name, c): _figures(c, measured[0]) for c in measured}
    if "population" in found:
        first, second = (figures["peak_pss_mib"] for figures in found["population"].values())
        found["mib_per_extra_pathway"] = (second - first) / (3 * options.population)
    return found


def _label(family: str, contender: Contender) -> str:
    row = contender.row
    value = row.population if family == "population" else row.value
    if family == "nodes":
        return f"{value} workers on {value if row.kind == 'nodes' else 'one'} node(s)"
    return str(value)


def _figures(contender: Contender, first: Contender) -> dict[str, float]:
    """A contender's figures; pathway_milliseconds is everything a worker does beside its emulators."""
    return {
        **contender.figures(),
        "relative": contender.relative_to(first),
        "pathway_milliseconds": sum(
            milliseconds
            for phase, milliseconds in contender.phases.items()
            if phase != "environment"
        ),
        "peak_pss_mib": contender.peak_pss,
    }


def print_scaling(console: Console, game: str, found: dict[str, Any]) -> None:
    """One table a family."""
    for name, rows in found.items():
        if isinstance(rows, dict):
            print_rows(console, f"{game}, {name}: agent steps", rows, scaling=True)
    if "mib_per_extra_pathway" in found:
        console.print(f"memory of one more pathway: {found['mib_per_extra_pathway']:.1f} MiB")
