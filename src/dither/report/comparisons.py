"""Every comparison in a table, and how many pairs were won."""

from typing import Any

import altair as alt

from dither.report.content import Column, Figure, Row, Table
from dither.report.findings import LABELS
from dither.report.style import GAIN, LOSS, NOTHING, arms_on_y, base, spec
from dither.report.values import finite
from dither.stats import Analysis, Comparison
from dither.stats import Table as Effects

_EFFECT = (
    Column("verdict", "verdict"),
    Column("difference", "difference", "+.2f"),
    Column("low", "from", "+.2f"),
    Column("high", "to", "+.2f"),
    Column("p", "p (Holm)", ".3g"),
)
_EFFECTS = (
    Column("task", "task"),
    Column("method", "method"),
    *_EFFECT,
    Column("pairs", "pairs", "d"),
    Column("wins", "wins", "d"),
    Column("ties", "ties", "d"),
    Column("losses", "losses", "d"),
    Column("detectable", "detectable", ".2f"),
    Column("plain", "plain", ".2f"),
    Column("plain_sd", "its sd", ".2f"),
    Column("score", "method's score", ".2f"),
    Column("score_sd", "its sd", ".2f"),
    Column("why", "in full"),
)

_AVERAGES = (
    Column("method", "method"),
    *_EFFECT,
    Column("seeds", "seeds", "d"),
    Column("detectable", "detectable", ".2f"),
    Column("why", "in full"),
)


def outcomes(analysis: Analysis) -> Figure:
    """Wins, ties and losses of every method on every task."""
    rows: list[dict[str, Any]] = [
        {"task": row.task, "method": row.method, "outcome": name, "pairs": count}
        for task in analysis.tasks
        for row in analysis.all_runs.comparisons
        if row.task == task and row.method != analysis.baseline
        for name, count in (("win", row.wins), ("tie", row.ties), ("loss", row.losses))
    ]
    columns = (Column("task", "task"), Column("method", "method"), Column("outcome", "outcome"))
    table = Table(
        "outcomes", "Wins, ties and losses by seed", (*columns, Column("pairs", "pairs", "d")), tuple(rows)
    )
    scale = alt.Scale(domain=["win", "tie", "loss"], range=[GAIN, NOTHING, LOSS])
    several = len(analysis.tasks) > 1
    y, step = arms_on_y(tasks=several)
    bars = (
        base()
        .transform_calculate(
            arm="datum.task + ', ' + datum.method" if several else "datum.method",
            rank="indexof(['win', 'tie', 'loss'], datum.outcome)",
        )
        .mark_bar()
        .encode(
            y=y,
            x=alt.X("pairs:Q", title="pairs", axis=alt.Axis(format="d", tickMinStep=1)),
            color=alt.Color("outcome:N", scale=scale, title=None),
            order=alt.Order("rank:Q"),
            tooltip=["task:N", "method:N", "outcome:N", "pairs:Q"],
        )
    )
    total = {
        name: sum(row["pairs"] for row in rows if row["outcome"] == name) for name in ("win", "tie", "loss")
    }
    words = f"Over all methods and tasks: wins {total['win']}, ties {total['tie']}, losses {total['loss']}."
    return Figure(table, spec(bars, height=step), words)


def comparisons(id: str, title: str, effects: Effects) -> Table:
    """A row for each method on each task.

    Args:
        id: of the table.
        title: likewise.
        effects: of all runs, or without failed ones.
    """
    rows = [_full_row(row) for row in effects.comparisons if row.method != row.baseline]
    return Table(id, title, _EFFECTS, tuple(rows))


def averages(id: str, title: str, effects: Effects) -> Table:
    """A row for each average over several tasks; none where each is of one task.

    Args:
        id: of the table.
        title: likewise.
        effects: of all runs, or without failed ones.
    """
    rows = [
        {
            "method": f"{row.method} ({row.group})" if row.group else row.method,
            "verdict": LABELS[row.verdict.kind],
            "difference": finite(row.difference),
            "low": finite(row.interval[0]),
            "high": finite(row.interval[1]),
            "p": finite(row.p_holm),
            "seeds": row.pairs,
            "detectable": finite(row.detectable),
            "why": row.verdict.text,
        }
        for row in effects.macros
        if row.method != row.baseline and len(row.tasks) > 1
    ]
    return Table(id, title, _AVERAGES, tuple(rows))


def _full_row(row: Comparison) -> Row:
    return {
        "task": row.task,
        "method": row.method,
        "plain": finite(row.baseline_mean),
        "plain_sd": finite(row.baseline_sd),
        "score": finite(row.method_mean),
        "score_sd": finite(row.method_sd),
        "difference": finite(row.difference),
        "low": finite(row.interval[0]),
        "high": finite(row.interval[1]),
        "pairs": row.pairs,
        "p": finite(row.p_holm),
        "detectable": finite(row.detectable),
        "wins": row.wins,
        "ties": row.ties,
        "losses": row.losses,
        "verdict": LABELS[row.verdict.kind],
        "why": row.verdict.text,
    }
