"""Rank correlations against scipy, and the interval against its formula and its coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from dither.stats import partial_spearman, spearman


def pair(n: int, seed: int, slope: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, slope * x + rng.normal(size=n)


@pytest.mark.parametrize("digits", [6, 0])  # 0: with ties
@pytest.mark.parametrize("n", [4, 9, 60])
def test_the_value_is_scipys(n, digits):
    x, y = (np.round(3 * values, digits) for values in pair(n, n))
    assert spearman(x, y).value == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_the_interval_is_that_of_bonett_and_wright():
    found = spearman(*pair(30, 1))
    error = math.sqrt((1 + found.value**2 / 2) / (30 - 3))
    low, high = (math.tanh(math.atanh(found.value) + sign * 1.959964 * error) for sign in (-1, 1))
    assert found.interval == pytest.approx((low, high), abs=1e-6)
    assert found.n == 30


def test_the_interval_covers_the_true_correlation():
    """Of 600 intervals 570 hold it on average; below 540 by chance once in 10^7."""
    rng, held = np.random.default_rng(4), 0
    pearson = 0.6
    true = 6 / math.pi * math.asin(pearson / 2)
    for _ in range(600):
        x, y = rng.multivariate_normal([0, 0], [[1, pearson], [pearson, 1]], size=20).T
        low, high = spearman(x, y).interval
        held += low <= true <= high
    assert held >= 540


@pytest.mark.parametrize(
    ("x", "y"), [([1, 2], [1, 2]), ([1, 1, 1, 1], [1, 2, 3, 4]), ([1, 2, math.nan, 4], [math.nan, 2, 3, 4])]
)
def test_where_there_is_no_correlation(x, y):
    found = spearman(x, y)
    assert math.isnan(found.value)
    assert all(math.isnan(end) for end in found.interval)


@pytest.mark.parametrize(("x", "y"), [([1, 2, 3], [1, 3, 2]), ([1, 2, 3, 4, 5], [5, 6, 7, 8, 9])])
def test_three_runs_or_a_perfect_order_have_no_interval(x, y):
    found = spearman(x, y)
    assert not math.isnan(found.value)
    assert all(math.isnan(end) for end in found.interval)


def test_runs_without_a_number_are_left_out():
    x, y = [1.0, 2.0, 3.0, 4.0, math.nan], [2.0, 1.0, 3.0, 4.0, 0.0]
    assert spearman(x, y) == spearman(x[:4], y[:4])
    assert spearman(x, y).n == 4


def test_differences_between_arms_do_not_count():
    """Over all runs the quantities correlate by the arms' levels alone."""
    first, second = pair(40, 1, slope=0.0), pair(40, 2, slope=0.0)
    raised = tuple(values + 100 for values in second)
    together = spearman(*(np.concatenate(values) for values in zip(first, raised, strict=True)))
    found = partial_spearman([first, raised])
    assert together.value > 0.6
    assert abs(found.value) < 0.3
    assert found.value == pytest.approx((spearman(*first).value + spearman(*second).value) / 2, abs=1e-12)


def test_the_interval_of_several_arms_pays_for_their_levels():
    arms = [pair(9, seed) for seed in range(3)]
    found = partial_spearman(arms)
    assert (found.n, found.arms) == (27, 3)
    half = 1.959964 * math.sqrt((1 + found.value**2 / 2) / (27 - 2 - 3))
    assert math.atanh(found.interval[1]) - math.atanh(found.value) == pytest.approx(half, abs=1e-6)


def test_arms_that_say_nothing_are_left_out():
    arm = pair(9, 0)
    found = partial_spearman([arm, ([1, 1, 1, 1], [1, 2, 3, 4]), ([1, 2], [1, 2])])
    assert found == spearman(*arm)
    nothing = partial_spearman([([1, 2], [1, 2])])
    assert (math.isnan(nothing.value), nothing.n, nothing.arms) == (True, 0, 0)


def test_two_lengths_are_refused():
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(2,\); give one value of each to a run"):
        partial_spearman([([1, 2, 3], [1, 2])])
