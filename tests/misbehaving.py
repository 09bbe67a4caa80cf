"""Gymnasium environments that misbehave, one way each: `tests.misbehaving:tests/<Way>-v0`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

Array = NDArray[Any]
ENDLESS = "TESTS_ENDLESS_EPISODES"


class Behaving(gymnasium.Env[Array, np.int64]):
    """Episodes of ten steps; observes [a number of the episode, step]; pays 1 for action 1."""

    steps_of_all: ClassVar[int] = 0

    def __init__(self) -> None:
        self.observation_space = Box(-1e9, 1e9, (2,), np.float32)
        self.action_space = Discrete(2)
        self._number, self._steps = 0.0, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        self._number, self._steps = float(self.np_random.integers(1000)), 0
        return self._seen(), {}

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        type(self).steps_of_all += 1
        self._misbehave()
        return self._seen(), self._paid(action), self._steps == 10, False, self._told()

    def _seen(self) -> Array:
        return np.array([self._number, self._steps], np.float32)

    def _paid(self, action: np.int64) -> float:
        return float(action)

    def _told(self) -> dict[str, Any]:
        return {}

    def _misbehave(self) -> None: ...


class RaisesOnce(Behaving):
    steps_of_all = 0

    def _misbehave(self) -> None:
        if type(self).steps_of_all == 15:
            raise ArithmeticError("the solver did not\nconverge")


class RaisesAlways(Behaving):
    def _misbehave(self) -> None:
        if self._steps == 5:
            raise ArithmeticError("the solver did not converge")


class CannotBegin(Behaving):
    def reset(self, **_: Any) -> tuple[Array, dict[str, Any]]:
        raise ConnectionError("no server")


class CannotBeginAgain(Behaving):
    """Three hundred episodes in this process, and none after that."""

    begun: ClassVar[int] = 0

    def reset(self, **arguments: Any) -> tuple[Array, dict[str, Any]]:
        type(self).begun += 1
        if type(self).begun > 300:
            raise ArithmeticError("no licence is left")
        return super().reset(**arguments)


class EndlessIfAsked(Behaving):
    """Its episodes have no end while a variable of the environment is set."""

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        seen, paid, terminated, truncated, told = super().step(action)
        return seen, paid, terminated and ENDLESS not in os.environ, truncated, told


class PaysNothingKnown(Behaving):
    def _paid(self, action: np.int64) -> float:
        return float("nan") if self._steps == 3 else 0.0


class ShowsInfinity(Behaving):
    def _seen(self) -> Array:
        return np.array([np.inf if self._steps == 4 else 0.0, 0.0], np.float32)


class ShowsMuch(Behaving):
    """As one that counts nanoseconds since 1970."""

    def _seen(self) -> Array:
        return super()._seen() + np.float32(1.8e18)


class TellsAnything(Behaving):
    """Its info has another shape in each step."""

    def _told(self) -> dict[str, Any]:
        return {"a": np.zeros(self._steps), "b": None if self._steps % 2 else {"c": [1, "x"]}}


class Exits(Behaving):
    """Says sys.exit() where it means an error, and closes with another."""

    steps_of_all = 0

    def _misbehave(self) -> None:
        if type(self).steps_of_all == 15:
            sys.exit("no licence is left")

    def close(self) -> None:
        raise RuntimeError("closed already")


class ChangesFolder(Behaving):
    """Goes where its own files are, as some simulators do, in every episode."""

    def _misbehave(self) -> None:
        os.chdir(tempfile.gettempdir())


class TakesSignals(Behaving):
    """As pygame, ROS and some engines do; `taken` counts what its handler heard."""

    taken: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def reset(self, **arguments: Any) -> tuple[Array, dict[str, Any]]:
        signal.signal(signal.SIGINT, self._hear)
        return super().reset(**arguments)

    def _hear(self, *_: object) -> None:
        type(self).taken += 1


class ChangesTorch(Behaving):
    """As those do that play against a network of their own."""

    def __init__(self) -> None:
        import torch  # Slow to import, and the processes of the other environments have no use for it.

        super().__init__()
        self._torch = torch
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")

    def reset(self, **arguments: Any) -> tuple[Array, dict[str, Any]]:
        self._torch.set_grad_enabled(False)
        return super().reset(**arguments)

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        self._torch.set_grad_enabled(False)
        self._torch.set_default_dtype(self._torch.float64)
        np.seterr(all="raise")
        return super().step(action)


SLEEPER = "987654"


class LeavesProcesses(Behaving):
    """Starts another process and forgets it; the 35th step of all ends its own."""

    steps_of_all = 0

    def __init__(self) -> None:
        super().__init__()
        subprocess.Popen(["sleep", SLEEPER])

    def _misbehave(self) -> None:
        if type(self).steps_of_all == 35:
            os._exit(3)


class ExitsWhenMade(Behaving):
    def __init__(self) -> None:
        sys.exit()


class AnswersOddly(Behaving):
    """Everything that it returns means what it should, and is of another type or shape."""

    def step(self, action: np.int64) -> Any:
        seen, paid, terminated, _, told = super().step(action)
        return seen, np.array([paid]), np.array([terminated]), None, told

    def _seen(self) -> Any:
        return super()._seen()[None].tolist()


class ShowsAnother(Behaving):
    """Its space is `space`, and from step 3 on it shows `shown`."""

    space = Box(-1e9, 1e9, (2,), np.float32)
    shown: ClassVar[Any] = None

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = type(self).space

    def _seen(self) -> Any:
        first = np.zeros(self.observation_space.shape or (), self.observation_space.dtype)
        return first if self._steps < 3 else type(self).shown


class PaysTooMuch(Behaving):
    def _paid(self, action: np.int64) -> float:
        return 1e39


class CannotBeMade(Behaving):
    def __init__(self) -> None:
        raise KeyError("licence")


class OldInterface(Behaving):
    """As gym was before version 0.26."""

    def reset(self, **_: Any) -> Any:
        return super().reset()[0]

    def step(self, action: np.int64) -> Any:
        seen, paid, terminated, _, told = super().step(action)
        return seen, paid, terminated, told


class Images(Behaving):
    """An image of one bright corner; `space` says how it is shown."""

    def __init__(self, space: Box) -> None:
        super().__init__()
        self.observation_space = space

    def _seen(self) -> Array:
        space = self.observation_space
        assert isinstance(space, Box)
        dark, bright = (False, True) if space.dtype == np.bool_ else (space.low, space.high)
        image = np.full(space.shape, dark, space.dtype) if np.ndim(dark) == 0 else space.low.copy()
        image[0, 0, 0] = bright if np.ndim(bright) == 0 else space.high[0, 0, 0]
        return image


for way in (
    Behaving, RaisesOnce, RaisesAlways, CannotBegin, CannotBeginAgain, PaysNothingKnown, ShowsInfinity,
    EndlessIfAsked, ShowsMuch, TellsAnything, CannotBeMade, OldInterface, Exits, ExitsWhenMade, AnswersOddly,
    ShowsAnother, PaysTooMuch, ChangesFolder, TakesSignals, ChangesTorch,
    LeavesProcesses,
):  # fmt: skip
    gymnasium.register(
        f"tests/{way.__name__}-v0", f"tests.misbehaving:{way.__name__}", disable_env_checker=True
    )
gymnasium.register("Unversioned", "tests.misbehaving:Behaving")
