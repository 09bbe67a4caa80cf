"""A maze in colour, as it was recorded: rendering takes most of a maze's time, and is not what is measured.

The task `launch.bench.recorded_maze:bench/RecordedMaze-v0` shows the images of a file again and again; the
environment variable PATHNET_BENCH_FRAMES names it.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from pathnet_rl import envs
from pathnet_rl.errors import UserError

TASK = "launch.bench.recorded_maze:bench/RecordedMaze-v0"
FRAMES_VARIABLE = "PATHNET_BENCH_FRAMES"
SOURCES = ("labyrinth/seekavoid_arena_01", "vizdoom/my_way_home")
"""Whichever is installed is recorded, the first one first."""
RECORDED = 600
EPISODE = 300
ACTIONS = 9


@dataclass(frozen=True)
class Recording:
    """What was recorded: of which task, and its agent steps a CPU-second, rendering and all."""

    task: str
    rate: float


def record(file: Path) -> Recording:
    """Play a maze at random, and keep what it shows in a file; the environment variable names it from now on.

    Raises:
        UserError: no maze is installed.
    """
    reasons = []
    for task in SOURCES:
        try:
            environments = envs.make(task, 1)
        except UserError as error:
            reasons.append(str(error))
            continue
        rng = np.random.default_rng(0)
        images = np.empty((RECORDED, *environments.observation_shape), np.uint8)
        try:
            environments.reset(0)
            before = time.process_time() + environments.elsewhere_seconds
            for image in images:
                actions = rng.integers(environments.actions, size=1)
                image[:] = environments.step(actions).observations[0]
            seconds = time.process_time() + environments.elsewhere_seconds - before
        finally:
            environments.close()
        np.save(file, images.transpose(0, 2, 3, 1))
        os.environ[FRAMES_VARIABLE] = str(file)
        return Recording(task, RECORDED / seconds)
    raise UserError(f"there is no maze to record: {'; '.join(reasons)}")


class RecordedMaze(gymnasium.Env[NDArray[np.uint8], np.int64]):
    """The images of the file, from one that the seed chooses on; every sixteenth step pays 1."""

    def __init__(self) -> None:
        self._images = np.load(os.environ[FRAMES_VARIABLE], mmap_mode="r")
        self.observation_space = Box(0, 255, self._images.shape[1:], np.uint8)
        self.action_space = Discrete(ACTIONS)
        self._at = self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self._at, self._steps = int(self.np_random.integers(len(self._images))), 0
        return self._image(), {}

    def step(self, action: np.int64) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        self._at = (self._at + 1) % len(self._images)
        self._steps += 1
        return self._image(), float(self._steps % 16 == 0), self._steps == EPISODE, False, {}

    def _image(self) -> NDArray[np.uint8]:
        return np.array(self._images[self._at])


gymnasium.register("bench/RecordedMaze-v0", "launch.bench.recorded_maze:RecordedMaze")
