"""The table of single evaluations: every language of a task, whose mean is the score."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dither.cli.tables import new_table

if TYPE_CHECKING:
    from rich.table import Table

    from dither.results import RunResult


def evaluation_table(results: "Sequence[RunResult]", primary: Mapping[str, Sequence[str]]) -> "Table | None":
    """A row for each evaluation of the tasks that have several, a column for each method; None without such.

    Args:
        results: of a comparison, failed runs included, as in the scores.
        primary: task -> the metrics whose mean is its score.
    """
    methods = list(dict.fromkeys(result.spec.method for result in results))
    points: dict[tuple[str, str], dict[str, list[float]]] = {}
    for result in results:
        names = primary.get(result.spec.task, ())
        for evaluation, metrics in result.metrics.items() if names and len(result.metrics) > 1 else ():
            row = points.setdefault((result.spec.task, evaluation), {method: [] for method in methods})
            row[result.spec.method].append(100 * math.fsum(metrics[name] for name in names) / len(names))
    if not points:
        return None
    table = new_table("Evaluation by evaluation (their mean is the score)", ("task", "evaluation", *methods))
    for column in table.columns[2:]:
        column.no_wrap = False  # a long name of a method goes on in a second line; its numbers are short
    for (task, evaluation), row in sorted(points.items(), key=lambda item: item[0][0]):
        means = [f"{statistics.fmean(values):.1f}" if values else "–" for values in row.values()]
        table.add_row(task, evaluation, *means)
    return table
