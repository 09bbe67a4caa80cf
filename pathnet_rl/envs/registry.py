"""From a task's name to its environments, and a helpful word when there is no such name."""

from __future__ import annotations

import importlib
import re
from functools import partial
from pathlib import Path

import ale_py
import gymnasium
from gymnasium.error import Error as GymnasiumError

from pathnet_rl.environment_options import (
    ATARI,
    LABYRINTH,
    VIZDOOM,
    EnvironmentOptions,
    in_labyrinth,
)
from pathnet_rl.envs.atari import AtariEnvironments
from pathnet_rl.envs.gymnasium_task import GymnasiumEnvironments
from pathnet_rl.envs.interface import Described, Environments
from pathnet_rl.envs.isolated import IsolatedEnvironments
from pathnet_rl.envs.labyrinth_levels import PAPER
from pathnet_rl.envs.nearest import nearest
from pathnet_rl.envs.stacked import StackedImages
from pathnet_rl.envs.vizdoom import SCENARIOS, vizdoom_environment
from pathnet_rl.errors import UserError, said
from pathnet_rl.others_code import FAILURES, all_kept

gymnasium.register_envs(ale_py)
for level in PAPER:
    gymnasium.register(
        f"labyrinth/{level}",
        entry_point="pathnet_rl.envs.labyrinth:LabyrinthEnvironment",
        kwargs={"level": level},
    )

DEFAULTS = EnvironmentOptions()


def make(
    name: str, count: int, options: EnvironmentOptions = DEFAULTS, log: Path | None = None
) -> Environments:
    """E = `count` environments of the task `name`.

    Args:
        name: `ALE/<Game>-v5`, `labyrinth/<level>`, `vizdoom/<scenario>`, or any other Gymnasium id with
            discrete actions; `module:<id>` imports the module that registers it first.
        log: takes what environments print that have a process of their own; a temporary file if not given.

    Raises:
        UserError: no such task (the nearest names are offered), or one that cannot be a task here.
    """
    if options.isolate or in_labyrinth(name):
        environments: Environments = IsolatedEnvironments(name, count, options, log)
    else:
        environments = make_here(name, count, options)
    images = options.frame_stack
    if images == 1 or len(environments.observation_shape) != 3 or name.startswith(ATARI):
        return environments
    return StackedImages(environments, images)


def make_here(name: str, count: int, options: EnvironmentOptions) -> Environments:
    """The same in this process, and without a stack of images."""
    if in_labyrinth(name):
        from pathnet_rl.envs.labyrinth import labyrinth_environment

        make_one = partial(labyrinth_environment, name, options)
        return GymnasiumEnvironments(name, count, make_one, options)
    if name.startswith(VIZDOOM):
        make_scenario = partial(vizdoom_environment, name.removeprefix(VIZDOOM), options)
        return GymnasiumEnvironments(name, count, make_scenario, options)
    module, _, name = name.rpartition(":")
    if module:
        try:
            with all_kept():
                importlib.import_module(module)
        except FAILURES as error:  # Whatever its file does: a command line of its own, perhaps.
            raise UserError(
                f"the module {module!r} of task {name} cannot be imported: {said(error)}"
            ) from error
    if name not in gymnasium.registry:
        raise UserError(f"unknown task {name!r}{_nearest(name)}")
    if name.startswith(ATARI):
        game = str(gymnasium.spec(name).kwargs["game"])
        return AtariEnvironments(game, count, options.protocol)
    try:
        return GymnasiumEnvironments(name, count, partial(gymnasium.make, name), options)
    except (GymnasiumError, ImportError) as error:
        raise UserError(f"task {name} cannot be made: {error}") from error


def describe(
    name: str, options: EnvironmentOptions = DEFAULTS, log: Path | None = None
) -> Described:
    """What a task shows and takes; makes one environment to find out."""
    environments = make(name, 1, options, log)
    try:
        return Described(environments.observation_shape, environments.actions, environments.meaning)
    finally:
        environments.close()


def short_name(name: str) -> str:
    """A task's name for folders and tables: CrazyClimber for ALE/CrazyClimber-v5."""
    name = name.rpartition(":")[2]
    for family in (ATARI, *LABYRINTH, VIZDOOM):
        name = name.removeprefix(family)
    # A folder's name, of letters that any file system takes, and no way out of the folder that it is in.
    return re.sub(r"[^\w.+=-]", "-", name.rpartition("-v")[0] or name).lstrip(".") or "task"


def _nearest(name: str) -> str:
    known = [
        task
        for task in gymnasium.registry
        if task.startswith(ATARI)
        # ViZDoom's own environments, once they are registered, show more than an image.
        or ("-v" in task and not _is_old_atari(task) and not task.startswith("Vizdoom"))
    ]
    known += [f"labyrinth/{level}" for level in PAPER]
    known += [VIZDOOM + scenario for scenario in SCENARIOS]
    found = nearest(name, known)
    return f"; did you mean {', '.join(found)}?" if found else "; see gymnasium.pprint_registry()"


def _is_old_atari(task: str) -> bool:
    spec = gymnasium.registry[task]
    return "ale_py" in str(spec.entry_point) and not task.startswith(ATARI)
