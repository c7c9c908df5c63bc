"""The comparison: what the runs of a folder tell, and how often somebody looked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dither.bench.controls import determinism, is_repeat, other_seeds, retrained
from dither.bench.looks import BASELINE as BASELINE
from dither.bench.looks import (
    cells_of,
    due_looks,
    history,
    is_decided,
    is_new,
    present_look,
    verdict_to_come,
    whole_seeds,
)
from dither.bench.tasks.variations import by_variation
from dither.results import STATISTICS, Experiment, Ledger, LedgerBusyError, LedgerError, Look, RunResult
from dither.results.environments import differences
from dither.stats import Analysis, LookedAt, Score, analyse

SHOWN_FAILURES = 5


@dataclass(frozen=True)
class Comparison:
    """What a folder of runs tells.

    Attributes:
        analysis: the statistics and the verdicts.
        results: the runs that are looked at, without their predictions.
        looks: at how many different numbers of complete seeds results were looked at, this time included.
        warnings: what a reader must know, such as mixed versions.
        scores: of the runs, for other questions than the analysis answers (`against`).
        experiment: what was planned.
        complete: whether all planned runs are there, or, where runs end once everything is decided, it is.
        controls: what the controls of the measuring itself tell, where the folder has such arms.
        visible: whether effects may be seen: a look was due, or this is a peek.
    """

    analysis: Analysis
    results: tuple[RunResult, ...]
    looks: int
    warnings: tuple[str, ...]
    scores: tuple[Score, ...] = ()
    experiment: Experiment | None = None
    complete: bool = True
    controls: tuple[str, ...] = ()
    visible: bool = True


def look(out: str | Path, *, record: bool = True, peek: bool = False) -> Comparison:
    """Read the runs of a folder and analyse them.

    A look sees the seeds that have all their runs, from the first planned one on (`dither.bench.looks`).

    Args:
        out: the output folder.
        record: remember that somebody looked, where the folder can be written.
        peek: a plan that is not complete, but has a complete seed, is looked at, too. Without it such a look
            is neither counted nor remembered: it is for those who look at no effects.

    Raises:
        LedgerError: no ledger there, a damaged one, or one that is being written, where a peek cannot be
            recorded.
        ValueError: the folder has no plain runs to compare with.
    """
    with Ledger.read(out) as ledger:
        comparison, new = _seen(ledger, peek=peek)
    unrecorded = _record(out, new) if record and new else ()
    return replace(comparison, warnings=(*comparison.warnings, *unrecorded))


def peek_at(ledger: Ledger, *, due: bool = False) -> Comparison:
    """Analyse the runs so far of a ledger that is open for writing, and record that somebody looked.

    Args:
        ledger: open for writing.
        due: only the seeds of the last look that was due are looked at, which the plan has counted on.

    Raises:
        LedgerError: the look cannot be recorded; nothing is shown then.
        ValueError: the ledger has no plain runs to compare with.
    """
    comparison, new = _seen(ledger, peek=not due)
    if new:
        new.record(ledger)
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
    seeds, looks = comparison.analysis.planned_seeds, comparison.analysis.rule.looks
    return _analysis(scores, comparison.experiment, reference, names, seeds=seeds, looks=looks)


def _analysis(
    scores: Sequence[Score],
    experiment: Experiment,
    baseline: str,
    methods: Sequence[str],
    *,
    seeds: Sequence[int],
    looks: int | Sequence[LookedAt],
) -> Analysis:
    # What only repeats plain fine-tuning is checked, not tested: it takes no place in a family of tests.
    methods = [name for name in methods if not is_repeat(name)]
    return analyse(
        [score for score in scores if not is_repeat(score.method)],
        baseline=baseline,
        planned_seeds=seeds,
        planned_methods=methods,
        planned_tasks=list(experiment.tasks),
        margin=experiment.margin,
        looks=looks,
        groups=by_variation(experiment.tasks),
    )


@dataclass(frozen=True)
class _NewLook:
    """A look that is to be remembered: whether it is a peek, and what it sees."""

    peek: bool
    at: LookedAt

    def record(self, ledger: Ledger) -> None:
        """Remember it."""
        most = self.at.planned if self.at.until_resolved else None
        partial = self.at.seeds < self.at.planned
        ledger.record_look(peek=self.peek, complete=self.at.seeds if partial or most else None, most=most)


def _seen(ledger: Ledger, *, peek: bool) -> tuple[Comparison, _NewLook | None]:
    """What the runs of a ledger tell, and the look that this is, where it is a new one."""
    experiment = ledger.experiment
    results = experiment.in_order(ledger.results())
    if BASELINE not in experiment.methods:
        raise ValueError(
            f"the folder has no plain runs ({BASELINE!r}) to compare with; its methods are "
            f"{', '.join(experiment.methods)}"
        )
    before = history(ledger)
    now = present_look(experiment, whole_seeds(experiment, cells_of(results)), peek=peek)
    results, waiting = _of_look(results, experiment, now)
    examples = {row.spec.task: row.id for row in results}
    sizes = {task: _examples(ledger, run_id) for task, run_id in examples.items()}
    scores = tuple(_score(result, sizes[result.spec.task]) for result in results)
    last = now or verdict_to_come(experiment)
    looks = (*(one for one in before if one != last), last)
    seeds = experiment.seeds[: last.seeds]
    analysis = _analysis(scores, experiment, BASELINE, list(experiment.methods), seeds=seeds, looks=looks)
    same, other = determinism(results, BASELINE)
    notes = (*_older_rules(ledger.looks, analysis), *retrained(results), *differences(results))
    warnings = (*other, *notes, *failures(results), *waiting)
    controls = (*same, *other_seeds(analysis))
    complete = now is not None and (
        now.seeds == now.planned or (experiment.until_resolved and is_decided(analysis))
    )
    if complete and now is not None and now.seeds < now.planned:
        at = f"{now.seeds} of at most {now.planned} seeds"
        warnings = (f"ended at {at}: every primary test is decided", *warnings)
    count, visible = analysis.rule.count, now is not None
    comparison = Comparison(
        analysis, results, count, warnings, scores, experiment, complete, controls, visible
    )
    if now is None or not is_new(now, before):
        return comparison, None
    return comparison, _NewLook(now.seeds not in due_looks(experiment), now)


def _of_look(
    results: tuple[RunResult, ...], experiment: Experiment, now: LookedAt | None
) -> tuple[tuple[RunResult, ...], tuple[str, ...]]:
    """The runs of the seeds that are looked at, and a sentence on the others."""
    if now is None:
        return results, ()
    seeds = set(experiment.seeds[: now.seeds])
    seen = tuple(row for row in results if row.spec.seed in seeds)
    left = len(results) - len(seen)
    if not left:
        return seen, ()
    runs = "1 run of a later seed is" if left == 1 else f"{left} runs of later seeds are"
    first = "the first seed" if now.seeds == 1 else f"the first {now.seeds} seeds"
    return seen, (f"{runs} not shown: this look sees {first} of the plan, of which all runs are there",)


def _older_rules(looks: Sequence[Look], analysis: Analysis) -> tuple[str, ...]:
    """That verdicts were seen which the rules of today may not give; nothing where both give the same."""
    averaged = any(len(row.tasks) > 1 for row in analysis.all_runs.macros)
    faults = ["took the tasks of a seed for independent, which claims too much"] if averaged else []
    faults += ["tested equivalence by t alone"] if analysis.rule.margin else []
    if not faults or all(each.statistics >= STATISTICS for each in looks):
        return ()
    return (
        f"verdicts were read here by older rules: those {' and '.join(faults)}; everything is computed anew, "
        "so verdicts may differ from those that were read",
    )


def _record(out: str | Path, look: _NewLook) -> tuple[str, ...]:
    """Record a look; where that cannot be, say so. A peek at runs that are being made is not for free."""
    try:
        with Ledger.resume(out) as ledger:
            look.record(ledger)
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
