"""Scores seed by seed: which run won and which lost, as slopes from the baseline to each method."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from dither.report.content import Column, Figure, Section, Table
from dither.report.style import GAIN, LOSS, NOTHING, base, slug, spec
from dither.report.verdicts import DOTS_AT_MOST
from dither.stats import Analysis, Score

_COLUMNS = (
    Column("method", "method"),
    Column("seed", "seed"),
    Column("plain", "plain", ".2f"),
    Column("score", "method's score", ".2f"),
    Column("outcome", "outcome"),
)
_TIE = 1e-9
_SUMMARY = (("lowest tenth", 0.1), ("median", 0.5), ("highest tenth", 0.9))


def seeds(analysis: Analysis, scores: Sequence[Score]) -> Section | None:
    """A picture for each task; None where no seed has both arms.

    Args:
        analysis: of all runs.
        scores: of the runs.
    """
    methods = [name for name in analysis.methods if name != analysis.baseline]
    figures = []
    for task in analysis.tasks:
        own = {(row.method, row.seed): row.score for row in scores if row.task == task and row.scored}
        rows = _rows(own, methods, analysis)
        if rows:
            figures.append(_figure(task, rows, methods))
    text = (
        "From the score of plain fine-tuning (left) to that of the method (right) with the same seed. Slopes "
        "of one colour would be a result; crossing ones are what chance looks like."
    )
    return Section("seeds", "Seed by seed", (text,), tuple(figures)) if figures else None


def _rows(
    own: dict[tuple[str, int], float], methods: Sequence[str], analysis: Analysis
) -> list[dict[str, Any]]:
    pairs = {
        name: {
            seed: (own[analysis.baseline, seed], own[name, seed])
            for seed in analysis.planned_seeds
            if (name, seed) in own and (analysis.baseline, seed) in own
        }
        for name in methods
    }
    if sum(map(len, pairs.values())) > DOTS_AT_MOST:
        return [_row(name, *row) for name in methods for row in _summed(list(pairs[name].values()))]
    return [
        _row(name, str(seed), plain, score)
        for name in methods
        for seed, (plain, score) in pairs[name].items()
    ]


def _summed(values: Sequence[tuple[float, float]]) -> list[tuple[str, float, float]]:
    """Of so many seeds, the same quantiles of either arm: no single run."""
    if not values:
        return []
    plain, score = np.array(values).T
    return [
        (name, float(np.quantile(plain, share)), float(np.quantile(score, share))) for name, share in _SUMMARY
    ]


def _row(method: str, seed: str, plain: float, score: float) -> dict[str, Any]:
    gain = score - plain
    outcome = "tie" if abs(gain) <= _TIE else "win" if gain > 0 else "loss"
    return {"method": method, "seed": seed, "plain": plain, "score": score, "outcome": outcome}


def _figure(task: str, rows: list[dict[str, Any]], methods: Sequence[str]) -> Figure:
    table = Table(slug("seeds", task), f"{task}, seed by seed", _COLUMNS, tuple(rows))
    colour = alt.Color(
        "outcome:N",
        title=None,
        scale=alt.Scale(domain=["win", "tie", "loss"], range=[GAIN, NOTHING, LOSS]),
    )
    tips = [
        alt.Tooltip("method:N"),
        alt.Tooltip("seed:N"),
        alt.Tooltip("plain:Q", format=".2f"),
        alt.Tooltip("score:Q", format=".2f"),
    ]
    ends = base().transform_fold(["plain", "score"], as_=["arm", "points"])
    x = alt.X("method:N", sort=list(methods), title=None, axis=alt.Axis(labelAngle=0, ticks=False))
    y = alt.Y("points:Q", title="score, points", scale=alt.Scale(zero=False))
    offset = alt.XOffset("arm:N", sort=["plain", "score"], scale=alt.Scale(paddingOuter=0.25))
    every = ends.encode(x=x, xOffset=offset, y=y, color=colour)
    lines = every.mark_line(opacity=0.75).encode(detail=["seed:N", "method:N"])
    points = every.mark_point(filled=True, size=36, opacity=0.9).encode(
        tooltip=tips, shape=alt.Shape("arm:N", scale=alt.Scale(range=["circle", "square"]), legend=None)
    )
    won = {name: sum(row["outcome"] == "win" and row["method"] == name for row in rows) for name in methods}
    words = ", ".join(
        f"{name} {count} of {sum(r['method'] == name for r in rows)}" for name, count in won.items()
    )
    return Figure(table, spec(alt.layer(lines, points), height=260), f"Slopes that rise: {words}.")
