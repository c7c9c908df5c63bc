"""What is printed about power, equivalence and intervals, against simulation.

Rates are compared within four binomial standard errors, so a correct library fails a test in fewer than 1 of
10,000 choices of the seed; the seed is fixed.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from dither.stats import Score, analyse, equivalence_p, minimum_detectable_effect, pairs_needed, t_interval
from dither.stats.design import macro_spread
from dither.stats.intervals import mean_estimate

ALPHA = 0.05


def slack(rate: float, trials: int) -> float:
    """Four binomial standard errors."""
    return 4 * math.sqrt(rate * (1 - rate) / trials)


def study(differences: np.ndarray, rng: np.random.Generator) -> list[Score]:
    """Runs of a baseline and of one method with these differences, shape (tasks, seeds)."""
    plain = rng.normal(65, 2, size=differences.shape)
    return [
        Score(method, f"t{t}", s, float(plain[t, s] + gain * differences[t, s]))
        for t, s in np.ndindex(differences.shape)
        for gain, method in enumerate(("none", "pats"))
    ]


def resolved(differences: np.ndarray, rng: np.random.Generator) -> bool:
    analysis = analyse(study(differences, rng), planned_seeds=range(differences.shape[1]))
    return analysis.all_runs.macro("pats").verdict.kind == "better"


@pytest.mark.parametrize("n", [6, 7, 9, 12])
def test_the_detectable_effect_is_resolved_in_about_four_of_five_studies(n):
    """In 76 % to 81 % of them: the sign-flip test is a little less powerful than the t test."""
    trials, rng = 1_500, np.random.default_rng(n)
    effect = minimum_detectable_effect(1.5, n)
    hits = sum(resolved(rng.normal(effect, 1.5, size=(1, n)), rng) for _ in range(trials))
    assert 0.76 - slack(0.76, trials) < hits / trials < 0.81 + slack(0.81, trials)


def test_the_macro_averages_detectable_effect_is_resolved_as_often():
    """Two tasks of 9 seeds with different spreads that correlate by 0.5."""
    trials, rng, sds = 500, np.random.default_rng(1), np.array([0.8, 2.0])
    shift = minimum_detectable_effect(macro_spread(list(sds), 0.5), 9)
    root = np.linalg.cholesky([[1.0, 0.5], [0.5, 1.0]])
    rows = [
        analyse(study(shift + sds[:, None] * (root @ rng.normal(size=(2, 9))), rng), planned_seeds=range(9))
        for _ in range(trials)
    ]
    macros = [analysis.all_runs.macro("pats") for analysis in rows]
    hits = sum(row.verdict.kind == "better" for row in macros)
    assert 0.76 - slack(0.76, trials) < hits / trials < 0.81 + slack(0.81, trials)
    # Each study prints it from its own spread, as uncertain as that.
    squares = np.array([row.detectable for row in macros]) ** 2
    assert math.sqrt(squares.mean()) == pytest.approx(shift, rel=0.05)


@pytest.mark.parametrize("effect", [1.0, 2.0])
def test_pairs_needed_are_enough_and_not_too_many(effect):
    trials, rng = 600, np.random.default_rng(int(effect))
    n = pairs_needed(sd=2.0, effect=effect)
    hits = sum(resolved(rng.normal(effect, 2.0, size=(1, n)), rng) for _ in range(trials))
    assert 0.77 - slack(0.77, trials) < hits / trials < 0.86


@pytest.mark.parametrize("n", [5, 9, 20])
def test_the_interval_covers_the_truth_in_95_percent(n):
    trials = 8_000
    samples = np.random.default_rng(n).normal(0.7, 1.5, size=(trials, n))
    ends = np.array([t_interval(mean_estimate(sample)) for sample in samples])
    rate = float(((ends[:, 0] < 0.7) & (ends[:, 1] > 0.7)).mean())
    assert abs(rate - 0.95) <= slack(0.95, trials)


def test_the_interval_covers_on_the_grid_of_a_small_split():
    """Differences of accuracies on 277 examples are not normal, but near enough: 94 % to 96 %."""
    trials, n = 8_000, 9
    correct = np.random.default_rng(2).binomial(277, 0.65, size=(trials, 2, n)) * 100 / 277
    ends = np.array([t_interval(mean_estimate(sample)) for sample in correct[:, 0] - correct[:, 1]])
    rate = float(((ends[:, 0] <= 0) & (ends[:, 1] >= 0)).mean())
    assert abs(rate - 0.95) <= 0.01


def test_failed_runs_cost_the_interval_some_coverage():
    """One run in ten collapses by 15 points: the interval is no longer exact, here it covers in 98 %."""
    trials, n, rng = 8_000, 9, np.random.default_rng(3)
    scores = np.where(rng.random((trials, 2, n)) < 0.1, 50.0, rng.normal(65, 1.5, size=(trials, 2, n)))
    ends = np.array([t_interval(mean_estimate(sample)) for sample in scores[:, 0] - scores[:, 1]])
    rate = float(((ends[:, 0] <= 0) & (ends[:, 1] >= 0)).mean())
    assert 0.92 < rate < 0.995


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_pairing_narrows_the_interval_by_the_root_of_what_arms_do_not_share(correlation):
    trials, n, rng = 1_500, 9, np.random.default_rng(5)
    shared = math.sqrt(correlation) * rng.normal(size=(trials, 1, n))
    scores = 65 + 2 * (shared + math.sqrt(1 - correlation) * rng.normal(size=(trials, 2, n)))
    shuffled = rng.permuted(scores, axis=-1)

    def width(pairs: np.ndarray) -> float:
        ends = np.array([t_interval(mean_estimate(sample)) for sample in pairs[:, 1] - pairs[:, 0]])
        return float((ends[:, 1] - ends[:, 0]).mean())

    assert width(scores) / width(shuffled) == pytest.approx(math.sqrt(1 - correlation), abs=0.04)


@pytest.mark.parametrize("law", ["normal", "grid"])
@pytest.mark.parametrize("n", [5, 9])
def test_equivalence_is_claimed_in_at_most_five_percent_at_the_margin(law, n):
    """The true difference is the margin itself: "no difference above it" is the worst false claim."""
    trials, margin = 8_000, 1.5
    samples = np.random.default_rng([6, n]).normal(margin, 0.8, size=(trials, n))
    if law == "grid":
        samples = np.round(samples * 2.77) / 2.77
        samples += margin - samples.mean()
    rate = sum(equivalence_p(mean_estimate(sample), margin) < ALPHA for sample in samples) / trials
    assert 0.04 < rate <= ALPHA + slack(ALPHA, trials)


def test_equivalence_verdicts_of_a_family_are_false_in_at_most_five_percent():
    """Three methods, all truly at the margin of 1 point: any "no difference above 1" is false."""
    trials, rng, false = 700, np.random.default_rng(7), 0
    for _ in range(trials):
        plain = rng.normal(65, 2, size=9)
        rows = [Score("none", "t", s, float(plain[s])) for s in range(9)]
        for m in range(3):
            rows += [Score(f"m{m}", "t", s, float(plain[s] + rng.normal(1.0, 0.9))) for s in range(9)]
        table = analyse(rows, planned_seeds=range(9), margin=1.0).all_runs
        false += any("no difference above" in row.verdict.text for row in table.macros)
    assert false / trials <= ALPHA + slack(ALPHA, trials)


def test_a_true_null_becomes_a_result_when_the_margin_is_wide():
    trials, rng = 300, np.random.default_rng(8)
    kinds = [
        analyse(study(rng.normal(0, 0.5, size=(1, 9)), rng), planned_seeds=range(9), margin=1.0)
        .all_runs.macro("pats")
        .verdict.kind
        for _ in range(trials)
    ]
    assert kinds.count("equivalent") / trials > 0.85
