"""The analyses of a folder of measured runs: what moved, how sensitivity is spread, and whether that tells.

Nothing here is a verdict about a method; `dither.bench.compare` gives those.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dither.bench.compare import failures
from dither.bench.group import Group
from dither.bench.plans.plan import Plan
from dither.bench.recording import make_runs
from dither.results import Ledger, LedgerError, RunResult
from dither.stats import RankCorrelation, partial_spearman, spearman

KIND = "sensitivity"
WHOLE = "whole model"
NORMS = ("relative_change", "relative_norm_change", "relative_noise")
MEASURES = ("gini", "share", "entropy")
ALL = "all"
"""In place of a method or a task: the runs of all, ranked within each method and task."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Analyses:
    """What a folder of measured runs tells; every number of a row is a mean over its runs.

    Attributes:
        norms: a row for each task, type of parameter and method: `relative_change` ‖W_end − W_0‖ / ‖W_0‖,
            `relative_norm_change` | ‖W_end‖ − ‖W_0‖ | / ‖W_0‖, `relative_noise` ‖noise‖ / ‖W_0‖, `runs`.
        concentrations: likewise: `mean`, `gini`, `share`, `entropy` of |w·g|, the share of `zeros`, `runs`;
            the whole model comes first.
        correlations: a row for each task, method and measure of the whole model: its rank correlation with
            the score.
        results: the runs, without their predictions.
        warnings: what a reader must know, such as failed runs.
    """

    norms: tuple[Row, ...]
    concentrations: tuple[Row, ...]
    correlations: tuple[Row, ...]
    results: tuple[RunResult, ...]
    warnings: tuple[str, ...]


def make_measured_runs(plan: Plan, out: str | Path, *, batches: int, **options: Any) -> None:
    """Make the runs of a plan, each with measurements at its end.

    Args:
        plan: what to run.
        out: the output folder; of this experiment, or new.
        batches: of the recipe's size, from the beginning of the train split, on which |w·g| is averaged;
            at least 1. A split with fewer is taken whole.
        **options: of `dither.bench.recording.make_runs`.

    Raises:
        ValueError: `batches` is below 1, or the folder has runs that were measured over another number.
        LedgerError: the folder holds another experiment.
    """
    check_batches(batches)
    if Group.here().leads:
        _check_folder(out, batches)
    make_runs(replace(plan, batches=batches), out, kind=KIND, **options)


def check_batches(batches: int) -> None:
    """Refuse a number of batches on which nothing can be measured."""
    if batches < 1:
        raise ValueError(f"--batches is {batches}; it must be at least 1")


def _check_folder(out: str | Path, batches: int) -> None:
    try:
        with Ledger.read(out) as ledger:
            first = next(ledger.results(), None) if ledger.experiment.kind == KIND else None
    except LedgerError:
        return  # there is none yet, or what opens it for writing says what is wrong
    if first is not None and (before := _sensitivity(first)["asked"]) != batches:
        raise ValueError(
            f"--batches is {batches}, but the runs in {out} were measured over {before}; measure "
            "over as many, or choose another --out"
        )


def analyse_runs(out: str | Path) -> Analyses:
    """Read the measured runs of a folder and analyse them.

    Args:
        out: the output folder of `make_measured_runs`.

    Raises:
        LedgerError: no ledger there, or a damaged one.
        ValueError: its runs were not measured.
    """
    with Ledger.read(out) as ledger:
        kind, results = ledger.experiment.kind, ledger.experiment.in_order(ledger.results())
        mixed = tuple(ledger.mixed_versions())
    if kind != KIND:
        raise ValueError(
            f"{out} holds the runs of `dither {kind}`, which were not measured; `dither sensitivity` makes "
            "runs that are"
        )
    return analyses_of(results, mixed)


def analyses_of(results: Sequence[RunResult], warnings: Sequence[str] = ()) -> Analyses:
    """Analyse measured runs that have been read already.

    Args:
        results: the runs, each with its measurements.
        warnings: what is known of them; failures are added.
    """
    arms: dict[tuple[str, str], list[RunResult]] = {}
    for result in results:
        arms.setdefault((result.spec.task, result.spec.method), []).append(result)
    return Analyses(
        norms=tuple(_means(arms, lambda result: (result.measurements or {})["norms"], NORMS)),
        concentrations=tuple(_means(arms, _concentrations, ("mean", *MEASURES, "zeros"))),
        correlations=tuple(_correlations(arms)),
        results=tuple(results),
        warnings=(*warnings, *failures(results)),
    )


def _sensitivity(result: RunResult) -> Row:
    found: Row = (result.measurements or {})["sensitivity"]
    return found


def _concentrations(result: RunResult) -> list[Row]:
    """The rows of a run, with zeros as a share."""
    found = _sensitivity(result)
    rows = [{"type": WHOLE, "shape": ALL, **found["whole"]}, *found["types"]]
    return [{**row, "zeros": row["zeros"] / row["count"]} for row in rows]


def _means(
    arms: Mapping[tuple[str, str], Sequence[RunResult]],
    rows_of: Callable[[RunResult], Sequence[Row]],
    columns: Sequence[str],
) -> Iterator[Row]:
    """For each arm and each type of parameter, the means of some columns over the arm's runs."""
    for (task, method), results in arms.items():
        found: dict[tuple[str, str], list[Row]] = {}
        for result in results:
            for row in rows_of(result):
                found.setdefault((row["type"], row["shape"]), []).append(row)
        for (kind, shape), rows in found.items():
            means = {name: math.fsum(row[name] for row in rows) / len(rows) for name in columns}
            yield {"task": task, "type": kind, "shape": shape, "method": method, **means, "runs": len(rows)}


def _correlations(arms: Mapping[tuple[str, str], Sequence[RunResult]]) -> Iterator[Row]:
    tasks = list(dict.fromkeys(task for task, _ in arms))
    for task in tasks:
        own = {method: results for (name, method), results in arms.items() if name == task}
        for method, results in own.items():
            for measure in MEASURES:
                yield _row(task, method, measure, spearman(*_pairs(results, measure)))
        if len(own) > 1:
            for measure in MEASURES:
                pairs = [_pairs(results, measure) for results in own.values()]
                yield _row(task, ALL, measure, partial_spearman(pairs))
    if len(tasks) > 1:
        for measure in MEASURES:
            pairs = [_pairs(results, measure) for results in arms.values()]
            yield _row(ALL, ALL, measure, partial_spearman(pairs))


def _pairs(results: Sequence[RunResult], measure: str) -> tuple[list[float], list[float]]:
    """Scores, and what was measured of the whole model, run by run."""
    scores = [math.nan if result.score is None else result.score for result in results]
    return scores, [_sensitivity(result)["whole"][measure] for result in results]


def _row(task: str, method: str, measure: str, found: RankCorrelation) -> Row:
    numbers = {"correlation": found.value, "interval": list(found.interval), "n": found.n, "arms": found.arms}
    return {"task": task, "method": method, "measure": measure, **numbers}
