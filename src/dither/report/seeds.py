"""Scores seed by seed: which run won and which lost, as slopes from the baseline to each method."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from dither.report.content import Column, Figure, Section, Table
from dither.report.pairs import Pair, pairs_of
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
LETTERS_IN_LINE = 45
"""Names of methods that have more letters in all stand aslant."""

_SUMMARY = {"lowest tenth": 0.1, "median": 0.5, "highest tenth": 0.9}


def seeds(analysis: Analysis, scores: Sequence[Score]) -> Section | None:
    """A picture for each task; None where no seed has both arms.

    Args:
        analysis: of all runs.
        scores: of the runs.
    """
    methods = [name for name in analysis.methods if name != analysis.baseline]
    pairs, figures = pairs_of(analysis, scores), []
    for task in analysis.tasks:
        rows = _rows({method: pairs[method, task] for method in methods})
        if rows:
            figures.append(_figure(task, rows, methods))
    text = (
        "From the score of plain fine-tuning (left) to that of the method (right) with the same seed. Slopes "
        "of one colour would be a result; crossing ones are what chance looks like."
    )
    return Section("seeds", "Seed by seed", (text,), tuple(figures)) if figures else None


def _rows(pairs: Mapping[str, Sequence[Pair]]) -> list[dict[str, Any]]:
    """A row for each pair of each method; of too many the same quantiles of either arm, which are no runs."""
    summed = sum(map(len, pairs.values())) > DOTS_AT_MOST
    return [
        row
        for method, own in pairs.items()
        for row in (_quantiles(method, own) if summed else (_row(method, str(p.seed), *p[1:]) for p in own))
    ]


def _quantiles(method: str, pairs: Sequence[Pair]) -> Iterator[dict[str, Any]]:
    for name, share in _SUMMARY.items() if pairs else ():
        plain, score = (float(np.quantile([pair[at] for pair in pairs], share)) for at in (1, 2))
        yield _row(method, name, plain, score, score - plain)


def _row(method: str, seed: str, plain: float, score: float, difference: float) -> dict[str, Any]:
    outcome = "tie" if difference == 0 else "win" if difference > 0 else "loss"
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
    angle = 0 if sum(map(len, methods)) <= LETTERS_IN_LINE else -35
    x = alt.X("method:N", sort=list(methods), title=None, axis=alt.Axis(labelAngle=angle, ticks=False))
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
