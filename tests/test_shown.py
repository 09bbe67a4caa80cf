"""What an environment shows and pays is looked at, and named as its own where its space says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from pathnet_rl.environment_options import EnvironmentOptions
from pathnet_rl.envs.gymnasium_task import GymnasiumEnvironments
from pathnet_rl.envs.interface import Environments
from pathnet_rl.errors import UserError
from tests.misbehaving import Behaving

NUMBERS = Box(-10.0, 10.0, (4,), np.float32)
COUNTS = Box(0, 200, (4,), np.int64)
BYTES = Box(0, 255, (20, 20, 3), np.uint8)
BRIGHTNESS = Box(0.0, 1.0, (20, 20, 3), np.float32)
BITS = Box(0, 1, (4,), np.bool_)  # type: ignore[arg-type]


class Shows(Behaving):
    """Says one space and shows whatever `seen` is; pays `paid`, and ends as `ended` says."""

    def __init__(self, space: Box, seen: Any, paid: Any = 1.0, ended: Any = False) -> None:
        super().__init__()
        self.observation_space = space
        self._shown, self._pays, self._ends = seen, paid, ended

    def _seen(self) -> Any:
        return self._shown

    def step(self, action: np.int64) -> tuple[Any, Any, Any, bool, dict[str, Any]]:
        return self._shown, self._pays, self._ends, False, {}

    def close(self) -> None:
        raise OSError("the simulator is gone")


def environments(make: Callable[[], gymnasium.Env[Any, Any]]) -> Environments:
    return GymnasiumEnvironments("rooms", 2, make, EnvironmentOptions())


@pytest.mark.parametrize(
    ("seen", "answer"),
    [
        (np.full((20, 20, 3), 9, np.uint8), "9 in an image, where its space says 0 to 1"),
        (np.full((20, 20, 3), -1.0), "-1.0 in an image, where its space says 0 to 1"),
    ],
)
def test_an_image_out_of_its_bounds_is_named(seen: Any, answer: str) -> None:
    """Taken for brightness of 0..1, bytes would be learned from as 255 times too bright."""
    made = environments(lambda: Shows(BRIGHTNESS, seen))
    with pytest.raises(UserError) as refused:
        made.reset(1)
    assert str(refused.value) == f"rooms shows {answer}, after 0 steps of an episode"


@pytest.mark.parametrize(
    ("space", "seen"),
    [
        (NUMBERS, [1, 2, 3, 4]),
        (NUMBERS, np.full(4, 99.0)),  # Out of bounds, as episodes of CartPole end.
        (COUNTS, np.full(4, 3.0)),
        (BITS, np.ones(4, np.int64)),
        (BYTES, np.full((20, 20, 3), 255.0)),
        (BRIGHTNESS, np.full((20, 20, 3), 1.0 + 1e-6)),
    ],
)
def test_what_is_the_same_in_another_type_is_taken(space: Box, seen: Any) -> None:
    shown = environments(lambda: Shows(space, seen)).reset(1)
    assert shown.shape[0] == 2
    assert np.isfinite(shown.astype(np.float64)).all()


def test_a_space_without_numbers_is_refused() -> None:
    with pytest.raises(UserError, match="a task needs a Box"):
        environments(lambda: Shows(Box(-1.0, 1.0, (0,), np.float32), np.zeros(0)))


def test_what_it_makes_of_rounding_is_its_own_affair() -> None:
    """`np.seterr(all="raise")` in an environment made an error of every small probability."""

    class Strict(Shows):
        def step(self, action: np.int64) -> Any:
            np.seterr(all="raise")
            return super().step(action)

    before = np.geterr()
    made = environments(lambda: Strict(NUMBERS, np.zeros(4)))
    made.reset(1)
    made.step(np.zeros(2, np.int64))
    assert np.geterr() == before
