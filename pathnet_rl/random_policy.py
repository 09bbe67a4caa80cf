"""What a policy gets that learns nothing: episodes of uniformly random actions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathnet_rl import envs
from pathnet_rl.arms import Arm
from pathnet_rl.seeds import Owner, environment_seed, seed_sequence

MOST_STEPS = 27_000
"""Agent steps after which an episode is cut, half an hour of an Atari game; its return so far counts."""


@dataclass(frozen=True)
class RandomEpisode:
    """One episode; `agent_steps` are those of all episodes up to its end, one after the other."""

    agent_steps: int
    episode_return: float


def random_episodes(task: str, protocol: str, episodes: int) -> list[RandomEpisode]:
    """The first episode in each of some environments: taking those that end first would favour short ones.

    The same game gives the same episodes in every comparison.
    """
    sequence = seed_sequence(0, Arm.PATHNET, Owner.RANDOM_POLICY)
    rng = np.random.default_rng(sequence)
    environments = envs.make(task, episodes, protocol)
    try:
        environments.reset(environment_seed(sequence))
        returns, lengths = np.zeros(episodes), np.zeros(episodes, dtype=np.int64)
        playing = np.ones(episodes, dtype=np.bool_)
        while playing.any() and lengths.max() < MOST_STEPS:
            step = environments.step(rng.integers(environments.actions, size=episodes))
            returns[playing] += step.rewards[playing]
            lengths[playing] += 1
            playing &= ~step.ended
    finally:
        environments.close()
    return [
        RandomEpisode(int(end), float(value))
        for end, value in zip(np.cumsum(lengths), returns, strict=True)
    ]
