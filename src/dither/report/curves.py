"""Curves over a setting, such as λ or the share of the data: the difference to plain, with its band."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from dither.report.content import Column, Figure, Section, Table
from dither.report.style import PLAIN, base, method_scale, shape_scale, slug, spec, zero_line
from dither.stats.formats import signed

Point = Mapping[str, Any]


def curves(
    points: Sequence[Point],
    settings: Sequence[str],
    title: str,
    *,
    zero: bool,
    beside: Mapping[str, Sequence[Point]] | None = None,
) -> Section | None:
    """A picture for each setting in which points differ, over each set of tasks.

    Args:
        points: each with `line` (the method), `values` (setting -> value), `tasks`, `difference`, `interval`,
            `mean`, `baseline_mean`, `pairs`, `rows` and `verdict`, as JSON values.
        settings: whose values the points have.
        title: of the section.
        zero: whether the baseline stands for strength 0, a point of every curve.
        beside: reference -> the points of the other arms of its method, against that; likewise, with `p`.
    """
    varied = [name for name in settings if len({repr(point["values"].get(name)) for point in points}) > 1]
    groups: dict[tuple[str, ...], list[Point]] = {}
    for point in points:
        groups.setdefault(_over(point), []).append(point)
    figures = [
        figure
        for tasks, own in groups.items()
        for name in varied
        if (figure := _figure(name, tasks, own, settings, zero=zero)) is not None
    ]
    text = (
        "Points against plain fine-tuning at each value, with the interval of each. The best of several "
        "values is optimistic: a value that was chosen here needs new seeds to be believed."
    )
    tables = [_beside(name, others) for name, others in (beside or {}).items() if others]
    if not figures and not tables:
        return None
    return Section("curves", title, (text,), tuple(figures), tuple(tables))


def _beside(reference: str, points: Sequence[Point]) -> Table:
    """Which value is better: the other arms of a method against one of them."""
    columns = (
        Column("arm", "method"),
        Column("tasks", "tasks"),
        Column("difference", "difference", "+.2f"),
        Column("low", "from", "+.2f"),
        Column("high", "to", "+.2f"),
        Column("p", "p (Holm)", ".3g"),
        Column("pairs", "pairs", "d"),
        Column("verdict", "verdict"),
    )
    rows = [
        {
            "arm": point["arm"],
            "tasks": point["tasks"][0] if len(point["tasks"]) == 1 else f"mean of {len(point['tasks'])}",
            **{name: point[name] for name in ("difference", "p", "pairs", "verdict")},
            **dict(zip(("low", "high"), point["interval"], strict=True)),
        }
        for point in points
    ]
    return Table(
        slug("beside", reference), f"Which value is better? Against {reference}", columns, tuple(rows)
    )


def _over(point: Point) -> tuple[str, ...]:
    """The tasks of a point, without what their names set: the same for the variations of a task."""
    return tuple(task.partition("@")[0] for task in point["tasks"])


def _figure(
    name: str, tasks: tuple[str, ...], points: Sequence[Point], settings: Sequence[str], *, zero: bool
) -> Figure | None:
    placed = [point for point in points if point["values"].get(name) is not None]
    lines = list(dict.fromkeys(p["line"] for p in placed if not (zero and p["arm"] == PLAIN)))
    rest = [key for key in settings if key != name]
    rows = [_row(point, name, rest, line) for point in placed for line in _lines(point, lines, zero=zero)]
    if len({row["value"] for row in rows}) < 2:
        return None
    where = tasks[0] if len(tasks) == 1 else f"mean of {len(tasks)} tasks"
    title = f"{name}: {where}"
    numbers = all(type(row["value"]) in (int, float) for row in rows)  # and not bool, which is an int, too
    columns = (
        Column("line", "method"),
        Column("value", name, "g" if numbers else ""),
        Column("plain", "plain", ".2f"),
        Column("score", "score", ".2f"),
        Column("difference", "difference", "+.2f"),
        Column("low", "from", "+.2f"),
        Column("high", "to", "+.2f"),
        Column("pairs", "pairs", "d"),
        Column("rows", "train rows", "d"),
        Column("others", "at"),
        Column("verdict", "verdict"),
    )
    table = Table(slug("curve", name, *tasks), title, columns, tuple(rows))
    known = [row for row in rows if row["difference"] is not None]
    words = "No difference is known."
    if known:
        best = max(known, key=lambda row: row["difference"])
        most = f"{signed(best['difference'])} points, {best['line']} at {best['value']}"
        words = f"The largest mean difference is {most}."
    return Figure(table, _chart(rows, name, lines, numbers=numbers), words)


def _lines(point: Point, lines: Sequence[str], *, zero: bool) -> Sequence[str]:
    """Plain fine-tuning, where it stands for strength 0, is on every line."""
    return lines if zero and point["arm"] == PLAIN else [point["line"]]


def _row(point: Point, name: str, rest: Sequence[str], line: str) -> dict[str, Any]:
    low, high = point["interval"]
    others = {key: point["values"].get(key) for key in rest}
    return {
        "line": line,
        "value": point["values"][name],
        "plain": point["baseline_mean"],
        "score": point["mean"],
        "difference": point["difference"],
        "low": low,
        "high": high,
        "pairs": point["pairs"],
        "rows": point["rows"],
        "others": ", ".join(f"{key} {value}" for key, value in others.items() if value is not None),
        "verdict": point["verdict"],
    }


def _chart(
    rows: Sequence[Mapping[str, Any]], name: str, lines: Sequence[str], *, numbers: bool
) -> dict[str, Any]:
    x = alt.X("value:Q" if numbers else "value:N", title=name, scale=_scale(rows, numbers=numbers))
    legend = alt.Legend(title=None, symbolOpacity=1)
    every = base().encode(x=x, color=alt.Color("line:N", scale=method_scale(lines), legend=legend))
    band = every.mark_area(opacity=0.16).encode(
        y=alt.Y("low:Q", title="points against plain"), y2="high:Q", detail="others:N"
    )
    line = every.mark_line().encode(y="difference:Q", detail="others:N")
    tips = [
        alt.Tooltip("line:N", title="method"),
        alt.Tooltip("value:Q" if numbers else "value:N", title=name),
        alt.Tooltip("difference:Q", format="+.2f"),
        alt.Tooltip("low:Q", title="from", format="+.2f"),
        alt.Tooltip("high:Q", title="to", format="+.2f"),
        alt.Tooltip("others:N", title="at"),
        alt.Tooltip("verdict:N"),
    ]
    shape = alt.Shape("line:N", scale=shape_scale(lines), legend=legend)
    marks = every.mark_point(filled=True, opacity=1, size=70).encode(
        y="difference:Q", shape=shape, tooltip=tips
    )
    layers = (band, line, marks) if numbers else (marks,)
    return spec(alt.layer(zero_line("y"), *layers), height=260)


def _scale(rows: Sequence[Mapping[str, Any]], *, numbers: bool) -> alt.Scale:
    """Logarithmic where values span decades, such as learning rates."""
    values = [row["value"] for row in rows] if numbers else []
    wide = bool(values) and min(values) > 0 and max(values) / min(values) >= 30
    return alt.Scale(type="log") if wide else alt.Scale(zero=False) if numbers else alt.Scale()
