"""The group-sequential sign-flip test against its definition, vector by vector, and at its edges."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from dither.stats.sequential import Signs, sequential_flip
from dither.stats.signflip import exact_p, sign_flip
from dither.stats.spending import Spending, planned_once

Vector = tuple[int, ...]


def levels_by_loop(differences, spending: Spending, *, one_sided: bool, most: float) -> dict[Vector, float]:
    """The least level at which each sign vector is rejected, as the docstring has it."""
    before: dict[Vector, float] = {(): math.inf}
    done = 0
    for seeds, share in zip(spending.seeds, spending.shares, strict=True):
        vectors = list(itertools.product((1, -1), repeat=seeds))
        earlier = {v: before[v[:done]] if before[v[:done]] <= most else math.inf for v in vectors}
        sums = {v: math.fsum(s * d for s, d in zip(v, differences, strict=False)) for v in vectors}
        reached = sums if one_sided else {v: abs(total) for v, total in sums.items()}
        now = {
            v: least_level([w for w in vectors if reached[w] >= reached[v] - 1e-9], earlier, share)
            for v in vectors
        }
        before, done = {v: min(earlier[v], now[v]) for v in vectors}, seeds
        for level in before.values():
            assert sum(other <= level for other in before.values()) <= level * share * len(vectors) + 1e-9
    return before


def least_level(first: list[Vector], earlier: dict[Vector, float], share: float) -> float:
    """From which level on the first vectors find room beside those that are rejected before."""
    room, top, found = share * len(earlier), set(first), 0.0
    starts = [0.0, *sorted({level for level in earlier.values() if level < math.inf}), math.inf]
    for start, end in itertools.pairwise(starts):
        needed = (len(top) + sum(level <= start and v not in top for v, level in earlier.items())) / room
        if needed > start:
            found = max(found, min(end, needed))
    return found


@pytest.mark.parametrize("most", [0.1, 0.9])
@pytest.mark.parametrize("one_sided", [False, True])
@pytest.mark.parametrize(
    ("spending", "rounded"),
    [
        (Spending((3, 5, 7), (0.3, 0.6, 1.0)), False),
        (Spending((2, 4, 6), (0.1, 0.1, 0.9)), False),
        (Spending((4, 7), (1.0, 1.5)), False),
        (Spending((1, 2, 3, 4, 5, 6), (0.2, 0.3, 0.5, 0.6, 0.9, 1.0)), False),
        (Spending((3, 5, 7), (0.3, 0.6, 1.0)), True),
    ],
)
def test_it_is_the_definition(spending, rounded, one_sided, most):
    rng = np.random.default_rng(spending.seeds[-1])
    for differences in rng.normal(0.8, 1.0, size=(4, spending.seeds[-1])):
        values = np.round(differences) if rounded else differences
        levels = levels_by_loop(list(values), spending, one_sided=one_sided, most=most)
        found = sequential_flip(values, spending, one_sided=one_sided, signs=Signs(most=most))
        assert found.p == pytest.approx(min(1.0, levels[(1,) * len(values)]))
        assert found.floor == pytest.approx(min(1.0, min(levels.values())))
        assert found.untied == np.count_nonzero(values)


@pytest.mark.parametrize("n", [6, 9, 24])
def test_one_look_with_everything_is_the_plain_test(n):
    values = np.random.default_rng(n).normal(0.5, 1.0, size=n)
    assert sequential_flip(values, planned_once(n)) == sign_flip(values)


def test_one_look_with_a_part_divides_by_it():
    values = [0.5, 1.0, -0.2, 0.8, 1.1, 0.9]
    assert sequential_flip(values, Spending((6,), (0.25,))).p == pytest.approx(4 * sign_flip(values).p)


def test_looks_that_can_reject_nothing_cost_nothing():
    """Two pairs have p = 1/2 at least, so peeks at them with little to spend leave the verdict as it is."""
    values = np.random.default_rng(1).normal(0.6, 1.0, size=9)
    peeked = sequential_flip(values, Spending((2, 9), ((2 / 9) ** 3, 1.0)))
    assert peeked.p == sign_flip(values).p


def test_what_was_rejected_at_an_early_look_stays_rejected():
    values = [3.0] * 10 + [-3.0] * 8
    early = sequential_flip(values[:10], Spending((10,), (0.5,))).p
    assert early < 0.005
    assert sequential_flip(values, Spending((10, 18), (0.5, 1.0))).p == early
    assert sign_flip(values).p > 0.5


def test_seeds_that_take_no_part_and_ties_are_zeros():
    values = [1.2, 0.9, 0.0, 1.1, 0.8, 1.4, 0.0, 0.7]
    with_zeros = sequential_flip(values, Spending((4, 8), (0.2, 1.0)))
    without = sequential_flip([d for d in values if d], Spending((3, 6), (0.2, 1.0)))
    assert with_zeros == without
    assert sequential_flip([0.0] * 4, Spending((2, 4), (0.5, 1.0))).p == 1.0


@pytest.mark.parametrize("one_sided", [False, True])
def test_drawn_signs_agree_with_all_of_them(one_sided):
    values = np.random.default_rng(4).normal(0.55, 1.0, size=16)
    looks = Spending((8, 10, 12, 14, 16), (0.5, 0.6, 0.75, 0.875, 1.0))
    exact = sequential_flip(values, looks, one_sided=one_sided)
    assert exact.p < 0.2
    for enumerated in (1, 8, 13):
        drawn = sequential_flip(values, looks, one_sided=one_sided, signs=Signs(enumerated))
        assert drawn.p == pytest.approx(exact.p, rel=0.1)  # it rises in steps
        assert (exact.exact, drawn.exact) == (True, False)


def test_more_looks_of_equal_shares_change_nothing_when_no_sum_is_new():
    """A look that saw only one tie more is the same look with more to spend."""
    values = [1.0, -0.3, 0.8, 0.6, 0.0]
    assert sequential_flip(values, Spending((4, 5), (0.5, 1.0))).p == pytest.approx(
        float(exact_p(values[:4]))
    )


@pytest.mark.parametrize(
    ("differences", "words"),
    [
        ([1.0, 2.0], "the last look is at 3 differences, but there are 2"),
        ([1.0, math.nan, 2.0], "1 values that are not finite"),
    ],
)
def test_what_is_not_a_history_is_refused(differences, words):
    with pytest.raises(ValueError, match=words):
        sequential_flip(differences, planned_once(3))
