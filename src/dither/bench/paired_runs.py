"""The pairs of runs of one task: plain fine-tuning beside each method and beside its next seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dither.bench.compare import BASELINE
from dither.results import Experiment, RunResult

_SHOWN = 3  # runs that are named where some cannot be compared
Predictions = Mapping[str, Sequence[Any]]
Reading = Callable[[str], Predictions]


@dataclass(frozen=True)
class Run:
    """Where the predictions of a run are, and whether it failed."""

    id: str
    failed: bool


@dataclass(frozen=True)
class Recorded:
    """What a ledger has of one task.

    Attributes:
        task: its name there.
        runs: by method and seed.
        evaluations: that the runs were scored on.
    """

    task: str
    runs: dict[tuple[str, int], Run] = field(default_factory=dict)
    evaluations: list[str] = field(default_factory=list)


def recorded_runs(plan: Experiment, results: Iterable[RunResult]) -> list[Recorded]:
    """What a ledger has of each task with runs, in the plan's order; no more of the results stays."""
    found = {task: Recorded(task) for task in plan.tasks}
    for result in results:
        own = found[result.spec.task]
        own.runs[result.spec.method, result.spec.seed] = Run(result.id, result.status == "failed")
        own.evaluations.extend(name for name in result.metrics if name not in own.evaluations)
    return [own for own in found.values() if own.runs]


@dataclass(frozen=True)
class Pair:
    """Two runs on the same examples.

    Attributes:
        method: the arm beside plain; `BASELINE` where that is plain under the next seed.
        plain: predictions of plain fine-tuning, by evaluation; those that cannot be compared are left out.
        other: of the other run.
        failed: whether one of them failed.
    """

    method: str
    plain: Predictions = field(repr=False)
    other: Predictions = field(repr=False)
    failed: bool = False

    @property
    def evaluations(self) -> list[str]:
        """Those that both runs have predictions of."""
        return [name for name in self.plain if name in self.other]


class Pairs:
    """The pairs of a task, each read when it is reached: three runs at most are in memory.

    Args:
        plan: of the runs.
        recorded: what their ledger has of the task.
        sizes: of evaluations, where they are known; of others the first run that is read tells it.
        predictions: reads those of a run (`Ledger.steady`).

    Attributes:
        methods: of the plan, in its order.
    """

    def __init__(
        self, plan: Experiment, recorded: Recorded, sizes: Mapping[str, int], predictions: Reading
    ) -> None:
        self.methods = list(plan.methods)
        self._predictions, self._runs, self._seeds = predictions, recorded.runs, plan.seeds
        self._sizes = dict(sizes)
        self._silent: dict[str, None] = {}
        self._odd: dict[str, dict[str, int]] = {}

    def __iter__(self) -> Iterator[Pair]:
        """Seed by seed: plain against the seed before, then each method against plain."""
        before: tuple[Predictions, bool] | None = None
        for seed in self._seeds:
            plain = self._read(BASELINE, seed)
            if plain is None:
                continue
            for method in self.methods:
                other = before if method == BASELINE else self._read(method, seed)
                if other is not None:
                    pair = Pair(method, plain[0], other[0], plain[1] or other[1])
                    yield from [pair] if pair.evaluations else []
            before = plain

    def _read(self, method: str, seed: int) -> tuple[Predictions, bool] | None:
        run = self._runs.get((method, seed))
        if run is None:
            return None
        name, found = f"{method}, seed {seed}", self._predictions(run.id)
        if not any(found.values()):
            self._silent[name] = None
            return None
        for evaluation, values in found.items():
            self._sizes.setdefault(evaluation, len(values))
        counts = {evaluation: len(found.get(evaluation, ())) for evaluation in self._sizes}
        fitting = [evaluation for evaluation, count in counts.items() if count == self._sizes[evaluation]]
        for evaluation in counts.keys() - fitting:
            self._odd.setdefault(evaluation, {})[name] = counts[evaluation]
        return {evaluation: found[evaluation] for evaluation in fitting}, run.failed

    def left_out(self) -> list[str]:
        """A sentence for what could not be compared in the pairs that were read."""
        lines = []
        if self._silent:
            names = _first(list(self._silent))
            lines.append(f"{_have(len(self._silent))} no predictions ({names}): left out")
        for evaluation, runs in self._odd.items():
            counts = _first([f"{name}: {count}" for name, count in runs.items()])
            lines.append(
                f"{evaluation}: {_have(len(runs))} another number of predictions than the split's "
                f"{self._sizes[evaluation]} ({counts}); it is damaged or of another split: left out"
            )
        return lines


def _have(count: int) -> str:
    return "1 run has" if count == 1 else f"{count} runs have"


def _first(names: Sequence[str]) -> str:
    return "; ".join(names[:_SHOWN]) + ("; …" if len(names) > _SHOWN else "")
