"""Whose parameters the tensors of a checkpoint are: the model's, built without its weights, or nobody's."""

import contextlib
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from dither.checkpoint.blocks import same_bytes
from dither.checkpoint.headers import FLOATS, StoredTensor
from dither.checkpoint.index import CONFIG, Checkpoint, refuse_wrapped
from dither.checkpoint.renames import Loading
from dither.checkpoint.strict_json import shown
from dither.core.extras import require
from dither.core.quantised import PART, quantised_parts

Names = Literal["model", "file"]

NOT_NOISED = "integer or quantised"
_INSTEAD = "or noise the tensors under the names that they have in the file, with --names file"


@dataclass(frozen=True)
class Architecture:
    """A model on the meta device with the dtypes of a checkpoint.

    Attributes:
        model: its parameters have the paths of the stored tensors, and no values.
        kind: the class of the model, or "" where the names are the file's.
        others: stored tensors that are no parameters, with the reason why they are left alone.
        tensors: the stored tensors by their paths in the model.
    """

    model: nn.Module
    kind: str
    others: Mapping[str, str]
    tensors: Mapping[str, StoredTensor]


def architecture_of(checkpoint: Checkpoint, names: Names) -> Architecture:
    """The parameters of a checkpoint: of the model that config.json names, or as they stand in the file.

    Raises:
        ValueError: there is no such model, or its names and shapes are not the file's.
    """
    if names not in ("model", "file"):
        raise ValueError(f"names is {names!r}; it must be 'model' or 'file'")
    if names == "file":
        scales = _scales(checkpoint.tensors)
        kept = {name: row for name, row in checkpoint.tensors.items() if name not in scales}
        return Architecture(StoredNames(kept), "", scales, checkpoint.tensors)
    model = _empty_model(checkpoint)
    refuse_wrapped(checkpoint.root, checkpoint.tensors, instead=_INSTEAD)
    loading = Loading(model)
    checkpoint = replace(checkpoint, tensors=loading.under_model_names(checkpoint.tensors))
    others = _compared(checkpoint, model, loading)
    _untie(checkpoint, model)
    for path, parameter in model.named_parameters(remove_duplicate=False):
        if path in checkpoint.tensors:
            _take_dtype(parameter, checkpoint.tensors[path])
    return Architecture(model, type(model).__name__, others, checkpoint.tensors)


class StoredNames(nn.Module):
    """A stand-in for a model that nobody knows: its parameters are the tensors of the file."""

    def __init__(self, tensors: Mapping[str, StoredTensor]) -> None:
        super().__init__()
        self._stored: dict[str, nn.Parameter] = {}
        for name, row in tensors.items():
            self._stored[name] = nn.Parameter(torch.empty(0, device="meta"))
            _take_dtype(self._stored[name], row)

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """The tensors of the file, in its order."""
        yield from self._stored.items()


def _take_dtype(parameter: nn.Parameter, row: StoredTensor) -> None:
    """Dtype and shape of the stored tensor; what is no float may stand for itself as bytes."""
    parameter.requires_grad_(row.is_float and parameter.requires_grad)
    dtype = FLOATS.get(row.dtype, torch.uint8)
    parameter.data = torch.empty(row.shape, dtype=dtype, device="meta")


def _empty_model(checkpoint: Checkpoint) -> Any:
    """The model on the meta device, of the class that config.json names; no code of its own is run."""
    require("trainer", "noise under a model's names (--names model)")
    import transformers

    folder, config = checkpoint.folder, checkpoint.config
    if config is None:
        raise ValueError(f"{folder} has no {CONFIG}, so the model is not known; put it there, {_INSTEAD}")
    named = config.get("architectures")
    name = named[0] if isinstance(named, list) and named else None
    kind = getattr(transformers, name, None) if isinstance(name, str) and name.isidentifier() else None
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
        raise ValueError(
            f"{folder / CONFIG}: architectures is {named!r}, which names no model class of transformers "
            f"{transformers.__version__}; name the class that saved the weights, {_INSTEAD}"
        )
    try:
        settings = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        with torch.device("meta"), _safe_creation():
            return kind(settings)
    except Exception as error:  # whatever a config that does not fit may raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{folder / CONFIG}: no {name} can be built from it ({reason}); mend it, {_INSTEAD}"
        ) from error


def _safe_creation() -> contextlib.AbstractContextManager[Any]:
    """What transformers itself needs for models that compute with tensors while they are built."""
    from transformers import initialization

    return getattr(initialization, "meta_device_safe_creation_ops", contextlib.nullcontext)()


def _scales(tensors: Mapping[str, StoredTensor]) -> dict[str, str]:
    """The floating-point tensors that belong to quantised ones: noise on them is noise on everything."""
    floats = [name for name, row in tensors.items() if row.is_float]
    others = [name for name, row in tensors.items() if not row.is_float and _may_be_codes(row)]
    parts = quantised_parts(floats, others)
    return {name: PART for name in floats if name in parts}


def _may_be_codes(row: StoredTensor) -> bool:
    return row.dtype != "BOOL" and math.prod(row.shape) > 1


def _compared(checkpoint: Checkpoint, model: Any, loading: Loading) -> dict[str, str]:
    """Refuse a checkpoint that loading would rename or convert; returns what is no parameter, and why."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    ignored, scales = _ignored(model), _scales(checkpoint.tensors)
    others, unknown = {}, []
    for name, row in checkpoint.tensors.items():
        if name in parameters:
            if row.is_float and row.shape != tuple(parameters[name].shape):
                raise ValueError(
                    f"{row.path}: tensor {shown(name)} has shape {shown(list(row.shape))}, and "
                    f"{type(model).__name__} wants {list(parameters[name].shape)}; take the {CONFIG} that "
                    f"belongs to the weights, {_INSTEAD}"
                )
        elif not row.is_float:
            others[name] = NOT_NOISED
        elif name in scales:
            others[name] = scales[name]
        elif name in loading.state or (ignored is not None and ignored.search(name)):
            others[name] = "no parameter of the model"
        else:
            unknown.append(name)
    missing = _missing(checkpoint, parameters)
    astray = [name for name, row in checkpoint.tensors.items() if _is_loaded_elsewhere(name, row, loading)]
    if missing or astray:
        raise ValueError(_mismatch(checkpoint, type(model).__name__, unknown or astray, missing))
    return others | dict.fromkeys(unknown, f"not in {type(model).__name__}")


def _missing(checkpoint: Checkpoint, parameters: Mapping[str, nn.Parameter]) -> list[str]:
    """Parameters that no tensor of the file fills, neither under this name nor under a tied one."""
    filled = {id(parameter) for path, parameter in parameters.items() if path in checkpoint.tensors}
    quantised = {name.rpartition(".")[0] for name, row in checkpoint.tensors.items() if not row.is_float}
    return [
        path
        for path, parameter in parameters.items()
        if id(parameter) not in filled and path.rpartition(".")[0] not in quantised
    ]


def _ignored(model: Any) -> re.Pattern[str] | None:
    """The names in files that a class of transformers leaves aside."""
    patterns = [*(getattr(model, "_keys_to_ignore_on_load_unexpected", None) or [])]
    return re.compile("|".join(f"({one})" for one in [*sorted(patterns), r"rotary_emb\.inv_freq$"]))


def _is_loaded_elsewhere(name: str, row: StoredTensor, loading: Loading) -> bool:
    """Whether transformers fills another parameter from a tensor than that of this name, or computes one."""
    path = loading.path(row.name)
    return path != name and (path is None or path in loading.state or name in loading.state)


def _mismatch(checkpoint: Checkpoint, kind: str, unknown: list[str], missing: list[str]) -> str:
    said = []
    if unknown:
        said.append(
            f"{len(unknown)} tensors of the file are none of its parameters (first: {shown(unknown[0])})"
        )
    if missing:
        said.append(f"{len(missing)} of its parameters are not in the file (first: {shown(missing[0])})")
    return (
        f"{checkpoint.root} is not stored as {kind} has it: {' and '.join(said)}, so loading would rename, "
        "convert or draw weights. Load it once and save it with model.save_pretrained(folder, "
        f"save_original_format=False), {_INSTEAD}"
    )


def _untie(checkpoint: Checkpoint, model: Any) -> None:
    """Tied parameters that are both stored, with different values, are two: transformers loads them so."""
    tensors = checkpoint.tensors
    for path, source in dict(getattr(model, "all_tied_weights_keys", {})).items():
        if path in tensors and source in tensors and not same_bytes(tensors[path], tensors[source]):
            home, _, leaf = path.rpartition(".")
            setattr(model.get_submodule(home), leaf, nn.Parameter(torch.empty(0, device="meta")))
    groups: defaultdict[int, list[str]] = defaultdict(list)
    for path, parameter in model.named_parameters(remove_duplicate=False):
        groups[id(parameter)] += [path] * (path in tensors)
    for first, *rest in (group for group in groups.values() if group):
        for path in rest:
            if not same_bytes(tensors[first], tensors[path]):
                raise ValueError(
                    f"{checkpoint.root}: tensors {first!r} and {path!r} are tied in {type(model).__name__} "
                    f"and differ in the file; set tie_word_embeddings to false in {CONFIG}, {_INSTEAD}"
                )
