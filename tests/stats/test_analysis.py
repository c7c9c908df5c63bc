"""The analysis as a whole: its tables, its families, degenerate input, JSON and speed."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace

import numpy as np
import pytest

import dither.stats
from dither.stats import Score, analyse, holm


def runs(methods, tasks, seeds, *, seed=0, sd=1.0, **gains) -> list[Score]:
    """Normal scores; arms share half of their variance through the seed."""
    rng = np.random.default_rng(seed)
    out = []
    for task in tasks:
        for s in range(seeds):
            shared = rng.normal(60, sd)
            out += [
                Score(m, task, s, shared + gains.get(m, 0.0) + rng.normal(0, sd), n_examples=277)
                for m in methods
            ]
    return out


def test_a_row_holds_what_the_definitions_say():
    rows = runs(["none", "pats"], ["rte"], 9, pats=1.0)
    row = analyse(rows, planned_seeds=range(9)).all_runs.comparison("pats", "rte")
    plain, ours = (np.array([s.score for s in rows if s.method == m]) for m in ("none", "pats"))
    d = ours - plain
    assert (row.method_mean, row.baseline_mean) == pytest.approx((ours.mean(), plain.mean()))
    assert (row.method_sd, row.baseline_sd) == pytest.approx((ours.std(ddof=1), plain.std(ddof=1)))
    assert (row.difference, row.difference_sd) == pytest.approx((d.mean(), d.std(ddof=1)))
    assert row.correlation == pytest.approx(np.corrcoef(ours, plain)[0, 1])
    assert (row.wins, row.ties, row.losses) == ((d > 0).sum(), 0, (d < 0).sum())
    assert row.example_value == pytest.approx(100 / 277)
    assert row.detectable == pytest.approx(dither.stats.minimum_detectable_effect(row.difference_sd, 9))


def test_two_families():
    """Macro-averages of all methods; all tasks of all methods together."""
    rows = runs(["none", "a", "b"], ["x", "y", "z"], 8, a=1.0)
    table = analyse(rows, planned_seeds=range(8)).all_runs
    macros = [m for m in table.macros if m.method != "none"]
    cells = [c for c in table.comparisons if c.method != "none"]
    assert [m.p_holm for m in macros] == holm([m.p for m in macros])
    assert [c.p_holm for c in cells] == holm([c.p for c in cells])
    assert {m.tests for m in macros} == {2}
    assert {c.tests for c in cells} == {6}


def test_with_one_task_the_macro_average_is_the_task():
    table = analyse(runs(["none", "a", "b"], ["x"], 9, a=1.5), planned_seeds=range(9), margin=1.0).all_runs
    for method in ("none", "a", "b"):
        cell, macro = vars(table.comparison(method, "x")), vars(table.macro(method))
        shared = (cell.keys() & macro.keys()) - {"wins", "losses"}
        assert {k: repr(cell[k]) for k in shared} == {k: repr(macro[k]) for k in shared}


def test_plain_against_plain_comes_out_null_and_costs_nothing():
    rows = runs(["none", "pats"], ["x", "y"], 9, pats=1.0)
    control = [replace(s, method="none-again") for s in rows if s.method == "none"]
    with_control = analyse(rows + control, planned_seeds=range(9)).all_runs
    for method in ("none-again", "none"):
        for row in (with_control.macro(method), with_control.comparison(method, "y")):
            assert (row.p, row.p_holm, row.difference, row.verdict.kind) == (1.0, 1.0, 0.0, "identical")
    alone = analyse(rows, planned_seeds=range(9)).all_runs
    assert with_control.macro("pats") == alone.macro("pats")
    assert with_control.comparison("pats", "x") == alone.comparison("pats", "x")


def test_a_failed_run_counts_in_the_first_table_and_is_gone_from_the_second():
    rows = runs(["none", "pats"], ["rte"], 9, pats=2.0)
    rows = [replace(s, score=47.0, failed=True) if (s.method, s.seed) == ("pats", 4) else s for s in rows]
    analysis = analyse(rows, planned_seeds=range(9))
    first, second = (t.comparison("pats", "rte") for t in (analysis.all_runs, analysis.without_failed))
    assert (first.pairs, first.method_failed, first.baseline_failed) == (9, 1, 0)
    assert (second.pairs, second.dropped_seeds, second.method_failed) == (8, (4,), 0)
    assert first.method_mean < second.method_mean
    assert analysis.notes == ("pats on rte: seed 4 failed; it counts with its score",)


def test_a_run_without_a_score_forbids_the_mean():
    rows = runs(["none", "pats"], ["x", "y"], 9)
    rows = [replace(s, score=math.nan) if (s.method, s.task, s.seed) == ("pats", "x", 4) else s for s in rows]
    analysis = analyse(rows, planned_seeds=range(9))
    row, macro = analysis.all_runs.comparison("pats", "x"), analysis.all_runs.macro("pats")
    assert math.isnan(row.method_mean)
    assert math.isnan(row.p)
    assert math.isnan(macro.p)
    assert math.isfinite(row.baseline_mean)
    assert (row.scoreless_seeds, row.wins + row.ties + row.losses) == ((4,), 8)
    assert {row.verdict.kind, macro.verdict.kind} == {"no score"}
    assert math.isfinite(analysis.all_runs.comparison("pats", "y").difference)
    assert analysis.without_failed.comparison("pats", "x").pairs == 8
    assert analysis.notes == ("pats on x: seed 4 has no score, so no mean can be formed",)


def test_what_is_unfinished_keeps_its_place_in_the_family():
    rows = [s for s in runs(["none", "a", "b"], ["x", "y"], 9) if (s.method, s.task) != ("b", "y")]
    table = analyse(rows, planned_seeds=range(9)).all_runs
    assert table.comparison("b", "y").verdict.text == "incomplete: 0 of 9 planned pairs"
    assert table.macro("b").verdict.text == "incomplete: 0 of 9 planned seeds"
    assert table.comparison("a", "x").tests == 4
    assert math.isnan(table.macro("b").difference)


def test_unfinished_pairs_do_not_enter_with_their_p():
    """All eight pairs so far are wins, p = 2/256; the other method's adjusted p must not know."""
    rows = runs(["none", "a", "b"], ["x"], 9, b=30.0)
    unfinished = [s for s in rows if (s.method, s.seed) != ("b", 3)]
    table = analyse(unfinished, planned_seeds=range(9)).all_runs
    p = table.macro("a").p
    assert table.macro("b").p == 2 / 2**8 < p
    assert table.macro("a").p_holm == holm([p, 1.0])[0]


def test_a_macro_average_without_pairs_keeps_its_place_in_the_family():
    rows = runs(["none", "a", "b"], ["x", "y"], 9)
    rows = [replace(s, failed=(s.method, s.task) == ("b", "y")) for s in rows]
    table = analyse(rows, planned_seeds=range(9)).without_failed
    assert table.macro("b").verdict.text.startswith("no verdict: no pairs are left for one of the tasks")
    assert table.macro("a").tests == 2


def test_equivalence_tests_are_families_of_their_own():
    table = analyse(runs(["none", "a", "b"], ["x", "y"], 9), planned_seeds=range(9), margin=1.5).all_runs
    for rows in (table.macros, table.comparisons):
        ours = [r for r in rows if r.method != "none"]
        assert [r.p_equivalence_holm for r in ours] == holm([r.p_equivalence for r in ours])
        assert {r.verdict.kind for r in ours} & {"equivalent"}


def test_a_plan_without_runs_is_incomplete():
    analysis = analyse([], planned_seeds=range(9), planned_methods=["none", "pats"], planned_tasks=["rte"])
    assert analysis.all_runs.macro("pats").verdict.text == "incomplete: 0 of 9 planned pairs"
    json.dumps(analysis.to_json(), allow_nan=False)


def test_leftover_seeds_are_noted():
    rows = [s for s in runs(["none", "pats"], ["rte"], 12) if (s.method, s.seed) != ("none", 3)]
    analysis = analyse(rows, planned_seeds=range(10))
    row = analysis.all_runs.comparison("pats", "rte")
    assert (row.pairs, row.unpaired_seeds, row.unplanned_seeds) == (9, (3,), (10, 11))
    assert "pats on rte: seed 3 is in one arm alone" in analysis.notes
    assert "pats on rte: seeds 10, 11 are not in the plan and were left out" in analysis.notes


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kind", ["normal", "constant arms", "constant baseline", "equal differences"])
def test_degenerate_samples_are_analysed(n, kind):
    noise = np.random.default_rng(n).normal(size=(2, n))
    keep = {
        "normal": (1, 1),
        "constant arms": (0, 0),
        "constant baseline": (0, 1),
        "equal differences": (1, 1),
    }[kind]
    if kind == "equal differences":
        noise[1] = noise[0]
    rows = [
        Score(m, "rte", s, 60.0 + i + keep[i] * noise[i, s])
        for i, m in enumerate(("none", "a"))
        for s in range(n)
    ]
    analysis = analyse(rows, planned_seeds=range(n), margin=1.0)
    assert analysis.all_runs.macro("a").verdict.kind in ("out of reach", "not resolved", "equivalent")
    json.dumps(analysis.to_json(), allow_nan=False)


def test_the_order_of_the_rows_does_not_matter():
    rows = runs(["none", "a", "b"], ["x", "y"], 9, a=0.8)
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    plan = {"planned_methods": ["none", "a", "b"], "planned_tasks": ["x", "y"], "planned_seeds": range(9)}
    assert repr(analyse(shuffled, **plan)) == repr(analyse(rows, **plan))


def test_exchanging_the_arms_turns_the_verdict_round():
    rows = runs(["a", "b"], ["x", "y"], 9, b=1.2)
    forth = analyse(rows, baseline="a", planned_seeds=range(9)).all_runs.macro("b")
    back = analyse(rows, baseline="b", planned_seeds=range(9)).all_runs.macro("a")
    assert (forth.verdict.kind, back.verdict.kind) == ("better", "worse")
    assert (back.difference, back.p) == pytest.approx((-forth.difference, forth.p))


def test_later_looks_are_wider_and_stricter():
    rows = runs(["none", "a"], ["x"], 12, a=1.0)
    once, thrice = (analyse(rows, planned_seeds=range(12), looks=k) for k in (1, 3))
    first, third = (a.all_runs.macro("a") for a in (once, thrice))
    assert third.interval[0] < first.interval[0] < first.interval[1] < third.interval[1]
    assert thrice.to_json()["rule"] | {"margin": 0} == pytest.approx({
        "alpha": 0.05, "margin": 0, "looks": 3, "level": 0.0125, "confidence": 0.9875, "overall": 0.0875,
    })  # fmt: skip


def test_json_is_plain_and_finite():
    rows = [*runs(["none", "a"], ["x"], 4), Score("a", "x", 4, math.nan), Score("none", "x", 4, 60.0)]
    plain = analyse(rows, planned_seeds=range(5)).to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    row = next(r for r in plain["all_runs"]["comparisons"] if r["method"] == "a")
    assert row["difference"] is None
    assert row["verdict"]["kind"] == "no score"


def test_unknown_rows_answer_with_the_nearest_name():
    table = analyse(runs(["none", "pats"], ["rte"], 3), planned_seeds=range(3)).all_runs
    with pytest.raises(ValueError, match=r"unknown method 'pat' \(did you mean 'pats'\?\)"):
        table.macro("pat")
    with pytest.raises(ValueError, match="unknown task 'cola'; there are 'rte'"):
        table.comparison("pats", "cola")


def test_three_thousand_runs_take_less_than_two_seconds():
    rows = runs(["none", "a", "b", "c", "d"], [f"t{i}" for i in range(9)], 67, a=0.3)
    rows = [replace(s, failed=s.seed % 20 == 7) for s in rows]
    start = time.process_time()
    analyse(rows, planned_seeds=range(67), margin=1.0)
    assert len(rows) == 3015
    assert time.process_time() - start < 2.0
