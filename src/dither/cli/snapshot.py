"""The state of many runs at one moment, as plain data.

Losses of training may stand here. Scores have no place, and differences only where somebody asked for them.
"""

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

PLANNED, RUNNING, DONE, FAILED = "planned", "running", "done", "failed"


@dataclass(frozen=True)
class Running:
    """A training that is being made: of which tasks, its steps, its last loss, the seconds so far."""

    tasks: tuple[str, ...]
    method: str
    seed: int
    step: int
    steps: int
    loss: float | None
    seconds: float

    @property
    def task(self) -> str:
        """The tasks in one name."""
        return " + ".join(self.tasks)


@dataclass(frozen=True)
class Effect:
    """The paired difference so far of a method on a task, points, with its interval and number of pairs."""

    task: str
    method: str
    difference: float
    interval: tuple[float, float]
    pairs: int


@dataclass(frozen=True)
class Snapshot:
    """The state of all runs at one moment.

    Attributes:
        title: the command and the model.
        tasks: in the plan's order.
        methods: likewise.
        seeds: likewise.
        states: (task, method, seed) -> `RUNNING`, `DONE` or `FAILED`; the others are planned.
        running: what is being made.
        place: where runs are made.
        elapsed: seconds.
        left: seconds; None while that is not known.
        idle: what to say where no run tells how far it is.
        notes: sentences below that.
        effects: the differences so far, where they are shown.
    """

    title: str
    tasks: Sequence[str]
    methods: Sequence[str]
    seeds: Sequence[int]
    states: Mapping[tuple[str, str, int], str]
    running: Sequence[Running]
    place: str
    elapsed: float
    left: float | None
    idle: str = ""
    notes: Sequence[str] = ()
    effects: Sequence[Effect] = ()


def time_left(
    waiting: Sequence[tuple[str, ...]],
    running: Sequence[Running],
    seconds: Mapping[str, Sequence[float]],
    lanes: int | None,
) -> float | None:
    """The seconds until the last run is done, if each takes as long as the runs of its task did.

    Runs that stand on one training are made together, one after the other.

    A task of which no run is done yet is taken for one like the others.

    Args:
        waiting: of each training that has not begun, the tasks of its runs.
        running: the others.
        seconds: task -> of the runs that are done.
        lanes: runs at a time; None where that is not known.

    Returns:
        The seconds; None before the first run is done, or without `lanes`.

    Example:
        >>> now = Running(("rte",), "none", 0, step=1, steps=9, loss=None, seconds=4.0)
        >>> time_left([("rte",), ("rte",), ("rte",)], [now], {"rte": [9.0, 11.0]}, 2)
        20.0
    """
    done = [value for some in seconds.values() for value in some]
    if lanes is None or not done:
        return None
    means = defaultdict(lambda: fmean(done), {task: fmean(some) for task, some in seconds.items()})
    free = [max(0.0, sum(map(means.__getitem__, one.tasks)) - one.seconds) for one in running]
    free += [0.0] * (lanes - len(free))
    heapq.heapify(free)
    for tasks in waiting:
        heapq.heapreplace(free, free[0] + sum(map(means.__getitem__, tasks)))
    return max(free)
