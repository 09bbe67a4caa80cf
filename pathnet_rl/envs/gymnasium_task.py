"""Any Gymnasium environment with discrete actions and box observations, stepped in this process."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from pathnet_rl.envs.interface import Step
from pathnet_rl.errors import UserError


class GymnasiumEnvironments:
    """E copies of the environment that Gymnasium knows as `name`.

    Raises:
        UserError: its actions are not discrete, or its observations not a box of one axis or three.
    """

    def __init__(self, name: str, count: int) -> None:
        self._vector = SyncVectorEnv(
            [lambda: gymnasium.make(name)] * count, autoreset_mode=AutoresetMode.SAME_STEP
        )
        action_space = self._vector.single_action_space
        space = self._vector.single_observation_space
        if not isinstance(action_space, Discrete):
            raise UserError(f"{name} has {action_space} for actions; a task needs Discrete ones")
        if not isinstance(space, Box) or len(space.shape) not in (1, 3):
            raise UserError(
                f"{name} observes {space}; a task needs a Box of shape (features,) or an image"
                " (channels, height, width)"
            )
        self._first_action = int(action_space.start)
        self.count = count
        self.observation_shape: tuple[int, ...] = space.shape
        self.actions = int(action_space.n)

    def reset(self, seed: int) -> NDArray[np.generic]:
        observations, _ = self._vector.reset(seed=seed)
        return np.array(observations)

    def step(self, actions: NDArray[np.int64]) -> Step:
        observations, rewards, terminated, truncated, info = self._vector.step(
            actions + self._first_action
        )
        ended = terminated | truncated
        final: NDArray[np.generic] | None = None
        if ended.any():
            final = np.array(observations)
            for index in np.flatnonzero(ended):
                final[index] = info["final_obs"][index]
        return Step(
            np.array(observations),
            rewards.astype(np.float32),
            terminated,
            truncated,
            ended,
            final,
        )

    def close(self) -> None:
        self._vector.close()
