"""The comparison: what the runs of a folder tell, and how often somebody looked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dither.bench.controls import determinism, is_repeat, other_seeds, retrained
from dither.bench.tasks.variations import by_variation
from dither.results import Experiment, Ledger, LedgerBusyError, LedgerError, Look, RunResult, count_looks
from dither.results.environments import differences
from dither.stats import Analysis, Score, analyse

BASELINE = "none"
SHOWN_FAILURES = 5


@dataclass(frozen=True)
class Comparison:
    """What a folder of runs tells.

    Attributes:
        analysis: the statistics and the verdicts.
        results: the runs, without their predictions.
        looks: how often results were looked at, this time included: one for each number of planned seeds,
            and one for each state that was peeked at before its plan was complete.
        warnings: what a reader must know, such as mixed versions.
        scores: of the runs, for other questions than the analysis answers (`against`).
        experiment: what was planned.
        complete: whether all planned runs are there.
        controls: what the controls of the measuring itself tell, where the folder has such arms.
    """

    analysis: Analysis
    results: tuple[RunResult, ...]
    looks: int
    warnings: tuple[str, ...]
    scores: tuple[Score, ...] = ()
    experiment: Experiment | None = None
    complete: bool = True
    controls: tuple[str, ...] = ()


def look(out: str | Path, *, record: bool = True, peek: bool = False) -> Comparison:
    """Read the runs of a folder and analyse them.

    Args:
        out: the output folder.
        record: remember that somebody looked, where the folder can be written.
        peek: a plan that is not complete, but has a pair, is looked at, too. Without it such a look is
            neither counted nor remembered: it is for those who look at no effects.

    Raises:
        LedgerError: no ledger there, a damaged one, or one that is being written, where a peek cannot be
            recorded.
        ValueError: the folder has no plain runs to compare with.
    """
    with Ledger.read(out) as ledger:
        comparison, new = _seen(ledger, peek=peek)
    unrecorded = _record(out, new) if record and new else ()
    return replace(comparison, warnings=(*comparison.warnings, *unrecorded))


def peek_at(ledger: Ledger) -> Comparison:
    """Analyse the runs so far of a ledger that is open for writing, and record that somebody looked.

    Raises:
        LedgerError: the look cannot be recorded; nothing is shown then.
        ValueError: the ledger has no plain runs to compare with.
    """
    comparison, new = _seen(ledger, peek=True)
    if new:
        ledger.record_look(peek=new.peek)
    return comparison


def against(comparison: Comparison, reference: str, arms: Sequence[str]) -> Analysis:
    """The same runs with another arm as what the others are compared with.

    Args:
        comparison: what a folder tells, from `look`.
        reference: the arm that takes the place of plain fine-tuning.
        arms: the arms to compare with it; the family of tests.

    Raises:
        ValueError: an arm that the folder has not.
    """
    assert comparison.experiment is not None, "a comparison from `look` has its experiment"
    names = [reference, *(arm for arm in arms if arm != reference)]
    scores = [score for score in comparison.scores if score.method in names]
    return _analysis(scores, comparison.experiment, reference, names, looks=comparison.looks)


def _analysis(
    scores: Sequence[Score], experiment: Experiment, baseline: str, methods: Sequence[str], *, looks: int
) -> Analysis:
    # What only repeats plain fine-tuning is checked, not tested: it takes no place in a family of tests.
    methods = [name for name in methods if not is_repeat(name)]
    return analyse(
        [score for score in scores if not is_repeat(score.method)],
        baseline=baseline,
        planned_seeds=experiment.seeds,
        planned_methods=methods,
        planned_tasks=list(experiment.tasks),
        margin=experiment.margin,
        looks=looks,
        groups=by_variation(experiment.tasks),
    )


def _seen(ledger: Ledger, *, peek: bool) -> tuple[Comparison, Look | None]:
    """What the runs of a ledger tell, and the look that this is, where it is a new one."""
    experiment, results = ledger.experiment, tuple(ledger.results())
    if BASELINE not in experiment.methods:
        raise ValueError(
            f"the folder has no plain runs ({BASELINE!r}) to compare with; its methods are "
            f"{', '.join(experiment.methods)}"
        )
    examples = {row.spec.task: row.id for row in results}
    sizes = {task: _examples(ledger, run_id) for task, run_id in examples.items()}
    scores = tuple(_score(result, sizes[result.spec.task]) for result in results)
    complete = len(results) == len(experiment.tasks) * len(experiment.methods) * len(experiment.seeds)
    peeks = peek and not complete and _has_pair(results)
    this = Look("", len(experiment.seeds), len(results), peek=peeks)
    before, looks = count_looks(ledger.looks), count_looks([*ledger.looks, this])
    analysis = _analysis(scores, experiment, BASELINE, list(experiment.methods), looks=looks)
    same, other = determinism(results, BASELINE)
    warnings = (*other, *retrained(results), *differences(results), *failures(results))
    controls = (*same, *other_seeds(analysis))
    comparison = Comparison(analysis, results, looks, warnings, scores, experiment, complete, controls)
    return comparison, this if (complete or peeks) and looks > before else None


def _has_pair(results: Sequence[RunResult]) -> bool:
    plain = {(row.spec.task, row.spec.seed) for row in results if row.spec.method == BASELINE}
    return any((row.spec.task, row.spec.seed) in plain for row in results if row.spec.method != BASELINE)


def _record(out: str | Path, look: Look) -> tuple[str, ...]:
    """Record a look; where that cannot be, say so. A peek at runs that are being made is not for free."""
    try:
        with Ledger.resume(out) as ledger:
            ledger.record_look(peek=look.peek)
    except LedgerBusyError as error:
        if look.peek:
            raise LedgerBusyError(
                f"{out} is being written, so a peek cannot be recorded, and nothing is shown without: wait "
                "for the runs or stop them, or start them with --watch --peek"
            ) from error
        return (f"this look is not recorded: {out} is being written",)
    except LedgerError as error:
        return (f"this look is not recorded: {error}",)
    return ()


def _examples(ledger: Ledger, run_id: str) -> int:
    """How many evaluation examples a run's score stands on."""
    return sum(len(rows) for rows in ledger.predictions(run_id).values())


def _score(result: RunResult, examples: int) -> Score:
    return Score(
        method=result.spec.method,
        task=result.spec.task,
        seed=result.spec.seed,
        score=float("nan") if result.score is None else result.score,
        failed=result.status == "failed",
        n_examples=examples,
    )


def failures(results: Sequence[RunResult]) -> tuple[str, ...]:
    """A sentence for each of the first failed runs, and how many more there are."""
    failed = [f"failed run: {row.spec}: {row.failure}" for row in results if row.status == "failed"]
    more = len(failed) - SHOWN_FAILURES
    return (
        *failed[:SHOWN_FAILURES],
        *([f"{more} more failed run{'s' * (more != 1)}"] if more > 0 else []),
    )
