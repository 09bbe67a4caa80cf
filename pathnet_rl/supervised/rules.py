"""What each arm of the experiments on images does."""

from __future__ import annotations

from dataclasses import dataclass

from pathnet_rl.arms import Arm, Switches


@dataclass(frozen=True)
class Rules:
    """What an arm does; `population` instead of the configured one, if given."""

    switches: Switches
    population: int | None = None


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
}
"""The arms on images. An arm's place in this table is part of its seeds: add new ones at the end.

From scratch: PathNet on the last task alone, which tells transfer from evolution. Unlike in the
games, the frozen path is not always active here. A population of one is one random
path: it meets nobody, so nothing is mutated."""


def place(arm: Arm) -> int:
    """The arm's number among the streams of random numbers."""
    return list(RULES).index(arm)
