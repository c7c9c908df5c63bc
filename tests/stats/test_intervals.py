"""Intervals, equivalence, correlation and Holm against scipy and statsmodels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from dither.stats.intervals import correlation, equivalence_p, mean_estimate, spread, t_interval
from dither.stats.multiplicity import holm


@pytest.mark.parametrize("n", [2, 5, 9, 40])
@pytest.mark.parametrize("confidence", [0.95, 0.975])
def test_interval_equals_scipys_paired_one(n, confidence):
    method, baseline = np.random.default_rng(n).normal(60, 2, size=(2, n))
    theirs = stats.ttest_rel(method, baseline).confidence_interval(confidence)
    ours = t_interval(mean_estimate(method - baseline), confidence)
    assert ours == pytest.approx((theirs.low, theirs.high), rel=1e-9)


@pytest.mark.parametrize("margin", [0.3, 1.0, 3.0])
def test_equivalence_equals_statsmodels(margin):
    from statsmodels.stats.weightstats import ttost_paired

    method, baseline = np.random.default_rng(1).normal(60, 1, size=(2, 12))
    theirs = ttost_paired(method, baseline, -margin, margin)[0]
    assert equivalence_p(mean_estimate(method - baseline), margin) == pytest.approx(float(theirs), rel=1e-9)


def test_equivalence_and_its_interval_agree():
    rng = np.random.default_rng(2)
    for _ in range(200):
        estimate = mean_estimate(rng.normal(0.3, 1.0, 9))
        low, high = t_interval(estimate, 0.90)
        assert (equivalence_p(estimate, 1.0) < 0.05) == (low > -1.0 and high < 1.0)


@pytest.mark.parametrize("values", [[], [1.0], [0.1] * 9, [math.nan, 1.0, 2.0]])
def test_no_spread_is_no_evidence_of_equivalence(values):
    assert math.isnan(equivalence_p(mean_estimate(values), margin=100.0))


def test_small_samples_have_no_interval():
    assert all(math.isnan(end) for n in (0, 1) for end in t_interval(mean_estimate([1.0] * n)))


def test_equal_differences_have_an_interval_of_one_point():
    scores = np.full(9, 100 / 277 * 150)
    assert spread(scores) == 0.0
    assert t_interval(mean_estimate(scores)) == (scores.mean(), scores.mean())


def test_correlation():
    x, y = np.random.default_rng(3).normal(size=(2, 30))
    assert correlation(x, x + y) == pytest.approx(stats.pearsonr(x, x + y).statistic)
    assert math.isnan(correlation(x, np.full(30, 100 / 277 * 150)))
    assert math.isnan(correlation([1.0, 2.0], [1.0, 3.0]))


def holm_by_closure(p: list[float]) -> list[float]:
    """Closed testing with Bonferroni: the largest adjusted p over all families that hold the hypothesis."""
    ranks = range(len(p))
    families = [f for size in range(1, len(p) + 1) for f in itertools.combinations(ranks, size)]
    worst = [min(1.0, len(f) * min(p[i] for i in f)) for f in families]
    return [max(w for w, f in zip(worst, families, strict=True) if i in f) for i in ranks]


@pytest.mark.parametrize("m", [1, 2, 3, 6])
def test_holm_equals_the_closure_and_statsmodels(m):
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(m)
    for _ in range(20):
        p = [float(x) for x in rng.choice([0.002, 0.01, 0.03, 0.2, 1.0], size=m)]
        assert holm(p) == pytest.approx(holm_by_closure(p))
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1].tolist())


def test_holm_at_the_edges():
    assert holm([]) == []
    with pytest.raises(ValueError, match=r"lie in \[0, 1\], got nan; leave out"):
        holm([0.2, math.nan])
