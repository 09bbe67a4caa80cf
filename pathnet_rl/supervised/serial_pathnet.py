"""Serial PathNet on labelled images (paper, section 3.1): two pathways are trained in turn, the fitter wins.

Axes: T minibatches of B images; L layers of n active modules with k units; C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pathnet_rl.arms import Switches
from pathnet_rl.config import GridConfig, check_width
from pathnet_rl.engine.compiled.descent import PathwayDescent
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import ActiveModules, Genotype, difference, no_modules, union
from pathnet_rl.grid import Grid
from pathnet_rl.module_layer import uniform
from pathnet_rl.modules import LinearModule
from pathnet_rl.settings import Settings
from pathnet_rl.supervised.datasets import Task
from pathnet_rl.tournament import binary_tournament, fittest


class SupervisedArm(StrEnum):
    """PathNet, its controls and its ablations."""

    PATHNET = "pathnet"
    INDEPENDENT = "independent"
    FINE_TUNE = "fine-tune"
    FROM_SCRATCH = "from-scratch"
    RANDOM_PATH = "random-path"
    NO_REINITIALISATION = "no-reinitialisation"
    FROZEN_ACTIVE = "frozen-active"
    NO_EVOLUTION = "no-evolution"
    POPULATION_20 = "population-20"


@dataclass(frozen=True)
class ArmRules:
    """What an arm does; `population` instead of the configured one, if given."""

    switches: Switches
    population: int | None = None


ARM_RULES: dict[SupervisedArm, ArmRules] = {
    SupervisedArm.PATHNET: ArmRules(Switches(frozen_active=False)),
    SupervisedArm.INDEPENDENT: ArmRules(Switches(evolve=False, freeze=False, first_task=False)),
    SupervisedArm.FINE_TUNE: ArmRules(Switches(evolve=False, freeze=False, reinitialise=False)),
    SupervisedArm.FROM_SCRATCH: ArmRules(Switches(freeze=False, first_task=False)),
    SupervisedArm.RANDOM_PATH: ArmRules(Switches(freeze_random=True, frozen_active=False)),
    SupervisedArm.NO_REINITIALISATION: ArmRules(Switches(reinitialise=False, frozen_active=False)),
    SupervisedArm.FROZEN_ACTIVE: ArmRules(Switches()),
    SupervisedArm.NO_EVOLUTION: ArmRules(Switches(frozen_active=False), population=1),
    SupervisedArm.POPULATION_20: ArmRules(Switches(frozen_active=False), population=20),
}
"""From scratch: PathNet on the last task alone, which tells transfer from evolution. Unlike in the
games, the frozen path is not always active here. A population of one is one random
path: it meets nobody, so nothing is mutated."""


class SupervisedConfig(Settings):
    """Serial PathNet: binary tournaments on the training stream. Defaults are the paper's for MNIST."""

    section = "learning"
    units: int = Field(20, ge=1)
    """Units of a module, which is one linear layer and a ReLU."""
    layers: int = Field(3, ge=1)
    """L."""
    modules: int = Field(10, ge=1)
    """M: modules in a layer."""
    width: int = Field(3, ge=1)
    """N: the most modules of a layer that one pathway may use."""
    population: int = Field(64, ge=1)
    """P."""
    minibatches: int = Field(50, ge=1)
    """T: minibatches on which a pathway is trained and judged; two such windows are a generation."""
    batch: int = Field(16, ge=1)
    """Images in a minibatch."""
    learning_rate: float = Field(0.05, gt=0.0)
    """Of stochastic gradient descent; the best of a sweep for PathNet and both controls alike."""
    mutation_rate: float | None = Field(None, ge=0.0, le=1.0)
    """Probability that a gene mutates; 1/(N L) when not given."""
    threshold: float | None = Field(0.998, gt=0.0, le=1.0)
    """A task ends when a window's training accuracy is at least this; never, if not given."""
    generations: int = Field(1000, ge=1)
    """A task ends after so many generations in any case; it is then censored."""
    aggregation: Literal["sum", "mean"] = "sum"
    """How the last layer's modules are put together before the head."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_width(self.width, self.modules)
        return self

    def grid(self, inputs: int) -> Grid:
        """The geometry of one seed's grid."""
        layers = (LinearModule(units=self.units),) * self.layers
        return Grid(
            GridConfig(layers=layers, modules=self.modules, width=self.width), (inputs,), ()
        )


class _Owner(IntEnum):
    DATA = 0
    """The order of the images: the same in all arms."""
    INITIALISATION = 1
    EVOLUTION = 2


def _generator(seed: int, owner: _Owner, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(owner), *key)))


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


class _Seed:
    """One seed's evolution: population, fitness, frozen modules; its numbers lie in `_Weights`."""

    def __init__(self, arm: SupervisedArm, seed: int, config: SupervisedConfig) -> None:
        self.seed, self._config, self._rules = seed, config, ARM_RULES[arm]
        self._arm = list(SupervisedArm).index(arm)
        self.frozen: ActiveModules = no_modules(config.layers)

    def begin_task(self, task: int, images: int) -> None:
        """A new population; a new pass over the data."""
        config, rules = self._config, self._rules
        self.record = TaskRecord()
        self._images = images
        self._data = _generator(self.seed, _Owner.DATA, task)
        self._order = np.zeros(0, dtype=np.int64)
        self.fresh = _generator(self.seed, _Owner.INITIALISATION, task, self._arm)
        self._rng = _generator(self.seed, _Owner.EVOLUTION, task, self._arm)
        if rules.switches.evolve:
            count = rules.population or config.population
            self.population = [
                Genotype.random(self._rng, config.layers, config.modules, config.width)
                for _ in range(count)
            ]
        else:
            self.population = [Genotype.fixed(config.layers, config.width)]
        self.fitness = np.full(len(self.population), -np.inf)

    def next_images(self) -> NDArray[np.int64]:
        """[T, B] image numbers of the next window: each pass is a new permutation."""
        wanted = self._config.minibatches * self._config.batch
        while len(self._order) < wanted:
            self._order = np.concatenate([self._order, self._data.permutation(self._images)])
        window, self._order = self._order[:wanted], self._order[wanted:]
        return window.reshape(self._config.minibatches, self._config.batch)

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
        config, record = self._config, self.record
        first, second = self.contestants
        self.fitness[[first, second]] = accuracies
        record.generations += 1
        record.accuracy.append(max(accuracies))
        reached = config.threshold is not None and max(accuracies) >= config.threshold
        record.censored = config.threshold is not None and not reached
        if reached or record.generations == config.generations:
            return True
        if first != second:
            outcome = binary_tournament((first, accuracies[0]), (second, accuracies[1]))
            rate = config.mutation_rate
            rate = 1.0 / (config.width * config.layers) if rate is None else rate
            winner = self.population[outcome.winner]
            self.population[outcome.loser] = winner.mutate(self._rng, config.modules, rate)
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
        return (tuple(range(self._config.modules)),) * self._config.layers


class _Weights:
    """The numbers of one seed's grid and head, and the training of one pathway.

    Args:
        inputs: numbers in an image. classes: C. widest: modules that can be active in a layer.
    """

    def __init__(self, config: SupervisedConfig, inputs: int, classes: int, widest: int) -> None:
        self._config, self._grid = config, config.grid(inputs)
        self._rows = [torch.zeros(layer.modules, layer.module_size) for layer in self._grid.layers]
        self._head = torch.zeros(classes, config.units + 1)
        self._descent = PathwayDescent(
            inputs, config.units, config.layers, classes, config.batch, widest
        )

    def begin_task(self, kept: ActiveModules, rng: np.random.Generator) -> None:
        """Draw everything but the kept modules anew, and a new head."""
        for layer, rows, modules in zip(self._grid.layers, self._rows, kept, strict=True):
            for module in sorted(set(range(layer.modules)) - set(modules)):
                rows[module] = layer.draw(rng)
        drawn = uniform(self._head.numel(), self._config.units, rng)
        self._head.copy_(drawn.view_as(self._head))

    def train(
        self, learned: ActiveModules, used: ActiveModules, task: Task, images: NDArray[np.int64]
    ) -> float:
        """Train one pathway for T minibatches by gradient descent.

        Args:
            learned, used: modules that are trained, and those that are active beside.
            images: [T, B], numbers of the task's images.

        Returns:
            The accuracy on the minibatches, each predicted before it was learned from.
        """
        correct = self._descent.train(
            [rows.numpy() for rows in self._rows],
            self._head.numpy(),
            [np.array(modules, np.int64) for modules in learned],
            [np.array(modules, np.int64) for modules in used],
            task.images.numpy(),
            task.labels.numpy(),
            images,
            self._config.learning_rate,
            self._config.aggregation == "mean",
        )
        return correct / images.size


def run_seed(
    arm: SupervisedArm, tasks: Sequence[Task], seed: int, config: SupervisedConfig
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
    switches = ARM_RULES[arm].switches
    widest = config.width * (len(tasks) if switches.frozen_active and switches.freeze else 1)
    state = _Seed(arm, seed, config)
    weights = _Weights(config, inputs, classes, min(widest, config.modules))
    kept = no_modules(config.layers)
    records: list[TaskRecord | None] = []
    for number, task in enumerate(tasks):
        if number < len(tasks) - 1 and not switches.first_task:
            records.append(None)
            continue
        state.begin_task(number, len(task.images))
        weights.begin_task(kept, state.fresh)
        over = False
        while not over:
            state.draw_contestants()
            first, second = (
                weights.train(*state.modules(contestant), task, state.next_images())
                for contestant in (0, 1)
            )
            over = state.finish_generation((first, second))
        kept = state.end_task()
        records.append(state.record)
    return records
