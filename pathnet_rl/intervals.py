"""Intervals over seeds: a statistic and how far it would move with other seeds like these.

All are percentile bootstrap intervals (Efron and Tibshirani, 1993): the seeds are drawn again, with
replacement, many times, and the interval holds the middle 95% of what the statistic then is. One seed
says nothing about other seeds, so it has no interval. With few seeds (less than ten or so) they are too
narrow: what no seed has shown cannot be drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 9999
STRATIFIED_RESAMPLES = 2000
LEVEL = 0.95

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A statistic and its 95% bootstrap interval over seeds.

    Attributes:
        low, high: None for one seed; high is infinite where a ratio's denominator may be 0.
        seeds: n, the seeds that it is made of; of several strata, those of the largest.
    """

    value: float
    low: float | None
    high: float | None
    seeds: int

    def __str__(self) -> str:
        digits = 1 if abs(self.value) >= 10 else 3
        if self.low is None or self.high is None:
            return f"{self.value:.{digits}f} (n = {self.seeds}: no interval)"
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def mean_interval(values: Floats) -> Interval:
    """The mean and its percentile bootstrap interval."""
    value = float(values.mean())
    if len(values) < 2:
        return Interval(value, None, None, len(values))
    from scipy.stats import bootstrap

    found = bootstrap(
        (values,), np.mean, confidence_level=LEVEL, n_resamples=RESAMPLES, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return Interval(value, float(found.low), float(found.high), len(values))


def ratio_interval(numerator: Floats, denominator: Floats) -> Interval:
    """The ratio of two means over the same seeds, and its percentile bootstrap interval (paired).

    A resample whose denominator is not positive counts as infinite: the upper end is then unknown.
    """
    value = float(numerator.mean() / denominator.mean())
    if len(numerator) < 2:
        return Interval(value, None, None, len(numerator))
    from scipy.stats import bootstrap

    def ratio(above: Floats, below: Floats, axis: int) -> Floats:
        means = below.mean(axis)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(means > 0, above.mean(axis) / means, np.inf)

    with np.errstate(invalid="ignore"):  # Between two infinite resamples there is no number.
        found = bootstrap(
            (numerator, denominator), ratio, paired=True,
            vectorized=True, confidence_level=LEVEL, n_resamples=RESAMPLES, method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval  # fmt: skip
    low, high = (math.inf if math.isnan(end) else float(end) for end in (found.low, found.high))
    return Interval(value, low, high, len(numerator))


def interquartile_mean(values: Floats) -> float:
    """The mean of the middle half: a quarter of the values, rounded down, is left out at each end.

    Of fewer than four values it is the mean (Agarwal et al., 2021, "Deep reinforcement learning at the
    edge of the statistical precipice").
    """
    cut = len(values) // 4
    return float(np.sort(values)[cut : len(values) - cut].mean())


def stratified_interval(
    strata: Sequence[Floats], statistic: Callable[[Sequence[Floats]], float]
) -> Interval:
    """A statistic of several strata (such as games); seeds are drawn again within each (Agarwal et al.).

    A stratum of one seed stays as it is.

    Args:
        strata: a row a seed; whatever stands in the same row is drawn together.
    """
    value, seeds = statistic(strata), max(len(stratum) for stratum in strata)
    if seeds < 2:
        return Interval(value, None, None, seeds)
    rng = np.random.default_rng(0)
    drawn = [
        statistic([stratum[rng.integers(len(stratum), size=len(stratum))] for stratum in strata])
        for _ in range(STRATIFIED_RESAMPLES)
    ]
    tail = (1.0 - LEVEL) / 2.0
    # The nearest resample, not a point between two: one of them may be infinite.
    low, high = np.quantile(drawn, (tail, 1.0 - tail), method="nearest")
    return Interval(value, float(low), float(high), seeds)
