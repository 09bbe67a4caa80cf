"""Levels of DeepMind Lab (Beattie et al. 2016), the paper's Labyrinth: 84 x 84 images, 4 frames an action.

The engine is the module `deepmind_lab`, whoever built it. It is loaded when a task needs it, and only in the
process that plays (see `isolated.py`): it may end that without an exception.

Seeds: a `reset` with a seed begins with a new instance of the engine, whose first episode the seed fixes.
Later episodes have seeds that are drawn from it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, get_args

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from pathnet_rl.environment_options import Colour, EnvironmentOptions, LabActions
from pathnet_rl.envs.labyrinth_levels import LevelCache, find_level, level_named
from pathnet_rl.errors import UserError

Image = NDArray[np.uint8]

SIZE = 84
ACTION_REPEAT = 4
MOST_SEEDS = 2**31 - 1
SETTLED = ("width", "height", "fps")
"""Settings of the engine that a task cannot have otherwise."""

FORWARD, BACKWARD = (0, 0, 0, 1, 0, 0, 0), (0, 0, 0, -1, 0, 0, 0)
STRAFE_LEFT, STRAFE_RIGHT = (0, 0, -1, 0, 0, 0, 0), (0, 0, 1, 0, 0, 0, 0)
LOOK_LEFT, LOOK_RIGHT = (-20, 0, 0, 0, 0, 0, 0), (20, 0, 0, 0, 0, 0, 0)
ACTIONS: Mapping[LabActions, tuple[tuple[int, ...], ...]] = {
    # Espeholt et al. 2018, table D.2: the same for every level, so that every head has the same shape.
    "impala": (
        FORWARD, BACKWARD, STRAFE_LEFT, STRAFE_RIGHT, LOOK_LEFT, LOOK_RIGHT,
        (-20, 0, 0, 1, 0, 0, 0), (20, 0, 0, 1, 0, 0, 0), (0, 0, 0, 0, 1, 0, 0),
    ),
    # Jaderberg et al. 2017 (UNREAL): nothing that fires.
    "unreal": (LOOK_LEFT, LOOK_RIGHT, STRAFE_LEFT, STRAFE_RIGHT, FORWARD, BACKWARD),
}  # fmt: skip
"""What discrete actions are to the engine: look left or right and up or down in pixels a frame, strafe, move,
fire, jump, crouch."""

# The engine takes C ints, and nothing that could be made one.
NOTHING = np.zeros(7, np.intc)

MISSING = (
    "needs the module deepmind_lab (DeepMind Lab, a 3D engine), which no package registry has, since it is"
    " built for its machine; there are three ways to it: dmlab-gym's build command (Python 3.13 or newer),"
    " building the engine's public source, or a wheel of your own; docs/labyrinth.md has the steps"
)


class LabyrinthEnvironment(gymnasium.Env[Image, np.int64]):
    """One level. An episode's end is a termination, also when its time is up: that is one of the rules.

    Args:
        level: its name to the engine, such as seekavoid_arena_01.
        actions: see ACTIONS.
        colour: images of three channels or of one, [84, 84, 3] or [84, 84, 1], uint8.
        settings: more of the engine's own, such as botCount; text to text. The size of its images and the
            frames of a second are settled.
        render_mode: rgb_array, or none.

    Raises:
        UserError: the engine is missing, or has no such level; an argument makes no sense; from `reset`, the
            engine refuses the settings.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 60 // ACTION_REPEAT}  # noqa: RUF012

    def __init__(
        self,
        level: str,
        actions: LabActions = "impala",
        colour: Colour = "rgb",
        settings: Mapping[str, str] | None = None,
        render_mode: str | None = None,
    ) -> None:
        _check("actions", actions, get_args(LabActions))
        _check("colour", colour, get_args(Colour))
        _check("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        _check_settings(settings or {})
        self._lab = _engine(level)
        self._level = find_level(self._lab.runfiles_path(), level)
        self._settings = {"width": str(SIZE), "height": str(SIZE), "fps": "60"}
        self._settings |= settings or {}
        self._actions = np.array(ACTIONS[actions], dtype=np.intc)
        self._grey = colour == "grey"
        self.render_mode = render_mode
        self.observation_space = Box(0, 255, (SIZE, SIZE, 1 if self._grey else 3), np.uint8)
        self.action_space = Discrete(len(self._actions))
        self._instance: Any = None
        self._reward = 0.0
        self._frame: Image = np.zeros((SIZE, SIZE, 3), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Image, dict[str, Any]]:
        super().reset(seed=seed)
        new = seed is not None or self._instance is None
        if new:
            self._new_instance()
        self._instance.reset(seed=int(self.np_random.integers(MOST_SEEDS)))
        if new:
            # Bots draw from C's generator, which an instance's first reset seeds from the system's entropy.
            ctypes.CDLL(None).srand(ctypes.c_uint(int(self.np_random.integers(MOST_SEEDS))))
        # What is seen right after a later reset can be of the episode before, until two frames have passed.
        self._reward = float(self._instance.step(NOTHING, num_steps=2))
        self._look()
        return self._shown(), {}

    def step(self, action: np.int64) -> tuple[Image, float, bool, bool, dict[str, Any]]:
        if self._instance is None or not self._instance.is_running():
            raise ResetNeeded("the episode is over; call reset")
        came = self._instance.step(self._actions[action], num_steps=ACTION_REPEAT)
        reward, self._reward = self._reward + float(came), 0.0
        running = bool(self._instance.is_running())
        if running:
            self._look()  # Else there is nothing to see: the last frame is kept.
        return self._shown(), reward, not running, False, {}

    def render(self) -> Image | None:
        """The last frame, [84, 84, 3], if the mode is rgb_array."""
        return self._frame.copy() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        instance, self._instance = self._instance, None
        if instance is not None:
            instance.close()

    def _new_instance(self) -> None:
        self.close()
        try:
            self._instance = self._lab.Lab(
                self._level,
                ["RGB_INTERLEAVED"],
                config=self._settings,
                renderer="software",
                level_cache=LevelCache(),
            )
        except RuntimeError as error:
            said = " ".join(str(error).partition("stack traceback")[0].split())
            raise UserError(
                f"DeepMind Lab refuses level {self._level} with settings {self._settings}: {said}"
            ) from None

    def _look(self) -> None:
        # A copy: the engine draws the next frame into the same memory.
        self._frame = np.array(self._instance.observations()["RGB_INTERLEAVED"])

    def _shown(self) -> Image:
        if not self._grey:
            return self._frame.copy()
        return grey(self._frame)


def grey(image: Image) -> Image:
    """The luminance (ITU-R BT.601) of an image [H, W, 3], as [H, W, 1]."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return np.asarray(np.rint(image @ weights), np.uint8)[..., None]


def labyrinth_environment(name: str, options: EnvironmentOptions) -> LabyrinthEnvironment:
    """The environment of a task's name."""
    return LabyrinthEnvironment(level_named(name), options.lab_actions, options.colour)


def _engine(level: str) -> Any:
    """The module.

    Raises:
        UserError: it is missing, or cannot be loaded.
    """
    try:
        import deepmind_lab
    except ModuleNotFoundError as error:
        if error.name != "deepmind_lab":
            raise UserError(f"deepmind_lab cannot be loaded: {error}") from error
        raise UserError(f"labyrinth/{level} {MISSING}") from None
    except ImportError as error:
        raise UserError(f"deepmind_lab cannot be loaded: {error}") from error
    return deepmind_lab


def _check(argument: str, given: object, known: tuple[str | None, ...]) -> None:
    if given not in known:
        raise UserError(f"{argument} is {given!r}; choose from {', '.join(map(repr, known))}")


def _check_settings(settings: Mapping[str, str]) -> None:
    """The engine says of a wrong type that it is one, and not whose."""
    for name, value in settings.items():
        if type(name) is not str or type(value) is not str:
            raise UserError(
                f"settings are text to text, as in {{'botCount': '2'}}; got {name!r}: {value!r}"
            )
        if name in SETTLED:
            raise UserError(
                f"the setting {name} is not to be changed: what is observed depends on it"
            )
