"""Memory that two processes share: what is told of environments and by them, without a copy on the way."""

from __future__ import annotations

import math
import mmap
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64


@dataclass(frozen=True)
class Shown:
    """What E environments show: count E, the shape and type of one observation, the number of actions."""

    count: int
    shape: tuple[int, ...]
    dtype: str
    actions: int


class Board:
    """The arrays of a `Step`, and the actions that it follows, in a file of memory.

    Attributes:
        actions: [E] int64. rewards: [E] float32. terminated, truncated, ended: [E].
        observations, final_observations: [E, ...]. seconds: [1], CPU-seconds of who plays.

    Args:
        file: descriptor of the file; it is made as long as it must be.
    """

    def __init__(self, file: int, shown: Shown) -> None:
        count, one = shown.count, (shown.count, *shown.shape)
        fields: dict[str, tuple[str, tuple[int, ...]]] = {
            "actions": ("int64", (count,)),
            "rewards": ("float32", (count,)),
            "terminated": ("bool", (count,)),
            "truncated": ("bool", (count,)),
            "ended": ("bool", (count,)),
            "seconds": ("float64", (1,)),
            "observations": (shown.dtype, one),
            "final_observations": (shown.dtype, one),
        }
        starts, end = {}, 0
        for name, (dtype, shape) in fields.items():
            starts[name] = end
            size = math.prod(shape) * np.dtype(dtype).itemsize
            end += -(-size // ALIGNMENT) * ALIGNMENT
        os.ftruncate(file, end)
        self._memory = mmap.mmap(file, end)

        def array(name: str) -> NDArray[Any]:
            dtype, shape = fields[name]
            return np.ndarray(shape, dtype, self._memory, starts[name])

        self.actions = array("actions")
        self.rewards = array("rewards")
        self.terminated = array("terminated")
        self.truncated = array("truncated")
        self.ended = array("ended")
        self.seconds = array("seconds")
        self.observations = array("observations")
        self.final_observations = array("final_observations")
