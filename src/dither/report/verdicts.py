"""The answer in pictures: every difference with its interval and its seeds."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from dither.report.comparisons import averages, comparisons, outcomes
from dither.report.content import Column, Figure, Section, Table
from dither.report.findings import LABELS, baseline_name, how_to_read, surer
from dither.report.pairs import pairs_of
from dither.report.style import GAIN, LOSS, NOTHING, OPEN, WITHIN, base, slug, spec, zero_line
from dither.report.values import finite
from dither.stats import Analysis, Comparison, MacroAverage, Score
from dither.stats.formats import interval_text, signed

DOTS_AT_MOST = 200
"""Above so many dots a picture shows where the middle half and the middle four fifths of them lie."""

SUMMED_UP = 3
"""A picture with more lines than these is summed up by its ends."""

_LOOKS = {
    "better": (GAIN, "triangle-up"),
    "worse": (LOSS, "triangle-down"),
    "no relevant difference": (WITHIN, "square"),
    "not resolved": (OPEN, "circle"),
    "identical": (NOTHING, "cross"),
    "incomplete": (NOTHING, "diamond"),
    "no verdict": (NOTHING, "stroke"),
}
_TOLD = 4  # of them every legend has: what could have come out, too
_MEAN = "mean"
_MIDDLES = {"middle 80 %": 0.1, "middle 50 %": 0.25}

_Effect = Comparison | MacroAverage
_Seeds = Mapping[int, float]
_Line = tuple[str, _Effect, _Seeds]
_Domain = tuple[float, float] | None


def verdicts(analysis: Analysis, scores: Sequence[Score]) -> Section:
    """All methods over all tasks, then each method task by task, and the tables of all comparisons.

    Args:
        analysis: of all runs.
        scores: of the runs.
    """
    methods = [name for name in analysis.methods if name != analysis.baseline]
    seeds = {
        arm: {pair.seed: pair.difference for pair in own} for arm, own in pairs_of(analysis, scores).items()
    }
    drafts = []
    if methods and (len(methods) > 1 or len(analysis.tasks) == 1):
        over = "All methods" if len(methods) > 1 else methods[0]
        where = analysis.tasks[0] if len(analysis.tasks) == 1 else "over all tasks"
        drafts.append(_Draft(f"{over}, {where}", "method", _over_tasks(analysis, seeds), wide=True))
    if len(analysis.tasks) > 1:
        for method in methods:
            title = f"{method} against {baseline_name(analysis)}"
            lines = _by_task(analysis, method, seeds)
            drafts.append(_Draft(title, "task", lines, wide=len(methods) == 1))
    shared = _domain([draft for draft in drafts if draft.by_task])  # so that methods are compared by eye
    figures = [draft.figure(shared if draft.by_task else _domain([draft])) for draft in drafts]
    tables = [comparisons("comparisons", "Task by task", analysis.all_runs)]
    if any(row.failed for row in scores):
        clean, without = analysis.without_failed, "without the pairs of failed runs"
        tables.append(averages("averages-without-failed", f"Over all tasks, {without}", clean))
        tables.append(comparisons("without-failed", f"Task by task, {without}", clean))
    return Section(
        id="verdict",
        title="Does it help?",
        text=(how_to_read(analysis, summed=any(draft.summed for draft in drafts)),),
        figures=(*figures, *([outcomes(analysis)] if methods else [])),
        tables=tuple(table for table in (surer(analysis), *tables) if table and table.rows),
        notes=(
            "Seeds that are added after a verdict are tested again, with half of the error rate to spend.",
            *analysis.notes,
        ),
    )


def _over_tasks(analysis: Analysis, seeds: Mapping[tuple[str, str], _Seeds]) -> Iterator[_Line]:
    """A line for each average; its dots are each seed's mean over the tasks, where it has them all."""
    for row in analysis.all_runs.macros:
        if row.method != analysis.baseline:
            own = [seeds.get((row.method, task), {}) for task in row.tasks]
            whole = set.intersection(*map(set, own))
            means = {seed: math.fsum(each[seed] for each in own) / len(own) for seed in whole}
            yield (f"{row.method}, {row.group}" if row.group else row.method), row, means


def _by_task(analysis: Analysis, method: str, seeds: Mapping[tuple[str, str], _Seeds]) -> Iterator[_Line]:
    for row in analysis.all_runs.macros:
        if row.method == method:
            yield (f"all tasks, {row.group}" if row.group else "all tasks"), row, {}
    for task in analysis.tasks:
        yield task, analysis.all_runs.comparison(method, task), seeds.get((method, task), {})


class _Draft:
    """A picture but for its axis, which pictures of tasks share.

    Args:
        title: of the picture.
        what: its lines are.
        lines: with the differences of their seeds.
        wide: of the picture.

    Attributes:
        by_task: whether its lines are tasks.
        summed: whether it shows where the seeds lie, and no dots.
        rows: of its table.
    """

    def __init__(self, title: str, what: str, lines: Iterable[_Line], *, wide: bool) -> None:
        self.by_task = what == "task"
        self._title, self._what, self._lines, self._wide = title, what, list(lines), wide
        self.summed = sum(len(seeds) for _, _, seeds in self._lines) > DOTS_AT_MOST
        self.rows: list[dict[str, Any]] = []
        for name, effect, seeds in self._lines:
            label = LABELS[effect.verdict.kind]
            self.rows.append(_row(name, _MEAN, effect.difference, effect.interval, label))
            self.rows += _middles(name, seeds) if self.summed else _dots(name, seeds)

    def figure(self, domain: _Domain) -> Figure:
        """The picture on an axis."""
        columns = (
            Column("name", self._what),
            Column("seed", "seeds"),
            Column("difference", "difference, points", "+.2f"),
            Column("low", "from", "+.2f"),
            Column("high", "to", "+.2f"),
            Column("verdict", "verdict"),
        )
        table = Table(slug("difference", self._title), self._title, columns, tuple(self.rows))
        labels = [LABELS[effect.verdict.kind] for _, effect, _ in self._lines]
        chart = _chart([name for name, _, _ in self._lines], labels, domain, summed=self.summed)
        return Figure(table, chart, _summary(self._lines), wide=self._wide)


def _domain(drafts: Sequence[_Draft]) -> _Domain:
    """One axis with room for all that is shown."""
    numbers = (row[name] for draft in drafts for row in draft.rows for name in ("difference", "low", "high"))
    ends = [value for value in numbers if value is not None]
    return (min(0.0, *ends), max(0.0, *ends)) if ends else None


def _summary(lines: Sequence[_Line]) -> str:
    """Every line where they are few, else the ends; and how many are resolved."""
    told, ends = list(lines), ""
    if len(lines) > SUMMED_UP:
        known = sorted((line for line in lines if math.isfinite(line[1].difference)), key=_difference)
        told, ends = (known, "") if len(known) < 2 else ([known[0], known[-1]], "Lowest and highest: ")
    words = "; ".join(
        f"{name}: {signed(row.difference)} ({interval_text(row.interval)}), {LABELS[row.verdict.kind]}"
        for name, row, _ in told
    )
    resolved = sum(row.verdict.resolved for _, row, _ in lines)
    return f"{ends}{words or 'No difference is known'}. Resolved: {resolved} of {len(lines)} lines."


def _difference(line: _Line) -> float:
    return line[1].difference


def _row(
    name: str, seed: str, difference: float, interval: tuple[float, float], verdict: str | None
) -> dict[str, Any]:
    low, high = map(finite, interval)
    numbers = {"difference": finite(difference), "low": low, "high": high}
    return {"name": name, "seed": seed, **numbers, "verdict": verdict}


def _dots(name: str, seeds: _Seeds) -> Iterator[dict[str, Any]]:
    for seed, value in sorted(seeds.items()):
        yield _row(name, str(seed), value, (math.nan, math.nan), None)


def _middles(name: str, seeds: _Seeds) -> Iterator[dict[str, Any]]:
    for middle, outside in _MIDDLES.items() if seeds else ():
        low, median, high = map(float, np.quantile(list(seeds.values()), (outside, 0.5, 1 - outside)))
        yield _row(name, middle, median, (low, high), None)


def _chart(order: Sequence[str], labels: Sequence[str], domain: _Domain, *, summed: bool) -> dict[str, Any]:
    tips = [
        alt.Tooltip("name:N", title="what"),
        alt.Tooltip("seed:N", title="seeds"),
        alt.Tooltip("difference:Q", title="difference", format="+.2f"),
        alt.Tooltip("low:Q", title="from", format="+.2f"),
        alt.Tooltip("high:Q", title="to", format="+.2f"),
        alt.Tooltip("verdict:N", title="verdict"),
    ]
    scale = alt.Scale(domain=list(domain), nice=True, padding=8) if domain else alt.Scale()
    two_lines = "split(datum.label, '@')"  # a variation's settings stand below its name
    every = base().encode(
        y=alt.Y("name:N", sort=list(order), title=None, axis=alt.Axis(labelPadding=8, labelExpr=two_lines)),
        x=alt.X("difference:Q", title="points against plain fine-tuning", scale=scale),
    )
    means = every.transform_filter(alt.datum.seed == _MEAN)
    others = every.transform_filter(alt.datum.seed != _MEAN)
    ends: dict[str, Any] = {"x": alt.X("low:Q"), "x2": "high:Q"}
    if summed:
        thick = alt.Scale(domain=list(_MIDDLES), range=[3, 9])
        width = alt.StrokeWidth("seed:N", scale=thick, legend=None)
        seeds = others.mark_rule(yOffset=11, opacity=0.45).encode(**ends, strokeWidth=width, tooltip=tips[:5])
    else:
        dots = others.mark_circle(yOffset=11, size=34, opacity=0.5, color="currentColor")
        seeds = dots.encode(tooltip=tips[:3])
    colours, shapes = ([look[at] for look in _LOOKS.values()] for at in (0, 1))
    told = [label for at, label in enumerate(_LOOKS) if at < _TOLD or label in labels]
    legend = alt.Legend(values=told, symbolOpacity=1, symbolSize=110)
    colour = alt.Color(
        "verdict:N", title=None, scale=alt.Scale(domain=list(_LOOKS), range=colours), legend=legend
    )
    shape = alt.Shape("verdict:N", scale=alt.Scale(domain=list(_LOOKS), range=shapes))
    bars = means.mark_rule(strokeWidth=4, opacity=0.55, strokeCap="round").encode(**ends, color=colour)
    marks = means.mark_point(filled=True, size=130, opacity=1).encode(color=colour, shape=shape, tooltip=tips)
    words = means.mark_text(dy=-13, fontSize=11).encode(text="verdict:N")
    return spec(alt.layer(zero_line("x"), seeds, bars, marks, words), height=alt.Step(52))
