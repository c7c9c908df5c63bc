"""The head that a model's file brings: found by its names, left alone, or taken where its labels fit."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from dither.bench.heads import HEADS
from dither.bench.models.files import ModelSource, tensor_names
from dither.bench.tasks.recipe import HEAD_WEIGHTS
from dither.bench.tasks.task import Task
from dither.bench.tasks.variations import settings_of

logger = logging.getLogger("dither")

NEW, FROM_FILE = HEAD_WEIGHTS
_OTHERWISE = "leave train.head_weights=file out, and a new head is drawn from the seed"


def head_names(model: Any) -> set[str]:
    """Names of the tensors that a class of transformers puts on its backbone; none for a backbone alone."""
    import torch
    from transformers import AutoModel

    names = set(model.state_dict())
    if model.base_model is not model:
        return {name for name in names if not name.startswith(f"{model.base_model_prefix}.")}
    with torch.random.fork_rng(devices=[]), torch.device("meta"), _safe_creation():
        return names - set(AutoModel.from_config(model.config, trust_remote_code=False).state_dict())


def brought_head(source: ModelSource, task: Task) -> list[str]:
    """Names of the tensors in a model's file that are those of a task's head, whatever their shapes.

    Args:
        source: from `find_model`.
        task: that is trained on.
    """
    import torch
    import transformers

    auto = getattr(transformers, HEADS[task.head].AUTO_MODEL)
    config = transformers.AutoConfig.from_pretrained(
        source.folder, local_files_only=True, trust_remote_code=False, **HEADS[task.head].config(task)
    )
    with torch.random.fork_rng(devices=[]), torch.device("meta"), _safe_creation():
        model = auto.from_config(config, trust_remote_code=False)
    return sorted(head_names(model) & set(tensor_names(source.folder)))


def _safe_creation() -> Any:
    """What transformers needs for models that compute with tensors while they are built."""
    from transformers import initialization

    return initialization.meta_device_safe_creation_ops()


def new_heads(source: ModelSource, tasks: Sequence[Task], changes: Mapping[str, Any]) -> dict[str, str]:
    """The setting that says of runs that they left a head in the model's file alone; nothing for others.

    Runs of before took such a head where it fitted; the setting keeps them apart.

    Args:
        source: from `find_model`.
        tasks: of a plan.
        changes: of the tasks' recipes.
    """
    if "head_weights" in changes or any("head_weights" in settings_of(task.name) for task in tasks):
        return {}
    kinds = {(task.learned.head, len(task.learned.labels)): task.learned for task in tasks}
    if not (names := sorted({name for task in kinds.values() for name in brought_head(source, task)})):
        return {}
    logger.warning(
        "model %s brings a head (%s), which is left alone: each run draws its own from its seed; "
        "--set train.head_weights=file takes the one in the file, for the same labels",
        source.name,
        names[0],
    )
    return {"head_weights": NEW}


def refuse_read_head(source: ModelSource, model: Any, missing: Any) -> None:
    """Refuse a head that was read from the file though a new one is wanted: under names that nobody foresaw.

    Raises:
        ValueError: the message names the first tensor.
    """
    if read := sorted(head_names(model) - set(missing)):
        raise ValueError(
            f"model {source.name}: {type(model).__name__} takes {read[0]!r} of its head from the file, where "
            "it has another name, and the head is to be drawn from the seed; save the backbone alone, "
            "model.base_model.save_pretrained(folder), or take the head: --set train.head_weights=file"
        )


def take_head(source: ModelSource, task: Task, model: Any, missing: Any) -> None:
    """See that a model has its head from the file, and give its outputs the order of the task's labels.

    Args:
        source: from `find_model`.
        task: that is trained on.
        model: as it was loaded, with all of its file.
        missing: names of what was not in the file.

    Raises:
        ValueError: the file has no such head, or one for other labels.
    """
    if lacking := sorted(head_names(model) & set(missing)):
        raise ValueError(
            f"model {source.name} brings no head for {task.head}, which task {task.name!r} needs "
            f"({lacking[0]!r} is not in its file); {_OTHERWISE}"
        )
    if not task.labels:
        return
    own = _labels(source)
    if sorted(own) != sorted(task.labels):
        raise ValueError(
            f"model {source.name} brings a head for the labels {', '.join(own)}, and task {task.name!r} has "
            f"{', '.join(task.labels)}; give them the same names, under id2label in its config.json, or "
            f"{_OTHERWISE}"
        )
    if own != list(task.labels):
        _reorder(source, task, model, [own.index(label) for label in task.labels])


def _labels(source: ModelSource) -> list[str]:
    """The labels that the file's config.json names, in the order of their outputs."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False)
    return [str(config.id2label[number]) for number in sorted(config.id2label)]


def _reorder(source: ModelSource, task: Task, model: Any, order: list[int]) -> None:
    """Sort the rows of the one layer that has an output for each label."""
    import torch

    outputs = {
        name: parameter
        for name, parameter in model.named_parameters()
        if name in head_names(model) and parameter.shape[0] == len(order)
    }
    if len({name.rpartition(".")[0] for name in outputs}) != 1:
        raise ValueError(
            f"model {source.name} brings a head whose labels stand in another order than those of task "
            f"{task.name!r}, and {', '.join(outputs) or 'no layer'} could be its outputs; {_OTHERWISE}"
        )
    with torch.no_grad():
        for parameter in outputs.values():
            parameter.copy_(parameter[order].clone())
