"""A coordinator that remembers which genotype each fitness was of, and says where its table differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pathnet_rl.genotype import Genotype
from pathnet_rl.lineages import Heir, Solved
from pathnet_rl.telemetry import Assignment
from workers.ray_coordinator import CoordinatorActor


class TapedCoordinator(CoordinatorActor):
    """Its checks end the run, with an assertion."""

    _loaded = True
    """Else the table is new, and nothing is known of it yet."""

    def begin_task(self, solved: Sequence[Solved], heirs: Sequence[Heir], budget: int) -> None:
        self._judged_as: dict[int, tuple[Genotype, float]] = {}
        super().begin_task(solved, heirs, budget)

    def compete(
        self, pathway: int, genotype: Genotype, fitness: float, agent_steps: int
    ) -> Assignment:
        if genotype == self._population[pathway]:
            self._judged_as[pathway] = genotype, fitness
        answer = super().compete(pathway, genotype, fitness, agent_steps)
        self._check()
        return answer

    def load_state(self, state: dict[str, Any], solved: Sequence[Solved], budget: int) -> None:
        self._loaded = False
        super().load_state(state, solved, budget)
        table = enumerate(zip(self._population, self._fitness, strict=True))
        self._judged_as = {pathway: (genotype, float(f)) for pathway, (genotype, f) in table}
        self._loaded = True

    def state(self) -> dict[str, Any]:
        self._check()
        return super().state()

    def _check(self) -> None:
        for pathway in np.flatnonzero(np.isfinite(self._fitness)).tolist() if self._loaded else ():
            genotype, fitness = self._judged_as[pathway]
            assert genotype == self._population[pathway], f"fitness of another genotype: {pathway}"
            assert fitness == self._fitness[pathway], f"another fitness: {pathway}"
