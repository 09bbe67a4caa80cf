"""A stand-in for DeepMind Lab, as strict as the engine; there is no maze in it, but a rule to learn.

An episode of a level has so many frames. One half of the image is lit, and looking to that side pays 1 at once.
What a test wants to go wrong stands in the environment variable FAKE_LAB: words of `dies-at=STEPS` (the process
ends once, without an exception), `dies-always`, `fails-to-begin`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

FRAMES = {"lt_chasm": 36_000, "seekavoid_arena_01": 1_200, "stairway_to_melon": 3_600}


def runfiles_path() -> str:
    return str(Path(__file__).parent)


class Lab:
    _steps_of_all = 0

    def __init__(
        self,
        level: str,
        observations: list[str],
        config: dict[str, str] | None = None,
        renderer: str = "software",
        level_cache: Any = None,
        temp_folder: str = "",
    ) -> None:
        if type(observations) is not list:
            raise TypeError("observations must be a list")
        for key, value in (config or {}).items():
            if type(key) is not str or type(value) is not str:
                raise TypeError("must be string")
        if renderer not in ("software", "hardware"):
            raise ValueError(f"unknown renderer {renderer}")
        for name in observations:
            if name not in ("RGB_INTERLEAVED", "RGB"):
                raise ValueError(f"Unknown observation '{name}'.")
        config = config or {}
        self._level, self._names = level, observations
        self._size = int(config["height"]), int(config["width"])
        self._frames = FRAMES.get(level, 1_200)
        self._resets = 0
        self._begun = self._closed = False
        self._said("Server: FakeArena")

    def _said(self, text: str) -> None:
        """Past Python's own streams, as C does."""
        os.write(1, text.encode() + b"\n")
        os.write(2, b"^3WARNING: " + text.encode() + b"\n")

    def reset(self, episode: int = -1, seed: int | None = None) -> bool:
        self._check_open()
        if seed is not None and type(seed) is not int:
            raise TypeError("an integer is required")
        if "fails-to-begin" in os.environ.get("FAKE_LAB", ""):
            self._said("ERROR: the map cannot be loaded")
            os._exit(1)
        # The same seed gives the same episode in a fresh instance alone.
        self._rng = np.random.default_rng([seed or 0, self._resets])
        self._stale = self._draw() if self._resets else None
        self._resets += 1
        self._frame_number = 0
        self._begun = True
        self._side = bool(self._rng.integers(2))
        return True

    def num_steps(self) -> int:
        return self._frame_number

    def is_running(self) -> bool:
        return self._begun and not self._closed and self._frame_number < self._frames

    def step(self, action: Any, num_steps: int = 1) -> float:
        self._check_running("step")
        if not isinstance(action, np.ndarray):
            raise TypeError("an array is required")
        if action.dtype != np.intc or action.shape != (7,):
            raise ValueError(
                f"action must be an intc array of 7, not {action.dtype} {action.shape}"
            )
        Lab._steps_of_all += 1
        self._maybe_die()
        right = bool(action[0] > 0)
        reward = float(bool(action[0]) and right == self._side)
        self._frame_number = min(self._frame_number + num_steps, self._frames)
        if reward:
            self._side = bool(self._rng.integers(2))
        self._stale = None
        return reward

    def observations(self) -> dict[str, Any]:
        self._check_running("observations")
        image = self._draw() if self._stale is None else self._stale
        return {n: image if n != "RGB" else image.transpose(2, 0, 1) for n in self._names}

    def _draw(self) -> Any:
        image = np.full((*self._size, 3), 40, np.uint8)
        half = self._size[1] // 2
        image[:, half:, 0] = 200 if self._side else 40
        image[:, :half, 2] = 40 if self._side else 200
        image[0, 0] = self._frame_number % 256
        return image

    def action_spec(self) -> list[dict[str, Any]]:
        return [{"min": -512, "max": 512, "name": "LOOK_LEFT_RIGHT_PIXELS_PER_FRAME"}]

    def close(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("The environment is closed.")

    def _check_running(self, what: str) -> None:
        self._check_open()
        if not self.is_running():
            raise RuntimeError(f"Environment is not running: {what}")

    def _maybe_die(self) -> None:
        words = os.environ.get("FAKE_LAB", "").split()
        if "dies-always" in words and Lab._steps_of_all == 40:
            self._said("ERROR: Z_Malloc: failed on allocation")
            os._exit(3)
        for word in words:
            name, _, value = word.partition("=")
            if name == "dies-at" and Lab._steps_of_all == int(value):
                marker = Path(os.environ["FAKE_LAB_DIED"])
                if not marker.exists():
                    marker.touch()
                    self._said("ERROR: Z_Free: freed a freed pointer")
                    os.kill(os.getpid(), 11)
