"""The parts of a page that show what runs tell beside the verdict: their numbers, recomputed slowly."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import pytest
from benchmarks.made_ledgers import GLUE, PAWSX, arms, make_ledger

from dither.bench.compare import Comparison, look
from dither.report.languages import languages
from dither.report.learning import POINTS_AT_MOST, learning
from dither.report.repeat import Provenance, repeat
from dither.report.runs import runs
from dither.report.seeds import seeds
from dither.results import RunResult

TASKS, METHODS = ("glue/rte", "xtreme/pawsx"), ("none", "noisytune", "pats")


@pytest.fixture(scope="module")
def comparison(tmp_path_factory) -> Comparison:
    folder = tmp_path_factory.mktemp("parts") / "runs"
    make_ledger(folder, tasks=(GLUE[0], PAWSX), methods=arms(*METHODS), seeds=4)
    return look(folder, record=False)


def of(comparison: Comparison, task: str, method: str) -> list[RunResult]:
    return [r for r in comparison.results if (r.spec.task, r.spec.method) == (task, method)]


def test_slopes_are_the_scores_of_pairs(comparison):
    figures = {figure.table.title: figure for figure in seeds(comparison.analysis, comparison.scores).figures}
    assert set(figures) == {f"{task}, seed by seed" for task in TASKS}
    plain = {run.spec.seed: run.score for run in of(comparison, TASKS[0], "none")}
    rows = [row for row in figures[f"{TASKS[0]}, seed by seed"].table.rows if row["method"] == "pats"]
    assert [(row["seed"], row["plain"], row["score"]) for row in rows] == [
        (str(run.spec.seed), plain[run.spec.seed], run.score) for run in of(comparison, TASKS[0], "pats")
    ]
    assert {row["outcome"] for row in rows} <= {"win", "tie", "loss"}
    assert all((row["outcome"] == "win") == (row["score"] > row["plain"]) for row in rows)


def test_learning_curves_are_means_over_seeds(comparison):
    (figure, _) = learning(comparison.results, TASKS, METHODS).figures
    row = next(row for row in figure.table.rows if row["method"] == "pats")
    own = [
        entry["loss"]
        for run in of(comparison, TASKS[0], "pats")
        for entry in run.history
        if entry.get("step") == row["step"] and "loss" in entry
    ]
    assert row["loss"] == pytest.approx(statistics.fmean(own))
    assert (row["low"], row["high"], row["runs"]) == (min(own), max(own), len(own))


def test_long_histories_are_averaged_and_what_is_not_finite_left_out(comparison):
    one, two = of(comparison, TASKS[0], "pats")[:2]
    history = [{"step": step, "loss": float(step)} for step in range(1, 601)]
    later = [{"step": step, "loss": step + 2.0} for step in range(1, 601)]
    runs = [replace(one, history=[*history, {"step": 601, "loss": math.nan}]), replace(two, history=later)]
    (figure,) = learning(runs, TASKS[:1], ["pats"]).figures
    rows = figure.table.rows
    assert len(rows) == POINTS_AT_MOST
    assert [rows[0][key] for key in ("step", "loss", "low", "high", "runs")] == [10, 6.5, 5.5, 7.5, 2]
    assert learning([replace(one, history=[])], TASKS, ["pats"]) is None


def test_losses_are_of_the_seeds_that_all_methods_have(comparison):
    plain, other = (of(comparison, TASKS[0], name) for name in ("none", "pats"))
    (figure,) = learning([*plain[:1], *other], TASKS[:1], ["none", "pats"]).figures
    assert {row["runs"] for row in figure.table.rows} == {1}
    assert learning(other, TASKS[:1], ["none", "pats"]) is None


def test_languages_show_paired_differences(comparison):
    section = languages(comparison.results, TASKS, METHODS)
    (figure,) = [figure for figure in section.figures if figure.table.title == "xtreme/pawsx: accuracy"]
    row = next(r for r in figure.table.rows if (r["evaluation"], r["method"]) == ("de", "pats"))
    values = {
        name: [100 * run.metrics["de"]["accuracy"] for run in of(comparison, TASKS[1], name)]
        for name in ("none", "pats")
    }
    means = [statistics.fmean(values[name]) for name in ("none", "pats")]
    assert [row["plain"], row["score"]] == pytest.approx(means)
    assert row["difference"] == pytest.approx(means[1] - means[0])
    assert len(figure.table.rows) == 7 * 2


def test_every_run_and_every_failure_is_listed(comparison):
    section = runs(comparison.results, TASKS, METHODS)
    failed = [run for run in comparison.results if run.status == "failed"]
    tables = {table.id: table for table in section.tables}
    assert [row["failure"] for row in tables["failed-runs"].rows] == [run.failure for run in failed]
    assert len(tables["runs"].rows) == len(comparison.results) == 24
    (time, _) = section.figures
    row = next(r for r in time.table.rows if (r["task"], r["method"]) == (TASKS[0], "pats"))
    seconds = [run.seconds for run in of(comparison, TASKS[0], "pats")]
    assert [row[key] for key in ("value", "low", "high")] == pytest.approx(
        [statistics.fmean(seconds), min(seconds), max(seconds)]
    )


def test_what_repeats_it_has_digests_seeds_and_corrections(comparison):
    plan = comparison.experiment
    section = repeat(Provenance(plan), comparison.results, comparison.analysis)
    tables = {table.id: {row[next(iter(row))]: row for row in table.rows} for table in section.tables}
    assert tables["plan"]["seeds"]["value"] == "0-3"
    assert tables["plan"]["corrected for"]["value"].startswith("Holm over 2 averages (primary) and over 4 ")
    assert tables["tasks"]["glue/rte"]["data_digest"] == plan.tasks["glue/rte"]["data_digest"]
    assert tables["methods"]["noisytune"]["settings"].startswith("noise_lambda 0.15, ")
    assert "pats" in Provenance(plan).command.split()[Provenance(plan).command.split().index("--methods") + 1]


def test_languages_that_are_equal_are_no_points_apart(comparison):
    plain = [run for run in comparison.results if run.spec.method == "none" and run.spec.task == TASKS[1]]
    same = [replace(run, spec=replace(run.spec, method="none-again")) for run in plain]
    summaries = [one.summary for one in languages([*plain, *same], TASKS[1:], ["none", "none-again"]).figures]
    assert all("0 of 7 cells" in text and "furthest is 0.00 points off" in text for text in summaries)
