"""The score of a run, and that of the best constant predictor beside it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dither.bench.scoring.metrics import METRICS
from dither.bench.tasks.task import Task

Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]
Predictions = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Scores:
    """Metrics (evaluation -> name -> fraction), score and constant predictor's score (points) of one run."""

    metrics: dict[str, dict[str, float]]
    score: float
    constant_score: float


def own_answers(task: Task, rows: Sequence[Row]) -> list[int | None]:
    """For each row of retrieval the first row with its target, None where it lacks a source or a target.

    Targets with the same text cannot be told apart, so they count as one.
    """
    source, target = task.columns
    first: dict[str, int] = {}
    for number, row in enumerate(rows):
        first.setdefault(row[target], number)
    return [None if row[source] is None or row[target] is None else first[row[target]] for row in rows]


def gold_of(task: Task, rows: Sequence[Row]) -> list[Any]:
    """For each row what would be right: an id, a number, tags, a list of answers, or the number of a row."""
    if task.head == "retrieval":
        return list(own_answers(task, rows))
    return [row[task.label]["text"] if task.head == "span" else row[task.label] for row in rows]


def _majority(values: Iterable[Any], order: Sequence[Any]) -> Any:
    counts = Counter(values)
    return max(order, key=lambda value: counts[value])  # of equals the first


def constant_predictions(task: Task, train: Sequence[Row], rows: Sequence[Row]) -> list[Any]:
    """Return the majority label, mean value, majority tag a word, or empty answer of `train` for `rows`.

    In retrieval nothing is learned, and one target, the first, answers every source.
    """
    if not train:
        raise ValueError(f"{task.name}: no train rows; the constant predictor is learned from them")
    if task.head == "retrieval":
        source, target = task.columns
        first = next((number for number, row in enumerate(rows) if row[target] is not None), None)
        return [None if row[source] is None else first for row in rows]
    gold = gold_of(task, train)
    if task.head == "span":
        return [""] * len(rows)
    if task.head == "tagging":
        tag = _majority((tag for tags in gold for tag in tags), task.labels)
        return [[tag] * len(row[task.label]) for row in rows]
    if task.head == "regression":
        return [math.fsum(gold) / len(gold)] * len(rows)
    return [_majority(gold, range(len(task.labels)))] * len(rows)


def _problem(task: Task, truth: Any, value: Any) -> str:
    """Say what is wrong with one prediction; "" when nothing is."""
    if task.head == "classification":
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        return "" if whole and 0 <= value < len(task.labels) else f"not a label id below {len(task.labels)}"
    if task.head == "regression":
        return "" if isinstance(value, int | float | np.floating | np.integer) else "not a number"
    if task.head == "span":
        return "" if isinstance(value, str) else "not a string"
    if task.head == "retrieval":
        return "" if value is None or type(value) is int else "not the number of a row, nor None"
    if not isinstance(value, list | tuple) or len(value) > len(truth):
        return f"not a list of at most {len(truth)} tags"
    return next((f"{tag!r} is not a tag of the task" for tag in value if tag not in task.labels), "")


def _points(task: Task, predicted: Predictions, rows: Rows) -> tuple[dict[str, dict[str, float]], float]:
    metrics = {}
    for name in task.evaluation:
        gold, said = gold_of(task, rows[name]), list(predicted[name])
        if len(said) != len(gold) or not gold:
            raise ValueError(f"{task.name}, {name}: {len(said)} predictions for {len(gold)} rows (one each)")
        for index, (truth, value) in enumerate(zip(gold, said, strict=True)):
            if problem := _problem(task, truth, value):
                raise ValueError(f"{task.name}, {name}, row {index}: prediction {value!r}: {problem}")
        language = task.splits[task.evaluation[name]]
        metrics[name] = {metric: METRICS[metric].of(language)(gold, said) for metric in task.metrics}
    primary = [metrics[name][metric] for name in task.evaluation for metric in task.primary]
    return metrics, 100 * math.fsum(primary) / len(primary)


def constant_score(task: Task, train: Sequence[Row], rows: Rows) -> float:
    """Points of the best constant predictor, learned from the train rows, on those of the evaluations."""
    constant = {name: constant_predictions(task, train, rows[name]) for name in task.evaluation}
    return _points(task, constant, rows)[1]


def score(
    task: Task,
    predictions: Predictions,
    rows: Rows,
    *,
    train: Sequence[Row] = (),
    constant: float | None = None,
) -> Scores:
    """Score the predictions of one run: 100 · mean of the primary metrics over all evaluations.

    Args:
        task: the task; its metrics, primary metrics and evaluations are used.
        predictions: evaluation -> one prediction a row: a label id, a number (where one is not finite the
            correlation is 0), a list of tags (words lost to truncation may be missing at its end and count
            as wrong), or an answer.
        rows: evaluation -> the rows of its split, in the order of the predictions.
        train: the train rows, from which the constant predictor is learned.
        constant: points of that predictor, where they are known already; `train` is not looked at then.

    Raises:
        ValueError: evaluations, counts or kinds of predictions do not fit the task.

    Example:
        >>> from dither.bench.tasks.files import load_task
        >>> rows = [{"label": 1}, {"label": 0}, {"label": 1}, {"label": 1}]
        >>> said = {"validation": [1, 0, 0, 0]}
        >>> score(load_task("glue/rte"), said, {"validation": rows}, train=rows)
        Scores(metrics={'validation': {'accuracy': 0.5}}, score=50.0, constant_score=75.0)
    """
    for what, given in (("predictions", predictions), ("rows", rows)):
        if set(given) != set(task.evaluation):
            raise ValueError(
                f"{task.name}: {what} are for {sorted(given)}; the evaluations are {sorted(task.evaluation)}"
            )
    metrics, points = _points(task, predictions, rows)
    return Scores(metrics, points, constant_score(task, train, rows) if constant is None else constant)
