"""Fitness: what T episodes of a genotype came to (paper, section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pathnet_rl.config import RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.telemetry import Episode


class Evaluation:
    """The T episodes that make a genotype's fitness, shared out over E environments.

    Which episodes count is settled beforehand (the first T/E that each environment begins with this
    genotype): counting whichever T end first would favour short ones.
    """

    def __init__(self, episodes: int, environments: int) -> None:
        share, rest = divmod(episodes, environments)
        self._missing = np.full(environments, share)
        self._missing[:rest] += 1
        self._returns: list[float] = []

    def add(self, episode: Episode) -> None:
        """Count an episode if it is one of the T."""
        if episode.whole and self._missing[episode.environment] > 0:
            self._missing[episode.environment] -= 1
            self._returns.append(episode.episode_return)

    @property
    def fitness(self) -> float | None:
        """The mean raw return of the T episodes, or None while some are missing.

        The paper adds the returns up; T is the same for all, so the order is the same.
        """
        return None if self._missing.any() else float(np.mean(self._returns))


def none_evaluated(config: RunConfig) -> str:
    """What it means that no pathway of a task has a fitness, and what would be right."""
    return (
        f"no pathway has played its T = {config.evolution.episodes} episodes, and without one none can be"
        " called the best and kept; give the task more agent_steps, or lower evolution.episodes,"
        " evolution.population or learning.environments, under another --name"
    )


def check_evaluated(config: RunConfig, state: Mapping[str, Any]) -> None:
    """Refuse what a checkpoint says if its task is over and has no pathway to keep.

    Raises:
        UserError: it is so, and going on would not help.
    """
    task = int(state["store"]["task"])
    over = int(state["store"]["agent_steps"]) >= config.steps_of(task)
    if over and all(value is None for value in state["coordinator"]["fitness"]):
        raise UserError(f"task {task + 1}, {config.tasks[task]}, is over: {none_evaluated(config)}")
