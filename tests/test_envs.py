"""Environments by name: Atari's two protocols, any discrete Gymnasium task, and names that are wrong."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from pathnet_rl import envs
from pathnet_rl.environment_options import EnvironmentOptions
from pathnet_rl.envs import Environments, Step
from pathnet_rl.envs.registry import short_name
from pathnet_rl.errors import UserError

under = EnvironmentOptions.under


def play(environments: Environments, seed: int, steps: int) -> list[Step]:
    """Random actions of a fixed stream after a reset, with every array kept as it was."""
    environments.reset(seed)
    rng = np.random.default_rng(0)
    tape = []
    for _ in range(steps):
        step = environments.step(rng.integers(0, environments.actions, environments.count))
        final = step.final_observations
        tape.append(
            Step(
                step.observations.copy(),
                step.rewards.copy(),
                step.terminated.copy(),
                step.truncated.copy(),
                step.ended.copy(),
                None if final is None else final.copy(),
                step.lost,
            )
        )
    return tape


def check(environments: Environments, tape: list[Step]) -> None:
    """Shapes, types, and that final observations come exactly when an episode ends."""
    count, shape = environments.count, environments.observation_shape
    for step in tape:
        assert step.observations.shape == (count, *shape)
        assert step.rewards.shape == (count,)
        assert step.rewards.dtype == np.float32
        for flags in (step.terminated, step.truncated, step.ended):
            assert flags.shape == (count,)
            assert flags.dtype == np.bool_
        assert (step.final_observations is not None) == step.ended.any()
        if step.final_observations is not None:
            assert step.final_observations.shape == (count, *shape)
        assert not (step.ended & ~(step.terminated | step.truncated)).any()
        assert not (step.truncated & ~step.ended).any()


# Names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("ALE/Pongg-v5", "ALE/Pong-v5"),
        ("pong", "ALE/Pong-v5"),
        ("ALE/crazyclimber-v5", "ALE/CrazyClimber-v5"),
        ("CartPol-v1", "CartPole-v1"),
        ("lt_chasm", "labyrinth/lt_chasm"),
        ("Labyrinth/lt_chasm", "labyrinth/lt_chasm"),
        ("LT_chasms", "labyrinth/lt_chasm"),
        ("labirynth/seekavoid_arena_01", "labyrinth/seekavoid_arena_01"),
        ("ViZDoom/Basic", "vizdoom/basic"),
        ("my_way_home", "vizdoom/my_way_home"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_ones(wrong: str, near: str) -> None:
    with pytest.raises(UserError, match="did you mean") as refused:
        envs.make(wrong, 1)
    assert wrong in str(refused.value)
    assert near in str(refused.value).split("did you mean")[1]
    assert "\n" not in str(refused.value)


def test_a_name_like_no_other_is_answered_too() -> None:
    with pytest.raises(UserError, match="unknown task") as refused:
        envs.make("qqqqqqqqqqqqqq", 1)
    assert "\n" not in str(refused.value)


def test_short_names_are_for_folders() -> None:
    names = ["ALE/CrazyClimber-v5", "CartPole-v1", "some/Thing-v0", "unversioned"]
    assert [short_name(name) for name in names] == [
        "CrazyClimber", "CartPole", "some-Thing", "unversioned",
    ]  # fmt: skip


# Atari -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("protocol", "actions"), [("dqn", 6), ("machado", 18)])
def test_the_protocol_says_which_actions_pong_has(protocol: str, actions: int) -> None:
    assert envs.describe("ALE/Pong-v5", under(protocol)) == (
        (4, 84, 84),
        actions,
        "images 4 x 84 x 84 (channels first), uint8, 0..255",
    )


@pytest.fixture(scope="module")
def breakout() -> Iterator[dict[str, tuple[Environments, list[Step]]]]:
    """Some games of Breakout, five lives each, under both protocols."""
    made = {p: envs.make("ALE/Breakout-v5", 2, under(p)) for p in ("dqn", "machado")}
    yield {p: (environments, play(environments, 1, 900)) for p, environments in made.items()}
    for environments in made.values():
        environments.close()


@pytest.mark.parametrize("protocol", ["dqn", "machado"])
def test_atari_steps_are_whole_and_of_the_right_types(
    protocol: str, breakout: dict[str, tuple[Environments, list[Step]]]
) -> None:
    environments, tape = breakout[protocol]
    check(environments, tape)
    assert tape[0].observations.dtype == np.uint8
    assert sum(int(step.ended.sum()) for step in tape) >= 4


def test_a_lost_life_terminates_for_learning_only_under_dqn(
    breakout: dict[str, tuple[Environments, list[Step]]],
) -> None:
    _, tape = breakout["dqn"]
    for e in range(2):
        lost_before_the_end: list[int] = []
        lost = 0
        for step in tape:
            if step.ended[e]:
                lost_before_the_end.append(lost)
                lost = 0
            elif step.terminated[e]:
                lost += 1
        assert lost_before_the_end
        assert set(lost_before_the_end) == {4}  # The fifth life ends the game.


def test_under_machado_nothing_terminates_before_the_game_ends(
    breakout: dict[str, tuple[Environments, list[Step]]],
) -> None:
    _, tape = breakout["machado"]
    assert all(((step.terminated | step.truncated) == step.ended).all() for step in tape)


@pytest.mark.parametrize("protocol", ["dqn", "machado"])
def test_an_atari_episode_ends_in_its_own_last_frames(
    protocol: str, breakout: dict[str, tuple[Environments, list[Step]]]
) -> None:
    """Of four stacked frames three are those of the observation before, unless a game began."""
    _, tape = breakout[protocol]
    for before, step in itertools.pairwise(tape):
        for e in range(2):
            last = step.observations[e]
            if step.ended[e]:
                assert step.final_observations is not None
                last = step.final_observations[e]
                assert not np.array_equal(step.observations[e], last)
            assert np.array_equal(last[:3], before.observations[e][1:])


def same(a: list[Step], b: list[Step]) -> bool:
    return all(
        np.array_equal(x.observations, y.observations)
        and np.array_equal(x.rewards, y.rewards)
        and np.array_equal(x.ended, y.ended)
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize(
    ("name", "protocol"),
    [("ALE/Pong-v5", "dqn"), ("ALE/Breakout-v5", "machado"), ("CartPole-v1", "dqn")],
)
def test_the_same_seed_gives_the_same_episodes_and_another_seed_others(
    name: str, protocol: str
) -> None:
    environments, again = (envs.make(name, 2, under(protocol)) for _ in range(2))
    tape = play(environments, 5, 120)
    assert same(tape, play(again, 5, 120))
    assert same(tape, play(again, 5, 120))  # A second reset of the same environments.
    assert not same(tape, play(again, 6, 120))
    assert not np.array_equal(tape[60].observations[0], tape[60].observations[1])
    environments.close()
    again.close()


# Gymnasium ---------------------------------------------------------------------------------------


def test_cartpole_steps_are_whole_and_of_the_right_types() -> None:
    environments = envs.make("CartPole-v1", 3)
    assert (environments.observation_shape, environments.actions) == ((4,), 2)
    tape = play(environments, 0, 200)
    check(environments, tape)
    assert all((step.rewards == 1).all() for step in tape)
    for step in tape:
        for e in np.flatnonzero(step.ended):
            assert step.final_observations is not None
            assert abs(step.final_observations[e][2]) > 0.2  # The pole has fallen,
            assert abs(step.observations[e]).max() < 0.05  # and stands again.
    environments.close()


class Counting(gymnasium.Env[NDArray[np.float32], np.int64]):
    """Observes [episodes begun, steps in it]; pays what the action is; cut after five steps."""

    def __init__(self, first_action: int = 0) -> None:
        self.observation_space = Box(-1e6, 1e6, (2,), np.float32)
        self.action_space = Discrete(3, start=first_action)
        self._seen = np.zeros(2, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self._seen = np.array([self._seen[0] + 1, 0], np.float32)
        return self._seen.copy(), {}

    def step(
        self, action: np.int64
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self._seen[1] += 1
        return self._seen.copy(), float(action), False, bool(self._seen[1] == 5), {}


def counting(first_action: int = 0, **_: Any) -> Counting:
    return Counting(first_action)


gymnasium.register("tests/Counting-v0", counting)
gymnasium.register("tests/CountingFromSeven-v0", counting, kwargs={"first_action": 7})


def test_a_truncated_episode_gives_its_final_observation_and_the_next_ones_first() -> None:
    environments = envs.make("tests/Counting-v0", 2)
    tape = play(environments, 0, 7)
    check(environments, tape)
    assert [step.truncated.all() for step in tape] == [False] * 4 + [True] + [False] * 2
    assert not any(step.terminated.any() for step in tape)
    assert tape[4].ended.all()
    assert tape[4].final_observations is not None
    assert tape[4].final_observations.tolist() == [[1, 5]] * 2
    assert tape[4].observations.tolist() == [[2, 0]] * 2
    assert tape[5].observations.tolist() == [[2, 1]] * 2
    environments.close()


def test_the_cartpole_time_limit_truncates() -> None:
    """A pole pushed back toward the middle, by its angle and how fast it falls, stands 500 steps."""
    environments = envs.make("CartPole-v1", 1)
    observations = environments.reset(0)
    for number in range(1, 501):
        lean = float(observations[0][2] + 0.5 * observations[0][3] + 0.05 * observations[0][1])
        step = environments.step(np.array([int(lean > 0)]))
        observations = step.observations
        assert step.ended[0] == (number == 500)
    assert step.truncated[0]
    assert not step.terminated[0]
    assert step.final_observations is not None
    assert not np.array_equal(step.final_observations, step.observations)
    environments.close()


def test_actions_are_counted_from_zero_wherever_the_space_starts() -> None:
    environments = envs.make("tests/CountingFromSeven-v0", 3)
    environments.reset(0)
    assert environments.actions == 3
    assert environments.step(np.array([0, 1, 2])).rewards.tolist() == [7, 8, 9]
    environments.close()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Pendulum-v1", "Discrete"),
        ("FrozenLake-v1", "Box"),
        ("MountainCarContinuous-v0", "Discrete"),
    ],
)
def test_a_task_that_cannot_be_one_here_is_refused_in_one_line(name: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as refused:
        envs.describe(name)
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)
