"""Learning curves: the training loss of every method, with the band of its seeds."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import altair as alt
import numpy as np

from dither.report.arms import runs_by_arm
from dither.report.content import Column, Figure, Section, Table
from dither.report.style import base, method_lines, slug, spec
from dither.results import RunResult

POINTS_AT_MOST = 60
"""Longer histories are averaged over as many equal parts of the training."""

_COLUMNS = (
    Column("method", "method"),
    Column("step", "step", "d"),
    Column("loss", "mean loss", ".4f"),
    Column("low", "lowest seed", ".4f"),
    Column("high", "highest seed", ".4f"),
    Column("runs", "runs", "d"),
)


def learning(results: Sequence[RunResult], tasks: Sequence[str], methods: Sequence[str]) -> Section | None:
    """A picture for each task; None where no run logged a loss.

    Args:
        results: of the runs; losses that are not finite are left out, which the runs' table tells.
        tasks: in their order.
        methods: in their order, as in every picture.
    """
    arms, figures = runs_by_arm(results), []
    for task in tasks:
        rows = [row for method in methods for row in _rows(method, arms.get((task, method), []))]
        if rows:
            figures.append(_figure(task, rows, methods))
    text = (
        "The training loss as the Trainer logged it: the mean over seeds, with a band from the lowest to the "
        "highest seed. A lower training loss is no better score; the score is that of the last evaluation."
    )
    return Section("learning", "Learning curves", (text,), tuple(figures)) if figures else None


def _rows(method: str, results: Sequence[RunResult]) -> Iterator[dict[str, Any]]:
    losses: dict[int, list[float]] = {}
    for step, loss in _shortened([pair for result in results for pair in _logged(result)]):
        losses.setdefault(step, []).append(loss)
    for step, values in sorted(losses.items()):
        yield {
            "method": method,
            "step": step,
            "loss": math.fsum(values) / len(values),
            "low": min(values),
            "high": max(values),
            "runs": len(values),
        }


def _logged(result: RunResult) -> Iterator[tuple[int, float]]:
    for row in result.history:
        loss, step = row.get("loss"), row.get("step")
        if isinstance(loss, int | float) and isinstance(step, int) and math.isfinite(loss):
            yield step, float(loss)


def _shortened(pairs: Iterable[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """The same pairs, with steps rounded up to the ends of at most so many equal parts."""
    known = list(pairs)
    steps = np.unique([step for step, _ in known])
    if len(steps) <= POINTS_AT_MOST:
        yield from known
        return
    width = math.ceil(int(steps[-1]) / POINTS_AT_MOST)
    yield from ((width * math.ceil(step / width), loss) for step, loss in known)


def _figure(task: str, rows: list[dict[str, Any]], methods: Sequence[str]) -> Figure:
    table = Table(slug("learning", task), f"{task}, training loss", _COLUMNS, tuple(rows))
    lines = method_lines(methods, shown={row["method"] for row in rows})
    x = alt.X("step:Q", title="step", axis=alt.Axis(tickCount=8))
    y = alt.Y("low:Q", title="training loss", scale=alt.Scale(zero=False))
    band = base().mark_area(opacity=0.15).encode(x=x, y=y, y2="high:Q", color=lines["color"])
    tips = [
        alt.Tooltip("method:N"),
        alt.Tooltip("step:Q"),
        alt.Tooltip("loss:Q", format=".4f"),
        alt.Tooltip("runs:Q"),
    ]
    line = base().mark_line(point=alt.OverlayMarkDef(size=16))
    line = line.encode(x=x, y="loss:Q", tooltip=tips, **lines)
    last = {row["method"]: row["loss"] for row in rows}
    words = ", ".join(f"{name} {loss:.3g}" for name, loss in last.items())
    return Figure(table, spec(alt.layer(band, line), height=220), f"Mean training loss at the end: {words}.")
