"""One run: one task, model, method, seed and thread count through the Hugging Face Trainer.

The run's seed sets the order of the data, the head, the dropout and the noise. The score is that of the last
evaluation, never of the best.
"""

import math
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dither.bench.data import TaskData, load
from dither.bench.environment import environment
from dither.bench.heads import HEADS, Features
from dither.bench.models import ModelSource, load_model, load_tokenizer, save_model
from dither.bench.recipe import Recipe
from dither.bench.scores import Scores, score
from dither.bench.task import Task
from dither.results import RunResult, RunSpec

EVALUATION_BATCH = 64

_KEPT = 8  # tokenised tasks that a process keeps for its next runs
_ENCODED: dict[tuple[object, ...], "Encoded"] = {}


@dataclass(frozen=True)
class RunRequest:
    """A run to be made: what determines it, and where its parts lie.

    Attributes:
        spec: its identity.
        task: as loaded from its TOML; the spec's train settings change its recipe.
        source: the model.
        data_dir: folder of local data, or None.
        output_dir: where checkpoints and the final model go; None keeps neither.
        tensorboard: folder for TensorBoard's curves, or None.
        progress: show the Trainer's progress bar.
    """

    spec: RunSpec
    task: Task
    source: ModelSource
    data_dir: str | None = None
    output_dir: str | None = None
    tensorboard: str | None = None
    progress: bool = False

    @property
    def recipe(self) -> Recipe:
        """The task's recipe with the run's changes."""
        return replace(self.task.recipe, **self.spec.train_settings)


@dataclass(frozen=True)
class Encoded:
    """The inputs of a task for one tokenizer, and its rows, by split."""

    data: TaskData
    features: dict[str, Features]


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
    trainer, callback = _trainer(request, encoded)
    resume = _checkpoint(request)
    trainer.train(resume_from_checkpoint=resume)
    history = [row for row in trainer.state.log_history if "loss" in row or "train_loss" in row]
    predictions, scores, failure = _evaluate(request, encoded, trainer)
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
        environment=environment(request.spec.threads),
        seconds=time.perf_counter() - clock,
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        started=started,
    )


def require_tensorboard() -> None:
    """Raise ImportError, with what to install, where no TensorBoard can be written."""
    if not any(find_spec(name) for name in ("tensorboard", "tensorboardX")):
        raise ImportError("--tensorboard needs TensorBoard: pip install 'dither[tensorboard]'")


def encode(request: RunRequest) -> Encoded:
    """Load and tokenise the data of a request; kept for the next run of the same process."""
    encoded = _encode(request)
    if encoded.data.digest != request.spec.data_digest:
        raise ValueError(
            f"the data of task {request.task.name!r} changed since this comparison was planned; use another "
            "--out for the new data, or put the old files back"
        )
    return encoded


def _encode(request: RunRequest) -> Encoded:
    task, max_length = request.task, request.recipe.max_length
    key = (task.digest, request.spec.data_digest, request.source.digest, max_length)
    if key not in _ENCODED:
        data = load(task, request.data_dir)
        tokenizer, head = load_tokenizer(request.source), HEADS[task.head]
        features = {
            split: head.encode(task, rows, tokenizer, max_length) for split, rows in data.splits.items()
        }
        if data.digest != request.spec.data_digest:
            return Encoded(data, features)
        while len(_ENCODED) >= _KEPT:
            _ENCODED.pop(next(iter(_ENCODED)))
        _ENCODED[key] = Encoded(data, features)
    return _ENCODED[key]


def _trainer(request: RunRequest, encoded: Encoded) -> tuple[Any, Any]:
    """A Trainer with everything the run needs, and the callback that adds the noise."""
    import torch
    from transformers import PrinterCallback, Trainer

    from dither.integrations.hf_trainer import NoiseCallback
    from dither.methods.registry import create_method

    method = create_method(request.spec.method, **request.spec.method_settings)
    callback = NoiseCallback(method)
    head = HEADS[request.task.head]
    tokenizer = load_tokenizer(request.source)
    arguments = _arguments(request, torch.cuda.is_available())
    _check_processes(request.spec, arguments.world_size)
    torch.set_num_threads(request.spec.threads)  # after accelerate, which sets them where there are processes
    trainer = Trainer(
        # The Trainer seeds torch before it calls this, so the head is drawn from the run's seed.
        model_init=lambda: load_model(request.source, request.task, request.spec.dtype),
        args=arguments,
        train_dataset=encoded.features[request.task.train],
        data_collator=head.collator(tokenizer),
        callbacks=[callback],
    )
    if not request.progress:
        trainer.remove_callback(PrinterCallback)  # it prints every log entry
    return trainer, callback


def _check_processes(spec: RunSpec, started: int) -> None:
    if started != spec.processes:
        raise ValueError(
            f"run ({spec}) is planned for {spec.processes} processes together and {started} are here; make "
            "the plan in the processes that make the run, and start them with torchrun or accelerate launch"
        )


def _arguments(request: RunRequest, has_gpu: bool) -> Any:
    from transformers import TrainingArguments

    recipe, keeps = request.recipe, request.output_dir is not None
    if request.tensorboard is not None:
        os.environ["TENSORBOARD_LOGGING_DIR"] = request.tensorboard
    folder = str(Path(request.output_dir) / "checkpoints") if request.output_dir else tempfile.gettempdir()
    return TrainingArguments(
        output_dir=folder,
        seed=request.spec.seed,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size // request.spec.processes,
        per_device_eval_batch_size=EVALUATION_BATCH,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=recipe.warmup_ratio,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        # It multiplies the loss by the number of processes, also where the model's is a mean already.
        average_tokens_across_devices=False,
        adam_beta1=recipe.adam_beta1,
        adam_beta2=recipe.adam_beta2,
        adam_epsilon=recipe.adam_epsilon,
        optim="adamw_torch_fused",
        logging_strategy="steps",
        logging_steps=10,
        logging_nan_inf_filter=False,
        save_strategy="epoch" if keeps else "no",
        save_total_limit=2 if keeps else None,
        report_to=["tensorboard"] if request.tensorboard is not None else [],
        disable_tqdm=not request.progress,
        use_cpu=not has_gpu,
        dataloader_pin_memory=has_gpu,
        label_names=None,
    )


def _checkpoint(request: RunRequest) -> str | None:
    """The newest whole checkpoint of an earlier, interrupted start of the same run."""
    if request.output_dir is None:
        return None
    from dither.integrations.hf_checkpoints import latest_checkpoint

    return latest_checkpoint(Path(request.output_dir) / "checkpoints")


def _evaluate(
    request: RunRequest, encoded: Encoded, trainer: Any
) -> tuple[dict[str, list[Any]], Scores, str | None]:
    """Predictions and scores on every evaluation, and why the run failed if it did."""
    import numpy as np

    task, head = request.task, HEADS[request.task.head]
    predictions: dict[str, list[Any]] = {}
    failure = None
    for name, split in task.evaluation.items():
        features = encoded.features[split]
        outputs = trainer.predict(features).predictions
        parts: Sequence[Any] = outputs if isinstance(outputs, tuple) else (outputs,)
        parts = parts[: head.OUTPUTS]  # encoder-decoders add their hidden states
        if not all(np.isfinite(part).all() for part in parts):
            failure = f"outputs on {name} are not finite"
        predictions[name] = head.decode(task, parts, features, encoded.data.splits[split])
    rows = {name: encoded.data.splits[split] for name, split in task.evaluation.items()}
    scores = score(task, predictions, rows, train=encoded.data.splits[task.train])
    if failure is None and not scores.score > scores.constant_score:
        failure = (
            f"score {scores.score:.2f} is not above the constant predictor's {scores.constant_score:.2f}"
        )
    return predictions, scores, failure
