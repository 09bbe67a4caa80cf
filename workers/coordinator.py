"""The tournament coordinator: it owns the population and its fitness, and picks what is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pathnet_rl.arms import SWITCHES, Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import Genotype
from pathnet_rl.seeds import Owner, generator
from pathnet_rl.telemetry import PopulationSnapshot
from pathnet_rl.tournament import UNEVALUATED, asynchronous_tournament, fittest


class TournamentCoordinator:
    """Population, fitness and tournaments of one arm."""

    def __init__(self, config: RunConfig, arm: Arm) -> None:
        self._config = config
        self._switches = SWITCHES[arm]
        self._rng = generator(config.seed, arm, Owner.TOURNAMENT)
        self.begin_task()

    def begin_task(self) -> None:
        """A new population that nobody has evaluated."""
        grid, size = self._config.grid, self._config.evolution.population
        depth = len(grid.layers)
        if self._switches.evolve:
            self._population = [
                Genotype.random(self._rng, depth, grid.modules, grid.width) for _ in range(size)
            ]
        else:
            self._population = [Genotype.fixed(depth, grid.width)] * size
        self._fitness = np.full(size, UNEVALUATED)
        self._evaluations = self._overwrites = self._mutated_genes = 0

    def genotypes(self, pathways: Sequence[int]) -> list[Genotype]:
        """The genotypes of some pathways, by their index in the population."""
        return [self._population[pathway] for pathway in pathways]

    def compete(self, pathway: int, fitness: float) -> Genotype:
        """A pathway has been evaluated and enters a tournament; the genotype it is to evaluate next."""
        self._fitness[pathway] = fitness
        self._evaluations += 1
        if self._switches.evolve:
            self._hold_tournament(pathway)
        return self._population[pathway]

    def _hold_tournament(self, challenger: int) -> None:
        """The challenger meets B rivals.

        If the fittest of them is at least as fit, a mutated copy of it takes the challenger's place,
        unevaluated. Otherwise nothing changes.
        """
        evolution = self._config.evolution
        outcome = asynchronous_tournament(challenger, self._fitness, evolution.rivals, self._rng)
        if outcome is None:
            return
        parent = self._population[outcome.winner]
        child = parent.mutate(
            self._rng, self._config.grid.modules, self._config.mutation_rate, evolution.wrap
        )
        self._population[outcome.loser] = child
        self._fitness[outcome.loser] = UNEVALUATED
        self._overwrites += 1
        self._mutated_genes += int((child.to_array() != parent.to_array()).sum())

    def chosen(self) -> tuple[Genotype, float]:
        """The pathway a finished task keeps (the fittest; any evaluated one in that ablation).

        Raises:
            UserError: no pathway has been evaluated, so there is none to keep.
        """
        if not np.isfinite(self._fitness).any():
            raise UserError(
                f"the task ended before any pathway had played its T ="
                f" {self._config.evolution.episodes} episodes, so none can be called the best;"
                " give the task more agent_steps, or lower evolution.episodes or evolution.population,"
                " under another --name"
            )
        index = fittest(self._fitness)
        if self._switches.freeze_random:
            index = int(self._rng.choice(np.flatnonzero(np.isfinite(self._fitness))))
        return self._population[index], float(self._fitness[index])

    def snapshot(self) -> PopulationSnapshot:
        """The population as it is now."""
        return PopulationSnapshot(
            tuple(self._population),
            self._fitness.copy(),
            self._evaluations,
            self._overwrites,
            self._mutated_genes,
        )

    def state(self) -> dict[str, Any]:
        """Everything, as JSON values; an unevaluated fitness is null."""
        return {
            "population": [genotype.to_array().tolist() for genotype in self._population],
            "fitness": [float(f) if np.isfinite(f) else None for f in self._fitness],
            "evaluations": self._evaluations,
            "overwrites": self._overwrites,
            "mutated_genes": self._mutated_genes,
            "generator": self._rng.bit_generator.state,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Become what `state` returned."""
        self._population = [Genotype.from_array(genes) for genes in state["population"]]
        self._fitness = np.array(
            [UNEVALUATED if f is None else f for f in state["fitness"]], dtype=np.float64
        )
        self._evaluations = int(state["evaluations"])
        self._overwrites = int(state["overwrites"])
        self._mutated_genes = int(state["mutated_genes"])
        self._rng.bit_generator.state = state["generator"]
