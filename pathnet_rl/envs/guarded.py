"""One Gymnasium environment that may fail: then it is made anew. What is no number is named as its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pathnet_rl.envs.interface import MOST_LOST_IN_A_ROW
from pathnet_rl.errors import UserError

Array = NDArray[np.generic]


class Came(NamedTuple):
    """What a step came to; `lost` says why the episode counts for nothing, if it ended by a failure."""

    observation: Array
    reward: float
    terminated: bool
    truncated: bool
    lost: str


class Guarded:
    """An environment whose exceptions cost an episode, not the run.

    Args:
        name: what messages call it.
        make: makes it, and makes it anew after a failure.
    """

    def __init__(self, name: str, make: Callable[[], gymnasium.Env[Any, Any]]) -> None:
        self._name, self._make = name, make
        self.environment = self._made()
        self._failures = self._fruitless = self._steps = 0
        self._seed = 0
        self._earlier_seconds = 0.0
        self._next_seed: int | None = None

    def reset(self, seed: int | None = None) -> Array:
        """The first observation of an episode.

        Raises:
            UserError: it failed again and again to begin one, or shows what is no number.
        """
        self._seed = self._seed if seed is None else seed
        seed = self._next_seed if seed is None else seed
        self._steps = 0
        while True:
            try:
                observation, _ = self.environment.reset(seed=seed)
            except Exception as error:  # noqa: BLE001 - whatever its code does
                self._fail(error, "an episode began")
                seed = self._next_seed
            else:
                break
        self._next_seed = None
        self._last = self._checked(observation)
        return self._last

    def step(self, action: np.int64) -> Came:
        """One step.

        Raises:
            UserError: it pays or shows what is no number, or has failed again and again without an episode in
                between.
        """
        self._steps += 1
        try:
            observation, paid, terminated, truncated, _ = self.environment.step(action)
            reward = float(paid)
        except Exception as error:  # noqa: BLE001 - whatever its code does
            # As if the episode had been cut where it was seen last.
            return Came(self._last, 0.0, False, True, self._fail(error, "an episode ended"))
        if not np.isfinite(reward):
            raise UserError(f"{self._name} paid {reward} in step {self._steps} of an episode")
        self._last = self._checked(observation)
        if terminated or truncated:
            self._fruitless = 0
        return Came(self._last, reward, bool(terminated), bool(truncated), "")

    @property
    def elsewhere_seconds(self) -> float:
        """CPU-seconds in other processes, of an environment that says so, and of those before it."""
        now = getattr(self.environment.unwrapped, "elsewhere_seconds", 0.0)
        return self._earlier_seconds + float(now)

    def close(self) -> None:
        self.environment.close()

    def _made(self) -> gymnasium.Env[Any, Any]:
        try:
            return self._make()
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"task {self._name} cannot be made: {_said(error)}") from error

    def _fail(self, error: Exception, before: str) -> str:
        """Make another environment; what the error said.

        Raises:
            UserError: it is one failure too many.
        """
        self._earlier_seconds = self.elsewhere_seconds
        self._failures += 1
        self._fruitless += 1
        said = _said(error)
        if self._fruitless > MOST_LOST_IN_A_ROW:
            raise UserError(
                f"{self._name} failed {self._fruitless} times before {before}; the last time {said}"
            ) from error
        try:
            self.environment.close()
        except Exception as another:  # noqa: BLE001 - it is thrown away in any case
            said += f" (and when it was closed: {_said(another)})"
        self.environment = self._made()
        # The new one is not to repeat what led here.
        state = np.random.SeedSequence([self._seed, self._failures]).generate_state(1)
        self._next_seed = int(state[0])
        return said

    def _checked(self, observation: Any) -> Array:
        seen = np.asarray(observation)
        if seen.dtype.kind == "f" and not np.isfinite(seen).all():
            raise UserError(
                f"{self._name} shows what is no number ({seen[~np.isfinite(seen)][0]}), after"
                f" {self._steps} steps of an episode"
            )
        return seen


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
