"""The sign-flip test against a loop over all signs, and at its edges."""

from __future__ import annotations

import itertools
import math
from itertools import product

import numpy as np
import pytest

from dither.stats.signflip import (
    DRAWS,
    attainable_level,
    drawn_p,
    exact_p,
    one_sided_p,
    p_floor,
    pairs_to_reach,
    sign_flip,
)


def p_by_loop(differences: list[float]) -> float:
    """The definition: every vector of signs, one after the other."""
    observed = abs(math.fsum(differences))
    sums = [
        abs(math.fsum(sign * d for sign, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(s >= observed - 1e-9 for s in sums) / len(sums)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 11])
def test_enumeration_equals_the_loop(n):
    rng = np.random.default_rng(n)
    for differences in rng.normal(0.5, 1.0, size=(5, n)):
        assert sign_flip(differences).p == p_by_loop(list(differences))


@pytest.mark.parametrize("n", [4, 7, 10])
def test_enumeration_equals_the_loop_on_a_grid_with_ties(n):
    """Scores of a split of 277 examples: equal sums, differently rounded, must count as equal."""
    rng = np.random.default_rng(100 + n)
    arms = rng.binomial(277, 0.65, size=(20, 2, n)) * 100 / 277
    for method, baseline in arms:
        differences = method - baseline
        assert sign_flip(differences).p == p_by_loop(list(differences))


def test_many_samples_at_once_equal_one_by_one():
    samples = np.random.default_rng(3).normal(size=(7, 4, 9))
    together = exact_p(samples)
    assert together.shape == (7, 4)
    assert together[2, 3] == sign_flip(samples[2, 3]).p


def test_samples_in_chunks_equal_one_by_one(monkeypatch):
    samples = np.random.default_rng(4).normal(size=(50, 6))
    whole = exact_p(samples)
    monkeypatch.setattr("dither.stats.signflip._CHUNK", 64)
    assert np.array_equal(exact_p(samples), whole)


@pytest.mark.parametrize("ties", [0, 1, 3])
def test_zeros_change_nothing_but_are_not_counted(ties):
    differences = [0.4, -0.2, 0.9, 1.3, 0.8, 0.3]
    test = sign_flip(differences + [0.0] * ties)
    assert (test.p, test.untied, test.floor) == (p_by_loop(differences + [0.0] * ties), 6, 2 / 2**6)


def test_the_floor_is_attained_by_equal_signs():
    for n in range(1, 12):
        assert sign_flip(np.arange(1.0, n + 1)).p == p_floor(n) == 2 / 2**n


@pytest.mark.parametrize(
    ("differences", "p"), [([], math.nan), ([0.0, 0.0], 1.0), ([0.5], 1.0), ([1.0, 1.0], 0.5)]
)
def test_degenerate_samples(differences, p):
    assert sign_flip(differences).p == pytest.approx(p, nan_ok=True)


def test_the_sign_does_not_matter():
    differences = np.random.default_rng(5).normal(0.3, 1.0, 10)
    assert sign_flip(differences).p == sign_flip(-differences).p


@pytest.mark.parametrize("shift", [0.1, 0.5, 0.9])
def test_drawn_signs_agree_with_all_signs(shift):
    """Error rate of this test: below 1e-5 per case (4.5 standard errors), were the seed not fixed."""
    differences = np.random.default_rng(6).normal(shift, 1.0, 17)
    exact = float(exact_p(differences))
    error = math.sqrt(exact * (1 - exact) / DRAWS)
    assert abs(drawn_p(differences) - exact) <= 4.5 * error + 1 / DRAWS


def test_beyond_twenty_untied_pairs_signs_are_drawn():
    assert sign_flip([1.0] * 20 + [0.0] * 5).exact
    drawn = sign_flip([1.0] * 21)
    assert (drawn.exact, drawn.p, drawn.floor) == (False, 1 / (DRAWS + 1), 1 / (DRAWS + 1))
    assert drawn == sign_flip([1.0] * 21)


def test_drawn_signs_leave_the_global_generator_alone():
    before = np.random.get_state()[1].copy()
    sign_flip(np.ones(30))
    assert np.array_equal(before, np.random.get_state()[1])


def test_what_is_not_finite_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3,\) with 1 values that are not finite; drop or score"):
        sign_flip([1.0, math.nan, 2.0])
    with pytest.raises(ValueError, match="1 to 20 differences, got 21"):
        exact_p(np.ones((2, 21)))


@pytest.mark.parametrize("alpha", [0.05, 0.025, 0.05 / 18, 0.0625, 0.03125])
def test_attainable_level_is_the_largest_p_below_alpha(alpha):
    for n in range(1, 13):
        below = [k * 2 / 2**n for k in range(1, 2 ** (n - 1) + 1) if k * 2 / 2**n < alpha]
        assert attainable_level(n, alpha) == max(below, default=0.0)


@pytest.mark.parametrize("alpha", [0.5, 0.05, 0.0625, 0.03125, 0.05 / 18, 1e-6])
def test_pairs_to_reach_is_the_smallest_number_that_can(alpha):
    n = pairs_to_reach(alpha)
    assert p_floor(n) < alpha <= p_floor(n - 1)


@pytest.mark.parametrize("seed", range(5))
def test_the_one_sided_p_counts_the_sums_that_are_as_great(seed):
    values = np.round(np.random.default_rng(seed).normal(0.3, 1, size=7), 1)
    sums = [sum(e * v for e, v in zip(signs, values, strict=True)) for signs in product((1, -1), repeat=7)]
    assert one_sided_p(values) == np.mean([total >= values.sum() - 1e-9 for total in sums])
    assert one_sided_p([*values, 0.0, 0.0]) == one_sided_p(values)


def test_the_one_sided_p_of_many_is_drawn_and_never_zero():
    assert one_sided_p([1.0] * 25) == 1 / (DRAWS + 1)
    assert one_sided_p([-1.0] * 25) == 1.0
    assert one_sided_p([]) == 1.0
    values = np.random.default_rng(1).normal(0.3, 1, size=21)
    assert one_sided_p(values) == pytest.approx(float(exact_one_sided(values)), abs=0.01)


def exact_one_sided(values: np.ndarray) -> float:
    """By halves: all sums of the first ten against all sums of the others."""
    halves = [np.array(list(product((1, -1), repeat=len(v)))) @ v for v in (values[:10], values[10:])]
    ordered = np.sort(halves[1])
    above = len(ordered) - np.searchsorted(ordered, values.sum() - halves[0] - 1e-9)
    return above.sum() / (len(halves[0]) * len(ordered))
