"""Tasks of several evaluations, such as languages: each with its difference to plain fine-tuning."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from dither.report.content import Column, Figure, Section, Table
from dither.report.style import GAIN, LOSS, PLAIN, base, slug, spec
from dither.report.values import finite
from dither.results import RunResult

_COLUMNS = (
    Column("evaluation", "evaluation"),
    Column("method", "method"),
    Column("plain", "plain", ".2f"),
    Column("score", "method's mean", ".2f"),
    Column("difference", "difference", "+.2f"),
    Column("pairs", "pairs", "d"),
)
_EVEN = "#F2F0EC"
_Values = dict[tuple[str, str, int], float]


def languages(results: Sequence[RunResult], tasks: Sequence[str], methods: Sequence[str]) -> Section | None:
    """A heat map for each metric of each task that has several evaluations; None without such a task.

    Args:
        results: of the runs.
        tasks: in their order.
        methods: in their order.
    """
    figures = []
    for task in tasks:
        own = [result for result in results if result.spec.task == task and len(result.metrics) > 1]
        metrics = dict.fromkeys(name for result in own for row in result.metrics.values() for name in row)
        for metric in metrics:
            rows = _rows(own, metric, methods)
            if rows:
                figures.append(_figure(task, metric, rows, methods))
    text = (
        "Mean paired difference to plain fine-tuning in each language or evaluation, in points of the "
        "metric. Single cells are not tested: the verdict is for the task's score, their mean."
    )
    return Section("languages", "Language by language", (text,), tuple(figures)) if figures else None


def _rows(results: Sequence[RunResult], metric: str, methods: Sequence[str]) -> list[dict[str, Any]]:
    values: _Values = {
        (evaluation, result.spec.method, result.spec.seed): 100 * float(row[metric])
        for result in results
        for evaluation, row in result.metrics.items()
        if isinstance(row.get(metric), int | float) and math.isfinite(row[metric])
    }
    evaluations = dict.fromkeys(name for name, _, _ in values)
    return [
        row
        for evaluation in evaluations
        for method in methods
        if method != PLAIN and (row := _cell(values, evaluation, method)) is not None
    ]


def _cell(values: _Values, evaluation: str, method: str) -> dict[str, Any] | None:
    pairs = [
        (values[evaluation, PLAIN, seed], value)
        for (name, arm, seed), value in values.items()
        if (name, arm) == (evaluation, method) and (evaluation, PLAIN, seed) in values
    ]
    if not pairs:
        return None
    plain, score = (math.fsum(column) / len(pairs) for column in zip(*pairs, strict=True))
    return {
        "evaluation": evaluation,
        "method": method,
        "plain": finite(plain),
        "score": finite(score),
        "difference": finite(score - plain),
        "pairs": len(pairs),
    }


def _figure(task: str, metric: str, rows: list[dict[str, Any]], methods: Sequence[str]) -> Figure:
    table = Table(slug("languages", task, metric), f"{task}: {metric}", _COLUMNS, tuple(rows))
    furthest = max(abs(row["difference"]) for row in rows)
    most = furthest or 1.0  # a scale needs a width
    scale = alt.Scale(domain=[-most, 0, most], range=[LOSS, _EVEN, GAIN], interpolate="lab")
    every = base().encode(
        x=alt.X("method:N", sort=list(methods), title=None, axis=alt.Axis(labelAngle=0, orient="top")),
        y=alt.Y("evaluation:N", sort=None, title=None),
    )
    tips = [
        alt.Tooltip("evaluation:N"),
        alt.Tooltip("method:N"),
        alt.Tooltip("plain:Q", format=".2f"),
        alt.Tooltip("score:Q", format=".2f"),
        alt.Tooltip("difference:Q", format="+.2f"),
        alt.Tooltip("pairs:Q"),
    ]
    cells = every.mark_rect().encode(
        color=alt.Color("difference:Q", scale=scale, title="points", legend=alt.Legend(format="+.2~f")),
        tooltip=tips,
    )
    dark = alt.condition(f"abs(datum.difference) > {0.6 * most!r}", alt.value("white"), alt.value("#222"))
    words = every.mark_text().encode(text=alt.Text("difference:Q", format="+.2f"), color=dark)
    ups = sum(row["difference"] > 0 for row in rows)
    summary = (
        f"{ups} of {len(rows)} cells are above plain fine-tuning; the furthest is {furthest:.2f} points off."
    )
    return Figure(table, spec(alt.layer(cells, words), height=alt.Step(26)), summary)
