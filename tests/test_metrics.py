"""Metrics on tables small enough to compute by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pathnet_rl.metrics import (
    agent_steps_to,
    area_under_curve,
    learning_curve,
    mean_of_last,
    speedup,
)


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
