"""How long the parts of a run take, by making a few of its steps."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dither.bench.executors.worker import sendable
from dither.bench.heads import HEADS
from dither.bench.runs.encoding import Encoded, encode
from dither.bench.runs.evaluation import outputs_of, predictor_of
from dither.bench.runs.features import Features
from dither.bench.runs.request import RunRequest
from dither.bench.runs.training import make_trainer

STEPS = 8
"""Steps that are made, the first of which is not counted; fewer where they are slow, more where fast."""
LEAST, MOST = 3.0, 10.0
"""Seconds: fast steps go on until the first, slow ones end after the second."""
_ENDLESS = 1000  # steps
_EVALUATED = 128  # inputs
_WARM: list[bool] = []  # not empty once this process has trained


@dataclass(frozen=True)
class Timing:
    """The parts of one run, in seconds, in the process that made them.

    Attributes:
        task: of the run.
        method: of the run.
        begun: when, on the wall clock.
        warming: what the first run of a process takes longer.
        encoding: reading and tokenising, which one process does for all of them.
        fixed: everything of a run that does not grow with it: loading the model, noise before training.
        step: one optimizer step, with its batch and its noise.
        evaluation: one evaluated input.
        inputs: split -> inputs, which may be more than rows.
    """

    task: str
    method: str
    begun: float
    warming: float
    encoding: float
    fixed: float
    step: float
    evaluation: float
    inputs: Mapping[str, int]


def time_for_sending(request: RunRequest) -> Timing:
    """`time_run`, with errors that can travel between processes."""
    return sendable(time_run, request)


def time_run(request: RunRequest) -> Timing:
    """Make the beginning of a run and throw it away.

    It seeds torch as a run does, so it belongs into a process of its own.
    """
    begun, clock = time.time(), time.perf_counter()
    encoded = encode(request)
    encoding = time.perf_counter() - clock
    warming = 0.0
    if not _WARM:
        clock = time.perf_counter()
        _measure(request, encoded, steps=1)
        warming = time.perf_counter() - clock
        _WARM.append(True)
    fixed, step, evaluation = _measure(request, encoded, steps=_ENDLESS)
    inputs = {split: len(features) for split, features in encoded.features.items()}
    warming = max(0.0, warming - fixed - step)
    spec = request.spec
    return Timing(spec.task, spec.method, begun, warming, encoding, fixed, step, evaluation, inputs)


def _measure(request: RunRequest, encoded: Encoded, *, steps: int) -> tuple[float, float, float]:
    """Seconds of what does not grow, of a step, and of evaluating an input."""
    clock = time.perf_counter()
    trainer, *_ = make_trainer(request, encoded)
    trainer.args.max_steps = steps
    stamps = _stamps(trainer)
    trainer.train()
    took = time.perf_counter() - clock
    counted = stamps[-1] - stamps[0]
    step = counted / (len(stamps) - 1) if len(stamps) > 1 else 0.0
    features = Features.of(encoded.features[request.task.predicted[0]][:_EVALUATED])
    clock = time.perf_counter()
    outputs_of(predictor_of(request, trainer), features, HEADS[request.task.head].OUTPUTS)
    return max(0.0, took - counted - step), step, (time.perf_counter() - clock) / len(features)


def _stamps(trainer: Any) -> list[float]:
    """When each step ended, filled while the trainer trains; it stops where steps are slow."""
    import torch
    from transformers import TrainerCallback

    stamps: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # a step is over when the device is done with it
            stamps.append(time.perf_counter())
            counted = stamps[-1] - stamps[0]
            if (counted > LEAST and len(stamps) > STEPS) or counted > MOST:
                control.should_training_stop = True

    trainer.add_callback(Clock())
    return stamps
