"""Episodes of ViZDoom's scenarios, for tests."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from numpy.typing import NDArray

from pathnet_rl.envs.vizdoom import ACTIONS, VizdoomScenario

needs_vizdoom = pytest.mark.skipif(
    find_spec("vizdoom") is None,
    reason="the package vizdoom is not installed: pip install 'pathnet-rl[vizdoom]'",
)
FORWARD, BACKWARD, LEFT, RIGHT, TURN_LEFT, _, _, _, ATTACK = range(len(ACTIONS))


Tape = list[tuple[NDArray[np.uint8], float, bool, bool]]


def act(scenario: VizdoomScenario, actions: list[int], seed: int = 3) -> Tape:
    """One episode's first steps, or all of them."""
    tape: Tape = [(scenario.reset(seed=seed)[0], 0.0, False, False)]
    for action in actions:
        observation, reward, terminated, truncated, _ = scenario.step(np.int64(action))
        tape.append((observation, reward, terminated, truncated))
        if terminated or truncated:
            break
    return tape


def same(one: Tape, other: Tape) -> bool:
    return len(one) == len(other) and all(
        (a[0] == b[0]).all() and a[1:] == b[1:] for a, b in zip(one, other, strict=True)
    )
