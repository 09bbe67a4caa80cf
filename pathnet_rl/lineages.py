"""Lineages: how a task's population begins when it is not drawn at random.

Sixty-four random pathways share out their experience over M modules a layer. A lineage has one founder
instead, whose modules learn at nearly the rate of a control's, and mutated copies of it, which explore
around it.

* A *newcomer* is founded on N distinct modules a layer that nobody has used.
* A *builder* is one beside what the last finished task was solved with, which is active and frozen.
* An *heir* is a copy of what a finished task was solved with, and goes on learning; the original stays
  frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from pathnet_rl.errors import UserError
from pathnet_rl.genotype import ActiveModules, Genotype, no_modules, union
from pathnet_rl.settings import MOST, Settings

Copies = tuple[tuple[tuple[int, int], ...], ...]
"""Per layer, which module is copied over which."""


class LineagesConfig(Settings):
    """How a task's population begins, in games and on images.

    Raises:
        UserError: shares without founders, or no share at all.
    """

    start: Literal["random", "founders"] = "random"
    """How a task's population begins: every pathway drawn at random (the paper's rule), or one founder
    of N distinct modules a layer for each lineage, and mutated copies of it."""
    heirs: float = Field(0.0, ge=0.0)
    """Share of the population that descends from copies of finished tasks' pathways, which go on learning.
    This and the next two need start = founders, are relative to their sum, and hold after the first task."""
    builders: float = Field(0.0, ge=0.0)
    """Share that begins with fresh modules beside what the last task was solved with."""
    newcomers: float = Field(1.0, ge=0.0)
    """Share that begins with fresh modules alone."""
    most_heirs: int = Field(3, ge=1, le=MOST)
    """Of how many finished tasks, the last ones, there are heirs; each is a lineage."""

    @model_validator(mode="after")
    def _founds(self) -> Self:
        if self.start == "random" and (self.heirs or self.builders or self.newcomers != 1.0):
            raise UserError("heirs, builders and newcomers need --evolution.start founders")
        if self.heirs + self.builders + self.newcomers <= 0:
            raise UserError("one of heirs, builders and newcomers must have a share")
        return self


@dataclass(frozen=True)
class Solved:
    """What a finished task was solved with: its pathway, and what was active beside it."""

    path: ActiveModules
    always: ActiveModules
    builds_on: tuple[bool, ...]

    @property
    def active(self) -> ActiveModules:
        """All of it."""
        return union(self.path, self.always)


def beside(genotype: Genotype, solved: Sequence[Solved], depth: int) -> ActiveModules:
    """The frozen modules that are active beside a pathway: those of the tasks that it builds on."""
    pairs = zip(genotype.builds_on, solved, strict=True)
    return union(no_modules(depth), *(task.active for built_on, task in pairs if built_on))


@dataclass(frozen=True)
class Heir:
    """A copy of a finished task's pathway.

    Attributes:
        task: which of the finished tasks, from 0. path: the modules of the copy; where no free module was
            left, the frozen original itself. copies: what is to be copied.
    """

    task: int
    path: ActiveModules
    copies: Copies


@dataclass(frozen=True)
class Founder:
    """The first pathway of a lineage; `share` is relative to those of the other lineages."""

    lineage: str
    genotype: Genotype
    share: float


def plan_heirs(
    evolution: LineagesConfig, modules: int, frozen: ActiveModules, solved: Sequence[Solved]
) -> list[Heir]:
    """An heir for each of the last finished tasks, the last one first, on free modules.

    A layer that runs out of free modules gives later heirs the frozen originals instead: they are used there
    and not trained.

    Args:
        modules: M. frozen: all that is, the last task's pathway included.
    """
    if not evolution.heirs:
        return []
    free = [[m for m in range(modules) if m not in layer] for layer in frozen]
    heirs = []
    for task in range(len(solved) - 1, max(-1, len(solved) - 1 - evolution.most_heirs), -1):
        copies, path = [], []
        for places, originals in zip(free, solved[task].path, strict=True):
            pairs = tuple(zip(originals, places, strict=False))
            del places[: len(pairs)]
            copies.append(pairs)
            path.append(tuple(sorted([t for _, t in pairs] + list(originals[len(pairs) :]))))
        heirs.append(Heir(task, tuple(path), tuple(copies)))
    return heirs


def found_lineages(
    config: LineagesConfig,
    depth: int,
    width: int,
    modules: int,
    solved: Sequence[Solved],
    heirs: Sequence[Heir],
    rng: np.random.Generator,
) -> list[Founder]:
    """The founders of a task's lineages, those with the largest claim first; none without a share.

    Args:
        depth: L. width: N. modules: M. solved: what finished tasks were solved with, in order.
    """
    alone = (False,) * len(solved)
    if not solved:
        newcomer = _fresh(depth, width, modules, (), rng)
        return [Founder("newcomer", newcomer.building_on(alone), 1.0)]
    used = [task.active for task in solved] + [heir.path for heir in heirs]
    founders = [
        Founder(
            f"heir of task {heir.task + 1}",
            _filled(heir.path, width).building_on(
                (*solved[heir.task].builds_on, *alone)[: len(solved)]
            ),
            config.heirs / len(heirs),
        )
        for heir in heirs
    ]
    builder = _fresh(depth, width, modules, used, rng).building_on((*alone[1:], True))
    founders.append(Founder("builder", builder, config.builders))
    newcomer = _fresh(depth, width, modules, [*used, builder.active], rng)
    founders.append(Founder("newcomer", newcomer.building_on(alone), config.newcomers))
    return [founder for founder in founders if founder.share > 0]


def _filled(path: ActiveModules, width: int) -> Genotype:
    """A genotype of these modules; where they are fewer than N, some are named twice."""
    return Genotype.from_array([[layer[n % len(layer)] for n in range(width)] for layer in path])


def _fresh(
    depth: int,
    width: int,
    modules: int,
    used: Sequence[ActiveModules],
    rng: np.random.Generator,
) -> Genotype:
    """N distinct modules a layer, drawn from those that the fewest others use."""
    genes = []
    for layer in range(depth):
        users = [sum(module in path[layer] for path in used) for module in range(modules)]
        order = rng.permutation(modules)
        chosen = order[np.argsort(np.array(users)[order], kind="stable")][:width]
        genes.append(sorted(int(module) for module in chosen))
    return Genotype.from_array(genes)


def shared_out(founders: Sequence[Founder], population: int) -> list[int]:
    """Which founder each of P pathways descends from, in turn; every lineage has a pathway if P suffices."""
    total = sum(founder.share for founder in founders)
    held = np.zeros(len(founders))
    found = []
    for number in range(1, population + 1):
        owed = np.array([number * founder.share / total for founder in founders]) - held
        found.append(int(np.argmax(owed)))
        held[found[-1]] += 1
    return found


def descended(
    founders: Sequence[Founder], population: int, mutated: Callable[[Genotype], Genotype]
) -> Iterator[tuple[Founder, Genotype]]:
    """P pathways, each with its founder: every founder itself, and mutated copies of it."""
    begun = set()
    for number in shared_out(founders, population):
        genotype = founders[number].genotype
        yield founders[number], mutated(genotype) if number in begun else genotype
        begun.add(number)
