"""Serial PathNet on labelled images (paper, section 3.1): two pathways are trained in turn, the fitter wins.

Axes: T minibatches of B images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.arms import Arm
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import ActiveModules, Genotype, difference, no_modules, union
from pathnet_rl.lineages import Heir, Solved, beside, descended, found_lineages, plan_heirs
from pathnet_rl.seeds import Owner, serial_generator
from pathnet_rl.supervised.config import SerialConfig
from pathnet_rl.supervised.records import TaskRecord
from pathnet_rl.supervised.rules import RULES, place
from pathnet_rl.supervised.seed_grid import SeedGrid
from pathnet_rl.supervised.tasks import Task
from pathnet_rl.tournament import binary_tournament, fittest


class SeedEvolution:
    """One seed's evolution: population, fitness, frozen modules; its weights lie in a `SeedGrid`.

    Attributes:
        solved: what finished tasks were solved with, of an arm that freezes.
        heirs: what is to be copied in the grid before the task is learned.
    """

    def __init__(self, arm: Arm, seed: int, config: SerialConfig) -> None:
        self._seed, self._config = seed, RULES[arm].configured(config)
        self._switches, self._place = RULES[arm].switches, place(arm)
        self.frozen: ActiveModules = no_modules(config.grid.depth)
        self.solved: list[Solved] = []
        self.heirs: list[Heir] = []

    def begin_task(self, task: int, images: int) -> None:
        """A new population; a new pass over the data."""
        grid, evolution = self._config.grid, self._config.evolution
        self.record = TaskRecord()
        self._images = images
        self._data = serial_generator(self._seed, Owner.DATA, task)
        self._order = np.zeros(0, dtype=np.int64)
        self.fresh = serial_generator(self._seed, Owner.INITIALISATION, task, self._place)
        self._rng = serial_generator(self._seed, Owner.TOURNAMENT, task, self._place)
        alone = (False,) * len(self.solved)
        if not self._switches.evolve:
            self.population = [Genotype.fixed(grid.depth, grid.width).building_on(alone)]
        elif evolution.start == "random":
            self.population = [
                Genotype.random(self._rng, grid.depth, grid.modules, grid.width).building_on(alone)
                for _ in range(evolution.population)
            ]
        else:
            self.heirs = plan_heirs(evolution, grid.modules, self.frozen, self.solved)
            founders = found_lineages(
                evolution, grid.depth, grid.width, grid.modules, self.solved, self.heirs, self._rng
            )
            members = descended(founders, evolution.population, self._mutated)
            self.population = [genotype for _, genotype in members]
        self.fitness = np.full(len(self.population), -np.inf)

    def _mutated(self, genotype: Genotype) -> Genotype:
        config = self._config
        return genotype.mutate(self._rng, config.grid.modules, config.mutation_rate)

    def next_images(self) -> NDArray[np.int64]:
        """[T, B] image numbers of the next window: each pass is a new permutation."""
        minibatches, batch = self._config.learning.minibatches, self._config.learning.batch
        wanted = minibatches * batch
        while len(self._order) < wanted:
            self._order = np.concatenate([self._order, self._data.permutation(self._images)])
        window, self._order = self._order[:wanted], self._order[wanted:]
        return window.reshape(minibatches, batch)

    def draw_contestants(self) -> None:
        """Two pathways drawn at random; a population of one meets itself."""
        if len(self.population) == 1:
            self.contestants = (0, 0)
        else:
            first, second = self._rng.choice(len(self.population), size=2, replace=False)
            self.contestants = (int(first), int(second))

    def modules(self, contestant: int) -> tuple[ActiveModules, ActiveModules]:
        """Those that the contestant trains, and those it only uses."""
        genotype = self.population[self.contestants[contestant]]
        always = self.frozen if self._switches.frozen_active else self._beside(genotype)
        active = union(genotype.active, always)
        learned = difference(genotype.active, self.frozen)
        return learned, difference(active, learned)

    def _beside(self, genotype: Genotype) -> ActiveModules:
        return beside(genotype, self.solved, self._config.grid.depth)

    def finish_generation(self, accuracies: tuple[float, float]) -> bool:
        """The tournament; True if the task is over."""
        learning, record = self._config.learning, self.record
        first, second = self.contestants
        self.fitness[[first, second]] = accuracies
        record.generations += 1
        record.accuracy.append(max(accuracies))
        reached = learning.threshold is not None and max(accuracies) >= learning.threshold
        record.censored = learning.threshold is not None and not reached
        if reached or record.generations == learning.generations:
            return True
        if first != second:
            outcome = binary_tournament((first, accuracies[0]), (second, accuracies[1]))
            self.population[outcome.loser] = self._mutated(self.population[outcome.winner])
            self.fitness[outcome.loser] = -np.inf
        return False

    def end_task(self) -> ActiveModules:
        """Freeze what the arm freezes; the modules that keep their numbers."""
        switches, record = self._switches, self.record
        best = self.population[fittest(self.fitness)]
        record.path = best.active
        record.overlap = sum(
            len(set(mine) & set(theirs))
            for mine, theirs in zip(best.active, self.frozen, strict=True)
        )
        if switches.freeze:
            chosen = best
            if switches.freeze_random:
                chosen = self.population[int(self._rng.integers(len(self.population)))]
            self.solved.append(Solved(chosen.active, self._beside(chosen), chosen.builds_on))
            self.frozen = union(self.frozen, chosen.active)
        if switches.reinitialise:
            return self.frozen
        return (tuple(range(self._config.grid.modules)),) * self._config.grid.depth


def run_seed(
    arm: Arm, tasks: Sequence[Task], seed: int, config: SerialConfig
) -> list[TaskRecord | None]:
    """Learn a sequence of tasks with one seed.

    Returns:
        A record for each task; None for a task that the arm does not learn.

    Raises:
        UserError: the tasks do not fit together.
    """
    inputs, classes = tasks[0].images.shape[1], tasks[0].classes
    if any(task.images.shape[1] != inputs or task.classes != classes for task in tasks):
        raise UserError("the tasks of a sequence must have images and classes of the same number")
    switches, grid = RULES[arm].switches, config.grid
    joined = switches.frozen_active or RULES[arm].configured(config).evolution.builders > 0
    widest = grid.width * (len(tasks) if joined and switches.freeze else 1)
    evolution = SeedEvolution(arm, seed, config)
    weights = SeedGrid(config, inputs, classes, min(widest, grid.modules))
    kept = no_modules(grid.depth)
    records: list[TaskRecord | None] = []
    for number, task in enumerate(tasks):
        if number < len(tasks) - 1 and not switches.first_task:
            records.append(None)
            continue
        kept = learn_task(evolution, weights, number, task, kept)
        records.append(evolution.record)
    return records


def learn_task(
    evolution: SeedEvolution, weights: SeedGrid, number: int, task: Task, kept: ActiveModules
) -> ActiveModules:
    """Learn one task of a sequence; the modules that keep their numbers in the next.

    Args:
        number: the task's place in the sequence. kept: what keeps its numbers of those before.
    """
    evolution.begin_task(number, len(task.images))
    copies = [heir.copies for heir in evolution.heirs]
    weights.begin_task(kept, evolution.fresh, copies)
    over = False
    while not over:
        evolution.draw_contestants()
        first, second = (
            weights.train(*evolution.modules(contestant), task, evolution.next_images())
            for contestant in (0, 1)
        )
        over = evolution.finish_generation((first, second))
    return evolution.end_task()
