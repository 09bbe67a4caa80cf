"""A comparison whose members take a second each, for those who have them learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pathnet_rl.arms import Arm
from pathnet_rl.comparison.experiment import Comparison
from pathnet_rl.config import EvolutionConfig, LearningConfig, ReplayConfig
from tests.support import tiny_config
from workers.one_run import Instructions

TWO_TASKS, ONE_TASK = "CartPole-v1>CartPole-v1", "CartPole-v1"


def small_comparison(folder: Path, agent_steps: int = 600, **changes: Any) -> Comparison:
    base = tiny_config(
        folder,
        name="small",
        arms=(Arm.PATHNET, Arm.INDEPENDENT),
        agent_steps=(agent_steps,),
        evolution=EvolutionConfig(population=3, episodes=1, rivals=1),
        learning=LearningConfig(rollout_steps=16, environments=4),
        replay=ReplayConfig(episodes=2, most_steps=50),
        engine="torch",
    )
    fields = {"pairs": (TWO_TASKS,), "seeds": 1, "random_episodes": 3, "processes": 2}
    return Comparison(**{"base": base, **fields, **changes})


def instructions(comparison: Comparison) -> Instructions:
    comparison.path.mkdir(parents=True, exist_ok=True)
    return Instructions("this start", comparison.path / ".stop")
