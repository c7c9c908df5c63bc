"""The runs of a plan, made where they are missing and recorded one by one."""

import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from dither.bench.data.loading import TaskData
from dither.bench.decisions import UntilDecided
from dither.bench.effort import Effort
from dither.bench.executors import KEPT, Executor, RunError
from dither.bench.executors.group import follow, run_in_group
from dither.bench.executors.processes import run_in_processes
from dither.bench.group import Group
from dither.bench.plans.matching import Say, requests_told, resolve, tell_doses
from dither.bench.plans.plan import Plan
from dither.bench.runs.precision import check_precisions
from dither.bench.runs.request import RunRequest
from dither.bench.runs.shared_data import shared_data
from dither.bench.runs.training import require_tensorboard
from dither.bench.runs.trainings import together
from dither.results import Ledger, RunResult

Progress = Callable[[RunResult | None, int, int], None]
Visit = Callable[[Ledger], None]
Ends = Callable[[Ledger], bool]

logger = logging.getLogger("dither")


def make_runs(
    plan: Plan,
    out: str | Path,
    *,
    kind: str = "compare",
    jobs: int = 1,
    executor: Executor | None = None,
    margin: float | None = None,
    tensorboard: bool = False,
    progress: Progress = lambda result, done, total: None,
    visit: Visit = lambda ledger: None,
    pulses: str | None = None,
    command: str | None = None,
    say: Say = lambda text: None,
) -> Effort | None:
    """Make the runs of a plan that its output folder does not hold yet.

    A λ that is a word becomes a number before the first run (`dither.bench.plans.matching`). Each run is
    recorded when it is finished, so an interrupted comparison goes on where it was. Processes that were
    started together (`torchrun`, `accelerate launch`) make each run together, one after the other; the first
    of them alone keeps the ledger and calls `progress`. A plan with `max_seeds` ends once every primary test
    is decided, which is looked at when it is due; what runs then is given up.

    Args:
        plan: what to run.
        out: the output folder; of this experiment, or new.
        kind: of experiment that the folder is for.
        jobs: runs at a time, in processes of this machine.
        executor: makes the runs elsewhere; None for those processes.
        margin: of the equivalence test, in points; None for no such test. It belongs to the plan: a
            folder keeps the one that it was made with.
        tensorboard: write curves below `out/tensorboard`.
        progress: called with each result, the number of runs done and of all.
        visit: called with the open ledger, before the first run and after each that is recorded.
        pulses: folder in which runs of this machine tell how far they are; None where nobody asks.
        command: what was typed; recorded as a start where there are runs to make.
        say: called with a sentence before something else than runs takes its time.

    Returns:
        What the runs of this start took; None where nothing was to be made, where another executor made
        the runs, and in all but the first of processes that were started together.

    Raises:
        ValueError: `jobs` is below 1; or processes that were started together shall do it otherwise; or this
            machine does not compute in a run's precision.
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
        follow(requests_told(plan, group), group)
        return None
    if executor is None and not Ledger.exists(out):
        check_precisions(plan.precisions)  # before there is a folder that only such runs can go into
    with Ledger.create_or_resume(out, plan.experiment(kind, margin=margin)) as ledger:
        plan = resolve(plan, ledger, jobs=jobs, say=say)
        tell_doses(plan, group)
        requests = [replace(request, pulses=pulses) for request in plan.requests()]
        if tensorboard:
            requests = [_with_curves(request, Path(out)) for request in requests]
        ends: Ends = UntilDecided(requests) if plan.max_seeds is not None else lambda ledger: False
        there = {one.spec.id for one in requests} <= set(ledger.finished_ids())
        if command is not None and not there and not ends(ledger):
            ledger.record_start(command)
        options: dict[str, Any] = {"jobs": jobs, "executor": executor, "progress": progress, "visit": visit}
        options["ends"] = ends
        return record_runs(ledger, requests, data=plan.data, **options)


def record_runs(
    ledger: Ledger,
    requests: Sequence[RunRequest],
    *,
    data: Mapping[str, TaskData],
    jobs: int = 1,
    executor: Executor | None = None,
    progress: Progress = lambda result, done, total: None,
    visit: Visit = lambda ledger: None,
    ends: Ends = lambda ledger: False,
) -> Effort | None:
    """Make those of the runs that an open ledger does not hold, and record each when it is finished.

    Args:
        ledger: open for writing.
        requests: the runs, each alone; those that share a training are made together.
        data: of their tasks, by name.
        jobs: as in `make_runs`, like the others.
        executor: likewise.
        progress: likewise.
        visit: likewise.
        ends: called before the first run and after each that is recorded: whether no more are needed.

    Returns:
        As `make_runs`.

    Raises:
        LedgerError: a run is no part of the ledger's experiment, or cannot be written.
        ValueError: this machine does not compute in a run's precision.
        RunError: a run ended by an error.
    """
    clock, made, group = time.perf_counter(), list[RunResult](), Group.here()
    there = set(ledger.finished_ids())
    missing = [request for request in requests if request.spec.id not in there]
    done, trainings = len(requests) - len(missing), together(missing)
    if ended := ends(ledger):
        trainings = []
    if executor is None:
        check_precisions(request.recipe.precision for request in trainings)
    _tell_of_repeats(requests, trainings, there)
    visit(ledger)
    progress(None, done, len(requests))
    # Closing ends what runs, also when recording failed.
    with closing(_executed(trainings, data, group, jobs=jobs, executor=executor)) as results:
        for result in results:
            ledger.add(result)
            made.append(result.without_predictions())
            progress(result, done + len(made), len(requests))
            ended = ends(ledger)
            visit(ledger)
            if ended:
                break
    found = {result.id for result in made}
    if not ended and (lost := [request for request in missing if request.spec.id not in found]):
        raise RunError(f"{len(lost)} runs have no result, the first of them ({lost[0].spec}). {KEPT}")
    if executor or not made:
        return None
    lanes = min(jobs, len(trainings))
    return Effort.of(made, time.perf_counter() - clock, lanes=lanes, processes=max(lanes, group.size))


def _tell_of_repeats(
    requests: Sequence[RunRequest], trainings: Sequence[RunRequest], there: set[str]
) -> None:
    """Say where a training is made again, since not all runs that stand on it are recorded."""
    made = {request.training for request in requests if request.spec.id in there} - {""}
    again = [request for request in trainings if request.training in made]
    if again:
        tasks = dict.fromkeys(one.spec.task for request in again for one in request.runs)
        logger.warning(
            "%d training%s made once more, for %s: other tasks' runs that stand on the same trainings are "
            "recorded already, and no trained model is kept",
            len(again),
            " is" if len(again) == 1 else "s are",
            ", ".join(tasks),
        )


def _executed(
    trainings: Sequence[RunRequest],
    data: Mapping[str, TaskData],
    group: Group,
    *,
    jobs: int,
    executor: Executor | None,
) -> Generator[RunResult, None, None]:
    if group.size > 1:
        yield from run_in_group(trainings, group)
    elif executor:
        yield from executor(trainings)
    else:
        with shared_data(trainings, data) as requests:
            yield from run_in_processes(requests, jobs)


def _with_curves(request: RunRequest, out: Path) -> RunRequest:
    spec = request.spec
    return replace(
        request, tensorboard=str(out / "tensorboard" / spec.task / spec.method / f"seed-{spec.seed}")
    )
