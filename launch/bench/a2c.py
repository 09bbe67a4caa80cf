"""The like-for-like row of `launch.bench`: Stable-Baselines3's A2C with the network of one full pathway.

It needs the extra: pip install -e '.[bench]'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from stable_baselines3 import A2C
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv

from pathnet_rl import envs
from pathnet_rl.config import RunConfig
from pathnet_rl.modules import ConvModule, LinearModule


class FullPathway(BaseFeaturesExtractor):  # type: ignore[misc]
    """One pathway of N modules in every layer: what a module is, N times, summed."""

    def __init__(self, observation_space: Box, config: RunConfig) -> None:
        width, layers = config.grid.width, config.grid.layers
        last = layers[-1]
        assert isinstance(last, LinearModule)  # The preset's: as many features as it has units.
        super().__init__(observation_space, last.units)
        self._width = width
        self.layers = torch.nn.ModuleList()
        example = torch.zeros(1, *observation_space.shape)
        for module in layers:
            if isinstance(module, ConvModule):
                layer: torch.nn.Module = torch.nn.Conv2d(
                    example.shape[1], module.kernels * width, module.size, module.stride
                )
            else:
                assert isinstance(module, LinearModule)
                example = example.flatten(1)
                layer = torch.nn.Linear(example.shape[1], module.units * width)
            self.layers.append(layer)
            with torch.no_grad():
                example = self._sum(layer(example))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        current = observations
        for layer in self.layers:
            current = self._sum(
                layer(current if isinstance(layer, torch.nn.Conv2d) else current.flatten(1))
            )
        return current

    def _sum(self, responses: torch.Tensor) -> torch.Tensor:
        modules = torch.relu(responses).chunk(self._width, 1)
        return torch.stack(modules).sum(0)


class _Environments(VecEnv):  # type: ignore[misc]
    """A task of ours as Stable-Baselines3 sees one."""

    def __init__(self, config: RunConfig) -> None:
        learning = config.learning
        self._made = envs.make(config.tasks[0], learning.environments, config)
        shape = self._made.observation_shape
        super().__init__(
            learning.environments, Box(0, 255, shape, np.uint8), Discrete(self._made.actions)
        )
        self._seed_given = config.seed

    def reset(self) -> Any:
        return self._made.reset(self._seed_given)

    def step_async(self, actions: Any) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        came = self._made.step(self._actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for e in np.flatnonzero(came.ended):
            assert came.final_observations is not None
            infos[e] = {
                "terminal_observation": came.final_observations[e],
                "TimeLimit.truncated": bool(came.truncated[e] and not came.terminated[e]),
            }
        return came.observations, came.rewards.clip(-1, 1), came.terminated | came.truncated, infos

    def close(self) -> None:
        self._made.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self._made, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> list[Any]:
        raise NotImplementedError

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs

    def seed(self, seed: int | None = None) -> Sequence[None]:
        return [None] * self.num_envs


class _Tell(BaseCallback):  # type: ignore[misc]
    def __init__(self, tell: Callable[[int], None]) -> None:
        super().__init__()
        self._tell = tell

    def _on_step(self) -> bool:
        self._tell(self.num_timesteps)
        return True


def run_a2c(config: RunConfig, tell: Callable[[int], None]) -> None:
    """A2C with E environments, t_max steps a rollout and our RMSProp's settings, until killed."""
    torch.set_num_threads(1)
    learning = config.learning
    model = A2C(
        "CnnPolicy",
        _Environments(config),
        learning_rate=learning.learning_rate,
        n_steps=learning.rollout_steps,
        gamma=learning.discount,
        ent_coef=learning.entropy_cost,
        vf_coef=learning.value_weight,
        max_grad_norm=learning.gradient_norm,
        rms_prop_eps=learning.rmsprop_epsilon,
        policy_kwargs={
            "features_extractor_class": FullPathway,
            "features_extractor_kwargs": {"config": config},
            "net_arch": [],
        },
        seed=config.seed,
        device="cpu",
    )
    model.learn(total_timesteps=config.agent_steps[0], callback=_Tell(tell))
