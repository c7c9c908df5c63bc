"""Curves against brute force: every number of a point from the scores alone."""

from __future__ import annotations

import json
import statistics

import numpy as np
import pytest
from tiny_encoder import plan_of

from dither.bench.sweeps.curves import curves, train_rows, varied_settings
from dither.bench.tasks.variations import by_variation
from dither.results import Experiment
from dither.stats import Score, analyse

SEEDS = range(6)
ARMS = ("pats@noise_lambda=0.2", "pats@noise_lambda=0.1")
TASKS = ("b/one", "a/two", "b/one@train_fraction=0.5", "a/two@train_fraction=0.5")


@pytest.fixture(scope="module")
def scores() -> dict[tuple[str, str, int], float]:
    dice = np.random.default_rng(8)
    names = [(arm, task, seed) for arm in ("none", *ARMS) for task in TASKS for seed in SEEDS]
    return {name: float(dice.normal(70, 3)) for name in names}


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    rows = {"b/one": 100, "a/two": 60}
    tasks = {
        name: {
            "task_digest": "t",
            "data_digest": "d",
            "rows": {"train.en": rows[name[:5]] // (1 + ("@" in name)), "validation.en": 10},
        }
        for name in TASKS
    }
    settings = {arm: {"noise_lambda": float(arm[-3:]), "beta": 0.85} for arm in ARMS}
    names = {"model": "m", "model_digest": "m", "dtype": "float32", "recipe_version": 1, "threads": 1}
    return Experiment(
        kind="sweep", tasks=tasks, methods={"none": {}, **settings}, train_settings={}, seeds=SEEDS, **names
    )


@pytest.fixture(scope="module")
def analysis(scores):
    rows = [Score(*name, score) for name, score in scores.items()]
    return analyse(rows, planned_seeds=SEEDS, planned_tasks=TASKS, groups=by_variation(TASKS))


def test_every_number_is_that_of_the_scores(scores, analysis, experiment):
    points = curves(analysis, experiment, ("noise_lambda", "train_fraction"), zero=True)
    assert len(points) == 6
    for point in points:
        gains = {
            task: [scores[point.arm, task, seed] - scores["none", task, seed] for seed in SEEDS]
            for task in point.tasks
        }
        means = [statistics.fmean(scores[point.arm, task, seed] for seed in SEEDS) for task in point.tasks]
        plain = [statistics.fmean(scores["none", task, seed] for seed in SEEDS) for task in point.tasks]
        assert point.difference == pytest.approx(statistics.fmean(map(statistics.fmean, gains.values())))
        assert (point.mean, point.baseline_mean) == pytest.approx(
            (statistics.fmean(means), statistics.fmean(plain))
        )
        assert point.pairs == len(SEEDS)
        assert sum(point.interval) / 2 == pytest.approx(point.difference)


def test_points_stand_in_order_with_their_places(analysis, experiment):
    points = curves(analysis, experiment, ("noise_lambda", "train_fraction"), zero=True)
    assert [(*point.values.values(), point.rows) for point in points] == [
        (0.0, 0.5, 80), (0.0, 1.0, 160), (0.1, 0.5, 80), (0.1, 1.0, 160), (0.2, 0.5, 80), (0.2, 1.0, 160)
    ]  # fmt: skip
    assert [point.arm for point in points[:2]] == ["none", "none"]
    assert {point.line for point in points[2:]} == {"pats"}
    assert curves(analysis, experiment, ("beta",))[0].line == "pats@noise_lambda=0.1"
    assert [point.verdict.kind for point in points[:2]] == ["identical", "identical"]


def test_points_of_single_tasks(analysis, experiment):
    points = curves(analysis, experiment, ("noise_lambda", "beta"), by_task=True)
    assert len(points) == len(ARMS) * len(TASKS)
    assert all(len(point.tasks) == 1 and point.values["beta"] == 0.85 for point in points)
    row = analysis.all_runs.comparison(points[0].arm, points[0].tasks[0])
    assert (points[0].difference, points[0].p, points[0].interval) == (
        row.difference,
        row.p_holm,
        row.interval,
    )


def test_points_are_standard_json(analysis, experiment, scores):
    rows = [Score(*name, score) for name, score in scores.items() if name[2] == 0]
    single = analyse(rows, planned_seeds=[0], planned_tasks=TASKS)  # one pair has no interval
    for found in (analysis, single):
        for point in curves(found, experiment, ("noise_lambda",)):
            text = json.dumps(point.to_json(), allow_nan=False)
            assert json.loads(text)["verdict"] == point.verdict.text


def test_which_settings_vary():
    assert varied_settings(TASKS) == ("train_fraction",)
    assert varied_settings(["a/b@epochs=1", "a/c"]) == ()
    assert varied_settings(["a/b@epochs=1", "a/b@epochs=2,batch_size=4"]) == ("epochs", "batch_size")


def test_rows_that_no_plan_says(experiment):
    assert train_rows(experiment, "b/one") == 100
    experiment.tasks["b/one"]["rows"] = {"validation": 3}
    assert train_rows(experiment, "b/one") is None


@pytest.mark.parametrize(
    "name", ["builtin/translate_train/entailment", "builtin/mining", "builtin/entailment"]
)
def test_all_rows_that_train_count(name):
    plan = plan_of(name, "builtin")
    (request,), data = plan.requests(), plan.data[name].splits
    trained = sum(len(data[split]) for split in request.task.train_splits)
    assert train_rows(plan.experiment("compare"), name) == trained
