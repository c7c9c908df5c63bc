"""The score of a run in points, and that of the constant predictor learned from train."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dither.bench.scoring.scores import constant_predictions, score
from dither.bench.tasks.files import load_task
from dither.bench.tasks.task import Task


def labelled(*labels: int) -> list[dict[str, Any]]:
    return [{"sentence1": "a", "sentence2": "b", "label": label} for label in labels]


def test_the_score_is_the_mean_of_the_primary_metrics() -> None:
    rows = labelled(1, 1, 1, 0)
    scores = score(load_task("glue/mrpc"), {"validation": [1, 1, 0, 1]}, {"validation": rows}, train=rows)
    assert scores.metrics == {"validation": {"accuracy": 0.5, "f1": pytest.approx(2 / 3)}}
    assert scores.score == pytest.approx(100 * (0.5 + 2 / 3) / 2)


def test_the_score_is_the_mean_over_the_evaluations() -> None:
    rows = {"matched": labelled(0, 1, 2, 2), "mismatched": labelled(0, 1)}
    predictions = {"mismatched": np.array([0, 2]), "matched": [0, 1, 2, 1]}
    scores = score(load_task("glue/mnli"), predictions, rows, train=labelled(2, 2, 1))
    assert scores.metrics == {"matched": {"accuracy": 0.75}, "mismatched": {"accuracy": 0.5}}
    assert scores.score == pytest.approx(62.5)
    assert scores.constant_score == pytest.approx(100 * (0.5 + 0) / 2)


def test_what_is_not_primary_does_not_count(small_task: Callable[..., Task]) -> None:
    rows = labelled(1, 0)
    scores = score(small_task(), {"validation": [1, 1]}, {"validation": rows}, train=rows)
    assert scores.metrics["validation"] == {"accuracy": 0.5, "f1": pytest.approx(2 / 3)}
    assert scores.score == 50.0


@pytest.mark.parametrize(
    ("train", "constant"), [([1, 1, 0], 25.0), ([0, 0, 1], 75.0), ([0, 1], 75.0)], ids=["one", "zero", "tie"]
)
def test_the_constant_is_learned_from_train(train: list[int], constant: float) -> None:
    rows = labelled(0, 0, 0, 1)
    scores = score(
        load_task("glue/rte"), {"validation": [0] * 4}, {"validation": rows}, train=labelled(*train)
    )
    assert (scores.constant_score, scores.score) == (constant, 75.0)


def test_a_constant_output_scores_no_more_than_the_constant() -> None:
    task, rows = load_task("glue/stsb"), [{"label": value} for value in (0.0, 2.0, 5.0)]
    scores = score(task, {"validation": [7 / 3] * 3}, {"validation": rows}, train=rows)
    assert (scores.score, scores.constant_score) == (0.0, 0.0)
    assert constant_predictions(task, rows, rows[:2]) == [pytest.approx(7 / 3)] * 2


def test_correlations_become_points() -> None:
    rows = [{"label": value} for value in (0.0, 2.0, 5.0)]
    predictions = {"validation": [np.float32(-3), np.float32(-1), 9]}
    scores = score(load_task("glue/stsb"), predictions, {"validation": rows}, train=rows)
    pearson = np.corrcoef([0, 2, 5], [-3, -1, 9])[0, 1]
    assert scores.metrics["validation"] == {"pearson": pytest.approx(pearson), "spearman": 1.0}
    assert scores.score == pytest.approx(50 * (pearson + 1))


def test_the_constant_tag_is_that_of_most_words(small_task: Callable[..., Task]) -> None:
    train = [{"tags": ["I-X", "O"]}, {"tags": []}, {"tags": ["I-X", "B-X"]}]
    rows = [{"tags": ["I-X", "O", "O"]}]
    task = small_task("tagging", primary=["tag_accuracy"])
    assert constant_predictions(task, train, rows) == [["I-X"] * 3]
    scores = score(task, {"validation": [["I-X", "O"]]}, {"validation": rows}, train=train)
    assert scores.score == pytest.approx(200 / 3)
    assert scores.constant_score == pytest.approx(100 / 3)


def test_the_constant_answer_is_empty(small_task: Callable[..., Task]) -> None:
    rows = [{"answers": {"text": ["a cat", "dogs"], "answer_start": [0, 1]}}]
    scores = score(small_task("span"), {"validation": ["Dogs"]}, {"validation": rows}, train=rows)
    assert scores.metrics["validation"] == {"squad_f1": 1.0, "exact_match": 1.0}
    assert (scores.score, scores.constant_score) == (100.0, 0.0)


@pytest.mark.parametrize(
    ("head", "gold", "said", "message"),
    [
        ("classification", 1, 2, "prediction 2: not a label id below 2"),
        ("classification", 1, -1, "prediction -1: not a label id below 2"),
        ("classification", 1, True, "prediction True: not a label id"),
        ("classification", 1, 1.0, "prediction 1.0: not a label id"),
        ("classification", 1, "yes", "prediction 'yes': not a label id"),
        ("regression", 1.0, "1", "prediction '1': not a number"),
        ("tagging", ["O"], ["O", "O"], "prediction ['O', 'O']: not a list of at most 1 tags"),
        ("tagging", ["O"], "O", "prediction 'O': not a list of at most 1 tags"),
        ("tagging", ["O"], ["B-Z"], "prediction ['B-Z']: 'B-Z' is not a tag of the task"),
        ("span", {"text": ["a"], "answer_start": [0]}, None, "prediction None: not a string"),
    ],
)
def test_a_prediction_of_the_wrong_kind_is_named(
    head: str, gold: Any, said: Any, message: str, small_task: Callable[..., Task]
) -> None:
    task = small_task(head)
    rows = [{task.label: gold}]
    with pytest.raises(ValueError, match=re.escape(f"mine/small, validation, row 0: {message}")):
        score(task, {"validation": [said]}, {"validation": rows}, train=rows)


@pytest.mark.parametrize(
    ("predictions", "rows", "train", "message"),
    [
        (
            {"dev": [0]},
            {"validation": labelled(0)},
            labelled(0),
            "predictions are for ['dev']; the evaluations are",
        ),
        ({"validation": [0]}, {}, labelled(0), "rows are for []; the evaluations are ['validation']"),
        (
            {"validation": [0]},
            {"validation": labelled(0, 1)},
            labelled(0),
            "1 predictions for 2 rows (one each)",
        ),
        ({"validation": []}, {"validation": []}, labelled(0), "0 predictions for 0 rows"),
        ({"validation": [0]}, {"validation": labelled(0)}, [], "no train rows; the constant predictor"),
    ],
)
def test_what_does_not_fit_together_is_named(predictions: Any, rows: Any, train: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        score(load_task("glue/rte"), predictions, rows, train=train)
