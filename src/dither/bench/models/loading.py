"""Models loaded with a new head, or refused; and saved.

A model that would train from random weights is refused: everything but the head must come from the file.
Code that lies beside a model is never run.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from dither.bench.heads import HEADS
from dither.bench.models.brought_heads import (
    FROM_FILE,
    NEW,
    brought_head,
    head_names,
    refuse_read_head,
    take_head,
)
from dither.bench.models.files import BUILTIN, ModelSource, find_model, unchanged
from dither.bench.models.kept_weights import KeptWeights, keep_weights, kept_weights
from dither.bench.tasks.task import Task

__all__ = [
    "BUILTIN",
    "ModelSource",
    "find_model",
    "load_model",
    "load_tokenizer",
    "save_model",
]

_FOREIGN_CODE = "trust_remote_code"  # how transformers' messages name it


def load_tokenizer(source: ModelSource) -> Any:
    """The model's tokenizer, with a padding token and the side on which its model takes padding.

    That is the end, whatever the file says: positions count from the first token. XLNet has no positions and
    reads the last place of an input, so there it is the beginning.

    Raises:
        ValueError: it cannot be read, would run code of its own, has no token to pad with, or a file of the
            model changed.
    """
    from transformers import AutoTokenizer

    with unchanged(source):
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                source.folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # the tokenizers library raises Exception itself
            raise ValueError(
                f"the tokenizer of model {source.name} cannot be loaded: {_reason(error)}; save it once more "
                "with tokenizer.save_pretrained(folder)"
            ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise ValueError(
            f"the tokenizer of model {source.name} has no token to pad with (no pad, eos or unk token); set "
            "tokenizer.pad_token and save it beside the model"
        )
    tokenizer.padding_side = "left" if _reads_last_place(source) else "right"
    return tokenizer


def _reads_last_place(source: ModelSource) -> bool:
    from transformers import PreTrainedConfig, XLNetConfig

    table, _ = PreTrainedConfig.get_config_dict(source.folder, local_files_only=True)
    kind = XLNetConfig.model_type
    return table.get("model_type") == kind and table.get("summary_type", XLNetConfig().summary_type) == "last"


@lru_cache(maxsize=8)
def _padding(source: ModelSource) -> int:
    return int(load_tokenizer(source).pad_token_id)


def load_model(source: ModelSource, task: Task, dtype: str = "float32", *, head_weights: str = NEW) -> Any:
    """The pretrained backbone under a head for a task; the head's weights are drawn by torch.

    A head in the file is left alone, whether it fits or not: it may be another task's. With
    `head_weights="file"` it is taken, its outputs in the order of the task's labels, by their names.

    A mark of earlier noise in config.json is dropped: the weights count as pretrained as they are, so a model
    that was fine-tuned with NoisyTune can be fine-tuned with it again on another task.

    Args:
        source: from `find_model`.
        task: its kind of head is put on top.
        dtype: of the weights: "float32", "bfloat16" or "float16".
        head_weights: "new" or "file".

    Raises:
        ValueError: anything but the head would be random, the head in the file is to be taken and does not
            fit the task, the architecture has no such head, a weight is not finite (its tensor is named), or
            a file of the model changed since `find_model`.
    """
    import torch
    import transformers

    kind = HEADS[task.head].AUTO_MODEL
    kept = kept_weights(source.digest, dtype, kind) if head_weights == NEW else None
    with unchanged(source), _quiet(transformers), _explained(source, task):
        if kept is not None:
            model, report = kept.model(_config(source, task, dtype))
        elif head_weights == NEW and brought_head(source, task):
            model, report = _without_head(source, task, dtype)
        else:
            model, report = _from_file(source, task, dtype)
    _refuse_random_backbone(source, model, report["missing_keys"])
    if head_weights == FROM_FILE:
        take_head(source, task, model, report["missing_keys"])
    else:
        refuse_read_head(source, model, report["missing_keys"])
    if kept is None:
        for name, parameter in model.named_parameters():
            if not torch.isfinite(parameter).all():
                raise ValueError(f"model {source.name}: tensor {name!r} holds NaN or infinite values")
        if head_weights == NEW:
            keep_weights(source.digest, dtype, kind, model=model, missing=report["missing_keys"])
    # Decoders read the last token that is none of padding: what the tokenizer pads with, whatever they think.
    model.config.get_text_config().pad_token_id = model.config.pad_token_id = _padding(source)
    model.config.__dict__.pop("dither", None)
    return model


def _without_head(source: ModelSource, task: Task, dtype: str) -> tuple[Any, dict[str, Any]]:
    """A model with a new head, and the report on its loading, though its file has such a head."""
    import torch

    with torch.random.fork_rng(devices=[]):  # what is drawn here is thrown away
        whole, report = _from_file(source, task, dtype, ignore_mismatched_sizes=True)
    head = head_names(whole)
    if other := sorted(name for name, *_ in report["mismatched_keys"] if name not in head):
        raise ValueError(f"size mismatch of {other[0]}")
    drawn = head | set(report["missing_keys"])
    backbone = {name: tensor for name, tensor in whole.state_dict().items() if name not in drawn}
    return KeptWeights(type(whole), backbone).model(_config(source, task, dtype))


def _from_file(source: ModelSource, task: Task, dtype: str, **options: Any) -> tuple[Any, dict[str, Any]]:
    import torch
    import transformers

    head = HEADS[task.head]
    auto = getattr(transformers, head.AUTO_MODEL)
    model, report = auto.from_pretrained(
        source.folder,
        dtype=getattr(torch, dtype),
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
        key_mapping=_backbone_keys(auto, source),
        **head.config(task),
        **options,
    )
    return model, report


def _config(source: ModelSource, task: Task, dtype: str) -> Any:
    """The config that a model gets which is read from the file."""
    import torch
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(
        source.folder, local_files_only=True, trust_remote_code=False, **HEADS[task.head].config(task)
    )
    config.dtype = getattr(torch, dtype)
    return config


def _backbone_keys(auto: Any, source: ModelSource) -> dict[str, str] | None:
    """The file's name of the backbone -> the head's: decoders' question answering has one of its own."""
    from transformers import AutoConfig, AutoModel

    config = type(AutoConfig.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False))
    classes = [known._model_mapping.get(config, None) for known in (AutoModel, auto)]
    names = [getattr(known, "base_model_prefix", "") for known in classes]
    return {rf"^{names[0]}\.": f"{names[1]}."} if all(names) and names[0] != names[1] else None


def save_model(trainer: Any, source: ModelSource, folder: Path) -> None:
    """Put a Trainer's model and its tokenizer into a folder, each file whole or not at all."""
    partial = folder / "model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        trainer.save_model(str(partial))
        load_tokenizer(source).save_pretrained(partial)
        for path in sorted(partial.iterdir()):
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # of a full disk, too


def _refuse_random_backbone(source: ModelSource, model: Any, missing: Any) -> None:
    """Only the head may be new, and a pooler, which feeds nothing but the head."""
    random = sorted(name for name in set(missing) - head_names(model) if "pooler" not in name.split("."))
    if random:
        raise ValueError(
            f"model {source.name}: {len(random)} tensors of the backbone of {type(model).__name__} are "
            f"not in the file (the first is {random[0]!r}), so it would train from random weights; "
            "take a checkpoint of this architecture, or another kind of task"
        )


@contextlib.contextmanager
def _explained(source: ModelSource, task: Task) -> Iterator[None]:
    """Say what a failed load means for the user."""
    try:
        yield
    except Exception as error:  # of transformers, safetensors and torch, each its own kinds
        text = str(error)
        if "mismatch" in text:
            meaning = (
                f"brings tensors of other shapes than its config.json says and task {task.name!r} needs "
                f"({task.head}, {len(task.labels) or 1} outputs): {_reason(error)}; leave "
                "train.head_weights=file out where it is the head, and a new one is drawn from the seed"
            )
        elif "Unrecognized configuration class" in text:
            meaning = f"has an architecture without a head for {task.head}, which task {task.name!r} needs"
        elif _FOREIGN_CODE in text:
            meaning = (
                "comes with code of its own, which dither never runs; take a model whose architecture "
                "transformers knows"
            )
        else:
            meaning = f"cannot be loaded: {_reason(error)}"
        raise ValueError(f"model {source.name} {meaning}") from error


def _reason(error: Exception) -> str:
    """The first line of an error, with its kind."""
    return f"{type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}"


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Loading reports every missing head on the terminal; we look at the report ourselves."""
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    bar = transformers.logging.is_progress_bar_enabled()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)
        if bar:
            transformers.logging.enable_progress_bar()
