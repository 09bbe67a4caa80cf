"""Scenarios of ViZDoom (Doom played from its images), one engine process an environment.

What ViZDoom's own Gymnasium environments play, with what a task here needs: one set of actions for all
scenarios, images of 84 x 84, the last image kept when an episode ends, and a time limit that cuts an episode
instead of ending it. An engine leaves nothing behind, however this process ends.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import psutil
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from pathnet_rl.environment_options import VIZDOOM, EnvironmentOptions
from pathnet_rl.envs.nearest import nearest
from pathnet_rl.envs.scratch import Scratch
from pathnet_rl.errors import UserError

SCENARIOS: Mapping[str, str] = {
    "basic": "VizdoomBasic-v1",
    "deadly_corridor": "VizdoomDeadlyCorridor-v1",
    "defend_the_center": "VizdoomDefendCenter-v1",
    "defend_the_line": "VizdoomDefendLine-v1",
    "health_gathering": "VizdoomHealthGathering-v1",
    "health_gathering_supreme": "VizdoomHealthGatheringSupreme-v1",
    "my_way_home": "VizdoomMyWayHome-v1",
    "predict_position": "VizdoomPredictPosition-v1",
    "take_cover": "VizdoomTakeCover-v1",
}
"""What ViZDoom's own Gymnasium environment of a scenario is called."""

ACTIONS: tuple[tuple[str, ...], ...] = (
    ("MOVE_FORWARD",),
    ("MOVE_BACKWARD",),
    ("MOVE_LEFT",),
    ("MOVE_RIGHT",),
    ("TURN_LEFT",),
    ("TURN_RIGHT",),
    ("MOVE_FORWARD", "TURN_LEFT"),
    ("MOVE_FORWARD", "TURN_RIGHT"),
    ("ATTACK",),
)
"""Buttons that an action presses: the nine of labyrinth/ tasks (impala), in their order. In a scenario that
does not have a button, it does nothing."""

SIZE = 84
FRAME_SKIP = 4

_LAUNCHER = """#!/bin/sh
cd {folder} && echo $$ > pid && exec {python} -ISc {become} {engine} "$@"
"""
# In a session of its own, an engine is not reached by the Ctrl-C that lets a run save and stop; 1 is
# PR_SET_PDEATHSIG, 9 SIGKILL: else engines outlive a process that was killed.
_BECOME = (
    "import ctypes, os, sys; os.setsid(); ctypes.CDLL(None).prctl(1, 9);"
    " os.execv(sys.argv[1], sys.argv[1:])"
)


class VizdoomScenario(gymnasium.Env[NDArray[np.uint8], np.int64]):
    """One scenario, with ViZDoom's own rewards.

    Observations are uint8 [84, 84, C], C = 1 if `grey`, else 3; the nine `ACTIONS` are Discrete. ViZDoom
    has no image of an episode's end: the last one before it is shown again. The time limit truncates.

    Args:
        scenario: a name in `SCENARIOS`.
        frame_skip: tics of the engine, 35 a second of play, in one step; their rewards are summed.

    Raises:
        ImportError: ViZDoom is not installed.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it.

    def __init__(self, scenario: str, grey: bool = False, frame_skip: int = FRAME_SKIP) -> None:
        import vizdoom
        import vizdoom.gymnasium_wrapper  # registers the ids

        self._engine = Path(vizdoom.__file__).with_name("vizdoom")
        environment: Any = gymnasium.make(
            SCENARIOS[scenario],
            frame_skip=frame_skip,
            max_buttons_pressed=0,
            screen_resolution="RES_160X120",
            screen_format="GRAY8" if grey else "RGB24",
            disable_env_checker=True,
        )
        self._environment = environment.unwrapped
        self._game = self._environment.game
        names = [button.name for button in self._game.get_available_buttons()]
        self._pressed = np.array(
            [[name in action for name in names] for action in ACTIONS], np.int8
        )
        self.observation_space = Box(0, 255, (SIZE, SIZE, 1 if grey else 3), np.uint8)
        self.action_space = Discrete(len(ACTIONS))
        self._shown = np.zeros((SIZE, SIZE, 1 if grey else 3), np.uint8)
        self._process: psutil.Process | None = None
        self._seconds = self._earlier_seconds = 0.0

    @property
    def elsewhere_seconds(self) -> float:
        """CPU-seconds of the engine, and of those before it that died."""
        if self._process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = self._process.cpu_times()
                self._seconds = float(times.user + times.system)
        return self._earlier_seconds + self._seconds

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        if self._game.is_running():
            observation, _ = self._environment.reset(seed=seed)
        else:
            observation = self._start(seed)
        self._shown = _resized(observation["screen"])
        return self._shown.copy(), {}

    def step(self, action: np.int64) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        observation, reward, ended, timeout, _ = self._environment.step(self._pressed[action])
        if not ended:
            self._shown = _resized(observation["screen"])
        # ViZDoom calls an episode that ran out of time ended as well.
        truncated = bool(timeout and not self._game.is_player_dead())
        return self._shown.copy(), float(reward), bool(ended and not truncated), truncated, {}

    def close(self) -> None:
        self._environment.close()

    def _start(self, seed: int | None) -> dict[str, NDArray[np.uint8]]:
        """Start the engine; what it shows first.

        It writes into its working directory, which is a folder of its own and gone before the first step, and
        so are the names of its shared memory: nothing is left to a process that ends without closing.
        """
        with Scratch("vizdoom-") as folder:
            launcher = folder / "launch"
            launcher.write_text(
                _LAUNCHER.format(
                    folder=shlex.quote(str(folder)),
                    python=shlex.quote(sys.executable),
                    become=shlex.quote(_BECOME),
                    engine=shlex.quote(str(self._engine)),
                )
            )
            launcher.chmod(0o700)
            self._game.set_vizdoom_path(str(launcher))
            self._game.set_doom_config_path(os.devnull)
            observation, _ = self._environment.reset(seed=seed)
            self._earlier_seconds, self._seconds = self.elsewhere_seconds, 0.0
            self._process = psutil.Process(int((folder / "pid").read_text()))
        for kind in ("SM", "MQCtr", "MQDoom"):
            with contextlib.suppress(OSError):
                Path(f"/dev/shm/ViZDoom{kind}{self._game.get_instance_id()}").unlink()
        assert isinstance(observation, dict)
        return observation


def _resized(screen: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The means of the areas of `screen` [height, width, C] that 84 x 84 pixels cover: [84, 84, C]."""
    from PIL import Image

    image = Image.fromarray(screen.squeeze(-1) if screen.shape[-1] == 1 else screen)
    pixels = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX))
    return pixels.reshape(SIZE, SIZE, screen.shape[-1])


def vizdoom_environment(
    scenario: str, options: EnvironmentOptions
) -> gymnasium.Env[NDArray[np.uint8], np.int64]:
    """The environment of `vizdoom/<scenario>`, RGB or grey as `options.colour` says.

    Raises:
        UserError: there is no such scenario (the nearest names are offered), or no ViZDoom.
    """
    if scenario not in SCENARIOS:
        found = nearest(scenario, SCENARIOS)
        known = f"did you mean {', '.join(VIZDOOM + name for name in found)}?" if found else ""
        raise UserError(
            f"unknown task {VIZDOOM + scenario!r}; {known or 'there are ' + ', '.join(SCENARIOS)}"
        )
    try:
        return VizdoomScenario(scenario, grey=options.colour == "grey")
    except ImportError as error:
        raise UserError(
            f"task {VIZDOOM + scenario} needs the package vizdoom ({error}); `make vizdoom-transfer` installs"
            " it, and so does pip install 'pathnet-rl[vizdoom]'"
        ) from error
