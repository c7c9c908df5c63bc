"""Scores at the border, and who is paired with whom."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dither.stats import Score, analyse
from dither.stats.pairs import pair_up

NAMES = ("pats", "none", "rte")


def arm(method: str, scores: dict[int, float], failed: tuple[int, ...] = ()) -> dict[int, Score]:
    return {s: Score(method, "rte", s, score, s in failed) for s, score in scores.items()}


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_run_without_a_score_is_a_failed_run(score):
    run = Score("pats", "rte", 0, score, failed=False)
    assert run.failed
    assert not run.scored


def test_numpy_numbers_become_plain_ones():
    run = Score("pats", "rte", np.int64(3), np.float32(61.5))
    assert (type(run.seed), type(run.score)) == (int, float)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"score": 250.0}, ValueError, r"method 'pats', task 'rte', seed 0\): score 250.0 is not in points"),
        ({"seed": 1.5}, TypeError, "the seed must be an integer, got float"),
        ({"seed": True}, TypeError, "got bool"),
        ({"score": None}, TypeError, "the score must be a number, NaN for a run without one, got NoneType"),
        ({"n_examples": 0}, ValueError, "n_examples must be >= 1 or None, got 0"),
    ],
)
def test_wrong_scores_name_the_run(arguments, error, message):
    with pytest.raises(error, match=message):
        Score(**({"method": "pats", "task": "rte", "seed": 0, "score": 60.0} | arguments))


def test_pairs_follow_the_plan_and_nothing_is_lost_silently():
    pairs = pair_up(
        arm("pats", {4: 64.0, 0: 61.0, 2: 63.0, 9: 70.0}),
        arm("none", {0: 60.0, 1: 61.0, 4: 62.0, 8: 1.0}),
        range(6),
        names=NAMES,
    )
    assert pairs.seeds == (0, 4)
    assert pairs.differences.tolist() == [1.0, 2.0]
    assert (pairs.unpaired, pairs.unplanned, pairs.missing) == ((1, 2), (8, 9), 4)


def test_scores_that_differ_by_rounding_are_ties():
    third = 100 * (1 / 3)
    pairs = pair_up(arm("pats", {0: third}), arm("none", {0: 100 - 2 * third}), [0], names=NAMES)
    assert pairs.method_scores[0] != pairs.baseline_scores[0]
    assert pairs.differences.tolist() == [0.0]


def test_without_failed_drops_a_pair_when_either_run_failed():
    pairs = pair_up(
        arm("pats", {0: 61.0, 1: 50.0, 2: 63.0, 3: 64.0}, failed=(1,)),
        arm("none", {0: 60.0, 1: 61.0, 2: math.nan, 3: 62.0}),
        range(5),
        names=NAMES,
    )
    clean = pairs.without_failed()
    assert (clean.seeds, clean.dropped, clean.missing) == ((0, 3), (1, 2), 1)
    assert (pairs.scoreless, clean.scoreless) == ((2,), ())
    assert clean.without_failed() is clean


def test_duplicated_runs_are_named():
    rows = [Score("pats", "rte", s, 60.0) for s in (0, 1, 1, 2, 2, 2)]
    with pytest.raises(
        ValueError, match=r"2 run\(s\) occur more than once: .*seed 1 \(2 rows\).*seed 2 \(3 rows\)"
    ):
        analyse(rows, baseline="pats", planned_seeds=range(3))


def test_an_unknown_baseline_answers_with_the_nearest_name():
    rows = [Score(m, "rte", 0, 60.0) for m in ("none", "pats")]
    with pytest.raises(
        ValueError, match=r"unknown baseline 'nnoe' \(did you mean 'none'\?\); there are 'none', 'pats'"
    ):
        analyse(rows, baseline="nnoe", planned_seeds=[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"planned_seeds": []}, "planned_seeds is empty"),
        ({"planned_seeds": [0, 1, 1]}, r"planned_seeds repeats \[1\]"),
        ({"planned_methods": ["none"]}, "methods that are not planned: 'pats'; planned are 'none'"),
        ({"planned_tasks": ["rte", "rte"]}, "planned tasks repeat 'rte'"),
        ({"alpha": 0.7}, r"alpha must lie in \(0, 0.5\), got 0.7"),
        ({"margin": -1.0}, "margin must be a positive number of points, got -1.0"),
        ({"looks": 0}, "looks must be an integer >= 1 that counts this look, got 0"),
    ],
)
def test_wrong_plans_are_named(arguments, message):
    rows = [Score(m, "rte", 0, 60.0) for m in ("none", "pats")]
    with pytest.raises(ValueError, match=message):
        analyse(rows, **({"planned_seeds": [0]} | arguments))


def test_other_wrong_input_is_named():
    with pytest.raises(ValueError, match="there are no scores; without runs, name planned_methods"):
        analyse([], planned_seeds=range(9))
    with pytest.raises(TypeError, match="must be a sequence of names, got the string 'none'"):
        analyse([Score("none", "rte", 0, 60.0)], planned_seeds=[0], planned_methods="none")
    sizes = [Score("none", "rte", s, 60.0, n_examples=n) for s, n in ((0, 277), (1, 300))]
    with pytest.raises(ValueError, match="task 'rte' was evaluated on 277 and on 300 examples"):
        analyse(sizes, planned_seeds=[0, 1])
