"""Learning curves: the training loss of every method, with the band of its seeds."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import altair as alt

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
    """A picture for each task; None where no seed has losses of several steps in all methods.

    Args:
        results: of the runs; losses that are not finite are left out, which the runs' table tells.
        tasks: in their order.
        methods: in their order, as in every picture.
    """
    arms, figures = runs_by_arm(results), []
    for task in tasks:
        own = {method: arms.get((task, method), []) for method in methods}
        seeds = set.intersection(*({run.spec.seed for run in runs} for runs in own.values()))
        rows = _rows({name: [run for run in runs if run.spec.seed in seeds] for name, runs in own.items()})
        if len({row["step"] for row in rows}) > 1:
            figures.append(_figure(task, rows, methods))
    text = (
        "The training loss as the Trainer logged it: the mean over the seeds that all methods have, with a "
        "band from the lowest to the highest seed. A lower training loss is no better score; the score is "
        "that of the last evaluation."
    )
    return Section("learning", "Learning curves", (text,), tuple(figures)) if figures else None


def _rows(runs: Mapping[str, Sequence[RunResult]]) -> list[dict[str, Any]]:
    """A row for each method and part of the training; every run counts once in it."""
    logged = {method: [list(_logged(run)) for run in own] for method, own in runs.items()}
    end = _ends([step for own in logged.values() for pairs in own for step, _ in pairs])
    rows = []
    for method, own in logged.items():
        means = [(step, _mean(part)) for pairs in own for step, part in _grouped(pairs, end).items()]
        rows += [_row(method, step, part) for step, part in sorted(_grouped(means).items())]
    return rows


def _grouped(
    pairs: Iterable[tuple[int, float]], end: Callable[[int], int] = lambda step: step
) -> dict[int, list[float]]:
    """The losses of each part of the training, by the step at which it ends."""
    parts: dict[int, list[float]] = {}
    for step, loss in pairs:
        parts.setdefault(end(step), []).append(loss)
    return parts


def _mean(losses: Sequence[float]) -> float:
    return math.fsum(losses) / len(losses)


def _row(method: str, step: int, losses: Sequence[float]) -> dict[str, Any]:
    return {
        "method": method,
        "step": step,
        "loss": _mean(losses),
        "low": min(losses),
        "high": max(losses),
        "runs": len(losses),
    }


def _logged(result: RunResult) -> Iterator[tuple[int, float]]:
    for row in result.history:
        loss, step = row.get("loss"), row.get("step")
        if isinstance(loss, int | float) and isinstance(step, int) and math.isfinite(loss):
            yield step, float(loss)


def _ends(steps: Sequence[int]) -> Callable[[int], int]:
    """The step at which a step's part of the training ends: its own, or that of one of equal parts."""
    if len(set(steps)) <= POINTS_AT_MOST:
        return lambda step: step
    width = math.ceil(max(steps) / POINTS_AT_MOST)
    return lambda step: width * math.ceil(step / width)


def _figure(task: str, rows: list[dict[str, Any]], methods: Sequence[str]) -> Figure:
    table = Table(slug("learning", task), f"{task}, training loss", _COLUMNS, tuple(rows))
    lines = method_lines(methods, rows)
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
