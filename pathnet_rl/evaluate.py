"""Replay a finished task greedily: the same numbers, the same environments, the same return."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pathnet_rl import envs
from pathnet_rl.config import EvaluationConfig
from pathnet_rl.engine.compiled.network import PathwayNetwork
from pathnet_rl.genotype import union
from pathnet_rl.store import GridStore
from pathnet_rl.telemetry import FinishedTask


@dataclass(frozen=True)
class GreedyReturns:
    """One return an episode; `cut` of them were stopped at the limit of agent steps."""

    returns: tuple[float, ...]
    cut: int

    @property
    def mean(self) -> float:
        return float(np.mean(self.returns))


def greedy_returns(
    store: GridStore,
    finished: FinishedTask,
    evaluation: EvaluationConfig,
    protocol: str,
    seed: int,
) -> GreedyReturns:
    """Play the first episode in each of several environments, always with the likeliest action.

    The seed fixes the environments, so two evaluations differ only if the pathway's numbers do.
    """
    environments = envs.make(finished.name, evaluation.episodes, protocol)
    try:
        path = union(finished.path, finished.always)
        widest = max(len(layer) for layer in path)
        network = PathwayNetwork(store.grid, widest, 1, evaluation.episodes, environments.actions)
        network.load(store.read(finished.task, path))
        observations = environments.reset(seed)
        returns = np.zeros(evaluation.episodes)
        playing = np.ones(evaluation.episodes, dtype=np.bool_)
        for _ in range(evaluation.most_steps):
            logits, _ = network.forward(observations, 0)
            step = environments.step(logits.argmax(axis=-1))
            returns[playing] += step.rewards[playing]
            playing &= ~step.ended
            observations = step.observations
            if not playing.any():
                break
        return GreedyReturns(tuple(float(r) for r in returns), int(playing.sum()))
    finally:
        environments.close()
