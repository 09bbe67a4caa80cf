"""What each arm of the experiments on images does."""

from __future__ import annotations

from dataclasses import dataclass

from pathnet_rl.arms import Arm, Switches
from pathnet_rl.supervised.config import SerialConfig, SerialEvolutionConfig


@dataclass(frozen=True)
class Rules:
    """What an arm does.

    Attributes:
        population: instead of the configured one, if given.
        streams_of: the arm whose random numbers it has; its own, if not given.
    """

    switches: Switches
    population: int | None = None
    streams_of: Arm | None = None

    def configured(self, config: SerialConfig) -> SerialConfig:
        """The configuration as this arm has it."""
        evolution = SerialEvolutionConfig() if self.switches.as_in_paper else config.evolution
        if self.population is not None:
            evolution = evolution.model_copy(update={"population": self.population})
        return config.model_copy(update={"evolution": evolution})


RULES: dict[Arm, Rules] = {
    Arm.PATHNET: Rules(Switches(frozen_active=False)),
    Arm.INDEPENDENT: Rules(Switches(evolve=False, freeze=False, first_task=False)),
    Arm.FINE_TUNE: Rules(Switches(evolve=False, freeze=False, reinitialise=False)),
    Arm.FROM_SCRATCH: Rules(Switches(freeze=False, first_task=False)),
    Arm.RANDOM_PATH: Rules(Switches(freeze_random=True, frozen_active=False)),
    Arm.NO_REINITIALISATION: Rules(Switches(reinitialise=False, frozen_active=False)),
    Arm.FROZEN_ACTIVE: Rules(Switches()),
    Arm.NO_EVOLUTION: Rules(Switches(frozen_active=False), population=1),
    Arm.POPULATION_20: Rules(Switches(frozen_active=False), population=20),
    Arm.PATHNET_PAPER: Rules(
        Switches(frozen_active=False, as_in_paper=True), streams_of=Arm.PATHNET
    ),
}
"""The arms on images. An arm's place in this table is part of its seeds: add new ones at the end.

PathNet and its ablations evolve as the section `evolution` says, so that an ablation differs from PathNet
in one thing. PathNet by the paper's rules draws all pathways at random, mutates with 1/(N L) and has P = 64,
whatever that section says; where it says the same, the two arms are one, to the bit.

From scratch: PathNet on the last task alone, which tells transfer from evolution. Unlike in the
games, the frozen path is not always active here. A population of one is one
path: it meets nobody, so nothing is mutated."""


def place(arm: Arm) -> int:
    """The arm's number among the streams of random numbers."""
    return list(RULES).index(RULES[arm].streams_of or arm)
