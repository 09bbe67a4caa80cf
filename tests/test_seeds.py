"""Random numbers: each owner has a stream of its own, the same in every run of a seed."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from pathnet_rl.arms import SWITCHES, Arm
from pathnet_rl.seeds import Owner, environment_seed, generator, seed_sequence, serial_generator
from pathnet_rl.supervised.rules import place


def test_the_same_owner_draws_the_same_numbers() -> None:
    one, other = (generator(3, Arm.PATHNET, Owner.ACTING, 1, 2, 0) for _ in range(2))
    assert one.integers(0, 2**62, 5).tolist() == other.integers(0, 2**62, 5).tolist()


def test_no_two_owners_share_a_stream() -> None:
    keys = [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (0, 1, 0), (0, 1, 64)]
    first = [
        int(generator(seed, arm, owner, *key).integers(0, 2**62))
        for seed, arm, owner, key in product((0, 1), SWITCHES, Owner, keys)
    ]
    assert len(set(first)) == len(first)


@pytest.mark.parametrize(
    ("arm", "owner", "key"),
    [
        (Arm.PATHNET, Owner.INITIALISATION, (0, 0, 7)),
        (Arm.FINE_TUNE, Owner.TOURNAMENT, (2, 1, 7)),
        (Arm.FROZEN_INACTIVE, Owner.ACTING, (5, 2, 7)),
    ],
)
def test_a_stream_of_the_games_has_the_numbers_that_recorded_runs_were_made_with(
    arm: Arm, owner: Owner, key: tuple[int, ...]
) -> None:
    found = seed_sequence(11, arm, owner, 7).generate_state(4)
    assert found.tolist() == np.random.SeedSequence(11, spawn_key=key).generate_state(4).tolist()


@pytest.mark.parametrize(
    ("arm", "owner", "key"),
    [
        (Arm.PATHNET, Owner.DATA, (0, 7)),
        (Arm.POPULATION_20, Owner.DATA, (0, 7)),
        (Arm.FINE_TUNE, Owner.INITIALISATION, (1, 7, 2)),
        (Arm.FROM_SCRATCH, Owner.TOURNAMENT, (2, 7, 3)),
        (Arm.RANDOM_PATH, Owner.TOURNAMENT, (2, 7, 4)),
        (Arm.POPULATION_20, Owner.INITIALISATION, (1, 7, 8)),
    ],
)
def test_a_stream_of_the_images_has_the_numbers_that_recorded_runs_were_made_with(
    arm: Arm, owner: Owner, key: tuple[int, ...]
) -> None:
    found = serial_generator(11, owner, 7, *([] if owner is Owner.DATA else [place(arm)]))
    wanted = np.random.default_rng(np.random.SeedSequence(11, spawn_key=key))
    assert found.integers(0, 2**62, 4).tolist() == wanted.integers(0, 2**62, 4).tolist()


def test_environments_and_actions_of_a_pathway_have_different_streams() -> None:
    seeds = {
        environment_seed(seed_sequence(0, Arm.PATHNET, Owner.ACTING, 0, pathway, 0))
        for pathway in range(64)
    }
    assert len(seeds) == 64
    assert all(0 <= seed < 2**31 - 64 for seed in seeds)  # E consecutive ones must fit an int32.


def test_the_seed_of_environments_does_not_depend_on_who_asked_before() -> None:
    asked_twice = seed_sequence(0, Arm.PATHNET, Owner.REPLAY, 1)
    first = environment_seed(asked_twice)
    assert first == environment_seed(seed_sequence(0, Arm.PATHNET, Owner.REPLAY, 1))
