"""What commands print: tables for people, JSON for programs."""

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from dither.bench.compare import Comparison
    from dither.bench.task import Task
    from dither.methods.registry import MethodInfo
    from dither.results import RunResult
    from dither.stats import MacroAverage
    from dither.stats import Table as Effects

_WIDE = 130  # columns of a terminal that has room for every number
_COLOURS = {"better": "green", "worse": "red"}


def print_comparison(comparison: "Comparison", *, as_json: bool) -> None:
    """The verdicts, first over all tasks, then task by task."""
    if as_json:
        print_json(
            {
                **comparison.analysis.to_json(),
                "looks": comparison.looks,
                "warnings": list(comparison.warnings),
                "runs": [_run_row(result) for result in comparison.results],
            }
        )
        return
    analysis = comparison.analysis
    console = _console()
    if len(analysis.tasks) > 1:
        console.print(_macro_table(analysis.all_runs.macros))
    narrow = console.width < _WIDE
    console.print(_task_table(analysis.all_runs, "Task by task", narrow))
    if any(result.status == "failed" for result in comparison.results):
        console.print(_task_table(analysis.without_failed, "Without failed runs", narrow))
    for text in (*analysis.notes, *comparison.warnings):
        console.print(f"• {text}", highlight=False, markup=False)
    console.print(
        f"Differences in points against plain fine-tuning, paired by seed; intervals "
        f"{100 * analysis.rule.confidence:g} %; p exact by sign flips, Holm-adjusted.",
        style="dim",
        highlight=False,
    )


def _macro_table(macros: "Sequence[MacroAverage]") -> "Table":
    table = _table("Over all tasks (primary)", ("method", "tasks", "difference", "interval", "p", "verdict"))
    for row in macros:
        if row.method == row.baseline:
            continue
        table.add_row(
            row.method,
            str(len(row.tasks)),
            _signed(row.difference),
            _interval(row.interval),
            _p(row.p_holm),
            _verdict(row.verdict),
        )
    return table


def _task_table(effects: "Effects", title: str, narrow: bool) -> "Table":
    """A row for each task and method; a narrow one leaves out what --json still has."""
    arms = () if narrow else ("pairs", "plain", "noisy")
    table = _table(title, ("task", "method", *arms, "difference", "interval", "p", "w/t/l", "verdict"))
    for row in effects.comparisons:
        if row.method == row.baseline:
            continue
        means = (
            str(row.pairs),
            _spread(row.baseline_mean, row.baseline_sd),
            _spread(row.method_mean, row.method_sd),
        )
        table.add_row(
            row.task,
            row.method,
            *(() if narrow else means),
            _signed(row.difference),
            _interval(row.interval),
            _p(row.p_holm),
            f"{row.wins}/{row.ties}/{row.losses}",
            _verdict(row.verdict),
        )
    return table


def print_run(result: "RunResult", out: str, *, as_json: bool) -> None:
    """One run: its scores, what was noised, where the model lies."""
    if as_json:
        print_json({**_run_row(result), "metrics": result.metrics, "record": result.record, "out": out})
        return
    from dither.record import Record

    console = _console()
    for family in result.record or {}:
        console.print(Record.from_json((result.record or {})[family]).summary(), highlight=False)
    for name, metrics in result.metrics.items():
        values = ", ".join(f"{metric} {100 * value:.2f}" for metric, value in metrics.items())
        console.print(f"{result.spec.task} {name}: {values}", highlight=False)
    console.print(
        f"score {result.score:.2f} points (constant predictor {result.constant_score:.2f}), "
        f"{result.seconds:.1f} s; model in {out}",
        highlight=False,
    )
    if result.failure:
        console.print(f"failed run: {result.failure}", style="red", highlight=False, markup=False)


def print_tasks(tasks: "Sequence[Task]", *, as_json: bool) -> None:
    """The tasks with their heads and metrics."""
    if as_json:
        print_json(
            [
                {"name": task.name, "summary": task.summary, "head": task.head, "metrics": list(task.metrics)}
                for task in tasks
            ]
        )
        return
    table = _table(None, ("task", "head", "score", "what"))
    for task in tasks:
        table.add_row(task.name, task.head, " + ".join(task.primary), task.summary)
    _console().print(table)


def print_methods(methods: "Sequence[MethodInfo]", *, verbose: bool, as_json: bool) -> None:
    """The methods with their sources and, if asked for, settings."""
    if as_json:
        print_json(
            [
                {
                    "name": row.name,
                    "summary": row.summary,
                    "paper": row.paper,
                    "url": row.url,
                    "settings": row.settings,
                }
                for row in methods
            ]
        )
        return
    table = _table(None, ("method", "what", "source"))
    for row in methods:
        table.add_row(row.name, row.summary, row.paper)
    console = _console()
    console.print(table)
    for row in methods if verbose else ():
        settings = {name: value for name, value in row.settings.items() if name != "seed"}
        for name, value in settings.items():
            fixed = "   (what the method is)" if name in row.preset else ""
            console.print(f"{row.name}.{name} = {json.dumps(value)}{fixed}", highlight=False, markup=False)


def print_json(values: Any) -> None:
    """Standard JSON: NaN and infinities never reach it."""
    print(json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False))


def _run_row(result: "RunResult") -> dict[str, Any]:
    return {
        "task": result.spec.task,
        "method": result.spec.method,
        "seed": result.spec.seed,
        "status": result.status,
        "failure": result.failure,
        "score": result.score,
        "constant_score": result.constant_score,
        "seconds": round(result.seconds, 3),
    }


def _console() -> Any:
    from rich.console import Console

    class Quitting(Console):
        """Leaves to the command what to do when nobody reads on; rich would end it with an error."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    console = Quitting()
    return console if console.is_terminal else Quitting(width=160)


def _table(title: str | None, headings: Sequence[str]) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    words = ("task", "method", "what", "source", "verdict", "head", "score")
    for heading in headings:
        # Words may go on in a new line, numbers are never cut.
        table.add_column(
            heading,
            justify="left" if heading in words else "right",
            no_wrap=heading not in words,
            overflow="fold",
            min_width=12 if heading == "verdict" else None,
        )
    return table


def _verdict(verdict: Any) -> str:
    colour = _COLOURS.get(verdict.kind)
    return f"[{colour}]{verdict.text}[/{colour}]" if colour else verdict.text


def _signed(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.2f}"


def _spread(mean: float, deviation: float) -> str:
    if math.isnan(mean):
        return "–"
    return f"{mean:.1f}" if math.isnan(deviation) else f"{mean:.1f} ±{deviation:.1f}"


def _interval(interval: tuple[float, float]) -> str:
    low, high = interval
    return "–" if math.isnan(low) else f"{low:+.2f} … {high:+.2f}"


def _p(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"
