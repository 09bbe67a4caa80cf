"""Module duplication: within a task the best module of a layer is copied over the worst (paper, Labyrinth).

A module is as good as the genotypes that contain it: its fitness is their mean, over the last ones that were
evaluated. Pure: fitness and a generator in; what is to be copied over what, out. The parameter server copies.

What is active beside a pathway, whether it names it or not, is no part of its genotype here. So a frozen
module is copied only where it is not active anyway: its copy would add the same to the layer's sum again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.genotype import ActiveModules
from pathnet_rl.lineages import Copies

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Copied:
    """How often a module was copied over another of its layer so far in the task."""

    layer: int
    source: int
    target: int
    times: int


def best_and_worst(fitness: Floats, frozen: Collection[int]) -> tuple[int, int] | None:
    """The best module of a layer, and the worst that is neither frozen nor as good; None without such a pair.

    A module of which nothing is known is neither: it may be one that nobody has tried, or a copy that has
    not been judged yet, and would be overwritten again and again. A frozen one may be the best: its copy
    goes on learning, as an heir does. Of equals the first one is taken.

    Args:
        fitness: [M], nan where nothing is known.
    """
    known = np.flatnonzero(~np.isnan(fitness))
    if not len(known):
        return None
    best = int(known[np.argmax(fitness[known])])
    worse = [int(m) for m in known if fitness[m] < fitness[best] and m not in frozen]
    if not worse:
        return None
    return best, worse[int(np.argmin(fitness[worse]))]


class Duplication:
    """What a task's evaluations say of the modules of an L x M grid, and what was copied over what.

    Args:
        window: evaluations of genotypes that contain a module, the last ones, whose mean is its fitness.
        rate: probability, at each evaluation, that a layer is due; 0: nothing is copied, nor remembered.
        rng: draws which layers are due; L numbers an evaluation, whatever comes of them.
    """

    def __init__(
        self, depth: int, modules: int, window: int, rate: float, rng: np.random.Generator
    ) -> None:
        self._depth, self._modules, self._window = depth, modules, window
        self._rate, self._rng = rate, rng
        self.begin_task()

    def begin_task(self) -> None:
        """Nothing is known of any module; all that are not frozen are new."""
        self._seen = [
            [deque[float](maxlen=self._window) for _ in range(self._modules)]
            for _ in range(self._depth)
        ]
        self._replaced = np.zeros((self._depth, self._modules), np.int64)
        self._times: dict[tuple[int, int, int], int] = {}
        self._began: dict[int, int] = {}

    @property
    def copies(self) -> int:
        """Made so far in this task."""
        return sum(self._times.values())

    @property
    def copied(self) -> tuple[Copied, ...]:
        """Which module was copied over which; the pair that was last is last."""
        return tuple(Copied(*pair, times) for pair, times in self._times.items())

    def fitness(self) -> Floats:
        """Of every module, [L, M]; nan of those of which nothing is known."""
        return np.array(
            [[np.mean(seen) if seen else np.nan for seen in layer] for layer in self._seen]
        )

    def begin(self, pathway: int) -> None:
        """A pathway of the population begins an evaluation."""
        self._began[pathway] = self.copies

    def judge(self, pathway: int, path: ActiveModules, fitness: float) -> None:
        """It has been evaluated. Of modules that were overwritten since it began this says nothing.

        Args:
            path: its modules, without those that were active beside it anyway.
        """
        for layer, modules in enumerate(path if self._rate else ()):
            for module in modules:
                if self._replaced[layer, module] <= self._began.get(pathway, 0):
                    self._seen[layer][module].append(fitness)

    def draw(self, frozen: ActiveModules) -> tuple[int, ...]:
        """The layers that are due after an evaluation, if there is something to copy in them."""
        if not self._rate:
            return ()
        drawn = self._rng.random(self._depth) < self._rate
        pairs = self.choose(np.flatnonzero(drawn).tolist(), frozen)
        return tuple(layer for layer, chosen in enumerate(pairs) if chosen)

    def choose(self, layers: Collection[int], frozen: ActiveModules) -> Copies:
        """What to copy over what in these layers: one pair in each, or none."""
        fitness = self.fitness()
        pairs = [
            best_and_worst(fitness[layer], frozen[layer]) if layer in layers else None
            for layer in range(self._depth)
        ]
        return tuple(() if pair is None else (pair,) for pair in pairs)

    def note(self, copies: Copies) -> None:
        """These copies have been made: nothing is known of what is where others were."""
        for layer, pairs in enumerate(copies):
            for source, target in pairs:
                times = self._times.pop((layer, source, target), 0)
                self._times[layer, source, target] = times + 1
                self._seen[layer][target].clear()
                self._replaced[layer, target] = self.copies

    def state(self) -> dict[str, Any] | None:
        """As JSON values; None if nothing is ever copied. Without evaluations under way, which begin anew."""
        if not self._rate:
            return None
        return {
            "fitness": [[list(seen) for seen in layer] for layer in self._seen],
            "copied": [[*pair, times] for pair, times in self._times.items()],
            "generator": self._rng.bit_generator.state,
        }

    def load_state(self, state: dict[str, Any] | None) -> None:
        """Become what `state` returned."""
        self.begin_task()
        if state is None:
            return
        for layer, fitness in zip(self._seen, state["fitness"], strict=True):
            for seen, values in zip(layer, fitness, strict=True):
                seen.extend(values)
        self._times = {(one.layer, one.source, one.target): one.times for one in saved(state)}
        self._rng.bit_generator.state = state["generator"]


def saved(state: dict[str, Any] | None) -> tuple[Copied, ...]:
    """Which module was copied over which, of what `Duplication.state` returned."""
    return tuple(Copied(*numbers) for numbers in state["copied"]) if state else ()
