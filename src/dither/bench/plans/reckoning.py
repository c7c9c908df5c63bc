"""What runs take, reckoned from timings of some of them: by tokens where a run was not timed itself."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from dither.bench.plans.plan import Plan
from dither.bench.plans.samples import Sample
from dither.bench.plans.timing import Timing
from dither.bench.runs.request import RunRequest
from dither.bench.tasks.task import Task
from dither.bench.tasks.variations import base_of
from dither.methods.registry import method_info


@dataclass(frozen=True)
class Key:
    """What the time of a run depends on, beside the number of its steps and inputs.

    Attributes:
        task: without its settings.
        batches: how they are made.
        computing: what in, and whether activations are computed twice.
        kind: of the method.
        during: whether the method adds to each step.
    """

    task: str
    batches: tuple[int, int, int, bool]
    computing: tuple[str, bool]
    kind: object
    during: bool

    @classmethod
    def of(cls, request: RunRequest) -> "Key":
        """The key of a run."""
        recipe, kind = request.recipe, method_info(base_of(request.spec.method)).kind
        sizes = recipe.batch_size, recipe.max_length, recipe.gradient_accumulation
        return cls(
            request.task.base,
            (*sizes, recipe.group_by_length),
            (recipe.precision, recipe.gradient_checkpointing),
            kind,
            kind.when == "during training",
        )

    @property
    def data(self) -> tuple[str, tuple[int, int, int, bool]]:
        """What the batches of a run depend on."""
        return self.task, self.batches


_Same = Callable[[Key], object]
# For each part of a run: in which timings it is looked for, first to last; any will do in the end.
_NEAR: dict[str, tuple[_Same, ...]] = {
    "fixed": (lambda key: (key.task, key.kind), lambda key: key.kind),
    "update": (lambda key: (key.data, key.computing, key.during), lambda key: key.during),
    "token": (
        lambda key: (key.data, key.computing, key.during),
        lambda key: (key.computing, key.during),
        lambda key: key.computing,
    ),
    "evaluation": (lambda key: key.data,),
}


class Reckoning:
    """What every run of a plan takes, in seconds by the clock or of the processor.

    Args:
        plan: of the runs.
        samples: of the data of each key.
        timings: with their keys; one at least.
        unit: which seconds.
    """

    def __init__(
        self,
        plan: Plan,
        samples: Mapping[object, Sample],
        timings: Sequence[tuple[Key, Timing]],
        unit: Literal["clock", "processor"],
    ) -> None:
        self._samples, self._timings, self._unit = samples, timings, unit
        self._rows = {name: {k: len(v) for k, v in data.splits.items()} for name, data in plan.data.items()}
        self._known: dict[tuple[Key, str], float] = {}

    def _part(self, request: RunRequest, part: str) -> float:
        """The mean of one part over the timings that serve a run best."""
        key = Key.of(request)
        if (key, part) not in self._known:
            served = (
                [timing for other, timing in self._timings if same(other) == same(key)]
                for same in _NEAR[part]
            )
            found = next(filter(None, served), [timing for _, timing in self._timings])
            self._known[key, part] = fmean(getattr(getattr(each, self._unit), part) for each in found)
        return self._known[key, part]

    def _sample(self, request: RunRequest) -> Sample:
        return self._samples[Key.of(request).data]

    def fixed(self, request: RunRequest) -> float:
        """What does not grow with a run."""
        return self._part(request, "fixed")

    def step(self, request: RunRequest) -> float:
        """One step."""
        return self._part(request, "update") + self._sample(request).tokens * self._part(request, "token")

    def evaluation(self, request: RunRequest) -> float:
        """All evaluations of a run."""
        tokens = self._sample(request).evaluated * self._predicted(request.task)
        return tokens * self._part(request, "evaluation")

    def encoding(self, request: RunRequest) -> float:
        """Tokenising the run's task."""
        rows = sum(self._rows[request.spec.task].values())
        return rows * self._sample(request).encoding[0 if self._unit == "clock" else 1]

    def starting(self, started: float) -> float:
        """Until a process has its first run behind it, but for what that run takes.

        Args:
            started: when the first process was started, on the wall clock.
        """
        fresh = [timing for _, timing in self._timings if timing.clock.warming]
        if self._unit == "processor":
            return fmean(timing.processor.warming for timing in fresh) if fresh else 0.0
        return fmean(row.begun - started + row.clock.warming for row in fresh) if fresh else 0.0

    def inputs(self, request: RunRequest) -> tuple[int, int]:
        """Inputs that train and that are evaluated."""
        sample, rows, task = self._sample(request), self._rows[request.spec.task], request.task
        trained = sum(rows[split] for split in task.train_splits)
        evaluated = sample.evaluated_inputs * self._predicted(task)
        return math.ceil(round(sample.trained * trained, 6)), math.ceil(round(evaluated, 6))

    def _predicted(self, task: Task) -> int:
        """Rows of all splits on which a run predicts, those included that a threshold is chosen on."""
        return sum(self._rows[task.name][split] for split in task.predicted)


def steps_of(request: RunRequest, inputs: int) -> int:
    """The Trainer's own count: whole batches of an epoch, times the epochs, or as many as the recipe says.

    Args:
        request: of the run.
        inputs: that train.
    """
    recipe = request.recipe
    return recipe.max_steps or math.ceil(recipe.epochs * math.ceil(inputs / recipe.batch_size))
