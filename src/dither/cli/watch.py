"""`--watch`: the runs of a plan, live on the terminal; effects only with `--peek`, each time as a look."""

import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live

from dither.bench.compare import BASELINE, Comparison, peek_at
from dither.bench.group import Group
from dither.bench.looks import due_looks, history
from dither.bench.runs.pulse import forget, read_pulses
from dither.cli.live_picture import picture
from dither.cli.snapshot import DONE, FAILED, RUNNING, Effect, Running, Snapshot, time_left
from dither.results import Ledger, RunResult, RunSpec
from dither.stats import LookedAt, Rule

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderResult

    from dither.bench.plans.plan import Plan

_FRAMES = 4  # a second
_IDLE = "The next runs are about to start."
_HIDDEN = "Effects stay hidden until all runs are done."


@dataclass(frozen=True)
class Place:
    """Where runs are made.

    Attributes:
        name: for people.
        lanes: runs at a time; None where that is seen only while they run.
    """

    name: str
    lanes: int | None

    @classmethod
    def of(cls, jobs: int, *, elsewhere: bool) -> "Place":
        """Of runs in this machine's processes, those that were started together, or elsewhere: on Ray."""
        if elsewhere:
            return cls("on Ray", None)
        if (size := Group.here().size) > 1:
            return cls(f"{size} processes together", 1)
        return cls(f"{jobs} process{'es' * (jobs != 1)}", jobs)


@contextmanager
def watch(plan: "Plan", *, kind: str, place: Place, peek: bool) -> "Iterator[Watch]":
    """Show the runs of a plan until the end of the block, and leave nothing of it on the terminal.

    Args:
        plan: whose runs are made.
        kind: of experiment.
        place: where runs are made.
        peek: show effects, too, at the moments of `is_time_to_peek`.
    """
    with tempfile.TemporaryDirectory(prefix="dither-pulses-", ignore_cleanup_errors=True) as folder:
        view = Watch(plan, kind, place, folder, peek=peek)
        console = Console(stderr=True)
        with Live(get_renderable=lambda: view, console=console, refresh_per_second=_FRAMES, transient=True):
            yield view


class Watch:
    """What is known of the runs while they are made.

    Args:
        plan: whose runs are made.
        kind: of experiment.
        place: where runs are made.
        folder: of the pulses.
        peek: show effects, too.
    """

    def __init__(self, plan: "Plan", kind: str, place: Place, folder: str, *, peek: bool) -> None:
        self._title, self._place, self.folder, self._peek = f"{kind}, {plan.source.name}", place, folder, peek
        self._tasks, self._methods = [task.name for task in plan.tasks], list(plan.methods)
        self._seeds, self._plan = plan.seeds, plan
        self._trainings = _specs(plan.provisional())
        self._began, self._lock = time.monotonic(), Lock()
        self._states: dict[tuple[str, str, int], str] = {}
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)
        self._notes, self._effects = [_HIDDEN], list[Effect]()
        self._whole, self._until, self._moments = -1, False, list[int]()

    def progress(self, result: RunResult | None, done: int, total: int) -> None:
        """A run is done: `dither.bench.recording.Progress`."""
        if result is not None:
            forget(self.folder, result.id)
            self._add(result)

    def say(self, text: str) -> None:
        """Something else than a run takes its time."""
        with self._lock:
            self._notes = [text, *self._notes]

    def visit(self, ledger: Ledger) -> None:
        """See what the ledger holds before the first run; after a run, peek if it is time to."""
        before = self._whole < 0
        if before:
            self._trainings = _specs(self._plan.provisional(ledger.experiment.doses))
            for result in ledger.results():
                self._add(result)
            self._until = ledger.experiment.until_resolved
        planned = len(self._seeds)
        whole = next((at for at, seed in enumerate(self._seeds) if not self._is_whole(seed)), planned)
        passed = any(moment <= whole for moment in self._moments)
        self._whole = whole
        moments = due_looks(ledger.experiment) if self._until else range(planned)
        timely = [at for at in moments if self._until or is_time_to_peek(at, planned)]
        self._moments = [at for at in timely if whole < at < planned]
        if before:
            self._notes = [self._announced(history(ledger))]
        elif self._peek and passed and whole < planned:
            self._show(peek_at(ledger, due=self._until), history(ledger))

    def _announced(self, before: tuple[LookedAt, ...]) -> str:
        """When effects will be seen, and what that costs."""
        at = ", ".join(map(str, self._moments))
        if self._until:
            looks = f"at {at}{' and ' if at else ''}{len(self._seeds)} complete seeds"
            shown = "Effects are shown then" if self._peek and at else "Effects stay hidden until the end"
            return f"Tests are made {looks}, and runs end when all are decided. {shown}."
        if not self._peek:
            return _HIDDEN
        if not at:
            return f"{_HIDDEN} Too few seeds are left for a peek before then."
        moments = f"Effects stay hidden but for peeks, at {at} complete seeds."
        return f"{moments} Each is a look, and {self._cost(before)}"

    def _cost(self, before: tuple[LookedAt, ...]) -> str:
        """What all looks so far, and all peeks that are still to come, do to the verdict."""
        planned = len(self._seeds)
        last = Rule(looks=(*before, *(LookedAt(at, planned) for at in [*self._moments, planned])))
        return f"after all of them the verdict's own test is at p < {last.level:.3g}."

    def _add(self, result: RunResult) -> None:
        with self._lock:
            spec = result.spec
            self._states[spec.task, spec.method, spec.seed] = FAILED if result.status == "failed" else DONE
            self._seconds[spec.task].append(result.seconds)

    def _is_whole(self, seed: int) -> bool:
        return all((task, method, seed) in self._states for task in self._tasks for method in self._methods)

    def _show(self, seen: Comparison, before: tuple[LookedAt, ...]) -> None:
        rule = seen.analysis.rule
        with self._lock:
            effects = [
                Effect(row.task, row.method, row.difference, row.interval, row.pairs)
                for row in seen.analysis.all_runs.comparisons
                if row.method != BASELINE and row.pairs
            ]
            self._effects = sorted(effects, key=lambda one: self._tasks.index(one.task))
            self._notes = [
                f"Effects at {len(seen.analysis.planned_seeds)} of {len(self._seeds)} complete seeds: points "
                f"against plain, {100 * rule.confidence:.4g} % intervals.",
                f"Looks so far: {seen.looks}. "
                + (
                    self._announced(before) if self._until else f"Each update is a look: {self._cost(before)}"
                ),
            ]

    def snapshot(self) -> Snapshot:
        """The state of this moment."""
        with self._lock:
            states, seconds = dict(self._states), {task: list(some) for task, some in self._seconds.items()}
            effects, notes = list(self._effects), list(self._notes)
        running = self._running(states)
        states |= {(task, one.method, one.seed): RUNNING for one in running for task in one.tasks}
        open_ = [[spec.task for spec in specs if _key(spec) not in states] for specs in self._trainings]
        waiting = [tuple(tasks) for tasks in open_ if tasks]
        return Snapshot(
            title=self._title,
            tasks=self._tasks,
            methods=self._methods,
            seeds=self._seeds,
            states=states,
            running=running,
            place=self._place.name,
            elapsed=time.monotonic() - self._began,
            left=time_left(waiting, running, seconds, self._place.lanes or len(running) or None),
            idle=_IDLE if waiting else "",
            notes=notes,
            effects=effects,
        )

    def _running(self, done: Mapping[tuple[str, str, int], str]) -> list[Running]:
        """The trainings that tell how far they are, each for its runs that are not done."""
        now, found, pulses = time.time(), [], read_pulses(self.folder)
        for specs in self._trainings:
            own = [spec for spec in specs if spec.id in pulses and _key(spec) not in done]
            if own:
                pulse = pulses[own[0].id]
                loss, seconds = pulse.loss, max(0.0, now - pulse.began)
                tasks = tuple(spec.task for spec in own)
                one = own[0]
                found.append(Running(tasks, one.method, one.seed, pulse.step, pulse.steps, loss, seconds))
        return sorted(found, key=lambda one: -one.seconds)

    def __rich_console__(self, console: Console, options: "ConsoleOptions") -> "RenderResult":
        yield from picture(
            self.snapshot(), options.max_width, console.size.height, ascii_only=options.ascii_only
        )


def is_time_to_peek(whole: int, planned: int) -> bool:
    """Whether effects are shown when so many seeds are complete, in all tasks and arms.

    Each look spends a part of the error rate, so there are few: when the number of complete seeds has
    doubled. One pair has no interval, and the complete plan has its table.

    Example:
        >>> [whole for whole in range(1, 21) if is_time_to_peek(whole, 20)]
        [2, 4, 8, 16]
    """
    return 2 <= whole < planned and math.log2(whole).is_integer()


def _key(spec: RunSpec) -> tuple[str, str, int]:
    return spec.task, spec.method, spec.seed


def _specs(plan: "Plan") -> list[list[RunSpec]]:
    """The runs of each training."""
    return [[one.spec for one in request.runs] for request in plan.trainings()]
