"""Metrics on tables small enough to compute by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pathnet_rl.metrics import (
    agent_steps_to,
    area_under_curve,
    final_level,
    first_level,
    forgetting,
    halfway,
    jump_start,
    learning_curve,
    mean_of_last,
    normalised_score,
    relative_area,
    speedup,
    transfer_matrix,
    zero_shot,
)
from pathnet_rl.scores import PUBLISHED, published


def steps(*values: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


def floats(*values: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.array(values)


def test_the_mean_of_the_last_episodes() -> None:
    assert mean_of_last(floats(1, 2, 3, 4), count=2) == 3.5
    assert mean_of_last(floats(1, 2), count=100) == 1.5
    assert mean_of_last(floats()) is None
    assert mean_of_last(np.arange(200.0)) == 149.5


def test_a_curve_is_the_mean_return_of_each_stretch() -> None:
    """A budget of 100 in four stretches: steps 1-25, 26-50, 51-75, 76-100."""
    curve = learning_curve(steps(25, 26, 50, 60, 100), floats(2, 4, 8, 10, 20), 100, points=4)
    assert curve.tolist() == [2, 6, 10, 20]


def test_a_stretch_without_an_episode_has_the_value_of_the_one_before() -> None:
    curve = learning_curve(steps(10, 60), floats(2, 8), 100, points=5)
    assert curve.tolist() == [2, 2, 8, 8, 8]


def test_stretches_before_the_first_episode_have_its_value() -> None:
    curve = learning_curve(steps(70), floats(5), 100, points=4)
    assert curve.tolist() == [5, 5, 5, 5]


def test_episodes_that_end_past_the_budget_belong_to_the_last_stretch() -> None:
    curve = learning_curve(steps(10, 100, 130), floats(1, 3, 5), 100, points=2)
    assert curve.tolist() == [1, 4]


def test_there_is_no_curve_without_an_episode() -> None:
    with pytest.raises(ValueError, match="no episode"):
        learning_curve(steps(), floats(), 100)


def test_the_area_is_the_mean_over_the_task() -> None:
    assert area_under_curve(floats(2, 6, 10, 20)) == 9.5


@pytest.mark.parametrize(
    ("area", "control", "ratio"),
    [
        (30.0, 20.0, 1.5),
        (10.0, 20.0, 0.5),
        (-10.0, -20.0, None),
        (10.0, 0.0, None),
        (0.0, 5.0, None),
    ],
)
def test_the_speedup_is_the_ratio_of_areas_where_that_says_something(
    area: float, control: float, ratio: float | None
) -> None:
    assert speedup(area, control) == ratio


def test_agent_steps_until_the_mean_of_the_last_episodes_passes_a_threshold() -> None:
    table = steps(10, 20, 30, 40, 50), floats(0, 4, 4, 6, 6)
    assert agent_steps_to(*table, threshold=3.9, count=2) == 30
    assert agent_steps_to(*table, threshold=4.0, count=2) == 40  # Exceeded, not reached.
    assert agent_steps_to(*table, threshold=6.0, count=2) is None
    assert agent_steps_to(*table, threshold=-1.0, count=6) is None
    assert agent_steps_to(*table, threshold=-1.0, count=2) == 20


@pytest.mark.parametrize(
    ("area", "control", "random", "relative"),
    [
        (30.0, 20.0, 10.0, 2.0),
        (10.0, 20.0, 10.0, 0.0),
        (5.0, 20.0, 10.0, -0.5),
        (-17.0, -19.0, -21.0, 2.0),  # Pong, where the plain ratio says nothing.
        (30.0, 10.0, 10.0, None),
        (30.0, 5.0, 10.0, None),
    ],
)
def test_the_relative_area_counts_from_the_random_policy(
    area: float, control: float, random: float, relative: float | None
) -> None:
    assert relative_area(area, control, random) == relative


def test_levels_and_the_jump_start_are_means_over_a_tenth_of_the_task() -> None:
    curve = np.arange(20.0)
    assert (first_level(curve), final_level(curve)) == (0.5, 18.5)
    assert jump_start(curve + 7.0, curve) == 7.0
    assert jump_start(curve, np.full(20, 3.0)) == -2.5
    assert (first_level(floats(4, 6)), final_level(floats(4, 6))) == (4.0, 6.0)


def test_the_threshold_is_halfway_from_the_random_policy_to_the_control() -> None:
    assert halfway(-21.0, 5.0) == -8.0
    assert halfway(10.0, 10.0) is None


def test_zero_shot_is_what_was_recorded_before_learning_or_else_the_first_episodes() -> None:
    assert zero_shot(floats(1, 3, 100), count=2) == 2.0
    assert zero_shot(floats(1, 3), count=20) == 2.0
    assert zero_shot(floats(1, 3), before=floats(8, 10)) == 9.0


def test_forgetting_is_what_the_same_episodes_have_lost() -> None:
    assert forgetting(floats(10, 20), floats(5, 15)) == 5.0
    assert forgetting(floats(10), floats(10)) == 0.0
    assert forgetting(floats(10), floats(12)) == -2.0


def test_a_transfer_matrix_has_a_row_a_source_and_says_where_nothing_was_measured() -> None:
    measured = {("Pong", "Alien"): [1.0, 2.0], ("Pong", "Boxing"): [3.0], ("Krull", "Alien"): [4.0]}
    sources, targets, matrix = transfer_matrix(measured)
    assert (sources, targets) == (["Pong", "Krull"], ["Alien", "Boxing"])
    np.testing.assert_equal(matrix, [[1.5, 3.0], [4.0, np.nan]])


def test_scores_are_normalised_by_published_ones_of_games_that_have_them() -> None:
    pong = published("ALE/Pong-v5")
    assert pong is not None
    assert normalised_score(-20.7, pong.random, pong.human) == 0.0
    assert normalised_score(9.3, pong.random, pong.human) == 1.0
    assert normalised_score(-5.7, pong.random, pong.human) == pytest.approx(0.5)
    assert published("ALE/Tetris-v5") is None
    assert published("CartPole-v1") is None
    assert all(scores.human > scores.random for scores in PUBLISHED.values())


def test_published_scores_stand_under_the_names_that_tasks_have() -> None:
    gymnasium = pytest.importorskip("gymnasium")
    gymnasium.register_envs(pytest.importorskip("ale_py"))
    assert [game for game in PUBLISHED if f"ALE/{game}-v5" not in gymnasium.registry] == []
