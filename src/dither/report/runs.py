"""What the runs took, which of them failed, and every run in one table."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from dither.report.arms import runs_by_arm
from dither.report.content import Column, Figure, Section, Table
from dither.report.style import base, method_scale, shape_scale, spec
from dither.report.values import finite
from dither.results import RunResult, count_trainings
from dither.stats.formats import duration

_EFFORT = (
    Column("task", "task"),
    Column("method", "method"),
    Column("runs", "runs", "d"),
    Column("failed", "failed", "d"),
    Column("value", "mean", ".2f"),
    Column("low", "lowest", ".2f"),
    Column("high", "highest", ".2f"),
)
_FAILED = (
    Column("task", "task"),
    Column("method", "method"),
    Column("seed", "seed", "d"),
    Column("score", "score", ".2f"),
    Column("constant", "constant predictor", ".2f"),
    Column("failure", "why"),
)
_RUNS = (
    Column("task", "task"),
    Column("method", "method"),
    Column("seed", "seed", "d"),
    Column("status", "status"),
    Column("score", "score", ".2f"),
    Column("constant", "constant predictor", ".2f"),
    Column("seconds", "seconds", ".1f"),
    Column("step_seconds", "in steps", ".1f"),
    Column("memory", "memory, MiB", ".0f"),
    Column("started", "started (UTC)"),
    Column("id", "id"),
    Column("training", "training"),
)


def runs(
    results: Sequence[RunResult], tasks: Sequence[str], methods: Sequence[str], *, scores: bool = True
) -> Section:
    """Failed runs first, then times and memory, then every run.

    Args:
        results: of the runs.
        tasks: in their order.
        methods: in their order, as in every picture.
        scores: show them; not so while effects are hidden.
    """
    found = runs_by_arm(results)
    arms = {(task, method): found.get((task, method), []) for task in tasks for method in methods}
    seconds = {arm: [run.seconds for run in own] for arm, own in arms.items()}
    memory = {
        arm: [run.peak_memory_mb for run in own if run.peak_memory_mb is not None]
        for arm, own in arms.items()
    }
    figures = (
        _effort("run-time", "Time of a run", "seconds", arms, seconds),
        _effort("memory", "Peak memory of a run's process", "MiB", arms, memory),
    )
    failed = [result for result in results if result.status == "failed"]
    tables = [Table("runs", "Every run", _without(_RUNS, scores), tuple(_run(r) for r in results))]
    if failed:
        tables.insert(
            0, Table("failed-runs", "Failed runs", _without(_FAILED, scores), tuple(map(_failure, failed)))
        )
    return Section(
        id="runs",
        title="The runs",
        text=(_counted(results, failed, scores=scores),),
        figures=tuple(figure for figure in figures if figure is not None),
        tables=tuple(tables),
        notes=(
            "Memory is the highest of the process that made the run, with what earlier runs left in it.",
            "Tasks that are trained alike share a training: a run's time is its own evaluation's and its "
            "equal part of the training's, so that sums count a training once.",
        ),
    )


def _without(columns: tuple[Column, ...], scores: bool) -> tuple[Column, ...]:
    return (
        columns if scores else tuple(column for column in columns if column.name not in ("score", "failure"))
    )


def _counted(results: Sequence[RunResult], failed: Sequence[RunResult], *, scores: bool) -> str:
    total = math.fsum(result.seconds for result in results)
    steps = [(r.step_seconds, r.seconds) for r in results if r.step_seconds is not None]
    share = math.fsum(a for a, _ in steps) / (math.fsum(b for _, b in steps) or 1.0)
    diverged = sum("not finite" in (result.failure or "") for result in failed)
    trainings = count_trainings(results)
    shared = f" of {trainings} training{'s' * (trainings != 1)}" if trainings < len(results) else ""
    text = f"{len(results)} run{'s' * (len(results) != 1)}{shared} "
    text += f"took {duration(total)} in all, added up over runs"
    text += f"; {100 * share:.0f} % of it in training steps. " if steps else ". "
    if not failed:
        return text + "None failed."
    text += f"{len(failed)} failed ({diverged} of them with a loss or outputs that are not finite)"
    kept = ": their scores stay in the means, and a second table shows the comparison without them"
    return f"{text}{kept if scores else ''}."


def _effort(
    id: str,
    title: str,
    unit: str,
    arms: dict[tuple[str, str], list[RunResult]],
    values: dict[tuple[str, str], list[float]],
) -> Figure | None:
    rows: list[dict[str, Any]] = [
        {
            "task": task,
            "method": method,
            "runs": len(own),
            "failed": sum(run.status == "failed" for run in own),
            "value": math.fsum(values[task, method]) / len(values[task, method]),
            "low": min(values[task, method]),
            "high": max(values[task, method]),
        }
        for (task, method), own in arms.items()
        if values[task, method]
    ]
    if not rows:
        return None
    longest = max(rows, key=lambda row: row["value"])
    least = min(row["value"] for row in rows)
    words = (
        f"Means from {least:.1f} to {longest['value']:.1f} {unit}; the highest is that of "
        f"{longest['method']} on {longest['task']}."
    )
    table = Table(id, f"{title}, {unit}", _EFFORT, tuple(rows))
    return Figure(table, _effort_chart(list(arms), unit), words)


def _effort_chart(arms: Sequence[tuple[str, str]], unit: str) -> dict[str, Any]:
    """Means, each on the span of its runs."""
    tasks, methods = (list(dict.fromkeys(arm[at] for arm in arms)) for at in (0, 1))
    every = base().encode(
        y=alt.Y("task:N", sort=tasks, title=None),
        yOffset=alt.YOffset("method:N", sort=methods),
        color=alt.Color("method:N", scale=method_scale(methods), title=None),
    )
    span = every.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=unit), x2="high:Q")
    tips = [
        alt.Tooltip("task:N"),
        alt.Tooltip("method:N"),
        alt.Tooltip("value:Q", title=f"mean, {unit}", format=".1f"),
        alt.Tooltip("low:Q", title="lowest", format=".1f"),
        alt.Tooltip("high:Q", title="highest", format=".1f"),
        alt.Tooltip("runs:Q"),
    ]
    shape = alt.Shape("method:N", scale=shape_scale(methods), title=None)
    mean = every.mark_point(filled=True, size=60, opacity=1).encode(x="value:Q", shape=shape, tooltip=tips)
    return spec(alt.layer(span, mean), height=alt.Step(max(12, 32 // len(methods))))


def _failure(result: RunResult) -> dict[str, Any]:
    return {
        "task": result.spec.task,
        "method": result.spec.method,
        "seed": result.spec.seed,
        "score": finite(result.score),
        "constant": finite(result.constant_score),
        "failure": result.failure,
    }


def _run(result: RunResult) -> dict[str, Any]:
    return {
        **_failure(result),
        "status": result.status,
        "seconds": round(result.seconds, 3),
        "step_seconds": None if result.step_seconds is None else round(result.step_seconds, 3),
        "memory": finite(result.peak_memory_mb),
        "started": result.started,
        "id": result.id,
        "training": result.training and result.training["id"],
    }
