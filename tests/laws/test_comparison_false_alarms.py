"""How often a difference is claimed where there is none.

Every test simulates arms that are exchangeable within a pair, and counts. A rate is compared with its bound
plus four binomial standard errors, so a correct library fails a test in fewer than 1 of 10,000 choices of the
seed; the seed is fixed.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from dither.stats import Score, analyse
from dither.stats.signflip import attainable_level, exact_p, sign_flip

ALPHA = 0.05


def slack(rate: float, trials: int) -> float:
    """Four binomial standard errors."""
    return 4 * math.sqrt(rate * (1 - rate) / trials)


def arms(law: str, shape: tuple[int, ...], rng: np.random.Generator, correlation: float = 0.0) -> np.ndarray:
    """Scores of exchangeable arms that share a seed effect, shape (..., arms, seeds), points.

    Args:
        law: "normal", "heavy" (Student's t with 2 degrees of freedom), "grid" (accuracy on 277 examples),
            "coarse" (accuracy on 20 examples: half of the pairs are ties or nearly so), "failed" (one run in
            ten collapses to 50 points).
        shape: of the result.
        rng: source of randomness.
        correlation: of what a seed does to an arm over the first axis, the tasks.
    """
    shared = rng.normal(65, 1.5, size=(*shape[:-2], 1, shape[-1]))
    shared = shared + math.sqrt(correlation) * rng.normal(0, 1.5, size=(1, *shape[1:]))
    if law == "heavy":
        return shared + rng.standard_t(2, size=shape)
    scores = shared + math.sqrt(1 - correlation) * rng.normal(0, 1.5, size=shape)
    if law == "failed":
        return np.where(rng.random(shape) < 0.1, 50.0, scores)
    steps = {"grid": 277, "coarse": 20}.get(law)
    return scores if steps is None else np.round(scores / 100 * steps) * 100 / steps


@pytest.mark.parametrize("n", [5, 6, 9, 12])
def test_continuous_scores_reach_the_attainable_level_and_no_more(n):
    """The exact test spends what steps of 2/2^n allow: 0 at n = 5, 3.1 % at 6, 4.7 % at 9, 5.0 % at 12."""
    trials = 20_000 if n < 12 else 5_000
    scores = arms("normal", (trials, 2, n), np.random.default_rng(n))
    rate = float((exact_p(scores[:, 0] - scores[:, 1]) < ALPHA).mean())
    level = attainable_level(n, ALPHA)
    assert abs(rate - level) <= slack(level, trials)


@pytest.mark.parametrize("law", ["heavy", "grid", "coarse", "failed"])
@pytest.mark.parametrize("n", [6, 9])
def test_awkward_scores_stay_below_the_level(law, n):
    trials = 20_000
    scores = arms(law, (trials, 2, n), np.random.default_rng([n, len(law)]))
    differences = np.round(scores[:, 0] - scores[:, 1], 9)
    assert float((exact_p(differences) < ALPHA).mean()) <= ALPHA + slack(ALPHA, trials)
    assert (differences == 0).any() == (law != "heavy")


def test_drawn_signs_keep_the_level_too():
    trials = 1_500
    samples = np.random.default_rng(1).normal(size=(trials, 24))
    rate = sum(sign_flip(sample).p < ALPHA for sample in samples) / trials
    assert abs(rate - ALPHA) <= slack(ALPHA, trials)


def study(
    law: str, methods: int, tasks: int, seeds: int, rng: np.random.Generator, correlation: float = 0.0
) -> list[Score]:
    """Runs of a baseline and of methods that do nothing."""
    names = ["none", *(f"m{i}" for i in range(methods))]
    scores = arms(law, (tasks, methods + 1, seeds), rng, correlation)
    return [
        Score(
            name, f"t{t}", s, float(scores[t, i, s]), failed=bool(law == "failed" and scores[t, i, s] == 50.0)
        )
        for t in range(tasks)
        for i, name in enumerate(names)
        for s in range(seeds)
    ]


@pytest.mark.parametrize(("law", "correlation"), [("normal", 0.9), ("grid", 0.5), ("failed", 0.25)])
def test_families_of_methods_and_tasks_claim_nothing_in_most_studies(law, correlation):
    """Three idle methods on two tasks, 8 seeds: a macro claim, or a claim on a task, in at most 5 % each.

    The methods share the baseline's runs, so the tests are dependent. The table without failed runs is a
    second reading of the same study and keeps its own 5 %.
    """
    trials, rng = 700, np.random.default_rng([2, len(law)])
    claims = {"macro": 0, "tasks": 0, "macro, clean": 0, "tasks, clean": 0}
    for _ in range(trials):
        analysis = analyse(study(law, 3, 2, 8, rng, correlation), planned_seeds=range(8))
        for table, clean in ((analysis.all_runs, ""), (analysis.without_failed, ", clean")):
            claims["macro" + clean] += any(m.verdict.resolved for m in table.macros)
            claims["tasks" + clean] += any(c.verdict.resolved for c in table.comparisons)
    assert max(claims.values()) / trials <= ALPHA + slack(ALPHA, trials), claims
    assert claims["macro"] > 0


def test_a_single_method_on_one_task_is_resolved_in_at_most_five_percent():
    trials, rng = 3_000, np.random.default_rng(3)
    verdicts = [
        analyse(study("grid", 1, 1, 9, rng), planned_seeds=range(9)).all_runs.macro("m0").verdict
        for _ in range(trials)
    ]
    rate = sum(v.resolved for v in verdicts) / trials
    assert 0.02 < rate <= ALPHA + slack(ALPHA, trials)


def test_real_effects_on_one_task_do_not_spoil_the_others():
    """Strong control: with one method that does help, the idle one is still claimed in at most 5 %."""
    trials, rng, false = 700, np.random.default_rng(4), 0
    for _ in range(trials):
        scores = arms("normal", (2, 3, 9), rng)
        scores[:, 1] += 20.0
        rows = [
            Score(name, f"t{t}", s, float(scores[t, i, s]))
            for t in range(2)
            for i, name in enumerate(("none", "good", "idle"))
            for s in range(9)
        ]
        table = analyse(rows, planned_seeds=range(9)).all_runs
        assert table.macro("good").verdict.kind == "better"
        false += any(table.comparison("idle", t).verdict.resolved for t in ("t0", "t1"))
    assert false / trials <= ALPHA + slack(ALPHA, trials)


def test_looking_again_after_each_extension_keeps_the_printed_bound():
    """Plans of 7, 9, 11 and 13 seeds, each read, stopped at the first claim: below the sum of the levels.

    The same four looks at the full 5 % each claim more than the first look's 5 %: the spending is needed.
    """
    trials, looks = 4_000, (7, 9, 11, 13)
    samples = np.random.default_rng(5).normal(size=(trials, looks[-1]))
    p = np.stack([exact_p(samples[:, :n]) for n in looks])
    levels = ALPHA * 0.5 ** np.arange(len(looks))
    bound = float(levels.sum())
    assert bound == pytest.approx(0.09375)
    assert float((p < levels[:, None]).any(axis=0).mean()) <= bound + slack(bound, trials)
    assert float((p < ALPHA).any(axis=0).mean()) > 1.5 * ALPHA
