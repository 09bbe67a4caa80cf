"""Play one episode in each of some environments, to judge who plays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.envs import Environments
from pathnet_rl.errors import UserError

MOST_ATTEMPTS = 5

Watching = Callable[[int, int, int], None]
"""Is told before each step: agent steps so far in each environment, episodes that have ended, episodes."""


def unwatched(agent_steps: int, ended: int, episodes: int) -> None:
    """Nobody looks."""


@dataclass(frozen=True)
class Played:
    """Returns [E] and lengths [E] of the episodes; `cut` [E] are those that were stopped before their end."""

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    cut: NDArray[np.bool_]


def first_episodes(
    environments: Environments,
    seed: int,
    choose: Callable[[NDArray[np.generic]], NDArray[np.int64]],
    most_steps: int,
    watching: Watching = unwatched,
) -> Played:
    """The first episode in each of E environments: taking those that end first would favour short ones.

    Args:
        choose: from observations [E, ...] to actions [E].
        most_steps: agent steps after which an episode is cut; its return so far counts.
        watching: what it raises ends the episodes.

    Raises:
        UserError: episodes were lost again and again, with the process that they were played in.
    """
    for _ in range(MOST_ATTEMPTS):
        played, lost = _attempt(environments, seed, choose, most_steps, watching)
        if not lost:
            return played
    raise UserError(
        f"no episode could be played to its end, {MOST_ATTEMPTS} times; the last time {lost}"
    )


def _attempt(
    environments: Environments,
    seed: int,
    choose: Callable[[NDArray[np.generic]], NDArray[np.int64]],
    most_steps: int,
    watching: Watching,
) -> tuple[Played, str]:
    """The episodes, or why one of them was lost."""
    count = environments.count
    observations = environments.reset(seed)
    returns, lengths = np.zeros(count), np.zeros(count, dtype=np.int64)
    playing = np.ones(count, dtype=np.bool_)
    lost: list[str] = []
    while playing.any() and not lost and lengths.max() < most_steps:
        watching(int(lengths.max()), count - int(playing.sum()), count)
        step = environments.step(choose(observations))
        returns[playing] += step.rewards[playing]
        lengths[playing] += 1
        lost = [why for environment, why in step.lost.items() if playing[environment]]
        playing &= ~step.ended
        observations = step.observations
    return Played(returns, lengths, playing), "; ".join(dict.fromkeys(lost))
