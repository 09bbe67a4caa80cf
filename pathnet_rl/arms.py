"""The arms of an experiment: PathNet, its controls and its ablations, as switches of one program."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Arm(StrEnum):
    """The ways a sequence of tasks can be learned."""

    PATHNET = "pathnet"
    INDEPENDENT = "independent"
    FINE_TUNE = "fine-tune"
    RANDOM_PATH = "random-path"
    NO_REINITIALISATION = "no-reinitialisation"
    FROZEN_INACTIVE = "frozen-inactive"


@dataclass(frozen=True)
class Switches:
    """What an arm does.

    Attributes:
        evolve: pathways are drawn at random and meet in tournaments; else all are the fixed path.
        freeze: the best pathway is frozen when a task ends.
        freeze_random: a random pathway of the population is frozen instead of the best.
        reinitialise: everything that is not frozen is drawn anew when a task ends.
        frozen_active: frozen modules are always active beside the evolving pathway.
        first_task: the arm learns the first task too (a control that does not transfer need not).
    """

    evolve: bool = True
    freeze: bool = True
    freeze_random: bool = False
    reinitialise: bool = True
    frozen_active: bool = True
    first_task: bool = True


SWITCHES: dict[Arm, Switches] = {
    Arm.PATHNET: Switches(),
    Arm.INDEPENDENT: Switches(evolve=False, freeze=False, first_task=False),
    Arm.FINE_TUNE: Switches(evolve=False, freeze=False, reinitialise=False),
    Arm.RANDOM_PATH: Switches(freeze_random=True),
    Arm.NO_REINITIALISATION: Switches(reinitialise=False),
    Arm.FROZEN_INACTIVE: Switches(frozen_active=False),
}
"""Independent: each task from scratch by a fixed path of the largest size. Fine-tune: the same path
goes on to the next task with a new head (paper, section 3)."""
