"""What is kept of a seed: how it learned each task, and the line that stands for it in the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from pathnet_rl.genotype import ActiveModules


@dataclass
class TaskRecord:
    """How one seed learned one task.

    Attributes:
        generations: until a window's accuracy reached the threshold, or the limit.
        censored: it never did, though there was a threshold.
        accuracy: [generations], the better of each generation's two windows.
        path: the best pathway's modules. overlap: how many of them were frozen before.
    """

    generations: int = 0
    censored: bool = False
    accuracy: list[float] = field(default_factory=list)
    path: ActiveModules = ()
    overlap: int = 0


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

    @classmethod
    def of(cls, sequence: str, arm: str, seed: int, records: Sequence[TaskRecord | None]) -> Self:
        """From the records of a sequence's tasks; None for those that the arm does not learn."""
        last = records[-1]
        assert last is not None
        before = [record for record in records[:-1] if record is not None]
        return cls(
            sequence=sequence,
            arm=arm,
            seed=seed,
            generations=last.generations,
            censored=last.censored,
            first_generations=sum(record.generations for record in before),
            first_censored=any(record.censored for record in before),
            overlap=last.overlap,
            accuracy=last.accuracy,
        )
