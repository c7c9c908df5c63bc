"""The comparison: make the runs that are missing, and say what they tell."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from dither.bench.effort import Effort
from dither.bench.executors import Executor
from dither.bench.executors.group import follow, run_in_group
from dither.bench.executors.processes import run_in_processes
from dither.bench.group import Group
from dither.bench.plan import Plan
from dither.bench.request import RunRequest
from dither.bench.shared_data import shared_data
from dither.bench.training import require_tensorboard
from dither.results import Ledger, LedgerError, RunResult
from dither.stats import Analysis, Score, analyse

BASELINE = "none"
SHOWN_FAILURES = 5

Progress = Callable[[RunResult | None, int, int], None]


@dataclass(frozen=True)
class Comparison:
    """What a folder of runs tells.

    Attributes:
        analysis: the statistics and the verdicts.
        results: the runs, without their predictions.
        looks: how often results were looked at under different plans, this time included.
        warnings: what a reader must know, such as mixed versions.
    """

    analysis: Analysis
    results: tuple[RunResult, ...]
    looks: int
    warnings: tuple[str, ...]


def make_runs(
    plan: Plan,
    out: str | Path,
    *,
    jobs: int = 1,
    executor: Executor | None = None,
    margin: float | None = None,
    kind: str = "compare",
    tensorboard: bool = False,
    progress: Progress = lambda result, done, total: None,
) -> Effort | None:
    """Make the runs of a plan that its output folder does not hold yet.

    Each is recorded when it is finished, so an interrupted comparison goes on where it was. Processes that
    were started together (`torchrun`, `accelerate launch`) make each run together, one after the other; the
    first of them alone keeps the ledger and calls `progress`.

    Args:
        plan: what to run.
        out: the output folder; of this experiment, or new.
        jobs: runs at a time, in processes of this machine.
        executor: makes the runs elsewhere; None for those processes.
        margin: of the equivalence test, in points; None for no such test. It belongs to the plan: a
            folder keeps the one that it was made with.
        kind: of the experiment that the folder is for.
        tensorboard: write curves below `out/tensorboard`.
        progress: called with each result, the number of runs done and of all.

    Returns:
        What the runs of this start took; None where nothing was to be made, where another executor made
        the runs, and in all but the first of processes that were started together.

    Raises:
        ValueError: `jobs` is below 1; or processes that were started together shall do it otherwise.
        ImportError: TensorBoard is not installed.
        LedgerError: the folder holds another experiment, has a writer, or cannot be written.
        RunError: a run ended by an error.
    """
    if jobs < 1:
        raise ValueError(f"--jobs is {jobs}; it must be at least 1")
    group = Group.here()
    if group.size > 1 and (jobs > 1 or executor):
        given = f"--jobs is {jobs}" if jobs > 1 else "another executor was given"
        raise ValueError(
            f"{given}, but {group.size} processes were started together and make one run at a time; leave "
            "that out, or start one process"
        )
    if tensorboard:
        require_tensorboard()
    if not group.leads:
        follow(plan.requests(), group)
        return None
    clock, made = time.perf_counter(), list[RunResult]()
    with Ledger.create_or_resume(out, plan.experiment(kind, margin=margin)) as ledger:
        requests = list(plan.requests())
        there = set(ledger.finished_ids())
        missing = [request for request in requests if request.spec.id not in there]
        if tensorboard:
            missing = [_with_curves(request, Path(out)) for request in missing]
        done = len(requests) - len(missing)
        progress(None, done, len(requests))
        # Closing ends what runs, also when recording failed.
        with closing(_executed(missing, plan, group, jobs=jobs, executor=executor)) as results:
            for result in results:
                ledger.add(result)
                made.append(result.without_predictions())
                progress(result, done + len(made), len(requests))
    if executor or not made:
        return None
    lanes = min(jobs, len(made))
    return Effort.of(made, time.perf_counter() - clock, lanes=lanes, processes=max(lanes, group.size))


def _executed(
    missing: Sequence[RunRequest], plan: Plan, group: Group, *, jobs: int, executor: Executor | None
) -> Generator[RunResult, None, None]:
    if group.size > 1:
        yield from run_in_group(missing, group)
    elif executor:
        yield from executor(missing)
    else:
        with shared_data(missing, plan.data) as requests:
            yield from run_in_processes(requests, jobs)


def _with_curves(request: RunRequest, out: Path) -> RunRequest:
    spec = request.spec
    return replace(
        request, tensorboard=str(out / "tensorboard" / spec.task / spec.method / f"seed-{spec.seed}")
    )


def look(out: str | Path, *, record: bool = True) -> Comparison:
    """Read the runs of a folder and analyse them.

    Args:
        out: the output folder.
        record: remember that somebody looked, where the folder can be written and the plan is complete.

    Raises:
        LedgerError: no ledger there, or a damaged one.
        ValueError: the folder has no plain runs to compare with.
    """
    with Ledger.read(out) as ledger:
        experiment, results = ledger.experiment, tuple(ledger.results())
        planned = {seen.planned for seen in ledger.looks} | {len(experiment.seeds)}
        mixed = tuple(ledger.mixed_versions())
        examples = {row.spec.task: row.id for row in results}
        sizes = {task: _examples(ledger, run_id) for task, run_id in examples.items()}
    analysis = analyse(
        [_score(result, sizes[result.spec.task]) for result in results],
        baseline=BASELINE,
        planned_seeds=experiment.seeds,
        planned_methods=list(experiment.methods),
        planned_tasks=list(experiment.tasks),
        margin=experiment.margin,
        looks=len(planned),
    )
    complete = len(results) == len(experiment.tasks) * len(experiment.methods) * len(experiment.seeds)
    unrecorded = _record_look(out) if record and complete else ()
    return Comparison(analysis, results, len(planned), (*mixed, *failures(results), *unrecorded))


def _record_look(out: str | Path) -> tuple[str, ...]:
    """Record the first look under a plan; where that cannot be, say so."""
    with Ledger.read(out) as ledger:
        if len(ledger.experiment.seeds) in {seen.planned for seen in ledger.looks}:
            return ()
    try:
        with Ledger.resume(out) as ledger:
            ledger.record_look()
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
        *([f"{more} more failed runs; --json lists them all"] if more > 0 else []),
    )
