"""How long the parts of a run take, by making a few of its steps."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dither.bench.executors.worker import sendable
from dither.bench.heads import HEADS
from dither.bench.plans.samples import step_tokens, train_lengths
from dither.bench.runs.encoding import Encoded, encode
from dither.bench.runs.evaluation import outputs_of, predictor_of
from dither.bench.runs.features import Features
from dither.bench.runs.request import RunRequest
from dither.bench.runs.training import make_trainer
from dither.steps import notices

LONGEST = 3.0
"""Seconds for which steps are made, and longer until there are three, at most three times as long."""
_FEWEST = 3  # steps, the first of which is not counted where there are others
_ENDLESS = 1000  # steps
_EVALUATED = (8, 128)  # inputs, at least and at most
_SMALL = 2  # rows of the steps that warm a process
_LEAST = 0.25  # of a batch's rows in a step that is timed
_SAID: set[str] = set()  # in this process
_WARM: "list[_Steps]" = []  # those steps; empty until this process has trained


@dataclass(frozen=True)
class Parts:
    """The parts of one run in seconds, by the clock or of the processor.

    Attributes:
        warming: what the first run of a process takes longer; of the processor, also what it did before.
        fixed: everything of a run that does not grow with it: loading the model, noise before training.
        update: the part of a step that is the same for every batch: passes over weights, optimizer, noise.
        token: the rest of a step, for each token of its batch, with padding.
        evaluation: of a token that is evaluated.
    """

    warming: float
    fixed: float
    update: float
    token: float
    evaluation: float


@dataclass(frozen=True)
class Timing:
    """The parts of one run in the process that made them.

    Attributes:
        task: of the run.
        method: of the run.
        begun: when, on the wall clock.
        took: how long the timing took, in seconds.
        clock: the parts by the clock.
        processor: the parts in seconds of the processor, all threads together.
    """

    task: str
    method: str
    begun: float
    took: float
    clock: Parts
    processor: Parts


def time_for_sending(request: RunRequest, seconds: float = LONGEST) -> Timing:
    """`time_run`, with errors that can travel between processes."""
    return sendable(lambda asked: time_run(asked, seconds), request)


def time_run(request: RunRequest, seconds: float = LONGEST) -> Timing:
    """Make the beginning of a run and throw it away.

    It seeds torch as a run does, so it belongs into a process of its own.

    Args:
        request: of a run; its data may be a sample.
        seconds: for which steps are made. Where one alone would take longer, it has a part of the rows.
    """
    begun, start, before = time.time(), _now(), time.process_time()
    encoded = encode(request)
    warming, fresh = np.zeros(2), not _WARM
    if fresh:
        began = _now()
        _, steps = _trained(_of_rows(request, _SMALL), encoded, 0.0)
        _WARM.append(steps)
        warming = _now() - began - (steps.ends[-1] - steps.ends[0])
    found = _measure(_bounded(request, encoded, seconds), encoded, seconds)
    if fresh:
        found["warming"] = np.maximum(0.0, warming - found["fixed"]) + np.array((0.0, before))
    clock, processor = (Parts(**{name: float(both[at]) for name, both in found.items()}) for at in (0, 1))
    took = float((_now() - start)[0])
    return Timing(request.spec.task, request.spec.method, begun, took, clock, processor)


def _now() -> np.ndarray:
    """Seconds by the clock, and of the processor."""
    return np.array((time.perf_counter(), time.process_time()))


def _of_rows(request: RunRequest, rows: int) -> RunRequest:
    """The request with another number of rows in a step, in one part."""
    changed = {**request.spec.train_settings, "batch_size": rows, "gradient_accumulation": 1}
    return replace(request, spec=replace(request.spec, train_settings=changed))


def _bounded(request: RunRequest, encoded: Encoded, seconds: float) -> RunRequest:
    """The request with so many rows in a step that it takes about so many seconds at most."""
    size, pace = request.recipe.batch_size, float(_WARM[-1].grown[0]) / _WARM[-1].size
    expected = pace * step_tokens(train_lengths(request.task, encoded.features), request.recipe)
    rows = max(1, int(size * max(_LEAST, seconds / max(expected, 1e-9))))
    return request if rows >= size else _of_rows(request, rows)


def _measure(request: RunRequest, encoded: Encoded, seconds: float) -> dict[str, np.ndarray]:
    """Both times of what does not grow, of a step's update, and of a token in training and in evaluation."""
    began = _now()
    trainer, steps = _trained(request, encoded, seconds)
    fixed = _now() - began - (steps.ends[-1] - steps.begun)
    token = steps.token(_WARM[-1])
    task, (least, most) = request.task, _EVALUATED
    features = encoded.features[task.predicted[0]]
    count = int(seconds / max(float(token[0]) * features.lengths.mean(), 1e-9))
    some = Features.of(features[: min(most, max(least, count))])
    began = _now()
    outputs_of(predictor_of(request, trainer), some, HEADS[task.head].OUTPUTS)
    return {
        "warming": np.zeros(2),
        "fixed": np.maximum(0.0, fixed),
        "update": steps.update + steps.grown - steps.size * token,
        "token": token,
        "evaluation": (_now() - began) / some.lengths.sum(),
    }


def _trained(request: RunRequest, encoded: Encoded, seconds: float) -> tuple[Any, "_Steps"]:
    """A trainer that has made some steps, and what they took."""
    trainer, *_ = make_trainer(request, encoded)
    trainer.args.max_steps = _ENDLESS
    steps = _watched(trainer, seconds)
    with _plan_unsaid():
        trainer.train()
    return trainer, steps


@contextmanager
def _plan_unsaid() -> Iterator[None]:
    """Leave out what noise says about the plan of a run: these few steps have one that nobody asked for.

    What is wrong with the user's own design, as that no tensor can be noised, is heard, once in a process.
    """
    logger = logging.getLogger("dither")
    logger.addFilter(_is_of_the_design)
    try:
        yield
    finally:
        logger.removeFilter(_is_of_the_design)


def _is_of_the_design(record: logging.LogRecord) -> bool:
    if record.pathname == notices.__file__ or (said := record.getMessage()) in _SAID:
        return False
    _SAID.add(said)
    return True


class _Steps:
    """What a trainer's steps took: when the first began, when each ended, its update, its tokens.

    Of several steps the first one is not counted.
    """

    def __init__(self) -> None:
        self.begun = np.zeros(2)
        self.ends: list[np.ndarray] = []
        self.updates: list[np.ndarray] = []
        self.tokens: list[int] = []

    @property
    def _first(self) -> int:
        return 1 if len(self.ends) > 1 else 0

    @property
    def update(self) -> np.ndarray:
        """Both times of the optimizer and the noise, of one step."""
        return np.mean(self.updates[self._first :], axis=0)

    @property
    def grown(self) -> np.ndarray:
        """Both times of the rest of a step."""
        start = self.ends[0] if self._first else self.begun
        whole = (self.ends[-1] - start) / (len(self.ends) - self._first)
        return np.maximum(0.0, whole - self.update)

    @property
    def size(self) -> float:
        """Tokens of a step, with padding."""
        return float(np.mean(self.tokens[self._first :]))

    def token(self, small: "_Steps") -> np.ndarray:
        """Both times of a token, beside what smaller steps take; all of the time where none are smaller."""
        whole = self.grown / self.size
        if self.size < 2 * small.size:
            return whole
        return np.clip((self.grown - small.grown) / (self.size - small.size), 0.0, whole)


def _watched(trainer: Any, seconds: float) -> _Steps:
    """The steps of a trainer, filled while it trains; it stops after some seconds."""
    import torch
    from transformers import TrainerCallback

    steps, train = _Steps(), trainer.training_step

    def now() -> np.ndarray:
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # a step is over when the device is done with it
        return _now()

    def training_step(model: Any, inputs: Any, *rest: Any, **options: Any) -> Any:
        steps.tokens[-1] += inputs["input_ids"].numel()
        return train(model, inputs, *rest, **options)

    class Watch(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            steps.tokens.append(0)
            if not steps.ends:
                steps.begun = now()

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            steps.updates.append(now())

        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            steps.ends.append(now())
            steps.updates[-1] = steps.ends[-1] - steps.updates[-1]
            elapsed = (steps.ends[-1] - steps.begun)[0]
            enough = len(steps.ends) >= _FEWEST
            if (enough and elapsed > seconds) or elapsed > 3 * seconds > 0:
                control.should_training_stop = True

    trainer.training_step = training_step
    trainer.add_callback(Watch())
    return steps
