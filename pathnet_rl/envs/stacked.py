"""Several of the last images as one observation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.envs.interface import Environments, Step


class StackedImages:
    """The last `images` observations [E, C, H, W] as [E, images x C, H, W], the newest last.

    An episode begins with so many of its first.
    """

    def __init__(self, environments: Environments, images: int) -> None:
        self._environments, self._images = environments, images
        channels, *rest = environments.observation_shape
        self._channels = channels
        self.observation_shape = (images * channels, *rest)
        self.observation_dtype = environments.observation_dtype
        self.actions, self.count = environments.actions, environments.count

    @property
    def elsewhere_seconds(self) -> float:
        return self._environments.elsewhere_seconds

    def reset(self, seed: int) -> NDArray[np.generic]:
        self._stack = self._of_first(self._environments.reset(seed))
        return self._stack.copy()

    def step(self, actions: NDArray[np.int64]) -> Step:
        came = self._environments.step(actions)
        stacked = self._moved_on(came.observations)
        final = None
        if came.final_observations is not None:
            final = self._moved_on(came.final_observations)
            stacked[came.ended] = self._of_first(came.observations[came.ended])
        self._stack = stacked
        return replace(came, observations=stacked.copy(), final_observations=final)

    def close(self) -> None:
        self._environments.close()

    def _of_first(self, observations: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.tile(observations, (1, self._images, 1, 1))

    def _moved_on(self, observations: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.concatenate([self._stack[:, self._channels :], observations], axis=1)
