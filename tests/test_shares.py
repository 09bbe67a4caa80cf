"""The population shared out among workers that come and go."""

from __future__ import annotations

import numpy as np
import pytest

from workers.shares import Shares, spread


def sizes(shares: Shares) -> list[int]:
    return [len(shares[worker]) for worker in shares.workers]


def test_a_task_begins_with_pathways_dealt_out_in_turn() -> None:
    shares = Shares(8)
    shares.begin([0, 1, 2])
    assert [shares[worker] for worker in range(3)] == [[0, 3, 6], [1, 4, 7], [2, 5]]


def test_what_a_worker_had_goes_to_those_with_the_fewest() -> None:
    shares = Shares(8)
    shares.begin([0, 1, 2])
    assert sorted(shares.leave(0)) == [1, 2]
    assert sizes(shares) == [4, 4]
    assert shares[2] == [2, 5, 0, 6]


def test_a_worker_that_comes_takes_from_those_with_the_most() -> None:
    shares = Shares(8)
    shares.begin([0, 1])
    assert sorted(shares.join(5)) == [0, 1, 5]
    assert sorted(sizes(shares)) == [2, 3, 3]
    assert shares.workers == [0, 1, 5]


def test_pathways_of_the_last_worker_wait_for_the_next() -> None:
    shares = Shares(3)
    shares.begin([4])
    assert shares.leave(4) == []
    assert shares.workers == []
    assert shares.join(1) == [1]
    assert shares[1] == [0, 1, 2]


@pytest.mark.parametrize("seed", range(5))
def test_whoever_comes_and_goes_every_pathway_has_one_worker_and_shares_are_even(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares = Shares(17)
    shares.begin([0, 1])
    next_worker = 2
    for _ in range(60):
        before = {worker: shares[worker] for worker in shares.workers}
        if rng.random() < 0.5 and len(shares.workers) < 17:
            changed = shares.join(next_worker)
            next_worker += 1
        else:
            changed = shares.leave(int(rng.choice(shares.workers)))
            if not shares.workers:
                changed = shares.join(next_worker)
                next_worker += 1
        assert sorted(p for worker in shares.workers for p in shares[worker]) == list(range(17))
        assert max(sizes(shares)) - min(sizes(shares)) <= 1
        after = {worker: shares[worker] for worker in shares.workers}
        assert {w for w in after if after[w] != before.get(w)} == set(changed)


@pytest.mark.parametrize(
    ("workers", "cpus", "wanted"),
    [
        (4, [2, 4, 2], [1, 2, 1]),
        (3, [0, 8], [0, 3]),
        (9, [2, 3], [2, 3]),
        (0, [2, 3], [0, 0]),
        (2, [1, 1, 1], [1, 1, 0]),
        (4, [0, 1, 4], [0, 1, 3]),
    ],
)
def test_workers_go_where_the_largest_share_is_free(
    workers: int, cpus: list[int], wanted: list[int]
) -> None:
    assert spread(workers, cpus) == wanted
