"""What commands print: tables for people, JSON for programs."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from dither.bench.tasks.task import Task
    from dither.methods.registry import MethodInfo
    from dither.results import RunResult


def print_run(result: "RunResult", out: str, *, as_json: bool) -> None:
    """One run: its scores, what was noised, where the model lies."""
    if as_json:
        print_json({**run_row(result), "metrics": result.metrics, "record": result.record, "out": out})
        return
    from dither.record import Record

    console = open_console()
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
    table = new_table(None, ("task", "head", "score", "what"))
    table.columns[0].no_wrap = True  # it is there to be copied
    for task in tasks:
        table.add_row(task.name, task.head, " + ".join(task.primary), task.summary)
    open_console().print(table)


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
                    "multilingual": row.multilingual,
                    "compared": row.compared,
                }
                for row in methods
            ]
        )
        return
    from dither.bench.tasks.recipe import Recipe

    table = new_table(None, ("method", "what", "source"))
    for row in methods:
        table.add_row(row.name, row.summary, row.paper)
    console = open_console()
    console.print(table)
    if not verbose:
        return
    for row in methods:
        fixed = ", ".join(f"{name} = {json.dumps(value)}" for name, value in row.preset.items())
        if fixed:
            console.print(f"\n{row.name} is its method with {fixed}", highlight=False)
        elif len(row.settings) > 1:
            console.print(f"\n{row.name}, settings and defaults:", highlight=False)
            for name, value in row.settings.items():
                if name != "seed":
                    console.print(f"  {row.name}.{name} = {json.dumps(value)}", highlight=False)
        spoken = {name: value for name, value in row.multilingual.items() if name not in row.compared}
        for where, other in (
            ("in comparisons (see `dither dose`)", row.compared),
            ("on tasks of several languages", spoken),
        ):
            if other:
                words = ", ".join(f"{name} = {json.dumps(value)}" for name, value in other.items())
                console.print(f"  {where}: {words}", highlight=False)
    console.print("\ntraining, changed for all arms alike:")
    for field in fields(Recipe):
        choices = "; one of " + ", ".join(field.metadata["choices"]) if "choices" in field.metadata else ""
        console.print(f"  train.{field.name}: {field.metadata['help']}{choices}", highlight=False)


def print_json(values: Any) -> None:
    """Standard JSON: NaN and infinities never reach it, and characters that cannot be written are escaped."""
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(values, indent=2, allow_nan=False, ensure_ascii=ascii_only))


def standard(value: Any) -> Any:
    """A value for `print_json`, with None for NaN and infinities, which JSON does not have.

    Example:
        >>> standard({"interval": (float("nan"), 1.0)})
        {'interval': [None, 1.0]}
    """
    if isinstance(value, Mapping):
        return {key: standard(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [standard(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def run_row(result: "RunResult") -> dict[str, Any]:
    """One run as JSON values, without what fills pages."""
    return {
        "task": result.spec.task,
        "method": result.spec.method,
        "seed": result.spec.seed,
        **({} if result.spec.training_seed is None else {"training_seed": result.spec.training_seed}),
        "status": result.status,
        "failure": result.failure,
        "score": result.score,
        "constant_score": result.constant_score,
        "seconds": round(result.seconds, 3),
        "step_seconds": None if result.step_seconds is None else round(result.step_seconds, 3),
        "training": None if result.training is None else result.training["id"],
    }


def open_console() -> Any:
    """Standard output as rich sees it: as wide as the terminal, 160 columns where there is none."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=160)


def new_table(title: str | None, headings: Sequence[str]) -> "Table":
    """An empty table; columns of numbers are flush right."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    words = {"task", "method", "what", "source", "verdict", "head", "score", "evaluation"}
    words |= {"type", "measure", "experiment", "about"}
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
