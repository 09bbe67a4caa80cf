"""A task whose process dies: `tests.crashing:tests/Crashing-v0`.

The environment variable CRASHING says when: `signal 11 after 7` (steps in one process), `exit 3 after 7`,
`raise after 7`, `never`; followed by `once` it does so only if the file CRASHED is not there, and makes it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray


class Crashing(gymnasium.Env[NDArray[np.float32], np.int64]):
    """Episodes of ten steps; observes [the reset's seed modulo 1000, step]; pays 1 for action 1."""

    def __init__(self) -> None:
        self.observation_space = Box(-1e9, 1e9, (2,), np.float32)
        self.action_space = Discrete(2)
        self._steps = self._all_steps = 0
        self._begun = 0.0
        if os.environ.get("CRASHING") == "fails to begin":
            print("no licence for this simulator", flush=True)  # noqa: T201
            os._exit(7)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self._begun = float(self.np_random.integers(1000))
        self._steps = 0
        return np.array([self._begun, 0], np.float32), {}

    def step(
        self, action: np.int64
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self._steps += 1
        self._all_steps += 1
        self._maybe_crash()
        seen = np.array([self._begun, self._steps], np.float32)
        return seen, float(action), self._steps == 10, False, {}

    def _maybe_crash(self) -> None:
        words = os.environ.get("CRASHING", "never").split()
        if words == ["never"] or self._all_steps != int(words[words.index("after") + 1]):
            return
        if words[-1] == "once":
            crashed = Path(os.environ["CRASHED"])
            if crashed.exists():
                return
            crashed.touch()
        os.write(2, b"simulator: freed a freed pointer\n")
        if words[0] == "signal":
            os.kill(os.getpid(), int(words[1]))
        elif words[0] == "exit":
            os._exit(int(words[1]))
        elif words[0] == "sleep":
            time.sleep(float(words[1]))
        else:
            raise ArithmeticError("a simulator's own error")


gymnasium.register("tests/Crashing-v0", "tests.crashing:Crashing")
