"""Serial PathNet on labelled images (paper, section 3.1), many seeds at once.

The networks are tiny, so S seeds, each with a grid, a population and a data order of its own, are trained
as one batch of matrix products. What a seed decides does not depend on which others are beside it.

Axes: S seeds, T minibatches of B images; L layers of n active modules with k units; C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pathnet_rl.arms import Switches
from pathnet_rl.config import GridConfig, LinearModule, Settings, check_width
from pathnet_rl.datasets import Task
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import ActiveModules, Genotype, difference, no_modules, union
from pathnet_rl.grid import Grid, fill_uniform
from pathnet_rl.tournament import binary_tournament, fittest

CHUNK = 16
"""Seeds trained side by side: their weights stay in the processor's cache, and calls are few enough."""


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
    """The numbers of S grids and heads, and the training of one pathway in each.

    Args:
        seeds: S. inputs: numbers in an image. classes: C. widest: modules that can be active in a layer.
    """

    def __init__(
        self, config: SupervisedConfig, seeds: int, inputs: int, classes: int, widest: int
    ) -> None:
        self._widest = widest
        self._config, self._grid, self._classes = config, config.grid(inputs), classes
        self._rows = [
            torch.zeros(seeds * layer.modules, layer.module_size) for layer in self._grid.layers
        ]
        self._heads = torch.zeros(seeds, classes, config.units + 1)

    def begin_task(self, seed: int, kept: ActiveModules, rng: np.random.Generator) -> None:
        """Draw everything but the kept modules anew, and a new head."""
        for layer, rows, modules in zip(self._grid.layers, self._rows, kept, strict=True):
            for module in sorted(set(range(layer.modules)) - set(modules)):
                fill_uniform(rows[seed * layer.modules + module], layer.fan_in, rng)
        fill_uniform(self._heads[seed], self._config.units, rng)

    def train(
        self,
        seeds: Sequence[int],
        learned: Sequence[ActiveModules],
        used: Sequence[ActiveModules],
        task: Task,
        images: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Train one pathway in each of some seeds for T minibatches by gradient descent.

        Args:
            seeds: whose. learned, used: modules that are trained, and those that are active beside.
            images: [T, seeds, B], numbers of the task's images.

        Returns:
            [seeds] accuracy on the minibatches, each predicted before it was learned from.
        """
        correct = np.zeros(len(seeds))
        for start in range(0, len(seeds), CHUNK):
            part = slice(start, start + CHUNK)
            correct[part] = self._train_chunk(
                seeds[part], learned[part], used[part], task, images[:, part]
            )
        shares: NDArray[np.float64] = correct / (images.shape[0] * images.shape[2])
        return shares

    @torch.no_grad()
    def _train_chunk(
        self,
        seeds: Sequence[int],
        learned: Sequence[ActiveModules],
        used: Sequence[ActiveModules],
        task: Task,
        images: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        config, chosen = self._config, torch.as_tensor(list(seeds))
        batch = config.batch
        layers = [
            _ActiveLayer(
                rows,
                self._grid.layers[depth].weight_shape,
                [seed * config.modules for seed in seeds],
                [path[depth] for path in learned],
                [path[depth] for path in used],
                self._widest,
            )
            for depth, rows in enumerate(self._rows)
        ]
        head = self._heads[chosen]
        matrix, bias = head[:, :, :-1].contiguous(), head[:, None, :, -1].contiguous()
        scale = layers[-1].active.reciprocal() if config.aggregation == "mean" else None
        step = -config.learning_rate / batch
        order = torch.from_numpy(np.ascontiguousarray(images))
        labels = task.labels[order]
        targets = torch.nn.functional.one_hot(labels, self._classes).float()
        correct = torch.zeros(len(seeds), dtype=torch.int64)
        for minibatch in range(len(images)):
            # A fifth of the time of task.images[...].
            drawn = torch.index_select(task.images, 0, order[minibatch].view(-1))
            current = drawn.view(len(seeds), batch, -1)
            for layer in layers:
                current = layer.forward(current)
            if scale is not None:
                current = current * scale
            logits = torch.baddbmm(bias, current, matrix.transpose(1, 2))
            correct += (logits.argmax(2) == labels[minibatch]).sum(1)
            upstream = torch.softmax(logits, 2).sub_(targets[minibatch])
            below = torch.bmm(upstream, matrix)
            matrix.baddbmm_(upstream.transpose(1, 2), current, alpha=step)
            bias.add_(upstream.sum(1, keepdim=True), alpha=step)
            if scale is not None:
                below = below * scale
            for depth in range(len(layers) - 1, -1, -1):
                below = layers[depth].backward(below, step, depth > 0)
        for layer in layers:
            layer.store()
        self._heads[chosen] = torch.cat([matrix, bias.transpose(1, 2)], 2)
        return correct.numpy()


class _ActiveLayer:
    """One layer of one pathway in each of some seeds: copies of the active modules, trained in place.

    Pathways of fewer modules are filled up with modules of zeros, which add nothing and learn nothing:
    to the same width for all, so that sums are taken in an order that no other seed has a say in.
    """

    def __init__(
        self,
        rows: torch.Tensor,
        shape: tuple[int, ...],
        first_rows: Sequence[int],
        learned: Sequence[tuple[int, ...]],
        used: Sequence[tuple[int, ...]],
        width: int,
    ) -> None:
        self._all, (self._units, inputs), self._width = rows, shape, width
        seeds = len(first_rows)
        places, numbers, learning = [], [], torch.zeros(seeds, self._width)
        counts = torch.zeros(seeds)
        for seed, (first, mine, others) in enumerate(zip(first_rows, learned, used, strict=True)):
            counts[seed] = len(mine) + len(others)
            learning[seed, : len(mine)] = 1.0
            places += [seed * self._width + position for position in range(len(mine + others))]
            numbers += [first + module for module in mine + others]
        self.active = counts.view(-1, 1, 1)
        self._places, self._numbers = torch.tensor(places), torch.tensor(numbers)
        padded = torch.zeros(seeds * self._width, rows.shape[1])
        padded[self._places] = rows[self._numbers]
        weights = self._units * inputs
        self._weight = padded[:, :weights].reshape(seeds, self._width * self._units, inputs)
        self._bias = padded[:, weights:].reshape(seeds, 1, self._width * self._units)
        all_learn = bool((learning == (torch.arange(self._width) < counts[:, None])).all())
        self._learning = (
            None if all_learn else learning.repeat_interleave(self._units, 1).unsqueeze(1)
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """[seeds, B, k] from [seeds, B, inputs]."""
        self._inputs = inputs
        self._kept = torch.baddbmm(self._bias, inputs, self._weight.transpose(1, 2)).clamp_min_(0.0)
        return self._kept.view(*inputs.shape[:2], self._width, self._units).sum(2)

    def backward(self, upstream: torch.Tensor, step: float, need_inputs: bool) -> torch.Tensor:
        """Descend, given d loss / d outputs [seeds, B, k]; the gradient of the inputs, if needed."""
        seeds, batch = upstream.shape[:2]
        kept = self._kept.view(seeds, batch, self._width, self._units)
        spread = upstream.unsqueeze(2).expand_as(kept)
        raw = torch.ops.aten.threshold_backward(spread, kept, 0.0).view(seeds, batch, -1)
        below = torch.bmm(raw, self._weight) if need_inputs else upstream
        if self._learning is not None:
            raw.mul_(self._learning)
        self._weight.baddbmm_(raw.transpose(1, 2), self._inputs, alpha=step)
        self._bias.add_(raw.sum(1, keepdim=True), alpha=step)
        return below

    def store(self) -> None:
        """Write the numbers back to the grid; what was not learned is as it was."""
        modules = self._weight.shape[0] * self._width
        padded = torch.cat([self._weight.reshape(modules, -1), self._bias.reshape(modules, -1)], 1)
        self._all[self._numbers] = padded[self._places]


Progress = Callable[[int, int, int], None]
"""Told (task, generation, seeds still at work) after every generation."""


def run_arm(
    arm: SupervisedArm,
    tasks: Sequence[Task],
    seeds: Sequence[int],
    config: SupervisedConfig,
    progress: Progress = lambda *_: None,
) -> list[list[TaskRecord | None]]:
    """Learn a sequence of tasks with some seeds at once.

    Returns:
        For each seed, a record for each task; None for a task that the arm does not learn.

    Raises:
        UserError: the tasks do not fit together.
    """
    inputs, classes = tasks[0].images.shape[1], tasks[0].classes
    if any(task.images.shape[1] != inputs or task.classes != classes for task in tasks):
        raise UserError("the tasks of a sequence must have images and classes of the same number")
    states = [_Seed(arm, seed, config) for seed in seeds]
    switches = ARM_RULES[arm].switches
    widest = config.width * (len(tasks) if switches.frozen_active and switches.freeze else 1)
    weights = _Weights(config, len(seeds), inputs, classes, min(widest, config.modules))
    kept = [no_modules(config.layers)] * len(seeds)
    records: list[list[TaskRecord | None]] = [[] for _ in seeds]
    for number, task in enumerate(tasks):
        if number < len(tasks) - 1 and not switches.first_task:
            for record in records:
                record.append(None)
            continue
        for row, state in enumerate(states):
            state.begin_task(number, len(task.images))
            weights.begin_task(row, kept[row], state.fresh)
        working = list(range(len(states)))
        while working:
            for row in working:
                states[row].draw_contestants()
            accuracies = []
            for contestant in (0, 1):
                split = [states[row].modules(contestant) for row in working]
                images = np.stack([states[row].next_images() for row in working], axis=1)
                accuracies.append(
                    weights.train(
                        working, [s[0] for s in split], [s[1] for s in split], task, images
                    )
                )
            pairs = zip(*accuracies, strict=True)
            working = [
                row
                for row, (first, second) in zip(working, pairs, strict=True)
                if not states[row].finish_generation((float(first), float(second)))
            ]
            progress(number, max(len(s.record.accuracy) for s in states), len(working))
        for row, state in enumerate(states):
            kept[row] = state.end_task()
            records[row].append(state.record)
    return records
