"""What each look may spend, rule by rule, and which looks there are."""

from __future__ import annotations

import pytest

from dither.stats.spending import LookedAt, Spending, looks_until_resolved, planned_once, spent


def shares(*history: LookedAt) -> list[float]:
    return [round(share, 4) for share in spent(history).shares]


def test_a_plan_that_is_looked_at_once_has_everything():
    assert spent([LookedAt(9, 9)]) == planned_once(9) == Spending((9,), (1.0,))
    assert planned_once(9).plain
    assert not Spending((9,), (0.5,)).plain


def test_peeks_spend_the_third_power():
    assert shares(LookedAt(3, 9), LookedAt(6, 9), LookedAt(9, 9)) == [0.037, 0.2963, 1.0]


def test_until_resolved_spends_evenly():
    assert shares(*(LookedAt(n, 24, until_resolved=True) for n in (6, 12, 24))) == [0.25, 0.5, 1.0]


def test_seeds_added_after_verdicts_halve_each_time_and_never_reach_two():
    plans = [LookedAt(n, n) for n in range(9, 20)]
    assert shares(*plans[:4]) == [1.0, 1.5, 1.75, 1.875]
    assert spent(plans).share < 2


def test_peeks_among_added_seeds_spend_of_the_added_part():
    assert shares(LookedAt(9, 9), LookedAt(12, 15), LookedAt(15, 15)) == [1.0, 1.0625, 1.5]


def test_a_state_that_is_seen_again_is_the_same_look():
    history = [LookedAt(4, 9), LookedAt(4, 9), LookedAt(9, 9), LookedAt(9, 9), LookedAt(9, 12)]
    assert spent(history) == spent([LookedAt(4, 9), LookedAt(9, 9)])


def test_a_plan_that_shrinks_under_a_peek_has_its_verdict():
    """Eight of nine were peeked at; a plan of eight, looked at, spends everything there."""
    assert spent([LookedAt(8, 9), LookedAt(8, 8)]) == Spending((8,), (1.0,))


def test_fewer_seeds_than_before_are_a_peek():
    """Tasks were added after the verdict, and their runs are seen on the way."""
    history = [LookedAt(9, 9), LookedAt(3, 9)]
    assert spent(history) == Spending((3,), ((3 / 9) ** 3,))
    assert spent([*history, LookedAt(9, 9)]) == Spending((3, 9), ((3 / 9) ** 3, 1.0))


def test_a_plan_that_grows_between_peeks_never_takes_back_what_was_spent():
    found = spent([LookedAt(8, 9), LookedAt(9, 20), LookedAt(20, 20)])
    assert found.shares[0] == found.shares[1] == (8 / 9) ** 3
    assert found.share == 1.0


@pytest.mark.parametrize(("tests", "first"), [(1, 8), (2, 8), (3, 10), (6, 10), (11, 12)])
def test_the_first_look_until_resolved_can_resolve(tests, first):
    looks = looks_until_resolved(24, 0.05, tests)
    assert looks[0] == first
    assert looks[-1] == 24
    assert 2.0 ** (1 - first) * 24 / first < 0.05 / tests <= 2.0 ** (3 - first) * 24 / (first - 2)


@pytest.mark.parametrize(
    ("most", "tests", "looks"), [(5, 1, ()), (6, 1, (6,)), (6, 2, ()), (7, 2, (7,)), (9, 1, (7, 9))]
)
def test_few_seeds_have_one_look_or_none(most, tests, looks):
    assert looks_until_resolved(most, 0.05, tests) == looks


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LookedAt(0, 9), "at 0 complete seeds of 9"),
        (lambda: LookedAt(10, 9), "at 10 complete seeds of 9"),
        (lambda: Spending((), ()), "each look needs one share"),
        (lambda: Spending((4, 4), (0.1, 0.2)), "more and more seeds"),
        (lambda: Spending((4, 8), (0.2, 0.1)), "never fall"),
        (lambda: Spending((4,), (0.0,)), "shares above 0"),
        (lambda: spent([]), "each look needs one share"),
    ],
)
def test_what_is_no_history_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
