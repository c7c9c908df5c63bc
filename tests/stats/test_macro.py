"""The macro-average: seeds are its unit, whatever is missing, dropped, tied or without a score."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from dither.stats import Score, analyse, minimum_detectable_effect, sign_flip
from dither.stats.intervals import t_interval
from dither.stats.macro import seed_differences
from dither.stats.pairs import Pairs, pair_up

TASKS = ("x", "y", "z")


def runs(differences: np.ndarray, tasks=TASKS) -> list[Score]:
    """Plain runs, and runs of a method "a" that differ from them as asked, shape (tasks, seeds)."""
    plain = np.random.default_rng(5).normal(60, 2, size=differences.shape)
    return [
        Score(method, task, s, float(plain[t, s] + gain * differences[t, s]))
        for t, task in enumerate(tasks)
        for s in range(differences.shape[1])
        for gain, method in enumerate(("none", "a"))
    ]


def gains(seeds=9, seed=0) -> np.ndarray:
    """Differences of three tasks that share much of each seed."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.4, 1, size=seeds) + rng.normal(0, 0.5, size=(3, seeds))


def test_it_is_the_one_sample_test_of_the_seeds_means():
    d = gains()
    row = analyse(runs(d), planned_seeds=range(9)).all_runs.macro("a")
    means = d.mean(axis=0)
    assert row.difference == pytest.approx(means.mean())
    assert row.difference_sd == pytest.approx(means.std(ddof=1))
    assert (row.se, row.df) == (pytest.approx(means.std(ddof=1) / 3), 8)
    assert row.p == sign_flip(means).p
    assert (row.pairs, row.planned, row.untied, row.tasks, row.unit) == (9, 9, 9, TASKS, "seed")
    assert row.detectable == pytest.approx(minimum_detectable_effect(row.difference_sd, 9))


def by_hand(cells: np.ndarray) -> tuple[float, float, float]:
    """Mean, standard error and p of the weighted rule, cell by cell; NaN where a cell is not there."""
    k, n = cells.shape
    counts = [sum(math.isfinite(d) for d in row) for row in cells]
    means = [np.nansum(row) / count for row, count in zip(cells, counts, strict=True)]
    c, deviations = np.zeros(n), np.zeros(n)
    for t, s in product(range(k), range(n)):
        if math.isfinite(cells[t, s]):
            c[s] += cells[t, s] / (k * counts[t])
            deviations[s] += (cells[t, s] - means[t]) / (k * counts[t])
    return float(np.mean(means)), math.sqrt(n / (n - 1) * (deviations**2).sum()), sign_flip(c).p


def failing(rows: list[Score], cells) -> list[Score]:
    """The same runs, of which the method's at these (task, seed) failed."""
    return [replace(s, failed=s.method == "a" and (s.task, s.seed) in cells) for s in rows]


@pytest.mark.parametrize("lost", [{("x", 3)}, {("x", 3), ("y", 3), ("y", 0)}, {("z", s) for s in range(5)}])
def test_without_failed_runs_seeds_keep_the_tasks_that_they_have(lost):
    d = gains()
    analysis = analyse(failing(runs(d), lost), planned_seeds=range(9))
    row, cells = analysis.without_failed.macro("a"), d.copy()
    for task, seed in lost:
        cells[TASKS.index(task), seed] = math.nan
    assert (row.difference, row.se, row.p) == pytest.approx(by_hand(cells))
    assert row.interval == pytest.approx(t_interval_of(row))
    assert (row.pairs, row.missing, row.dropped) == (9, 0, len({seed for _, seed in lost}))
    assert analysis.all_runs.macro("a").difference == pytest.approx(d.mean())


def t_interval_of(row) -> tuple[float, float]:
    from dither.stats.intervals import Estimate

    return t_interval(Estimate(row.difference, row.se, 8.0))


def test_a_seed_that_failed_in_every_task_is_gone():
    rows = failing(runs(gains()), {(task, 4) for task in TASKS})
    row = analyse(rows, planned_seeds=range(9)).without_failed.macro("a")
    alone = [s for s in rows if s.seed != 4]
    expected = analyse(alone, planned_seeds=[s for s in range(9) if s != 4]).all_runs.macro("a")
    assert (row.pairs, row.dropped, row.missing) == (8, 1, 0)
    assert (row.difference, row.se, row.p) == (expected.difference, expected.se, expected.p)
    assert "1 of 9 seeds lack a task, where a run failed" in row.verdict.text


def test_the_weighted_rule_is_the_plain_one_where_nothing_is_missing():
    d = gains()
    tasks = [pairs_of(row, name) for row, name in zip(d, TASKS, strict=True)]
    found = seed_differences(tasks)
    assert (found.estimate.value, found.estimate.se) == pytest.approx(by_hand(d)[:2])
    assert found.values == pytest.approx(d.mean(axis=0))


def pairs_of(differences: np.ndarray, task: str) -> Pairs:
    plain = {s: Score("none", task, s, 50.0) for s in range(len(differences))}
    ours = {s: Score("a", task, s, 50.0 + float(d)) for s, d in enumerate(differences)}
    return pair_up(ours, plain, range(len(differences)), names=("a", "none", task))


def test_a_seed_without_all_its_tasks_has_no_average_yet():
    rows = [s for s in runs(gains()) if (s.method, s.task, s.seed) != ("a", "y", 7)]
    analysis = analyse(rows, planned_seeds=range(9))
    for table in (analysis.all_runs, analysis.without_failed):
        row = table.macro("a")
        assert row.verdict.text == "incomplete: 8 of 9 planned seeds"
        assert (row.pairs, row.missing) == (8, 1)
        assert row.difference == pytest.approx(np.delete(gains().mean(axis=0), 7).mean())


def test_unequal_seeds_over_tasks_are_told():
    rows = [s for s in runs(gains()) if s.task != "z" or s.seed < 5]
    analysis = analyse(rows, planned_seeds=range(9))
    assert analysis.all_runs.macro("a").verdict.text == "incomplete: 5 of 9 planned seeds"
    assert analysis.notes == (
        "a: seeds 5-8 have no pair on z, and only a seed with all tasks has an average over them",
    )


def test_differences_that_cancel_are_identical_averages_and_not_identical_scores():
    d = np.vstack([gains()[0], -gains()[0]])
    table = analyse(runs(d, ("x", "y")), planned_seeds=range(9)).all_runs
    row = table.macro("a")
    assert (row.p, row.untied, row.verdict.kind) == (1.0, 0, "identical")
    assert row.verdict.text == "identical average scores in all 9 seeds"
    assert table.comparison("a", "x").verdict.kind != "identical"


def test_many_seeds_are_drawn_and_agree_with_the_enumeration():
    d = gains(21, seed=3)
    row = analyse(runs(d), planned_seeds=range(21)).all_runs.macro("a")
    assert not row.p_exact
    assert row.p == sign_flip(d.mean(axis=0)).p
