"""How environments play and what they show: settings that tasks of one kind or another heed."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from pathnet_rl.settings import Settings

Protocol = Literal["dqn", "machado"]
LabActions = Literal["impala", "unreal"]
Colour = Literal["rgb", "grey"]

LABYRINTH = ("labyrinth/", "dmlab_gym/")
"""How names of tasks in DeepMind Lab begin: ours, and those that dmlab-gym registers."""


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
