"""Detectable effects and pairs needed, against statsmodels where both mean the same."""

from __future__ import annotations

import math

import pytest
from scipy.stats import norm
from statsmodels.stats.power import TTestPower

from dither.stats.power import detectable_in_se, minimum_detectable_effect, pairs_needed
from dither.stats.signflip import attainable_level


@pytest.mark.parametrize("n", [7, 9, 12, 20, 67])
@pytest.mark.parametrize("power", [0.8, 0.9])
def test_the_effect_is_the_paired_t_tests_at_the_level_spent(n, power):
    level = attainable_level(n, 0.05)
    theirs = TTestPower().solve_power(nobs=n, alpha=level, power=power, alternative="two-sided")
    assert minimum_detectable_effect(1.5, n, power=power) == pytest.approx(1.5 * theirs, rel=1e-4)


def test_where_only_equal_signs_reject_the_effect_suffices_for_them():
    effect = minimum_detectable_effect(2.0, 6)
    assert norm.cdf(effect / 2.0) ** 6 == pytest.approx(0.8)
    assert effect > 2.0 * detectable_in_se(5, 2 / 2**6) / math.sqrt(6)


@pytest.mark.parametrize(("n", "alpha"), [(0, 0.05), (1, 0.05), (5, 0.05), (9, 0.05 / 18)])
def test_what_cannot_be_resolved_is_infinite(n, alpha):
    assert minimum_detectable_effect(1.0, n, alpha) == math.inf
    assert minimum_detectable_effect(0.0, n, alpha) == math.inf


def test_nine_pairs_detect_about_one_standard_deviation():
    assert minimum_detectable_effect(1.0, 9) == pytest.approx(1.08, abs=0.01)


@pytest.mark.parametrize("sd", [0.0, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 4])
def test_pairs_needed_is_the_smallest_number(sd, alpha):
    n = pairs_needed(sd, 1.0, alpha)
    assert minimum_detectable_effect(sd, n, alpha) <= 1.0 < minimum_detectable_effect(sd, n - 1, alpha)
    assert pairs_needed(sd, -1.0, alpha) == n


def test_more_pairs_never_detect_less():
    effects = [minimum_detectable_effect(1.0, n) for n in range(6, 80)]
    assert effects == sorted(effects, reverse=True)


@pytest.mark.parametrize("df", [1.0, 1.3, 4.0, 14.3, 500.0])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_the_shift_gives_the_power(df, alpha):
    from scipy.stats import nct, t

    shift = detectable_in_se(df, alpha)
    assert nct.sf(t.isf(alpha / 2, df), df, shift) == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sd": -1.0}, "sd must be a finite standard deviation >= 0 in points, got -1.0"),
        ({"sd": math.nan}, "got nan"),
        ({"alpha": 0.0}, r"alpha must lie in \(0, 1\), got 0.0"),
        ({"power": 0.01}, r"power must lie in \(alpha, 1\) = \(0.05, 1\), got 0.01"),
        ({"n": -1}, "n must be a number of pairs >= 0, got -1"),
    ],
)
def test_values_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        minimum_detectable_effect(**({"sd": 1.0, "n": 9} | arguments))


def test_an_effect_of_nothing_is_refused():
    with pytest.raises(ValueError, match="other than 0, got 0"):
        pairs_needed(1.0, 0.0)
    with pytest.raises(ValueError, match="takes more than a million pairs"):
        pairs_needed(1.0, 1e-6)
