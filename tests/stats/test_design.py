"""What a design detects before its runs, and that it agrees with what the verdicts say after them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dither.stats import Rule, Score, analyse, minimum_detectable_effect
from dither.stats.design import detectable


def test_one_task_is_the_same_test_twice():
    found = detectable({"rte": 1.5}, pairs=9, methods=2)
    assert found.task_level == found.macro_level == 0.025
    assert found.macro == found.tasks["rte"] == minimum_detectable_effect(1.5, 9, 0.025)


def test_few_pairs_reach_no_level_on_one_task_and_do_over_many():
    tasks = {f"task-{number}": 1.0 for number in range(9)}
    found = detectable(tasks, pairs=5, methods=1)
    assert set(found.tasks.values()) == {math.inf}
    assert found.task_pairs == 9  # 2 / 2^9 is below 0.05 / 9, 2 / 2^8 is not
    assert 0.4 < found.macro < 0.5


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
    assert table.macro("m0").detectable == pytest.approx(found.macro)
