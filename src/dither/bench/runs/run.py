"""One run: one task, model, method, seed and thread count through the Hugging Face Trainer.

The run's seed sets the order of the data, the head, the dropout and the noise. The score is that of the last
evaluation, never of the best.
"""

import math
import resource
import time
from datetime import UTC, datetime
from pathlib import Path

from dither.bench.models.loading import save_model
from dither.bench.runs.encoding import encode
from dither.bench.runs.environment import environment
from dither.bench.runs.evaluation import evaluate
from dither.bench.runs.measurements import Measurer
from dither.bench.runs.request import RunRequest
from dither.bench.runs.training import make_trainer, newest_checkpoint
from dither.results import RunResult


def run(request: RunRequest) -> RunResult:
    """Make one run.

    Returns:
        Its result, finished or failed: a loss that is not finite, or a score not above the constant
        predictor's, is a failed run with its reason, not an exception.

    Raises:
        ValueError: the data are no longer those of the request, or data or model do not fit the task.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    clock = time.perf_counter()
    encoded = encode(request)
    measurer = Measurer(request, encoded)
    trainer, callback, stopwatch = make_trainer(
        request, encoded, loaded=measurer.keep_start, measuring=measurer.callbacks
    )
    resume = newest_checkpoint(request)
    trainer.train(resume_from_checkpoint=resume)
    history = [row for row in trainer.state.log_history if "loss" in row or "train_loss" in row]
    predictions, scores, failure = evaluate(request, encoded, trainer)
    if bad := [row for row in history if not math.isfinite(row.get("loss", row.get("train_loss", 0.0)))]:
        failure = f"the training loss is not finite at step {bad[0]['step']}"
    if request.output_dir is not None and trainer.is_world_process_zero():
        save_model(trainer, request.source, Path(request.output_dir))
    return RunResult(
        spec=request.spec,
        status="failed" if failure else "finished",
        failure=failure,
        score=scores.score,
        constant_score=scores.constant_score,
        metrics=scores.metrics,
        predictions=predictions,
        history=history,
        record={family: row.to_json() for family, row in callback.records.items()} or None,
        measurements=measurer.measure(trainer, callback),
        environment=environment(request.spec.threads),
        seconds=time.perf_counter() - clock,
        step_seconds=stopwatch.seconds,
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        started=started,
    )
