"""One Gymnasium environment that may fail: then it is made anew. What is no number is named as its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pathnet_rl.envs.interface import MOST_LOST_IN_A_ROW
from pathnet_rl.errors import UserError, in_one_line, said
from pathnet_rl.others_code import FAILURES, NumbersKept, all_kept

Array = NDArray[np.generic]
GREATEST = float(np.finfo(np.float32).max)
"""All that is learned from becomes float32."""
_logger = logging.getLogger(__name__)


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
        contradiction: in what an observation is not what the environment's space means; empty if it is, and
            None where that is not known.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], gymnasium.Env[Any, Any]],
        contradiction: Callable[[Array], str] | None = None,
    ) -> None:
        self._name, self._make, self.contradiction = name, make, contradiction
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
                with all_kept():
                    begun = self.environment.reset(seed=seed)
            except FAILURES as error:
                self._fail(error, "an episode began")
                seed = self._next_seed
            else:
                break
        self._next_seed = None
        if not (isinstance(begun, tuple) and len(begun) == 2):
            raise UserError(
                f"{self._name} begins an episode with {type(begun).__name__} and no (observation, info): is"
                " its interface that of gym before version 0.26?"
            )
        self._last = self._checked(begun[0])
        return self._last

    def step(self, action: np.int64) -> Came:
        """One step.

        Raises:
            UserError: it pays or shows what is no number, or has failed again and again without an episode in
                between.
        """
        self._steps += 1
        try:
            with NumbersKept():
                observation, paid, terminated, truncated, _ = self.environment.step(action)
            reward = float(paid.item() if isinstance(paid, np.ndarray) else paid)
            ends, cut = bool(terminated), bool(truncated)
        except FAILURES as error:
            # As if the episode had been cut where it was seen last.
            return Came(self._last, 0.0, False, True, self._fail(error, "an episode ended"))
        if not abs(reward) <= GREATEST:
            raise UserError(
                f"{self._name} paid {reward} in step {self._steps} of an episode{_beyond(reward)}"
            )
        self._last = self._checked(observation)
        if ends or cut:
            self._fruitless = 0
        return Came(self._last, reward, ends, cut, "")

    @property
    def elsewhere_seconds(self) -> float:
        """CPU-seconds in other processes, of an environment that says so, and of those before it."""
        now = getattr(self.environment.unwrapped, "elsewhere_seconds", 0.0)
        return self._earlier_seconds + float(now)

    def close(self) -> None:
        """Close it; what goes wrong then is said, and nothing depends on it."""
        try:
            self.environment.close()
        except FAILURES as error:
            _logger.warning("%s could not be closed: %s", self._name, said(error))

    def _made(self) -> gymnasium.Env[Any, Any]:
        try:
            with all_kept():
                environment = self._make()
        except UserError:
            raise
        except FAILURES as error:
            raise UserError(f"task {self._name} cannot be made: {said(error)}") from error
        self._space = environment.observation_space
        return environment

    def _fail(self, error: BaseException, before: str) -> str:
        """Make another environment; what the error said.

        Raises:
            UserError: it is one failure too many.
        """
        self._earlier_seconds = self.elsewhere_seconds
        self._failures += 1
        self._fruitless += 1
        why = said(error)
        if self._fruitless > MOST_LOST_IN_A_ROW:
            raise UserError(
                f"{self._name} failed {self._fruitless} times before {before}; the last time {why}"
            ) from error
        try:
            self.environment.close()
        except FAILURES as another:
            why += f" (and when it was closed: {said(another)})"
        self.environment = self._made()
        # The new one is not to repeat what led here.
        state = np.random.SeedSequence([self._seed, self._failures]).generate_state(1)
        self._next_seed = int(state[0])
        return why

    def _checked(self, observation: Any) -> Array:
        """The observation, of the shape that its space says and with numbers that its type can hold.

        Raises:
            UserError: it is another.
        """
        space, when = self._space, f"after {self._steps} steps of an episode"
        try:
            seen = np.asarray(observation)
            if seen.shape != space.shape:
                seen = _without_axes_of_one(seen, space.shape)
            if seen.dtype != space.dtype and not _holds(space.dtype, seen):
                raise ValueError(f"numbers of type {seen.dtype} that are none of {space.dtype}")
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{self._name} shows what is not in its observation_space, {space}, {when}:"
                f" {in_one_line(str(error), 200)}"
            ) from error
        if seen.dtype.kind == "f" and not (fit := np.abs(seen) <= GREATEST).all():
            wrong = seen[~fit][0]
            raise UserError(
                f"{self._name} shows what is no number ({wrong}), {when}{_beyond(wrong)}"
            )
        if self.contradiction is not None and (wrong := self.contradiction(seen)):
            raise UserError(f"{self._name} shows {wrong}, {when}")
        return seen


def _without_axes_of_one(seen: Array, shape: tuple[int, ...] | None) -> Array:
    """The same numbers in the shape of the space, if that differs in axes of length 1 alone.

    Raises:
        ValueError: it differs in others.
    """
    if shape is None or [n for n in seen.shape if n != 1] != [n for n in shape if n != 1]:
        raise ValueError(f"an observation of shape {seen.shape}")
    return seen.reshape(shape)


def _holds(dtype: np.dtype[Any] | None, seen: Array) -> bool:
    """Whether what is seen is the same in this type, but for digits that floating point has not."""
    if dtype is None or seen.dtype.kind not in "biuf":
        return dtype is None
    with np.errstate(invalid="ignore"):
        return dtype.kind == "f" or bool((seen.astype(dtype) == seen).all())


def _beyond(number: float) -> str:
    return ", which is beyond float32" if np.isfinite(number) else ""
