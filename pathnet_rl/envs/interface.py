"""What a task is to the rest of the program: E copies of one environment, stepped together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Step:
    """What one agent step in each of E environments came to.

    Attributes:
        observations: [E, ...]; where an episode ended, the first one of the next episode.
        rewards: [E] float32, raw.
        terminated: [E]; nothing follows as far as learning is concerned (a lost life may count).
        truncated: [E]; the episode was cut and could have gone on.
        ended: [E]; an episode is over and the next one has begun.
        final_observations: [E, ...] with the last observation of the episodes that ended, or None
            if none did.
        lost: why the episodes that ended count for nothing, if they do not: the process that they were
            played in has died. They are as if truncated, after a step that paid nothing.
    """

    observations: NDArray[np.generic]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    ended: NDArray[np.bool_]
    final_observations: NDArray[np.generic] | None
    lost: str = ""


class Environments(Protocol):
    """E environments of one task that begin a new episode by themselves when one ends.

    Loop: `observations = reset(seed)`, then `step(actions)` for ever; `close()` at the end.
    """

    observation_shape: tuple[int, ...]
    actions: int
    count: int
    observation_dtype: np.dtype[Any]

    @property
    def elsewhere_seconds(self) -> float:
        """CPU-seconds that they took so far in processes of their own."""
        ...

    def reset(self, seed: int) -> NDArray[np.generic]:
        """First observations [E, ...]; the same seed gives the same episodes."""
        ...

    def step(self, actions: NDArray[np.int64]) -> Step:
        """One agent step; actions [E] in 0..A-1."""
        ...

    def close(self) -> None:
        """Free what the environments hold."""
        ...
