"""What a design detects before its runs, and that it agrees with what the verdicts say after them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dither.stats import Rule, Score, analyse, minimum_detectable_effect
from dither.stats.design import detectable, macro_spread


def test_one_task_is_the_same_test_twice():
    found = detectable({"rte": 1.5}, pairs=9, methods=2)
    assert found.task_level == found.macro_level == 0.025
    assert found.macro == found.tasks["rte"] == minimum_detectable_effect(1.5, 9, 0.025)


def test_few_seeds_reach_no_level_whatever_the_number_of_tasks():
    tasks = {f"task-{number}": 1.0 for number in range(9)}
    five, six = (detectable(tasks, pairs=pairs, methods=1) for pairs in (5, 6))
    assert {*five.tasks.values(), *six.tasks.values(), five.macro} == {math.inf}
    assert (five.task_pairs, five.macro_pairs) == (9, 6)  # 2 / 2^9 is below 0.05 / 9, 2 / 2^8 is not
    assert six.macro == minimum_detectable_effect(1 / 3, 6)


@pytest.mark.parametrize(
    ("tests", "seeds"), [(1, 6), (2, 7), (3, 7), (4, 8), (6, 8), (7, 9), (12, 9), (13, 10)]
)
def test_the_least_seeds_of_a_family(tests, seeds):
    for pairs in (seeds - 1, seeds):
        found = detectable({"a": 1.0, "b": 1.0}, pairs=pairs, methods=tests)
        assert found.macro_pairs == seeds
        assert math.isinf(found.macro) == (pairs < seeds)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 1.0])
def test_correlated_tasks_average_out_less(correlation):
    spreads = np.array([0.5, 1.0, 2.0])
    matrix = np.full((3, 3), correlation) + (1 - correlation) * np.eye(3)
    variance = float(spreads @ matrix @ spreads) / 9
    assert macro_spread(list(spreads), correlation) == pytest.approx(math.sqrt(variance))
    found = detectable(dict(zip("abc", spreads, strict=True)), pairs=9, methods=1, correlation=correlation)
    assert found.macro == pytest.approx(minimum_detectable_effect(math.sqrt(variance), 9))


@pytest.mark.parametrize(
    ("spreads", "correlation", "message"), [([], 0.0, "at least one"), ([1.0], 1.5, "got 1.5")]
)
def test_spreads_and_correlations_that_are_none(spreads, correlation, message):
    with pytest.raises(ValueError, match=message):
        macro_spread(spreads, correlation)


def test_averages_over_groups_are_tests_of_one_family():
    tasks = {"rte": 1.0, "cola": 1.0, "rte@epochs=3": 1.0, "cola@epochs=3": 1.0}
    found = detectable(tasks, pairs=9, methods=1, groups=[list(tasks)[:2], list(tasks)[2:]])
    assert found.macro_level == 0.025
    assert found.macro == detectable({"rte": 1.0, "cola": 1.0}, pairs=9, methods=2).macro
    alone = detectable(
        {"rte": 1.0, "rte@epochs=3": 2.0}, pairs=9, methods=1, groups=[["rte"], ["rte@epochs=3"]]
    )
    assert alone.macro == minimum_detectable_effect(2.0, 9, 0.025)


def test_a_second_look_costs():
    first, second = (detectable({"a": 1.0, "b": 2.0}, pairs=9, methods=1, rule=Rule(looks=n)) for n in (1, 2))
    assert second.macro_level == first.macro_level / 2
    assert second.macro > first.macro


def test_one_pair_detects_nothing():
    found = detectable({"a": 1.0, "b": 1.0}, pairs=1, methods=1)
    assert (found.macro, found.tasks["a"]) == (math.inf, math.inf)


@pytest.mark.parametrize("methods", [1, 3])
def test_it_is_what_the_verdicts_say_of_such_differences(methods):
    generator = np.random.default_rng(1)
    seeds, scores = range(9), []
    for task in ("a", "b"):
        plain = 50 + generator.normal(size=9)
        scores += [Score("none", task, s, plain[s]) for s in seeds]
        for arm in range(methods):
            gains = generator.normal(size=9)
            gains /= gains.std(ddof=1)
            scores += [Score(f"m{arm}", task, s, plain[s] + 2 * gains[s]) for s in seeds]
    table = analyse(scores, planned_seeds=seeds).all_runs
    found = detectable({"a": 2.0, "b": 2.0}, pairs=9, methods=methods)
    assert table.comparison("m0", "b").detectable == pytest.approx(found.tasks["b"])
    level, macro = 0.05 / methods, table.macro("m0")
    assert macro.detectable == pytest.approx(minimum_detectable_effect(macro.difference_sd, 9, level))
