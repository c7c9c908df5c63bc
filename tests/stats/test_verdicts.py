"""The words of the verdict, one case each."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dither.stats import Score, analyse, equivalence_p
from dither.stats.intervals import mean_estimate
from dither.stats.tables import Analysis

PLAIN = [60.3, 63.1, 61.7, 59.2, 64.8, 62.4, 60.9, 61.1, 63.6]


def study(differences, *, failed=(), task="rte", **arguments) -> Analysis:
    """One method beside the baseline, with these differences at seeds 0, 1, ..."""
    scores = [Score("none", task, s, PLAIN[s % 9]) for s in range(len(differences))]
    scores += [
        Score("pats", task, s, PLAIN[s % 9] + d, failed=s in failed) for s, d in enumerate(differences)
    ]
    return analyse(scores, **({"planned_seeds": range(len(differences))} | arguments))


def verdict(differences, **arguments) -> str:
    table = study(differences, **arguments).all_runs
    assert table.macro("pats").verdict == table.comparison("pats", "rte").verdict
    return table.macro("pats").verdict.text


GAIN = [1.2, 0.9, 1.6, 1.1, 0.8, 1.4]
NOISE = [0.9, -1.3, 0.4, 1.1, -0.7, -0.2, 0.6, -0.8, 0.3]


@pytest.mark.parametrize(
    ("differences", "arguments", "text"),
    [
        (GAIN, {}, "resolved: better"),
        ([-d for d in GAIN], {}, "resolved: worse"),
        (
            GAIN,
            {"margin": 2.0},
            "resolved: better, but no difference above 2 points; failures in fewer than 50 % of runs cannot "
            "be excluded",
        ),
        (GAIN, {"margin": 1.0}, "resolved: better"),
        (NOISE, {}, "not resolved; this design can detect 0.9 points"),
        (
            NOISE,
            {"margin": 1.0},
            "no difference above 1 point; failures in fewer than 33.3 % of runs cannot be excluded",
        ),
        (
            NOISE,
            {"margin": 1.0, "failed": (3,)},
            "not resolved; this design can detect 0.9 points; equivalence is not tested after a failed run",
        ),
        (NOISE, {"margin": 0.2}, "not resolved; this design can detect 0.9 points"),
        ([0.0] * 9, {}, "identical scores in all 9 pairs"),
        ([0.0], {}, "identical scores in the only pair"),
        (GAIN[:5], {}, "not resolved: 5 pairs cannot reach p < 0.05 (at least 6 are needed)"),
        ([1.0], {}, "not resolved: 1 pair cannot reach p < 0.05 (at least 6 are needed)"),
        (
            [*GAIN[:5], 0.0],
            {},
            "not resolved: 6 pairs, 1 of them tied, cannot reach p < 0.05 (at least 6 untied are needed)",
        ),
        (GAIN[:3], {"planned_seeds": range(9)}, "incomplete: 3 of 9 planned pairs"),
        (
            [math.nan, *GAIN],
            {},
            "no verdict: a run without a score in 1 of 7 pairs, so the mean cannot be formed; give such runs "
            "the constant predictor's score, or see the table without failed runs",
        ),
        (
            GAIN,
            {"looks": 2},
            "not resolved: 6 pairs cannot reach p < 0.05 (at least 7 are needed); "
            "looked 2 times, error rate over all looks below 0.075",
        ),
    ],
)
def test_the_words(differences, arguments, text):
    assert verdict(differences, **arguments) == text


def test_a_low_p_beside_an_interval_that_includes_zero_is_not_resolved():
    """Equal signs with one far value: the sign-flip test rejects, the t interval is wide."""
    analysis = study([0.1, 0.1, 0.1, 0.1, 0.1, 9.0])
    row = analysis.all_runs.macro("pats")
    assert row.p_holm < 0.05
    assert row.interval[0] < 0
    assert row.verdict.kind == "not resolved"
    assert "p = 0.031 is low enough, but the interval includes 0" in row.verdict.text


def test_an_interval_beside_a_p_that_is_not_low_is_not_resolved():
    """Two small losses of eight: four of the 128 sign vectors give as much, so p is 4/128 = 0.031."""
    row = study([1.2, 0.9, 1.6, 1.1, 0.8, 1.4, -0.05, -0.1], alpha=0.02).all_runs.macro("pats")
    assert row.interval[0] > 0
    assert row.p_holm >= 0.02
    assert "the interval excludes 0, but the sign-flip p = 0.031 is not below 0.02" in row.verdict.text


def test_one_seed_of_many_tasks_is_one_observation():
    scores = [Score("none", f"t{i}", 0, 60.0) for i in range(7)]
    scores += [Score("pats", f"t{i}", 0, 61.0 + i) for i in range(7)]
    row = analyse(scores, planned_seeds=[0]).all_runs.macro("pats")
    assert (row.p, row.pairs) == (1.0, 1)
    assert row.verdict.text == "not resolved: 1 seed cannot reach p < 0.05 (at least 6 are needed)"


def test_many_tests_need_more_pairs():
    """Nine pairs, nine tasks, two methods: 18 tests. No outcome at all could be resolved on one task."""
    rng = np.random.default_rng(1)
    scores = [
        Score(method, f"t{t}", s, float(50 + gain + rng.normal()))
        for method, gain in (("none", 0), ("pats", 20), ("noisytune", 20))
        for t in range(9)
        for s in range(9)
    ]
    table = analyse(scores, planned_seeds=range(9)).all_runs
    row = table.comparison("pats", "t0")
    assert row.p == 2 / 2**9
    assert row.detectable == math.inf
    assert row.verdict.text == (
        "not resolved: 9 pairs cannot reach p < 0.05 after Holm over 18 tests (at least 10 are needed)"
    )
    assert table.macro("pats").verdict.text == "resolved: better"


def test_ties_in_one_task_wait_for_the_others():
    """With unequal floors a test can pass late in Holm's order only: no effect size is promised for it."""
    scores = [Score("none", t, s, 60.0) for t in ("a", "b") for s in range(8)]
    scores += [Score("pats", "a", s, 60.0 + (1 if s % 2 else -1)) for s in range(8)]
    scores += [Score("pats", "b", s, 60.0 + (s > 1) * (1.0 + s)) for s in range(8)]
    table = analyse(scores, planned_seeds=range(8)).all_runs
    assert table.comparison("pats", "b").verdict.text == (
        "not resolved: the interval excludes 0, but the Holm-adjusted p = 0.062 is not below 0.05; "
        "these pairs can only resolve it after other tests of the family"
    )


def test_dropped_pairs_are_in_the_words():
    analysis = study([*GAIN, 0.7, -9.0], failed=(7,))
    assert not analysis.all_runs.macro("pats").verdict.resolved
    clean = analysis.without_failed.comparison("pats", "rte")
    assert clean.verdict.text == "resolved: better; 1 of 8 pairs dropped with a failed run"


def test_nothing_left_after_dropping():
    analysis = study(GAIN, failed=range(6))
    text = analysis.without_failed.comparison("pats", "rte").verdict.text
    assert text == "no verdict: no pairs are left; 6 of 6 pairs dropped with a failed run"
    assert analysis.without_failed.macro("pats").verdict.kind == "none"


def test_so_many_tests_that_drawn_signs_cannot_pass():
    text = study([1.0 + 0.1 * (s % 3) for s in range(30)], alpha=1e-5).all_runs.macro("pats").verdict.text
    assert text == "not resolved: 100000 drawn signs cannot reach p < 1e-05"


def test_equivalence_needs_the_flips_as_well_as_the_t_tests():
    """Four pairs close to zero: the t tests reject, and the 16 signs cannot (1/16 > 0.05); five can."""
    four, five = (
        study([0.1, -0.1, 0.05, -0.05, 0.02][:n], margin=1.0).all_runs.macro("pats") for n in (4, 5)
    )
    assert equivalence_p(mean_estimate([0.1, -0.1, 0.05, -0.05]), 1.0) < 0.001
    assert (four.p_equivalence, four.verdict.kind) == (1 / 16, "out of reach")
    assert (five.p_equivalence, five.verdict.kind) == (1 / 32, "equivalent")


@pytest.mark.parametrize("arm", ["none", "pats"])
def test_a_failed_run_of_either_arm_forbids_equivalence(arm):
    scores = [Score(m, "rte", s, PLAIN[s] + 0.1 * d, failed=(m, s) == (arm, 4))
              for s, d in enumerate(NOISE) for m, d in (("none", 0.0), ("pats", d))]  # fmt: skip
    analysis = analyse(scores, planned_seeds=range(9), margin=2.0)
    for table in (analysis.all_runs, analysis.without_failed):
        assert math.isnan(table.macro("pats").p_equivalence)
        assert "equivalence is not tested after a failed run" in table.macro("pats").verdict.text
    assert analysis.all_runs.macro("pats").failed == 1
    assert analysis.without_failed.macro("pats").dropped == 1


def test_over_tasks_the_words_speak_of_seeds():
    scores = [Score("none", t, s, 60.0) for t in ("a", "b") for s in range(9)]
    scores += [Score("pats", t, s, 60.0 + NOISE[s]) for t in ("a", "b") for s in range(9)]
    few = [score for score in scores if score.seed < 5]
    assert verdict_over_tasks(scores, margin=1.0) == (
        "no difference above 1 point; failures in fewer than 16.7 % of runs cannot be excluded"
    )
    assert verdict_over_tasks(few, planned_seeds=range(9)) == "incomplete: 5 of 9 planned seeds"
    assert verdict_over_tasks(few, planned_seeds=range(5)) == (
        "not resolved: 5 seeds cannot reach p < 0.05 (at least 6 are needed)"
    )


def verdict_over_tasks(scores, **arguments) -> str:
    return analyse(scores, **({"planned_seeds": range(9)} | arguments)).all_runs.macro("pats").verdict.text
