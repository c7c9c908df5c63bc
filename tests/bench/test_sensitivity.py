"""The analyses of measured runs: means, correlations within methods and tasks, and runs that diverged."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tiny_encoder import plan_of, save_encoder, write_task

from dither.bench import recording
from dither.bench.runs.run import run
from dither.bench.sensitivity import analyse_runs, make_measured_runs
from dither.stats import partial_spearman, spearman


def whole(gini: float) -> dict:
    measures = {"mean": 2.0, "gini": gini, "share": 0.5, "entropy": 1 - gini, "zeros": 3, "count": 12}
    return {"sensitivity": {"asked": 1, "whole": measures, "types": []}, "norms": []}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Runs of two tasks and two methods whose scores and measures are set by hand."""
    encoder = save_encoder(tmp_path / "encoder")
    tasks = [write_task(tmp_path / name, name=f"mine/{name}") for name in ("one", "two")]
    plan = plan_of(tasks[0], encoder, "train.epochs=1", methods=("none", "pats"), seeds=tuple(range(5)))
    both = plan_of(tasks[1], encoder, "train.epochs=1", methods=("none", "pats"), seeds=tuple(range(5)))
    plan = replace(plan, tasks=(*plan.tasks, *both.tasks), data={**plan.data, **both.data})
    made = run(replace(next(iter(plan.requests())), batches=1))

    def by_hand(requests, jobs):
        runs = [(one.spec.seed, one.spec.task, one.spec.method, one) for row in requests for one in row.runs]
        for at, (*_, request) in enumerate(sorted(runs, key=lambda row: row[:3])):
            measured = whole([0.5, 0.7, 0.6, 0.9, 0.8][at % 5])
            yield replace(made, spec=request.spec, score=60.0 + (at * 7) % 11, measurements=measured)

    monkeypatch.setattr(recording, "run_in_processes", by_hand)
    make_measured_runs(plan, tmp_path / "out", batches=1)
    return tmp_path / "out"


def test_correlations_are_within_methods_and_tasks(folder):
    found = analyse_runs(folder)
    arms = {}
    for result in found.results:
        pair = arms.setdefault((result.spec.task, result.spec.method), ([], []))
        pair[0].append(result.score)
        pair[1].append(result.measurements["sensitivity"]["whole"]["gini"])
    rows = {(row["task"], row["method"]): row for row in found.correlations if row["measure"] == "gini"}
    assert len(rows) == 4 + 2 + 1
    for arm, pair in arms.items():
        expected = spearman(*pair)
        assert (rows[arm]["correlation"], rows[arm]["n"]) == (expected.value, 5)
        assert rows[arm]["interval"] == pytest.approx(expected.interval, nan_ok=True)
    one = partial_spearman([pair for (task, _), pair in arms.items() if task == "mine/one"])
    assert rows["mine/one", "all"]["correlation"] == one.value
    assert (rows["all", "all"]["n"], rows["all", "all"]["arms"]) == (20, 4)


def test_entropy_goes_the_other_way(folder):
    rows = [row for row in analyse_runs(folder).correlations if row["task"] == "all"]
    gini, entropy = (next(row for row in rows if row["measure"] == name) for name in ("gini", "entropy"))
    assert entropy["correlation"] == pytest.approx(-gini["correlation"])


def test_a_measure_that_never_differs_has_no_correlation(folder):
    rows = [row for row in analyse_runs(folder).correlations if row["measure"] == "share"]
    assert all(math.isnan(row["correlation"]) for row in rows)


def test_means_are_over_the_runs_of_an_arm(folder):
    found = analyse_runs(folder)
    (row,) = [row for row in found.concentrations if (row["task"], row["method"]) == ("mine/two", "pats")]
    arm = [x for x in found.results if (x.spec.task, x.spec.method) == ("mine/two", "pats")]
    ginis = [x.measurements["sensitivity"]["whole"]["gini"] for x in arm]
    assert row["gini"] == pytest.approx(sum(ginis) / 5)
    assert (row["zeros"], row["runs"], row["type"]) == (0.25, 5, "whole model")


@pytest.mark.parametrize("batches", [0, -3])
def test_no_batches_are_refused(tmp_path, batches):
    with pytest.raises(ValueError, match=f"--batches is {batches}; it must be at least 1"):
        make_measured_runs(None, tmp_path / "out", batches=batches)
    assert not (tmp_path / "out").exists()
