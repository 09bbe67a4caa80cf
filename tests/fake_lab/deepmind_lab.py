"""A stand-in for DeepMind Lab, as strict as the engine; there is no maze in it, but a rule to learn.

An episode of a level has so many frames. One half of the image is lit, and looking to that side pays 1
at once. What a test wants to go wrong stands in the environment variable FAKE_LAB: words of
`dies-at=STEPS` (the process ends once, without an exception; FAKE_LAB_DIED is a file that is made then) and
`fails-to-begin`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

FRAMES = {"lt_chasm": 36_000, "seekavoid_arena_01": 1_200, "stairway_to_melon": 3_600}
WRONG_STATUS = "Environment in wrong status"


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
        config = {} if config is None else config
        if type(observations) is not list:
            raise TypeError(f"argument 2 must be list, not {type(observations).__name__}")
        if any(type(text) is not str for pair in config.items() for text in pair):
            raise TypeError("bad argument type for built-in operation")
        if renderer != "software":
            raise RuntimeError('Failed to set renderer must be "hardware" or "software"')
        for name in observations:
            if name not in ("RGB_INTERLEAVED", "RGB"):
                raise ValueError(f"Unknown observation '{name}'.")
        if not (Path(runfiles_path()) / f"baselab/game_scripts/levels/{level}.lua").exists():
            raise RuntimeError(f'Failed to init environment - "Level not found: {level}"')
        for name, value in config.items():
            if name not in ("width", "height", "fps", "botCount"):
                raise RuntimeError(
                    f'Failed to init environment - "setting_overrides.lua:140: Invalid setting: "{name}" ='
                    f' "{value}"\nstack traceback:\n\t[C]: in function error"'
                )
        self._size = int(config.get("height", 240)), int(config.get("width", 320))
        if self._size[1] % 4:
            raise RuntimeError("'width' must be a positive multiple of 4.")
        self._names, self._frames = observations, FRAMES.get(level, 1_200)
        # Never deleted, as the engine's are not.
        tempfile.mkdtemp(prefix="dmlab_temp_folder_", dir=temp_folder or None)
        self._resets = self._frame_number = 0
        self._begun = self._closed = False
        self._say("Server: FakeArena")

    def reset(self, episode: int = -1, seed: int | None = None) -> bool:
        if self._closed:
            os.kill(os.getpid(), 11)
        if seed is not None and type(seed) is not int:
            raise ValueError(f"'seed' must be int or None, was '{type(seed).__name__}'.")
        if "fails-to-begin" in os.environ.get("FAKE_LAB", ""):
            self._say("ERROR: the map cannot be loaded")
            os._exit(1)
        # The same seed gives the same episode in a fresh instance alone.
        self._rng = np.random.default_rng([seed or 0, self._resets])
        self._stale = self._drawn() if self._resets else None
        self._frames_until_fresh = 2
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
        if not isinstance(action, np.ndarray):
            raise TypeError(f"argument 1 must be numpy.ndarray, not {type(action).__name__}")
        if action.dtype != np.intc:
            raise ValueError("action must have dtype np.intc")
        if action.shape != (7,):
            raise ValueError("action must have shape (7)")
        if not self.is_running():
            raise RuntimeError(f"{WRONG_STATUS} to advance.")
        Lab._steps_of_all += 1
        self._maybe_die()
        reward = float(bool(action[0]) and bool(action[0] > 0) == self._side)
        self._frame_number = min(self._frame_number + num_steps, self._frames)
        if reward:
            self._side = bool(self._rng.integers(2))
        self._frames_until_fresh -= num_steps
        if self._frames_until_fresh <= 0:
            self._stale = None
        return reward

    def observations(self) -> dict[str, Any]:
        if not self.is_running():
            raise RuntimeError(f"{WRONG_STATUS} for call to observations()")
        image = self._drawn() if self._stale is None else self._stale
        return {n: image if n != "RGB" else image.transpose(2, 0, 1) for n in self._names}

    def close(self) -> bool:
        was_open, self._closed = not self._closed, True
        return was_open

    def _drawn(self) -> Any:
        image = np.full((*self._size, 3), 40, np.uint8)
        half = self._size[1] // 2
        lit = slice(half, None) if self._side else slice(half)
        image[:, lit] = 200, 120, 60
        image[0, 0] = self._frame_number % 256
        return image

    def _say(self, text: str) -> None:
        """Past Python's own streams, as C does."""
        os.write(1, text.encode() + b"\n")
        os.write(2, b"^3WARNING: " + text.encode() + b"\n")

    def _maybe_die(self) -> None:
        for word in os.environ.get("FAKE_LAB", "").split():
            name, _, value = word.partition("=")
            if name == "dies-at" and Lab._steps_of_all == int(value):
                died = Path(os.environ["FAKE_LAB_DIED"])
                if not died.exists():
                    died.touch()
                    self._say("ERROR: Z_Free: freed a freed pointer")
                    os.kill(os.getpid(), 11)
