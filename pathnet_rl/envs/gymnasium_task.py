"""Any Gymnasium environment with discrete actions and box observations, stepped in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from pathnet_rl.environment_options import EnvironmentOptions
from pathnet_rl.envs.interface import Step
from pathnet_rl.errors import UserError


class GymnasiumEnvironments:
    """E copies of the environment that `make` makes. Images are shown channels first.

    Args:
        name: what messages call it.

    Raises:
        UserError: its actions are not discrete, its observations not a box of one axis or three, or it is
            not clear which of three are the channels.
    """

    def __init__(
        self,
        name: str,
        count: int,
        make: Callable[[], gymnasium.Env[Any, Any]],
        options: EnvironmentOptions,
    ) -> None:
        self._vector = SyncVectorEnv([make] * count, autoreset_mode=AutoresetMode.SAME_STEP)
        action_space = self._vector.single_action_space
        space = self._vector.single_observation_space
        if not isinstance(action_space, Discrete):
            raise UserError(f"{name} has {action_space} for actions; a task needs Discrete ones")
        if not isinstance(space, Box) or len(space.shape) not in (1, 3):
            raise UserError(
                f"{name} observes {space}; a task needs a Box of shape (features,) or an image of three axes"
            )
        shape = space.shape
        self._channels_last = len(shape) == 3 and _channels_last(name, shape, options)
        self._first_action = int(action_space.start)
        self.count = count
        self.observation_shape: tuple[int, ...] = (
            (shape[2], *shape[:2]) if self._channels_last else shape
        )
        self.observation_dtype = space.dtype
        self.actions = int(action_space.n)

    @property
    def elsewhere_seconds(self) -> float:
        """What environments say that have such an attribute; others play in this process."""
        played = (environment.unwrapped for environment in self._vector.envs)
        return sum(float(getattr(environment, "elsewhere_seconds", 0.0)) for environment in played)

    def reset(self, seed: int) -> NDArray[np.generic]:
        observations, _ = self._vector.reset(seed=seed)
        return self._shown(observations)

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
            final = self._shown(final)
        return Step(
            self._shown(observations),
            rewards.astype(np.float32),
            terminated,
            truncated,
            ended,
            final,
        )

    def _shown(self, observations: NDArray[np.generic]) -> NDArray[np.generic]:
        """A copy of observations [E, ...], with the channels of images first."""
        if self._channels_last:
            return np.ascontiguousarray(observations.transpose(0, 3, 1, 2))
        return np.array(observations)

    def close(self) -> None:
        self._vector.close()


def _channels_last(name: str, shape: tuple[int, ...], options: EnvironmentOptions) -> bool:
    """Whether the last one of three axes is the channels, and not the first.

    Raises:
        UserError: neither is shorter than all others, and no option says which it is.
    """
    if options.channels != "auto":
        return options.channels == "last"
    first, middle, last = shape
    if min(first, last) < middle and first != last:
        return last < first
    raise UserError(
        f"{name} observes images of shape {shape}, and it is not clear which axis is the channels; say"
        " --channels first or --channels last"
    )
