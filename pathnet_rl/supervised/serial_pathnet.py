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
from pathnet_rl.seeds import Owner, serial_generator
from pathnet_rl.supervised.config import SerialConfig
from pathnet_rl.supervised.records import TaskRecord
from pathnet_rl.supervised.rules import RULES, place
from pathnet_rl.supervised.seed_grid import SeedGrid
from pathnet_rl.supervised.tasks import Task
from pathnet_rl.tournament import binary_tournament, fittest


class SeedEvolution:
    """One seed's evolution: population, fitness, frozen modules; its weights lie in a `SeedGrid`."""

    def __init__(self, arm: Arm, seed: int, config: SerialConfig) -> None:
        self._seed, self._config, self._rules = seed, config, RULES[arm]
        self._place = place(arm)
        self.frozen: ActiveModules = no_modules(config.grid.depth)

    def begin_task(self, task: int, images: int) -> None:
        """A new population; a new pass over the data."""
        grid, rules = self._config.grid, self._rules
        self.record = TaskRecord()
        self._images = images
        self._data = serial_generator(self._seed, Owner.DATA, task)
        self._order = np.zeros(0, dtype=np.int64)
        self.fresh = serial_generator(self._seed, Owner.INITIALISATION, task, self._place)
        self._rng = serial_generator(self._seed, Owner.TOURNAMENT, task, self._place)
        if rules.switches.evolve:
            count = rules.population or self._config.evolution.population
            self.population = [
                Genotype.random(self._rng, grid.depth, grid.modules, grid.width)
                for _ in range(count)
            ]
        else:
            self.population = [Genotype.fixed(grid.depth, grid.width)]
        self.fitness = np.full(len(self.population), -np.inf)

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
        path = self.population[self.contestants[contestant]].active
        active = union(path, self.frozen) if self._rules.switches.frozen_active else path
        learned = difference(path, self.frozen)
        return learned, difference(active, learned)

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
            self.population[outcome.loser] = self.population[outcome.winner].mutate(
                self._rng, self._config.grid.modules, self._config.mutation_rate
            )
            self.fitness[outcome.loser] = -np.inf
        return False

    def end_task(self) -> ActiveModules:
        """Freeze what the arm freezes; the modules that keep their numbers."""
        switches, record = self._rules.switches, self.record
        best = self.population[fittest(self.fitness)].active
        record.path = best
        record.overlap = sum(
            len(set(mine) & set(theirs)) for mine, theirs in zip(best, self.frozen, strict=True)
        )
        if switches.freeze:
            chosen = best
            if switches.freeze_random:
                chosen = self.population[int(self._rng.integers(len(self.population)))].active
            self.frozen = union(self.frozen, chosen)
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
    widest = grid.width * (len(tasks) if switches.frozen_active and switches.freeze else 1)
    evolution = SeedEvolution(arm, seed, config)
    weights = SeedGrid(config, inputs, classes, min(widest, grid.modules))
    kept = no_modules(grid.depth)
    records: list[TaskRecord | None] = []
    for number, task in enumerate(tasks):
        if number < len(tasks) - 1 and not switches.first_task:
            records.append(None)
            continue
        evolution.begin_task(number, len(task.images))
        weights.begin_task(kept, evolution.fresh)
        over = False
        while not over:
            evolution.draw_contestants()
            first, second = (
                weights.train(*evolution.modules(contestant), task, evolution.next_images())
                for contestant in (0, 1)
            )
            over = evolution.finish_generation((first, second))
        kept = evolution.end_task()
        records.append(evolution.record)
    return records
