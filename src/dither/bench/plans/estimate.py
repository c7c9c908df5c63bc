"""How long the runs of a plan will take on this machine, from a few timed steps of them."""

import heapq
import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from dither.bench.executors.processes import in_processes
from dither.bench.group import Group
from dither.bench.plans.plan import Plan
from dither.bench.plans.timing import Timing, time_for_sending
from dither.bench.runs.precision import check_precisions
from dither.bench.runs.request import RunRequest
from dither.bench.runs.trainings import together
from dither.bench.tasks.task import Task
from dither.bench.tasks.variations import base_of
from dither.methods.registry import method_info

Progress = Callable[[Timing | None, int, int], None]
_Key = tuple[str, int, int, Any]


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
    """

    task: str
    rows: int
    steps: int
    evaluated: int
    seconds: Mapping[str, float]
    step_seconds: Mapping[str, float]


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
        timed: how many beginnings of runs were made for this.
    """

    tasks: tuple[TaskEstimate, ...]
    planned: int
    trainings: int
    recorded: int
    jobs: int
    run_seconds: float
    seconds: float
    timed: int


def estimate(
    plan: Plan,
    *,
    jobs: int,
    recorded: Collection[str] = (),
    progress: Progress = lambda timing, done, total: None,
) -> Estimate:
    """Time a few steps of each task with each kind of method and add up what the plan's runs will take.

    Plain training, noise before it and noise during it are the kinds. As many processes work at a time as
    will later, since they slow each other down. Nothing is kept of it.

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
    check_precisions(request.recipe.precision for request in plan.requests())
    first: dict[_Key, RunRequest] = {}
    for request in plan.requests():
        first.setdefault(_key(request), request)
    chosen = list(first.values())
    # The last ones must not have the machine for themselves.
    chosen += [chosen[at % len(chosen)] for at in range(-len(chosen) % jobs)]
    timings, started = [], time.time()
    progress(None, 0, len(chosen))
    for timing in in_processes(time_for_sending, chosen, jobs):
        timings.append(timing)
        progress(timing, len(timings), len(chosen))
    return _added_up(plan, _Timings(plan, first, timings, started), jobs, recorded)


class _Timings:
    """What was timed, as it serves every run of the plan."""

    def __init__(
        self, plan: Plan, first: Mapping[_Key, RunRequest], timings: Sequence[Timing], started: float
    ) -> None:
        self.number = len(timings)
        by_run: defaultdict[tuple[str, str], list[Timing]] = defaultdict(list)
        for timing in timings:
            by_run[timing.task, timing.method].append(timing)
        self._by_key = {key: by_run[row.spec.task, row.spec.method] for key, row in first.items()}
        # Steps are the same for all methods that add nothing to them, evaluated inputs for all methods.
        self._shared: defaultdict[tuple[Any, ...], list[Timing]] = defaultdict(list)
        for key, rows in self._by_key.items():
            for shared in _shared_keys(key).values():
                self._shared[shared] += rows
        self._tasks = {task.name: task for task in plan.tasks}
        self._rows = {name: {k: len(v) for k, v in data.splits.items()} for name, data in plan.data.items()}
        fresh = [timing for timing in timings if timing.warming]
        self.starting = fmean(row.begun - started + row.warming for row in fresh) if fresh else 0.0

    def mean(self, request: RunRequest, part: str) -> float:
        """The mean of one part over the timings that serve a run."""
        return fmean(getattr(timing, part) for timing in self._shared[_shared_keys(_key(request))[part]])

    def encoding(self, request: RunRequest) -> float:
        """Reading and tokenising the run's task: of the processes that timed it, the first one had to."""
        base = request.task.base
        return max(t.encoding for key, rows in self._by_key.items() if key[0] == base for t in rows)

    def inputs(self, request: RunRequest) -> tuple[int, int]:
        """Inputs that train and that are evaluated, by the shares of inputs in rows of the timed task."""
        timing = self._by_key[_key(request)][0]
        timed, rows = self._tasks[timing.task], self._rows[timing.task]
        share = _trained(timed, timing.inputs) / max(1, _trained(timed, rows))
        evaluated = _evaluated(timed, timing.inputs) / max(1, _evaluated(timed, rows))
        task, own = request.task, self._rows[request.task.name]
        return math.ceil(share * _trained(task, own)), math.ceil(evaluated * _evaluated(task, own))


def _trained(task: Task, sizes: Mapping[str, int]) -> int:
    return sum(sizes[split] for split in task.train_splits)


def _evaluated(task: Task, sizes: Mapping[str, int]) -> int:
    """Of all splits on which a run predicts, those included that a threshold is chosen on."""
    return sum(sizes[split] for split in task.predicted)


def _key(request: RunRequest) -> _Key:
    """Runs with equal keys take equally long for a step and an input."""
    recipe, kind = request.recipe, method_info(base_of(request.spec.method)).kind
    return request.task.base, recipe.batch_size, recipe.max_length, kind


def _shared_keys(key: _Key) -> dict[str, tuple[Any, ...]]:
    """Which timings serve for each part of a run."""
    *task, kind = key
    return {
        "fixed": ("fixed", *key),
        "step": ("step", *task, kind.when == "during training"),
        "evaluation": ("evaluation", *task),
    }


def _steps(request: RunRequest, inputs: int) -> int:
    """The Trainer's own count: whole batches of an epoch, times the epochs."""
    return math.ceil(request.recipe.epochs * math.ceil(inputs / request.recipe.batch_size))


def _added_up(plan: Plan, timings: _Timings, jobs: int, recorded: Collection[str]) -> Estimate:
    seconds: dict[str, dict[str, float]] = defaultdict(dict)
    per_step: dict[str, dict[str, float]] = defaultdict(dict)
    evaluating: dict[str, float] = {}
    sizes: dict[str, tuple[int, int]] = {}
    requests = list(plan.requests())
    for request in requests:
        spec = request.spec
        trained, evaluated = timings.inputs(request)
        sizes[spec.task] = (_steps(request, trained), evaluated)
        step = per_step[spec.task][spec.method] = timings.mean(request, "step")
        evaluating[spec.task] = evaluated * timings.mean(request, "evaluation")
        grown = sizes[spec.task][0] * step + evaluating[spec.task]
        seconds[spec.task][spec.method] = timings.mean(request, "fixed") + grown
    missing = [request for request in requests if request.spec.id not in recorded]
    left = together(missing)
    each = [
        seconds[request.spec.task][request.spec.method]
        + sum(evaluating[one.spec.task] for one in request.also)
        for request in left
    ]
    tasks = tuple(
        TaskEstimate(
            name,
            _trained(task, {split: len(rows) for split, rows in plan.data[name].splits.items()}),
            *sizes[name],
            seconds[name],
            per_step[name],
        )
        for name, task in ((task.name, task) for task in plan.tasks)
    )
    encodings = [{one.spec.task: timings.encoding(one) for one in row.runs} for row in left]
    wall = _scheduled(list(zip(each, encodings, strict=True)), jobs, timings.starting)
    return Estimate(
        tasks,
        planned=len(requests),
        trainings=len(together(requests)),
        recorded=len(requests) - len(missing),
        jobs=jobs,
        run_seconds=sum(each),
        seconds=wall,
        timed=timings.number,
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
