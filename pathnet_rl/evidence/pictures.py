"""Every picture of a report, with its caption and the name of its file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.figure import Figure

from pathnet_rl.arms import SWITCHES, Arm
from pathnet_rl.evidence.charts import draw_curve_matrix, draw_learning_curves, draw_matrix
from pathnet_rl.evidence.measures import ArmMeasures
from pathnet_rl.evidence.path_maps import draw_path_maps, path_maps
from pathnet_rl.evidence.replicates import Group
from pathnet_rl.evidence.summary import Matrix
from pathnet_rl.evidence.words import value_of


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        words: what it shows, for whoever cannot see it. file: its name, without the ending.
        first: it is the one to show of several like it.
    """

    kind: Literal["curves", "matrix", "paths"]
    figure: Figure
    caption: str
    words: str
    file: str
    first: bool = True


def draw_all(
    groups: Sequence[Group], measures: Sequence[ArmMeasures], matrices: Iterable[Matrix]
) -> list[Picture]:
    """The pictures of a report; names of files are unique."""
    pictures: list[Picture] = []
    for number, group in enumerate(groups):
        for task in range(len(group.tasks)):
            mine = [m for m in measures if m.group is group and m.task == task]
            if mine:
                words = "; ".join(f"{m.arm.value} {value_of(m.intervals['area'])}" for m in mine)
                pictures.append(
                    Picture(
                        "curves", draw_learning_curves(mine), group.title(task),
                        f"Learning curves; mean returns over the task: {words}",
                        _file("curves", number, task + 1, group.target(task)),
                    )
                )  # fmt: skip
    pictures += _curve_matrices(measures)
    for number, matrix in enumerate(matrices):
        caption = f"{matrix.arm.value} ({matrix.label})" if matrix.label else matrix.arm.value
        pictures.append(
            Picture(
                "matrix", draw_matrix(matrix), caption,
                "Relative areas; transfer_matrix.csv has the numbers",
                _file("transfer_matrix", number, matrix.arm.value),
            )
        )  # fmt: skip
    for number, group in enumerate(groups):
        for arm in group.arms:
            if SWITCHES[arm].freeze and len(group.tasks) > 1:
                pictures += _maps(number, group, arm)
    return pictures


def _curve_matrices(measures: Sequence[ArmMeasures]) -> Iterator[Picture]:
    """Of each setting in which several sources and several targets are paired: all pairs in one picture."""
    settings: dict[str, dict[tuple[str, str], list[ArmMeasures]]] = {}
    for m in measures:
        if m.task == 1 and len(m.group.tasks) == 2:
            cells = settings.setdefault(m.group.label, {})
            cells.setdefault((m.group.source(1), m.group.target(1)), []).append(m)
    for number, (label, cells) in enumerate(settings.items()):
        if all(len({pair[i] for pair in cells}) > 1 for i in (0, 1)):
            yield Picture(
                "matrix", draw_curve_matrix(cells),
                f"Learning curves of each target after each source{f' ({label})' if label else ''}",
                "Rows are sources, columns targets; relative areas over each",
                _file("curve_matrix", number),
            )  # fmt: skip


def _maps(number: int, group: Group, arm: Arm) -> list[Picture]:
    pictures: list[Picture] = []
    for seed, record in sorted(group.records[arm].items()):
        maps = path_maps(record)
        figure = draw_path_maps(maps, record.config.grid.modules)
        caption = f"{group.title(len(group.tasks) - 1)}, {arm.value}, seed {seed}"
        words = "; ".join(
            f"{each.name}: {each.reused} of {each.frozen_before} frozen modules reused"
            for each in maps
        )
        file = _file("paths", number, arm.value, seed)
        pictures.append(Picture("paths", figure, caption, words, file, not pictures))
    return pictures


def _file(kind: str, group: int, *parts: object) -> str:
    return "_".join([kind, str(group + 1), *(re.sub(r"[^\w-]+", "-", str(part)) for part in parts)])
