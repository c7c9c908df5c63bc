"""The tables of a comparison: numbers in rows, verdicts in words, explanations once below."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dither.cli.evaluations import evaluation_table
from dither.cli.tables import new_table, open_console, print_json, run_row

if TYPE_CHECKING:
    from rich.table import Table

    from dither.bench.compare import Comparison
    from dither.bench.effort import Effort
    from dither.stats import Analysis, MacroAverage, Verdict
    from dither.stats import Table as Effects

_WIDE = 120  # columns of a terminal that has room for every number
_LONG = 48  # characters of a verdict that stands in a row; a longer one is explained below
_COLOURS = {"better": "green", "worse": "red"}


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
    analysis = comparison.analysis
    if as_json:
        print_json(comparison_json(comparison, effort))
        return
    console, reasons = open_console(), Reasons()
    if len(analysis.tasks) > 1:
        console.print(_macro_table(analysis.all_runs.macros, reasons))
        console.print()
    narrow = console.width < _WIDE
    console.print(_task_table(analysis.all_runs, "Task by task", reasons, narrow))
    if (evaluations := evaluation_table(comparison.results, primary)) is not None:
        console.print()
        console.print(evaluations)
    if any(result.status == "failed" for result in comparison.results):
        console.print()
        console.print(_task_table(analysis.without_failed, "Without failed runs", reasons, narrow))
    console.print()
    for text in (*reasons.listed(), *analysis.notes, *comparison.warnings):
        console.print(text, highlight=False, markup=False)
    console.print(_legend(analysis, narrow), style="dim", highlight=False)
    if effort:
        console.print(str(effort), style="dim", highlight=False)


def comparison_json(comparison: "Comparison", effort: "Effort | None") -> dict[str, Any]:
    """The analysis, every run, and what those of this start took, as JSON values."""
    return {
        **comparison.analysis.to_json(),
        "looks": comparison.looks,
        "warnings": list(comparison.warnings),
        "effort": asdict(effort) if effort else None,
        "runs": [{**run_row(result), "metrics": result.metrics} for result in comparison.results],
    }


class Reasons:
    """The long explanations of verdicts, numbered, each once."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def cell(self, verdict: "Verdict") -> str:
        """A verdict for a row: whole where it is short, else its head and the number of its reason."""
        text = verdict.text.partition("; looked ")[0]
        colour = _COLOURS.get(verdict.kind)
        if len(text) > _LONG:
            head, _, reason = text.partition(": " if ": " in text else "; ")
            if reason not in self._texts:
                self._texts.append(reason)
            text = f"{head} ({self._texts.index(reason) + 1})"
        return f"[{colour}]{text}[/{colour}]" if colour else text

    def listed(self) -> list[str]:
        """The explanations, to stand below the tables."""
        return [f"({number}) {text}" for number, text in enumerate(self._texts, start=1)]


def _legend(analysis: "Analysis", narrow: bool) -> str:
    rule = analysis.rule
    text = (
        f"Points against plain fine-tuning, paired by seed; means ± standard deviations over seeds; "
        f"{100 * rule.confidence:g} % intervals; p by sign flips, Holm-adjusted"
    )
    text += "; narrow: --json has p and more." if narrow else "; w/t/l: wins, ties and losses."
    if rule.margin is not None:
        text += f" Margin of equivalence: {rule.margin:g} points."
    if rule.looks > 1:
        text += (
            f" You looked {rule.looks} times at this comparison, so this time a difference counts below "
            f"p = {rule.level:g}; the chance of any false alarm over all looks is below {rule.overall:.3g}."
        )
    return text


def _macro_table(macros: "Sequence[MacroAverage]", reasons: Reasons) -> "Table":
    headings = ("method", "tasks", "difference", "interval", "p", "verdict")
    table = new_table("Over all tasks (the primary answer)", headings)
    for row in macros:
        if row.method != row.baseline:
            table.add_row(
                row.method,
                str(len(row.tasks)),
                _signed(row.difference),
                _interval(row.interval),
                _p(row.p_holm),
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
        numbers = (str(row.pairs), _p(row.p_holm), f"{row.wins}/{row.ties}/{row.losses}")
        table.add_row(
            row.task,
            row.method,
            _spread(row.baseline_mean, row.baseline_sd),
            _spread(row.method_mean, row.method_sd),
            _signed(row.difference),
            _interval(row.interval),
            *(() if narrow else numbers),
            reasons.cell(row.verdict) if others else "plain alone: nothing to compare",
        )
    return table


def _signed(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.2f}"


def _interval(interval: tuple[float, float]) -> str:
    low, high = interval
    return "–" if math.isnan(low) else f"{low:+.2f} … {high:+.2f}"


def _spread(mean: float, deviation: float) -> str:
    if math.isnan(mean):
        return "–"
    return f"{mean:.1f}" if math.isnan(deviation) else f"{mean:.1f} ±{deviation:.1f}"


def _p(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"
