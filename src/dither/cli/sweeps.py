"""What a sweep tells: curves, which value is better, and how a search chose."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dither.cli.curves import curve_table, fold_headings
from dither.cli.numbers import Reasons
from dither.cli.tables import new_table, open_console, print_json
from dither.cli.verdicts import comparison_json, print_comparison, print_rest
from dither.stats.formats import interval_text, p_text, signed

if TYPE_CHECKING:
    from rich.table import Table

    from dither.bench.compare import Comparison
    from dither.bench.effort import Effort
    from dither.bench.sweeps.curves import CurvePoint
    from dither.bench.sweeps.grid import Grid
    from dither.bench.sweeps.trials import Selection

OPTIMISTIC = (
    "The best value of a grid was seen on the reported split, so its own interval is optimistic: for an "
    "unbiased figure use --search, or fresh seeds."
)


def print_grid(
    comparison: "Comparison",
    grid: "Grid",
    reference: str | None,
    *,
    effort: "Effort | None" = None,
    as_json: bool,
) -> None:
    """The curves against plain fine-tuning, then which value is better.

    Args:
        comparison: what the folder tells.
        grid: that was swept.
        reference: the arm that the others are compared with; None where there is no other.
        effort: what the runs of this start took; None where there were none.
        as_json: print standard JSON.
    """
    points = _curve(comparison, grid)
    others = _against(comparison, grid, reference)
    if as_json:
        found = comparison_json(comparison, effort)
        print_json(found | _grid_json(found, grid, reference, points, others))
        return
    console, reasons = open_console(), Reasons()
    settings = ", ".join(grid.settings)
    for title, rows in _by_tasks(points).items():
        console.print(
            curve_table(rows, f"{grid.method} by {settings}: {title}", reasons, width=console.width)
        )
        console.print()
    if reference is not None and others:
        console.print(
            _reference_table(others, f"Which value is better? Against {grid.label(reference)}", reasons)
        )
        console.print()
        for text in _sentences(others, grid, reference):
            console.print(text, highlight=False, markup=False)
    console.print(OPTIMISTIC, highlight=False)
    print_rest(console, comparison, reasons, effort)


def print_search(
    comparison: "Comparison",
    selection: "Selection",
    primary: Mapping[str, Sequence[str]],
    effort: "Effort | None" = None,
    *,
    as_json: bool,
) -> None:
    """The trials, how one was chosen, and what it is worth on fresh seeds.

    Args:
        comparison: of the choice with plain fine-tuning.
        selection: the trials.
        primary: as for `print_comparison`.
        effort: what the report's runs of this start took.
        as_json: print standard JSON.
    """
    if as_json:
        print_json({"search": selection.to_json(), **comparison_json(comparison, effort)})
        return
    console = open_console()
    console.print(_trial_table(selection))
    console.print()
    console.print(f"{selection.chosen.arm}: {selection.sentence}.", highlight=False, markup=False)
    console.print(
        "A trial's score is its mean over tasks and search seeds. Plain fine-tuning has no setting to choose "
        "here: it has the recipe that both share.",
        highlight=False,
    )
    console.print()
    print_comparison(comparison, primary, effort, as_json=False)


def _curve(comparison: "Comparison", grid: "Grid") -> "tuple[CurvePoint, ...]":
    """The points over the tasks of each variation, the primary answer, and those of single tasks."""
    from dither.bench.sweeps.curves import curves

    assert comparison.experiment is not None, "a comparison from `look` has its experiment"
    analysis, experiment = comparison.analysis, comparison.experiment
    settings = (*grid.settings, *_shares(experiment.tasks))
    whole = curves(analysis, experiment, settings, zero=grid.zero)
    single = curves(analysis, experiment, settings, zero=grid.zero, by_task=True)
    return tuple(point for point in whole if len(point.tasks) > 1) + single


def _shares(tasks: Mapping[str, Any]) -> tuple[str, ...]:
    """The share of train, where tasks differ in it."""
    from dither.bench.sweeps.curves import varied_settings

    return tuple(name for name in varied_settings(tasks) if name == "train_fraction")


def _by_tasks(points: "Sequence[CurvePoint]") -> "dict[str, list[CurvePoint]]":
    """The points of each table, by its title: those over several tasks first."""
    from dither.bench.tasks.variations import base_of

    tables: dict[str, list[CurvePoint]] = {}
    for point in points:
        over = f"over {len(point.tasks)} tasks (the primary answer)"
        tables.setdefault(over if len(point.tasks) > 1 else base_of(point.tasks[0]), []).append(point)
    return tables


def _against(comparison: "Comparison", grid: "Grid", reference: str | None) -> "tuple[CurvePoint, ...]":
    """Every other value beside the reference, by the same statistics."""
    from dither.bench.compare import BASELINE, against
    from dither.bench.sweeps.curves import curves

    if reference is None:
        return ()
    assert comparison.experiment is not None, "a comparison from `look` has its experiment"
    arms = (*((BASELINE,) if grid.zero else ()), *grid.arms)
    analysis = against(comparison, reference, arms)
    settings = (*grid.settings, *_shares(comparison.experiment.tasks))
    return curves(analysis, comparison.experiment, settings)


def _reference_table(points: "Sequence[CurvePoint]", title: str, reasons: Reasons) -> "Table":
    settings = list(points[0].values)
    several = len({point.tasks for point in points}) > 1
    headings = (*(("task",) if several else ()), *settings, "difference", "interval", "p", "verdict")
    table = new_table(title, headings)
    fold_headings(table, settings)
    for point in points:
        table.add_row(
            *((_where(point),) if several else ()),
            *("–" if value is None else str(value) for value in point.values.values()),
            *(signed(point.difference), interval_text(point.interval), p_text(point.p)),
            reasons.cell(point.verdict),
        )
    return table


def _where(point: "CurvePoint") -> str:
    return point.tasks[0] if len(point.tasks) == 1 else f"{len(point.tasks)} tasks"


def _sentences(points: "Sequence[CurvePoint]", grid: "Grid", reference: str) -> list[str]:
    """For each group of tasks, the value that looks best, beside the reference."""
    groups: dict[tuple[str, ...], list[CurvePoint]] = {}
    for point in points:
        if point.difference == point.difference:  # not NaN
            groups.setdefault(point.tasks, []).append(point)
    several, base, sentences = len(groups) > 1, grid.label(reference), []
    for rows in groups.values():
        best = max(rows, key=lambda point: point.difference)
        value, (low, high) = grid.label(best.arm), best.interval
        seen = f"{value} looks best" if best.difference > 0 else f"{base}, the reference, looks best"
        sentences.append(
            f"{_where(best) + ': ' if several else ''}{seen}. {value} against {base}: {best.difference:+.2f} "
            f"[{low:+.2f}, {high:+.2f}]: {best.verdict.text}."
        )
    return sentences


def _grid_json(
    found: "Mapping[str, Any]",
    grid: "Grid",
    reference: str | None,
    points: "Sequence[CurvePoint]",
    others: "Sequence[CurvePoint]",
) -> dict[str, Any]:
    """What a grid adds to the JSON of its comparison."""
    return {
        "sweep": {
            "method": grid.method,
            "parameters": [one.text for one in grid.parameters],
            "curve": [point.to_json() for point in points],
            "reference": reference,
            "against_reference": [point.to_json() for point in others],
            "sentences": _sentences(others, grid, reference) if reference is not None else [],
        },
        "warnings": [OPTIMISTIC, *found["warnings"]],
    }


def _trial_table(selection: "Selection") -> "Table":
    """A row for each trial; one that was pruned has no score, since it was not tested to the end."""
    settings = [text.partition("=")[0] for text in selection.space]
    table = new_table("The search", ("trial", *settings, "score", "what"))
    for trial in selection.trials:
        state = f"pruned after {trial.seeds} of {len(selection.seeds)} seeds"
        if trial.score is not None:
            state = "chosen" if trial.number == selection.chosen.number else ""
        failed = f"{trial.failed_runs} failed runs" if trial.failed_runs else ""
        table.add_row(
            str(trial.number),
            *(str(trial.settings[name]) for name in settings),
            "–" if trial.score is None else f"{trial.score:.2f}",
            "; ".join(text for text in (state, failed) if text),
        )
    return table
