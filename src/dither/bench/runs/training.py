"""The Trainer of one run, with the recipe's arguments and the noise."""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dither.bench.heads import HEADS
from dither.bench.models.loading import load_model, load_tokenizer
from dither.bench.runs.encoding import Encoded
from dither.bench.runs.features import Features
from dither.bench.runs.precision import check_precision
from dither.bench.runs.request import RunRequest
from dither.bench.tasks.variations import base_of
from dither.results import RunSpec

EVALUATION_BATCH = 64
_CHECKPOINTING = ("activation_checkpointing", "gradient_checkpointing")  # the newer name first


def require_tensorboard() -> None:
    """Raise ImportError, with what to install, where no TensorBoard can be written."""
    if not any(find_spec(name) for name in ("tensorboard", "tensorboardX")):
        raise ImportError("--tensorboard needs TensorBoard: pip install 'dither[tensorboard]'")


def make_trainer(
    request: RunRequest,
    encoded: Encoded,
    *,
    loaded: Callable[[Any], None] = lambda model: None,
    measuring: Sequence[Any] = (),
) -> tuple[Any, Any, Any]:
    """A Trainer with everything the run needs, the callback that adds the noise, and the one that times.

    Args:
        request: the run.
        encoded: its data.
        loaded: called with each model that the Trainer loads, before any noise and any checkpoint.
        measuring: callbacks that see each step before the noise.
    """
    import torch
    from transformers import PrinterCallback

    from dither.bench.runs.reporter import Reporter
    from dither.bench.runs.stopwatch import Stopwatch
    from dither.integrations.hf_trainer import NoiseCallback
    from dither.methods.registry import recorded_method

    method = recorded_method(base_of(request.spec.method), request.spec.method_settings)
    callback, stopwatch = NoiseCallback(method), Stopwatch()
    ids = [one.spec.id for one in request.runs]
    reporters = [Reporter(request.pulses, ids)] if request.pulses is not None else []
    learned = request.task.learned
    tokenizer = load_tokenizer(request.source)
    has_gpu = torch.cuda.is_available()
    check_precision(request.recipe.precision, "cuda" if has_gpu else "cpu")
    arguments = _arguments(request, has_gpu)
    _check_processes(request.spec, arguments.world_size)
    torch.set_num_threads(request.spec.threads)  # after accelerate, which sets them where there are processes

    def model_init() -> Any:
        # The Trainer seeds torch before it calls this, so the head is drawn from the run's seed.
        model = load_model(
            request.source, learned, request.spec.dtype, head_weights=request.recipe.head_weights
        )
        loaded(model)
        return model

    trainer = _trainer_class(request)(
        model_init=model_init,
        args=arguments,
        train_dataset=_joined([encoded.features[split] for split in learned.train_splits]),
        data_collator=HEADS[learned.head].collator(tokenizer),
        callbacks=[*measuring, callback, stopwatch, *reporters],
    )
    if not request.progress:
        trainer.remove_callback(PrinterCallback)  # it prints every log entry
    return trainer, callback, stopwatch


def _trainer_class(request: RunRequest) -> Any:
    """The Trainer itself, where it computes whole batches."""
    if request.recipe.gradient_accumulation > 1:
        from dither.bench.runs.accumulation import AccumulatingTrainer

        return AccumulatingTrainer
    from transformers import Trainer

    return Trainer


def _joined(parts: Sequence[Features]) -> Any:
    """The inputs of several splits, one split after the other."""
    from torch.utils.data import ConcatDataset

    return parts[0] if len(parts) == 1 else ConcatDataset(parts)  # type: ignore[arg-type]


def _check_processes(spec: RunSpec, started: int) -> None:
    if started != spec.processes:
        raise ValueError(
            f"run ({spec}) is planned for {spec.processes} processes together and {started} are here; make "
            "the plan in the processes that make the run, and start them with torchrun or accelerate launch"
        )


def _arguments(request: RunRequest, has_gpu: bool) -> Any:
    from transformers import TrainingArguments

    recipe, keeps = request.recipe, request.output_dir is not None
    parts = request.spec.processes * recipe.gradient_accumulation
    known = {each.name for each in fields(TrainingArguments)}
    checkpointing = next(name for name in _CHECKPOINTING if name in known)
    if request.tensorboard is not None:
        os.environ["TENSORBOARD_LOGGING_DIR"] = request.tensorboard
    folder = str(Path(request.output_dir) / "checkpoints") if request.output_dir else tempfile.gettempdir()
    arguments = TrainingArguments(
        output_dir=folder,
        seed=request.seed,
        num_train_epochs=recipe.epochs,
        max_steps=recipe.max_steps or -1,
        per_device_train_batch_size=recipe.batch_size // parts,
        gradient_accumulation_steps=recipe.gradient_accumulation,
        per_device_eval_batch_size=EVALUATION_BATCH,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=recipe.warmup_ratio,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        train_sampling_strategy="group_by_length" if recipe.group_by_length else "random",
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
        bf16=recipe.precision == "bf16",
        fp16=recipe.precision == "fp16",
        dataloader_pin_memory=has_gpu,
        label_names=None,
        **{checkpointing: recipe.gradient_checkpointing},
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # as the Trainer does it: else DataParallel multiplies the batch by the GPUs
    return arguments


def newest_checkpoint(request: RunRequest) -> str | None:
    """The newest whole checkpoint of an earlier, interrupted start of the same run."""
    if request.output_dir is None:
        return None
    from dither.integrations.hf_checkpoints import latest_checkpoint

    return latest_checkpoint(Path(request.output_dir) / "checkpoints")
