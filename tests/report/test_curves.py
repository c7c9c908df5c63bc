"""Curves over a setting: a picture for each, with the numbers of its points."""

from __future__ import annotations

from typing import Any

from dither.report.curves import curves


def point(arm: str, value: Any, difference: float, *, task: str = "glue/rte") -> dict[str, Any]:
    return {
        "arm": arm, "line": arm.partition("@")[0], "values": {"noise_lambda": value, "epochs": 3},
        "tasks": [task], "rows": 100, "pairs": 9, "mean": 60 + difference, "baseline_mean": 60.0,
        "difference": difference, "interval": [difference - 1, difference + 1], "verdict": "not resolved",
    }  # fmt: skip


SETTINGS = ("noise_lambda", "epochs")
POINTS = [
    point("none", 0.0, 0.0),
    point("pats@noise_lambda=0.1", 0.1, 0.4),
    point("pats@noise_lambda=0.2", 0.2, -0.2),
]


def test_plain_is_strength_zero_on_every_line():
    points = [*POINTS, point("noisytune@noise_lambda=0.1", 0.1, 0.3)]
    (figure,) = curves(points, SETTINGS, "By noise_lambda", zero=True).figures
    rows = figure.table.rows
    assert [row["line"] for row in rows if row["value"] == 0.0] == ["pats", "noisytune"]
    (row,) = [row for row in rows if row["value"] == 0.2]
    assert (row["difference"], row["low"], row["high"]) == (-0.2, -1.2, 0.8)
    assert {row["others"] for row in rows} == {"epochs 3"}
    assert figure.summary == "The largest mean difference is +0.40 points, pats at 0.1."
    assert [layer["mark"]["type"] for layer in figure.spec["layer"]] == ["rule", "area", "line", "point"]


def test_each_set_of_tasks_has_its_picture():
    points = [*POINTS, *(point(p["arm"], p["values"]["noise_lambda"], 1.0, task="glue/cola") for p in POINTS)]
    titles = [figure.table.title for figure in curves(points, SETTINGS, "By noise_lambda", zero=True).figures]
    assert titles == ["noise_lambda: glue/rte", "noise_lambda: glue/cola"]


def test_one_value_is_no_curve():
    assert curves(POINTS[:1], SETTINGS, "By noise_lambda", zero=False) is None


def test_words_stand_beside_each_other():
    points = [point(f"pats@law={law}", law, 0.1) for law in ("uniform", "gaussian")]
    (figure,) = curves(points, ("noise_lambda",), "By law", zero=False).figures
    assert [layer["mark"]["type"] for layer in figure.spec["layer"]] == ["rule", "point"]


def test_truths_are_words_and_what_is_unknown_is_not_told():
    points = [point(f"pats@vectors={flag}", flag, 0.1) | {"difference": None} for flag in (True, False)]
    (figure,) = curves(points, ("noise_lambda",), "By vectors", zero=False).figures
    assert [layer["mark"]["type"] for layer in figure.spec["layer"]] == ["rule", "point"]
    assert figure.summary == "No difference is known."


def test_which_value_is_better_stands_in_a_table():
    beside = {"pats@noise_lambda=0.1": [POINTS[2] | {"p": 0.5}], "noisytune": []}
    (table,) = curves(POINTS, SETTINGS, "By noise_lambda", zero=True, beside=beside).tables
    assert table.title == "Which value is better? Against pats@noise_lambda=0.1"
    (row,) = table.rows
    assert (row["arm"], row["tasks"], row["difference"]) == ("pats@noise_lambda=0.2", "glue/rte", -0.2)
    assert (row["low"], row["high"], row["p"]) == (-1.2, 0.8, 0.5)
