"""Who owns which random numbers: one seed a run, one independent stream an owner.

A stream is named by small integers, so that adding an owner or an arm never changes another's stream.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from pathnet_rl.arms import SWITCHES, Arm


class Owner(IntEnum):
    """The owners of random numbers."""

    INITIALISATION = 0
    """Fresh modules and heads, one stream a task: the parameter server's."""
    TOURNAMENT = 1
    """Populations, rivals, mutations, factors of hyperparameters: the coordinator's."""
    ACTING = 2
    """One pathway's actions and environments, one stream a pathway, task and start of a worker."""
    REPLAY = 3
    """The environments in which finished tasks are played again."""
    DATA = 4
    """The order of a task's images, one stream a task: the same in all arms."""
    FINALISTS = 5
    """Finalists' actions and environments, one stream a task: the same for all finalists of it."""
    SETTINGS = 6
    """The settings that a comparison draws: the same for all arms."""
    RANDOM_POLICY = 7
    """Actions and environments of a policy that learns nothing: the same for all games."""
    DUPLICATION = 8
    """At which evaluations modules are duplicated: the coordinator's."""


def seed_sequence(seed: int, arm: Arm, owner: Owner, *key: int) -> np.random.SeedSequence:
    """The stream of one owner in one arm of the games; `key` tells apart an owner's own streams."""
    return np.random.SeedSequence(seed, spawn_key=(list(SWITCHES).index(arm), int(owner), *key))


def generator(seed: int, arm: Arm, owner: Owner, *key: int) -> np.random.Generator:
    """A generator on the owner's stream."""
    return np.random.default_rng(seed_sequence(seed, arm, owner, *key))


SERIAL_NUMBERS = {Owner.DATA: 0, Owner.INITIALISATION: 1, Owner.TOURNAMENT: 2}
"""The owners of a serial experiment on images, and the numbers that their streams have there."""


def serial_generator(seed: int, owner: Owner, task: int, *arm: int) -> np.random.Generator:
    """A generator on the owner's stream in a serial experiment.

    Args:
        arm: the arm's place among the experiment's; left out where all arms share the stream.
    """
    key = (SERIAL_NUMBERS[owner], task, *arm)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def environment_seed(sequence: np.random.SeedSequence) -> int:
    """A seed for E environments (they take consecutive ones), apart from the actions' stream."""
    return int(sequence.spawn(1)[0].generate_state(1)[0] >> 2)
