"""Rollouts on scripted environments that check every action they are given.

Axes: T steps, E environments.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pathnet_rl.engine import Engine
from pathnet_rl.envs import Step
from pathnet_rl.genotype import Genotype, no_modules
from pathnet_rl.rollout import Collected, RolloutCollector, collect, gumbel_noise
from pathnet_rl.telemetry import Episode
from tests.engines import make_engine
from tests.support import chi_square, new_store, small_grid

GRID = small_grid(actions=(3,))
STEPS = 4


class Scripted:
    """Environments whose episodes end where the script says; what happens is kept on a tape.

    Observations are [environment, episode, step in it, 1], rewards 100 x environment + step number.

    Args:
        endings: for each environment, when its episodes end: step number (from 0) -> how.
    """

    observation_shape: tuple[int, ...] = (4,)
    observation_dtype = np.dtype(np.float32)
    elsewhere_seconds = 0.0
    actions = 3

    def __init__(self, endings: list[dict[int, str]]) -> None:
        self.count = len(endings)
        self.tape: list[tuple[object, ...]] = []
        self._endings = endings
        self._state: NDArray[np.float32] | None = None
        self._number = 0

    def reset(self, seed: int) -> NDArray[np.generic]:
        assert self._state is None, "reset once, then step for ever"
        self.tape.append(("reset", seed))
        self._state = np.zeros((self.count, 4), np.float32)
        self._state[:, 0], self._state[:, 3] = np.arange(self.count), 1
        return self._state.copy()

    def step(self, actions: NDArray[np.int64]) -> Step:
        assert self._state is not None, "step before reset"
        assert actions.shape == (self.count,)
        assert actions.dtype == np.int64
        assert actions.min() >= 0
        assert actions.max() < self.actions
        self.tape.append(("step", actions.tolist()))
        how = [endings.get(self._number, "") for endings in self._endings]
        ended = np.array([word in ("terminated", "truncated") for word in how])
        rewards = (100 * np.arange(self.count) + self._number).astype(np.float32)
        self._state[:, 2] += 1
        final = self._state.copy() if ended.any() else None
        self._state[ended, 1] += 1
        self._state[ended, 2] = 0
        self._number += 1
        terminated = np.array([word in ("terminated", "life lost") for word in how])
        truncated = np.array([word == "truncated" for word in how])
        return Step(self._state.copy(), rewards, terminated, truncated, ended, final)

    def close(self) -> None:
        self.tape.append(("close",))


@pytest.fixture
def network(tmp_path: Path) -> Engine:
    return loaded(tmp_path, environments=2)


def loaded(folder: Path, environments: int) -> Engine:
    """A network with a pathway of fixed random numbers."""
    store = new_store(folder / f"block{environments}", GRID)
    made = make_engine("compiled", GRID, STEPS, environments)
    made.load([store.pull(0, Genotype.fixed(3, 3).active, no_modules(3))])
    return made


def value_of(folder: Path, environment: int, episode: int, step: int) -> float:
    """V of one scripted observation, from a network of its own."""
    observation = np.array([[environment, episode, step, 1]], np.float32)
    return float(loaded(folder, environments=1).forward([observation], 0)[1][0, 0])


def one(collector: RolloutCollector, network: Engine, rng: np.random.Generator) -> Collected:
    """A rollout with the only pathway that is loaded."""
    (rollout,) = collect([collector], network, STEPS, [rng])
    return rollout


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_it_resets_once_with_its_seed_and_then_only_steps(network: Engine) -> None:
    scripted = Scripted([{}, {2: "terminated"}])
    collector = RolloutCollector(scripted, seed=77)
    for _ in range(3):
        one(collector, network, rng())
    collector.close()
    assert [event[0] for event in scripted.tape] == ["reset"] + ["step"] * 12 + ["close"]
    assert scripted.tape[0] == ("reset", 77)


def test_what_was_done_is_what_came_back(network: Engine) -> None:
    scripted = Scripted([{1: "terminated"}, {2: "truncated", 3: "life lost"}])
    rollout = one(RolloutCollector(scripted, seed=0), network, rng())
    assert rollout.actions.tolist() == [event[1] for event in scripted.tape[1:]]
    assert rollout.rewards.tolist() == [[0, 100], [1, 101], [2, 102], [3, 103]]
    no, yes = False, True
    assert rollout.terminated.tolist() == [[no, no], [yes, no], [no, no], [no, yes]]
    assert rollout.truncated.tolist() == [[no, no], [no, no], [no, yes], [no, no]]
    assert rollout.rewards.dtype == np.float32


def test_actions_are_drawn_from_the_policy_with_the_given_generator(
    network: Engine,
) -> None:
    rollout = one(RolloutCollector(Scripted([{}, {}]), seed=0), network, rng(3))
    logits, _ = network.outputs(0)
    noise = gumbel_noise(rng(3), (STEPS, 2, 3))
    assert np.array_equal(rollout.actions, (logits.reshape(STEPS, 2, 3) + noise).argmax(axis=2))


def test_one_rollout_goes_on_where_the_one_before_stopped(network: Engine, tmp_path: Path) -> None:
    collector = RolloutCollector(Scripted([{}, {3: "terminated"}]), seed=0)
    first = one(collector, network, rng())
    # After the episode that just ended in environment 1 comes the first state of the next.
    assert first.bootstrap[0] == pytest.approx(value_of(tmp_path, 0, 0, STEPS), rel=1e-5)
    assert first.bootstrap[1] == pytest.approx(value_of(tmp_path, 1, 1, 0), rel=1e-5)
    one(collector, network, rng())
    _, values = network.outputs(0)
    assert np.array_equal(values.reshape(STEPS, 2)[0], first.bootstrap)


def test_the_bootstrap_value_is_no_view_of_what_is_computed_later(network: Engine) -> None:
    collector = RolloutCollector(Scripted([{}, {}]), seed=0)
    first = one(collector, network, rng())
    kept = first.bootstrap.copy()
    one(collector, network, rng())
    assert np.array_equal(first.bootstrap, kept)


def test_a_truncated_episode_has_the_value_of_its_final_observation(
    network: Engine, tmp_path: Path
) -> None:
    scripted = Scripted([{1: "truncated"}, {1: "terminated", 2: "truncated"}])
    rollout = one(RolloutCollector(scripted, seed=0), network, rng())
    assert rollout.final_values[1, 0] == pytest.approx(value_of(tmp_path, 0, 0, 2), rel=1e-5)
    assert rollout.final_values[2, 1] == pytest.approx(value_of(tmp_path, 1, 1, 1), rel=1e-5)


def test_looking_at_a_final_observation_leaves_the_rollouts_outputs_alone(
    network: Engine,
) -> None:
    """The spare step is used for it, not the step whose outputs learning needs."""
    truncated = RolloutCollector(Scripted([{3: "truncated"}, {}]), seed=0)
    one(truncated, network, rng())
    logits = network.outputs(0)[0].copy()
    one(RolloutCollector(Scripted([{}, {}]), seed=0), network, rng())
    assert np.array_equal(network.outputs(0)[0], logits)


def test_episodes_have_raw_returns_and_lengths_of_whole_games_across_rollouts(
    network: Engine,
) -> None:
    scripted = Scripted([{1: "life lost", 5: "terminated", 6: "truncated"}, {3: "terminated"}])
    collector = RolloutCollector(scripted, seed=0)
    first = one(collector, network, rng())
    assert first.episodes == [Episode(100 + 101 + 102 + 103, 4, environment=1, whole=True)]
    second = one(collector, network, rng())
    assert second.episodes == [
        Episode(0 + 1 + 2 + 3 + 4 + 5, 6, environment=0, whole=True),
        Episode(6, 1, environment=0, whole=True),
    ]


def test_an_episode_that_another_genotype_began_is_not_whole(network: Engine) -> None:
    scripted = Scripted([{1: "terminated", 5: "terminated", 7: "terminated"}, {3: "terminated"}])
    collector = RolloutCollector(scripted, seed=0)
    collector.new_genotype()  # Nothing is under way yet.
    first = one(collector, network, rng())
    assert [episode.whole for episode in first.episodes] == [True, True]
    collector.new_genotype()
    second = one(collector, network, rng())
    # Environment 0 was two steps into an episode, environment 1 at the start of one.
    assert [(e.environment, e.whole) for e in second.episodes] == [(0, False), (0, True)]
    third = one(collector, network, rng())
    assert third.episodes == []


def test_the_best_of_logits_and_gumbel_noise_is_drawn_from_the_policy() -> None:
    logits = np.array([0.0, 1.0, -2.0, 0.5], dtype=np.float32)
    count = 20_000
    noise = gumbel_noise(np.random.default_rng(0), (count, 4))
    assert noise.dtype == np.float32
    assert np.isfinite(noise).all()
    drawn = np.bincount((logits + noise).argmax(axis=1), minlength=4)
    policy = np.exp(logits) / np.exp(logits).sum()
    assert chi_square(drawn.tolist(), (count * policy).tolist()) < 16.3  # 3 degrees, p = 0.001.
