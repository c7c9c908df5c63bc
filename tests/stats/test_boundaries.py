"""Nominal levels against published boundaries and a simulation of sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from dither.stats.boundaries import level_reached, nominal_level
from dither.stats.spending import Spending, planned_once


@pytest.mark.parametrize("one_sided", [False, True])
def test_a_single_look_has_its_share(one_sided):
    assert nominal_level(planned_once(9), 0.05, one_sided=one_sided) == 0.05
    assert nominal_level(Spending((9,), (0.25,)), 0.05, one_sided=one_sided) == 0.0125


def test_it_is_the_published_boundary_where_looks_are_equally_far_apart():
    """Even spending at one half and all of the data, two-sided 0.05: boundaries 2.241 and 2.125.

    Times count as n − 3, so 103 and 203 pairs are one half and all of it.
    """
    looks = Spending((103, 203), (0.5, 1.0))
    assert -special.ndtri(nominal_level(looks, 0.05) / 2) == pytest.approx(2.125, abs=1e-3)
    first = Spending(looks.seeds[:1], looks.shares[:1])
    assert -special.ndtri(nominal_level(first, 0.05) / 2) == pytest.approx(2.241, abs=1e-3)


@pytest.mark.parametrize("one_sided", [False, True])
def test_all_boundaries_together_are_crossed_as_often_as_the_shares_say(one_sided):
    looks = Spending((9, 13, 16, 23), (0.1, 0.3, 0.8, 1.5))
    steps = np.sqrt(np.diff([0.0, *(n - 3 for n in looks.seeds)]))
    trials, crossed = 200_000, 0
    sums = (np.random.default_rng(1).normal(size=(trials, 4)) * steps).cumsum(axis=1)
    alive = np.ones(trials, dtype=bool)
    for k, (n, share) in enumerate(zip(looks.seeds, looks.shares, strict=True), start=1):
        level = nominal_level(Spending(looks.seeds[:k], looks.shares[:k]), 0.05, one_sided=one_sided)
        z = sums[:, k - 1] / math.sqrt(n - 3)
        alive &= (z if one_sided else np.abs(z)) < -special.ndtri(level if one_sided else level / 2)
        crossed = 1 - alive.mean()
        assert crossed == pytest.approx(0.05 * share, abs=4 * math.sqrt(0.05 * share / trials))


@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.01, 1e-5])
@pytest.mark.parametrize("one_sided", [False, True])
def test_the_level_reached_is_the_way_back(alpha, one_sided):
    looks = Spending((8, 10, 12), (0.4, 0.7, 1.0))
    p = nominal_level(looks, alpha, one_sided=one_sided)
    assert level_reached(looks, p, one_sided=one_sided) == pytest.approx(alpha, rel=1e-5)


def test_levels_at_the_ends():
    looks = Spending((8, 12), (0.4, 1.0))
    assert [level_reached(looks, p) for p in (0.0, 1.0, 0.9999)] == [0.0, 1.0, 1.0]
    assert level_reached(Spending((8,), (0.5,)), 0.9) == 1.0
    assert math.isnan(level_reached(looks, math.nan))
    assert math.isnan(level_reached(Spending((8,), (0.5,)), math.nan))
    assert nominal_level(Spending((4, 5), (0.5, 0.5)), 0.05) == 0.0


@pytest.mark.parametrize("alpha", [0.0, 0.7])
def test_an_error_rate_out_of_range_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha times the last share"):
        nominal_level(Spending((4, 5), (1.0, 1.5)), alpha)
