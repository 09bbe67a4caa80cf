"""From a task's name to its environments, and a helpful word when there is no such name."""

from __future__ import annotations

import difflib
import importlib

import ale_py
import gymnasium
from gymnasium.error import Error as GymnasiumError

from pathnet_rl.envs.atari import AtariEnvironments
from pathnet_rl.envs.gymnasium_task import GymnasiumEnvironments
from pathnet_rl.envs.interface import Environments
from pathnet_rl.errors import UserError

gymnasium.register_envs(ale_py)


def make(name: str, count: int, protocol: str = "dqn") -> Environments:
    """E = `count` environments of the task `name`.

    Args:
        name: `ALE/<Game>-v5`, or any other Gymnasium id with discrete actions; `module:<id>` imports
            the module that registers it first.
        protocol: `dqn` or `machado`, for Atari games.

    Raises:
        UserError: no such task (the nearest names are offered), or one that cannot be a task here.
    """
    module, _, name = name.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except (ImportError, TypeError, ValueError) as error:
            raise UserError(
                f"the module {module!r} of task {name} cannot be imported: {error}"
            ) from error
    if name not in gymnasium.registry:
        raise UserError(f"unknown task {name!r}{_nearest(name)}")
    if name.startswith("ALE/"):
        return AtariEnvironments(str(gymnasium.spec(name).kwargs["game"]), count, protocol)
    try:
        return GymnasiumEnvironments(name, count)
    except (GymnasiumError, ImportError) as error:
        raise UserError(f"task {name} cannot be made: {error}") from error


def describe(name: str, protocol: str = "dqn") -> tuple[tuple[int, ...], int]:
    """Observation shape and number of actions of a task; makes one environment to find out."""
    environments = make(name, 1, protocol)
    try:
        return environments.observation_shape, environments.actions
    finally:
        environments.close()


def short_name(name: str) -> str:
    """A task's name for folders and tables: CrazyClimber for ALE/CrazyClimber-v5."""
    name = name.rpartition(":")[2]
    return name.removeprefix("ALE/").rpartition("-v")[0].replace("/", "-") or name


def _nearest(name: str) -> str:
    known = [
        task
        for task in gymnasium.registry
        if task.startswith("ALE/") or ("-v" in task and not _is_old_atari(task))
    ]
    lowered = {task.lower(): task for task in known}
    short = {short_name(task).lower(): task for task in known}
    wanted = name.lower()
    found = [
        *(lowered[hit] for hit in difflib.get_close_matches(wanted, lowered, n=3)),
        *(short[hit] for hit in difflib.get_close_matches(short_name(name).lower(), short, n=3)),
    ]
    nearest = list(dict.fromkeys(found))[:3]
    return (
        f"; did you mean {', '.join(nearest)}?" if nearest else "; see gymnasium.pprint_registry()"
    )


def _is_old_atari(task: str) -> bool:
    spec = gymnasium.registry[task]
    return "ale_py" in str(spec.entry_point) and not task.startswith("ALE/")
