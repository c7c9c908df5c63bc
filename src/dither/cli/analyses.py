"""The tables of `dither sensitivity`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dither.cli.tables import new_table, open_console, print_json, run_row, standard
from dither.core.parameter_types import type_label
from dither.stats.formats import interval_text, number, signed

if TYPE_CHECKING:
    from rich.table import Table

    from dither.bench.sensitivity import Analyses

_ABREAST = 4  # methods in one table of norms, so that it fits 80 columns

_LEGEND = (
    "Means over the runs of a method. Change of weights: ‖W_end − W_0‖ / ‖W_0‖, W_0 before any noise; in "
    "parentheses ‖noise‖ / ‖W_0‖. Change of norms: | ‖W_end‖ − ‖W_0‖ | / ‖W_0‖. Sensitivity: mean of |w·g| "
    "over train batches, without dropout; small: share below a hundredth of the mean; zeros: share of exact "
    "zeros. More concentrated is a higher Gini, a higher share, a lower entropy. Correlation: Spearman's, of "
    "score and whole model, with Bonett and Wright's 95 % interval, which a perfect order lacks; 'all' ranks "
    "within each method and task, and its interval takes runs for independent. Many intervals are shown and "
    "none is adjusted for that."
)
_FEW = "A correlation needs 3 runs of a method and its interval 4; give more --seeds."


def print_analyses(analyses: "Analyses", *, as_json: bool) -> None:
    """Norms, concentrations and correlations, task by task.

    Args:
        analyses: what the runs tell.
        as_json: print standard JSON, with all that was measured of every run.
    """
    if as_json:
        print_json(standard(_everything(analyses)))
        return
    from dither.stats.rank_correlation import LEAST

    console = open_console()
    for table in _tables(analyses):
        console.print(table)
        console.print()
    if any(row["n"] < LEAST for row in analyses.correlations if row["method"] != "all"):
        console.print(_FEW, highlight=False)
    for text in analyses.warnings:
        console.print(text, highlight=False, markup=False)
    console.print(_LEGEND, style="dim", highlight=False)


def _everything(analyses: "Analyses") -> dict[str, Any]:
    from dither.core.histogram import EDGES

    return {
        "norms": analyses.norms,
        "concentrations": analyses.concentrations,
        "correlations": analyses.correlations,
        "warnings": analyses.warnings,
        "histogram_edges": EDGES.tolist(),
        "runs": [{**run_row(result), "measurements": result.measurements} for result in analyses.results],
    }


def _tables(analyses: "Analyses") -> "Iterator[Table]":
    tasks = list(dict.fromkeys(row["task"] for row in analyses.norms))
    for task in tasks:
        norms = [row for row in analyses.norms if row["task"] == task]
        methods = list(dict.fromkeys(row["method"] for row in norms))
        for at in range(0, len(methods), _ABREAST):
            shown = methods[at : at + _ABREAST]
            yield _norm_table(f"{task}: change of weights, % (noise)", norms, shown, _with_noise)
            yield _norm_table(f"{task}: change of norms, %", norms, shown, _norm)
        yield _concentration_table(task, [row for row in analyses.concentrations if row["task"] == task])
    yield _correlation_table(analyses.correlations)


def _norm_table(title: str, rows: Sequence[Mapping[str, Any]], methods: Sequence[str], cell: Any) -> "Table":
    table = new_table(title, ("type", *methods))
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        found.setdefault(_label(row), {})[row["method"]] = cell(row)
    for label, cells in found.items():
        table.add_row(label, *(cells.get(method, "–") for method in methods))
    return table


def _with_noise(row: Mapping[str, Any]) -> str:
    noise = row["relative_noise"]
    change = number(100 * row["relative_change"], ".2f")
    return f"{change} ({100 * noise:.2f})" if noise > 0 else change


def _norm(row: Mapping[str, Any]) -> str:
    return number(100 * row["relative_norm_change"], ".3f")


def _concentration_table(task: str, rows: Sequence[Mapping[str, Any]]) -> "Table":
    headings = ("type", "method", "mean |w·g|", "Gini", "small", "entropy", "zeros")
    table = new_table(f"{task}: sensitivity at the end", headings)
    kinds = list(dict.fromkeys(_label(row) for row in rows))
    shown = None
    for row in sorted(rows, key=lambda row: kinds.index(_label(row))):
        label, before = _label(row), shown
        shown = label
        table.add_row(
            "" if label == before else label,
            row["method"],
            number(row["mean"], ".2e"),
            number(row["gini"], ".3f"),
            number(row["share"], ".3f"),
            number(row["entropy"], ".3f"),
            number(row["zeros"], ".3f"),
        )
    return table


def _correlation_table(rows: Sequence[Mapping[str, Any]]) -> "Table":
    names = {"gini": "Gini", "share": "small", "entropy": "entropy"}
    headings = ("task", "method", "measure", "correlation", "interval", "n")
    table = new_table("Score and concentration over seeds: rank correlation", headings)
    for row in rows:
        numbers = (signed(row["correlation"]), interval_text(row["interval"]), str(row["n"]))
        table.add_row(row["task"], row["method"], names[row["measure"]], *numbers)
    return table


def _label(row: Mapping[str, Any]) -> str:
    return type_label(row["type"], row["shape"])
