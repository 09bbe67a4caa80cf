"""Who owns which random numbers: one seed a run, one independent stream an owner.

Owners are named by small integers, so that adding one never changes another's stream.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from pathnet_rl.arms import Arm


class Owner(IntEnum):
    """The owners of random numbers."""

    INITIALISATION = 0
    """The parameter server: fresh modules and heads, one stream a task."""
    TOURNAMENT = 1
    """The coordinator: populations, rivals, mutations."""
    ACTING = 2
    """One pathway's actions and environments, one stream a pathway, task and start of a worker."""
    REPLAY = 3
    """The environments in which finished tasks are played again."""


def seed_sequence(seed: int, arm: Arm, owner: Owner, *key: int) -> np.random.SeedSequence:
    """The stream of one owner in one arm; `key` tells apart an owner's own streams."""
    return np.random.SeedSequence(seed, spawn_key=(list(Arm).index(arm), int(owner), *key))


def generator(seed: int, arm: Arm, owner: Owner, *key: int) -> np.random.Generator:
    """A generator on the owner's stream."""
    return np.random.default_rng(seed_sequence(seed, arm, owner, *key))


def environment_seed(sequence: np.random.SeedSequence) -> int:
    """A seed for E environments (they take consecutive ones), apart from the actions' stream."""
    return int(sequence.spawn(1)[0].generate_state(1)[0] >> 2)
