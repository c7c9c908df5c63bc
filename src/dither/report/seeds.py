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

_NO_PAIR = "quantile of all seeds"
_SUMMARY = {"lowest tenth": 0.1, "median": 0.5, "highest tenth": 0.9}


def seeds(analysis: Analysis, scores: Sequence[Score]) -> Section | None:
    """A picture for each task; None where no seed has both arms.

    Args:
        analysis: of all runs.
        scores: of the runs.
    """
    methods = [name for name in analysis.methods if name != analysis.baseline]
    pairs, figures, summed = pairs_of(analysis, scores), [], False
    for task in analysis.tasks:
        own = {method: pairs[method, task] for method in methods}
        if any(own.values()):
            figures.append(_figure(task, own, methods))
            summed |= _too_many(own)
    text = (
        "From the score of plain fine-tuning (left) to that of the method (right) with the same seed. Where "
        "chance alone is at work, about as many slopes rise as fall; whether more do than that is what the "
        "verdict above tells."
    )
    if summed:
        text += (
            " Where there are too many seeds for lines, each method has three: the lowest tenth, the median "
            "and the highest tenth of plain fine-tuning (left) and of the method (right), which are no runs."
        )
    return Section("seeds", "Seed by seed", (text,), tuple(figures)) if figures else None


def _too_many(pairs: Mapping[str, Sequence[Pair]]) -> bool:
    return sum(map(len, pairs.values())) > DOTS_AT_MOST


def _rows(pairs: Mapping[str, Sequence[Pair]]) -> list[dict[str, Any]]:
    """A row for each pair of each method; of too many the same quantiles of either arm, which are no runs."""
    summed = _too_many(pairs)
    return [
        row
        for method, own in pairs.items()
        for row in (_quantiles(method, own) if summed else (_pair(method, pair) for pair in own))
    ]


def _quantiles(method: str, pairs: Sequence[Pair]) -> Iterator[dict[str, Any]]:
    for name, share in _SUMMARY.items() if pairs else ():
        plain, score = (float(np.quantile([pair[at] for pair in pairs], share)) for at in (1, 2))
        yield {"method": method, "seed": name, "plain": plain, "score": score, "outcome": _NO_PAIR}


def _pair(method: str, pair: Pair) -> dict[str, Any]:
    outcome = "tie" if pair.difference == 0 else "win" if pair.difference > 0 else "loss"
    return {
        "method": method, "seed": str(pair.seed), "plain": pair.plain, "score": pair.score, "outcome": outcome
    }  # fmt: skip


def _figure(task: str, pairs: Mapping[str, Sequence[Pair]], methods: Sequence[str]) -> Figure:
    rows = _rows(pairs)
    table = Table(slug("seeds", task), f"{task}, seed by seed", _COLUMNS, tuple(rows))
    colour = alt.Color(
        "outcome:N",
        title=None,
        scale=alt.Scale(domain=["win", "tie", "loss", _NO_PAIR], range=[GAIN, NOTHING, LOSS, NOTHING]),
        legend=alt.Legend(values=[_NO_PAIR] if _too_many(pairs) else ["win", "tie", "loss"]),
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
    won = {name: sum(pair.difference > 0 for pair in own) for name, own in pairs.items()}
    words = ", ".join(f"{name}: {count} of {len(pairs[name])}" for name, count in won.items())
    return Figure(table, spec(alt.layer(lines, points), height=260), f"Seeds with a higher score – {words}.")
