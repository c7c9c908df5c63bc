"""The tables of a comparison: numbers in rows, verdicts in words, explanations once below."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dither.bench.controls import ALARMS
from dither.cli.curves import curve_table
from dither.cli.doses import dose_lines
from dither.cli.evaluations import evaluation_table
from dither.cli.numbers import WIDE, Reasons
from dither.cli.tables import new_table, open_console, print_json, run_row
from dither.results import dose_rows
from dither.stats.formats import interval_text, p_text, signed, spread

if TYPE_CHECKING:
    from rich.table import Table

    from dither.bench.compare import Comparison
    from dither.bench.effort import Effort
    from dither.bench.sweeps.curves import CurvePoint
    from dither.stats import Analysis, MacroAverage
    from dither.stats import Table as Effects


def print_comparison(
    comparison: "Comparison",
    primary: Mapping[str, Sequence[str]],
    effort: "Effort | None" = None,
    *,
    as_json: bool,
) -> None:
    """The verdicts, first over all tasks, then task by task, and every evaluation where a task has several.

    Args:
        comparison: what the runs tell.
        primary: task -> the metrics whose mean is its score.
        effort: what the runs of this start took; None where there were none.
        as_json: print standard JSON.
    """
    if as_json:
        print_json(comparison_json(comparison, effort))
        return
    analysis = comparison.analysis
    console, reasons = open_console(), Reasons()
    if points := variation_curve(comparison):
        title = f"By {', '.join(points[0].values)} (the primary answer)"
        console.print(curve_table(points, title, reasons, width=console.width, named=True))
        console.print()
    elif len(analysis.tasks) > 1:
        console.print(_macro_table(analysis.all_runs.macros, "Over all tasks (the primary answer)", reasons))
        console.print()
    console.print(_task_table(analysis.all_runs, "Task by task", reasons, console.width < WIDE))
    if (evaluations := evaluation_table(comparison.results, primary)) is not None:
        console.print()
        console.print(evaluations)
    print_rest(console, comparison, reasons, effort)


def print_rest(
    console: Any, comparison: "Comparison", reasons: Reasons, effort: "Effort | None" = None
) -> None:
    """What stands below the tables: the same without failed runs, reasons, notes, warnings, the legend."""
    analysis, narrow = comparison.analysis, console.width < WIDE
    if any(result.status == "failed" for result in comparison.results):
        console.print()
        if any(len(row.tasks) > 1 for row in analysis.without_failed.macros):
            title = "Over all tasks, without failed runs"
            console.print(_macro_table(analysis.without_failed.macros, title, reasons))
            console.print()
        console.print(_task_table(analysis.without_failed, "Without failed runs", reasons, narrow))
    console.print()
    known = [] if comparison.experiment is None else dose_lines(dose_rows(comparison.experiment))
    for text in (*reasons.listed(), *analysis.notes, *comparison.controls, *comparison.warnings, *known):
        style = "bold red" if text.startswith(ALARMS) else None
        console.print(text, style=style, highlight=False, markup=False)
    console.print(_legend(analysis, narrow), style="dim", highlight=False)
    if effort:
        console.print(str(effort), style="dim", highlight=False)


def comparison_json(comparison: "Comparison", effort: "Effort | None") -> dict[str, Any]:
    """A comparison as JSON values, with a curve where tasks have variations, and what this start took."""
    points = variation_curve(comparison)
    return {
        **comparison.analysis.to_json(),
        **({"curve": [point.to_json() for point in points]} if points else {}),
        "doses": [] if comparison.experiment is None else dose_rows(comparison.experiment),
        "looks": comparison.looks,
        "controls": list(comparison.controls),
        "warnings": list(comparison.warnings),
        "effort": asdict(effort) if effort else None,
        "runs": [{**run_row(result), "metrics": result.metrics} for result in comparison.results],
    }


def variation_curve(comparison: "Comparison") -> "tuple[CurvePoint, ...]":
    """The points of a comparison in which a task has several variations, such as less data; else none."""
    from dither.bench.sweeps.curves import curves, varied_settings

    if comparison.experiment is None:
        return ()
    settings = varied_settings(comparison.experiment.tasks)
    return curves(comparison.analysis, comparison.experiment, settings) if settings else ()


def _legend(analysis: "Analysis", narrow: bool) -> str:
    rule = analysis.rule
    text = (
        f"Points against plain fine-tuning, paired by seed; means ± standard deviations over seeds; "
        f"{100 * rule.confidence:.4g} % intervals; p by sign flips, Holm-adjusted"
    )
    text += "; narrow: --json has p and more." if narrow else "; w/t/l: wins, ties and losses."
    if rule.margin is not None:
        text += f" Margin of equivalence: {rule.margin:g} points."
    if rule.cost_of_looks:
        text += f" {rule.cost_of_looks}"
    return text


def _macro_table(macros: "Sequence[MacroAverage]", title: str, reasons: Reasons) -> "Table":
    headings = ("method", "tasks", "seeds", "difference", "interval", "p", "verdict")
    table = new_table(title, headings)
    for row in macros:
        if row.method != row.baseline:
            table.add_row(
                f"{row.method}, {row.group}" if row.group else row.method,
                str(len(row.tasks)),
                str(row.pairs),
                signed(row.difference),
                interval_text(row.interval),
                p_text(row.p_holm),
                reasons.cell(row.verdict),
            )
    return table


def _task_table(effects: "Effects", title: str, reasons: Reasons, narrow: bool) -> "Table":
    """A row for each task and method; a narrow one leaves out what --json still has."""
    tests = () if narrow else ("pairs", "p", "w/t/l")
    headings = ("task", "method", "plain", "its score", "difference", "interval", *tests, "verdict")
    table = new_table(title, headings)
    others = [row for row in effects.comparisons if row.method != row.baseline]
    for row in others or effects.comparisons:
        numbers = (str(row.pairs), p_text(row.p_holm), f"{row.wins}/{row.ties}/{row.losses}")
        table.add_row(
            row.task,
            row.method,
            spread(row.baseline_mean, row.baseline_sd),
            spread(row.method_mean, row.method_sd),
            signed(row.difference),
            interval_text(row.interval),
            *(() if narrow else numbers),
            reasons.cell(row.verdict) if others else "plain alone: nothing to compare",
        )
    return table
