"""Which factors of hyperparameters the best pathways had learned with, where these were genes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from pathnet_rl.arms import SWITCHES
from pathnet_rl.envs.registry import short_name
from pathnet_rl.evidence import definitions, html
from pathnet_rl.evidence.html import Cell
from pathnet_rl.evidence.replicates import Group
from pathnet_rl.evidence.runs import Record
from pathnet_rl.evidence.words import number


def factors_found(groups: Iterable[Group]) -> list[str]:
    """A table with a row for each task of each arm that evolves, seed by seed; nothing without such genes."""
    blocks: list[html.Block] = []
    for group in groups:
        rows = [
            row
            for arm in group.arms
            if SWITCHES[arm].evolve
            for _, record in sorted(group.records[arm].items())
            if record.config.evolution.hyperparameters
            for row in _rows(record)
        ]
        if rows:
            blocks.append((group.title(len(group.tasks) - 1), rows))
    if not blocks:
        return []
    header: html.Row = ["arm", Cell("seed"), "task", Cell("learning rate"), Cell("entropy cost")]
    return [html.paragraph(definitions.FACTORS, "note"), html.table_of_blocks(header, blocks)]


def _rows(record: Record) -> Iterable[html.Row]:
    evolution, learning = record.config.evolution, record.config.learning
    configured = {"learning_rate": learning.learning_rate, "entropy_cost": learning.entropy_cost}
    for result in record.results:
        finished = result.finished
        factors = asdict(finished.factors)
        cells = [
            Cell(f"x {number(factors[name])}", f"{value * factors[name]:.3g}")
            if name in evolution.hyperparameters
            else Cell(number(None), "no gene")
            for name, value in configured.items()
        ]
        task = f"{finished.task + 1}: {short_name(finished.name)}"
        yield [record.arm.value, Cell(str(record.seed)), task, *cells]
