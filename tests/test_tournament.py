"""The tournament rules: who wins, who can never win, and how rivals are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathnet_rl.tournament import (
    UNEVALUATED,
    Outcome,
    asynchronous_tournament,
    binary_tournament,
    fittest,
)
from tests.support import chi_square


def test_the_asynchronous_rule_on_tape() -> None:
    """A population of six whose entries are judged in turn; fitness is a fixed table."""
    rng = np.random.default_rng(11)
    fitness = np.full(6, UNEVALUATED)
    judged = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0, 5.0, 8.0]
    tape = []
    for turn, value in enumerate(judged):
        challenger = turn % 6
        fitness[challenger] = value
        outcome = asynchronous_tournament(challenger, fitness, 2, rng)
        tape.append((challenger, None if outcome is None else outcome.winner))
        if outcome is not None:
            assert outcome.loser == challenger
            fitness[challenger] = UNEVALUATED
    assert tape == [
        (0, None), (1, None), (2, None), (3, 2), (4, None), (5, None),
        (0, 5), (1, None), (2, 1), (3, 5), (4, 1), (5, None),
    ]  # fmt: skip


fitness_tables = st.lists(
    st.one_of(st.just(UNEVALUATED), st.integers(-3, 3).map(float)), min_size=2, max_size=8
)


@given(fitness_tables, st.integers(1, 9), st.integers(0, 1000))
def test_only_an_evaluated_rival_at_least_as_fit_wins(
    table: list[float], rivals: int, seed: int
) -> None:
    fitness = np.array(table)
    fitness[0] = max(fitness[0], 0.0)
    outcome = asynchronous_tournament(0, fitness, rivals, np.random.default_rng(seed))
    if outcome is not None:
        assert outcome.loser == 0
        assert outcome.winner != 0
        assert np.isfinite(fitness[outcome.winner])
        assert fitness[outcome.winner] >= fitness[0]
    elif rivals >= len(table) - 1:  # It met all of them.
        assert fitness[1:].max() < fitness[0]


@given(fitness_tables, st.integers(0, 1000))
def test_when_all_are_met_the_fittest_wins(table: list[float], seed: int) -> None:
    fitness = np.array(table)
    fitness[0] = -10.0
    outcome = asynchronous_tournament(0, fitness, len(table), np.random.default_rng(seed))
    if np.isfinite(fitness[1:]).any():
        assert outcome is not None
        assert fitness[outcome.winner] == fitness[1:].max()
    else:
        assert outcome is None


def test_an_unevaluated_rival_never_wins_however_unfit_the_challenger() -> None:
    fitness = np.array([-1e300, UNEVALUATED, UNEVALUATED])
    for seed in range(20):
        assert asynchronous_tournament(0, fitness, 2, np.random.default_rng(seed)) is None


def test_an_equal_rival_overwrites_the_challenger() -> None:
    outcome = asynchronous_tournament(1, np.array([7.0, 7.0]), 1, np.random.default_rng(0))
    assert outcome == Outcome(winner=0, loser=1)


def test_a_pathway_without_others_meets_nobody() -> None:
    assert asynchronous_tournament(0, np.array([1.0]), 3, np.random.default_rng(0)) is None


def test_a_challenger_that_was_not_evaluated_is_an_error() -> None:
    with pytest.raises(ValueError, match="before it has been evaluated"):
        asynchronous_tournament(0, np.array([UNEVALUATED, 1.0]), 1, np.random.default_rng(0))


def test_rivals_are_drawn_without_replacement_from_the_others() -> None:
    """The winner is the fittest of B = 2 of 5 others: rank k wins with probability C(5-k, 1) / C(5, 2).

    Drawn with replacement, the fittest would win 36% of the time instead of 40%.
    """
    rng = np.random.default_rng(4)
    fitness = np.array([1.0, 2.0, 0.0, 3.0, 4.0, 5.0])  # The challenger is number 2.
    count = 10_000
    winners = np.zeros(6)
    for _ in range(count):
        outcome = asynchronous_tournament(2, fitness, 2, rng)
        assert outcome is not None
        winners[outcome.winner] += 1
    by_rank = winners[[5, 4, 3, 1, 0]]
    assert by_rank[4] == 0  # The least fit loses to whomever it was drawn with.
    expected = [count * pairs / 10 for pairs in (4, 3, 2, 1)]
    assert chi_square(by_rank[:4].tolist(), expected) < 16.3  # 3 degrees of freedom, p = 0.001.


def test_ties_among_rivals_favour_nobody() -> None:
    rng = np.random.default_rng(6)
    fitness = np.array([0.0, 5.0, 5.0, 5.0])
    winners = np.zeros(4)
    for _ in range(3000):
        outcome = asynchronous_tournament(0, fitness, 2, rng)
        assert outcome is not None
        winners[outcome.winner] += 1
    assert chi_square(winners[1:].tolist(), [1000.0] * 3) < 13.8  # 2 degrees of freedom.


def test_the_binary_tournament_on_tape() -> None:
    assert binary_tournament((3, 0.5), (8, 0.7)) == Outcome(winner=8, loser=3)
    assert binary_tournament((3, 0.7), (8, 0.5)) == Outcome(winner=3, loser=8)
    assert binary_tournament((3, 0.5), (8, 0.5)) == Outcome(winner=3, loser=8)
    assert binary_tournament((0, -0.2), (1, -0.1)) == Outcome(winner=1, loser=0)


@pytest.mark.parametrize("pair", [(UNEVALUATED, 1.0), (1.0, UNEVALUATED), (1.0, float("nan"))])
def test_a_binary_tournament_needs_two_evaluated_contestants(pair: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="before it has been evaluated"):
        binary_tournament((0, pair[0]), (1, pair[1]))


def test_the_fittest_is_the_best_of_those_evaluated() -> None:
    assert fittest(np.array([UNEVALUATED, -3.0, -2.0, -2.0])) == 2
    with pytest.raises(ValueError, match="no pathway has been evaluated"):
        fittest(np.full(3, UNEVALUATED))
