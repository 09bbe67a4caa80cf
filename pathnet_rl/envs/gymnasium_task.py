"""Any Gymnasium environment with discrete actions and box observations, stepped in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from pathnet_rl.environment_options import EnvironmentOptions
from pathnet_rl.envs.guarded import Guarded
from pathnet_rl.envs.interface import Step
from pathnet_rl.envs.meaning import Meaning
from pathnet_rl.errors import UserError


class GymnasiumEnvironments:
    """E copies of the environment that `make` makes. Images are shown channels first, of 0..255.

    Args:
        name: what messages call it.

    Raises:
        UserError: it cannot be made, its actions are not discrete, or its observations not to be understood.
    """

    def __init__(
        self,
        name: str,
        count: int,
        make: Callable[[], gymnasium.Env[Any, Any]],
        options: EnvironmentOptions,
    ) -> None:
        first = Guarded(name, make)
        actions, space = first.environment.action_space, first.environment.observation_space
        if not isinstance(actions, Discrete):
            raise UserError(f"{name} has {actions} for actions; a task needs Discrete ones")
        if not isinstance(space, Box):
            raise UserError(
                f"{name} observes {space}; a task needs a Box of shape (features,) or an image of three axes"
            )
        self._meaning = Meaning.of(name, space, options)
        first.contradiction = self._meaning.contradiction
        others = [Guarded(name, make, self._meaning.contradiction) for _ in range(count - 1)]
        self._environments = [first, *others]
        self.meaning = str(self._meaning)
        self._first_action = int(actions.start)
        self.count = count
        self.observation_shape, self.observation_dtype = self._meaning.shape, self._meaning.dtype
        self.actions = int(actions.n)

    @property
    def elsewhere_seconds(self) -> float:
        return sum(guarded.elsewhere_seconds for guarded in self._environments)

    def reset(self, seed: int) -> NDArray[np.generic]:
        seen = [guarded.reset(seed + i) for i, guarded in enumerate(self._environments)]
        return self._meaning.shown(np.stack(seen))

    def step(self, actions: NDArray[np.int64]) -> Step:
        came = [
            guarded.step(action)
            for guarded, action in zip(
                self._environments, actions + self._first_action, strict=True
            )
        ]
        terminated = np.array([each.terminated for each in came])
        truncated = np.array([each.truncated for each in came])
        ended = terminated | truncated
        seen = [each.observation for each in came]
        final: NDArray[np.generic] | None = None
        if ended.any():
            final = self._meaning.shown(np.stack(seen))
            for e in np.flatnonzero(ended):
                seen[e] = self._environments[e].reset()
        return Step(
            self._meaning.shown(np.stack(seen)),
            np.array([each.reward for each in came], np.float32),
            terminated,
            truncated,
            ended,
            final,
            {e: each.lost for e, each in enumerate(came) if each.lost},
        )

    def close(self) -> None:
        for guarded in self._environments:
            guarded.close()
