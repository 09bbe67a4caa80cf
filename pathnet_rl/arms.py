"""The arms of an experiment: PathNet, its controls and its ablations, as switches of one program.

What an arm of the games does is said here, what an arm of the experiments on images does in
`supervised/rules.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pathnet_rl.errors import UserError


class Arm(StrEnum):
    """The ways a sequence of tasks can be learned: names only, of games and of images."""

    PATHNET = "pathnet"
    INDEPENDENT = "independent"
    FINE_TUNE = "fine-tune"
    RANDOM_PATH = "random-path"
    NO_REINITIALISATION = "no-reinitialisation"
    FROZEN_INACTIVE = "frozen-inactive"
    FROM_SCRATCH = "from-scratch"
    FROZEN_ACTIVE = "frozen-active"
    NO_EVOLUTION = "no-evolution"
    POPULATION_20 = "population-20"
    PATHNET_PAPER = "pathnet-paper"
    """PathNet by the paper's own rules (section 3.1), whatever `evolution` says."""


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
        as_in_paper: it evolves by the paper's rules (section 3.1), whatever is configured.
    """

    evolve: bool = True
    freeze: bool = True
    freeze_random: bool = False
    reinitialise: bool = True
    frozen_active: bool = True
    first_task: bool = True
    as_in_paper: bool = False


SWITCHES: dict[Arm, Switches] = {
    Arm.PATHNET: Switches(),
    Arm.INDEPENDENT: Switches(evolve=False, freeze=False, first_task=False),
    Arm.FINE_TUNE: Switches(evolve=False, freeze=False, reinitialise=False),
    Arm.RANDOM_PATH: Switches(freeze_random=True),
    Arm.NO_REINITIALISATION: Switches(reinitialise=False),
    Arm.FROZEN_INACTIVE: Switches(frozen_active=False),
    Arm.PATHNET_PAPER: Switches(as_in_paper=True),
}
"""The arms of the games. An arm's place in this table is part of its seeds: add new ones at the end.

Independent: each task from scratch by a fixed path of the largest size. Fine-tune: the same path
goes on to the next task with a new head (paper, section 3). Pathnet-paper: PathNet by the paper's own
rules of evolution, whatever the configuration says of how a population begins and what it reuses."""


def check_arms(arms: Sequence[Arm], known: Iterable[Arm]) -> None:
    """Refuse arms that an experiment does not have, and arms that are named twice.

    Raises:
        UserError: says which there are.
    """
    names = [arm.value for arm in known]
    for arm in arms:
        if arm.value not in names:
            raise UserError(f"there is no arm {arm.value} here; choose from {', '.join(names)}")
    if len(set(arms)) < len(arms):
        raise UserError(f"an arm is named twice in {' '.join(arms)}")
