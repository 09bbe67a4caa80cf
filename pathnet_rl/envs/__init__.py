"""Make a task from its name: Atari games, and any Gymnasium environment with discrete actions."""

from pathnet_rl.envs.interface import Described, Environments, Step
from pathnet_rl.envs.registry import describe, make

__all__ = ["Described", "Environments", "Step", "describe", "make"]
