"""Groups of tasks: each has a macro-average of its own, and all of them are one family of tests."""

from __future__ import annotations

import numpy as np
import pytest

from dither.stats import Score, analyse, holm

TASKS = ("a", "b", "a@half", "b@half")
GROUPS = {"": ("a", "b"), "half": ("a@half", "b@half")}


def scores(*methods: str) -> list[Score]:
    """Plain scores and gains of 0.5 to 2 points, another for each method, task and seed."""
    dice = np.random.default_rng(3)
    return [
        Score(method, task, seed, 60 + seed + (0 if method == "none" else dice.uniform(0.5, 2)))
        for method in ("none", *methods)
        for task in TASKS
        for seed in range(6)
    ]


def test_each_group_is_averaged_alone():
    rows = scores("pats")
    table = analyse(rows, planned_seeds=range(6), groups=GROUPS).all_runs
    for group, tasks in GROUPS.items():
        alone = [row for row in rows if row.task in tasks]
        expected = analyse(alone, planned_seeds=range(6)).all_runs.macro("pats")
        found = table.macro("pats", group)
        assert (found.tasks, found.difference, found.p) == (tasks, expected.difference, expected.p)
        assert found.interval == expected.interval


def test_methods_times_groups_are_one_family():
    table = analyse(scores("pats", "noisytune"), planned_seeds=range(6), groups=GROUPS).all_runs
    macros = [row for row in table.macros if row.method != "none"]
    assert [(row.method, row.group) for row in macros] == [
        ("pats", ""), ("pats", "half"), ("noisytune", ""), ("noisytune", "half")
    ]  # fmt: skip
    assert {row.tests for row in macros} == {4}
    assert [row.p_holm for row in macros] == pytest.approx(holm([row.p for row in macros]))


def test_one_group_is_the_analysis_as_it_was():
    rows = scores("pats")
    named = analyse(rows, planned_seeds=range(6), groups={"": TASKS})
    assert repr(named) == repr(analyse(rows, planned_seeds=range(6)))  # NaN is not equal to itself


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"x": ("a", "c")}, "unknown task in the group 'x' 'c'"),
        ({"x": ()}, "the group 'x' holds no task; leave it out"),
    ],
)
def test_groups_that_are_none(groups, message):
    with pytest.raises(ValueError, match=message):
        analyse(scores("pats"), planned_seeds=range(6), groups=groups)


def test_an_unknown_group_is_told():
    table = analyse(scores("pats"), planned_seeds=range(6), groups=GROUPS).all_runs
    with pytest.raises(ValueError, match=r"unknown group of tasks 'hal' .*did you mean 'half'"):
        table.macro("pats", "hal")
