"""Atari games through ale-py's own vector environment, which preprocesses in C++.

84 x 84 grey images, 4 frames stacked, frame skip 4 with the maximum of the last two. The protocol says
what else is done:

* dqn (Mnih et al. 2015): 1-30 no-op actions at the start, the button that starts the game is pressed,
  a lost life ends the episode for learning, the game's own minimal action set, episodes of at most
  30 minutes of play (108,000 frames).
* machado (Machado et al. 2018): sticky actions (0.25), all 18 actions, a lost life ends nothing, no
  no-ops, episodes of at most 5 minutes of play (18,000 frames).

Returns and lengths are always those of whole games.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from pathnet_rl.envs.interface import Step

PROTOCOLS: Mapping[str, Mapping[str, Any]] = {
    "dqn": {
        "noop_max": 30,
        "use_fire_reset": True,
        "repeat_action_probability": 0.0,
        "full_action_space": False,
        "max_num_frames_per_episode": 108_000,
    },
    "machado": {
        "noop_max": 0,
        "use_fire_reset": False,
        "repeat_action_probability": 0.25,
        "full_action_space": True,
        "max_num_frames_per_episode": 18_000,
    },
}
LIFE_LOSS_TERMINATES = {"dqn": True, "machado": False}


class AtariEnvironments:
    """E copies of one game. `rom` is ale-py's name of it, such as crazy_climber."""

    elsewhere_seconds = 0.0

    def __init__(self, rom: str, count: int, protocol: str) -> None:
        self._vector = AtariVectorEnv(
            rom,
            count,
            num_threads=1,
            reward_clipping=False,
            episodic_life=False,
            autoreset_mode=AutoresetMode.SAME_STEP,
            **PROTOCOLS[protocol],
        )
        self._life_loss_terminates = LIFE_LOSS_TERMINATES[protocol]
        self.count = count
        space, actions = self._vector.single_observation_space, self._vector.single_action_space
        assert isinstance(space, Box)
        assert isinstance(actions, Discrete)
        self.observation_shape: tuple[int, ...] = space.shape
        self.observation_dtype = space.dtype
        self.actions = int(actions.n)
        self._lives = np.zeros(count, dtype=np.int32)

    def reset(self, seed: int) -> NDArray[np.generic]:
        observations, info = self._vector.reset(seed=seed)
        self._lives = info["lives"]
        return np.asarray(observations)

    def step(self, actions: NDArray[np.int64]) -> Step:
        observations, rewards, terminated, truncated, info = self._vector.step(actions)
        ended = terminated | truncated
        lives = info["lives"]
        if self._life_loss_terminates:
            terminated = terminated | (lives < self._lives) & ~ended
        self._lives = lives
        return Step(
            observations,
            rewards.astype(np.float32),
            terminated,
            truncated,
            ended,
            info["final_obs"] if ended.any() else None,
        )

    def close(self) -> None:
        self._vector.close()
