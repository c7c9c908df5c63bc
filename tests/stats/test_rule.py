"""The rule of decision under looks: levels, bounds, and what is said of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dither.stats import LookedAt, Rule, Score, analyse

PEEKED = (LookedAt(4, 9), LookedAt(8, 9), LookedAt(9, 9))
UNTIL = tuple(LookedAt(n, 24, until_resolved=True) for n in (8, 10, 12))


def rows(differences) -> list[Score]:
    plain = 60 + np.random.default_rng(1).normal(size=len(differences))
    scores = [Score("none", "rte", s, float(score)) for s, score in enumerate(plain)]
    return scores + [Score("pats", "rte", s, float(plain[s] + d)) for s, d in enumerate(differences)]


@pytest.mark.parametrize(
    ("looks", "count", "share", "overall", "seen"),
    [
        ((LookedAt(9, 9),), 1, 1.0, 0.05, ""),
        (PEEKED, 3, 1.0, 0.05, "looked at 4, 8 and 9 seeds"),
        (PEEKED[:1], 1, (4 / 9) ** 3, 0.05, "looked at 4 seeds"),
        (UNTIL, 3, 0.5, 0.05, "looked at 8, 10 and 12 seeds"),
        ((LookedAt(9, 9), LookedAt(18, 18)), 2, 1.5, 0.075, "looked at 9 and 18 seeds"),
        ((LookedAt(9, 9), LookedAt(12, 18)), 2, 1 + 0.5 / 27, 0.075, "looked at 9 and 12 seeds"),
        (3, 3, 0.25, 0.0875, "looked 3 times"),
        (1, 1, 1.0, 0.05, ""),
    ],
)
def test_what_looks_amount_to(looks, count, share, overall, seen):
    rule = Rule(looks=looks)
    assert (rule.count, rule.share) == (count, pytest.approx(share))
    assert (rule.overall, rule.seen) == (pytest.approx(overall), seen)
    assert rule.level <= 0.05 * rule.share
    assert rule.level_of(2) <= rule.level
    assert (f"below {overall:.3g}" in rule.cost_of_looks) == bool(seen)
    assert rule.interim or rule.after_more_seeds().overall > rule.overall


def test_a_plan_that_was_peeked_at_has_wider_intervals_and_no_smaller_p():
    gains = np.random.default_rng(2).normal(1.0, 1.0, size=9)
    once, peeked = (
        analyse(rows(gains), planned_seeds=range(9), looks=looks).all_runs.macro("pats")
        for looks in (1, PEEKED)
    )
    assert peeked.interval[0] < once.interval[0] < once.interval[1] < peeked.interval[1]
    assert peeked.p >= once.p


@pytest.mark.parametrize(
    ("gain", "looks", "text"),
    [
        (3.0, UNTIL, "resolved: better; looked at 8, 10 and 12 seeds, error rate over all looks below 0.05"),
        (0.1, UNTIL, "not resolved yet: 12 of at most 24 planned seeds; looked at 8, 10 and 12 seeds, "),
        (
            0.1,
            (LookedAt(12, 15),),
            "not resolved yet: 12 of 15 planned seeds; looked at 12 seeds, error rate ",
        ),
    ],
)
def test_the_words_of_a_test_on_the_way(gain, looks, text):
    differences = gain + np.random.default_rng(3).normal(size=12)
    verdict = analyse(rows(differences), planned_seeds=range(12), looks=looks).all_runs.macro("pats").verdict
    assert verdict.text.startswith(text)
    assert verdict.kind == ("better" if gain > 1 else "incomplete")


def test_equivalence_spends_likewise():
    """The same differences, looked at once and after other looks: the p of equivalence is larger."""
    differences = np.random.default_rng(4).normal(0.0, 0.6, size=12)
    verdicts = [
        analyse(rows(differences), planned_seeds=range(12), margin=1.0, looks=looks).all_runs.macro("pats")
        for looks in ([LookedAt(12, 12)], UNTIL, 3)
    ]
    once, until, thrice = (row.p_equivalence for row in verdicts)
    assert 0 < once < until < 1
    assert thrice == pytest.approx(4 * once)
    assert [row.verdict.kind for row in verdicts[:2]] == ["equivalent", "equivalent"]
    inside = [max(map(abs, row.equivalence_interval)) < 1.0 for row in verdicts]
    assert inside[:2] == [True, True]


def test_a_dropped_seed_takes_no_part_in_any_look():
    """Its place in the order of the plan stays, so that the looks see the seeds that they saw."""
    gains = [1.2, 0.9, 1.6, -40.0, 1.1, 0.8, 1.4, 0.7, 1.3, 1.0, 0.6, 1.5]
    scores = rows(gains)
    scores[15] = Score("pats", "rte", 3, scores[15].score, failed=True)
    table = analyse(scores, planned_seeds=range(12), looks=UNTIL).without_failed
    row = table.comparison("pats", "rte")
    assert (row.pairs, row.dropped, row.untied) == (11, 1, 11)
    assert row.p < 0.02
    assert not math.isnan(table.macro("pats").p)


@pytest.mark.parametrize(
    ("looks", "words"),
    [
        (
            [LookedAt(9, 9)],
            "the present look is at 9 seeds, but planned_seeds has 12; give the seeds that are",
        ),
        ([], "each look needs one share"),
        (True, "looks must be an integer >= 1"),
    ],
)
def test_looks_that_do_not_fit_are_refused(looks, words):
    with pytest.raises(ValueError, match=words):
        analyse(rows(np.ones(12)), planned_seeds=range(12), looks=looks)
