"""The verdict of a page: its sentences, its pictures and their numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from dither.report.findings import findings, surer
from dither.report.verdicts import DOTS_AT_MOST, verdicts
from dither.stats import Analysis, Score, analyse


def scores_of(gains: dict[str, list[float]], tasks: tuple[str, ...] = ("rte", "cola")) -> list[Score]:
    """Plain scores 60, 61, ... and each method's gain over them, seed by seed, on every task."""
    seeds = range(len(next(iter(gains.values()))))
    arms = {"none": [0.0] * len(seeds), **gains}
    return [
        Score(method, task, seed, 60.0 + seed % 7 + arms[method][seed])
        for method in arms
        for task in tasks
        for seed in seeds
    ]


def analysed(scores: list[Score]) -> Analysis:
    return analyse(scores, planned_seeds=sorted({row.seed for row in scores}))


WIN = [1.0, 1.2, 0.9, 1.1, 1.3, 0.8, 1.0, 1.1, 0.9]
NOISE = [1.0, -1.1, 0.4, -0.6, 0.2, -0.3, 0.8, -0.5, 0.1]


def test_a_win_and_what_is_open_have_a_sentence_each():
    analysis = analysed(scores_of({"pats": WIN, "noisytune": NOISE}))
    found = {row.label: row.text for row in findings(analysis)}
    assert set(found) == {"better", "not resolved"}
    assert found["better"].startswith("pats helps here: +1.03 points on average over 2 tasks (95 % in")
    assert found["not resolved"].startswith("Whether noisytune helps here is open: +0.00 points")


def test_many_alike_share_a_sentence_that_warns_of_extremes():
    analysis = analysed(scores_of({f"pats@beta=0.{at}": NOISE for at in range(4)}))
    (found,) = findings(analysis)
    assert found.text.startswith("4 averages over tasks: not resolved. They reach from +0.00")
    assert "far apart by chance alone" in found.text


def test_plain_alone_is_nothing_to_compare():
    analysis = analysed([Score("none", "rte", 0, 60.0)])
    assert [row.label for row in findings(analysis)] == ["nothing to compare"]
    assert verdicts(analysis, []).figures == ()


def test_a_picture_holds_each_seed_and_the_numbers_of_the_analysis():
    scores = scores_of({"pats": WIN, "noisytune": NOISE})
    analysis = analysed(scores)
    figures = {figure.table.title: figure for figure in verdicts(analysis, scores).figures}
    assert next(iter(figures)) == "All methods, over all tasks"
    rows = figures["pats against plain fine-tuning"].table.rows
    assert [row["name"] for row in rows if row["seed"] == "mean"] == ["all tasks", "rte", "cola"]
    means = [row for row in rows if row["seed"] == "mean"]
    single = [analysis.all_runs.comparison("pats", task) for task in ("rte", "cola")]
    for row, effect in zip(means, [analysis.all_runs.macro("pats"), *single], strict=True):
        assert (row["difference"], row["low"], row["high"]) == (effect.difference, *effect.interval)
        assert row["verdict"] == "better"
    dots = [row["difference"] for row in rows if row["name"] == "rte" and row["seed"] != "mean"]
    assert dots == pytest.approx(WIN)


def test_many_dots_are_summed_up():
    seeds = DOTS_AT_MOST // 2 + 1
    scores = scores_of({"pats": [math.sin(at) for at in range(seeds)]})
    (figure, *_) = verdicts(analysed(scores), scores).figures
    assert {row["seed"] for row in figure.table.rows} == {"mean", "middle 80 %", "middle 50 %"}
    fewer = [row for row in scores if row.seed < 9]
    (figure, *_) = verdicts(analysed(fewer), fewer).figures
    assert {row["seed"] for row in figure.table.rows} == {"mean", *map(str, range(9))}


def test_a_run_without_a_score_leaves_no_nan_in_the_tables():
    scores = scores_of({"pats": WIN})
    scores[0] = Score("none", "rte", 0, math.nan)
    for figure in verdicts(analysed(scores), scores).figures:
        values = [value for row in figure.table.rows for value in row.values() if isinstance(value, float)]
        assert all(map(math.isfinite, values))


def test_what_would_make_us_surer_are_the_pairs_of_the_power_analysis():
    from dither.stats import pairs_needed

    analysis = analysed(scores_of({"noisytune": [gain + 0.2 for gain in NOISE]}, tasks=("rte",)))
    macro = analysis.all_runs.macro("noisytune")
    (row,) = surer(analysis).rows
    assert row["needed"] == pairs_needed(macro.se * 3, macro.difference, 0.025)  # of the next look
    assert (row["planned"], row["difference"]) == (9, macro.difference)
    assert surer(analysed(scores_of({"pats": WIN}))) is None


def test_the_ends_of_many_lines_are_told_where_they_are_known():
    scores = scores_of({"pats": WIN}, tasks=("a", "b", "c", "d"))
    figure = verdicts(analysed(scores), scores).figures[0]
    assert figure.summary.startswith("Lowest and highest: ")
    alone = verdicts(analyse(scores, planned_seeds=range(30)), [])
    assert all(". Resolved: 0" in figure.summary for figure in alone.figures if figure.table.id != "outcomes")


def test_the_settings_of_a_variation_stand_below_its_name():
    vl_convert = pytest.importorskip("vl_convert")
    scores = scores_of({"pats@beta=0.9": WIN, "pats@beta=0.5": NOISE})
    figure = verdicts(analysed(scores), scores).figures[0]
    rows = [dict(row) for row in figure.table.rows]
    svg = vl_convert.vegalite_to_svg({**figure.spec, "width": 400, "datasets": {"rows": rows}})
    assert all(f">{line}<" in svg for line in ("pats", "beta=0.9", "beta=0.5"))


def test_averages_without_failed_runs_have_a_table():
    scores = [
        replace(row, failed=(row.method, row.task, row.seed) == ("pats", "rte", 4))
        for row in scores_of({"pats": WIN})
    ]
    analysis = analysed(scores)
    tables = {table.id: table for table in verdicts(analysis, scores).tables}
    (row,) = tables["averages-without-failed"].rows
    expected = analysis.without_failed.macro("pats")
    assert (row["difference"], row["low"], row["seeds"]) == (expected.difference, expected.interval[0], 9)
    assert "averages-without-failed" not in {
        table.id for table in verdicts(analysed(scores_of({"pats": WIN})), scores_of({"pats": WIN})).tables
    }


def test_averages_that_cancel_are_not_called_the_same_scores():
    scores = scores_of({"pats": NOISE})
    scores = [
        replace(row, score=120.0 - row.score + 2 * (row.seed % 7)) if row.task == "cola" else row
        for row in scores
    ]
    (found,) = findings(analysed(scores))
    assert found.text.startswith("pats gives the very average scores of plain fine-tuning")
