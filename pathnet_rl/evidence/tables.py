"""The numbers of a report as CSV files, to compute with."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from pathnet_rl.evidence.definitions import DEFINITIONS
from pathnet_rl.evidence.measures import ArmMeasures
from pathnet_rl.evidence.replicates import Group
from pathnet_rl.evidence.summary import Matrix, Whole

PLACE = ("setting", "tasks", "task", "name", "arm")


Table = tuple[Sequence[str], Iterable[Sequence[object]]]


def make_tables(
    groups: Iterable[Group],
    measures: Sequence[ArmMeasures],
    wholes: Iterable[Whole],
    matrices: Iterable[Matrix],
) -> dict[str, Table]:
    """All tables, a header and rows, by the names of their files."""
    return {
        "measures.csv": ((*PLACE, "seed", *DEFINITIONS, "censored", "run"), _seeds(measures)),
        "intervals.csv": (
            (*PLACE, "measure", "seeds", "censored", "value", "low", "high"),
            _intervals(measures),
        ),
        "all_tasks.csv": (
            ("setting", "arm", "after_another_task", "tasks", "seeds", "value", "low", "high"),
            (
                (w.label, w.arm.value, int(w.transfer), w.tasks, w.relative_area.seeds,
                 w.relative_area.value, w.relative_area.low, w.relative_area.high)
                for w in wholes
            ),
        ),
        "settings.csv": (
            ("setting", "option", "value"),
            dict.fromkeys((g.label, *option) for g in groups for option in g.options),
        ),
        "curves.csv": ((*PLACE, "seed", "agent_steps", "mean_return"), _curves(measures)),
        "transfer_matrix.csv": (
            ("setting", "arm", "source", "target", "relative_area", "seeds"),
            (
                (matrix.label, matrix.arm.value, source, target, matrix.values[row, column],
                 int(matrix.seeds[row, column]))
                for matrix in matrices
                for row, source in enumerate(matrix.sources)
                for column, target in enumerate(matrix.targets)
                if np.isfinite(matrix.values[row, column])
            ),
        ),
    }  # fmt: skip


def write_tables(folder: Path, tables: Mapping[str, Table]) -> None:
    """Write tables.

    Raises:
        OSError: they cannot be written.
    """
    for name, (header, rows) in tables.items():
        with (folder / name).open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)


def _place(m: ArmMeasures) -> tuple[object, ...]:
    return m.group.label, ">".join(m.group.tasks), m.task, m.group.tasks[m.task], m.arm.value


def _seeds(measures: Iterable[ArmMeasures]) -> Iterable[Sequence[object]]:
    for m in measures:
        for seed in m.seeds:
            values = (seed.values[name] for name in DEFINITIONS)
            yield (*_place(m), seed.record.seed, *values, int(seed.censored), seed.record.folder)


def _intervals(measures: Iterable[ArmMeasures]) -> Iterable[Sequence[object]]:
    for m in measures:
        for name in DEFINITIONS:
            interval = m.intervals[name]
            if interval is not None:
                censored = m.censored if name == "steps_to_threshold" else 0
                yield (*_place(m), name, interval.seeds, censored,
                       interval.value, interval.low, interval.high)  # fmt: skip


def _curves(measures: Iterable[ArmMeasures]) -> Iterable[Sequence[object]]:
    """A stretch's agent steps are those at its end."""
    for m in measures:
        budget = m.group.budgets[m.task]
        for seed in m.seeds:
            for number, value in enumerate(seed.curve, 1):
                steps = number * budget // len(seed.curve)
                yield (*_place(m), seed.record.seed, steps, f"{value:.6g}")
