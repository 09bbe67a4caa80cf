"""Play a task with a pathway that learns no more: the same numbers and environments, the same return."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pathnet_rl import engine, envs
from pathnet_rl.config import RunConfig
from pathnet_rl.first_episodes import Watching, first_episodes, unwatched
from pathnet_rl.genotype import union
from pathnet_rl.rollout import gumbel_noise
from pathnet_rl.run_folder import environment_log
from pathnet_rl.seeds import environment_seed
from pathnet_rl.telemetry import FinishedTask, GreedyReturns

if TYPE_CHECKING:
    from pathnet_rl.store import GridStore


def greedy_returns(
    store: GridStore,
    config: RunConfig,
    finished: FinishedTask,
    seed: int,
    watching: Watching = unwatched,
) -> GreedyReturns:
    """Play the first episode in each of several environments, always with the likeliest action.

    The seed fixes the environments, so two replays differ only if the pathway's numbers do.
    """
    return _play(store, config, finished, config.replay.episodes, seed, None, watching)


def sampled_returns(
    store: GridStore,
    config: RunConfig,
    finalist: FinishedTask,
    episodes: int,
    sequence: np.random.SeedSequence,
    watching: Watching = unwatched,
) -> GreedyReturns:
    """The same with actions drawn from the policy, as it learned; all randomness is the sequence's."""
    rng = np.random.default_rng(sequence)
    seed = environment_seed(sequence)
    return _play(store, config, finalist, episodes, seed, rng, watching)


def _play(
    store: GridStore,
    config: RunConfig,
    finished: FinishedTask,
    episodes: int,
    seed: int,
    rng: np.random.Generator | None,
    watching: Watching,
) -> GreedyReturns:
    environments = envs.make(finished.name, episodes, config, environment_log(config))
    try:
        path = union(finished.path, finished.always)
        widest = max(len(layer) for layer in path)
        size = engine.EngineSize(1, widest, 1, episodes, environments.actions)
        pathway = engine.make(config, store.grid, size)
        pathway.load([store.read(finished.task, path)])

        def choose(observations: NDArray[np.generic]) -> NDArray[np.int64]:
            logits, _ = pathway.forward([observations], 0)
            scores = logits[0] if rng is None else logits[0] + gumbel_noise(rng, logits[0].shape)
            return np.asarray(scores.argmax(axis=-1))

        played = first_episodes(environments, seed, choose, config.replay.most_steps, watching)
        return GreedyReturns(tuple(float(r) for r in played.returns), int(played.cut.sum()))
    finally:
        environments.close()
