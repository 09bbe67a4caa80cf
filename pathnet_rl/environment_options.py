"""How environments play and what they show: settings that tasks of one kind or another heed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, get_args

from pydantic import Field

from pathnet_rl.errors import UserError
from pathnet_rl.settings import Settings

Protocol = Literal["dqn", "machado"]
LabActions = Literal["impala", "unreal"]
Colour = Literal["rgb", "grey"]

LABYRINTH = ("labyrinth/", "dmlab_gym/")
"""How names of tasks in DeepMind Lab begin: ours, and those that dmlab-gym registers."""
VIZDOOM = "vizdoom/"
ATARI = "ALE/"


def in_labyrinth(task: str) -> bool:
    """Whether a task is a level of DeepMind Lab."""
    return task.rpartition(":")[2].startswith(LABYRINTH)


class EnvironmentOptions(Settings):
    """What is chosen of a task beside its name. A run's configuration is one."""

    protocol: Protocol = "dqn"
    """Atari protocol: dqn (no-op starts, life loss ends an episode for learning, minimal actions) or
    machado (sticky actions, all 18 actions)."""
    lab_actions: LabActions = "impala"
    """Actions in labyrinth/ tasks: impala (9: move, turn, both, fire) or unreal (6: move, turn)."""
    colour: Colour = "rgb"
    """Images of labyrinth/ and vizdoom/ tasks, 84 x 84: three channels or one."""
    channels: Literal["auto", "first", "last"] = "auto"
    """Which axis of a Gymnasium task's images is the channels; auto: the shorter one of first and last."""
    image_range: tuple[float, float] | None = None
    """What is dark and what is bright in a Gymnasium task's images; their space's bounds when not given."""
    frame_stack: int = Field(1, ge=1, le=16)
    """So many of the last images together are what is observed. Atari games always show 4."""
    isolate: bool = False
    """Play each pathway's environments in a process of their own: if that dies, it is started again, and the
    episodes in it are lost. labyrinth/ tasks always do so."""

    def rules(self, task: str) -> str:
        """The one option that decides what can be got in a task: its protocol, or its actions."""
        return self.lab_actions if in_labyrinth(task) else self.protocol

    @classmethod
    def under(cls, rules: str) -> EnvironmentOptions:
        """Options under which a task has these `rules`."""
        chosen = {"lab_actions" if rules in get_args(LabActions) else "protocol": rules}
        return cls.model_validate(chosen)


class TasksDisagree(UserError):
    """A run's options do not agree with its tasks, of which one may be misspelt.

    Attributes:
        tasks: their names. options: under which they were to be played.
    """

    def __init__(self, line: str, tasks: tuple[str, ...], options: EnvironmentOptions) -> None:
        super().__init__(line)
        self.tasks, self.options = tasks, options


NO_IMAGES = "no task of this run shows images beside those of ALE"
WHY_IDLE: Mapping[str, str] = {
    "protocol": "no task of this run is of ALE",
    "lab_actions": "no task of this run is of labyrinth/",
    "colour": "no task of this run is of labyrinth/ or vizdoom/",
    "channels": NO_IMAGES,
    "image_range": NO_IMAGES,
    "frame_stack": NO_IMAGES,
    "isolate": "tasks of labyrinth/ have a process of their own in any case",
}
"""Why an option changes nothing, if no task heeds it."""


def idle_options(given: Collection[str], shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """A line for each option of these that no task of a run heeds.

    Args:
        given: names of fields. shapes: of what each task observes.
    """
    return [
        f"{why}: --{option.replace('_', '-')} changes nothing"
        for option, why in WHY_IDLE.items()
        if option in given and not any(_heeds(task, option, shapes[task]) for task in shapes)
    ]


def _heeds(task: str, option: str, shape: tuple[int, ...]) -> bool:
    match option:
        case "protocol":
            return task.startswith(ATARI)
        case "lab_actions":
            return in_labyrinth(task)
        case "colour":
            return in_labyrinth(task) or task.startswith(VIZDOOM)
        case "isolate":
            return not in_labyrinth(task)
        case _:
            return len(shape) == 3 and not task.startswith(ATARI)
