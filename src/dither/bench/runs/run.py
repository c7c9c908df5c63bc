"""One run: one task, model, method, seed and thread count through the Hugging Face Trainer.

Runs that differ in what they are evaluated on alone stand on one training.

The run's seed sets the order of the data, the head, the dropout and the noise. The score is that of the last
evaluation, never of the best.
"""

import math
import resource
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dither.bench.models.loading import save_model
from dither.bench.runs.disk import full_disk_told
from dither.bench.runs.encoding import Encoded, encode
from dither.bench.runs.environment import environment
from dither.bench.runs.evaluation import evaluate
from dither.bench.runs.measurements import Measurer
from dither.bench.runs.request import RunRequest
from dither.bench.runs.training import make_trainer, newest_checkpoint
from dither.core.faults import is_told
from dither.results import RunResult, RunSpec

if TYPE_CHECKING:
    from dither.record import Record


class BrokenRun(RuntimeError):
    """An error in the evaluation of one of several runs that stand on one training.

    Args:
        spec: of the run.
        reason: the error in words.
        trace: where it came from.
        internal: whether it is a fault of the program (`dither.core.faults`).
    """

    def __init__(self, spec: RunSpec, reason: str, trace: str, internal: bool = False) -> None:
        super().__init__(spec, reason, trace, internal)
        self.spec, self.reason, self.trace, self.internal = spec, reason, trace, internal

    @classmethod
    def of(cls, spec: RunSpec, error: Exception) -> "BrokenRun":
        """The error of a run."""
        trace = "".join(traceback.format_exception(error))
        return cls(spec, f"{type(error).__name__}: {error}", trace, not is_told(error))

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class Trained:
    """A training that is done: what all of its runs share.

    Attributes:
        trainer: with the trained model.
        history: the logged losses.
        record: of the noise, by family; None without.
        measurements: of the weights.
        steps: seconds in training steps.
        seconds: of all that is shared, without what is measured at the end.
        started: when, ISO 8601 in UTC.
    """

    trainer: Any
    history: list[dict[str, Any]]
    record: dict[str, Any] | None
    measurements: dict[str, Any] | None
    steps: float
    seconds: float
    started: str


def run(request: RunRequest) -> RunResult:
    """Make one run, whatever is to be made with it.

    Returns:
        Its result, finished or failed: a loss that is not finite, or a score not above the constant
        predictor's, is a failed run with its reason, not an exception.

    Raises:
        ValueError: the data are no longer those of the request, or data or model do not fit the task.
    """
    (result,) = run_together(replace(request, also=()))
    return result


def run_together(request: RunRequest) -> Iterator[RunResult]:
    """Train once, and evaluate each of the runs of a request.

    A result has the losses and predictions that it would have with a training of its own, bit for bit. The
    data of all tasks are read before the training, so that what is wrong with them is found first.

    Returns:
        The results as they come, in the order of the runs. The others come also where one cannot be
        evaluated, which is told after them.

    Raises:
        BrokenRun: something is wrong with one of several runs; of a single one the error itself.
        ValueError: as `run`.
    """
    clock, started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    encoded, broken = [], list[BrokenRun]()
    for one in request.runs:
        with _told(one, request, broken):
            encoded.append(encode(one, trains=one.spec == request.spec))
        if broken:
            raise broken[0]
    trained = _train(request, encoded[0], clock, started)
    for one, data in zip(request.runs, encoded, strict=True):
        with _told(one, request, broken):
            yield _evaluated(one, data, trained, runs=len(encoded))
    if broken:
        raise broken[0]


@contextmanager
def _told(one: RunRequest, request: RunRequest, broken: list[BrokenRun]) -> Iterator[None]:
    """Note which of several runs has an error; a single one raises it."""
    try:
        yield
    except Exception as error:
        if not request.also:
            raise
        broken.append(BrokenRun.of(one.spec, error))


def _train(request: RunRequest, encoded: Encoded, clock: float, started: str) -> Trained:
    measurer = Measurer(request, encoded)
    trainer, callback, stopwatch = make_trainer(
        request, encoded, loaded=measurer.keep_start, measuring=measurer.callbacks
    )
    with full_disk_told(request.output_dir):
        trainer.train(resume_from_checkpoint=newest_checkpoint(request))
    seconds = time.perf_counter() - clock  # what is measured then is no part of an arm's time
    return Trained(
        trainer=trainer,
        history=[row for row in trainer.state.log_history if "loss" in row or "train_loss" in row],
        record={family: _dosed(row, request).to_json() for family, row in callback.records.items()} or None,
        measurements=measurer.measure(trainer, callback),
        steps=stopwatch.seconds,
        seconds=seconds,
        started=started,
    )


def _evaluated(request: RunRequest, encoded: Encoded, trained: Trained, *, runs: int) -> RunResult:
    """The result of one of the runs of a training, with its share of the training's time."""
    clock = time.perf_counter()
    predictions, scores, failure = evaluate(request, encoded, trained.trainer)
    for row in trained.history:
        if not math.isfinite(row.get("loss", row.get("train_loss", 0.0))):
            failure = f"the training loss is not finite at step {row['step']}"
            break
    if request.output_dir is not None and trained.trainer.is_world_process_zero():
        with full_disk_told(request.output_dir):
            save_model(trained.trainer, request.source, Path(request.output_dir))
    return RunResult(
        spec=request.spec,
        status="failed" if failure else "finished",
        failure=failure,
        score=scores.score,
        constant_score=scores.constant_score,
        metrics=scores.metrics,
        predictions=predictions,
        history=trained.history,
        record=trained.record,
        measurements=trained.measurements,
        training={"id": request.training, "runs": runs, "seconds": trained.seconds}
        if request.training
        else None,
        environment=environment(request.spec.threads),
        seconds=time.perf_counter() - clock + trained.seconds / runs,
        step_seconds=trained.steps / runs,
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        started=trained.started,
    )


def _dosed(record: "Record", request: RunRequest) -> "Record":
    """The record with what the plan knows of the dose."""
    return record if request.dose is None else record.with_dose(request.dose)
