"""Act t_max steps in E environments with one pathway; what came back.

Axes: T steps of a rollout, E environments.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.a3c import Rollout
from pathnet_rl.engine import Engine
from pathnet_rl.envs import Environments
from pathnet_rl.telemetry import Episode

Floats = NDArray[np.float32]


@dataclass
class Collected(Rollout):
    """A rollout, the episodes that ended in it, and the CPU-seconds that the environments took.

    Attributes:
        environment_seconds: in this process. elsewhere_seconds: in processes of their own.
        losses: why episodes were lost, once for each process that died.
    """

    environment_seconds: float = 0.0
    elsewhere_seconds: float = 0.0
    episodes: list[Episode] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)


class RolloutCollector:
    """E environments in the middle of their episodes, from one rollout to the next.

    `observations` [E, ...] are those that wait for an action.
    """

    def __init__(self, environments: Environments, seed: int) -> None:
        self.environments = environments
        count = environments.count
        self.observations = environments.reset(seed)
        self._returns = np.zeros(count)
        self._lengths = np.zeros(count, dtype=np.int64)
        self._whole = np.ones(count, dtype=np.bool_)

    def new_genotype(self) -> None:
        """Another genotype acts from here on: episodes under way are not wholly its own."""
        self._whole[:] = self._lengths == 0

    def begin(self, steps: int, rng: np.random.Generator) -> None:
        """Begin a rollout of T = `steps` steps: T times `take`, then `finish`."""
        shape = (steps, self.environments.count)
        self._rollout = Collected(
            actions=np.empty(shape, dtype=np.int64),
            rewards=np.empty(shape, dtype=np.float32),
            terminated=np.empty(shape, dtype=np.bool_),
            truncated=np.empty(shape, dtype=np.bool_),
            final_values=np.zeros(shape, dtype=np.float32),
            bootstrap=np.empty(shape[1:], dtype=np.float32),
        )
        self._elsewhere = self.environments.elsewhere_seconds
        self._noise = gumbel_noise(rng, (*shape, self.environments.actions))

    def take(self, step: int, logits: Floats) -> NDArray[np.generic] | None:
        """Draw actions from logits [E, A] and do one step.

        Returns:
            The last observations of episodes that were cut, [E, ...], if there are any: their
            values are to be given to `value_cut_episodes`.
        """
        rollout = self._rollout
        rollout.actions[step] = (logits + self._noise[step]).argmax(axis=1)
        began = time.process_time()
        came = self.environments.step(rollout.actions[step])
        rollout.environment_seconds += time.process_time() - began
        rollout.rewards[step] = came.rewards
        rollout.terminated[step] = came.terminated
        rollout.truncated[step] = came.truncated
        self._returns += came.rewards
        self._lengths += 1
        self.observations = came.observations
        if came.final_observations is None:
            return None
        finished = self._finish(came.ended)
        if came.lost:
            rollout.losses.append(came.lost)
        else:
            rollout.episodes += finished
        return came.final_observations if came.truncated.any() else None

    def value_cut_episodes(self, step: int, values: Floats) -> None:
        """The values [E] of what the last `take` returned."""
        self._rollout.final_values[step] = values

    def finish(self, values: Floats) -> Collected:
        """The rollout, given the values [E] of `observations`."""
        self._rollout.bootstrap[:] = values
        self._rollout.elsewhere_seconds = self.environments.elsewhere_seconds - self._elsewhere
        return self._rollout

    def _finish(self, ended: NDArray[np.bool_]) -> list[Episode]:
        finished = [
            Episode(float(self._returns[e]), int(self._lengths[e]), int(e), bool(self._whole[e]))
            for e in np.flatnonzero(ended)
        ]
        self._returns[ended] = 0.0
        self._lengths[ended] = 0
        self._whole[ended] = True
        return finished

    def close(self) -> None:
        """Close the environments."""
        self.environments.close()


def collect(
    collectors: Sequence[RolloutCollector],
    engine: Engine,
    steps: int,
    generators: Sequence[np.random.Generator],
) -> list[Collected]:
    """T = `steps` steps with each of the G pathways that are loaded in the engine, side by side."""
    for collector, rng in zip(collectors, generators, strict=True):
        collector.begin(steps, rng)
    for step in range(steps):
        logits, _ = engine.forward([c.observations for c in collectors], step)
        cut = [c.take(step, logits[pathway]) for pathway, c in enumerate(collectors)]
        if any(observations is not None for observations in cut):
            filled = [
                c.observations if observations is None else observations
                for c, observations in zip(collectors, cut, strict=True)
            ]
            # The spare step T is free until the bootstrap value is computed there.
            _, values = engine.forward(filled, steps)
            for pathway, (collector, observations) in enumerate(zip(collectors, cut, strict=True)):
                if observations is not None:
                    collector.value_cut_episodes(step, values[pathway])
    _, values = engine.forward([c.observations for c in collectors], steps)
    return [c.finish(values[pathway]) for pathway, c in enumerate(collectors)]


def gumbel_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Standard Gumbel numbers, float32: logits + noise is largest at an action drawn from softmax(logits).

    Drawn for a whole rollout at once, they cost a third of drawing from each step's policy.
    """
    drawn = rng.standard_exponential(shape, dtype=np.float32)
    # One draw in some 10 million is 0 in float32, and its logarithm would warn and be infinite.
    return np.asarray(-np.log(np.maximum(drawn, np.finfo(np.float32).tiny)))
