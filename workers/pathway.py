"""One pathway at work: what a pathway worker has of each member of the population that it owns."""

from __future__ import annotations

import numpy as np

from pathnet_rl.fitness import Evaluation
from pathnet_rl.rollout import RolloutCollector
from pathnet_rl.telemetry import Assignment


class Pathway:
    """One member of the population at work: its genotype, its environments, its evaluation.

    `index` is its place in the population.
    """

    def __init__(
        self,
        index: int,
        assignment: Assignment,
        collector: RolloutCollector,
        rng: np.random.Generator,
        episodes: int,
    ) -> None:
        self.index = index
        self.collector = collector
        self.rng = rng
        self._episodes = episodes
        self.evaluate(assignment)

    def evaluate(self, assignment: Assignment) -> None:
        """Begin T episodes with a genotype."""
        self.genotype, self.always = assignment.genotype, assignment.always
        self.active = self.genotype.active
        self.evaluation = Evaluation(self._episodes, self.collector.environments.count)
        self.collector.new_genotype()
