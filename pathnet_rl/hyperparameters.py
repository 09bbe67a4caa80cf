"""Hyperparameter genes: factors of the configured learning rate and entropy cost that a pathway learns with.

They are drawn once a task, inherited from the winner of a tournament and perturbed on the way, as in
"Population Based Training of Neural Networks" (Jaderberg et al. 2017). PathNet's paper has none.

Hazard: members of a population there have weights of their own. Pathways share modules, so the fitness of one
says something of the factors of all that train its modules, not of its own alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from typing import Literal, Self

import numpy as np

Hyperparameter = Literal["learning_rate", "entropy_cost"]

PERTURBATION = 1.2
"""An inherited factor is multiplied or divided by it, as likely the one as the other: its logarithm has no
drift of its own."""


@dataclass(frozen=True)
class Factors:
    """What a pathway multiplies hyperparameters by; 1 where one is no gene.

    Attributes:
        learning_rate: of the annealed learning rate, for modules and head alike.
        entropy_cost: of the entropy cost.
    """

    learning_rate: float = 1.0
    entropy_cost: float = 1.0

    @classmethod
    def random(
        cls, rng: np.random.Generator, genes: Collection[Hyperparameter], most: float
    ) -> Self:
        """Log-uniform in [1 / most, most], one draw for each gene in the order of the fields above."""
        return cls(**{name: float(most ** rng.uniform(-1.0, 1.0)) for name in _ordered(genes)})

    def perturbed(
        self, rng: np.random.Generator, genes: Collection[Hyperparameter], most: float
    ) -> Factors:
        """Each gene times or by `PERTURBATION`, clamped to [1 / most, most]; one draw for each gene."""
        found = asdict(self)
        for name in _ordered(genes):
            up = bool(rng.integers(2))
            moved = found[name] * PERTURBATION if up else found[name] / PERTURBATION
            found[name] = min(max(moved, 1.0 / most), most)
        return Factors(**found)


AS_CONFIGURED = Factors()
"""Of a pathway without such genes."""


def _ordered(genes: Collection[Hyperparameter]) -> list[str]:
    return [field.name for field in fields(Factors) if field.name in genes]
