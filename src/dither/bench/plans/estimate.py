"""How long the runs of a plan will take on this machine, from a few timed steps of them."""

import heapq
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dither.bench.executors.devices import visible_gpus
from dither.bench.executors.processes import in_processes
from dither.bench.group import Group
from dither.bench.plans.plan import Plan
from dither.bench.plans.reckoning import Key, Reckoning, steps_of
from dither.bench.plans.samples import Sample
from dither.bench.plans.timing import LONGEST, Timing, time_for_sending
from dither.bench.runs.precision import check_precisions
from dither.bench.runs.request import RunRequest
from dither.bench.runs.trainings import together

Progress = Callable[[Timing | None, int, int], None]
BUDGET = 45.0
"""Seconds after which no further beginning of a run is made."""
_SHORTEST = 0.5  # seconds of steps in each


@dataclass(frozen=True)
class TaskEstimate:
    """One task of a plan.

    Attributes:
        task: its name.
        rows: that train.
        steps: of the optimizer, in each run.
        evaluated: inputs that each run is evaluated on.
        seconds: arm -> of one run with a training of its own.
        step_seconds: arm -> of one step.
        processor_seconds: arm -> of one run, in seconds of the processor.
    """

    task: str
    rows: int
    steps: int
    evaluated: int
    seconds: Mapping[str, float]
    step_seconds: Mapping[str, float]
    processor_seconds: Mapping[str, float]


@dataclass(frozen=True)
class Estimate:
    """The time that a plan takes on this machine.

    Attributes:
        tasks: in the plan's order.
        planned: runs of the plan.
        trainings: that they stand on: fewer where tasks are trained alike.
        recorded: of the runs, those that are made already.
        jobs: runs at a time.
        run_seconds: of the other runs, one after the other.
        seconds: until the last of them is done, processes and tokenising included.
        processor_seconds: of the processor, for these runs.
        idle_seconds: as `seconds`, were nothing else to do for this machine; None where runs use GPUs.
        timed: how many beginnings of runs were made for this.
        untimed: "task, arm" of those that are reckoned from the others, by tokens.
    """

    tasks: tuple[TaskEstimate, ...]
    planned: int
    trainings: int
    recorded: int
    jobs: int
    run_seconds: float
    seconds: float
    processor_seconds: float
    idle_seconds: float | None
    timed: int
    untimed: tuple[str, ...]


def estimate(
    plan: Plan,
    *,
    jobs: int,
    recorded: Collection[str] = (),
    progress: Progress = lambda timing, done, total: None,
) -> Estimate:
    """Time a few steps of each task with each kind of method and add up what the plan's runs will take.

    Plain training, noise before it and noise during it are the kinds. As many processes work at a time as
    will later, since they slow each other down. It takes less than a minute on most machines: steps are made
    on samples of the data, and what has no time left is reckoned from the others. Nothing is kept of it.

    Args:
        plan: what is to be run.
        jobs: runs at a time, in processes of this machine.
        recorded: identities of runs that are made already.
        progress: called with each timing, the number of those done and of all.

    Raises:
        ValueError: `jobs` is below 1, or several processes were started together.
        RunError: a run cannot even begin.
    """
    if jobs < 1:
        raise ValueError(f"--jobs is {jobs}; it must be at least 1")
    if (size := Group.here().size) > 1:
        raise ValueError(
            f"--plan times runs of one process, and {size} were started together; start it alone"
        )
    check_precisions(plan.precisions)
    plan, first = plan.provisional(), dict[Key, RunRequest]()
    began = time.time()
    for request in plan.requests():
        first.setdefault(Key.of(request), request)
    with tempfile.TemporaryDirectory(prefix="dither-plan-") as folder:
        samples = _samples(plan, first, Path(folder))
        chosen = _in_order(first, samples)
        started = time.time()
        timed = list(_timed(chosen, jobs, began, progress))
    reckonings = {unit: Reckoning(plan, samples, timed, unit) for unit in ("clock", "processor")}
    clock, processor = (
        _added_up(plan, found, jobs, recorded, found.starting(started)) for found in reckonings.values()
    )
    known = {key for key, _ in timed}
    return replace(
        clock,
        tasks=tuple(
            replace(row, processor_seconds=other.seconds)
            for row, other in zip(clock.tasks, processor.tasks, strict=True)
        ),
        processor_seconds=processor.run_seconds,
        idle_seconds=_idle(processor.seconds, jobs, plan.threads),
        timed=len(timed),
        untimed=tuple(
            f"{row.spec.task}, {row.spec.method}" for key, row in first.items() if key not in known
        ),
    )


def _samples(plan: Plan, first: Mapping[Key, RunRequest], folder: Path) -> dict[object, Sample]:
    samples: dict[object, Sample] = {}
    for key, request in first.items():
        if key.data not in samples:
            data = plan.data[request.spec.task]
            samples[key.data] = Sample.of(request, data, folder / str(len(samples)))
    return samples


def _in_order(
    first: Mapping[Key, RunRequest], samples: Mapping[object, Sample]
) -> list[tuple[Key, RunRequest]]:
    """Every kind on the cheapest task, then the other tasks with one method, then the rest."""
    cheapest = min(first, key=lambda key: samples[key.data].tokens).data
    seen = set[object]()
    ranks: dict[Key, int] = {}
    for key in first:
        ranks[key] = 0 if key.data == cheapest else 1 if key.data not in seen else 2
        seen.add(key.data)
    return [
        (key, replace(first[key], encoded=samples[key.data].folder))
        for key in sorted(first, key=ranks.__getitem__)
    ]


def _timed(
    chosen: Sequence[tuple[Key, RunRequest]], jobs: int, began: float, progress: Progress
) -> Iterator[tuple[Key, Timing]]:
    """The timings that the budget has room for; the first of each process at least."""
    # The last ones must not have the machine for themselves.
    wanted = [*chosen, *(chosen[at % len(chosen)] for at in range(-len(chosen) % jobs))]
    keys = {(request.spec.task, request.spec.method): key for key, request in chosen}
    seconds = min(LONGEST, max(_SHORTEST, 0.4 * BUDGET * jobs / len(wanted)))
    done, longest = 0, 0.0

    def within() -> Iterator[RunRequest]:
        for at, (_, request) in enumerate(wanted):
            if at >= jobs and time.time() + longest > began + BUDGET:
                return
            yield request

    progress(None, 0, len(wanted))
    for timing in in_processes(partial(time_for_sending, seconds=seconds), within(), jobs):
        done, longest = done + 1, max(longest, timing.took)
        progress(timing, done, len(wanted))
        yield keys[timing.task, timing.method], timing


def _idle(seconds: float, jobs: int, threads: int) -> float | None:
    """What work takes by the clock of a machine with nothing else to do, by its seconds of the processor."""
    if visible_gpus():
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return seconds / threads * max(1.0, jobs * threads / cores)


def _added_up(
    plan: Plan, found: Reckoning, jobs: int, recorded: Collection[str], starting: float
) -> Estimate:
    """What the runs take in one unit; what is told in both is put together from two of these."""
    seconds: dict[str, dict[str, float]] = defaultdict(dict)
    per_step: dict[str, dict[str, float]] = defaultdict(dict)
    evaluating: dict[str, float] = {}
    sizes: dict[str, tuple[int, int]] = {}
    requests = list(plan.requests())
    for request in requests:
        spec = request.spec
        trained, evaluated = found.inputs(request)
        sizes[spec.task] = (steps_of(request, trained), evaluated)
        step = per_step[spec.task][spec.method] = found.step(request)
        evaluating[spec.task] = found.evaluation(request)
        grown = sizes[spec.task][0] * step + evaluating[spec.task]
        seconds[spec.task][spec.method] = found.fixed(request) + grown
    missing = [request for request in requests if request.spec.id not in recorded]
    left = together(missing)
    each = [
        seconds[request.spec.task][request.spec.method]
        + sum(evaluating[one.spec.task] for one in request.also)
        for request in left
    ]
    tasks = tuple(
        TaskEstimate(
            task.name,
            sum(len(plan.data[task.name].splits[split]) for split in task.train_splits),
            *sizes[task.name],
            seconds[task.name],
            per_step[task.name],
            processor_seconds={},
        )
        for task in plan.tasks
    )
    encodings = [{one.spec.task: found.encoding(one) for one in row.runs} for row in left]
    return Estimate(
        tasks,
        planned=len(requests),
        trainings=len(together(requests)),
        recorded=len(requests) - len(missing),
        jobs=jobs,
        run_seconds=sum(each),
        seconds=_scheduled(list(zip(each, encodings, strict=True)), jobs, starting),
        processor_seconds=0.0,
        idle_seconds=None,
        timed=0,
        untimed=(),
    )


def _scheduled(work: Sequence[tuple[float, Mapping[str, float]]], jobs: int, starting: float) -> float:
    """When the last training is done: each goes to the process that is free first.

    The process that hands them out tokenises each task once for all, when its first run is due.

    Args:
        work: of each training the seconds with its evaluations, and task -> seconds to tokenise it.
        jobs: processes.
        starting: seconds until they are there.
    """
    free, done, known = [starting] * jobs, 0.0, set[str]()
    for seconds, encodings in work:
        encoding = sum(cost for task, cost in encodings.items() if task not in known)
        done = max(done, heapq.heappop(free)) + encoding
        known.update(encodings)
        heapq.heappush(free, done + seconds)
    return max(free) if work else 0.0
