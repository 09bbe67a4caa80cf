"""The tournament rules, pure: population, fitness and a generator in; who is overwritten out.

The population is a list of genotypes and an aligned array of fitness, shape [P]; -inf stands for a
genotype that has not been evaluated yet and can therefore never win.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNEVALUATED = -np.inf


@dataclass(frozen=True)
class Outcome:
    """What a tournament decided: `loser` becomes a mutated copy of `winner`."""

    winner: int
    loser: int


def asynchronous_tournament(
    challenger: int,
    fitness: NDArray[np.float64],
    rivals: int,
    rng: np.random.Generator,
    among: Sequence[int] | None = None,
) -> Outcome | None:
    """The A3C rule: a pathway that has just been evaluated meets B rivals drawn at random.

    The fittest rival overwrites the challenger if it is at least as fit; otherwise nothing changes.
    Ties among rivals go to the one that was drawn first.

    Args:
        challenger: index of the pathway that has just finished its T episodes.
        fitness: shape [P]; the challenger's own entry must be finite.
        rivals: B, drawn without replacement from the other P-1 (all of them if P-1 < B).
        among: those it may meet, itself included, if not all.

    Raises:
        ValueError: the challenger has not been evaluated.
    """
    if not np.isfinite(fitness[challenger]):
        raise ValueError(f"pathway {challenger} meets rivals before it has been evaluated")
    known = np.arange(len(fitness)) if among is None else np.array(among)
    others = known[known != challenger]
    drawn = rng.choice(others, size=min(rivals, len(others)), replace=False)
    if len(drawn) == 0:
        return None
    fittest = int(drawn[np.argmax(fitness[drawn])])
    if fitness[fittest] >= fitness[challenger]:
        return Outcome(winner=fittest, loser=challenger)
    return None


def worse_half(means: Mapping[str, float]) -> list[str]:
    """Of lineages and their mean fitness, the worse half (the smaller one); of equals the later ones."""
    order = sorted(means, key=lambda name: -means[name])
    return order[(len(order) + 1) // 2 :]


def binary_tournament(first: tuple[int, float], second: tuple[int, float]) -> Outcome:
    """The serial rule: of two evaluated pathways (index, fitness) the fitter overwrites the other.

    The first wins a tie.

    Raises:
        ValueError: a contestant has not been evaluated.
    """
    for index, fitness in (first, second):
        if not np.isfinite(fitness):
            raise ValueError(f"pathway {index} enters a tournament before it has been evaluated")
    if second[1] > first[1]:
        return Outcome(winner=second[0], loser=first[0])
    return Outcome(winner=first[0], loser=second[0])


def fittest(fitness: NDArray[np.float64]) -> int:
    """The index of the best evaluated pathway; the lowest index among equals.

    Raises:
        ValueError: no pathway has been evaluated.
    """
    if not np.isfinite(fitness).any():
        raise ValueError("no pathway has been evaluated yet, so none is the best")
    return int(np.argmax(fitness))
