"""The tournament coordinator: it owns the population and its fitness, and picks what is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from pathnet_rl.arms import SWITCHES, Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.crew import Server
from pathnet_rl.duplication import Duplication
from pathnet_rl.errors import UserError
from pathnet_rl.fitness import none_evaluated
from pathnet_rl.genotype import ActiveModules, Genotype, difference, no_modules, union
from pathnet_rl.hyperparameters import Factors, Hyperparameter
from pathnet_rl.lineages import Heir, Solved, beside, descended, found_lineages
from pathnet_rl.seeds import Owner, generator
from pathnet_rl.telemetry import Assignment, PopulationSnapshot
from pathnet_rl.tournament import UNEVALUATED, asynchronous_tournament, fittest, worse_half

ONLY_LINEAGE = "population"
"""Of pathways that are drawn at random, or that do not evolve."""


class TournamentCoordinator:
    """Population, fitness and tournaments of one arm.

    Args:
        server: copies modules over others, in a run that duplicates them.
    """

    def __init__(self, config: RunConfig, arm: Arm, server: Server | None = None) -> None:
        self._config = config.of(arm)
        self._switches = SWITCHES[arm]
        self._rng = generator(config.seed, arm, Owner.TOURNAMENT)
        self._server = server
        grid, evolution = self._config.grid, self._config.evolution
        self._duplication = Duplication(
            len(grid.layers),
            grid.modules,
            evolution.duplication_window,
            evolution.duplication_rate if self._switches.evolve else 0.0,
            generator(config.seed, arm, Owner.DUPLICATION),
        )
        self.begin_task((), (), config.steps_of(0))

    def begin_task(self, solved: Sequence[Solved], heirs: Sequence[Heir], budget: int) -> None:
        """A new population that nobody has evaluated.

        Args:
            solved: what finished tasks were solved with, in order. heirs: copies of some, in the grid.
            budget: agent steps of the task.
        """
        grid, evolution = self._config.grid, self._config.evolution
        size, depth = evolution.population, len(grid.layers)
        self._solved, self._budget = tuple(solved), budget
        self._lineages = [ONLY_LINEAGE] * size
        all_frozen = (self._switches.frozen_active,) * len(solved)
        if not self._switches.evolve:
            fixed = Genotype.fixed(depth, grid.width).building_on(all_frozen)
            self._population = [fixed] * size
        elif evolution.start == "random":
            self._population = [
                Genotype.random(self._rng, depth, grid.modules, grid.width).building_on(all_frozen)
                for _ in range(size)
            ]
        else:
            founders = found_lineages(
                evolution, depth, grid.width, grid.modules, solved, heirs, self._rng
            )
            if not self._evolves_building:
                founders = [
                    replace(founder, genotype=founder.genotype.building_on(all_frozen))
                    for founder in founders
                ]
            self._population = []
            members = descended(founders, size, self._mutated)
            for pathway, (founder, genotype) in enumerate(members):
                self._population.append(genotype)
                self._lineages[pathway] = founder.lineage
        # Anew in each task, as everything is that is not frozen: what is reused is modules and nothing else.
        self._population = [
            genotype.learning_with(Factors.random(self._rng, *self._hyperparameters))
            for genotype in self._population
        ]
        self._fitness = np.full(size, UNEVALUATED)
        self._evaluations = self._overwrites = self._mutated_genes = 0
        self._halved = 0
        self._judged: dict[str, list[float]] = {}
        self._duplication.begin_task()

    @property
    def _evolves_building(self) -> bool:
        return self._switches.frozen_active and self._config.evolution.building == "evolved"

    def _mutated(self, genotype: Genotype) -> Genotype:
        return genotype.mutate(
            self._rng,
            self._config.grid.modules,
            self._config.mutation_rate,
            self._config.evolution.wrap,
            self._evolves_building,
        )

    @property
    def _hyperparameters(self) -> tuple[tuple[Hyperparameter, ...], float]:
        """Those that are genes, none in an arm that does not evolve, and the largest factor."""
        evolution = self._config.evolution
        genes = evolution.hyperparameters if self._switches.evolve else ()
        return genes, evolution.hyperparameter_range

    @property
    def _apart(self) -> bool:
        """Lineages are still to be halved, and until then tournaments are held inside each."""
        return self._halved < len(self._config.evolution.halvings)

    def assignments(self, pathways: Sequence[int]) -> list[Assignment]:
        """What some pathways, by their index in the population, are to evaluate."""
        return [self._begin(pathway) for pathway in pathways]

    def _begin(self, pathway: int) -> Assignment:
        """What a pathway evaluates from now on."""
        self._duplication.begin(pathway)
        return self._assignment(pathway)

    def _assignment(self, pathway: int) -> Assignment:
        genotype = self._population[pathway]
        return Assignment(genotype, beside(genotype, self._solved, len(self._config.grid.layers)))

    def compete(
        self, pathway: int, genotype: Genotype, fitness: float, agent_steps: int
    ) -> Assignment:
        """A pathway has been evaluated and enters a tournament; what it is to evaluate next.

        Args:
            genotype: that was evaluated. If its lineage has ended meanwhile, the fitness is nobody's.
            agent_steps: done in the task.
        """
        self.advance(agent_steps)
        if genotype != self._population[pathway]:
            return self._begin(pathway)
        self._fitness[pathway] = fitness
        self._evaluations += 1
        if self._apart:
            self._judged.setdefault(self._lineages[pathway], []).append(fitness)
        if self._switches.evolve:
            self._hold_tournament(pathway)
        always = beside(genotype, self._solved, len(self._config.grid.layers))
        self._duplication.judge(pathway, difference(genotype.active, always), fitness)
        return replace(self._begin(pathway), duplicate_in=self._duplication.draw(self._frozen))

    def duplicate(self, pathway: int, layers: Sequence[int]) -> None:
        """Have the best module copied over the worst in each of these layers, by what is known now.

        Args:
            pathway: that was told to ask for it, and begins its evaluation afterwards.
        """
        assert self._server is not None, "a run that duplicates modules has a server that does it"
        copies = self._duplication.choose(layers, self._frozen)
        self._server.duplicate(copies)
        self._duplication.note(copies)
        self._duplication.begin(pathway)

    @property
    def _frozen(self) -> ActiveModules:
        """Modules that never change again: what finished tasks were solved with."""
        depth = len(self._config.grid.layers)
        return union(no_modules(depth), *(task.path for task in self._solved))

    def _hold_tournament(self, challenger: int) -> None:
        """The challenger meets B rivals, of its lineage while lineages are apart.

        If the fittest of them is at least as fit, a mutated copy of it takes the challenger's place,
        unevaluated. Otherwise nothing changes.
        """
        rivals = self._config.evolution.rivals
        among = self._members(self._lineages[challenger]) if self._apart else None
        outcome = asynchronous_tournament(challenger, self._fitness, rivals, self._rng, among)
        if outcome is not None:
            self._overwrite(outcome.loser, outcome.winner)

    def _overwrite(self, loser: int, winner: int) -> None:
        parent = self._population[winner]
        child = self._mutated(parent)
        child = child.learning_with(parent.factors.perturbed(self._rng, *self._hyperparameters))
        self._population[loser] = child
        self._lineages[loser] = self._lineages[winner]
        self._fitness[loser] = UNEVALUATED
        self._overwrites += 1
        self._mutated_genes += int((child.to_array() != parent.to_array()).sum())

    def _members(self, lineage: str) -> list[int]:
        return [pathway for pathway, mine in enumerate(self._lineages) if mine == lineage]

    def advance(self, agent_steps: int) -> None:
        """End the worse half of the lineages if that is due, by the mean of all their evaluations.

        It waits until every lineage has been judged at least once.
        """
        halvings = self._config.evolution.halvings
        while self._apart and agent_steps >= halvings[self._halved] * self._budget:
            alive = list(dict.fromkeys(self._lineages))
            if any(lineage not in self._judged for lineage in alive):
                return
            self._halved += 1
            means = {lineage: float(np.mean(self._judged[lineage])) for lineage in alive}
            best = self._members(max(means, key=means.__getitem__))
            for lineage in worse_half(means):
                for pathway in self._members(lineage):
                    self._overwrite(pathway, best[int(np.argmax(self._fitness[best]))])
            self._judged = {}

    def finalists(self, count: int) -> list[tuple[Assignment, float]]:
        """The fittest pathways, no two of them the same, with their fitness; the fittest first.

        Raises:
            UserError: no pathway has been evaluated, so there is none to keep.
        """
        evaluated = np.flatnonzero(np.isfinite(self._fitness))
        if not len(evaluated):
            raise UserError(f"the task is over: {none_evaluated(self._config)}")
        if self._switches.freeze_random:
            order = [int(self._rng.choice(evaluated))]
        else:
            order = [fittest(self._fitness)]
            others = evaluated[np.argsort(-self._fitness[evaluated], kind="stable")]
            order += [int(pathway) for pathway in others if pathway != order[0]]
        # Of pathways that are the same, as a control's all are, the fittest stands for all.
        found: dict[Assignment, float] = {}
        for pathway in order:
            found.setdefault(self._assignment(pathway), float(self._fitness[pathway]))
        return list(found.items())[:count]

    def snapshot(self) -> PopulationSnapshot:
        """The population as it is now."""
        return PopulationSnapshot(
            tuple(self._population),
            self._fitness.copy(),
            self._evaluations,
            self._overwrites,
            self._mutated_genes,
            tuple(self._lineages),
            self._duplication.copied,
        )

    def state(self) -> dict[str, Any]:
        """Everything, as JSON values; an unevaluated fitness is null."""
        return {
            "population": [genotype.to_array().tolist() for genotype in self._population],
            "builds_on": [list(genotype.builds_on) for genotype in self._population],
            "factors": [asdict(genotype.factors) for genotype in self._population],
            "lineages": list(self._lineages),
            "halved": self._halved,
            "judged": {name: list(found) for name, found in self._judged.items()},
            "fitness": [float(f) if np.isfinite(f) else None for f in self._fitness],
            "evaluations": self._evaluations,
            "overwrites": self._overwrites,
            "mutated_genes": self._mutated_genes,
            "generator": self._rng.bit_generator.state,
            "duplication": self._duplication.state(),
        }

    def load_state(self, state: dict[str, Any], solved: Sequence[Solved], budget: int) -> None:
        """Become what `state` returned, in a task of this budget after these are solved.

        A state of an older version knows of no lineages, no factors, no duplication, and of nothing but what
        is always active.
        """
        size = len(state["population"])
        self._solved, self._budget = tuple(solved), budget
        all_frozen = [self._switches.frozen_active] * len(solved)
        self._population = [
            Genotype.from_array(genes).building_on(building).learning_with(Factors(**factors))
            for genes, building, factors in zip(
                state["population"],
                state.get("builds_on", [all_frozen] * size),
                state.get("factors", [{}] * size),
                strict=True,
            )
        ]
        self._lineages = list(state.get("lineages", [ONLY_LINEAGE] * size))
        self._halved = int(state.get("halved", 0))
        self._judged = {name: list(found) for name, found in state.get("judged", {}).items()}
        self._fitness = np.array(
            [UNEVALUATED if f is None else f for f in state["fitness"]], dtype=np.float64
        )
        self._evaluations = int(state["evaluations"])
        self._overwrites = int(state["overwrites"])
        self._mutated_genes = int(state["mutated_genes"])
        self._rng.bit_generator.state = state["generator"]
        self._duplication.load_state(state.get("duplication"))
