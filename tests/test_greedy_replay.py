"""Greedy replay of a finished task: the same to the last bit, whatever was learned and frozen since."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pathnet_rl import envs
from pathnet_rl.config import ReplayConfig, RunConfig
from pathnet_rl.engine.compiled.network import CompiledEngine
from pathnet_rl.genotype import ActiveModules, no_modules
from pathnet_rl.replay import greedy_returns
from pathnet_rl.store import GridStore
from pathnet_rl.telemetry import FinishedTask, GreedyReturns
from tests.naive import naive_outputs
from tests.support import new_store, small_grid

GRID = small_grid(actions=(2, 2))
PATH: ActiveModules = ((0, 2, 3), (0, 2, 3), (0, 2, 3))
ALWAYS: ActiveModules = ((1, 3), (1, 4), (3, 5))
REPLAY = ReplayConfig(episodes=3, most_steps=60)
FINISHED = FinishedTask(1, "CartPole-v1", 1000, PATH, ALWAYS, 20.0)


@pytest.fixture
def store(tmp_path: Path) -> GridStore:
    """At its second task, after ALWAYS was frozen in the first."""
    made = new_store(tmp_path / "block", GRID)
    made.freeze(ALWAYS)
    return made


def play(store: GridStore, settings: ReplayConfig = REPLAY) -> GreedyReturns:
    return greedy_returns(store, RunConfig(replay=settings), FINISHED, seed=3)


def test_the_likeliest_action_is_taken_in_every_step(store: GridStore) -> None:
    played = play(store)
    environments = envs.make("CartPole-v1", 3)
    observations, returns, playing = environments.reset(3), np.zeros(3), np.ones(3, np.bool_)
    block = store.parameters.double()
    for _ in range(60):
        logits, _ = naive_outputs(GRID, block, 1, PATH, ALWAYS, no_modules(3), observations)
        step = environments.step(logits.argmax(dim=1).numpy())
        returns += np.where(playing, step.rewards, 0)
        playing &= ~step.ended
        observations = step.observations
    environments.close()
    assert played == GreedyReturns(tuple(returns.tolist()), int(playing.sum()))


def test_only_the_first_episode_of_each_environment_counts(store: GridStore) -> None:
    """A pathway that always pushes the same way falls within ten steps, six times in sixty."""
    GRID.heads[1].numbers(store.parameters).zero_()
    played = play(store)
    assert len(played.returns) == 3
    assert max(played.returns) < 15
    assert played.cut == 0
    assert played.mean == pytest.approx(sum(played.returns) / 3)


def test_episodes_are_cut_and_counted_at_the_limit_of_agent_steps(store: GridStore) -> None:
    GRID.heads[1].numbers(store.parameters).zero_()
    played = play(store, ReplayConfig(episodes=2, most_steps=4))
    assert played == GreedyReturns((4.0, 4.0), cut=2)


def test_the_same_seed_gives_the_same_returns(store: GridStore) -> None:
    assert play(store) == play(store)


def test_freezing_the_pathway_does_not_change_one_bit_of_what_it_says(
    store: GridStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums depend on their order in the last bit, and on the last bit the likeliest action."""
    said: list[bytes] = []

    forward = CompiledEngine.forward

    def record(
        engine: CompiledEngine, observations: Sequence[NDArray[np.generic]], step: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        logits, values = forward(engine, observations, step)
        said.append(logits.tobytes())
        return logits, values

    monkeypatch.setattr(CompiledEngine, "forward", record)
    before = play(store)
    said_before = said.copy()
    said.clear()
    store.freeze(PATH)
    assert play(store) == before
    assert said == said_before
