"""One pathway at work: what a pathway worker has of each member of the population that it owns."""

from __future__ import annotations

import numpy as np

from pathnet_rl.fitness import Evaluation
from pathnet_rl.rollout import RolloutCollector
from pathnet_rl.telemetry import Assignment

LARGE = 1000.0
"""Vectors of such numbers, of which learning fails whatever its rate. (Images are brought to one scale.)"""


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

    def diverged(self, gradients: int, rate_evolves: bool) -> str:
        """What is said when so many gradients in a row, the last of them its own, are not finite."""
        remedy = "lower --learning.learning-rate"
        if rate_evolves:
            remedy += " or --evolution.hyperparameter-range"
        seen = self.collector.observations
        if seen.ndim == 2 and (most := float(np.abs(seen.astype(np.float64)).max())) > LARGE:
            observed = f"its observations, which reach {most:.2g}, to about 1"
            remedy = f"have the environment scale {observed}, or {remedy}"
        return (
            f"learning diverged: {gradients} gradients in a row, the last of pathway {self.index}, are not"
            f" finite; {remedy}, under another --name"
        )
