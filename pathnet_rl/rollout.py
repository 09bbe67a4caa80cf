"""Act t_max steps in E environments with one pathway; what came back.

Axes: T steps of a rollout, E environments.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.a3c import gumbel_noise
from pathnet_rl.envs import Environments
from pathnet_rl.network import PathwayNetwork

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Episode:
    """A finished episode: its raw return, its length in agent steps, the environment it was in.

    `whole` is False for an episode that another genotype began.
    """

    episode_return: float
    length: int
    environment: int
    whole: bool


@dataclass(frozen=True)
class Rollout:
    """What T steps in E environments brought; the arguments of `a3c.n_step_returns`.

    `environment_seconds` are the CPU-seconds that the environments took.
    """

    actions: NDArray[np.int64]
    rewards: Floats
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    final_values: Floats
    bootstrap: Floats
    environment_seconds: float
    episodes: list[Episode] = field(default_factory=list)


class RolloutCollector:
    """E environments in the middle of their episodes, from one rollout to the next."""

    def __init__(self, environments: Environments, seed: int) -> None:
        self.environments = environments
        count = environments.count
        self._observations = environments.reset(seed)
        self._returns = np.zeros(count)
        self._lengths = np.zeros(count, dtype=np.int64)
        self._whole = np.ones(count, dtype=np.bool_)

    def new_genotype(self) -> None:
        """Another genotype acts from here on: episodes under way are not wholly its own."""
        self._whole[:] = self._lengths == 0

    def collect(self, network: PathwayNetwork, steps: int, rng: np.random.Generator) -> Rollout:
        """T = `steps` steps with the pathway that is loaded in `network`."""
        count = self.environments.count
        actions = np.empty((steps, count), dtype=np.int64)
        rewards = np.empty((steps, count), dtype=np.float32)
        terminated = np.empty((steps, count), dtype=np.bool_)
        truncated = np.empty((steps, count), dtype=np.bool_)
        final_values = np.zeros((steps, count), dtype=np.float32)
        episodes: list[Episode] = []
        environment_seconds = 0.0
        noise = gumbel_noise(rng, (steps, count, self.environments.actions))
        for step in range(steps):
            logits, _ = network.forward(self._observations, step)
            actions[step] = (logits + noise[step]).argmax(axis=1)
            began = time.process_time()
            came = self.environments.step(actions[step])
            environment_seconds += time.process_time() - began
            rewards[step] = came.rewards
            terminated[step] = came.terminated
            truncated[step] = came.truncated
            self._returns += came.rewards
            self._lengths += 1
            if came.final_observations is not None:
                if came.truncated.any():
                    # The spare step T is free until the bootstrap value is computed there.
                    _, values = network.forward(came.final_observations, steps)
                    final_values[step] = values
                episodes += self._finish(came.ended)
            self._observations = came.observations
        _, values = network.forward(self._observations, steps)
        return Rollout(
            actions,
            rewards,
            terminated,
            truncated,
            final_values,
            values.copy(),
            environment_seconds,
            episodes,
        )

    def _finish(self, ended: NDArray[np.bool_]) -> list[Episode]:
        finished = [
            Episode(float(self._returns[e]), int(self._lengths[e]), int(e), bool(self._whole[e]))
            for e in np.flatnonzero(ended)
        ]
        self._returns[ended] = 0.0
        self._lengths[ended] = 0
        self._whole[ended] = True
        return finished

    def close(self) -> None:
        """Close the environments."""
        self.environments.close()
