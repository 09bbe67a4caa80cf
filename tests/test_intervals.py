"""Intervals over seeds: cases done by hand, and scipy as the oracle."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from pathnet_rl.intervals import (
    Interval,
    interquartile_mean,
    mean_interval,
    ratio_interval,
    stratified_interval,
)

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def floats(*values: float) -> Floats:
    return np.array(values)


def test_one_seed_has_no_interval_and_says_so() -> None:
    assert mean_interval(floats(3.5)) == Interval(3.5, None, None, 1)
    assert ratio_interval(floats(3.0), floats(2.0)) == Interval(1.5, None, None, 1)
    assert str(mean_interval(floats(3.5))) == "3.500 (n = 1: no interval)"
    assert stratified_interval([floats(3.0)], lambda s: float(s[0].mean())).low is None


def test_equal_seeds_have_an_interval_without_width() -> None:
    assert mean_interval(floats(2.0, 2.0, 2.0)) == Interval(2.0, 2.0, 2.0, 3)
    assert ratio_interval(floats(6.0, 6.0), floats(4.0, 4.0)) == Interval(1.5, 1.5, 1.5, 2)


def test_two_seeds_have_an_interval_that_reaches_from_one_to_the_other() -> None:
    """Drawn again, both are the lower one in a quarter of the cases, which is more than 2.5%."""
    assert mean_interval(floats(1.0, 3.0)) == Interval(2.0, 1.0, 3.0, 2)
    # Seeds are drawn in pairs: (2, 1) twice is 2, (3, 3) twice is 1; unpaired, 3 / 1 would be possible.
    assert ratio_interval(floats(2.0, 3.0), floats(1.0, 3.0)) == Interval(1.25, 1.0, 2.0, 2)


def test_the_interval_of_a_mean_is_near_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(3).normal(10.0, 2.0, 400)
    found = mean_interval(values)
    assert found.low is not None
    assert found.high is not None
    width = 1.96 * values.std() / math.sqrt(400)
    assert found.low == pytest.approx(values.mean() - width, abs=0.02)
    assert found.high == pytest.approx(values.mean() + width, abs=0.02)


def test_a_ratio_whose_control_may_be_nothing_has_no_upper_end() -> None:
    found = ratio_interval(floats(2.0, 4.0, 3.0), floats(-1.0, 5.0, 2.0))
    assert (found.value, found.high) == (1.5, math.inf)
    assert found.low is not None
    assert 0.8 <= found.low < 1.5


@pytest.mark.parametrize("count", [1, 3, 4, 7, 8, 50])
def test_the_interquartile_mean_is_scipys_trimmed_mean(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25))


def test_the_interquartile_mean_leaves_out_the_extremes() -> None:
    assert interquartile_mean(floats(100.0, 1.0, 2.0, -50.0)) == 1.5


def difference(strata: Sequence[Floats]) -> float:
    return float(strata[0].mean() - strata[1].mean())


def test_strata_are_drawn_apart_from_one_another() -> None:
    """A stratum of equal seeds adds nothing; seeds never wander into another stratum."""
    found = stratified_interval([floats(1.0, 3.0), floats(10.0, 10.0, 10.0)], difference)
    assert found == Interval(-8.0, -9.0, -7.0, 3)


def test_rows_of_a_stratum_stay_together() -> None:
    rows = np.array([[1.0, 2.0], [3.0, 6.0], [5.0, 10.0]])
    found = stratified_interval([rows], lambda s: float(s[0][:, 1].mean() / s[0][:, 0].mean()))
    assert found == Interval(2.0, 2.0, 2.0, 3)
