"""Random numbers: each owner has a stream of its own, the same in every run of a seed."""

from __future__ import annotations

from itertools import product

from pathnet_rl.arms import SWITCHES, Arm
from pathnet_rl.seeds import Owner, environment_seed, generator, seed_sequence


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


def test_environments_and_actions_of_a_pathway_have_different_streams() -> None:
    seeds = {
        environment_seed(seed_sequence(0, Arm.PATHNET, Owner.ACTING, 0, pathway, 0))
        for pathway in range(64)
    }
    assert len(seeds) == 64
    assert all(0 <= seed < 2**31 - 64 for seed in seeds)  # E consecutive ones must fit an int32.


def test_the_seed_of_environments_does_not_depend_on_who_asked_before() -> None:
    asked_twice = seed_sequence(0, Arm.PATHNET, Owner.EVALUATION, 1)
    first = environment_seed(asked_twice)
    assert first == environment_seed(seed_sequence(0, Arm.PATHNET, Owner.EVALUATION, 1))
